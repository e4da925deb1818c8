"""Completion: what is known is seen, what is not known is the model's own."""

import numpy as np
import pytest

from draw_tf import DRAW
from draw_tf.models.completion import SIDES, complete, kept_half
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
