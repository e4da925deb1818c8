"""Half an image given: what a trained DRAW imagines for the rest.

Letters in shapes: T glimpses, N images, H height, W width, C channels, Z latent size.
"""

import numpy as np
import tensorflow as tf

from draw_tf.models.draw import DRAW
from draw_tf.models.recurrence import scan
from draw_tf.models.steps import Trace

SIDES = ("left", "right", "top", "bottom")


def kept_half(keep: str, height: int, width: int) -> np.ndarray:
    """Which pixels are known where one half is kept, float32 [H, W, 1] of 0 and 1."""
    rows, columns = np.mgrid[:height, :width]  # [H, W] each
    known = {"left": columns < width // 2, "right": columns >= width - width // 2,
             "top": rows < height // 2, "bottom": rows >= height - height // 2}[keep]
    return known[..., np.newaxis].astype(np.float32)  # [H, W, 1]


def complete(model: DRAW, images, known, noise=None) -> Trace:
    """Draws images of which only a part is known.

    At each step the encoder sees the images with their unknown part filled in by the canvas so far,
    and the decoder draws on. So z_t comes from Q(z_t | known part, own guess of the rest). The last
    canvas, in logits, is one imagination; other noise gives another. This is not a sample from
    p(unknown part | known part): the encoder was trained on whole images, and early guesses are
    never taken back. Only the encoder's errors hold the known part of the canvas to the images.

    Args:
      model: a DRAW.
      images, noise: as for `DRAW.call`, errors too; the unknown part of the images is not used.
      known: 1 where a pixel is known and 0 elsewhere, of a shape that broadcasts to the images.
    """
    images = model.check_images(images)  # [N, H, W, C]
    num = images.shape[0]
    # [T, N, Z]
    noise = model.draw_noise(num) if noise is None else model.check_noise(noise, num)
    known = tf.broadcast_to(tf.cast(known, images.dtype), tf.shape(images))  # [N, H, W, C]
    seen = known * images  # [N, H, W, C]

    def step(state, noise, given):
        seen, known = given
        x = seen + (1 - known) * tf.sigmoid(state.canvas)  # [N, H, W, C]
        return model.infer_step(state, noise, x)

    state = model.initial_state(num)
    _, steps = scan(step, state, noise, (seen, known), model.unroll)
    return model.with_windows(Trace(**steps))
