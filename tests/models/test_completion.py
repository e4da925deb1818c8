"""Completion: what is known is seen, what is not known is the model's own."""

import numpy as np
import pytest

from draw_tf import DRAW, checkpoints, data
from draw_tf.models.completion import SIDES, complete, imagine, kept_half
from tests.support import reference
from tests.support.numerics import example, model_with, small_config

CONFIG = small_config(glimpses=3, hidden_size=8, equations="paper")


@pytest.fixture(scope="module")
def model():
    return model_with(CONFIG, reference.random_weights(CONFIG, seed=1))


def test_half_of_an_image_is_kept():
    for shape in ((4, 6), (5, 7)):
        left, right, top, bottom = (kept_half(keep, *shape)[..., 0] for keep in SIDES)
        np.testing.assert_array_equal(left[0], np.arange(shape[1]) < shape[1] // 2)
        np.testing.assert_array_equal(right, left[:, ::-1])
        np.testing.assert_array_equal(top[:, 0], np.arange(shape[0]) < shape[0] // 2)
        np.testing.assert_array_equal(bottom, top[::-1])
        assert all(len(np.unique(rows, axis=0)) == 1 for rows in (left, top.T))


def test_with_everything_known_it_is_the_pass_itself(model):
    images, noise = example(CONFIG)
    want, got = model.trace(images, noise), complete(model, images, np.ones((7, 9, 1)), noise)
    np.testing.assert_allclose(got.canvases, want.canvases, rtol=1e-6, atol=1e-6)


def test_the_unknown_part_is_not_looked_at(model):
    images, noise = example(CONFIG)
    known = kept_half("left", 7, 9)
    want = complete(model, images, known, noise).canvases
    np.testing.assert_array_equal(complete(model, images * known, known, noise).canvases, want)
    changed = complete(model, images * (1 - known), known, noise).canvases
    assert not np.allclose(changed, want)


def test_the_first_step_sees_the_first_canvas_where_nothing_is_known(model):
    images, noise = example(CONFIG)
    first = np.broadcast_to(1 / (1 + np.exp(-model.first_canvas.numpy())), images.shape)
    want = model.trace(first.astype(np.float32), noise)
    got = complete(model, images, np.zeros((7, 9, 1)), noise)
    np.testing.assert_allclose(got.canvases[0], want.canvases[0], rtol=1e-5, atol=1e-6)


def test_a_model_without_attention_completes_too():
    config = small_config(glimpses=2, hidden_size=8, read_attention=False, write_attention=False)
    images, noise = example(config)
    trace = complete(DRAW(config), images, kept_half("top", 7, 9), noise)
    assert trace.read is None and trace.canvases.shape == (2, *images.shape)


def test_a_guess_fills_in_what_is_unknown(model):
    images, noise = example(CONFIG)
    known = kept_half("left", 7, 9)
    guess = np.random.default_rng(3).random(images.shape).astype(np.float32)
    want = model.trace(known * images + (1 - known) * guess, noise)
    got = complete(model, images, known, noise, guess)
    np.testing.assert_allclose(got.canvases, want.canvases, rtol=1e-5, atol=1e-5)


def known_nats(model, images, known, trace):
    """-log p(known pixels | last canvas) in nats, [N]."""
    logits = trace.canvases[-1].numpy().astype(np.float64)
    nats = np.logaddexp(0, logits) - images * logits  # [N, H, W, C]
    return np.sum(known * nats, axis=(1, 2, 3))


def test_candidates_and_sweeps_keep_the_known_part_better():
    model, images = checkpoints.load("mnist"), data.load("digits", "test").floats(range(4))
    known = kept_half("left", 28, 28)
    one, chosen, swept = (known_nats(model, images, known, imagine(
        model, images, known, 0, candidates, sweeps)).mean()
        for candidates, sweeps in ((1, 1), (8, 1), (8, 4)))
    assert swept < 0.8 * chosen < 0.8 * one  # nats


def test_candidates_are_chosen_in_proportion_to_their_weights():
    # one step and one latent variable: p(z | known part) is known by summing over a grid
    config = small_config(glimpses=1, latent_size=1, hidden_size=4, equations="paper")
    weights = {name: 3 * value for name, value in reference.random_weights(config, 0).items()}
    model = model_with(config, weights)
    images = np.repeat(example(config)[0][:1], 400, axis=0)
    known = kept_half("left", 7, 9)
    z = np.linspace(-5, 5, 400).reshape(1, 400, 1)
    canvas = model.generate(400, z).canvases.numpy()[-1].astype(np.float64)  # [400, H, W, C]
    nats = np.sum(known * (np.logaddexp(0, canvas) - images * canvas), axis=(1, 2, 3))
    posterior = np.exp(-nats + nats.min() - z[0, :, 0]**2 / 2)
    posterior /= posterior.sum()
    mean = np.sum(posterior * z[0, :, 0])
    deviation = np.sqrt(np.sum(posterior * (z[0, :, 0] - mean)**2))
    for sweeps in (1, 2):
        drawn = imagine(model, images, known, 0, 64, sweeps).z.numpy()
        assert abs(drawn.mean() - mean) < 0.25 * deviation  # 5 standard errors
        assert 0.75 < drawn.std() / deviation < 1.25


def test_the_same_seed_imagines_the_same(model):
    images, _ = example(CONFIG)
    known = kept_half("left", 7, 9)
    first, again, other = (imagine(model, images, known, seed, 3, 2).z for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_weights_that_are_no_numbers_still_make_a_picture(model):
    broken = model_with(CONFIG, {name: value * np.nan for name, value in
                                 reference.random_weights(CONFIG, 0).items()})
    images, _ = example(CONFIG)
    assert imagine(broken, images, kept_half("left", 7, 9), 0, 3, 2).z.shape[1] == len(images)
