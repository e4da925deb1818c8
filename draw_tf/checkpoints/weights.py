"""The weights of a model by name, and as a file that needs no pickle."""

import io
import math
import os
import zipfile

import keras
import numpy as np

from draw_tf.config import ModelConfig
from draw_tf.errors import WorkdirError, why
from draw_tf.files import write_whole
from draw_tf.models import model_class
from draw_tf.models.base import ImageModel
from draw_tf.models.draw import FIRST

STEP = "step"  # in a file of weights, beside the variables
LARGEST = 2**27  # weights that a file may hold
HEADER = 2**14  # bytes before an array's numbers, at most


def named_weights(model: ImageModel) -> dict[str, keras.Variable]:
    """A model's weights as a dictionary from name to variable, such as "encoder/kernel"."""
    named = {f"{layer.name}/{variable.name}": variable
             for layer in model.layers for variable in layer.weights}
    return named | {f"first/{variable.name}": variable for variable in model.weights
                    if variable.name in FIRST}


def assign_weights(model: ImageModel, weights) -> None:
    """Sets every weight of a model from a mapping of name to array.

    Raises ValueError for one that is missing, unknown or of another shape; then none is set.
    """
    check_shapes(weight_shapes(model.config), {name: weights[name].shape for name in weights})
    for name, variable in named_weights(model).items():
        variable.assign(weights[name].astype(variable.dtype))


def save_weights(model: ImageModel, path: str | os.PathLike, dtype=np.float32,
                 step: int | None = None) -> None:
    """Writes `named_weights` as an .npz, with their step if given; may raise OSError."""
    arrays = {} if step is None else {STEP: np.int64(step)}
    for name, variable in named_weights(model).items():
        arrays[name] = variable.numpy().astype(dtype)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_whole(path, buffer.getvalue())


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of each of `named_weights`, of a model that need not be built."""
    model, shapes = model_class(config), {}
    for name, (inputs, units) in model.layer_sizes(config).items():
        lstm = name in ("encoder", "decoder")
        columns = 4 * units if lstm else units  # of four gates
        shapes |= {f"{name}/kernel": (inputs, columns), f"{name}/bias": (columns,)}
        if lstm:
            shapes[f"{name}/recurrent_kernel"] = (units, columns)
    return shapes | {f"first/{name}": shape
                     for name, shape in model.first_shapes(config).items()}


def check_shapes(wanted, found, what="weight", unknown="not one of this model's") -> None:
    """Raises ValueError unless two dictionaries from name to shape are the same.

    In the message, `what` names the kind, and `unknown` describes a name that only `found` has.
    """
    for name in sorted(set(wanted) ^ set(found)):
        raise ValueError(f"the {what} {name[:99]!r} is {'missing' if name in wanted else unknown}")
    for name, shape in wanted.items():
        if found[name] != shape:
            raise ValueError(f"the {what} {name!r} must have shape {shape}, got {found[name]}")


def read_weights(path: str | os.PathLike,
                 config: ModelConfig) -> tuple[dict, int | None]:
    """Reads what `save_weights` wrote: the weights by name, and their step or None.

    The file may come from a stranger: names, shapes and number types are checked before arrays
    are read, and nothing is unpickled. Raises WorkdirError where it cannot be read, or is not of
    a model with these settings.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = _read_arrays(archive, weight_shapes(config))
    except Exception as error:  # there is no end to what a damaged file can raise
        raise WorkdirError(f"{path} cannot be read: {why(error)}") from error
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise WorkdirError(f"{path} cannot be used: {name} has numbers that are not finite")
    step = arrays.pop(STEP, None)
    return arrays, None if step is None else int(step)


def _read_arrays(archive, shapes):
    """The arrays of an .npz; raises ValueError unless they are of these shapes, or a step."""
    if sum(map(math.prod, shapes.values())) > LARGEST:
        raise ValueError(f"the settings are of a model with more than {LARGEST} weights")
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    check_shapes(dict.fromkeys(shapes), dict.fromkeys(set(members) - {STEP}))  # only the names
    if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in members):
        raise ValueError("its parts must be named NAME.npy, each name once")
    arrays = {}
    for name, info in members.items():
        wanted, kind = ((), "int") if name == STEP else (shapes[name], "float")
        if info.file_size > 8 * math.prod(wanted) + HEADER:
            raise ValueError(f"{name!r} is not as long as its shape says")
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read_header = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                           else np.lib.format.read_array_header_2_0)
            shape, by_columns, dtype = read_header(file)
            if shape != wanted or dtype.kind != kind[0] or dtype.itemsize > 8:
                raise ValueError(f"{name!r} must be {kind} of {wanted}, got {dtype} of {shape}")
            # with a size, for a file that lies about its own would be unpacked whole
            numbers = np.frombuffer(file.read(info.file_size), dtype)
        if numbers.size != math.prod(wanted):
            raise ValueError(f"{name!r} is not as long as its shape says")
        arrays[name] = numbers.reshape(shape, order="F" if by_columns else "C")
    return arrays
