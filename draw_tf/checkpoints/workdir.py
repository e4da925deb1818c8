"""A run's folder: its settings beside its weights and metrics, saved, resumed, and loaded again.

A workdir holds `config.json` and either `checkpoints/` (a run of `train.py`, with the optimizer
and the step) or `weights.safetensors` (weights alone, as those that ship with the package).
"""

import contextlib
import functools
import json
import math
import os
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from draw_tf.checkpoints import saves
from draw_tf.checkpoints.weights import assign_weights, read_weights, weight_shapes
from draw_tf.config import (
    ModelConfig,
    TrainConfig,
    config_from_dict,
    config_to_dict,
    fixed_fields,
)
from draw_tf.data.record import DATA
from draw_tf.errors import WorkdirError, why, written
from draw_tf.files import PathLike, check_access, exists, tensorflow_path, write_json
from draw_tf.models import make_model
from draw_tf.models.base import ImageModel

CONFIG = "config.json"
WEIGHTS = "weights.safetensors"
METRICS = "metrics.jsonl"
LOCK = ".lock"
DEFAULT_WEIGHTS = "binarized_mnist"  # generate.py draws with these where --workdir is not given
PRETRAINED = pathlib.Path(__file__).parent.parent / "pretrained"


def check_name(workdir: PathLike) -> pathlib.Path:
    """The path of a workdir; raises WorkdirError for names that TensorFlow would misunderstand."""
    if not str(workdir):
        raise WorkdirError("workdir must be a folder, got ''")
    return tensorflow_path(workdir, "workdir", WorkdirError)


def read_config(workdir: PathLike) -> tuple[ModelConfig, TrainConfig]:
    """The settings of a run; raises WorkdirError where there is none that can be read."""
    path = check_name(workdir) / CONFIG
    try:
        if not exists(path):
            raise WorkdirError(f"workdir {workdir} holds no {CONFIG}, so it is not a run of "
                               "train.py")
        return config_from_dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise WorkdirError(f"{path} cannot be read: {why(error)}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise WorkdirError(f"{path} cannot be used: {error}") from error


def changed_settings(workdir: PathLike, model_config: ModelConfig,
                     train_config: TrainConfig) -> list[str]:
    """The settings of the run in a workdir that new ones change, as "NAME OLD -> NEW" each.

    Where there is no run, none change. Raises WorkdirError where the run cannot go on with the new
    settings, or cannot be read.
    """
    workdir = check_name(workdir)
    if exists(workdir / WEIGHTS):
        raise WorkdirError(f"workdir {workdir} holds {WEIGHTS}, so it is not a folder to train "
                           "in: give another")
    if not exists(workdir / CONFIG):
        return []
    before = config_to_dict(*read_config(workdir))
    now = config_to_dict(model_config, train_config)
    fixed = [("model", name) for name in before["model"] | now["model"]]
    for part, name in fixed + [("train", name) for name in fixed_fields()]:
        old, new = before[part].get(name, "none"), now[part].get(name, "none")
        if old != new:
            raise WorkdirError(f"workdir {workdir} holds a run with {name}={old}, not {new}: "
                               f"give this run another --workdir or the same {name}")
    return [f"{name} {before['train'][name]} -> {value}" for name, value in now["train"].items()
            if before["train"][name] != value]


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

    Raises WorkdirError where another process trains there, or the workdir cannot be written or has
    a part that may not be read.
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
        there = exists(path)
    if not (there and path.is_dir()):
        raise WorkdirError(f"workdir {workdir} is neither a folder nor the name of weights that "
                           f"ship ({', '.join(names) or 'there are none'})")
    return path


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
        weights, step = read_weights(workdir / WEIGHTS, model_config)
        model = make_model(model_config)
        assign_weights(model, weights)
        return model, step
    step, build = tf.Variable(0, dtype=tf.int64), functools.cache(make_model)

    def restore_from(path):
        sizes = saves.sizes(path)
        name = "average" if sizes["average"] else "model"
        wanted = sum(map(math.prod, weight_shapes(model_config).values()))
        if sizes[name] != wanted:  # before a model is made, whose size may be absurd
            raise WorkdirError(f"the checkpoint {path} cannot be read, because it is of another "
                               "model")
        saves.restore(tf.train.Checkpoint(step=step, **{name: build(model_config)}), path)

    if not saves.restore_newest(workdir, restore_from):
        raise WorkdirError(f"workdir {workdir} holds no checkpoint yet")
    return build(model_config), int(step)


def read_metrics(workdir: PathLike) -> list[dict]:
    """The lines of a run's metrics.jsonl, as dictionaries; what is not such a line is left out.

    Each has a `step`, and values that are numbers, text, or lists of these.
    """
    path = check_name(workdir) / METRICS
    with written(str(path), done="read"):
        text = path.read_text(encoding="utf-8", errors="replace") if exists(path) else ""
    lines = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):  # cut short when the machine died
            lines.append(json.loads(line))
    return list(filter(_is_line, lines))


def _is_line(content):
    if not isinstance(content, dict) or not isinstance(content.get("step"), int):
        return False
    values = [x for value in content.values()
              for x in (value if isinstance(value, list) else [value])]
    return 0 <= content["step"] < 2**63 and not any(isinstance(x, (list, dict)) for x in values)
