"""The plain variational autoencoder that the article opens with, to compare DRAW with.

One latent vector instead of one per step, and dense layers instead of recurrence and attention.
Letters in shapes: N images, H height, W width, C channels, D hidden size, Z latent size.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from draw_tf.config import VAEConfig
from draw_tf.models import losses
from draw_tf.models.base import ImageModel
from draw_tf.models.layers import flat
from draw_tf.models.steps import DRAWOutput


class VAETrace(NamedTuple):
    """A pass as if it were one step of DRAW's; `read` and `write` are there for pictures."""

    mu: tf.Tensor  # [1, N, Z]
    logsigma: tf.Tensor  # [1, N, Z]
    z: tf.Tensor  # [1, N, Z]
    kl_nats: tf.Tensor  # [1, N]
    canvases: tf.Tensor  # [1, N, H, W, C], logits
    read: None = None
    write: None = None


class VAEGeneration(NamedTuple):
    """Images drawn from the prior, as if in one step."""

    canvases: tf.Tensor  # [1, N, H, W, C], logits
    write: None = None


@keras.saving.register_keras_serializable(package="draw_tf")
class VAE(ImageModel):
    """Variational autoencoder (Kingma and Welling 2014, arXiv 1312.6114).

    Two dense layers of D rectified units each way, between the image and one latent vector.

    Args:
      config: a VAEConfig.
      unroll: not used; DRAW has it.
      **kwargs: of keras.Model, such as dtype="float64".
    """

    Config = VAEConfig

    def __init__(self, config: VAEConfig = VAEConfig(), unroll: int = 0, **kwargs):
        super().__init__(config, **kwargs)
        height, width, channels = config.image_shape
        pixels, hidden, latent = height * width * channels, config.hidden_size, config.latent_size
        self.enc1 = self._dense(pixels, hidden, "enc1", "relu")
        self.enc2 = self._dense(hidden, hidden, "enc2", "relu")
        self.mu_layer = self._dense(hidden, latent, "mu")
        self.logsigma_layer = self._dense(hidden, latent, "sigma")
        self.dec1 = self._dense(latent, hidden, "dec1", "relu")
        self.dec2 = self._dense(hidden, hidden, "dec2", "relu")
        self.pixels_layer = self._dense(hidden, pixels, "pixels")
        self.built = True

    def _dense(self, inputs, units, name, activation=None):
        layer = keras.layers.Dense(units, activation, name=name, dtype=self.dtype_policy)
        layer.build((None, inputs))
        return layer

    def encode(self, images):
        """From images [N, H, W, C] to mu and logsigma of z, [N, Z] each."""
        with tf.name_scope("encode"):
            hidden = self.enc2(self.enc1(flat(images)))  # [N, D]
            return self.mu_layer(hidden), self.logsigma_layer(hidden)

    def decode(self, z):
        """From z [N, Z] to the logits of images [N, H, W, C]."""
        with tf.name_scope("decode"):
            pixels = self.pixels_layer(self.dec2(self.dec1(z)))  # [N, H W C]
            return tf.reshape(pixels, [-1, *self.config.image_shape])  # [N, H, W, C]

    def trace(self, images, noise=None) -> VAETrace:
        """One pass.

        Args:
          images: [N, H, W, C] in [0, 1].
          noise: standard normal, [1, N, Z]; drawn where None.

        Raises:
          ValueError: images or noise are of another shape.
        """
        images = self.check_images(images)  # [N, H, W, C]
        noise = self.check_noise(noise, images.shape[0] or tf.shape(images)[0])  # [1, N, Z]
        mu, logsigma = self.encode(images)  # [N, Z] each
        with tf.name_scope("sample"):
            z = mu + tf.exp(logsigma) * noise[0]  # [N, Z]
            kl_nats = losses.kl_nats(mu, logsigma)  # [N]
        logits = self.decode(z)  # [N, H, W, C]
        return VAETrace(*(x[tf.newaxis] for x in (mu, logsigma, z, kl_nats, logits)))

    def call(self, images, noise=None) -> DRAWOutput:
        """The logits [N, H, W, C] and kl_nats [1, N] of `trace`, whose arguments it has."""
        trace = self.trace(images, noise)
        return DRAWOutput(trace.canvases[0], trace.kl_nats)

    def one_step(self, images, noise):
        """`call` with noise [N, Z], for TensorBoard's graph."""
        return self.call(images, noise[tf.newaxis])

    def latents(self, images, noise=None):
        """What `log_weights` is made of: images, noise, z, logsigma, and the logits."""
        images = self.check_images(images)  # [N, H, W, C]
        noise = self.check_noise(noise, images.shape[0] or tf.shape(images)[0])  # [1, N, Z]
        trace = self.trace(images, noise)
        return images, noise, trace.z, trace.logsigma, trace.canvases[0]

    def generate(self, num, noise=None, seed=None) -> VAEGeneration:
        """Draws new images from the prior; arguments and errors are those of `DRAW.generate`."""
        if isinstance(num, int) and num < 1:  # in a graph it may be a tensor
            raise ValueError(f"num must be at least 1, got {num}")
        noise = self.check_noise(noise, num, seed)  # [1, N, Z]
        return VAEGeneration(self.decode(noise[0])[tf.newaxis])
