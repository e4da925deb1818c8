"""The weights of the article's TensorFlow 1 listing, brought into our model.

The listing names its variables by scope: `encoder/lstm_cell/kernel`, `mu/Linear/Matrix`, and so on.
Its LSTM differs from Keras's in three ways: one kernel over the joined [input, h] where Keras has
two, gates in the order i, j, f, o where Keras has i, f, c, o (its j is Keras's c), and a forget
bias of 1 that is added as it runs and so is not in its weights.

Letters in shapes: D hidden size, n side of an attention grid.
"""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from draw_tf.checkpoints.saves import FOLDER
from draw_tf.checkpoints.weights import assign_weights, check_shapes, save_weights, weight_shapes
from draw_tf.checkpoints.workdir import CONFIG, WEIGHTS, check_name, write_settings
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.errors import ConfigError, WorkdirError, why, written
from draw_tf.files import PathLike, exists, local_path
from draw_tf.models.draw import DRAW

FORGET_BIAS = 1.0  # what TensorFlow 1's LSTMCell adds at run time
OPTIMIZER = ("Adam", "Adam_1", "beta1_power", "beta2_power", "global_step")


def _our_names(config):
    """The names of our weights whose rows each of the listing's variables joins, by its name."""
    names: dict[str, list[str]] = {}
    for ours in weight_shapes(config):  # an LSTM's kernel comes before its recurrent kernel
        layer, part = ours.split("/")
        if layer == "first":  # the listing starts from zeros
            continue
        if layer in ("encoder", "decoder"):
            name = f"{layer}/lstm_cell/{part.removeprefix('recurrent_')}"
        else:
            # without attention the listing writes with the layer that otherwise places the window
            scope = "write" if layer == "writeW" and not config.write_attention else layer
            name = f"{scope}/Linear/{'Matrix' if part == 'kernel' else part}"
        names.setdefault(name, []).append(ours)
    return names


def listing_shapes(model: DRAW) -> dict[str, tuple]:
    """The listing's variables that a model has a place for: a dictionary from name to shape."""
    shapes = weight_shapes(model.config)
    return {name: (sum(shapes[part][0] for part in parts), *shapes[parts[0]][1:])
            for name, parts in _our_names(model.config).items()}


def load_listing_weights(model: DRAW, weights: Mapping[str, np.ndarray]) -> None:
    """Sets every weight of a model with `equations="article"` from the listing's variables.

    `weights` is a mapping from the listing's names to arrays; `listing_shapes(model)` lists them.
    Of an LSTM: kernel [inputs + D, 4D] over [input, h], gates i, j, f, o; bias [4D], without the
    forget bias. Of a dense layer: Matrix [inputs, outputs] and bias [outputs].

    Raises ValueError where the model has other equations, or a variable is missing, not one of the
    model's, or of another shape; then no weight is set.
    """
    equations = getattr(model.config, "equations", None)  # a VAE has none
    if equations != "article":
        raise ValueError("the listing's weights need a model with equations='article', got "
                         f"{equations!r}")
    weights = {name: np.asarray(value) for name, value in weights.items()}
    check_shapes(listing_shapes(model), {name: value.shape for name, value in weights.items()},
                 "listing's variable", "not one that this model has a place for")
    shapes = weight_shapes(model.config)
    ours: dict[str, np.ndarray] = {}
    for name, parts in _our_names(model.config).items():
        value = weights[name]
        if "lstm_cell" in name:
            i, j, f, o = np.split(value, 4, axis=-1)  # [inputs + D, D] or [D] each
            if name.endswith("bias"):
                f = f + FORGET_BIAS
            value = np.concatenate([i, f, j, o], axis=-1)  # [inputs + D, 4D] or [4D]
        rows = shapes[parts[0]][0]
        ours.update(zip(parts, (value[:rows], value[rows:]), strict=False))  # one part or two
    assign_weights(model, ours)


def read_checkpoint(path: PathLike) -> dict[str, np.ndarray]:
    """The model's variables in a TensorFlow 1 checkpoint, those of its optimizer left out.

    Its `path` is the prefix that `tf.train.Saver.save` returned, its .index file, or their folder.
    Raises ConfigError where there is none that can be read.
    """
    path = local_path(path, "checkpoint")
    try:
        reader = tf.train.load_checkpoint(str(path).removesuffix(".index"))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
                if name.split("/")[-1] not in OPTIMIZER}
    except (tf.errors.OpError, ValueError, LookupError, RuntimeError, OSError) as error:
        raise ConfigError("checkpoint must be the prefix of a whole TensorFlow 1 checkpoint, got "
                          f"{str(path)!r} ({why(error)})") from error


def _infer_config(weights, image_shape, **fields):
    """The DRAWConfig of the listing's variables and of fields that their shapes do not show."""
    def require(condition, name):
        if not condition:
            raise ConfigError(f"checkpoint has a variable {name!r} of shape "
                              f"{np.shape(weights[name])}, which is none of the listing's")

    def shape(name):
        if name not in weights:
            raise ConfigError(f"checkpoint has no variable {name!r}, so it is not of the listing")
        require(np.ndim(weights[name]) == 2, name)
        return np.shape(weights[name])

    def side(name, numbers, depth):
        """The n of a grid [n, n, depth] that has this many numbers."""
        n = math.isqrt(max(numbers, 0) // depth)
        require(n > 0 and n * n * depth == numbers, name)
        return n

    DRAWConfig(image_shape=image_shape, read_size=1, write_size=1)  # raises if it is no shape
    channels = image_shape[2]
    hidden, latent = shape("mu/Linear/Matrix")
    kernel, patch = "encoder/lstm_cell/kernel", "writeW/Linear/Matrix"
    reads, writes = "read/Linear/Matrix" in weights, patch in weights
    if reads:  # the encoder's input: two glimpses, the decoder's h, and its own
        fields["read_size"] = side(kernel, shape(kernel)[0] - 2 * hidden, 2 * channels)
    if writes:
        fields["write_size"] = side(patch, shape(patch)[1], channels)
    return DRAWConfig(image_shape=image_shape, hidden_size=hidden, latent_size=latent,
                      read_attention=reads, write_attention=writes, equations="article", **fields)


def import_checkpoint(checkpoint: PathLike, workdir: PathLike,
                      image_shape: tuple[int, int, int] = (28, 28, 1), glimpses: int = 10,
                      shared_noise: bool = True) -> DRAWConfig:
    """Makes a workdir of the listing's checkpoint (see `read_checkpoint`); returns its settings.

    The other arguments, as in DRAWConfig, do not show in the checkpoint. The workdir is made if it
    is missing. Raises ConfigError where the checkpoint cannot be read or is not the listing's, and
    WorkdirError where the workdir holds a run already or cannot be written.
    """
    workdir = check_name(workdir)
    with written(f"workdir {workdir}"):
        for name in (CONFIG, WEIGHTS, FOLDER):
            if exists(workdir / name):
                raise WorkdirError(f"workdir {workdir} already holds {name}: give another")
    weights = read_checkpoint(checkpoint)
    config = _infer_config(weights, image_shape, glimpses=glimpses, shared_noise=shared_noise)
    model = DRAW(config, dtype="float32")
    try:
        load_listing_weights(model, weights)
    except ValueError as error:
        raise ConfigError(f"checkpoint {str(checkpoint)!r} is not the listing's: {error}"
                          ) from error
    write_settings(workdir, config, TrainConfig(dataset="mnist"))
    with written(f"workdir {workdir}"):
        save_weights(model, workdir / WEIGHTS)
    return config
