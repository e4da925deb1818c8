"""The weights of a model by name, and as a safetensors file, which other tools read as well.

Such a file holds numbers, their names and shapes, and no code.
"""

import math
import os
import re
from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from draw_tf.config import ModelConfig
from draw_tf.errors import WorkdirError, why
from draw_tf.files import write_whole
from draw_tf.models import model_class, named_weights
from draw_tf.models.base import ImageModel

STEP = "step"  # the key of the training step in a file's metadata
LARGEST = 2**27  # weights that a file may hold
HEADER = 2**20  # bytes of names and shapes that a file may have before its numbers


def assign_weights(model: ImageModel, weights: Mapping[str, np.ndarray]) -> None:
    """Sets every weight of a model from a mapping of name to array.

    Raises ValueError for one that is missing, unknown or of another shape; then none is set.
    """
    check_shapes(weight_shapes(model.config), {name: weights[name].shape for name in weights})
    for name, variable in named_weights(model).items():
        variable.assign(weights[name].astype(variable.dtype))


def save_weights(model: ImageModel, path: str | os.PathLike, dtype: type = np.float32,
                 step: int | None = None) -> None:
    """Writes `named_weights` as safetensors, with their step if given; may raise OSError."""
    arrays = {name: variable.numpy().astype(dtype)
              for name, variable in named_weights(model).items()}
    write_whole(path, save(arrays, None if step is None else {STEP: str(step)}))


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of each of `named_weights`, of a model that need not be built."""
    model = model_class(config)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (inputs, units) in model.layer_sizes(config).items():
        lstm = name in ("encoder", "decoder")
        columns = 4 * units if lstm else units  # of four gates
        shapes |= {f"{name}/kernel": (inputs, columns), f"{name}/bias": (columns,)}
        if lstm:
            shapes[f"{name}/recurrent_kernel"] = (units, columns)
    return shapes | {f"first/{name}": shape
                     for name, shape in model.first_shapes(config).items()}


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


def read_weights(path: str | os.PathLike, config: ModelConfig
                 ) -> tuple[dict[str, np.ndarray], int | None]:
    """Reads what `save_weights` wrote: the weights by name, and their step or None.

    The file may come from a stranger: names, shapes and number types are checked before any array
    is read. Raises WorkdirError where it cannot be read, or is not of a model with these settings.
    """
    try:
        arrays, step = _read_arrays(path, weight_shapes(config))
    except (OSError, ValueError, SafetensorError) as error:
        raise WorkdirError(f"{path} cannot be read: {why(error)}") from error
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise WorkdirError(f"{path} cannot be used: {name} has numbers that are not finite")
    return arrays, step


def _read_arrays(path, shapes):
    """The arrays of a file, and its step; raises ValueError where they are not of these shapes."""
    if sum(map(math.prod, shapes.values())) > LARGEST:
        raise ValueError(f"the settings are of a model with more than {LARGEST} weights")
    with open(path, "rb") as file:  # before the library reads a header of any length
        if int.from_bytes(file.read(8), "little") > HEADER:
            raise ValueError("it is not a safetensors file, or its header is too long")
    with safe_open(path, framework="numpy") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
        check_shapes(shapes, {name: tuple(part.get_shape()) for name, part in parts.items()})
        for name, part in parts.items():
            if part.get_dtype() not in ("F16", "F32"):
                raise ValueError(f"{name!r} must be of F16 or F32, got {part.get_dtype()}")
        step = (file.metadata() or {}).get(STEP)
        if step is not None and not re.fullmatch("[0-9]{1,18}", step):
            raise ValueError(f"its step must be a whole number, got {step!r:.99}")
        return {name: file.get_tensor(name) for name in parts}, step and int(step)
