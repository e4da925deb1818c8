"""The listing's variables, by name or from its checkpoint, become our weights."""

import functools
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

import draw_tf
from draw_tf import DRAW, checkpoints
from draw_tf.checkpoints import listing
from draw_tf.errors import ConfigError, WorkdirError
from tests.support.cli import run_module
from tests.support.numerics import example, small_config

tf1 = tf.compat.v1


def listing_config(**fields):
    return small_config(**{**dict(image_shape=(28, 28, 1), glimpses=4, hidden_size=12,
                                  latent_size=3, read_size=3, write_size=4), **fields})


@functools.cache
def shapes(config):
    """The listing's variables for a config: name to shape."""
    return listing.listing_shapes(DRAW(config))


def listing_weights(config, seed=0):
    """Random variables of the listing for a config: name to array."""
    random = np.random.default_rng(seed)
    return {name: random.normal(0, 0.3, shape).astype(np.float32)
            for name, shape in shapes(config).items()}


def loaded(config, weights, dtype=None):
    model = DRAW(config, dtype=dtype)
    draw_tf.load_listing_weights(model, weights)
    return model


def save_checkpoint(weights, prefix):
    """Writes a TensorFlow 1 checkpoint as the listing does: with Adam's slots beside."""
    with tf.Graph().as_default(), tf1.Session() as session:
        variables = [tf1.get_variable(name, initializer=np.float32(value))
                     for name, value in weights.items()]
        loss = tf.add_n([tf.reduce_sum(tf.square(variable)) for variable in variables])
        step = tf1.train.get_or_create_global_step()
        train = tf1.train.AdamOptimizer(0.0, beta1=0.5).minimize(loss, global_step=step)
        session.run(tf1.global_variables_initializer())
        session.run(train)  # at rate 0: fills the slots and leaves the weights
        return tf1.train.Saver().save(session, str(prefix))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# ---------------------------------------------------------------- variables by name


@pytest.mark.parametrize("cell", ["encoder", "decoder"])
def test_an_lstm_step_is_tensorflow_1s(cell):
    config = listing_config()
    weights = {name: np.float64(array) for name, array in listing_weights(config).items()}
    kernel, bias = weights[f"{cell}/lstm_cell/kernel"], weights[f"{cell}/lstm_cell/bias"]
    random = np.random.default_rng(1)
    x = random.normal(size=(5, len(kernel) - config.hidden_size))  # [N, inputs]
    h, c = random.normal(size=(2, 5, config.hidden_size))  # [N, D] each

    i, j, f, o = np.split(np.concatenate([x, h], axis=1) @ kernel + bias, 4, axis=1)
    c_next = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
    h_next = sigmoid(o) * np.tanh(c_next)

    model = loaded(config, weights, "float64")
    lstm = model.lstm_enc if cell == "encoder" else model.lstm_dec
    _, got = lstm(tf.constant(x), [tf.constant(h), tf.constant(c)])
    np.testing.assert_allclose(got, [h_next, c_next], atol=1e-12)


@pytest.mark.parametrize("read, write", [(True, True), (True, False), (False, True),
                                         (False, False)])
def test_dense_layers_are_copied_in_models_with_and_without_attention(read, write):
    config = listing_config(read_attention=read, write_attention=write)
    weights = listing_weights(config)
    ours = checkpoints.named_weights(loaded(config, weights))
    scopes = {"mu": "mu", "sigma": "sigma", "writeW": "writeW" if write else "write"}
    scopes.update({"read": "read"} if read else {}, **({"write": "write"} if write else {}))
    for name, scope in scopes.items():
        np.testing.assert_array_equal(ours[f"{name}/kernel"], weights[f"{scope}/Linear/Matrix"])
        np.testing.assert_array_equal(ours[f"{name}/bias"], weights[f"{scope}/Linear/bias"])
    assert len(weights) == 4 + 2 * len(scopes)


def test_the_mapping_is_left_as_it_was():
    config = listing_config()
    weights = listing_weights(config)
    loaded(config, weights)
    for name, value in listing_weights(config).items():
        np.testing.assert_array_equal(weights[name], value)


@pytest.fixture(scope="module")
def model():
    return DRAW(listing_config())


NAMES = list(shapes(listing_config()))


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_variable_is_named(name, model):
    weights = listing_weights(listing_config())
    del weights[name]
    with pytest.raises(ValueError, match=f"'{name}' is missing"):
        draw_tf.load_listing_weights(model, weights)


def test_an_extra_variable_is_named():
    weights = {**listing_weights(listing_config()), "mu/Linear/Matrix/Adam": np.zeros(3)}
    with pytest.raises(ValueError, match="'mu/Linear/Matrix/Adam' is not one that this model"):
        loaded(listing_config(), weights)


@pytest.mark.parametrize("name", NAMES)
def test_a_variable_of_another_shape_is_named_with_both_shapes(name, model):
    weights = listing_weights(listing_config())
    shape = weights[name].shape
    weights[name] = np.zeros((shape[0] + 1, *shape[1:]), np.float32)
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        draw_tf.load_listing_weights(model, weights)
    for part in (name, shape, weights[name].shape):
        assert str(part) in str(error.value)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)  # nothing was set on the way


def test_a_model_with_the_papers_equations_is_refused():
    with pytest.raises(ValueError, match="equations='article', got 'paper'"):
        loaded(listing_config(equations="paper"), listing_weights(listing_config()))


