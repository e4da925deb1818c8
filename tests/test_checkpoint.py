"""Runs saved, resumed and loaded; the weights that ship; and what is told where that fails."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from draw_tf import checkpoint, data, evaluation
from draw_tf.config import TrainConfig, config_to_dict, write_json
from draw_tf.errors import ConfigError, WorkdirError
from draw_tf.export import export
from draw_tf.model import DRAW
from draw_tf.trainer import Trainer
from tests import reference
from tests.numerics import model_with, small_config

# one with every kind of weight, the learned first states among them
CONFIG = small_config(glimpses=2, equations="paper")
QUIET = TrainConfig(jit_compile="false")
AVERAGING = TrainConfig(jit_compile="false", average_decay=0.9)


def numbers(model):
    """A model's weights as a dictionary of arrays."""
    return {name: variable.numpy() for name, variable in checkpoint.named_weights(model).items()}


def other_weights(seed):
    return numbers(model_with(CONFIG, reference.random_weights(CONFIG, seed)))


def assert_same(model, weights):
    assert set(numbers(model)) == set(weights)
    for name, value in numbers(model).items():
        np.testing.assert_array_equal(value, weights[name], err_msg=name)


def save_step(workdir, trainer, step, seed):
    """Saves a checkpoint of new weights; returns those of the model and of its average."""
    if seed is not None:
        checkpoint.assign_weights(trainer.model, other_weights(seed))
    if trainer.evaluated is not trainer.model:
        checkpoint.assign_weights(trainer.evaluated, other_weights(seed + 1))
    trainer.step.assign(step)
    folder = str(workdir / checkpoint.FOLDER)
    tf.train.CheckpointManager(trainer.checkpoint(), folder, max_to_keep=2).save(step)
    return numbers(trainer.model), numbers(trainer.evaluated)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run of two checkpoints, with the weights of each; for reading only."""
    workdir = tmp_path_factory.mktemp("run")
    checkpoint.prepare_workdir(workdir, CONFIG, QUIET)
    trainer = Trainer(CONFIG, QUIET)
    return workdir, {step: save_step(workdir, trainer, step, seed=step)[0] for step in (90, 100)}


@pytest.fixture
def run(saved, tmp_path):
    """A copy of it to damage, at another place."""
    return shutil.copytree(saved[0], tmp_path / "copy")


def save_npz(folder, dtype=np.float32, seed=5):
    """A folder of weights alone; returns the weights."""
    folder.mkdir(exist_ok=True)
    model = model_with(CONFIG, reference.random_weights(CONFIG, seed))
    write_json(folder / checkpoint.CONFIG, config_to_dict(CONFIG, QUIET))
    checkpoint.save_weights(model, folder / checkpoint.WEIGHTS, dtype)
    return numbers(model)


def cut_short(path, share):
    content = path.read_bytes()
    path.write_bytes(content[:int(share * len(content))])


def sentence(call, *arguments):
    """The message of the WorkdirError that a call must raise, checked to be of one line."""
    with pytest.raises(WorkdirError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


# Weights alone.


def test_weights_alone_come_back(tmp_path):
    weights = save_npz(tmp_path)
    model, step = checkpoint.load_with_step(tmp_path)
    assert step is None and model.config == CONFIG
    assert_same(model, weights)
    assert all(value.std() > 0 for value in weights.values())  # no weight is left out


def test_half_precision_comes_back_as_float32(tmp_path):
    weights = save_npz(tmp_path, np.float16)
    with np.load(tmp_path / checkpoint.WEIGHTS) as arrays:
        assert all(arrays[name].dtype == np.float16 for name in arrays)
    for name, value in numbers(checkpoint.load(tmp_path)).items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, weights[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("change, message", [
    (lambda weights: weights.pop("read/bias"), "'read/bias' is missing"),
    (lambda weights: weights.update({"glance/bias": np.zeros(5)}), "'glance/bias' is not one of"),
    (lambda weights: weights.update({"mu/kernel": np.zeros((3, 12))}),
     r"'mu/kernel' must have shape \(12, 3\), got \(3, 12\)"),
])
def test_a_weight_that_does_not_fit_is_named_and_nothing_is_set(change, message):
    model = DRAW(CONFIG)
    before, weights = numbers(model), other_weights(0)
    change(weights)
    with pytest.raises(ValueError, match=message):
        checkpoint.assign_weights(model, weights)
    assert_same(model, before)


@pytest.mark.parametrize("share", [0, 0.1, 0.9, 0.999])
def test_weights_cut_short_are_told(tmp_path, share):
    save_npz(tmp_path)
    cut_short(tmp_path / checkpoint.WEIGHTS, share)
    assert "weights.npz can not be read: " in sentence(checkpoint.load, tmp_path)


def save_something_else(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


def damage_the_middle(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(b"these are no weights"),
    lambda path: np.savez(path, **{"mu/kernel": np.array([{}], dtype=object)}),
    lambda path: np.savez(path, **{"mu/kernel": np.zeros(3)}),
    save_something_else, damage_the_middle])
def test_other_things_in_place_of_weights_are_told(tmp_path, spoil):
    save_npz(tmp_path)
    spoil(tmp_path / checkpoint.WEIGHTS)
    assert "weights.npz can not be read: " in sentence(checkpoint.load, tmp_path)


# Checkpoints.


def test_every_weight_of_the_newest_checkpoint_is_loaded(saved):
    workdir, weights = saved
    model, step = checkpoint.load_with_step(workdir)
    assert step == 100  # by number: as text, 90 would be the last
    assert_same(model, weights[100])


def test_a_run_may_move_and_lose_its_newest_checkpoint(run, saved):
    for path in (run / checkpoint.FOLDER).glob("ckpt-100*"):
        path.unlink()
    model, step = checkpoint.load_with_step(run)
    assert step == 90
    assert_same(model, saved[1][90])


@pytest.mark.parametrize("ending", ["data-00000-of-00001", "index"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_told(run, ending, share):
    cut_short(run / checkpoint.FOLDER / f"ckpt-100.{ending}", share)
    message = sentence(checkpoint.load, run)
    assert "ckpt-100 can not be read, being cut short" in message
    message = sentence(Trainer(CONFIG, QUIET).restore, checkpoint.latest(run))
    assert "ckpt-100 can not be read, being cut short" in message


@pytest.mark.parametrize("fields, reason", [
    (dict(hidden_size=13), "shape"), (dict(equations="article"), ""),
    (dict(read_attention=False), "shape")])
def test_a_checkpoint_of_another_model_is_told(run, fields, reason):
    other = dataclasses.replace(CONFIG, **fields)
    write_json(run / checkpoint.CONFIG, config_to_dict(other, QUIET))
    if reason:
        message = sentence(checkpoint.load, run)
        assert "of another model" in message and reason in message
    # and the other way around: the checkpoint lacks what the model has
    save_step(run, Trainer(other, QUIET), 200, seed=None)
    write_json(run / checkpoint.CONFIG, config_to_dict(CONFIG, QUIET))
    assert "of another model" in sentence(checkpoint.load, run)


def test_averaged_weights_are_the_ones_loaded(tmp_path):
    checkpoint.prepare_workdir(tmp_path, CONFIG, AVERAGING)
    trainer = Trainer(CONFIG, AVERAGING)
    now, average = save_step(tmp_path, trainer, 10, seed=1)
    assert_same(checkpoint.load(tmp_path), average)
    again = Trainer(CONFIG, AVERAGING)
    again.restore(checkpoint.latest(tmp_path))
    assert_same(again.model, now)
    assert_same(again.evaluated, average)
    assert int(again.step) == 10


def test_an_average_may_begin_in_a_resumed_run(run, saved):
    assert checkpoint.prepare_workdir(run, CONFIG, AVERAGING) == ["average_decay"]
    assert_same(checkpoint.load(run), saved[1][100])  # there is none yet
    trainer = Trainer(CONFIG, AVERAGING)
    trainer.restore(checkpoint.latest(run))
    assert_same(trainer.model, saved[1][100])
    assert_same(trainer.evaluated, saved[1][100])


def test_a_run_without_checkpoint_is_told(tmp_path):
    checkpoint.prepare_workdir(tmp_path, CONFIG, QUIET)
    assert "holds no checkpoint yet" in sentence(checkpoint.load, tmp_path)


# Workdirs.


def test_a_run_of_another_architecture_is_refused_and_kept(run):
    before = (run / checkpoint.CONFIG).read_bytes()
    other = small_config(glimpses=3, equations="paper")
    message = sentence(checkpoint.prepare_workdir, run, other, QUIET)
    assert "glimpses=2, not 3" in message
    assert (run / checkpoint.CONFIG).read_bytes() == before


def test_training_settings_may_change(run):
    assert checkpoint.prepare_workdir(run, CONFIG, QUIET) == []
    new = TrainConfig(jit_compile="false", train_steps=7, learning_rate=0.5)
    assert checkpoint.prepare_workdir(run, CONFIG, new) == ["train_steps", "learning_rate"]
    assert checkpoint.read_config(run) == (CONFIG, new)


def test_a_workdir_that_can_not_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    for workdir in (tmp_path / "file", tmp_path / "file" / "below"):
        message = sentence(checkpoint.prepare_workdir, workdir, CONFIG, QUIET)
        assert f"--workdir={workdir} can not be written" in message
        assert f"--workdir={workdir} is no folder" in sentence(checkpoint.load, workdir)


@pytest.mark.parametrize("content", [
    "", "{", "[1]", '{"model": {}}', '{"model": null, "train": {}}', "\x00",
    '{"model": {"glimpses": 0}, "train": {}}', '{"model": {"glances": 3}, "train": {}}',
    '{"model": {}, "train": {"unroll": 5}}', '{"model": {}, "train": {"seed": NaN}}'])
def test_garbled_settings_are_told(run, content):
    (run / checkpoint.CONFIG).write_text(content)
    assert "config.json can not be used: " in sentence(checkpoint.load, run)
    message = sentence(checkpoint.prepare_workdir, run, CONFIG, QUIET)
    assert "config.json can not be used: " in message


def test_settings_that_are_no_text_are_told(run):
    (run / checkpoint.CONFIG).write_bytes(b"\xff\xfe\x00")
    assert "config.json can not be used: " in sentence(checkpoint.load, run)


def test_a_folder_without_settings_is_told(tmp_path):
    assert "holds no config.json" in sentence(checkpoint.load, tmp_path)


# Weights that ship.


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A place of weights that ship, and another working directory."""
    shelf = tmp_path / "pretrained"
    shelf.mkdir()
    monkeypatch.setattr(checkpoint, "PRETRAINED", shelf)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return shelf


