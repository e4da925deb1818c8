"""The models: DRAW (`draw.py`), a plain VAE to compare with, and the pure parts of both."""

from draw_tf.config import ModelConfig
from draw_tf.models.base import ImageModel
from draw_tf.models.draw import DRAW
from draw_tf.models.vae import VAE

DTYPE = "float32"  # of models that are trained and loaded; the tests have float64 too
_CLASSES: dict[type, type[ImageModel]] = {model.Config: model for model in (DRAW, VAE)}


def model_class(config: ModelConfig) -> type[ImageModel]:
    """The class of model for these settings."""
    return _CLASSES[type(config)]


def make_model(config: ModelConfig, unroll: int = 0) -> ImageModel:
    """A new model with these settings, in float32 whatever Keras's default is."""
    return model_class(config)(config, unroll=unroll, dtype=DTYPE)
