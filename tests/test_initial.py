"""The start from the data: windows that tile the image, and the mean image drawn."""

import numpy as np
import pytest
import tensorflow as tf

from draw_tf import attention, data, initial
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.model import DRAW
from draw_tf.trainer import Trainer
from tests.numerics import small_config

EQUATIONS = ("article", "paper")


@pytest.mark.parametrize("height, width, size", [(28, 28, 5), (28, 28, 2), (28, 28, 1), (9, 12, 3)])
@pytest.mark.parametrize("equations", EQUATIONS)
def test_the_covering_window_tiles_the_longer_side(equations, height, width, size):
    params = initial.covering_window(height, width, size, equations)[np.newaxis]
    gx, gy, sigma2, delta, gamma = (x.numpy().item() for x in attention.window_parameters(
        tf.constant(params), height, width, size, equations))
    window = attention.Window(*([x] for x in (gx, gy, delta, sigma2, gamma)), None, None, None)
    window = window._replace(**{name: tf.constant(getattr(window, name))
                                for name in ("gx", "gy", "delta", "sigma2")})
    top, left, bottom, right, sigma = attention.window_box(window, size, equations)
    tile = max(height, width) / size
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    half = (size - 1) / 2 * tile  # from the centre of the first tile to the image's
    want = (centre_y - half, centre_x - half, centre_y + half, centre_x + half, tile / 2)
    np.testing.assert_allclose((top, left, bottom, right, sigma), want, atol=1e-5)
    assert gamma == 1


def start(equations, **changes):
    """A new model started from digits, its config, and the log-odds of their mean image."""
    images = data.load("digits", "train")
    config = DRAWConfig(hidden_size=8, glimpses=4, equations=equations, **changes)
    model = DRAW(config)
    initial.start_from_data(model, images.mean())
    mean = np.clip(images.mean(), initial.MARGIN, 1 - initial.MARGIN)
    return model, np.log(mean / (1 - mean))


@pytest.mark.parametrize("changes", [{}, {"write_attention": False, "read_attention": False}])
def test_the_papers_canvas_starts_as_the_mean_image(changes):
    model, log_odds = start("paper", **changes)
    np.testing.assert_allclose(model.initial_state(2).canvas[1], log_odds, rtol=1e-5)


def test_the_articles_strokes_add_up_to_the_mean_image():
    model, log_odds = start("article", write_attention=False)
    silent = np.zeros([4, 1, 10], np.float32)
    drawn = model.generate(1, silent).canvases[-1][0]
    np.testing.assert_allclose(drawn, log_odds, atol=0.05)  # but for what a new decoder says


def test_the_articles_windows_draw_the_mean_image_as_near_as_they_can():
    model, log_odds = start("article")
    drawn = model.generate(1, np.zeros([4, 1, 10], np.float32)).canvases[-1][0].numpy()
    # no other patch is nearer
    rest = drawn - log_odds
    assert np.linalg.norm(rest) < 0.5 * np.linalg.norm(log_odds)
    best = np.linalg.norm(rest)
    bias = model.patch_layer.bias.numpy()
    for index in (0, 7, 12, 24):
        for change in (-0.5, 0.5):
            model.patch_layer.bias.assign(bias + change * np.eye(25, dtype=np.float32)[index])
            other = model.generate(1, np.zeros([4, 1, 10], np.float32)).canvases[-1][0].numpy()
            assert np.linalg.norm(other - log_odds) > best


@pytest.mark.parametrize("equations", EQUATIONS)
def test_the_start_is_used_where_it_is_asked_for(equations):
    rng = np.random.default_rng(0)
    config = small_config(equations=equations)
    images = data.Images(rng.uniform(0, 0.5, (20, *config.image_shape)).astype(np.float32), 1)
    bounds = {}
    for name in ("listing", "data"):
        trainer = Trainer(config, TrainConfig(batch_size=4, start=name, jit_compile="false",
                                              average_decay=0.9))
        before = trainer.model.get_weights()
        trainer.start(images)
        changed = [not np.array_equal(*pair) for pair in zip(before, trainer.model.get_weights())]
        assert any(changed) == (name == "data")
        for a, b in zip(trainer.model.get_weights(), trainer.evaluated.get_weights()):
            np.testing.assert_array_equal(a, b)
        recon_nats, _ = trainer.model.bound(images.floats(), np.zeros(
            [config.glimpses, 20, config.latent_size], np.float32))
        bounds[name] = float(np.mean(recon_nats))
    assert bounds["data"] < bounds["listing"]
