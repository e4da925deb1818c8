"""The pure functions of `attention` and `losses`: values, slopes, and what they do at extremes."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from tests import reference
from draw_tf import attention, losses
from tests.numerics import MODES, in_mode

EQUATIONS = ("article", "paper")
N, H, W, C, n, Z = 3, 4, 5, 2, 2, 3


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)  # float64


def window(params, equations, size=n):
    """Window parameters and filters, from the five numbers [N, 5]."""
    gx, gy, sigma2, delta, gamma = attention.window_parameters(params, H, W, size, equations)
    Fx, Fy = attention.filterbank(gx, gy, sigma2, delta, H, W, size, equations)
    return dict(gx=gx, gy=gy, delta=delta, sigma2=sigma2, gamma=gamma, Fx=Fx, Fy=Fy)


def wide_params():
    """Windows [N, 5] of which one lies on the image, one half off it, and one all off it."""
    params = 0.3 * random(N, 5)
    params[1, :2] += 0.8
    params[2, :2] += [3, -4]
    params[:, 2] -= 1  # filters narrow enough for the floor of the normaliser
    return params


def off_image(Fx):
    return np.sum(Fx, axis=-1) < 0.999


# Values, in float64.


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("equations", EQUATIONS)
def test_windows_are_the_references(equations, size):
    got = window(tf.constant(wide_params()), equations, size)
    want = reference.window(wide_params(), H, W, size, equations)
    assert np.any(off_image(want["Fx"])) and not np.all(off_image(want["Fx"]))
    for name, value in want.items():
        assert got[name].dtype == tf.float64
        np.testing.assert_allclose(got[name], value, rtol=1e-9, atol=1e-14, err_msg=name)


def test_reading_is_a_product_of_matrices_for_each_channel():
    image, Fx, Fy, gamma = random(N, H, W, C), random(N, n, W), random(N, n, H), random(N, 1)
    want = np.einsum("kih,khwc,kjw,kz->kijc", Fy, image, Fx, gamma)
    np.testing.assert_allclose(attention.read(image, Fx, Fy, gamma), want, rtol=1e-10)


def test_writing_is_a_product_of_matrices_for_each_channel():
    patch, Fx, Fy, gamma = random(N, n, n, C), random(N, n, W), random(N, n, H), random(N, 1)
    want = np.einsum("kih,kijc,kjw,kz->khwc", Fy, patch, Fx, 1 / gamma)
    np.testing.assert_allclose(attention.write(patch, Fx, Fy, gamma), want, rtol=1e-10)


def test_reconstruction_is_the_cross_entropy_of_an_image():
    images, logits = np.random.default_rng(0).random((N, H, W, C)), 3 * random(N, H, W, C)
    probability = 1 / (1 + np.exp(-logits))
    pixels = -images * np.log(probability) - (1 - images) * np.log(1 - probability)
    np.testing.assert_allclose(losses.reconstruction_nats(images, logits),
                               pixels.sum(axis=(1, 2, 3)), rtol=1e-12)


def test_kl_is_what_its_integral_gives():
    mu, logsigma = random(1, 1), 0.5 * random(1, 1, seed=1)
    z = np.linspace(-15, 15, 100_001)
    sigma = np.exp(logsigma[0])
    log_q = -0.5 * ((z - mu[0]) / sigma)**2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    log_p = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    integral = np.sum(np.exp(log_q) * (log_q - log_p)) * (z[1] - z[0])
    np.testing.assert_allclose(losses.kl_nats(mu, logsigma), [integral], rtol=1e-9)


def test_kl_adds_up_over_latent_variables():
    mu, logsigma = random(N, Z), 0.5 * random(N, Z, seed=1)
    each = [losses.kl_nats(mu[:, i:i + 1], logsigma[:, i:i + 1]) for i in range(Z)]
    np.testing.assert_allclose(losses.kl_nats(mu, logsigma), np.sum(each, axis=0), rtol=1e-12)


def test_log_prior_ratio_is_that_of_the_two_densities():
    mu, logsigma, noise = (random(N, Z, seed=seed) for seed in range(3))
    z = mu + np.exp(logsigma) * noise
    log_p = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    log_q = (-0.5 * ((z - mu) / np.exp(logsigma))**2 - logsigma - 0.5 * np.log(2 * np.pi))
    np.testing.assert_allclose(losses.log_prior_ratio(z, noise, logsigma),
                               (log_p - log_q).sum(axis=1), rtol=1e-10)


@pytest.mark.parametrize("samples", [1, 2, 50])
def test_importance_weighting_is_the_log_of_a_mean(samples):
    log_weights = random(samples, N)
    np.testing.assert_allclose(losses.importance_weighted_nats(log_weights),
                               -np.log(np.mean(np.exp(log_weights), axis=0)), rtol=1e-10)
    far = losses.importance_weighted_nats(log_weights - 1e5)  # exp(-1e5) is 0
    np.testing.assert_allclose(far, -np.log(np.mean(np.exp(log_weights), axis=0)) + 1e5, rtol=1e-10)


def test_importance_weighting_never_loosens_the_bound():
    log_weights = random(20, N)
    assert np.all(losses.importance_weighted_nats(log_weights) < -np.mean(log_weights, axis=0))


def test_batch_means():
    recon_nats, kl_nats, weights = random(N), random(4, N, seed=1), np.array([1.0, 0, 3])
    np.testing.assert_allclose(losses.batch_means(recon_nats, kl_nats),
                               [recon_nats.mean(), *kl_nats.mean(axis=1)], rtol=1e-12)
    np.testing.assert_allclose(
        losses.batch_means(recon_nats, kl_nats, weights),
        [(recon_nats @ weights) / 4, *(kl_nats @ weights) / 4], rtol=1e-12)


def test_report():
    report = losses.report(tf.constant([80.0, 1.0, 2.5]))
    assert report == {"bound_nats": 83.5, "recon_nats": 80.0, "kl_nats": 3.5,
                      "kl_step_nats": [1.0, 2.5]}


# Slopes, against finite differences in float64.


def check_gradient(function, *arguments):
    arguments = [tf.constant(argument, tf.float64) for argument in arguments]
    analytic, numeric = tf.test.compute_gradient(function, arguments, delta=1e-5)
    for got, want in zip(analytic, numeric):
        assert np.any(want)
        np.testing.assert_allclose(got, want, atol=1e-7 * max(1, np.max(np.abs(want))))


@pytest.mark.parametrize("part", ["gx", "gy", "delta", "sigma2", "gamma", "Fx", "Fy"])
@pytest.mark.parametrize("equations", EQUATIONS)
def test_slopes_of_windows(equations, part):
    check_gradient(lambda params: window(params, equations)[part], wide_params())


@pytest.mark.parametrize("equations", EQUATIONS)
def test_slopes_of_filters(equations):
    centre, sigma2, delta = 2 + random(N, 1), *np.exp(random(2, N, 1, seed=1))
    other = tf.ones([N, 1], tf.float64)
    for axis in (0, 1):
        def bank(centre, sigma2, delta):
            centres = (centre, other) if axis == 0 else (other, centre)
            return attention.filterbank(*centres, sigma2, delta, H, W, n, equations)[axis]

        check_gradient(bank, centre, sigma2, delta)


def test_slopes_of_reading():
    check_gradient(attention.read, random(N, H, W, C), random(N, n, W), random(N, n, H),
                   np.exp(random(N, 1)))


def test_slopes_of_writing():
    check_gradient(attention.write, random(N, n, n, C), random(N, n, W), random(N, n, H),
                   np.exp(random(N, 1)))


def test_slopes_of_the_losses():
    images = tf.constant(np.random.default_rng(0).random((N, H, W, C)))
    check_gradient(lambda logits: losses.reconstruction_nats(images, logits), random(N, H, W, C))
    check_gradient(losses.kl_nats, random(N, Z), random(N, Z, seed=1))
    check_gradient(losses.log_prior_ratio, *(random(N, Z, seed=seed) for seed in range(3)))
    check_gradient(losses.importance_weighted_nats, random(5, N))
    check_gradient(losses.batch_means, random(N), random(Z, N))


# Extremes, in float32: finite in value and slope, and in the value right.


def extremes():
    """params [M, 5], images and logits [M, H, W, C]: far windows, hard images, hard logits."""
    cases = [([g, -g, log_sigma2, log_delta, log_gamma], image, logit)
             for g, log_sigma2, log_delta, log_gamma, image, logit in itertools.product(
                 (-3, 0, 3), (-20, 20), (-2, 2), (-3, 3), (0, 1), (-200, 200))]
    params, image, logit = (np.array(part, np.float32) for part in zip(*cases))
    shape = (len(cases), 1, 1, 1)
    return params, *(np.broadcast_to(part.reshape(shape), (len(cases), H, W, C)).copy()
                     for part in (image, logit))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("equations", EQUATIONS)
def test_extreme_windows_images_and_logits_are_finite(equations, mode):
    params, images, logits = (tf.constant(part) for part in extremes())
    patch = tf.ones([len(params), n, n, C])

    def value_and_slopes(params, patch, logits):
        with tf.GradientTape() as tape:
            tape.watch((params, patch, logits))
            parts = window(params, equations)
            filters = parts["Fx"], parts["Fy"], parts["gamma"]
            glimpse = attention.read(images - tf.sigmoid(logits), *filters)
            canvas = logits + attention.write(patch, *filters)
            value = (tf.reduce_sum(glimpse, axis=(1, 2, 3))
                     + losses.reconstruction_nats(images, canvas))
        return parts, value, tape.gradient(value, (params, patch, logits))

    results = in_mode(value_and_slopes, mode)(params, patch, logits)
    for result in tf.nest.flatten(results):
        assert np.all(np.isfinite(result))


@pytest.mark.parametrize("mode", MODES)
def test_the_cost_of_a_hard_pixel_is_its_logit_or_nothing(mode):
    images = tf.constant([0.0, 0, 1, 1])
    logits = tf.constant([-200.0, 200, -200, 200])

    def pixels(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            nats = losses.reconstruction_nats(images[:, None, None, None],
                                              logits[:, None, None, None])
        return nats, tape.gradient(nats, logits)

    nats, slopes = in_mode(pixels, mode)(logits)
    np.testing.assert_allclose(nats, [0, 200, 200, 0])
    np.testing.assert_allclose(slopes, [0, 1, -1, 0])


@pytest.mark.parametrize("equations", EQUATIONS)
def test_extreme_widths_see_one_pixel_or_all_alike(equations):
    on_pixel = tf.constant([[4.0], [4.0]])
    Fx, _ = attention.filterbank(on_pixel, on_pixel, tf.exp([[-20.0], [20.0]]), tf.ones([2, 1]), H,
                                 W, 1, equations)
    centre = 4 if equations == "paper" else 3
    np.testing.assert_allclose(Fx[0, 0], np.eye(W)[centre], atol=1e-6)
    np.testing.assert_allclose(Fx[1, 0], np.full(W, 1 / W), rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_an_extreme_posterior_has_a_finite_cost(mode):
    mu = tf.constant([[-100.0, 0, 100]])
    logsigma = tf.constant([[-20.0, 0, 20]])

    def kl_nats(mu, logsigma):
        with tf.GradientTape() as tape:
            tape.watch((mu, logsigma))
            kl_nats = losses.kl_nats(mu, logsigma)
        return kl_nats, tape.gradient(kl_nats, (mu, logsigma))

    nats, slopes = in_mode(kl_nats, mode)(mu, logsigma)
    want = 0.5 * (2 * 100**2 + math.exp(-40) + 1 + math.exp(40) - 3)
    np.testing.assert_allclose(nats, [want], rtol=1e-5)
    np.testing.assert_allclose(slopes[0], mu)
    np.testing.assert_allclose(slopes[1], [[-1, 0, math.exp(40)]], rtol=1e-5)
