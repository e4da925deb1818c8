"""Models for other programs: a SavedModel that runs without this package, weights by name."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from draw_tf import DRAW, checkpoints
from draw_tf.config import VAEConfig
from draw_tf.export import save_model
from draw_tf.models import make_model
from tests.support.cli import run_module
from tests.support.numerics import small_config

CONFIGS = [small_config(glimpses=2, hidden_size=8, equations="paper"),
           VAEConfig(image_shape=(7, 9, 1), hidden_size=8, latent_size=3)]
IN_PIECES = small_config(glimpses=5, hidden_size=8)


@pytest.mark.slow
@pytest.mark.parametrize("config, unroll", [(CONFIGS[0], 0), (CONFIGS[1], 0), (IN_PIECES, 2)])
def test_signatures_have_named_outputs(config, unroll, tmp_path):
    model = make_model(config, unroll)
    save_model(model, tmp_path / "saved")
    loaded = tf.saved_model.load(tmp_path / "saved").signatures
    drawn = loaded["generate"](num=tf.constant(3), seed=tf.constant(5))
    want = model.generate(3, seed=5).canvases  # [T, N, H, W, C], logits
    np.testing.assert_allclose(drawn["canvases"], want, atol=1e-6)
    np.testing.assert_allclose(drawn["images"], tf.sigmoid(want[-1]), atol=1e-6)
    images = np.random.default_rng(0).random((4, 7, 9, 1), np.float32)
    redrawn = loaded["reconstruct"](images=tf.constant(images))
    assert redrawn["images"].shape == images.shape
    assert redrawn["kl_nats"].shape == (model.glimpses, 4)
    np.testing.assert_allclose(redrawn["kl_nats"][0], model(images).kl_nats[0], rtol=1e-3,
                               atol=1e-6)


@pytest.mark.slow
def test_keras_exports_a_model_that_runs_in_pieces_and_it_trains_on(tmp_path):
    model = make_model(IN_PIECES, 2)
    images = np.random.default_rng(0).random((4, 7, 9, 1), np.float32)
    model.compile("adam")
    model.fit(images, verbose=0)
    model.export(tmp_path / "served", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "served")  # which has to live as long as its parts
    logits, kl_nats = loaded.serve(tf.constant(images))
    assert logits.shape == images.shape and kl_nats.shape == (5, 4)
    before = model.get_weights()
    model.fit(images, verbose=0)
    assert all(np.abs(now - then).max() > 0 for now, then in zip(
        model.get_weights(), before, strict=True))


@pytest.mark.slow
def test_a_saved_model_loads_without_this_package(tmp_path):
    save_model(DRAW(CONFIGS[0]), tmp_path / "saved")
    code = ("import sys, tensorflow as tf; sys.modules['draw_tf'] = None; "
            f"m = tf.saved_model.load({str(tmp_path / 'saved')!r}); "
            "print(m.signatures['generate'](num=tf.constant(2), seed=tf.constant(0))"
            "['images'].shape)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=tmp_path)
    assert done.stdout.strip() == "(2, 7, 9, 1)", done.stderr


@pytest.mark.slow
def test_the_command(tiny_run, tmp_path, capfd):
    flags = [f"--workdir={tiny_run}", f"--saved_model={tmp_path / 'saved'}"]
    assert run_module("draw_tf.export", *flags) == 0
    assert set(tf.saved_model.load(tmp_path / "saved").signatures) == {"generate", "reconstruct"}
    capfd.readouterr()
    assert run_module("draw_tf.export", *flags) == 1
    assert "saved_model must be a new folder" in capfd.readouterr().err
    assert run_module("draw_tf.export", flags[0]) == 1
    assert "saved_model or safetensors must name" in capfd.readouterr().err


def test_weights_as_safetensors(tiny_run, tmp_path):
    path = tmp_path / "weights.safetensors"
    assert run_module("draw_tf.export", f"--workdir={tiny_run}", f"--safetensors={path}") == 0
    want = checkpoints.named_weights(checkpoints.load(tiny_run))
    got = load_file(path)
    assert got.keys() == want.keys()
    for name, variable in want.items():
        np.testing.assert_array_equal(got[name], variable.numpy())
