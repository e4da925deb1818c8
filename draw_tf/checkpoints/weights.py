"""The weights of a model by name, and as a file that needs no pickle."""

import io
import os
import zipfile
import zlib

import keras
import numpy as np

from draw_tf.errors import WorkdirError
from draw_tf.files import write_whole
from draw_tf.models.draw import DRAW, FIRST

STEP = "step"  # in a file of weights, beside the variables
_LAYERS = {"encoder": "lstm_enc", "decoder": "lstm_dec", "mu": "mu_layer",
           "sigma": "logsigma_layer", "writeW": "patch_layer", "read": "read_window",
           "write": "write_window"}


def named_weights(model: DRAW) -> dict[str, keras.Variable]:
    """A model's weights as a dictionary from name to variable, such as "encoder/kernel"."""
    layers = {name: getattr(model, attribute) for name, attribute in _LAYERS.items()
              if hasattr(model, attribute)}
    named = {f"{name}/{variable.name}": variable
             for name, layer in layers.items() for variable in layer.weights}
    return {**named, **{f"first/{name}": getattr(model, f"first_{name}") for name in FIRST
                        if hasattr(model, f"first_{name}")}}


def assign_weights(model: DRAW, weights) -> None:
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
        variable.assign(weights[name].astype(variable.dtype))


def save_weights(model: DRAW, path: str | os.PathLike, dtype=np.float32,
                 step: int | None = None) -> None:
    """Writes a model's weights as an .npz; see `named_weights` for the names.

    The training `step` that they are of is kept beside them, where it is given.

    Raises:
      OSError: the file cannot be written.
    """
    arrays = {name: variable.numpy().astype(dtype)
              for name, variable in named_weights(model).items()}
    if step is not None:
        arrays[STEP] = np.int64(step)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_whole(path, buffer.getvalue())


def load_weights(model: DRAW, path: str | os.PathLike) -> int | None:
    """Sets a model's weights from what `save_weights` wrote.

    Returns:
      The training step of the weights, None where it is not known.

    Raises:
      WorkdirError: the file cannot be read, or is of another model.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not an .npz file, or it was cut short")
        with np.load(path, allow_pickle=False) as arrays:
            arrays = dict(arrays)
        step = arrays.pop(STEP, None)
        assign_weights(model, arrays)
        return None if step is None else int(step)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise WorkdirError(f"{path} cannot be read: {error}") from error
