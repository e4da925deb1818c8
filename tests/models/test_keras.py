"""The models are Keras models like any other: each does what a plain one does beside it."""

import copy
import dataclasses
import pickle
import pydoc
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

import draw_tf
from draw_tf import DRAW, VAE, VAEConfig, models
from draw_tf.models import make_model
from draw_tf.training.loop import make_strategy
from tests.support.cli import ROOT
from tests.support.numerics import small_config
from tests.support.plain_vae import CONFIG, IMAGES, assert_same_weights, compiled, pair

DRAW_CONFIG = small_config(image_shape=(5, 4, 1), read_size=2, write_size=2)
MODELS = (DRAW_CONFIG, CONFIG)


# What callbacks and optimizers see.


def test_callbacks_act_with_their_defaults(tmp_path):
    histories, kept = [], []
    for model in pair(keras.optimizers.SGD(0.3)):
        path = tmp_path / f"{model.name}.weights.h5"
        history = model.fit(
            IMAGES[:4], validation_data=(IMAGES[4:],), shuffle=False, epochs=30, verbose=0,
            callbacks=[keras.callbacks.ReduceLROnPlateau(), keras.callbacks.EarlyStopping(),
                       keras.callbacks.ModelCheckpoint(path, save_best_only=True,
                                                       save_weights_only=True)])
        model.load_weights(path)
        histories.append(history.history)
        kept.append(model)
    ours, plain = histories
    assert 2 <= len(plain["loss"]) < 30  # it was stopped
    for name in plain:
        np.testing.assert_allclose(ours[name], plain[name], rtol=1e-7, err_msg=name)
    np.testing.assert_allclose(ours["val_loss"], ours["val_bound_nats"], rtol=1e-6)
    assert_same_weights(*kept)


def test_training_ends_on_nan():
    for model in pair():
        model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
        history = model.fit(IMAGES, epochs=3, batch_size=5, verbose=0,
                            callbacks=[keras.callbacks.TerminateOnNaN()])
        assert len(history.epoch) == 1


@pytest.mark.parametrize("optimizer", [
    keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01, loss_scale_factor=1000),
    keras.optimizers.SGD(0.01, gradient_accumulation_steps=2),
    keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01))], ids=lambda x: x.name)
def test_an_update_is_that_of_a_plain_model(optimizer):
    ours, plain = pair(optimizer)
    for model in (ours, plain):
        before = model.get_weights()
        for layer in (model.dec1, model.dec2):  # losses that layers add count too
            layer.kernel_regularizer = keras.regularizers.L2(0.1)
        for batch in (IMAGES[:5], IMAGES[5:]):
            model.train_on_batch(batch)
        assert not np.allclose(model.get_weights()[0], before[0], rtol=1e-5)
    assert_same_weights(ours, plain)


def test_an_update_over_two_devices_is_that_of_a_plain_model():
    strategy = make_strategy("mirrored")
    ours, plain = pair(keras.optimizers.SGD(0.01, loss_scale_factor=1000), strategy,
                       run_eagerly=False, jit_compile=False)
    logs = [model.fit(tf.data.Dataset.from_tensors(IMAGES), verbose=0).history["loss"]
            for model in (ours, plain)]
    np.testing.assert_allclose(*logs, rtol=1e-9)
    assert_same_weights(ours, plain)


@pytest.mark.parametrize("again", ["saved", "deepcopy", "pickle"])
@pytest.mark.parametrize("config", MODELS)
def test_training_goes_on_bit_for_bit(config, again, tmp_path):
    model = compiled(config)
    model.fit(IMAGES, batch_size=5, verbose=0)
    if again == "saved":
        model.save(tmp_path / "model.keras")
        other = keras.saving.load_model(tmp_path / "model.keras")
    else:
        other = copy.deepcopy(model) if again == "deepcopy" else pickle.loads(pickle.dumps(model))
    histories = [one.fit(IMAGES, batch_size=5, shuffle=False, verbose=0).history
                 for one in (model, other)]
    assert histories[0] == histories[1]
    for left, right in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("optimizer", [
    keras.optimizers.SGD(), keras.optimizers.SGD(gradient_accumulation_steps=2),
    keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())], ids=lambda x: x.name)
