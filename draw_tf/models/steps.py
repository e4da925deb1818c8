"""What the model hands from step to step, and what it keeps of them.

Letters in shapes: T glimpses, N images, H height, W width, C channels, D hidden size, Z latent
size, n side of an attention grid. A canvas holds logits.
"""

from typing import Any, NamedTuple, Optional

import tensorflow as tf

from draw_tf.models.attention import Window


class State(NamedTuple):
    """What one step hands to the next."""

    encoder: list  # h and c of the encoder's LSTM, [N, D] each
    decoder: list  # h and c of the decoder's LSTM, [N, D] each
    canvas: tf.Tensor  # [N, H, W, C], logits


class Stroke(NamedTuple):
    """The second half of a step: what was written, and how."""

    h_dec: tf.Tensor  # [N, D]
    c_dec: tf.Tensor  # [N, D]
    w: tf.Tensor  # [N, n, n, C], the patch; [N, H, W, C] without write attention
    write: Any  # Window, or () without write attention
    canvases: tf.Tensor  # [N, H, W, C], logits after the stroke


class Glimpse(NamedTuple):
    """The first half of a step: what was read, and the latent variables made of it."""

    r: tf.Tensor  # [N, 2 n n C], or [N, 2 H W C] without read attention
    read: Any  # Window, or () without read attention
    h_enc: tf.Tensor  # [N, D]
    c_enc: tf.Tensor  # [N, D]
    mu: tf.Tensor  # [N, Z]
    logsigma: tf.Tensor  # [N, Z]
    sigma: tf.Tensor  # [N, Z]
    z: tf.Tensor  # [N, Z]
    kl_nats: tf.Tensor  # [N]


class Generation(NamedTuple):
    """Every step of drawing from the prior; each field as in Stroke with a leading axis of T."""

    h_dec: tf.Tensor
    c_dec: tf.Tensor
    w: tf.Tensor
    write: Optional[Window]
    canvases: tf.Tensor  # [T, N, H, W, C]


class Trace(NamedTuple):
    """Every step of a pass; each field as in Glimpse and Stroke with a leading axis of T."""

    r: tf.Tensor
    read: Optional[Window]
    h_enc: tf.Tensor
    c_enc: tf.Tensor
    mu: tf.Tensor
    logsigma: tf.Tensor
    sigma: tf.Tensor
    z: tf.Tensor
    kl_nats: tf.Tensor  # [T, N]
    h_dec: tf.Tensor
    c_dec: tf.Tensor
    w: tf.Tensor
    write: Optional[Window]
    canvases: tf.Tensor  # [T, N, H, W, C]


class DRAWOutput(NamedTuple):
    """A pass: the last canvas, and the cost of the latent variables in nats."""

    logits: tf.Tensor  # [N, H, W, C]
    kl_nats: tf.Tensor  # [T, N]
