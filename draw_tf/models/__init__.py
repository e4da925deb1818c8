"""The models: DRAW (`draw.py`), a plain VAE to compare with, and the pure parts of both."""

import importlib

_HOMES = {"DRAWConfig": ("draw_tf.models.draw", "DRAW"), "VAEConfig": ("draw_tf.models.vae", "VAE")}


def make_model(config, unroll: int = 0):
    """A new model of the kind that its settings are of, DRAWConfig or VAEConfig."""
    module, name = _HOMES[type(config).__name__]
    return getattr(importlib.import_module(module), name)(config, unroll)
