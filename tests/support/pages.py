"""Models whose pages are tested, and their strokes."""

import numpy as np

from draw_tf import DRAW, DRAWConfig

WINDOW = ("gx", "gy", "delta", "sigma2", "gamma")
SMALL = dict(glimpses=3, hidden_size=8, latent_size=2)
MODELS = {
    "paper": DRAWConfig((28, 28, 1), read_size=2, write_size=5, equations="paper", **SMALL),
    "colour": DRAWConfig((9, 14, 3), read_size=3, write_size=4, **SMALL),
    "no attention": DRAWConfig((8, 9, 1), read_attention=False, write_attention=False, **SMALL),
    "prior": DRAWConfig((8, 9, 1), read_size=3, write_size=3, **SMALL)}


def draw(name, count=2):
    """A model's strokes with weights that make every number another, and the images redrawn."""
    rng = np.random.default_rng(0)
    config = MODELS[name]
    model = DRAW(config)
    for weight in model.trainable_variables:
        weight.assign(0.4 * rng.standard_normal(weight.shape))
    if name == "prior":
        return config, model.generate(count, seed=0), None
    images = rng.random((count, *config.image_shape)).astype(np.float32)
    noise = rng.standard_normal((config.glimpses, count, config.latent_size))
    return config, model.trace(images, noise), images
