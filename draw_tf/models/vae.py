"""The plain variational autoencoder that the article opens with, to compare DRAW with.

One latent vector instead of one per step, and dense layers instead of recurrence and attention.
Letters in shapes: N images, H height, W width, C channels, D hidden size, Z latent size.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from draw_tf.config import VAEConfig
from draw_tf.models import losses
from draw_tf.models.base import ImageModel
from draw_tf.models.layers import dense, flat
from draw_tf.models.steps import Count, DRAWOutput, Generation


@keras.saving.register_keras_serializable(package="draw_tf")
class VAE(ImageModel):
    """Variational autoencoder (Kingma and Welling 2014, arXiv 1312.6114).

    >>> images = draw_tf.data.load("digits", "train").floats()  # [N, 28, 28, 1] in [0, 1]
    >>> model = draw_tf.VAE(draw_tf.VAEConfig(latent_size=50))
    >>> model.compile("adam")
    >>> history = model.fit(images, batch_size=64, verbose=0)
    >>> draw_tf.save("digits.png", model, model.generate(16))

    Two dense layers of D rectified units each way, between the image and one latent vector.
    """

    Config = VAEConfig
    config: VAEConfig

    def __init__(self, config: VAEConfig = VAEConfig(), unroll: int = 0, **kwargs):
        super().__init__(config, unroll, **kwargs)
        layers = {name: dense(*sizes, name, self.dtype_policy, "glorot_uniform")
                  for name, sizes in self.layer_sizes(config).items()}
        self.enc1, self.enc2 = layers["enc1"], layers["enc2"]
        self.mu_layer, self.logsigma_layer = layers["mu"], layers["sigma"]
        self.dec1, self.dec2, self.pixels_layer = layers["dec1"], layers["dec2"], layers["pixels"]
        self.built = True

    @staticmethod
    def layer_sizes(config: VAEConfig) -> dict[str, tuple[int, int]]:
        """Inputs and units of each dense layer, by its name."""
        pixels = math.prod(config.image_shape)
        hidden, latent = config.hidden_size, config.latent_size
        return {"enc1": (pixels, hidden), "enc2": (hidden, hidden), "mu": (hidden, latent),
                "sigma": (hidden, latent), "dec1": (latent, hidden), "dec2": (hidden, hidden),
                "pixels": (hidden, pixels)}

    def encode(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """From images [N, H, W, C] to mu and logsigma of z, [N, Z] each."""
        with tf.name_scope("encode"):
            hidden = tf.nn.relu(self.enc1(flat(images)))  # [N, D]
            hidden = tf.nn.relu(self.enc2(hidden))  # [N, D]
            return self.mu_layer(hidden), self.logsigma_layer(hidden)  # [N, Z] each

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """From z [N, Z] to the logits of images [N, H, W, C]."""
        with tf.name_scope("decode"):
            hidden = tf.nn.relu(self.dec1(z))  # [N, D]
            hidden = tf.nn.relu(self.dec2(hidden))  # [N, D]
            pixels = self.pixels_layer(hidden)  # [N, H W C]
            return tf.reshape(pixels, [-1, *self.config.image_shape])  # [N, H, W, C]

    def infer_steps(self, num: Count, images: tf.Tensor, noise: tf.Tensor,
                    keep: Sequence[str]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """As `DRAW.infer_steps`, in one step."""
        mu, logsigma = self.encode(images)  # [N, Z] each
        sigma = tf.exp(logsigma)  # [N, Z]
        with tf.name_scope("sample"):
            z = mu + sigma * noise[0]  # [N, Z]
            kl_nats = losses.kl_nats(mu, logsigma)  # [N]
        logits = self.decode(z)  # [N, H, W, C]
        parts = dict(canvases=logits, z=z, mu=mu, logsigma=logsigma, sigma=sigma, kl_nats=kl_nats)
        return logits, {name: parts[name][tf.newaxis] for name in keep or parts}  # [1, N, ...] each

    def draw_steps(self, num: Count, noise: tf.Tensor) -> Generation:
        """As `DRAW.draw_steps`, in one step."""
        return Generation(self.decode(noise[0])[tf.newaxis], noise)  # [1, N, H, W, C], [1, N, Z]

    def start_from(self, log_odds: np.ndarray) -> None:
        """Sets the last bias so that `log_odds` [H, W, C] are drawn."""
        self.pixels_layer.bias.assign(np.ravel(log_odds))

    def one_step(self, images: tf.Tensor, noise: tf.Tensor) -> DRAWOutput:
        """`call` with noise [N, Z], for TensorBoard's graph."""
        return self.call(images, noise[tf.newaxis])
