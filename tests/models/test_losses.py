"""The pure functions of `losses`: their values, and what they do at extremes."""

import math

import numpy as np
import pytest
import tensorflow as tf

from draw_tf.models import losses
from tests.support.numerics import EXACT, MODES, SINGLE, in_mode

N, H, W, C, Z = 3, 4, 5, 2, 3


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)  # float64


def test_reconstruction_is_the_cross_entropy_of_an_image():
    images, logits = np.random.default_rng(0).random((N, H, W, C)), 3 * random(N, H, W, C)
    probability = 1 / (1 + np.exp(-logits))
    pixels = -images * np.log(probability) - (1 - images) * np.log(1 - probability)
    np.testing.assert_allclose(losses.reconstruction_nats(images, logits),
                               pixels.sum(axis=(1, 2, 3)), rtol=EXACT)


def test_kl_is_what_its_integral_gives():
    mu, logsigma = random(1, 1), 0.5 * random(1, 1, seed=1)
    z = np.linspace(-15, 15, 100_001)
    sigma = np.exp(logsigma[0])
    log_q = -0.5 * ((z - mu[0]) / sigma)**2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    log_p = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    integral = np.sum(np.exp(log_q) * (log_q - log_p)) * (z[1] - z[0])
    np.testing.assert_allclose(losses.kl_nats(mu, logsigma), [integral], rtol=EXACT)


def test_kl_adds_up_over_latent_variables():
    mu, logsigma = random(N, Z), 0.5 * random(N, Z, seed=1)
    each = [losses.kl_nats(mu[:, i:i + 1], logsigma[:, i:i + 1]) for i in range(Z)]
    np.testing.assert_allclose(losses.kl_nats(mu, logsigma), np.sum(each, axis=0), rtol=EXACT)


@pytest.mark.parametrize("shape", [(N, Z), (2, N, Z)])
def test_log_prior_ratio_is_that_of_the_two_densities(shape):
    mu, logsigma, noise = (random(*shape, seed=seed) for seed in range(3))
    z = mu + np.exp(logsigma) * noise
    log_p = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    log_q = (-0.5 * ((z - mu) / np.exp(logsigma))**2 - logsigma - 0.5 * np.log(2 * np.pi))
    np.testing.assert_allclose(losses.log_prior_ratio(z, noise, logsigma),
                               (log_p - log_q).sum(axis=-1), rtol=EXACT)


@pytest.mark.parametrize("samples", [1, 2, 50])
def test_importance_weighting_is_the_log_of_a_mean(samples):
    log_weights = random(samples, N)
    want = -np.log(np.mean(np.exp(log_weights), axis=0))
    np.testing.assert_allclose(losses.importance_weighted_nats(log_weights), want, rtol=EXACT)
    far = losses.importance_weighted_nats(log_weights - 1e5)  # exp(-1e5) is 0
    np.testing.assert_allclose(far, want + 1e5, rtol=EXACT)


def test_batch_means():
    recon_nats, kl_nats, weights = random(N), random(4, N, seed=1), np.array([1.0, 0, 3])
    np.testing.assert_allclose(losses.batch_means(recon_nats, kl_nats),
                               [recon_nats.mean(), *kl_nats.mean(axis=1)], rtol=EXACT)
    np.testing.assert_allclose(
        losses.batch_means(recon_nats, kl_nats, weights),
        [(recon_nats @ weights) / 4, *(kl_nats @ weights) / 4], rtol=EXACT)


def test_report():
    report = losses.report(tf.constant([80.0, 1.0, 2.5]))
    assert report == {"bound_nats": 83.5, "recon_nats": 80.0, "kl_nats": 3.5,
                      "kl_step_nats": [1.0, 2.5]}


@pytest.mark.parametrize("mode", MODES)
def test_hard_pixels_and_extreme_posteriors_have_their_finite_costs(mode):
    images, logits = tf.constant([0.0, 0, 1, 1]), tf.constant([-200.0, 200, -200, 200])
    mu, logsigma = tf.constant([[-100.0, 0, 100]]), tf.constant([[-20.0, 0, 20]])

    def values_and_slopes(logits, mu, logsigma):
        with tf.GradientTape() as tape:
            tape.watch((logits, mu, logsigma))
            pixels = losses.reconstruction_nats(images[:, None, None, None],
                                                logits[:, None, None, None])  # [4]
            kl_nats = losses.kl_nats(mu, logsigma)  # [1]
            total = tf.reduce_sum(pixels) + kl_nats
        return pixels, kl_nats, *tape.gradient(total, (logits, mu, logsigma))

    kl = 0.5 * (2 * 100**2 + math.exp(-40) + 1 + math.exp(40) - 3)
    wanted = [0, 200, 200, 0], [kl], [0, 1, -1, 0], mu, [[-1, 0, math.exp(40)]]
    for got, want in zip(in_mode(values_and_slopes, mode)(logits, mu, logsigma), wanted,
                         strict=True):
        np.testing.assert_allclose(got, want, rtol=SINGLE, atol=SINGLE)