def test_weights_that_ship_are_found_by_name_the_best_first(shelf):
    weights = {name: save_npz(shelf / name, seed=seed) for seed, name in enumerate(
        ("abacus", *reversed(checkpoint.PREFERENCE), "zebra"))}
    (shelf / "empty").mkdir()
    assert checkpoint.pretrained() == [*checkpoint.PREFERENCE, "abacus", "zebra"]
    assert checkpoint.best_pretrained() == checkpoint.PREFERENCE[0]
    assert_same(checkpoint.load("zebra"), weights["zebra"])


def test_a_run_comes_before_weights_that_ship(shelf):
    save_npz(shelf / "mnist", seed=1)
    pathlib.Path("mnist").mkdir()
    assert checkpoint.resolve("mnist") == shelf / "mnist"  # the folder holds no run
    weights = save_npz(pathlib.Path("mnist"), seed=2)
    assert_same(checkpoint.load("mnist"), weights)


def test_unknown_names_are_told_with_the_known_ones(shelf):
    assert "nothing is no folder" in sentence(checkpoint.load, "nothing")
    assert "no weights ship" in sentence(checkpoint.best_pretrained)
    save_npz(shelf / "mnist")
    assert "(mnist)" in sentence(checkpoint.load, "nothing")


@pytest.fixture
def images(monkeypatch):
    """What every data set holds."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 9, 1), np.uint8)
    monkeypatch.setattr(evaluation.data, "load", lambda name, split, data_dir: data.Images(
        pixels, 255, name, split))


def test_a_run_is_exported_to_the_weights_that_ship(run, saved, shelf, images):
    report = export(run, "small-run", half=True, note="on two cores", folder=shelf,
                    jit_compile=False)
    folder = shelf / "small-run"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "weights.npz", "evaluation.json", "RUN.md"}
    assert [path.name for path in shelf.iterdir()] == ["small-run"]  # nothing half done is left
    model = checkpoint.load("small-run")
    for name, value in numbers(model).items():
        np.testing.assert_array_equal(value, saved[1][100][name].astype(np.float16), err_msg=name)
    assert json.loads((folder / "evaluation.json").read_text()) == report
    assert evaluation.evaluate_run("small-run", jit_compile=False) == report
    assert report["step"] == 100
    text = (folder / "RUN.md").read_text()
    for part in ("# small-run", "on two cores", "100 steps", f"{report['bound_nats']:.2f} nats",
                 "float16"):
        assert part in text
    # once more, in full precision and with all that can be evaluated
    report = export(run, "small-run", folder=shelf, jit_compile=False, noise_samples=2,
                    importance_samples=3)
    text = (folder / "RUN.md").read_text()
    for part in (f"(+- {report['bound_se']:.2f}) nats", "float32",
                 f"importance-weighted {report['iwae_nats']:.2f} (3 samples)"):
        assert part in text
    assert_same(checkpoint.load("small-run"), saved[1][100])


def test_an_export_that_fails_leaves_nothing(run, shelf, images):
    for name in ("", "../up", "Big", "a b"):
        with pytest.raises(ConfigError, match="name must be"):
            export(run, name, folder=shelf)
    with pytest.raises(ConfigError, match="importance_samples"):
        export(run, "run", folder=shelf, importance_samples=0)
    assert not list(shelf.iterdir())
    (shelf / "file").touch()
    assert "can not be written" in sentence(lambda: export(run, "run", folder=shelf / "file"))
