"""A part of an image given: what a trained DRAW imagines for the rest.

Letters in shapes: T steps, N images, H height, W width, C channels, S candidates per image.
"""

import numpy as np
import tensorflow as tf

from draw_tf.models import losses
from draw_tf.models.draw import DRAW
from draw_tf.models.recurrence import scan
from draw_tf.models.steps import Array, Trace

SIDES = ("left", "right", "top", "bottom")


def kept_half(keep: str, height: int, width: int) -> np.ndarray:
    """Which pixels are known where one half is kept, float32 [H, W, 1] of 0 and 1."""
    rows, columns = np.mgrid[:height, :width]  # [H, W] each
    known = {"left": columns < width // 2, "right": columns >= width - width // 2,
             "top": rows < height // 2, "bottom": rows >= height - height // 2}[keep]
    return known[..., np.newaxis].astype(np.float32)  # [H, W, 1]


def complete(model: DRAW, images: Array, known: Array, noise: Array,
             guess: Array | None = None) -> Trace:
    """Draws images of which only a part is known, in one pass; errors are those of `DRAW.call`.

    `known` is 1 where a pixel is known and 0 elsewhere, of a shape that broadcasts to the images.
    The rest is not looked at: in its place the encoder sees a guess [N, H, W, C] or, where that is
    None, at each step the canvas so far. The last canvas, in logits, is one imagination of the
    whole image, and other noise gives another. Nothing but the encoder's errors holds it to the
    known part, and early strokes are never taken back, so that it often strays: `imagine` chooses
    among many.
    """
    images = model.check_images(images)  # [N, H, W, C]
    noise = model.check_noise(noise, images.shape[0])  # [T, N, Z]
    return model.with_windows(Trace(**_infer(model, images, known, noise, guess)[1]))


def imagine(model: DRAW, images: Array, known: Array, seed: int, candidates: int,
            sweeps: int) -> Trace:
    """Completes images of which only a part is known, each as the best-fitting of S candidates.

    Every candidate is a pass of `complete`, drawn from a distribution q(z | known part, guess). One
    is chosen at random in proportion to p(known part, z) / q(z | known part, guess). That is
    importance resampling, and the choice tends to a sample from p(z | known part) as S grows
    (Rubin 1987). In each further sweep, chosen candidates are the guesses of the next ones
    (Cappe et al. 2004, "Population Monte Carlo"); the first has no guess.

    Args:
      model, images, known: as for `complete`, errors too.
      seed: whole number that the imaginations follow from.
      candidates: S for each image.
      sweeps: of choosing; after one, the Trace is of a pass without a guess.

    Returns:
      The Trace of the passes chosen, one for each image.
    """
    images = model.check_images(images)  # [N, H, W, C]
    num = images.shape[0]
    many = tf.repeat(images, candidates, axis=0)  # [N S, H, W, C]
    given = tf.broadcast_to(tf.cast(known, many.dtype), tf.shape(many))  # [N S, H, W, C]
    first = candidates * np.arange(num)[:, np.newaxis]  # [N, 1], of the candidates of each image
    guess = canvas = rows = None
    for sweep in range(sweeps):
        if sweep:
            guess = tf.sigmoid(tf.gather(canvas, rows))  # [N S, H, W, C]
        noise = model.draw_noise(num * candidates, seed, 2 * sweep)  # [T, N S, Z]
        canvas, steps = _infer(model, many, given, noise, guess, ("z", "logsigma"))
        ratios = losses.log_prior_ratio(steps["z"], noise, steps["logsigma"])  # [T, N S]
        # unknown pixels count as blank, so that they cost all candidates the same
        certain = tf.where(given > 0, canvas, -100.0)  # [N S, H, W, C]
        nats = losses.reconstruction_nats(given * many, certain, model.config.likelihood)  # [N S]
        log_weights = tf.reduce_sum(ratios, axis=0) - nats  # [N S]
        log_weights = tf.where(tf.math.is_finite(log_weights), log_weights, log_weights.dtype.min)
        chosen = tf.random.stateless_categorical(
            tf.reshape(log_weights, [num, candidates]), candidates if sweep < sweeps - 1 else 1,
            [seed, 2 * sweep + 1])  # [N, S], or [N, 1] in the last sweep
        rows = tf.reshape(first + chosen, [-1])  # [N S], or [N]
    guess = None if guess is None else tf.gather(guess, rows)  # [N, H, W, C]
    return complete(model, images, known, tf.gather(noise, rows, axis=1), guess)


def _infer(model, images, known, noise, guess, keep=()):
    """The last canvas [N, H, W, C] of a pass of `complete`, and all steps' parts, or some."""
    def step(state, noise, given):
        images, known, *guess = given
        rest = guess[0] if guess else tf.sigmoid(state.canvas)  # [N, H, W, C]
        state, parts = model.infer_step(state, noise, known * images + (1 - known) * rest)
        return state, {name: parts[name] for name in keep or parts}

    known = tf.broadcast_to(tf.cast(known, images.dtype), tf.shape(images))  # [N, H, W, C]
    given = (images, known) if guess is None else (images, known, guess)
    state, kept = scan(step, model.initial_state(images.shape[0]), noise, given, model.unroll)
    return state.canvas, kept  # [N, H, W, C], and [T, N, ...] each
