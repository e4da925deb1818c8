"""What a model hands from step to step, and what it keeps of all steps.

Letters in shapes: T glimpses, N images, H height, W width, C channels, D hidden size, Z latent
size, R numbers read, n side of an attention grid. A canvas holds logits.
"""

from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import tensorflow as tf

from draw_tf.models.attention import Window

Array: TypeAlias = tf.Tensor | np.ndarray
Count: TypeAlias = int | tf.Tensor  # a whole number, such as that of images
Steps = TypeVar("Steps", "Trace", "Generation")


class State(NamedTuple):
    """What one step hands to the next."""

    encoder: list[tf.Tensor]  # h and c of the encoder's LSTM, [N, D] each
    decoder: list[tf.Tensor]  # h and c of the decoder's LSTM, [N, D] each
    canvas: tf.Tensor  # [N, H, W, C], logits


class DRAWOutput(NamedTuple):
    """A pass: the last canvas, and the cost of the latent variables in nats."""

    logits: tf.Tensor  # [N, H, W, C]
    kl_nats: tf.Tensor  # [T, N]


class Generation(NamedTuple):
    """All steps of drawing from the prior. Fields that the model does not have are None."""

    canvases: tf.Tensor  # [T, N, H, W, C], logits after each step
    z: tf.Tensor  # [T, N, Z], the latent variables, here the noise itself
    h_dec: tf.Tensor | None = None  # [T, N, D]
    c_dec: tf.Tensor | None = None  # [T, N, D]
    w: tf.Tensor | None = None  # [T, N, n, n, C], the patch; [T, N, H, W, C] without attention
    write: Window | None = None  # where it was written

    @property
    def images(self) -> tf.Tensor:
        """The canvases as probabilities of ink in [0, 1], [T, N, H, W, C]."""
        return tf.sigmoid(self.canvases)  # [T, N, H, W, C]


class Trace(NamedTuple):
    """All steps of a pass over images. Fields that the model does not have are None."""

    canvases: tf.Tensor  # [T, N, H, W, C], logits after each step
    z: tf.Tensor  # [T, N, Z]
    mu: tf.Tensor  # [T, N, Z]
    logsigma: tf.Tensor  # [T, N, Z]
    sigma: tf.Tensor  # [T, N, Z]
    kl_nats: tf.Tensor  # [T, N]
    r: tf.Tensor | None = None  # [T, N, R], what was read
    read: Window | None = None  # where it was read
    h_enc: tf.Tensor | None = None  # [T, N, D]
    c_enc: tf.Tensor | None = None  # [T, N, D]
    h_dec: tf.Tensor | None = None  # [T, N, D]
    c_dec: tf.Tensor | None = None  # [T, N, D]
    w: tf.Tensor | None = None  # as in Generation
    write: Window | None = None  # as in Generation

    @property
    def images(self) -> tf.Tensor:
        """As those of a Generation."""
        return tf.sigmoid(self.canvases)  # [T, N, H, W, C]
