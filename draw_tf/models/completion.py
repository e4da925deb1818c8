"""A part of an image given: what a trained DRAW imagines for the rest.

Letters in shapes: T steps, N images, H height, W width, C channels, S candidates per image.
"""

import numpy as np
import tensorflow as tf

from draw_tf.models import losses
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


def complete(model: DRAW, images, known, noise=None, guess=None) -> Trace:
    """Draws images of which only a part is known, in one pass.

    The encoder sees the images with their unknown part filled in by a guess, or else, at each step,
    by the canvas so far. The last canvas, in logits, is one imagination of the whole image, and
    other noise gives another. Nothing but the encoder's errors holds it to the known part, and
    early strokes are never taken back, so that it often strays from what is known: `imagine`
    chooses among many.

    Args:
      model: a DRAW.
      images, noise: as for `DRAW.call`, errors too; the unknown part of the images is not used.
      known: 1 where a pixel is known and 0 elsewhere, of a shape that broadcasts to the images.
      guess: images [N, H, W, C] in [0, 1] to fill in, or None.
    """
    images = model.check_images(images)  # [N, H, W, C]
    num = images.shape[0]
    # [T, N, Z]
    noise = model.draw_noise(num) if noise is None else model.check_noise(noise, num)
    steps = _infer(model, images, known, noise, guess)[1]
    return model.with_windows(Trace(**steps))


def imagine(model: DRAW, images, known, seed: int = 0, candidates: int = 8,
            sweeps: int = 6) -> Trace:
    """Completes images of which only a part is known, each as the best-fitting of S candidates.

    Every candidate is a pass of `complete`, drawn from a distribution q(z | known part, guess). One
    is chosen at random in proportion to p(known part, z) / q(z | known part, guess). That is
    importance resampling, and the choice tends to a sample from p(z | known part) as S grows
    (Rubin 1987). With few candidates it is near to the best of them. In each further sweep, chosen
    candidates are the guesses of the next ones (Cappe et al. 2004, "Population Monte Carlo").

    Args:
      model, images, known: as for `complete`, errors too.
      seed: whole number that the imaginations follow from.
      candidates: S for each image.
      sweeps: of choosing; after one, the Trace is of a pass without a guess.

    Returns:
      The Trace of the passes chosen, one for each image.
    """
    images = model.check_images(images)  # [N, H, W, C]
    num, dtype = images.shape[0], model.compute_dtype
    many = tf.repeat(images, candidates, axis=0)  # [N S, H, W, C]
    guess = None
    for sweep in range(sweeps):
        noise = tf.random.stateless_normal((model.glimpses, num * candidates,
                                            model.config.latent_size), [seed, 2 * sweep],
                                           dtype=dtype)  # [T, N S, Z]
        canvas, steps = _infer(model, many, known, noise, guess, ("z", "logsigma"))
        ratios = losses.log_prior_ratio(steps["z"], noise, steps["logsigma"])  # [T, N S]
        log_weights = tf.reduce_sum(ratios, axis=0) - _known_nats(
            model, many, canvas, known)  # [N S]
        log_weights = tf.where(tf.math.is_finite(log_weights), log_weights, log_weights.dtype.min)
        last = sweep == sweeps - 1
        chosen = tf.random.stateless_categorical(
            tf.reshape(log_weights, [num, candidates]), 1 if last else candidates,
            [seed, 2 * sweep + 1])  # [N, 1 or S]
        rows = tf.reshape(chosen + candidates * np.arange(num)[:, np.newaxis], [-1])  # [N or N S]
        if not last:
            guess = tf.sigmoid(tf.gather(canvas, rows))  # [N S, H, W, C]
    guess = None if guess is None else tf.gather(guess, rows)  # [N, H, W, C]
    return complete(model, images, known, tf.gather(noise, rows, axis=1), guess)


def _infer(model, images, known, noise, guess, keep=None):
    """The last canvas [N, H, W, C] of a pass of `complete`, and all steps' parts, or some."""
    def step(state, noise, given):
        images, known, guess = given
        rest = tf.sigmoid(state.canvas) if isinstance(guess, tuple) else guess  # [N, H, W, C]
        state, parts = model.infer_step(state, noise, known * images + (1 - known) * rest)
        return state, {name: parts[name] for name in keep or parts}

    known = tf.broadcast_to(tf.cast(known, images.dtype), tf.shape(images))  # [N, H, W, C]
    given = images, known, () if guess is None else guess
    state, kept = scan(step, model.initial_state(images.shape[0]), noise, given, model.unroll)
    return state.canvas, kept  # [N, H, W, C], and [T, N, ...] each


def _known_nats(model, images, canvas, known):
    """-log p(known part of the images | canvas) but for a constant, nats [N]."""
    known = tf.cast(known, images.dtype)
    # where nothing is known, no ink is certain: that costs nothing
    canvas = tf.where(tf.broadcast_to(known, tf.shape(images)) > 0, canvas, -100.0)  # [N, H, W, C]
    return losses.reconstruction_nats(known * images, canvas, model.config.likelihood)  # [N]
