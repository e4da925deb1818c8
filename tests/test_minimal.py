"""The model in one file, which readers copy: its numbers, its training, its picture."""

import importlib.util
import itertools
import runpy
import types

import imageio.v3 as imageio
import keras
import numpy as np
import pytest

from draw_tf import data
from tests.support import reference
from tests.support.cli import ROOT
from tests.support.numerics import EXACT

PATH = ROOT / "assets" / "minimal.py"


@pytest.fixture
def minimal():
    """The file, as a module."""
    spec = importlib.util.spec_from_file_location("minimal", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def give_noise(monkeypatch, noise):
    """Makes keras.random.normal return noise[0], then noise[1], and so on, again and again."""
    turns = itertools.cycle(noise)
    monkeypatch.setattr(keras.random, "normal", lambda shape, seed: next(turns))


def test_its_numbers_are_those_of_the_equations(minimal, monkeypatch):
    config = types.SimpleNamespace(
        image_shape=(9, 9, 1), glimpses=3, hidden_size=8, latent_size=2, read_size=4, write_size=4,
        read_attention=True, write_attention=True, equations="paper", shared_noise=False)
    weights = {name: value if value.ndim == 2 or "/" in name else 0 * value  # it starts at zero
               for name, value in reference.random_weights(config, seed=0).items()}
    weights["canvas"] = np.zeros((9, 9, 1))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (5, 9, 9)).astype(np.float64)
    noise = rng.standard_normal((3, 5, 2))
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = minimal.Draw(img_size=9, T=3, n_hidden=8, n_z=2, attention_n=4)
        give_noise(monkeypatch, noise)
        model(images)  # Keras runs it more than once to make the weights
        for name, layer in {"encoder": model.lstm_enc, "decoder": model.lstm_dec, "mu": model.mu,
                            "sigma": model.logsigma, "writeW": model.w, **model.window}.items():
            layer.set_weights([weights[f"{name}/{part.name}"] for part in layer.weights])
        give_noise(monkeypatch, noise)
        canvas = model(images)
        (loss,) = model.losses
        give_noise(monkeypatch, noise)
        new = model.generate(5)
    finally:
        keras.config.set_dtype_policy(policy)
    expected = reference.draw(config, weights, images[..., np.newaxis], noise)
    np.testing.assert_allclose(loss, expected["bound_nats"].mean(), rtol=EXACT)
    np.testing.assert_allclose(
        canvas, 1 / (1 + np.exp(-expected["canvases"][-1, ..., 0])), atol=EXACT)
    drawn = reference.generate(config, weights, noise)["canvases"][..., 0]
    np.testing.assert_allclose(new, 1 / (1 + np.exp(-drawn)), atol=EXACT)


@pytest.mark.slow  # Keras compiles it with XLA
def test_it_trains_and_draws(minimal, monkeypatch, tmp_path):
    train, test = (np.uint8(data.load("digits", split).floats()[:400, ..., 0] * 255)
                   for split in ("train", "test"))
    asked, histories = [], []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: ((train, None), (test, None)))
    fit = keras.Model.fit

    def short(model, *args, **settings):
        asked.append(settings["epochs"])
        model.T = 2
        histories.append(fit(model, *args, **{**settings, "epochs": 8, "verbose": 0}).history)

    monkeypatch.setattr(keras.Model, "fit", short)
    runpy.run_path(str(PATH), run_name="__main__")
    (history,) = histories
    assert asked == [10]
    assert history["loss"][-1] < 0.75 * history["loss"][0]
    assert history["val_loss"][-1] < 0.75 * history["val_loss"][0]
    frames = imageio.imread(tmp_path / "draw.gif", index=None)
    assert frames.shape[:3] == (2, 336, 336)


def test_it_is_short_and_needs_nothing_of_this_package():
    text = PATH.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    assert "draw_tf" not in text
