"""A run's folder: its settings beside its weights and metrics, saved, resumed, and loaded again.

A workdir holds `config.json` and either `checkpoints/` (a run of `train.py`, with the optimizer
and the step) or `weights.npz` (weights alone, as those that ship with the package).
"""

import contextlib
import json
import math
import pathlib

import tensorflow as tf

from draw_tf.checkpoints import saves
from draw_tf.checkpoints.weights import assign_weights, read_weights, weight_shapes
from draw_tf.config import DRAWConfig, TrainConfig, config_from_dict, config_to_dict, fixed_fields
from draw_tf.errors import WorkdirError, written
from draw_tf.files import write_json
from draw_tf.models import make_model
from draw_tf.models.base import ImageModel

CONFIG = "config.json"
WEIGHTS = "weights.npz"
METRICS = "metrics.jsonl"
LOCK = ".lock"
PRETRAINED = pathlib.Path(__file__).parent.parent / "pretrained"


def check_name(workdir) -> None:
    """Raises WorkdirError for names that TensorFlow would take for something else."""
    if not str(workdir):
        raise WorkdirError("--workdir must be a folder, got ''")
    special = sorted(set("*?[]\\\0") & set(str(workdir)))
    if special:  # TensorFlow reads a checkpoint's path as a pattern
        raise WorkdirError(f"--workdir={workdir} must not contain {' '.join(special)}")


def read_config(workdir) -> tuple[DRAWConfig, TrainConfig]:
    """The settings of a run.

    Raises:
      WorkdirError: the workdir or its config.json is not there or cannot be read.
    """
    path = pathlib.Path(workdir) / CONFIG
    if not path.is_file():
        raise WorkdirError(f"--workdir={workdir} holds no {CONFIG}, so it is not a run of train.py")
    try:
        return config_from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise WorkdirError(f"{path} cannot be used: {error}") from error


def changed_settings(workdir, model_config: DRAWConfig, train_config: TrainConfig) -> list[str]:
    """Which settings of the run in a workdir would change, if it went on with new ones.

    Returns:
      For each setting its name, old and new value; an empty list where there is no run.

    Raises:
      WorkdirError: the run cannot go on with these settings, or cannot be read.
    """
    check_name(workdir)
    workdir = pathlib.Path(workdir)
    if (workdir / WEIGHTS).exists():
        raise WorkdirError(f"--workdir={workdir} holds {WEIGHTS}, so it is not a folder to train "
                           "in: give another")
    if not (workdir / CONFIG).exists():
        return []
    before = config_to_dict(*read_config(workdir))
    now = config_to_dict(model_config, train_config)
    names = [("model", name) for name in (*before["model"], *now["model"])]
    for part, name in names + [("train", name) for name in fixed_fields()]:
        old, new = before[part].get(name, "none"), now[part].get(name, "none")
        if old != new:
            raise WorkdirError(f"--workdir={workdir} holds a run with {name}={old}, not {new}: "
                               f"give this run another --workdir or the same {name}")
    return [f"{name} {before['train'][name]} -> {value}" for name, value in now["train"].items()
            if before["train"][name] != value]


def write_settings(workdir, model_config: DRAWConfig, train_config: TrainConfig) -> None:
    """Writes the settings of a run into its workdir, which is made where it is not there.

    Raises:
      WorkdirError: it cannot be written.
    """
    with written(f"--workdir={workdir}"):
        pathlib.Path(workdir).mkdir(parents=True, exist_ok=True)
        write_json(pathlib.Path(workdir) / CONFIG, config_to_dict(model_config, train_config))


@contextlib.contextmanager
def locked(workdir):
    """Keeps other processes from training in a workdir until the block or the process ends.

    Raises:
      WorkdirError: another process trains there, or the workdir cannot be written.
    """
    check_name(workdir)
    workdir = pathlib.Path(workdir)
    with written(f"--workdir={workdir}"):
        workdir.mkdir(parents=True, exist_ok=True)
        file = open(workdir / LOCK, "a", encoding="utf-8")
    with file:
        try:
            import fcntl  # not on every system; there, nothing is locked
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkdirError(f"--workdir={workdir} is in use by another training: give this run "
                               "another --workdir, or wait until that one has ended") from error
        except (ImportError, OSError):  # a file system without locks
            pass
        yield


# ---------------------------------------------------------------- trained models


def pretrained() -> list[str]:
    """The names of the weights that ship with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob(f"*/{WEIGHTS}"))


def best_pretrained() -> str:
    """The name of the weights that draw where none are named: the first of `pretrained`.

    Raises:
      WorkdirError: there are none.
    """
    names = pretrained()
    if not names:
        raise WorkdirError("no weights ship with this installation: give --workdir, the folder of "
                           "a run of train.py")
    return names[0]


def resolve(workdir) -> pathlib.Path:
    """The folder that a workdir, or the name of weights that ship, stands for.

    A folder that holds a run comes before weights of the same name.

    Raises:
      WorkdirError: there is no folder or name like it.
    """
    check_name(workdir)
    path = pathlib.Path(workdir)
    if (path / CONFIG).exists():
        return path
    if str(workdir) in pretrained():
        return PRETRAINED / str(workdir)
    if path.is_dir():
        return path
    names = ", ".join(pretrained()) or "there are none"
    raise WorkdirError(f"--workdir={workdir} is neither a folder nor the name of weights that ship "
                       f"({names})")


def load(workdir) -> ImageModel:
    """The trained model of a run, or of weights that ship.

    Where the run averages its weights (`average_decay`), the averaged ones are loaded.

    Args:
      workdir: the run's folder, or a name that `pretrained` lists.

    Returns:
      DRAW or VAE, in float32.

    Raises:
      WorkdirError: there is none, or it cannot be read; the message is one sentence.
    """
    return load_with_step(workdir)[0]


def load_with_step(workdir) -> tuple[ImageModel, int | None]:
    """`load`, and the training step of the weights (None where it is not known)."""
    workdir = resolve(workdir)
    model_config, _ = read_config(workdir)
    if (workdir / WEIGHTS).exists():
        weights, step = read_weights(workdir / WEIGHTS, model_config)
        model = make_model(model_config)
        assign_weights(model, weights)
        return model, step
    model, step = None, tf.Variable(0, dtype=tf.int64)
    numbers = sum(map(math.prod, weight_shapes(model_config).values()))

    def restore_from(path):
        nonlocal model
        name = "average" if saves.size(path, "average") else "model"
        if saves.size(path, name) != numbers:  # before a model is made, whose size may be absurd
            raise WorkdirError(f"the checkpoint {path} cannot be read, because it is of another "
                               "model")
        model = model or make_model(model_config)
        saves.restore(tf.train.Checkpoint(step=step, **{name: model}), path)

    if not saves.restore_newest(workdir, restore_from):
        raise WorkdirError(f"--workdir={workdir} holds no checkpoint yet")
    return model, int(step)


# ---------------------------------------------------------------- metrics


def read_metrics(workdir) -> list[dict]:
    """The lines of a run's metrics.jsonl, as dictionaries; what is not such a line is left out.

    Each has a `step`, and values that are numbers, text, or lists of these.
    """
    path = pathlib.Path(workdir) / METRICS
    lines = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):  # cut short when the machine died
            content = json.loads(line)
            if _is_line(content):
                lines.append(content)
    return lines


def _is_line(content):
    if not isinstance(content, dict):
        return False
    step, values = content.get("step"), []
    for value in content.values():
        values += value if isinstance(value, list) else [value]
    return (isinstance(step, int) and 0 <= step < 2**63
            and not any(isinstance(value, (list, dict)) for value in values))
