"""The weights of the article's TensorFlow 1 listing, brought into our model.

Its variables are named by scope: `encoder/lstm_cell/kernel`, `mu/Linear/Matrix`, and so on. Its
LSTM has one kernel over the joined [input, h] where Keras has two, gates in the order i, j, f, o
where Keras has i, f, c, o (its j is Keras's c), and a forget bias of 1 that is added as it runs and
so is not in its weights. D is the hidden size.
"""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from draw_tf.checkpoints import workdir as workdirs
from draw_tf.checkpoints.saves import FOLDER
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.errors import ConfigError, WorkdirError, why, written
from draw_tf.files import PathLike, exists, local_path
from draw_tf.models import make_model
from draw_tf.models.draw import DRAW

FORGET_BIAS = 1.0  # what TensorFlow 1's LSTMCell adds at run time
OPTIMIZER = ("Adam", "Adam_1", "beta1_power", "beta2_power", "global_step")


def _parts(config):
    """The listing's names, each with the names and shapes of ours whose rows its variable joins."""
    parts: dict[str, dict[str, tuple]] = {}
    for ours, shape in workdirs.weight_shapes(config).items():  # a kernel before its recurrent one
        layer, part = ours.split("/")
        if layer in ("encoder", "decoder"):
            name = f"{layer}/lstm_cell/{part.removeprefix('recurrent_')}"
        else:
            # without attention the listing writes with the layer that otherwise places the window
            scope = "write" if layer == "writeW" and not config.write_attention else layer
            name = f"{scope}/Linear/{'Matrix' if part == 'kernel' else part}"
        if layer != "first":  # the listing starts from zeros
            parts.setdefault(name, {})[ours] = shape
    return parts


def listing_shapes(model: DRAW) -> dict[str, tuple]:
    """The listing's variables that a model has a place for: a dictionary from name to shape."""
    return {name: (sum(shape[0] for shape in shapes.values()), *next(iter(shapes.values()))[1:])
            for name, shapes in _parts(model.config).items()}


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
    found = {name: value.shape for name, value in weights.items()}
    workdirs.check_shapes(listing_shapes(model), found, "listing's variable",
                          "not one that this model has a place for")
    ours: dict[str, np.ndarray] = {}
    for name, shapes in _parts(model.config).items():
        value = weights[name]
        if "lstm_cell" in name:
            i, j, f, o = np.split(value, 4, axis=-1)  # [inputs + D, D] or [D] each
            if name.endswith("bias"):
                f = f + FORGET_BIAS
            value = np.concatenate([i, f, j, o], axis=-1)  # [inputs + D, 4D] or [4D]
        ends = np.cumsum([shape[0] for shape in shapes.values()])  # the rows of one part or two
        ours.update(zip(shapes, np.split(value, ends[:-1]), strict=True))
    workdirs.assign_weights(model, ours)


def read_checkpoint(path: PathLike) -> dict[str, np.ndarray]:
    """The model's variables in a TensorFlow 1 checkpoint, those of its optimizer left out.

    `path` is the prefix that `tf.train.Saver.save` returned, its .index file, or their folder.
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
    workdir = workdirs.check_name(workdir)
    with written(f"workdir {workdir}"):
        for name in (workdirs.CONFIG, workdirs.WEIGHTS, FOLDER):
            if exists(workdir / name):
                raise WorkdirError(f"workdir {workdir} already holds {name}: give another")
    weights = read_checkpoint(checkpoint)
    config = _infer_config(weights, image_shape, glimpses=glimpses, shared_noise=shared_noise)
    model = make_model(config)
    try:
        load_listing_weights(model, weights)
    except ValueError as error:
        raise ConfigError(
            f"checkpoint {str(checkpoint)!r} is not the listing's: {error}") from error
    workdirs.write_settings(workdir, config, TrainConfig(dataset="mnist"))
    with written(f"workdir {workdir}"):
        workdirs.save_weights(model, workdir / workdirs.WEIGHTS)
    return config
