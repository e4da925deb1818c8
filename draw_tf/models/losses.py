"""The bound on the log likelihood in nats, its two terms, and its importance-weighted sharpening.

Letters in shapes: N images, T steps, Z latent variables, K samples per image.
"""

import math

import numpy as np
import tensorflow as tf


def reconstruction_nats(images: tf.Tensor, logits: tf.Tensor,
                        likelihood: str = "bernoulli") -> tf.Tensor:
    """-log p(images | final canvas): the article's `generation_loss`, per image (paper eq. 9).

    "bernoulli" is the article's and the paper's cross-entropy; intensities between 0 and 1 count as
    probabilities of ink. "gaussian" has mean sigmoid(logits) and variance 1: half the squared
    error, as in the article's source for colour, and the constant 0.5 log(2 pi) per number.

    From images in [0, 1] and logits, [N, H, W, C] each, to nats [N]. Logits may be of any size: the
    loss is computed from them, and not from the logarithm of a probability that rounds to 0.
    """
    if likelihood == "gaussian":
        pixels = 0.5 * (tf.square(images - tf.sigmoid(logits)) + math.log(2 * math.pi))
    else:
        pixels = tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=logits)
    return tf.reduce_sum(pixels, axis=(1, 2, 3))  # [N]; pixels is [N, H, W, C]


def kl_nats(mu: tf.Tensor, logsigma: tf.Tensor) -> tf.Tensor:
    """KL of one step's posterior N(mu, sigma^2) from the prior N(0, 1): [N, Z] each to nats [N].

    Summed over steps, it is the article's `latent_loss` of an image (paper eq. 10). The article
    subtracts T/2 per step where Z/2 is right; they agree only because its T equals its Z.
    """
    terms = tf.square(mu) + tf.exp(2 * logsigma) - 2 * logsigma - 1  # [N, Z]
    return 0.5 * tf.reduce_sum(terms, axis=1)  # [N]


def log_prior_ratio(z: tf.Tensor, noise: tf.Tensor, logsigma: tf.Tensor) -> tf.Tensor:
    """log p(z) - log q(z | image) in nats, of z = mu + sigma * noise: [..., Z] each to [...]."""
    # the two Gaussians' constants cancel, and (z - mu) / sigma is the noise
    terms = 0.5 * (tf.square(noise) - tf.square(z)) + logsigma  # [..., Z]
    return tf.reduce_sum(terms, axis=-1)  # [...]


def importance_weighted_nats(log_weights: tf.Tensor) -> tf.Tensor:
    """The importance-weighted bound on -log p(image) in nats, [N] (Burda et al. 2016, eq. 8).

    From log p(image, z) - log q(z | image) of K samples z per image, [K, N]. The bound is the plain
    one at K = 1, and tends to -log p(image) as K grows.
    """
    return math.log(log_weights.shape[0]) - tf.reduce_logsumexp(log_weights, axis=0)  # [N]


def batch_means(recon_nats: tf.Tensor, kl_nats: tf.Tensor,
                weights: tf.Tensor | None = None) -> tf.Tensor:
    """Means of recon_nats [N] and kl_nats [T, N] over a batch, by `weights` [N] if any: [1 + T]."""
    terms = tf.concat([recon_nats[tf.newaxis], kl_nats], axis=0)  # [1 + T, N]
    if weights is None:
        return tf.reduce_mean(terms, axis=1)  # [1 + T]
    weights = tf.cast(weights, terms.dtype)  # [N]
    return tf.linalg.matvec(terms, weights) / tf.reduce_sum(weights)  # [1 + T]


def report(means: tf.Tensor | np.ndarray) -> dict:
    """`batch_means` as a dictionary of numbers in nats per image.

    bound_nats is recon_nats + kl_nats, and kl_step_nats is a list of T that sums to kl_nats.
    """
    recon_nats, *steps = map(float, means)
    kl_nats = sum(steps)
    return {"bound_nats": recon_nats + kl_nats, "recon_nats": recon_nats, "kl_nats": kl_nats,
            "kl_step_nats": steps}
