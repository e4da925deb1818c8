"""Where the model looks and writes: windows of Gaussian filters, as pure functions.

A window is a grid of n x n Gaussian filters laid over the image (paper section 3.2). It is
separable, so two banks of n one-dimensional filters describe it: Fx over columns, Fy over rows.
Letters in shapes: N images, H height, W width, C channels, n side of the grid, which functions take
as `size`; `equations` are those of the "article" or the "paper". Every function takes float32 or
float64 and keeps it. The matrix products of reading and writing are written as multiply and sum:
so small, they are faster fused by the compiler than as batched products.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

# A row of weights that sums to less, far off the image or between two pixels, is divided by this.
MINIMUM_SUM = 1e-8
LARGEST_LOG = 20  # log sigma2 and log delta~ are clipped to +-20


class Window(NamedTuple):
    """One attention window per image; in a trace each field has a leading axis of T steps.

    Centre and distance are in pixels. Shapes are [N, 1], of the filters [N, n, W] and [N, n, H].
    """

    gx: tf.Tensor  # [N, 1], column of the centre, in pixels from the first pixel's centre
    gy: tf.Tensor  # [N, 1], its row
    delta: tf.Tensor  # [N, 1], distance between neighbouring grid points in pixels
    sigma2: tf.Tensor  # [N, 1], width of the filters, as the equations in use read it
    gamma: tf.Tensor  # [N, 1], intensity
    Fx: tf.Tensor  # [N, n, W], the filters, each row summing to 1
    Fy: tf.Tensor  # [N, n, H]
    params: tf.Tensor  # [N, 5], the five numbers as the dense layer gave them


class Box(NamedTuple):
    """The rectangle through a window's outermost grid points, in pixels: [...] each, [T, N] mostly.

    The centre of pixel a is at a: an image W pixels wide spans -0.5 to W - 0.5.
    """

    top: np.ndarray
    left: np.ndarray
    bottom: np.ndarray
    right: np.ndarray
    sigma: np.ndarray  # standard deviation of the filters


def window_parameters(params: tf.Tensor, height: int, width: int, size: int,
                      equations: str) -> tuple[tf.Tensor, ...]:
    """From five free numbers per image to a window (the article's `attn_window`, paper eq. 21-24).

    The numbers [N, 5] are g~x, g~y, log sigma2, log delta~ and log gamma. At g~ = 0 the paper's
    window is in the middle of the image, the article's is not (see `grid_offsets`). At
    log delta~ = 0 either is as wide as the longer side of the image. Values of log sigma2 and
    log delta~ outside [-20, 20] count as these limits. Returns gx, gy, sigma2, delta and gamma as
    in Window, [N, 1] each.
    """
    gx_, gy_, log_sigma2, log_delta, log_gamma = tf.split(params, 5, axis=1)  # [N, 1] each
    # further out, filters no longer change, and their gradients would be 0 times infinity
    log_sigma2, log_delta = (tf.clip_by_value(x, -LARGEST_LOG, LARGEST_LOG)
                             for x in (log_sigma2, log_delta))  # [N, 1] each
    gx = (width + 1) / 2 * (gx_ + 1)  # [N, 1]
    gy = (height + 1) / 2 * (gy_ + 1)  # [N, 1]
    widest = (max(height, width) - 1) / max(size - 1, 1)
    if equations == "paper":
        gx, gy = gx - 1, gy - 1  # [N, 1]; the paper counts pixels from 1
        delta = widest * tf.exp(log_delta)  # [N, 1]
    else:
        delta = widest / tf.exp(log_delta)  # [N, 1]; the article divides
    return gx, gy, tf.exp(log_sigma2), delta, tf.exp(log_gamma)  # [N, 1] each


def grid_offsets(size: int, equations: str, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Distances [n] of grid points from the window's centre, in units of delta (paper eq. 19-20).

    Under "article" the grid sits one delta towards the origin: the article counts points from 0
    in an equation that counts them from 1.
    """
    middle = (size - 1) / 2 if equations == "paper" else size / 2 + 0.5
    return tf.range(size, dtype=dtype) - middle  # [n]


def filterbank(gx: tf.Tensor, gy: tf.Tensor, sigma2: tf.Tensor, delta: tf.Tensor, height: int,
               width: int, size: int, equations: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Fx [N, n, W] and Fy [N, n, H] of a window (the article's `filterbank`, paper eq. 25-26).

    Each row sums to 1, or to less where its weights summed to under MINIMUM_SUM. gx, gy, sigma2
    and delta are as in Window, [N, 1] each.
    """
    def bank(centre, length):
        mu = centre + grid_offsets(size, equations, centre.dtype) * delta  # [N, n]
        distance = tf.range(length, dtype=centre.dtype) - mu[:, :, tf.newaxis]  # [N, n, length]
        scale = 2 * sigma2[:, :, tf.newaxis]  # [N, 1, 1]
        exponent = (tf.square(distance) / scale if equations == "paper"
                    else tf.square(distance / scale))  # [N, n, length]
        weights = tf.exp(-exponent)  # [N, n, length]
        total = tf.reduce_sum(weights, axis=2, keepdims=True)  # [N, n, 1]
        return weights / tf.maximum(total, MINIMUM_SUM)  # [N, n, length]

    return bank(gx, width), bank(gy, height)


def read(image: tf.Tensor, Fx: tf.Tensor, Fy: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """A glimpse: gamma * Fy image Fx' per channel, [N, H, W, C] to [N, n, n, C] (paper eq. 27)."""
    # [N, H, n, C]: rows[k,h,j,c] = sum_w image[k,h,w,c] Fx[k,j,w]
    rows = tf.reduce_sum(image[:, :, tf.newaxis] * Fx[:, tf.newaxis, :, :, tf.newaxis], axis=3)
    # [N, n, n, C]: glimpse[k,i,j,c] = sum_h Fy[k,i,h] rows[k,h,j,c]
    glimpse = tf.reduce_sum(rows[:, tf.newaxis] * Fy[:, :, :, tf.newaxis, tf.newaxis], axis=2)
    return glimpse * gamma[:, :, tf.newaxis, tf.newaxis]  # [N, n, n, C]


def write(patch: tf.Tensor, Fx: tf.Tensor, Fy: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """A stroke: Fy' patch Fx / gamma per channel, [N, n, n, C] to [N, H, W, C] (paper eq. 29)."""
    patch = patch / gamma[:, :, tf.newaxis, tf.newaxis]  # [N, n, n, C]
    # [N, n, W, C]: rows[k,i,w,c] = sum_j patch[k,i,j,c] Fx[k,j,w]
    rows = tf.reduce_sum(patch[:, :, :, tf.newaxis] * Fx[:, tf.newaxis, :, :, tf.newaxis], axis=2)
    # [N, H, W, C]: stroke[k,h,w,c] = sum_i Fy[k,i,h] rows[k,i,w,c]
    return tf.reduce_sum(rows[:, :, tf.newaxis] * Fy[:, :, :, tf.newaxis, tf.newaxis], axis=1)


def window_box(window: Window, size: int, equations: str) -> Box:
    """The rectangle through a window's outermost grid points, for pictures; from fields [..., 1].

    Under "article" its middle is not (gx, gy), but lies one delta nearer to the origin, as the
    grid does (see `grid_offsets`).
    """
    gx, gy, delta, sigma2 = (np.squeeze(part, -1) for part in (
        window.gx, window.gy, window.delta, window.sigma2))  # [...] each
    first, last = (offset * delta for offset in grid_offsets(size, equations).numpy()[[0, -1]])
    # exp(-(d / 2 sigma2)^2) is a Gaussian of deviation sqrt(2) sigma2
    sigma = sigma2**0.5 if equations == "paper" else sigma2 * 2**0.5  # [...]
    return Box(gy + first, gx + first, gy + last, gx + last, sigma)
