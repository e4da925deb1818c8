"""Data for the models: whatever Keras takes, checked wherever images enter."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from draw_tf.export import save_model
from draw_tf.models import make_model
from tests.support.plain_vae import CONFIG, IMAGES, assert_same_weights, compiled, pair

OUTSIDE = r"images must be in \[0, 1\], got \["


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
