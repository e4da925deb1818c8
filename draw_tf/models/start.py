"""Initial weights from the data: windows that cover the image, and the mean image as drawing.

With the listing's weights a new model reads a few pixels far apart, often empty ones. It spends
its first steps learning what the mean image is, and makes no use of its latent variables.
"""

import numpy as np
import tensorflow as tf

from draw_tf.config import VAEConfig
from draw_tf.models import attention
from draw_tf.models.base import ImageModel

MARGIN = 0.002  # of the mean image from 0 and 1, where its log-odds would be infinite


def start_from_data(model: ImageModel, mean_image: np.ndarray) -> None:
    """Sets the biases of a new model so that its windows cover the image and it draws the mean.

    Under the paper's equations the first canvas draws it. The article's have none: there the same
    patch is written at each step, as near to the mean as its blurred grid comes. The mean image of
    the training images is [H, W, C] in [0, 1].
    """
    config = model.config
    mean = np.clip(mean_image, MARGIN, 1 - MARGIN)  # [H, W, C]
    log_odds = np.log(mean / (1 - mean))  # [H, W, C]
    if isinstance(config, VAEConfig):
        model.pixels_layer.bias.assign(np.ravel(log_odds))
        return
    height, width, _ = config.image_shape
    for scope in ("read", "write"):
        if getattr(config, f"{scope}_attention"):
            size = getattr(config, f"{scope}_size")
            window = covering_window(height, width, size, config.equations)  # [5]
            getattr(model, f"{scope}_window").bias.assign(window)
    if config.equations == "paper":
        model.first_canvas.assign(log_odds)
    else:
        model.patch_layer.bias.assign(np.ravel(_patch(config, log_odds / config.glimpses)))


def covering_window(height: int, width: int, size: int, equations: str) -> np.ndarray:
    """The window that tiles the image: parameters [5] for `attention.window_parameters`.

    Its n x n points are the centres of n x n equal tiles (of a square, the image's longer side),
    and a filter's standard deviation is half a tile.
    """
    longest = max(height, width)
    delta = longest / size
    stretch = np.log(delta * max(size - 1, 1) / max(longest - 1, 1))
    if equations == "paper":
        return np.array([0, 0, 2 * np.log(delta / 2), stretch, 0])  # [5]
    # the listing's grid lies one delta towards the origin, its centre one pixel the other way
    shift_x, shift_y = (2 * (delta - 1) / (length + 1) for length in (width, height))
    return np.array([shift_x, shift_y, np.log(delta / 2 / 2**0.5), -stretch, 0])  # [5]


def _patch(config, image):
    """The patch [n, n, C] that the covering window writes nearest to `image` [H, W, C]."""
    if not config.write_attention:
        return image
    height, width, channels = config.image_shape
    size = config.write_size
    shape = height, width, size, config.equations
    params = tf.constant(covering_window(*shape)[np.newaxis])  # [1, 5]
    gx, gy, sigma2, delta, gamma = attention.window_parameters(params, *shape)  # [1, 1] each
    Fx, Fy = attention.filterbank(gx, gy, sigma2, delta, *shape)  # [1, n, W], [1, n, H]
    one_pixel = np.eye(size**2).reshape([-1, size, size, 1])  # [n n, n, n, 1]
    strokes = attention.write(one_pixel, Fx, Fy, gamma)  # [n n, H, W, 1]
    strokes = tf.reshape(strokes, [size**2, -1]).numpy()  # [n n, H W]
    patch = np.linalg.lstsq(strokes.T, image.reshape(-1, channels), rcond=None)[0]  # [n n, C]
    return patch.reshape(size, size, channels)
