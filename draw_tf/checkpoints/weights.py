"""The weights of a model by name, and as a file that needs no pickle."""

import io
import math
import os
import zipfile

import keras
import numpy as np

from draw_tf.config import DRAWConfig, VAEConfig
from draw_tf.errors import WorkdirError
from draw_tf.files import write_whole
from draw_tf.models.base import ImageModel
from draw_tf.models.draw import FIRST

STEP = "step"  # in a file of weights, beside the variables
LARGEST = 2**27  # weights that a file may hold
HEADER = 2**14  # bytes before an array's numbers, at most
_LAYERS = {"encoder": "lstm_enc", "decoder": "lstm_dec", "mu": "mu_layer",
           "sigma": "logsigma_layer", "writeW": "patch_layer", "read": "read_window",
           "write": "write_window", "enc1": "enc1", "enc2": "enc2", "dec1": "dec1", "dec2": "dec2",
           "pixels": "pixels_layer"}


def named_weights(model: ImageModel) -> dict[str, keras.Variable]:
    """A model's weights as a dictionary from name to variable, such as "encoder/kernel"."""
    layers = {name: getattr(model, attribute) for name, attribute in _LAYERS.items()
              if hasattr(model, attribute)}
    named = {f"{name}/{variable.name}": variable
             for name, layer in layers.items() for variable in layer.weights}
    return {**named, **{f"first/{name}": getattr(model, f"first_{name}") for name in FIRST
                        if hasattr(model, f"first_{name}")}}


def assign_weights(model: ImageModel, weights) -> None:
    """Sets every weight of a model from a mapping of name to array.

    Raises:
      ValueError: a weight is missing, unknown or of another shape; the message names it.
    """
    variables = named_weights(model)
    _check_names(variables, weights)
    for name, variable in variables.items():
        _check_shape(name, variable.shape, weights[name].shape)
    for name, variable in variables.items():
        variable.assign(weights[name].astype(variable.dtype))


def save_weights(model: ImageModel, path: str | os.PathLike, dtype=np.float32,
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


def weight_shapes(config: DRAWConfig | VAEConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of each weight of a model that is not built; see `named_weights`."""
    height, width, channels = config.image_shape
    pixels, hidden, latent = height * width * channels, config.hidden_size, config.latent_size
    if isinstance(config, VAEConfig):
        sizes = {"enc1": (pixels, hidden), "enc2": (hidden, hidden), "mu": (hidden, latent),
                 "sigma": (hidden, latent), "dec1": (latent, hidden), "dec2": (hidden, hidden),
                 "pixels": (hidden, pixels)}
        return {f"{name}/{part}": shape for name, kernel in sizes.items()
                for part, shape in (("kernel", kernel), ("bias", kernel[1:]))}
    read = channels * config.read_size**2 if config.read_attention else pixels
    patch = channels * config.write_size**2 if config.write_attention else pixels
    shapes = {}
    for name, inputs in (("encoder", 2 * read + hidden), ("decoder", latent)):
        shapes |= {f"{name}/kernel": (inputs, 4 * hidden), f"{name}/bias": (4 * hidden,),
                   f"{name}/recurrent_kernel": (hidden, 4 * hidden)}
    heads = {"mu": latent, "sigma": latent, "writeW": patch}
    heads |= {"read": 5} if config.read_attention else {}
    heads |= {"write": 5} if config.write_attention else {}
    for name, units in heads.items():
        shapes |= {f"{name}/kernel": (hidden, units), f"{name}/bias": (units,)}
    if config.equations == "paper":
        shapes |= {f"first/{name}": config.image_shape if name == "canvas" else (hidden,)
                   for name in FIRST}
    return shapes


def read_weights(path: str | os.PathLike,
                 config: DRAWConfig | VAEConfig) -> tuple[dict, int | None]:
    """Reads what `save_weights` wrote of a model with these settings.

    The file may come from a stranger: names, shapes and number types are checked before any array
    is read, and nothing is unpickled.

    Returns:
      The weights by name, and their training step, None where it is not known.

    Raises:
      WorkdirError: the file cannot be read, or is of another model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_headers(archive, weight_shapes(config))
        with np.load(path, allow_pickle=False) as arrays:
            arrays = dict(arrays)
    except Exception as error:  # there is no end to what a damaged file can raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WorkdirError(f"{path} cannot be read: {reason}") from error
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise WorkdirError(f"{path} cannot be used: {name} has numbers that are not finite")
    step = arrays.pop(STEP, None)
    return arrays, None if step is None else int(step)


def _check_headers(archive, shapes):
    """Raises ValueError unless an .npz holds arrays of these shapes, and perhaps a step."""
    if sum(map(math.prod, shapes.values())) > LARGEST:
        raise ValueError(f"the settings are of a model with more than {LARGEST} weights")
    found = archive.infolist()
    members = {info.filename.removesuffix(".npy"): info for info in found}
    _check_names(shapes, set(members) - {STEP})
    if sorted(info.filename for info in found) != sorted(f"{name}.npy" for name in members):
        raise ValueError("its parts must be named NAME.npy, each name once")
    for name, info in members.items():
        if info.file_size > 8 * math.prod(shapes.get(name, ())) + HEADER:
            raise ValueError(f"{name!r} is not as long as its shape says")
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read_header = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                           else np.lib.format.read_array_header_2_0)
            shape, _, dtype = read_header(file)
            start = file.tell()
        if name != STEP:
            _check_shape(name, shapes[name], shape)
        wanted, kind = ((), "i") if name == STEP else (shapes[name], "f")
        if dtype.kind != kind or shape != wanted or dtype.itemsize > 8:
            raise ValueError(f"{name!r} must not be {dtype} of shape {shape}")
        if info.file_size != start + math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name!r} is not as long as its shape says")


def _check_names(wanted, found):
    for name in sorted(set(wanted) ^ set(found)):
        problem = "missing" if name in wanted else "not one of this model's"
        raise ValueError(f"the weight {name[:99]!r} is {problem}")


def _check_shape(name, wanted, found):
    if tuple(wanted) != tuple(found):
        raise ValueError(f"the weight {name!r} must have shape {tuple(wanted)}, got {tuple(found)}")
