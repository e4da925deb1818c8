"""A VAE as anyone writes it in Keras, to which this project's models are compared."""

import copy

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from draw_tf import VAE
from draw_tf.config import VAEConfig
from draw_tf.models import make_model

CONFIG = VAEConfig(image_shape=(5, 4, 1), hidden_size=7, latent_size=3)
IMAGES = np.random.default_rng(0).random((10, 5, 4, 1))


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


def pair(optimizer="sgd", strategy=None, **options):
    """Our VAE without noise, and the plain one, with the same weights and compiled alike."""
    options = {"run_eagerly": True, **options}
    keras.utils.set_random_seed(0)  # from other weights, training may diverge
    with (strategy or tf.distribute.get_strategy()).scope():
        ours, plain = VAE(CONFIG, dtype="float64"), PlainVAE()
        plain.build((None, 5, 4, 1))
        plain(IMAGES)
        plain.set_weights(ours.get_weights())
        for model in (ours, plain):
            model.compile(copy.deepcopy(keras.optimizers.get(optimizer)), **options)
    ours.draw_noise = ours.step_noise = lambda num: tf.zeros([1, num, 3], tf.float64)
    return ours, plain


def compiled(config=CONFIG, **options):
    """A model of ours, compiled, and run eagerly unless the options say otherwise."""
    model = make_model(config)
    model.compile("adam", **{"run_eagerly": True, **options})
    return model


def assert_same_weights(ours, plain):
    for left, right in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)
