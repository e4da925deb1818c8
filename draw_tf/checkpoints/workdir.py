"""A run's folder: its settings beside its weights and metrics, saved, resumed, and loaded again.

A workdir holds `config.json` and either `checkpoints/` (a run of `train.py`, with the optimizer
and the step) or `weights.npz` (weights alone, as those that ship with the package).
"""

import contextlib
import json
import pathlib

import tensorflow as tf

from draw_tf.checkpoints.weights import load_weights
from draw_tf.config import DRAWConfig, TrainConfig, config_from_dict, config_to_dict
from draw_tf.errors import WorkdirError, why
from draw_tf.files import write_json
from draw_tf.models.draw import DRAW

CONFIG = "config.json"
FOLDER = "checkpoints"
WEIGHTS = "weights.npz"
METRICS = "metrics.jsonl"
PRETRAINED = pathlib.Path(__file__).parent.parent / "pretrained"


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
    except (OSError, UnicodeDecodeError, ValueError, TypeError) as error:
        raise WorkdirError(f"{path} cannot be used: {error}") from error


def prepare_workdir(workdir, model_config: DRAWConfig, train_config: TrainConfig) -> list[str]:
    """Makes the workdir, or checks that the run in it is of the same architecture.

    The training settings of a resumed run may differ; the new ones are written down.

    Returns:
      The names of the training settings that differ from those of the run so far.

    Raises:
      WorkdirError: it cannot be written, or holds a run of another architecture.
    """
    workdir = pathlib.Path(workdir)
    changed = []
    if (workdir / CONFIG).exists():
        before = config_to_dict(*read_config(workdir))
        now = config_to_dict(model_config, train_config)
        for name, value in now["model"].items():
            if before["model"][name] != value:
                raise WorkdirError(f"--workdir={workdir} holds a run with {name}="
                                   f"{before['model'][name]}, not {value}: give this run another "
                                   f"--workdir or the same {name}")
        changed = [name for name, value in now["train"].items() if before["train"][name] != value]
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / CONFIG, config_to_dict(model_config, train_config))
    except OSError as error:
        raise WorkdirError(f"--workdir={workdir} cannot be written: {why(error)}") from error
    return changed


# ---------------------------------------------------------------- checkpoints


def latest(workdir) -> str | None:
    """The path prefix of a run's newest checkpoint, or None."""
    # by its files: TensorFlow's own note of the newest still names one that was removed
    paths = [path.with_suffix("") for path in (pathlib.Path(workdir) / FOLDER).glob("ckpt-*.index")]
    return str(max(paths, key=lambda path: int(path.name.split("-")[1]))) if paths else None


@contextlib.contextmanager
def _reading(path):
    """Turns what TensorFlow raises over a bad checkpoint into a WorkdirError of one sentence."""
    try:
        yield
    except (tf.errors.OpError, ValueError, AssertionError, IndexError, SystemError) as error:
        reason = ("it lacks a part" if isinstance(error, AssertionError)
                  else str(error).strip().splitlines()[0])
        raise WorkdirError(f"the checkpoint {path} cannot be read, being cut short or of another "
                           f"model: remove its files to go on from an earlier one ({reason})"
                           ) from error


def holds(path: str, part: str) -> bool:
    """Whether a checkpoint holds a part of this name, such as "average".

    Raises:
      WorkdirError: it is damaged.
    """
    with _reading(path):
        return any(name.startswith(f"{part}/") for name, _ in tf.train.list_variables(path))


def restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
    """Reads the checkpoint at `path` into the objects of a tf.train.Checkpoint.

    Raises:
      WorkdirError: it is damaged, or lacks one of the objects.
    """
    with _reading(path):
        checkpoint.restore(path).expect_partial().assert_existing_objects_matched()


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


def load(workdir) -> DRAW:
    """The trained model of a run, or of weights that ship.

    Where the run averages its weights (`average_decay`), the averaged ones are loaded.

    Args:
      workdir: the run's folder, or a name that `pretrained` lists.

    Returns:
      DRAW, in float32.

    Raises:
      WorkdirError: there is none, or it cannot be read; the message is one sentence.
    """
    return load_with_step(workdir)[0]


def load_with_step(workdir) -> tuple[DRAW, int | None]:
    """`load`, and the training step of the weights (None where it is not known)."""
    workdir = resolve(workdir)
    model_config, _ = read_config(workdir)
    model = DRAW(model_config)
    if (workdir / WEIGHTS).exists():
        return model, load_weights(model, workdir / WEIGHTS)
    path = latest(workdir)
    if path is None:
        raise WorkdirError(f"--workdir={workdir} holds no checkpoint yet")
    step = tf.Variable(0, dtype=tf.int64)
    # by what the checkpoint holds: a resumed run may have switched its average on or off since
    name = "average" if holds(path, "average") else "model"
    restore(tf.train.Checkpoint(step=step, **{name: model}), path)
    return model, int(step)


# ---------------------------------------------------------------- metrics


def read_metrics(workdir) -> list[dict]:
    """The lines of a run's metrics.jsonl, as dictionaries; a line cut short is left out."""
    path = pathlib.Path(workdir) / METRICS
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            lines.append(json.loads(line))
        except ValueError:  # the machine died while it was written
            continue
    return lines
