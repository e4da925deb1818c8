"""A run's folder: its settings beside its weights, saved, resumed, and loaded again.

A workdir holds `config.json` and either `checkpoints/` (a run of `train.py`, with the optimizer
and the step) or `weights.npz` (weights alone, as those that ship with the package).
"""

import contextlib
import json
import os
import pathlib
import zipfile
import zlib

import numpy as np
import tensorflow as tf

from draw_tf.config import config_from_dict, config_to_dict, write_json
from draw_tf.errors import WorkdirError, why
from draw_tf.model import DRAW

CONFIG = "config.json"
FOLDER = "checkpoints"
WEIGHTS = "weights.npz"
STEP = "step"  # in WEIGHTS, beside the variables
PRETRAINED = pathlib.Path(__file__).parent / "pretrained"
# of what ships, the best first; others come after, by name
PREFERENCE = ("binarized_mnist", "binarized_mnist_cpu", "mnist")


def read_config(workdir):
    """The settings of a run.

    Returns:
      DRAWConfig and TrainConfig.

    Raises:
      WorkdirError: the workdir or its config.json is not there or can not be read.
    """
    path = pathlib.Path(workdir) / CONFIG
    if not path.is_file():
        raise WorkdirError(f"--workdir={workdir} holds no {CONFIG}, so it is no run of train.py")
    try:
        return config_from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, ValueError, TypeError) as error:
        raise WorkdirError(f"{path} can not be used: {error}") from error


def prepare_workdir(workdir, model_config, train_config):
    """Makes the workdir, or checks that the run in it is of the same architecture.

    The training settings of a resumed run may differ; the new ones are written down.

    Returns:
      The names of the training settings that differ from those of the run so far.

    Raises:
      WorkdirError: it can not be written, or holds a run of another architecture.
    """
    workdir = pathlib.Path(workdir)
    changed = []
    if (workdir / CONFIG).exists():
        model_before, train_before = read_config(workdir)
        before, now = (config_to_dict(*configs) for configs in (
            (model_before, train_before), (model_config, train_config)))
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
        raise WorkdirError(f"--workdir={workdir} can not be written: {why(error)}") from error
    return changed


def latest(workdir):
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
        raise WorkdirError(f"the checkpoint {path} can not be read, being cut short or of another "
                           f"model: remove its files to go on from an earlier one ({reason})"
                           ) from error


def holds(path, part):
    """Whether a checkpoint holds a part of this name, such as "average".

    Raises:
      WorkdirError: it is damaged.
    """
    with _reading(path):
        return any(name.startswith(f"{part}/") for name, _ in tf.train.list_variables(path))


def restore(checkpoint, path):
    """Reads the checkpoint at `path` into the objects of a tf.train.Checkpoint.

    Raises:
      WorkdirError: it is damaged, or lacks one of the objects.
    """
    with _reading(path):
        checkpoint.restore(path).expect_partial().assert_existing_objects_matched()


def named_weights(model):
    """A model's weights as a dictionary from name to variable, such as "encoder/kernel"."""
    layers = {"encoder": model.lstm_enc, "decoder": model.lstm_dec, "mu": model.mu_layer,
              "sigma": model.logsigma_layer, "writeW": model.patch_layer, **model.window_layers}
    named = {f"{name}/{variable.name}": variable
             for name, layer in layers.items() for variable in layer.weights}
    return {**named, **{f"first/{name}": variable for name, variable in model.first.items()}}


def assign_weights(model, weights):
    """Sets every weight of a model from a mapping of name to array.

    Raises:
      ValueError: a weight is missing, unknown or of another shape; the message names it.
    """
    variables = named_weights(model)
    for name in sorted(set(variables) ^ set(weights)):
        problem = "missing" if name in variables else "not one of this model's"
        raise ValueError(f"the weight {name!r} is {problem}")
    for name, variable in variables.items():
        if tuple(variable.shape) != weights[name].shape:
            raise ValueError(f"the weight {name!r} must have shape {tuple(variable.shape)}, "
                             f"got {weights[name].shape}")
    for name, variable in variables.items():
        variable.assign(weights[name].astype(np.float32))


def save_weights(model, path, dtype=np.float32, step=None):
    """Writes a model's weights as an .npz, without pickle; see `named_weights` for the names.

    A training `step` that they are of is kept beside them.
    """
    arrays = {name: variable.numpy().astype(dtype)
              for name, variable in named_weights(model).items()}
    if step is not None:
        arrays[STEP] = np.int64(step)
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(partial, path)


def pretrained():
    """The names of the weights that ship with the package, the best first."""
    found = sorted(path.parent.name for path in PRETRAINED.glob(f"*/{WEIGHTS}"))
    return sorted(found, key=lambda name: (PREFERENCE.index(name) if name in PREFERENCE
                                           else len(PREFERENCE)))


def best_pretrained():
    """The name of the best weights that ship with the package.

    Raises:
      WorkdirError: there are none.
    """
    names = pretrained()
    if not names:
        raise WorkdirError("no weights ship with this installation: give --workdir, the folder of "
                           "a run of train.py")
    return names[0]


def resolve(workdir):
    """The folder that a workdir, or the name of weights that ship, stands for.

    A folder that holds a run comes before weights of the same name.

    Raises:
      WorkdirError: there is no such folder or name.
    """
    path = pathlib.Path(workdir)
    if (path / CONFIG).exists():
        return path
    if str(workdir) in pretrained():
        return PRETRAINED / str(workdir)
    if path.is_dir():
        return path
    names = ", ".join(pretrained()) or "there are none"
    raise WorkdirError(f"--workdir={workdir} is no folder, and no name of weights that ship "
                       f"({names})")


def load(workdir):
    """The trained model of a run, or of weights that ship.

    Where the run averages its weights (`average_decay`), the averaged ones are loaded.

    Args:
      workdir: the run's folder, or a name that `pretrained` lists.

    Returns:
      DRAW, in float32.

    Raises:
      WorkdirError: there is none, or it can not be read; the message is one sentence.
    """
    return load_with_step(workdir)[0]


def load_with_step(workdir):
    """`load`, and the training step the weights are of (None where not known)."""
    workdir = resolve(workdir)
    model_config, _ = read_config(workdir)
    model = DRAW(model_config)
    if (workdir / WEIGHTS).exists():
        return model, _load_weights(model, workdir / WEIGHTS)
    path = latest(workdir)
    if path is None:
        raise WorkdirError(f"--workdir={workdir} holds no checkpoint yet")
    step = tf.Variable(0, dtype=tf.int64)
    # by what the checkpoint holds: a resumed run may have switched its average on or off since
    name = "average" if holds(path, "average") else "model"
    restore(tf.train.Checkpoint(step=step, **{name: model}), path)
    return model, int(step)


def _load_weights(model, path):
    """`assign_weights` from what `save_weights` wrote, and its step, or WorkdirError."""
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no .npz file, or one cut short")
        with np.load(path, allow_pickle=False) as arrays:
            arrays = dict(arrays)
        step = arrays.pop(STEP, None)
        assign_weights(model, arrays)
        return None if step is None else int(step)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise WorkdirError(f"{path} can not be read: {error}") from error
