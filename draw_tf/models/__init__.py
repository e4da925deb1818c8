"""The models: DRAW (`draw.py`), a plain VAE to compare with, and the pure parts of both."""

from typing import Any

import keras

from draw_tf.config import ModelConfig
from draw_tf.models.base import ImageModel
from draw_tf.models.draw import DRAW
from draw_tf.models.vae import VAE

DTYPE = "float32"  # of models that are trained and loaded; the tests have float64 too
_CLASSES: dict[type, Any] = {model.Config: model for model in (DRAW, VAE)}


def model_class(config: ModelConfig) -> Any:
    """The class of model for these settings; raises TypeError where they are of none."""
    if type(config) not in _CLASSES:
        raise TypeError(f"config must be a {' or a '.join(x.__name__ for x in _CLASSES)}, "
                        f"got {config!r:.200}")
    return _CLASSES[type(config)]


def make_model(config: ModelConfig, unroll: int = 0) -> DRAW | VAE:
    """A new model with these settings, in float32 whatever Keras's default is."""
    return model_class(config)(config, unroll=unroll, dtype=DTYPE)


def named_weights(model: ImageModel) -> dict[str, keras.Variable]:
    """A model's weights as a dictionary from name to variable, such as "encoder/kernel"."""
    first = {f"first/{name}": getattr(model, f"first_{name}")
             for name in model.first_shapes(model.config)}
    return {f"{layer.name}/{variable.name}": variable
            for layer in model.layers for variable in layer.weights} | first
