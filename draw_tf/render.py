"""From what the model kept of its steps to what `visualize` draws."""

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
