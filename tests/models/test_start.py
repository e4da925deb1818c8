"""The start from the data: windows that tile the image, and the mean image drawn."""

import numpy as np
import pytest
import tensorflow as tf

from draw_tf.models import attention, start
from draw_tf.models.draw import DRAW
from tests.support.numerics import EXACT, example, relative_error, small_config

EQUATIONS = ("article", "paper")
SHAPE = (10, 12, 2)


def mean_image():
    """A soft blob that reaches 0 and 1, [H, W, C]; another in each channel."""
    row, col = np.mgrid[:10, :12]
    return np.clip(np.stack([1.1 * np.exp(-((row - y)**2 + (col - x)**2) / 12) - 0.05
                             for y, x in ((4, 6), (5, 4))], axis=-1), 0, 1)


def started(equations, **fields):
    """A float64 model started from the mean image, and the log-odds of that image."""
    config = small_config(image_shape=SHAPE, equations=equations, **fields)
    model = DRAW(config, dtype="float64")
    model.start_from_data(mean_image())
    mean = np.clip(mean_image(), 0.002, 0.998)
    return model, np.log(mean / (1 - mean))


def first_drawing(model):
    """What a model draws of latent variables that are all zero, [H, W, C]."""
    config = model.config
    silent = np.zeros([config.glimpses, 1, config.latent_size])
    return model.generate(1, silent).canvases[-1][0].numpy()


@pytest.mark.parametrize("height, width, size", [(28, 28, 5), (28, 28, 2), (28, 28, 1), (9, 12, 3)])
@pytest.mark.parametrize("equations", EQUATIONS)
def test_the_covering_window_tiles_the_longer_side(equations, height, width, size):
    params = tf.constant(start.covering_window(height, width, size, equations)[np.newaxis])
    gx, gy, sigma2, delta, gamma = attention.window_parameters(
        params, height, width, size, equations)
    window = attention.Window(gx, gy, delta, sigma2, gamma, None, None, None)
    box = attention.window_box(window, size, equations)
    tile = max(height, width) / size
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    half = (size - 1) / 2 * tile  # from the centre of the first tile to the image's
    want = (centre_y - half, centre_x - half, centre_y + half, centre_x + half, tile / 2)
    np.testing.assert_allclose(np.ravel(box), want, rtol=EXACT)
    assert gamma == 1


@pytest.mark.parametrize("equations", EQUATIONS)
def test_both_windows_cover_the_image(equations):
    model, _ = started(equations)
    for scope, size in (("read", 2), ("write", 5)):
        bias = getattr(model, f"{scope}_window").bias
        assert relative_error(bias, start.covering_window(*SHAPE[:2], size, equations)) < EXACT


@pytest.mark.parametrize("attention", [True, False])
def test_the_papers_canvas_starts_as_the_mean_image(attention):
    model, log_odds = started("paper", read_attention=attention, write_attention=attention)
    assert relative_error(model.initial_state(2).canvas[1], log_odds) < EXACT


def test_the_articles_strokes_add_up_to_the_mean_image():
    model, log_odds = started("article", write_attention=False)
    model.patch_layer.kernel.assign(tf.zeros_like(model.patch_layer.kernel))
    assert relative_error(first_drawing(model), log_odds) < EXACT


def test_the_articles_windows_draw_the_mean_image_as_near_as_they_can():
    model, log_odds = started("article")
    for layer in (model.patch_layer, model.write_window):  # what a new decoder adds
        layer.kernel.assign(tf.zeros_like(layer.kernel))
    best = np.linalg.norm(first_drawing(model) - log_odds)
    assert best < 0.5 * np.linalg.norm(log_odds)
    bias = model.patch_layer.bias.numpy()
    for index in range(0, len(bias), 7):
        for change in (-0.1, 0.1):  # no other patch is nearer
            model.patch_layer.bias.assign(bias + change * np.eye(len(bias))[index])
            assert np.linalg.norm(first_drawing(model) - log_odds) > best


@pytest.mark.parametrize("equations", EQUATIONS)
def test_the_start_saves_what_the_mean_image_is_worth(equations):
    model, _ = started(equations)
    images, noise = example(model.config)
    images = np.repeat(mean_image()[np.newaxis], len(images), axis=0)
    listings = DRAW(model.config, dtype="float64")
    nats, more = (np.mean(m.bound(images, noise)[0]) for m in (model, listings))
    assert nats < 0.7 * more
