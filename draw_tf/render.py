"""From what the model kept of its steps to what `visualize` draws."""

import math

import tensorflow as tf

from draw_tf import attention
from draw_tf import visualize


def probabilities(logits):
    """Canvases in logits to float32 arrays in [0, 1], of the same shape."""
    return tf.sigmoid(logits).numpy()


def boxes(config, trace):
    """The windows of a Trace or Generation, with their colours: read green, write red.

    Args:
      config: the model's DRAWConfig.
      trace: from `DRAW.trace` or `DRAW.generate`.

    Returns:
      A list as `visualize.stroke_frames` takes it; empty for a model without attention.
    """
    windows = ((getattr(trace, "read", None), config.read_size, visualize.GREEN),
               (trace.write, config.write_size, visualize.RED))
    return [(visualize.Box(*attention.window_box(window, size, config.equations)), colour)
            for window, size, colour in windows if window is not None]


def samples_and_nearest(model, train_images, num=64, seed=0):
    """New images as in the paper's figures, beside the last column the nearest training images.

    What a model draws that has learned its training images by heart is all but its neighbour.

    Args:
      model: DRAW.
      train_images: the `data.Images` it was trained on.
      num: how many new images, laid out in a full rectangle as near a square as can be.
      seed: whole number that the images follow from.

    Returns:
      A picture, uint8 [h, w, 3]; the neighbours, by L2 distance, are its last column, apart.
    """
    samples = probabilities(model.generate(num, seed=seed).canvases[-1])  # [N, H, W, C]
    columns = max(side for side in range(1, math.isqrt(num) + 1) if num % side == 0)
    rows = samples.reshape(-1, columns, *samples.shape[1:])  # [rows, columns, H, W, C]
    neighbours = visualize.nearest(rows[:, -1], train_images.floats())  # [rows]
    return visualize.side_by_side([*rows.swapaxes(0, 1), train_images.floats(neighbours)],
                                  last_apart=True)
