"""DRAW, the Deep Recurrent Attentive Writer, in TensorFlow 2.

Everything is imported when it is asked for, so that a command can start TensorFlow in its own way.
"""

import importlib.abc
import importlib.util
import sys

_HOMES = {"DRAW": "draw_tf.models.draw", "DRAWConfig": "draw_tf.config",
          "TrainConfig": "draw_tf.config", "load": "draw_tf.checkpoints",
          "load_listing_weights": "draw_tf.checkpoints.listing"}
__all__ = list(_HOMES)


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOMES])


def _register_models():
    """Makes the models known to Keras, so that `keras.saving.load_model` finds them."""
    for name in ("draw", "vae"):
        importlib.import_module(f"draw_tf.models.{name}")


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Registers the models once Keras has been imported by whoever needs it."""

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (execute(module), _register_models())
        return spec


if "keras" in sys.modules:
    _register_models()
else:
    sys.meta_path.insert(0, _AfterKeras())
