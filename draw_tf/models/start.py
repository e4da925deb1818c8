"""Initial weights from the data: windows that cover the image, and the mean image as drawing.

With the article's weights a new model reads a few pixels far apart, often empty ones. It spends
its first steps learning what the mean image is, and makes no use of its latent variables.
"""

import numpy as np
import tensorflow as tf

from draw_tf.models import attention

MARGIN = 0.002  # of the mean image from 0 and 1, where its log-odds would be infinite


def log_odds(mean_image: np.ndarray) -> np.ndarray:
    """The logits [H, W, C] that draw a mean image [H, W, C] in [0, 1]."""
    mean = np.clip(mean_image, MARGIN, 1 - MARGIN)  # [H, W, C]
    return np.log(mean / (1 - mean))  # [H, W, C]


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
    # the article's grid lies one delta towards the origin, its centre one pixel the other way
    shift_x, shift_y = (2 * (delta - 1) / (length + 1) for length in (width, height))
    return np.array([shift_x, shift_y, np.log(delta / 2 / 2**0.5), -stretch, 0])  # [5]


def nearest_patch(image: np.ndarray, size: int, equations: str) -> np.ndarray:
    """The patch [n, n, C] that the covering window writes nearest to an image, in least squares."""
    height, width, channels = image.shape
    grid = height, width, size, equations
    params = tf.constant(covering_window(*grid)[np.newaxis])  # [1, 5]
    gx, gy, sigma2, delta, gamma = attention.window_parameters(params, *grid)  # [1, 1] each
    Fx, Fy = attention.filterbank(gx, gy, sigma2, delta, *grid)  # [1, n, W], [1, n, H]
    one_pixel = np.eye(size**2).reshape([-1, size, size, 1])  # [n n, n, n, 1]
    strokes = tf.reshape(attention.write(one_pixel, Fx, Fy, gamma), [size**2, -1])  # [n n, H W]
    patch = np.linalg.lstsq(strokes.numpy().T, image.reshape(-1, channels), rcond=None)[0]
    return patch.reshape(size, size, channels)  # from [n n, C]
