"""The models: DRAW (`draw.py`), a plain VAE to compare with, and the pure parts of both."""

from draw_tf.models.draw import DRAW
from draw_tf.models.vae import VAE


def model_class(config) -> type[DRAW | VAE]:
    """The class of model for these settings, a DRAWConfig or a VAEConfig."""
    return DRAW if isinstance(config, DRAW.Config) else VAE


def make_model(config, unroll: int = 0) -> DRAW | VAE:
    """A new model with these settings."""
    return model_class(config)(config, unroll)
