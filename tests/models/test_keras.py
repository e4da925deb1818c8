"""The models are Keras models like any other: each does what a plain one does beside it."""

import contextlib
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
from draw_tf.export import save_model
from draw_tf.models import make_model
from draw_tf.training.loop import make_strategy
from tests.support.cli import ROOT
from tests.support.numerics import small_config
from tests.support.plain_vae import CONFIG, PlainVAE

IMAGES = np.random.default_rng(0).random((10, 5, 4, 1))
DRAW_CONFIG = small_config(image_shape=(5, 4, 1), read_size=2, write_size=2)
MODELS = (DRAW_CONFIG, CONFIG)
OUTSIDE = r"images must be in \[0, 1\], got \["


def pair(optimizer="sgd", strategy=None, **options):
    """Our VAE without noise, and the plain one, with the same weights and compiled alike."""
    options = {"run_eagerly": True, **options}
    keras.utils.set_random_seed(0)  # from other weights, training may diverge
    with (strategy or tf.distribute.get_strategy()).scope():
        ours, plain = VAE(CONFIG, dtype="float64"), PlainVAE()
        plain.build((None, 5, 4, 1))
        plain(IMAGES)
        plain.set_weights(ours.get_weights())
        for model in (ours, plain):
            model.compile(copy.deepcopy(keras.optimizers.get(optimizer)), **options)
    ours.draw_noise = ours.step_noise = lambda num: tf.zeros([1, num, 3], tf.float64)
    return ours, plain


def compiled(config=CONFIG, **options):
    model = make_model(config)
    model.compile("adam", **{"run_eagerly": True, **options})
    return model


def assert_same_weights(ours, plain):
    for left, right in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)


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


# What data may be.


class Batches(keras.utils.PyDataset):
    """Two batches, which counts how often they are read."""

    read = 0

    def __len__(self):
        return 2

    def __getitem__(self, index):
        self.read += 1
        return (IMAGES[5 * index:5 * index + 5],)


def without_shapes():
    return tf.data.Dataset.range(2).map(lambda i: tf.numpy_function(
        lambda i: IMAGES[5 * i:5 * i + 5], [i], tf.float64))


DATA = {
    "array": lambda: IMAGES, "list of one": lambda: [IMAGES], "PyDataset": lambda: Batches(),
    "generator": lambda: ((batch,) for batch in (IMAGES[:5], IMAGES[5:])),
    "tf.data": lambda: tf.data.Dataset.from_tensor_slices(IMAGES).batch(5),
    "no shapes": without_shapes,
}


@pytest.mark.parametrize("kind", DATA)
def test_fit_takes_what_keras_takes(kind):
    options = dict(batch_size=5) if kind in ("array", "list of one") else {}
    ours, plain = pair()
    for model in (ours, plain):
        # the plain one cannot know the shapes either, and has to be told nothing else
        model.fit(DATA[kind](), shuffle=False, verbose=0, **options)
        assert model.optimizer.iterations == 2
    assert_same_weights(ours, plain)


def test_a_data_set_is_read_once_and_an_array_is_not_copied(monkeypatch):
    ours, plain = pair()
    reads = []
    for model in (ours, plain):
        data = Batches()
        model.fit(data, verbose=0)
        reads.append(data.read)
    assert reads[0] == reads[1]
    ours.make_train_function()
    # what is checked is a batch, never more
    sizes, check = [], ours.check_images
    monkeypatch.setattr(ours, "check_images", lambda x, **options: (
        sizes.append(x.shape[0]) or check(x, **options)))
    ours.fit(IMAGES, batch_size=2, verbose=0)
    assert set(sizes) <= {2, None}


def nothing():
    yield from ()


@pytest.mark.parametrize("data", [
    lambda: IMAGES[:0], lambda: tf.data.Dataset.from_tensor_slices(IMAGES[:0]).batch(5),
    lambda: tf.data.Dataset.from_tensor_slices(IMAGES).batch(5).filter(lambda x: False)])
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_no_images_are_a_sentence(method, data):
    with pytest.raises(ValueError, match="x must have at least one image, got none"):
        getattr(compiled(), method)(data(), verbose=0)


