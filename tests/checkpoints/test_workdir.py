"""Runs saved, resumed and loaded; the weights that ship; and what is reported where that fails."""

import dataclasses
import json
import pathlib
import shutil

import pytest

from draw_tf import checkpoints
from draw_tf.checkpoints import workdir as workdirs
from draw_tf.config import TrainConfig, config_to_dict
from draw_tf.files import write_json
from draw_tf.training.trainer import Trainer
from tests.checkpoints.examples import (
    CONFIG,
    QUIET,
    assert_same,
    cut_short,
    numbers,
    save_npz,
    save_run,
    save_step,
    sentence,
)

AVERAGING = TrainConfig(jit_compile=False, average_decay=0.9)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run of two checkpoints, with the weights of each; for reading only."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, save_run(workdir)


@pytest.fixture
def run(saved, tmp_path):
    """A copy of it to damage, at another place."""
    return shutil.copytree(saved[0], tmp_path / "copy")


# ---------------------------------------------------------------- checkpoints


def test_every_weight_of_the_newest_checkpoint_is_loaded(saved):
    workdir, weights = saved
    model, step = checkpoints.load_with_step(workdir)
    assert step == 100  # by number: as text, 90 would be the last
    assert_same(model, weights[100])


def test_a_run_may_move_and_lose_its_newest_checkpoint(run, saved):
    for path in (run / workdirs.FOLDER).glob("ckpt-100*"):
        path.unlink()
    model, step = checkpoints.load_with_step(run)
    assert step == 90
    assert_same(model, saved[1][90])


