"""A model as Keras's other parts use it: inside another, frozen, shared out, regularized."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

import draw_tf
from draw_tf import data
from draw_tf.models import make_model
from draw_tf.training.loop import make_strategy
from tests.support.numerics import small_config
from tests.support.plain_vae import CONFIG

IMAGES = np.random.default_rng(0).random((9, 5, 4, 1)).astype(np.float32)
DRAW_CONFIG = small_config(image_shape=(5, 4, 1), read_size=2, write_size=2)
MODELS = (DRAW_CONFIG, CONFIG)


def fitted(config):
    """A model after an epoch, in which nothing changes."""
    model = make_model(config)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.fit(IMAGES, verbose=0)
    return model


class Outer(keras.Model):
    """Trains by a pass of another model, and keeps what it drew."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.drawn = inner, []

    def call(self, images, training=False):
        logits = self.inner(images, training=training).logits
        self.drawn.append(logits.numpy().tobytes())
        self.add_loss(keras.ops.mean((logits - images)**2))
        return logits


@pytest.mark.parametrize("config", MODELS)
def test_only_its_own_training_step_fixes_the_noise(config):
    model = fitted(config)
    one, other = (model(IMAGES, training=True).logits for _ in range(2))
    assert np.any(one != other)
    outer = Outer(model)
    outer.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    outer.fit(np.repeat(IMAGES[:1], 8, axis=0), batch_size=2, epochs=2, verbose=0)
    assert len(set(outer.drawn)) == len(outer.drawn) >= 8


@pytest.mark.parametrize("config", MODELS)
def test_a_training_step_of_ones_own_needs_no_optimizer(config):
    class Own(type(make_model(config))):
        def train_step(self, batch):
            images, *_ = keras.utils.unpack_x_y_sample_weight(batch)
            self.drawn = [*getattr(self, "drawn", []), self(images, training=True).logits.numpy()]
            return {"loss": tf.constant(0.0)}

    model = Own(config)
    model.compile(None, run_eagerly=True)
    model.fit(np.repeat(IMAGES[:1], 4, axis=0), batch_size=2, verbose=0)
    assert np.any(model.drawn[0] != model.drawn[1])


def test_a_replica_without_images_leaves_the_loss_finite():
    strategy = make_strategy("mirrored")
    with strategy.scope():
        model = make_model(CONFIG)
        model.compile("adam", jit_compile=False)
    assert model.distribute_strategy == strategy
    history = model.fit(IMAGES, batch_size=4, epochs=2, verbose=0, validation_data=(IMAGES, None),
                        callbacks=[keras.callbacks.TerminateOnNaN()]).history
    assert len(history["loss"]) == 2
    assert np.isfinite([history["loss"], history["val_loss"]]).all()
    batches = strategy.experimental_distribute_dataset(
        tf.data.Dataset.from_tensor_slices(255 * IMAGES).batch(3))
    for given in ({"x": batches}, {"x": IMAGES, "validation_data": batches}):
        with pytest.raises(ValueError, match="must not be distributed already"):
            model.fit(**given, steps_per_epoch=3)


@pytest.mark.parametrize("config", MODELS)
def test_regularizers_of_what_layers_return_count(config):
    for name in [layer.name for layer in make_model(config).layers
                 if isinstance(layer, keras.layers.Dense)]:
        model = make_model(config)
        model.get_layer(name).bias.assign(model.get_layer(name).bias + 1)
        model.get_layer(name).activity_regularizer = keras.regularizers.L2(100)
        model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
        history = model.fit(IMAGES, verbose=0).history
        assert history["loss"][0] > history["bound_nats"][0] + 1, name


@pytest.mark.parametrize("config", MODELS)
def test_a_frozen_model_stays_frozen(config, tmp_path):
    model = make_model(config)
    model.trainable = False
    model.save(tmp_path / "frozen.keras")
    for other in (keras.saving.load_model(tmp_path / "frozen.keras"), copy.deepcopy(model),
                  type(model).from_config(model.get_config())):
        assert not other.trainable and not other.trainable_variables


def test_arguments_are_in_the_order_of_keras(tmp_path):
    model = make_model(CONFIG)
    model.compile("sgd", None, None, [], None)
    for given in ({"loss": "mse"}, {"loss_weights": [2.0]}, {"metrics": ["mae"]},
                  {"weighted_metrics": ["mae"]}):
        with pytest.raises(ValueError, match="loss and metrics must be None"):
            model.compile("sgd", **given)
    model.export(tmp_path / "exported", "tf_saved_model", verbose=False)
    assert (tmp_path / "exported" / "saved_model.pb").exists()


def test_the_loss_is_counted_in_32_bits():
    keras.config.set_floatx("float16")
    try:
        model = make_model(CONFIG)
        model.compile("sgd")
        assert {metric.dtype for metric in model.metrics} == {"float32"}
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize("mean", [255 * IMAGES[0], IMAGES[0, :4, :4], IMAGES])
def test_a_mean_image_is_checked(mean):
    model = make_model(CONFIG)
    before = model.get_weights()
    with pytest.raises(ValueError, match="images must be"):
        model.start_from_data(mean)
    for x, y in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_data_set_in_the_place_of_its_images_is_helped():
    digits, model = data.load("digits", "test"), draw_tf.VAE()
    model.compile("sgd")
    for call in (model.fit, model.evaluate, model.predict, model.trace, model.train_on_batch):
        with pytest.raises(ValueError, match=r"got the data set digits/test: give \w+\.floats\(\)"):
            call(digits)


@pytest.mark.parametrize("call, error, words", [
    (lambda model: draw_tf.DRAW(unroll=-1), ValueError, "unroll must be a whole number"),
    (lambda model: make_model("draw"), TypeError, "config must be a DRAWConfig or a VAEConfig"),
    (lambda model: draw_tf.save("a.gif", model, model(IMAGES), IMAGES), ValueError,
     "model and steps must be .*got VAE and DRAWOutput"),
    (lambda model: draw_tf.save(model, "a.gif", model.trace(IMAGES)), ValueError,
     "model and steps must be .*got str and Trace"),
])
def test_wrong_arguments_are_a_sentence(call, error, words):
    with pytest.raises(error, match=words):
        call(make_model(CONFIG))