def test_no_validation_images_are_a_sentence():
    with pytest.raises(ValueError, match="x must have at least one image, got none"):
        compiled().fit(IMAGES, validation_data=(IMAGES[:0],), verbose=0)
    with pytest.raises(ValueError, match="must yield at least one batch"):  # Keras's own
        compiled().fit(nothing(), verbose=0)


LATE = np.where(np.arange(10)[:, None, None, None] == 9, 255 * IMAGES, IMAGES)
ENTRANCES = {
    "fit": lambda model, x: model.fit(x, batch_size=5, shuffle=False, verbose=0),
    "tf.data": lambda model, x: model.fit(
        tf.data.Dataset.from_tensor_slices(x).batch(5), verbose=0),
    "validation": lambda model, x: model.fit(IMAGES, validation_data=(x,), verbose=0),
    "split": lambda model, x: model.fit(x, validation_split=0.1, verbose=0),
    "evaluate": lambda model, x: model.evaluate(x, batch_size=5, verbose=0),
    "predict": lambda model, x: model.predict(x, batch_size=5, verbose=0),
    "train_on_batch": lambda model, x: model.train_on_batch(x),
    "test_on_batch": lambda model, x: model.test_on_batch(x),
    "predict_on_batch": lambda model, x: model.predict_on_batch(x),
    "call": lambda model, x: model(x), "trace": lambda model, x: model.trace(x),
    "bound": lambda model, x: model.bound(x), "log_weights": lambda model, x: model.log_weights(x),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_grey_levels_are_refused_wherever_images_enter(entrance):
    enter = ENTRANCES[entrance]
    model = compiled()
    enter(model, IMAGES)
    for value in (255.0, np.nan):
        images = np.where(LATE > 1, value, LATE)
        with pytest.raises(ValueError, match=OUTSIDE):
            enter(model, images)
    with pytest.raises(ValueError, match=r"floating point in \[0, 1\], got uint8"):
        enter(model, np.uint8(255 * IMAGES))
    if entrance in ("fit", "tf.data", "evaluate", "predict"):
        assert np.all(np.isfinite(model.get_weights()[0]))


def test_shapes_that_come_with_the_images_are_checked():
    data = tf.data.Dataset.range(1).map(lambda i: tf.numpy_function(
        lambda i: IMAGES[0], [i], tf.float64))
    with pytest.raises(ValueError, match=r"images must be \[N 5 4 1\], got \[5 4 1\]"):
        compiled().fit(data, verbose=0)
    with pytest.raises(ValueError, match="x must be one array of images, got 2"):
        compiled().fit([IMAGES, IMAGES], verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_batch_outside_never_reaches_a_compiled_model(jit_compile):
    fitted = []
    for images, outcome in ((LATE, pytest.raises(ValueError, match=OUTSIDE)),
                            (LATE[:5], contextlib.nullcontext())):
        keras.utils.set_random_seed(0)
        fitted.append(compiled(jit_compile=jit_compile, run_eagerly=False))
        with outcome:
            fitted[-1].fit(images, batch_size=5, shuffle=False, verbose=0)
    for one, other in zip(*(model.get_weights() for model in fitted), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("export", ["keras", "command"])
def test_a_served_model_refuses_grey_levels(export, tmp_path):
    model = make_model(CONFIG)
    images = np.float32(IMAGES)
    if export == "keras":
        model.export(tmp_path / "served", verbose=False)
        loaded = tf.saved_model.load(tmp_path / "served")  # which has to live as long as its parts
        served = loaded.serve
    else:
        save_model(model, tmp_path / "served")
        loaded = tf.saved_model.load(tmp_path / "served")
        served = loaded.signatures["reconstruct"]
    served(tf.constant(images))
    with pytest.raises(tf.errors.InvalidArgumentError, match=OUTSIDE):
        served(tf.constant(255 * images))


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