@pytest.mark.parametrize("ending", ["data-00000-of-00001", "index"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_reported(run, ending, share):
    cut_short(run / workdirs.FOLDER / f"ckpt-100.{ending}", share)
    message = sentence(checkpoints.load, run)
    assert "ckpt-100 cannot be read, being cut short" in message
    message = sentence(Trainer(CONFIG, QUIET).restore, workdirs.latest(run))
    assert "ckpt-100 cannot be read, being cut short" in message


@pytest.mark.parametrize("fields, reason", [
    (dict(hidden_size=13), "shape"), (dict(equations="article"), ""),
    (dict(read_attention=False), "shape")])
def test_a_checkpoint_of_another_model_is_reported(run, fields, reason):
    other = dataclasses.replace(CONFIG, **fields)
    write_json(run / workdirs.CONFIG, config_to_dict(other, QUIET))
    if reason:
        message = sentence(checkpoints.load, run)
        assert "of another model" in message and reason in message
    # and the other way around: the checkpoint lacks what the model has
    save_step(run, Trainer(other, QUIET), 200)
    write_json(run / workdirs.CONFIG, config_to_dict(CONFIG, QUIET))
    assert "of another model" in sentence(checkpoints.load, run)


def test_averaged_weights_are_the_ones_loaded(tmp_path):
    checkpoints.prepare_workdir(tmp_path, CONFIG, AVERAGING)
    trainer = Trainer(CONFIG, AVERAGING)
    now = save_step(tmp_path, trainer, 10, seed=1)
    average = numbers(trainer.evaluated)
    assert_same(checkpoints.load(tmp_path), average)
    again = Trainer(CONFIG, AVERAGING)
    again.restore(workdirs.latest(tmp_path))
    assert_same(again.model, now)
    assert_same(again.evaluated, average)
    assert int(again.step) == 10


def test_an_average_may_begin_in_a_resumed_run(run, saved):
    assert checkpoints.prepare_workdir(run, CONFIG, AVERAGING) == ["average_decay"]
    assert_same(checkpoints.load(run), saved[1][100])  # there is none yet
    trainer = Trainer(CONFIG, AVERAGING)
    trainer.restore(workdirs.latest(run))
    assert_same(trainer.model, saved[1][100])
    assert_same(trainer.evaluated, saved[1][100])


def test_a_run_without_a_checkpoint_is_reported(tmp_path):
    checkpoints.prepare_workdir(tmp_path, CONFIG, QUIET)
    assert "holds no checkpoint yet" in sentence(checkpoints.load, tmp_path)


# ---------------------------------------------------------------- settings


def test_a_run_of_another_architecture_is_refused_and_kept(run):
    before = (run / workdirs.CONFIG).read_bytes()
    other = dataclasses.replace(CONFIG, glimpses=3)
    assert "glimpses=2, not 3" in sentence(checkpoints.prepare_workdir, run, other, QUIET)
    assert (run / workdirs.CONFIG).read_bytes() == before


def test_training_settings_may_change(run):
    assert checkpoints.prepare_workdir(run, CONFIG, QUIET) == []
    new = TrainConfig(jit_compile=False, train_steps=7, learning_rate=0.5)
    assert checkpoints.prepare_workdir(run, CONFIG, new) == ["train_steps", "learning_rate"]
    assert checkpoints.read_config(run) == (CONFIG, new)


def test_a_run_of_an_older_version_goes_on(run, saved):
    content = json.loads((run / workdirs.CONFIG).read_text())
    content["train"].update(jit_compile="false", unroll="auto", warmup_steps=0)
    (run / workdirs.CONFIG).write_text(json.dumps(content))
    assert_same(checkpoints.load(run), saved[1][100])
    assert checkpoints.prepare_workdir(run, CONFIG, QUIET) == []


def test_a_workdir_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").touch()
    for workdir in (tmp_path / "file", tmp_path / "file" / "below"):
        message = sentence(checkpoints.prepare_workdir, workdir, CONFIG, QUIET)
        assert f"--workdir={workdir} cannot be written: {tmp_path / 'file'} is a file" in message
        assert f"--workdir={workdir} is neither a folder" in sentence(checkpoints.load, workdir)


@pytest.mark.parametrize("content", [
    b"", b"{", b"[1]", b'{"model": {}}', b'{"model": null, "train": {}}', b"\x00", b"\xff\xfe\x00",
    b'{"model": {"glimpses": 0}, "train": {}}', b'{"model": {"glances": 3}, "train": {}}',
    b'{"model": {}, "train": {"unroll": "all"}}', b'{"model": {}, "train": {"seed": NaN}}'])
def test_garbled_settings_are_reported(run, content):
    (run / workdirs.CONFIG).write_bytes(content)
    assert "config.json cannot be used: " in sentence(checkpoints.load, run)
    message = sentence(checkpoints.prepare_workdir, run, CONFIG, QUIET)
    assert "config.json cannot be used: " in message


def test_a_folder_without_settings_is_reported(tmp_path):
    assert "holds no config.json" in sentence(checkpoints.load, tmp_path)


# ---------------------------------------------------------------- metrics


def test_metrics_are_read_without_a_line_cut_short(tmp_path):
    assert checkpoints.read_metrics(tmp_path) == []
    lines = [{"step": 1, "split": "train"}, {"step": 2, "split": "test"}]
    (tmp_path / workdirs.METRICS).write_text(
        "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3, "spl')
    assert checkpoints.read_metrics(tmp_path) == lines


# ---------------------------------------------------------------- weights that ship


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A place of weights that ship, and another working directory."""
    shelf = tmp_path / "pretrained"
    shelf.mkdir()
    monkeypatch.setattr(workdirs, "PRETRAINED", shelf)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return shelf


def test_weights_that_ship_are_found_by_name_in_alphabetical_order(shelf):
    weights = {name: save_npz(shelf / name, seed=seed)
               for seed, name in enumerate(("zebra", "abacus", "mnist"))}
    (shelf / "aardvark").mkdir()  # without weights
    assert checkpoints.pretrained() == ["abacus", "mnist", "zebra"]
    assert checkpoints.best_pretrained() == "abacus"
    assert_same(checkpoints.load("zebra"), weights["zebra"])


def test_a_run_comes_before_weights_that_ship(shelf):
    save_npz(shelf / "mnist", seed=1)
    pathlib.Path("mnist").mkdir()
    assert checkpoints.resolve("mnist") == shelf / "mnist"  # the folder holds no run
    weights = save_npz(pathlib.Path("mnist"), seed=2)
    assert_same(checkpoints.load("mnist"), weights)


def test_unknown_names_are_reported_with_the_known_ones(shelf):
    assert "--workdir=nothing is neither a folder nor" in sentence(checkpoints.load, "nothing")
    assert "no weights ship" in sentence(checkpoints.best_pretrained)
    save_npz(shelf / "mnist")
    assert "(mnist)" in sentence(checkpoints.load, "nothing")
