"""Images and boxes that the tests of pictures share."""

import numpy as np

from draw_tf.pictures.tiles import Box


def canvases(steps, count, height=8, width=9):
    """Grey canvases [T, N, H, W, 1], each of one level that no other has."""
    levels = np.arange(1, steps * count + 1).reshape(steps, count, 1, 1, 1) / (2 * steps * count)
    return np.broadcast_to(levels, (steps, count, height, width, 1)).astype(np.float32)


def moving_box(steps, count):
    """A box in a different place at every step on every image, fields [T, N]."""
    t, i = np.mgrid[0:steps, 0:count].astype(np.float64)  # each [T, N]
    return Box(top=t, left=i, bottom=t + 3, right=i + 4, sigma=0 * t)
