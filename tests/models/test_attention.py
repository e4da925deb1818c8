"""The pure functions of `attention`: their values, and that extremes of every kind are finite."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from draw_tf.models import attention, losses
from tests.support import reference
from tests.support.numerics import EXACT, SINGLE, in_mode

EQUATIONS = ("article", "paper")
N, H, W, C, n = 3, 4, 5, 2, 2


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)  # float64


def window(params, equations, size=n):
    """Window parameters and filters, from the five numbers [N, 5]."""
    gx, gy, sigma2, delta, gamma = attention.window_parameters(params, H, W, size, equations)
    Fx, Fy = attention.filterbank(gx, gy, sigma2, delta, H, W, size, equations)
    return dict(gx=gx, gy=gy, delta=delta, sigma2=sigma2, gamma=gamma, Fx=Fx, Fy=Fy)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("equations", EQUATIONS)
def test_windows_are_the_references(equations, size):
    params = 0.3 * random(N, 5)  # one on the image, one half off it, and one off it
    params[1, :2] += 0.8
    params[2, :2] += [3, -4]
    params[:, 2] -= 1  # filters narrow enough for the floor of the normaliser
    got = window(tf.constant(params), equations, size)
    want = reference.window(params, H, W, size, equations)
    off_image = np.sum(want["Fx"], axis=-1) < 0.999
    assert np.any(off_image) and not np.all(off_image)
    for name, value in want.items():
        assert got[name].dtype == tf.float64
        np.testing.assert_allclose(got[name], value, rtol=EXACT, atol=1e-14, err_msg=name)


def test_reading_is_a_product_of_matrices_for_each_channel():
    image, Fx, Fy, gamma = random(N, H, W, C), random(N, n, W), random(N, n, H), random(N, 1)
    want = np.einsum("kih,khwc,kjw,kz->kijc", Fy, image, Fx, gamma)
    np.testing.assert_allclose(attention.read(image, Fx, Fy, gamma), want, rtol=EXACT)


def test_writing_is_a_product_of_matrices_for_each_channel():
    patch, Fx, Fy, gamma = random(N, n, n, C), random(N, n, W), random(N, n, H), random(N, 1)
    want = np.einsum("kih,kijc,kjw,kz->khwc", Fy, patch, Fx, 1 / gamma)
    np.testing.assert_allclose(attention.write(patch, Fx, Fy, gamma), want, rtol=EXACT)


@pytest.mark.parametrize("equations", EQUATIONS)
def test_extreme_widths_see_one_pixel_or_all_alike(equations):
    on_pixel = tf.constant([[4.0], [4.0]])
    Fx, _ = attention.filterbank(on_pixel, on_pixel, tf.exp([[-20.0], [20.0]]), tf.ones([2, 1]), H,
                                 W, 1, equations)
    centre = 4 if equations == "paper" else 3
    np.testing.assert_allclose(Fx[0, 0], np.eye(W)[centre], atol=SINGLE)
    np.testing.assert_allclose(Fx[1, 0], np.full(W, 1 / W), rtol=SINGLE)


def extremes():
    """params [M, 5], images and logits [M, H, W, C]: far windows, hard images, hard logits."""
    cases = [([g, -g, log_sigma2, log_delta, log_gamma], image, logit)
             for g, log_sigma2, log_delta, log_gamma, image, logit in itertools.product(
                 (-3, 0, 3), (-20, 20), (-2, 2), (-3, 3), (0, 1), (-200, 200))]
    params, image, logit = (np.array(part, np.float32) for part in zip(*cases, strict=True))
    shape = (len(cases), 1, 1, 1)
    return params, *(np.broadcast_to(part.reshape(shape), (len(cases), H, W, C)).copy()
                     for part in (image, logit))


@pytest.mark.parametrize("mode", ["eager", pytest.param("xla", marks=pytest.mark.slow)])
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