def test_the_noise_of_training_differs_from_batch_to_batch_and_from_run_to_run(optimizer):
    drawn = []
    for seed in (1, 1, 2):
        model = make_model(CONFIG)
        model.compile(copy.deepcopy(optimizer), run_eagerly=True)
        keras.utils.set_random_seed(seed)
        model.make_train_function()
        for batch in (IMAGES[:5], IMAGES[5:]):
            drawn.append(model.step_noise(5).numpy())
            model.train_on_batch(batch)
    np.testing.assert_array_equal(drawn[:2], drawn[2:4])
    assert len({noise.tobytes() for noise in drawn}) == 4


def test_the_noise_of_training_differs_between_devices():
    strategy = make_strategy("mirrored")
    with strategy.scope():
        model = compiled()
        model.make_train_function()
        assert model.step_noise(2).shape == (1, 2, 3)  # outside a replica
    noise = strategy.experimental_local_results(strategy.run(lambda: model.step_noise(2)))
    assert not np.any(noise[0].numpy() == noise[1].numpy())


# Types, and what is refused.


@pytest.mark.parametrize("policy", ["float64", "mixed_bfloat16", "float16"])
def test_models_of_this_package_are_float32(policy, tiny_run):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model, loaded = make_model(DRAW_CONFIG), draw_tf.load(tiny_run)
        for one in (model, loaded):
            assert {weight.dtype for weight in one.weights} == {"float32"}
        assert model(IMAGES).logits.dtype == tf.float32
        if policy == "float64":
            assert VAE(CONFIG).compute_dtype == policy  # asked for, as of any Keras model
        else:
            with pytest.raises(ValueError, match=f"dtype must be .*got {policy}"):
                VAE(CONFIG)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("backend, program", [
    ("numpy", [ROOT / "train.py"]), ("nonsense", ["-m", "draw_tf"]),
    # who catches the error sees the tracebacks of others
    ("jax", ["-c", "try: import draw_tf\nexcept ImportError as error: import keras.no_such_part"])])
def test_another_backend_is_a_sentence(backend, program):
    done = subprocess.run([sys.executable, *program], capture_output=True, text=True, cwd=ROOT,
                          env={"KERAS_BACKEND": backend, "PYTHONPATH": ":".join(sys.path)})
    sentence = f"draw_tf needs Keras with the backend tensorflow, got {backend}: set " \
        "KERAS_BACKEND=tensorflow before Keras is imported"
    assert done.returncode == 1
    if program[0] == "-c":
        assert f"BackendError: {sentence}" in done.stderr and "Traceback" in done.stderr
    else:
        assert done.stderr.splitlines() == [sentence]


@pytest.mark.parametrize("config", MODELS)
def test_integers_of_8_bits_are_refused(config):
    model = make_model(config)
    with pytest.raises(NotImplementedError, match="quantize is not available for"):
        model.quantize("int8")
    model(IMAGES)  # as before


@pytest.mark.parametrize("config, sentence", [
    ("x", r"config must be a DRAWConfig, as in DRAW\(DRAWConfig\(\)\), got 'x'"),
    ({"glimpses": 10}, "config must be a DRAWConfig"), (VAEConfig(), "config must be a DRAWConfig"),
    (None, "config must be a DRAWConfig")])
def test_settings_of_another_kind_are_refused(config, sentence):
    with pytest.raises(TypeError, match=sentence):
        DRAW(config)


def test_fields_in_place_of_settings_are_refused():
    for model, settings in ((DRAW, "DRAWConfig"), (VAE, "VAEConfig")):
        with pytest.raises(TypeError, match=rf"takes its settings as a {settings}: "
                           rf"{model.__name__}\({settings}\(latent_size=10\)\)"):
            model(latent_size=10)


# What is shown.


@pytest.mark.parametrize("model", [DRAW, VAE])
def test_help_begins_with_an_example_and_lists_the_settings(model):
    text = pydoc.plain(pydoc.render_doc(model))
    head = text[:text.index("Method resolution order")]
    assert head.count(">>> ") == 5 and f"draw_tf.{model.Config.__name__}(" in head
    for field in dataclasses.fields(model.Config):
        assert f"{field.name} = " in head[head.index("Args:"):]


@pytest.mark.parametrize("config", MODELS)
def test_the_summary_has_every_output_shape(config):
    lines = []
    make_model(config).summary(print_fn=lines.append)
    text = "\n".join(map(str, lines))
    assert f"(None, {config.hidden_size})" in text and "?" not in text


@pytest.mark.parametrize("config", MODELS)
def test_keras_serializes_the_class(config):
    TestCase().run_class_serialization_test(models.make_model(config))
