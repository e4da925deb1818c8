"""The weights of the article's TensorFlow 1 listing, brought into our model.

The listing names its variables by scope: `encoder/lstm_cell/kernel`, `mu/Linear/Matrix`, and so on.
Its LSTM differs from Keras's in three ways: one kernel over the joined [input, h] where Keras has
two, gates in the order i, j, f, o where Keras has i, f, c, o (its j is Keras's c), and a forget
bias of 1 that is added as it runs and so is not in its weights.

Letters in shapes: D hidden size, Z latent size, n side of an attention grid, C channels.
"""

import math
import pathlib

import numpy as np
import tensorflow as tf

from draw_tf.checkpoints.saves import FOLDER
from draw_tf.checkpoints.weights import assign_weights, named_weights, save_weights
from draw_tf.checkpoints.workdir import CONFIG, WEIGHTS, check_name, write_settings
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.errors import ConfigError, WorkdirError, written
from draw_tf.models.draw import DRAW

FORGET_BIAS = 1.0  # what TensorFlow 1's LSTMCell adds at run time
OPTIMIZER = ("Adam", "Adam_1", "beta1_power", "beta2_power", "global_step")


def listing_shapes(model: DRAW) -> dict[str, tuple]:
    """The listing's variables that a model has a place for: a dictionary from name to shape."""
    shapes = {name: tuple(variable.shape)
              for name, variable in named_weights(model).items()}
    wanted = {}
    for name in ("encoder", "decoder"):
        inputs, gates = shapes[f"{name}/kernel"]
        hidden = shapes[f"{name}/recurrent_kernel"][0]
        wanted[f"{name}/lstm_cell/kernel"] = (inputs + hidden, gates)
        wanted[f"{name}/lstm_cell/bias"] = (gates,)
    for name, scope in _dense_scopes(model.config).items():
        wanted[f"{scope}/Linear/Matrix"] = shapes[f"{name}/kernel"]
        wanted[f"{scope}/Linear/bias"] = shapes[f"{name}/bias"]
    return wanted


def load_listing_weights(model: DRAW, weights) -> None:
    """Sets every weight of a model from the listing's variables.

    Args:
      model: a DRAW with `equations="article"`.
      weights: a mapping from the listing's names to arrays; `listing_shapes(model)` lists them.
        Of an LSTM: kernel [inputs + D, 4D] over [input, h], gates i, j, f, o; bias [4D], without
        the forget bias. Of a dense layer: Matrix [inputs, outputs] and bias [outputs].

    Raises:
      ValueError: the model has other equations, or a variable is missing, not one of the model's,
        or of another shape; the message names it.
    """
    if model.config.equations != "article":
        raise ValueError("the listing's weights need a model with equations='article', got "
                         f"{model.config.equations!r}")
    wanted = listing_shapes(model)
    for name in sorted(set(wanted) ^ set(weights)):
        problem = "missing" if name in wanted else "not one that this model has a place for"
        raise ValueError(f"the listing's variable {name!r} is {problem}")
    weights = {name: np.asarray(value) for name, value in weights.items()}
    for name, shape in wanted.items():
        if weights[name].shape != shape:
            raise ValueError(f"the listing's variable {name!r} must have shape {shape}, got "
                             f"{weights[name].shape}")

    ours = {}
    for name in ("encoder", "decoder"):
        joined = _keras_gates(weights[f"{name}/lstm_cell/kernel"])  # [inputs + D, 4D]
        bias = _keras_gates(weights[f"{name}/lstm_cell/bias"])  # [4D]
        hidden = len(bias) // 4
        bias[hidden:2 * hidden] += FORGET_BIAS  # gate f is the second of i, f, c, o
        ours[f"{name}/kernel"] = joined[:-hidden]  # [inputs, 4D]
        ours[f"{name}/recurrent_kernel"] = joined[-hidden:]  # [D, 4D]
        ours[f"{name}/bias"] = bias  # [4D]
    for name, scope in _dense_scopes(model.config).items():
        ours[f"{name}/kernel"] = weights[f"{scope}/Linear/Matrix"]
        ours[f"{name}/bias"] = weights[f"{scope}/Linear/bias"]
    assign_weights(model, ours)


def _dense_scopes(config):
    """Our names of the dense layers, and the listing's scopes of the same."""
    scopes = {"mu": "mu", "sigma": "sigma"}
    # without attention the listing writes with the layer that otherwise places the window
    scopes["writeW"] = "writeW" if config.write_attention else "write"
    if config.read_attention:
        scopes["read"] = "read"
    if config.write_attention:
        scopes["write"] = "write"
    return scopes


