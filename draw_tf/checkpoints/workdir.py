"""A run's folder: its settings, weights and metrics, saved, resumed, and loaded again.

A workdir holds `config.json` and either `checkpoints/` (a run of `train.py`, with the optimizer
and the step) or `weights.safetensors` (weights alone, as those that ship with the package: numbers,
names and shapes, and no code).
"""

import contextlib
import functools
import itertools
import json
import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from draw_tf.checkpoints import saves
from draw_tf.config import ModelConfig, TrainConfig, config_from_dict, config_to_dict, fixed_fields
from draw_tf.data.record import DATA
from draw_tf.errors import WorkdirError, why, written
from draw_tf.files import PathLike, check_access, exists, tensorflow_path, write_json, write_whole
from draw_tf.models import make_model, model_class, named_weights
from draw_tf.models.base import ImageModel

CONFIG = "config.json"
WEIGHTS = "weights.safetensors"
METRICS = "metrics.jsonl"
LOCK = ".lock"
PRETRAINED = pathlib.Path(__file__).parents[1] / "pretrained"
DEFAULT_WEIGHTS = "binarized_mnist"  # generate.py draws with these where --workdir is not given
LARGEST = 2**27  # weights that a file may hold
HEADER = 2**20  # bytes of names and shapes that a file may have before its numbers


def check_name(workdir: PathLike) -> pathlib.Path:
    """The path of a workdir; raises WorkdirError for names that TensorFlow would misunderstand."""
    if not str(workdir):
        raise WorkdirError("workdir must be a folder, got ''")
    return tensorflow_path(workdir, "workdir", WorkdirError)


def read_config(workdir: PathLike) -> tuple[ModelConfig, TrainConfig]:
    """The settings of a run; raises WorkdirError where there is none that can be read."""
    path = check_name(workdir) / CONFIG
    try:
        with written(str(path), done="read"):
            if exists(path):
                return config_from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise WorkdirError(f"{path} cannot be used: {error}") from error
    raise WorkdirError(f"workdir {workdir} holds no {CONFIG}, so it is not a run of train.py")


def changed_settings(workdir: PathLike, model_config: ModelConfig,
                     train_config: TrainConfig) -> list[str]:
    """The settings of a run, if there is one, that new ones change, as "NAME OLD -> NEW" each.

    Raises WorkdirError where the run cannot go on with the new settings, or cannot be read.
    """
    workdir = check_name(workdir)
    if exists(workdir / WEIGHTS):
        raise WorkdirError(f"workdir {workdir} holds {WEIGHTS}, so it is not a folder to train "
                           "in: give another")
    if not exists(workdir / CONFIG):
        return []
    old, new = config_to_dict(*read_config(workdir)), config_to_dict(model_config, train_config)
    for part, names in (("model", old["model"] | new["model"]), ("train", fixed_fields())):
        for name in names:
            before, now = (settings[part].get(name, "none") for settings in (old, new))
            if before != now:
                raise WorkdirError(f"workdir {workdir} holds a run with {name}={before}, not {now}:"
                                   f" give this run another --workdir or the same {name}")
    return [f"{name} {old['train'][name]} -> {now}" for name, now in new["train"].items()
            if old["train"][name] != now]


def write_settings(workdir: PathLike, model_config: ModelConfig,
                   train_config: TrainConfig) -> None:
    """Writes a run's settings into its workdir, made if it is missing; may raise WorkdirError."""
    workdir = check_name(workdir)
    with written(f"workdir {workdir}"):
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / CONFIG, config_to_dict(model_config, train_config))


@contextlib.contextmanager
def locked(workdir: PathLike) -> Iterator[None]:
    """Keeps other processes from training in a workdir until the block or the process ends.

    Raises WorkdirError where one trains there already, or a part may not be read or written.
    """
    workdir = check_name(workdir)
    with written(f"workdir {workdir}"):
        workdir.mkdir(parents=True, exist_ok=True)
        check_access(workdir, below=False)
        check_access(workdir / METRICS, os.R_OK | os.W_OK)
        for name in (CONFIG, DATA, saves.FOLDER, "events"):
            check_access(workdir / name)
        file = open(workdir / LOCK, "a", encoding="utf-8")  # noqa: SIM115, the with follows
    with file:
        try:
            import fcntl  # not on every system; there, nothing is locked
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkdirError(f"workdir {workdir} is in use by another training: give this run "
                               "another --workdir, or wait until that one has ended") from error
        except (ImportError, OSError):  # a file system without locks
            pass
        yield


def read_metrics(workdir: PathLike) -> list[dict]:
    """The lines of a run's metrics.jsonl, as dictionaries; what is not such a line is left out.

    Each has a `step`, and values that are numbers, text, or lists of these.
    """
    path = check_name(workdir) / METRICS
    with written(str(path), done="read"):
        content = path.read_text(encoding="utf-8", errors="replace") if exists(path) else ""
    lines = []
    for text in content.splitlines():
        with contextlib.suppress(ValueError, RecursionError):  # cut short when the machine died
            line = json.loads(text)
            step = line.get("step") if isinstance(line, dict) else None
            if isinstance(step, int) and 0 <= step < 2**63:
                values = (x if isinstance(x, list) else [x] for x in line.values())
                if not any(isinstance(x, (list, dict)) for x in itertools.chain(*values)):
                    lines.append(line)
    return lines


