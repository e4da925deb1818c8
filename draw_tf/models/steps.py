"""What the model hands from step to step, and what it keeps of them.

Letters in shapes: T glimpses, N images, H height, W width, C channels, D hidden size, Z latent
size, n side of an attention grid. A canvas holds logits. After all steps, each field of a
Generation or Trace has a leading axis of T. A VAE has only the fields without a default.
"""

from typing import NamedTuple

import tensorflow as tf

from draw_tf.models.attention import Window


class State(NamedTuple):
    """What one step hands to the next."""

    encoder: list  # h and c of the encoder's LSTM, [N, D] each
    decoder: list  # h and c of the decoder's LSTM, [N, D] each
    canvas: tf.Tensor  # [N, H, W, C], logits


class Generation(NamedTuple):
    """The second half of a step, and all of one when drawing from the prior: what is written."""

    canvases: tf.Tensor  # [N, H, W, C], logits after the step
    w: tf.Tensor | None = None  # [N, n, n, C], the patch; [N, H, W, C] without write attention
    write: Window | None = None  # None without write attention
    h_dec: tf.Tensor | None = None  # [N, D]
    c_dec: tf.Tensor | None = None  # [N, D]
    z: tf.Tensor | None = None  # [N, Z]


class Trace(NamedTuple):
    """A step of a pass: the latent variables, what they were made of, and what is written."""

    canvases: tf.Tensor  # [N, H, W, C], logits after the step
    mu: tf.Tensor  # [N, Z]
    logsigma: tf.Tensor  # [N, Z]
    z: tf.Tensor  # [N, Z]
    kl_nats: tf.Tensor  # [N]
    sigma: tf.Tensor | None = None  # [N, Z]
    r: tf.Tensor | None = None  # [N, 2 n n C], or [N, 2 H W C] without read attention
    read: Window | None = None  # None without read attention
    h_enc: tf.Tensor | None = None  # [N, D]
    c_enc: tf.Tensor | None = None  # [N, D]
    w: tf.Tensor | None = None  # [N, n, n, C], the patch; [N, H, W, C] without write attention
    write: Window | None = None  # None without write attention
    h_dec: tf.Tensor | None = None  # [N, D]
    c_dec: tf.Tensor | None = None  # [N, D]


class DRAWOutput(NamedTuple):
    """A pass: the last canvas, and the cost of the latent variables in nats."""

    logits: tf.Tensor  # [N, H, W, C]
    kl_nats: tf.Tensor  # [T, N]


def all_steps(steps):
    """A stacked Trace or Generation, with None for each window that the model does not have.

    A single step has () there, because `tf.nest` would take None for a tensor to be stacked.
    """
    scopes = {"read", "write"}.intersection(steps._fields)
    return steps._replace(**{scope: getattr(steps, scope) or None for scope in scopes})