# ---------------------------------------------------------------- the listing's checkpoint


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The prefix of a checkpoint of `listing_config()`; for reading only."""
    return save_checkpoint(listing_weights(listing_config()),
                           tmp_path_factory.mktemp("saved") / "listing.ckpt-10000")


@pytest.mark.parametrize("read, write", [(True, True), (False, True), (True, False)])
def test_an_imported_checkpoint_is_the_model(read, write, tmp_path):
    sizes = {**({} if read else {"read_size": 5}), **({} if write else {"write_size": 5})}
    config = listing_config(read_attention=read, write_attention=write, shared_noise=True, **sizes)
    weights = listing_weights(config)
    prefix = save_checkpoint(weights, tmp_path / "listing.ckpt")
    names = [name for name, _ in tf.train.list_variables(prefix)]
    assert {"mu/Linear/Matrix/Adam_1", "beta1_power", "global_step"} <= set(names)

    workdir = tmp_path / "runs" / "listing"
    assert listing.import_checkpoint(prefix, workdir, glimpses=4) == config
    model = draw_tf.load(workdir)
    assert model.config == config
    images, noise = example(config)
    np.testing.assert_array_equal(model(images, noise).logits,
                                  loaded(config, weights)(images, noise).logits)
    assert json.loads((workdir / "config.json").read_text())["train"]["dataset"] == "mnist"


@pytest.mark.parametrize("path", ["", "listing.ckpt-10000", "listing.ckpt-10000.index"])
def test_folder_prefix_or_index_and_arguments_for_what_shapes_do_not_show(path, saved, tmp_path):
    folder = pathlib.Path(saved).parent
    assert listing.import_checkpoint(folder / path, tmp_path / "run", (8, 9, 1), 6, False) == (
        listing_config(image_shape=(8, 9, 1), glimpses=6))


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "checkpoints"])
def test_a_workdir_in_use_is_left_alone(name, saved, tmp_path):
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / name).write_text("mine")
    with pytest.raises(WorkdirError, match=f"already holds {name}"):
        listing.import_checkpoint(saved, workdir, glimpses=4)
    assert [path.name for path in workdir.iterdir()] == [name]
    assert (workdir / name).read_text() == "mine"


def ask_for_another(prefix):
    return prefix + "-of-another-name"


def cut_the_index(prefix):
    os.truncate(prefix + ".index", 20)
    return prefix


def cut_the_data(prefix):
    os.truncate(prefix + ".data-00000-of-00001", 20)
    return prefix


def ask_for_the_graph(prefix):
    return prefix + ".meta"


@pytest.mark.parametrize("damage", [ask_for_another, cut_the_index, cut_the_data,
                                    ask_for_the_graph])
def test_a_checkpoint_that_cannot_be_read_is_reported_in_one_sentence(damage, saved, tmp_path):
    copy = shutil.copytree(pathlib.Path(saved).parent, tmp_path / "copy")
    prefix = damage(str(copy / "listing.ckpt-10000"))
    with pytest.raises(ConfigError) as error:
        listing.import_checkpoint(prefix, tmp_path / "run")
    assert prefix in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("change, message", [
    (lambda weights: weights.pop("mu/Linear/Matrix"), "no variable 'mu/Linear/Matrix'"),
    (lambda weights: weights.pop("read/Linear/bias"), "'read/Linear/bias' is missing"),
    (lambda weights: weights.update({"encoder/lstm_cell/kernel": np.zeros([55, 48])}),
     r"'encoder/lstm_cell/kernel' of shape \(55, 48\)"),
    (lambda weights: weights.update({"encoder/lstm_cell/kernel": np.zeros([48])}),
     r"'encoder/lstm_cell/kernel' of shape \(48,\)"),
    (lambda weights: weights.update({"writeW/Linear/Matrix": np.zeros([12, 15])}),
     r"'writeW/Linear/Matrix' of shape \(12, 15\)"),
    (lambda weights: weights.update({"other": np.zeros(2)}), "'other' is not one"),
])
def test_a_checkpoint_of_something_else_is_reported(change, message, tmp_path, monkeypatch):
    weights = listing_weights(listing_config())
    change(weights)
    monkeypatch.setattr(listing, "read_checkpoint", lambda path: weights)
    with pytest.raises(ConfigError, match=message):
        listing.import_checkpoint("a.ckpt", tmp_path / "run", glimpses=4)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 0), (28, 28, 3)])
def test_an_image_shape_that_does_not_fit_is_reported(shape, saved, tmp_path):
    with pytest.raises(ConfigError):
        listing.import_checkpoint(saved, tmp_path / "run", shape)
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- the command


def test_the_command(saved, tmp_path, capsys):
    assert run_module("draw_tf.import_listing", f"--checkpoint={saved}",
                      f"--workdir={tmp_path}/run", "--glimpses=4") == 0
    printed = capsys.readouterr().out
    assert "read_size=3, write_size=4" in printed and "garbage" in printed
    assert draw_tf.load(tmp_path / "run").config == listing_config(shared_noise=True)


def test_the_command_for_a_checkpoint_that_was_trained_with_independent_noise(saved, tmp_path,
                                                                              capsys):
    assert run_module("draw_tf.import_listing", f"--checkpoint={saved}", "--noshared_noise",
                      f"--workdir={tmp_path}/run", "--glimpses=4", "--image_shape=8,9,1") == 0
    assert "garbage" not in capsys.readouterr().out
    assert draw_tf.load(tmp_path / "run").config == listing_config(image_shape=(8, 9, 1))


@pytest.mark.parametrize("flag, words", [("--checkpoint=/nowhere/a.ckpt", "'/nowhere/a.ckpt'"),
                                         ("--image_shape=28,28", "got 28,28"),
                                         ("--image_shape=28,x,1", "got 28,x,1")])
def test_the_command_reports_an_error_in_one_line(flag, words, tmp_path, capsys):
    flags = ["--checkpoint=/nowhere/b.ckpt", f"--workdir={tmp_path}/run", flag]
    assert run_module("draw_tf.import_listing", *flags) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "run").exists()