def assign_weights(model: ImageModel, weights: Mapping[str, np.ndarray]) -> None:
    """Sets every weight of a model from a mapping of name to array.

    Raises ValueError for one that is missing, unknown or of another shape; then none is set.
    """
    check_shapes(weight_shapes(model.config), {name: weights[name].shape for name in weights})
    for name, variable in named_weights(model).items():
        variable.assign(weights[name].astype(variable.dtype))


def save_weights(model: ImageModel, path: PathLike, dtype: type = np.float32,
                 step: int | None = None) -> None:
    """Writes `named_weights` as safetensors, with their step if given; may raise OSError."""
    arrays = {name: weight.numpy().astype(dtype) for name, weight in named_weights(model).items()}
    write_whole(path, save(arrays, None if step is None else {"step": str(step)}))


def read_weights(path: PathLike, config: ModelConfig) -> tuple[dict[str, np.ndarray], int | None]:
    """Reads what `save_weights` wrote: the weights by name, and their step or None.

    The file may come from a stranger: names, shapes and number types are checked before any array
    is read. Raises WorkdirError where it cannot be read, or is not of a model with these settings.
    """
    shapes = weight_shapes(config)
    try:
        if sum(map(math.prod, shapes.values())) > LARGEST:
            raise ValueError(f"the settings are of a model with more than {LARGEST} weights")
        with open(path, "rb") as file:  # before the library reads a header of any length
            if int.from_bytes(file.read(8), "little") > HEADER:
                raise ValueError("it is not a safetensors file, or its header is too long")
        with safe_open(path, framework="numpy") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118, no mapping
            check_shapes(shapes, {name: tuple(part.get_shape()) for name, part in parts.items()})
            for name, part in parts.items():
                if part.get_dtype() not in ("F16", "F32"):
                    raise ValueError(f"{name!r} must be of F16 or F32, got {part.get_dtype()}")
            step = (file.metadata() or {}).get("step")
            if step is not None and not re.fullmatch("[0-9]{1,18}", step):
                raise ValueError(f"its step must be a whole number, got {step!r:.99}")
            arrays = {name: file.get_tensor(name) for name in parts}
    except (OSError, ValueError, SafetensorError) as error:
        raise WorkdirError(f"{path} cannot be read: {why(error)}") from error
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise WorkdirError(f"{path} cannot be used: {name} has numbers that are not finite")
    return arrays, step and int(step)


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of each of `named_weights`, of a model that need not be built."""
    model = model_class(config)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (inputs, units) in model.layer_sizes(config).items():
        gates = 4 if name in ("encoder", "decoder") else 1  # the two are LSTMs
        shapes |= {f"{name}/kernel": (inputs, gates * units), f"{name}/bias": (gates * units,)}
        if gates == 4:
            shapes[f"{name}/recurrent_kernel"] = (units, gates * units)
    return shapes | {f"first/{name}": shape for name, shape in model.first_shapes(config).items()}


def check_shapes(wanted: Mapping[str, tuple], found: Mapping[str, tuple], what: str = "weight",
                 unknown: str = "not one of this model's") -> None:
    """Raises ValueError unless two dictionaries from name to shape are the same.

    In the message, `what` names the kind, and `unknown` describes a name that only `found` has.
    """
    for name in sorted(set(wanted) ^ set(found)):
        raise ValueError(f"the {what} {name[:99]!r} is {'missing' if name in wanted else unknown}")
    for name, shape in wanted.items():
        if found[name] != shape:
            raise ValueError(f"the {what} {name!r} must have shape {shape}, got {found[name]}")


def pretrained() -> list[str]:
    """The names of the weights that ship with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob(f"[!.]*/{WEIGHTS}"))


def resolve(workdir: PathLike) -> pathlib.Path:
    """The folder that a workdir, or the name of weights that ship, stands for.

    A folder that holds a run comes before weights of the same name, and these before any other
    folder. Raises WorkdirError where there is nothing of that name.
    """
    path, names = check_name(workdir), pretrained()
    with written(f"workdir {workdir}", done="read"):
        if str(workdir) in names and not exists(path / CONFIG):
            return PRETRAINED / str(workdir)
        if exists(path) and path.is_dir():
            return path
    raise WorkdirError(f"workdir {workdir} is neither a folder nor the name of weights that ship "
                       f"({', '.join(names) or 'there are none'})")


def load(workdir: PathLike) -> ImageModel:
    """The trained model, DRAW or VAE in float32, of a run or of weights that ship.

    `workdir` is a run's folder, or a name that `pretrained` lists. Where the run averages its
    weights, the averages are loaded. Raises WorkdirError where there are none that can be read.
    """
    return load_with_step(workdir)[0]


def load_with_step(workdir: PathLike) -> tuple[ImageModel, int | None]:
    """`load`, and the training step of the weights (None where it is not known)."""
    workdir = resolve(workdir)
    model_config, _ = read_config(workdir)
    if exists(workdir / WEIGHTS):
        weights, saved_step = read_weights(workdir / WEIGHTS, model_config)
        model = make_model(model_config)
        assign_weights(model, weights)
        return model, saved_step
    step, build = tf.Variable(0, dtype=tf.int64), functools.cache(make_model)

    def restore_from(path):
        name = "average" if saves.size(path, "average") else "model"
        # before a model is made, whose size may be absurd
        if saves.size(path, name) != sum(map(math.prod, weight_shapes(model_config).values())):
            raise WorkdirError(
                f"the checkpoint {path} cannot be read, because it is of another model")
        saves.restore(tf.train.Checkpoint(step=step, **{name: build(model_config)}), path)

    if not saves.restore_newest(workdir, restore_from):
        raise WorkdirError(f"workdir {workdir} holds no checkpoint yet")
    return build(model_config), int(step)
