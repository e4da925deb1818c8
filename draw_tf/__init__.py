"""DRAW, the Deep Recurrent Attentive Writer, in TensorFlow 2."""

import importlib

_HOMES = {"DRAW": "draw_tf.models.draw", "DRAWConfig": "draw_tf.config",
          "TrainConfig": "draw_tf.config", "load": "draw_tf.checkpoints",
          "load_listing_weights": "draw_tf.checkpoints.listing"}
__all__ = list(_HOMES)


def __getattr__(name):
    # imported when asked for, so that a command can start TensorFlow in its own way
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOMES])