def _keras_gates(x):
    """A copy of [..., 4D] with gates i, j, f, o as i, f, j, o, Keras's order (its c is our j)."""
    i, j, f, o = np.split(x, 4, axis=-1)  # [..., D] each
    return np.concatenate([i, f, j, o], axis=-1)  # [..., 4D]


def read_checkpoint(path) -> dict[str, np.ndarray]:
    """The model's variables in a TensorFlow 1 checkpoint; those of its optimizer are left out.

    Args:
      path: the prefix that `tf.train.Saver.save` returned, its .index file, or their folder.

    Returns:
      A dictionary from name to array.

    Raises:
      ConfigError: there is no checkpoint at `path`, or it cannot be read.
    """
    try:
        reader = tf.train.load_checkpoint(str(path).removesuffix(".index"))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
                if name.split("/")[-1] not in OPTIMIZER}
    except (tf.errors.OpError, ValueError, LookupError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"checkpoint must be the prefix of a whole TensorFlow 1 checkpoint, got "
                          f"{str(path)!r} ({reason})") from error


def infer_config(weights, image_shape, glimpses: int, shared_noise: bool) -> DRAWConfig:
    """The architecture that the listing's variables are of.

    Args:
      weights: as `load_listing_weights` takes them.
      image_shape, glimpses, shared_noise: what the shapes do not show, as in DRAWConfig.

    Returns:
      DRAWConfig.

    Raises:
      ConfigError: a variable is missing, or its shape is none that the listing can have.
    """
    def shape(name, rank):
        if name not in weights:
            raise ConfigError(f"checkpoint has no variable {name!r}, so it is not of the listing")
        _require_shape(np.ndim(weights[name]) == rank, name, weights[name])
        return np.shape(weights[name])

    def side(numbers, name):
        n = math.isqrt(max(numbers, 0) // channels)
        _require_shape(n > 0 and n * n * channels == numbers, name, weights[name])
        return n

    DRAWConfig(image_shape=image_shape, read_size=1, write_size=1)  # raises if it is no shape
    channels = image_shape[2]
    hidden, latent = shape("mu/Linear/Matrix", 2)
    grids = {}
    if "read/Linear/Matrix" in weights:
        # the encoder reads two glimpses, the decoder's h, and its own
        inputs = shape("encoder/lstm_cell/kernel", 2)[0] - 2 * hidden
        _require_shape(inputs % 2 == 0, "encoder/lstm_cell/kernel",
                       weights["encoder/lstm_cell/kernel"])
        grids["read_size"] = side(inputs // 2, "encoder/lstm_cell/kernel")
    if "writeW/Linear/Matrix" in weights:
        grids["write_size"] = side(shape("writeW/Linear/Matrix", 2)[1], "writeW/Linear/Matrix")
    return DRAWConfig(image_shape=image_shape, glimpses=glimpses, hidden_size=hidden,
                      latent_size=latent, read_attention="read_size" in grids,
                      write_attention="write_size" in grids, equations="article",
                      shared_noise=shared_noise, **grids)


def _require_shape(condition, name, value):
    if not condition:
        raise ConfigError(f"checkpoint has a variable {name!r} of shape {np.shape(value)}, which "
                          "is none of the listing's")


def import_checkpoint(checkpoint, workdir, image_shape=(28, 28, 1), glimpses: int = 10,
                      shared_noise: bool = True) -> DRAWConfig:
    """Makes a workdir, for `draw_tf.load` and the commands, of the listing's checkpoint.

    Args:
      checkpoint: see `read_checkpoint`.
      workdir: a folder that holds no run; made where it is not there.
      image_shape, glimpses, shared_noise: what the checkpoint does not show, as in DRAWConfig.

    Returns:
      The model's DRAWConfig.

    Raises:
      ConfigError: the checkpoint cannot be read, or is not the listing's.
      WorkdirError: the workdir already holds a run, or cannot be written.
    """
    check_name(workdir)
    workdir = pathlib.Path(workdir)
    for name in (CONFIG, WEIGHTS, FOLDER):
        if (workdir / name).exists():
            raise WorkdirError(f"--workdir={workdir} already holds {name}: give another")
    weights = read_checkpoint(checkpoint)
    config = infer_config(weights, image_shape, glimpses, shared_noise)
    model = DRAW(config)
    try:
        load_listing_weights(model, weights)
    except ValueError as error:
        raise ConfigError(f"checkpoint {str(checkpoint)!r} is not the listing's: {error}"
                          ) from error
    write_settings(workdir, config, TrainConfig(dataset="mnist"))
    with written(f"--workdir={workdir}"):
        save_weights(model, workdir / WEIGHTS)
    return config
