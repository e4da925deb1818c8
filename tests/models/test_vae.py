"""The plain VAE is the same in NumPy; what all models share; the likelihoods."""

import copy
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from draw_tf import DRAW
from draw_tf.checkpoints.workdir import named_weights, weight_shapes
from draw_tf.config import VAEConfig
from draw_tf.errors import ConfigError
from draw_tf.models import losses, make_model
from draw_tf.models.vae import VAE
from tests.support.numerics import example, small_config

CONFIG = VAEConfig(image_shape=(5, 4, 3), hidden_size=7, latent_size=3)
MODELS = (small_config(glimpses=2, hidden_size=8), CONFIG)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = VAE(CONFIG, dtype="float64")
    for variable in model.weights:  # biases too
        variable.assign(np.random.default_rng(len(variable.shape)).normal(size=variable.shape))
    return model


def in_numpy(model, images, noise):
    """mu, logsigma, z [N, Z] and logits [N, H, W, C] of a pass."""
    w = {name: variable.numpy() for name, variable in named_weights(model).items()}

    def dense(x, name):
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    hidden = images.reshape(len(images), -1).astype(np.float64)
    for name in ("enc1", "enc2"):
        hidden = np.maximum(dense(hidden, name), 0)
    mu, logsigma = dense(hidden, "mu"), dense(hidden, "sigma")
    z = hidden = mu + np.exp(logsigma) * noise[0]
    for name in ("dec1", "dec2"):
        hidden = np.maximum(dense(hidden, name), 0)
    return mu, logsigma, z, dense(hidden, "pixels").reshape(images.shape)


def recon(images, logits, likelihood):
    p = np.exp(-np.logaddexp(0, -logits))
    if likelihood == "gaussian":
        nats = 0.5 * (images - p)**2 + 0.5 * np.log(2 * np.pi)
    else:
        nats = np.logaddexp(0, logits) - images * logits
    return nats.sum(axis=(1, 2, 3))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_vae_is_the_same_in_numpy(model, likelihood):
    images, noise = example(CONFIG)
    again = VAE(dataclasses.replace(CONFIG, likelihood=likelihood), dtype="float64")
    again.set_weights(model.get_weights())
    mu, logsigma, z, logits = in_numpy(model, images, noise)
    kl_nats = np.sum(mu**2 + np.exp(2 * logsigma) - 2 * logsigma - 1, axis=1) / 2
    want = recon(images.astype(np.float64), logits, likelihood)
    got_recon, got_kl = again.bound(images, noise)
    np.testing.assert_allclose(got_recon, want, rtol=1e-9)
    np.testing.assert_allclose(got_kl, [kl_nats], rtol=1e-9)
    ratio = np.sum(-z**2 / 2 + noise[0]**2 / 2 + logsigma, axis=1)
    np.testing.assert_allclose(again.log_weights(images, noise), ratio - want, rtol=1e-9)
    np.testing.assert_allclose(again.generate(len(z), z[np.newaxis]).canvases[0], logits, rtol=1e-9)


def test_an_exact_canvas_costs_the_gaussians_constant():
    images = np.full((2, 3, 4, 1), 0.5)
    nats = losses.reconstruction_nats(images, np.zeros_like(images), "gaussian")
    np.testing.assert_allclose(nats, [12 * 0.9189385332046727] * 2)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_draw_has_both_likelihoods(likelihood):
    config = small_config(glimpses=2, hidden_size=8, likelihood=likelihood)
    model = DRAW(config, dtype="float64")
    images, noise = example(config)
    logits = model(images, noise).logits.numpy()
    np.testing.assert_allclose(model.bound(images, noise)[0],
                               recon(images.astype(np.float64), logits, likelihood), rtol=1e-9)


@pytest.mark.parametrize("field, value", [("hidden_size", 0), ("latent_size", 1.5),
                                          ("likelihood", "poisson"), ("image_shape", (5, 4))])
def test_bad_settings_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=f"^{field} must be .*got"):
        VAEConfig(**{field: value})


@pytest.mark.parametrize("config", MODELS)
def test_names_and_shapes_of_weights_are_known_without_a_model(config):
    weights = named_weights(make_model(config))
    assert weight_shapes(config) == {name: tuple(x.shape) for name, x in weights.items()}


@pytest.mark.parametrize("config", MODELS)
def test_a_model_goes_through_keras(config, tmp_path):
    model = make_model(config)
    images, noise = example(config)
    want = model(images, noise).logits
    model.save(tmp_path / "model.keras")
    for again in (keras.saving.load_model(tmp_path / "model.keras"), copy.deepcopy(model)):
        assert (again.config, again.name) == (config, model.name)
        np.testing.assert_array_equal(again(images, noise).logits, want)
    clone = keras.models.clone_model(model)
    assert clone.config == config and clone is not model
    half = type(model)(config, dtype="float64")
    assert type(model).from_config(half.get_config()).compute_dtype == "float64"


def test_a_model_is_exported_for_serving(tmp_path):
    model = make_model(CONFIG)
    model.export(tmp_path / "served", verbose=False)
    assert (tmp_path / "served" / "saved_model.pb").exists()


@pytest.mark.parametrize("config", MODELS)
def test_what_fit_would_ignore_is_refused(config):
    model = make_model(config)
    images, _ = example(config)
    for options in (dict(loss="mse"), dict(metrics=["mse"]), dict(weighted_metrics=["mse"])):
        with pytest.raises(ValueError, match="loss and metrics must be None.*mse"):
            model.compile("adam", **options)
    model.compile("adam", jit_compile=False, run_eagerly=True)
    for arguments in ((images, images), (images, None, None, 1, 0)):
        options = {} if len(arguments) == 2 else {"sample_weight": np.ones(len(images))}
        with pytest.raises(ValueError, match="y and sample_weight must be None"):
            model.fit(*arguments[:2], verbose=0, **options)
    model.fit(tf.data.Dataset.from_tensors(images), verbose=0)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float16"])
def test_numbers_of_16_bits_are_refused(dtype):
    for config in MODELS:
        with pytest.raises(ValueError, match=f"dtype must be float32 or float64, got {dtype}"):
            type(make_model(config))(config, dtype=dtype)
