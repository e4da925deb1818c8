"""A VAE as anyone writes it in Keras, to which this project's models are compared."""

import keras
from keras import ops

from draw_tf.config import VAEConfig

CONFIG = VAEConfig(image_shape=(5, 4, 1), hidden_size=7, latent_size=3)


class PlainVAE(keras.Model):
    """The same as `draw_tf.VAE` with noise of zeros, and nothing of Keras is overridden."""

    def __init__(self, config=CONFIG, **kwargs):
        super().__init__(dtype="float64", **kwargs)

        def dense(units, activation=None):
            return keras.layers.Dense(units, activation, dtype="float64")

        hidden, latent, pixels = config.hidden_size, config.latent_size, 20
        self.enc1, self.enc2 = dense(hidden, "relu"), dense(hidden, "relu")
        self.mu, self.logsigma = dense(latent), dense(latent)
        self.dec1, self.dec2 = dense(hidden, "relu"), dense(hidden, "relu")
        self.pixels = dense(pixels)

    def call(self, images):
        x = ops.reshape(images[0] if isinstance(images, (list, tuple)) else images, [-1, 20])
        hidden = self.enc2(self.enc1(x))
        mu, logsigma = self.mu(hidden), self.logsigma(hidden)
        logits = self.pixels(self.dec2(self.dec1(mu)))
        self.add_loss(ops.mean(ops.sum(ops.softplus(logits) - x * logits, axis=1)))
        self.add_loss(ops.mean(ops.sum(
            mu**2 + ops.exp(2 * logsigma) - 2 * logsigma - 1, axis=1)) / 2)
        return ops.reshape(ops.sigmoid(logits), [-1, 5, 4, 1])
