"""Runs saved, resumed and loaded; the weights that ship; and what is reported where that fails."""

import dataclasses
import json
import pathlib
import shutil
import sys

import pytest

from draw_tf import checkpoints
from draw_tf.checkpoints import saves
from draw_tf.checkpoints import workdir as workdirs
from draw_tf.config import TrainConfig, config_to_dict
from draw_tf.files import write_json
from draw_tf.training.trainer import Trainer
from tests.support.saved_runs import (
    CONFIG,
    QUIET,
    assert_same,
    numbers,
    save_run,
    save_step,
    save_weights_alone,
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


# ---------------------------------------------------------------- trained models


def test_every_weight_of_the_newest_checkpoint_is_loaded(saved):
    workdir, weights = saved
    model, step = checkpoints.load_with_step(workdir)
    assert step == 100  # by number: as text, 90 would be the last
    assert_same(model, weights[100])


def test_averaged_weights_are_the_ones_loaded(tmp_path):
    checkpoints.write_settings(tmp_path, CONFIG, AVERAGING)
    trainer = Trainer(CONFIG, AVERAGING)
    now = save_step(tmp_path, trainer, 10, seed=1)
    average = numbers(trainer.evaluated)
    assert_same(checkpoints.load(tmp_path), average)
    again = Trainer(CONFIG, AVERAGING)
    again.restore(saves.latest(tmp_path))
    assert_same(again.model, now)
    assert_same(again.evaluated, average)
    assert int(again.step) == 10


def test_a_run_without_a_checkpoint_is_reported(tmp_path):
    checkpoints.write_settings(tmp_path, CONFIG, QUIET)
    assert "holds no checkpoint yet" in sentence(checkpoints.load, tmp_path)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("model, train, message", [
    (dict(glimpses=3), {}, "glimpses=2, not 3"),
    ({}, dict(dataset="mnist"), "dataset=digits, not mnist"),
    ({}, dict(binarize="static"), "binarize=none, not static"),
    ({}, dict(average_decay=0.9), "average_decay=0.0, not 0.9"),
])
def test_settings_that_cannot_change_are_refused(run, model, train, message):
    before = (run / workdirs.CONFIG).read_bytes()
    assert message in sentence(workdirs.changed_settings, run, dataclasses.replace(CONFIG, **model),
                               dataclasses.replace(QUIET, **train))
    assert (run / workdirs.CONFIG).read_bytes() == before


def test_other_settings_may_change_and_are_named_with_both_values(run):
    assert workdirs.changed_settings(run, CONFIG, QUIET) == []
    new = TrainConfig(jit_compile=False, train_steps=7, learning_rate=0.5)
    assert workdirs.changed_settings(run, CONFIG, new) == [
        "train_steps 10000 -> 7", "learning_rate 0.001 -> 0.5"]


def test_settings_are_written(tmp_path):
    checkpoints.write_settings(tmp_path / "new", CONFIG, QUIET)
    assert checkpoints.read_config(tmp_path / "new") == (CONFIG, QUIET)


def lock(workdir):
    with workdirs.locked(workdir):
        pass


def test_a_workdir_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").touch()
    for workdir in (tmp_path / "file", tmp_path / "file" / "below"):
        for call in (lock, lambda path: checkpoints.write_settings(path, CONFIG, QUIET)):
            message = sentence(call, workdir)
            assert f"workdir {workdir} cannot be written: {tmp_path / 'file'} is" in message
        assert f"workdir {workdir} is neither a folder" in sentence(checkpoints.load, workdir)


@pytest.mark.parametrize("name", ["runs/exp*", "lr[1e-3]", "what?", "a\\b", "a\0b", ""])
def test_names_that_are_patterns_are_refused(name):
    for call in (lambda: workdirs.changed_settings(name, CONFIG, QUIET),
                 lambda: checkpoints.load(name)):
        assert sentence(call).startswith("workdir ")


def test_weights_alone_are_not_trained_over(tmp_path):
    save_weights_alone(tmp_path)
    message = sentence(workdirs.changed_settings, tmp_path, CONFIG, QUIET)
    assert "holds weights.safetensors" in message


def test_a_workdir_is_locked_until_the_block_ends(tmp_path):
    pytest.importorskip("fcntl")
    with workdirs.locked(tmp_path):
        assert "in use by another training" in sentence(lock, tmp_path)
    lock(tmp_path)


def test_without_fcntl_nothing_is_locked(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with workdirs.locked(tmp_path):
        lock(tmp_path)


@pytest.mark.parametrize("content", [
    b"", b"{", b"[1]", b'{"model": {}}', b'{"model": null, "train": {}}', b"\x00", b"\xff\xfe\x00",
    b'{"model": {"glimpses": 0}, "train": {}}', b'{"model": {"glances": 3}, "train": {}}',
    b'{"model": {"hidden_size": 1000000000}, "train": {}}', b"[" * 100_000,
    b'{"model": {}, "train": {"unroll": "auto"}}', b'{"model": {}, "train": {"warmup_steps": 0}}',
    b'{"model": {}, "train": {"jit_compile": "auto"}}', b'{"model": {}, "train": {"seed": NaN}}'])
def test_garbled_settings_are_reported(run, content):
    (run / workdirs.CONFIG).write_bytes(content)
    assert "config.json cannot be used: " in sentence(checkpoints.load, run)
    message = sentence(workdirs.changed_settings, run, CONFIG, QUIET)
    assert "config.json cannot be used: " in message


def test_a_checkpoint_is_looked_at_before_a_model_of_absurd_settings_is_built(run, monkeypatch):
    monkeypatch.setattr(workdirs, "make_model", lambda *_: pytest.fail("a model was built"))
    large = dataclasses.replace(CONFIG, hidden_size=2**14 - 1)
    write_json(run / workdirs.CONFIG, config_to_dict(large, QUIET))
    assert "ckpt-100 cannot be read, because it is of another model" in sentence(
        checkpoints.load, run)


def test_a_folder_without_settings_is_reported(tmp_path):
    assert "holds no config.json" in sentence(checkpoints.load, tmp_path)


# ---------------------------------------------------------------- metrics


def test_metrics_are_read_without_lines_that_are_none(tmp_path):
    assert checkpoints.read_metrics(tmp_path) == []
    lines = [{"step": 1, "split": "train"}, {"step": 2, "split": "test"}]
    (tmp_path / workdirs.METRICS).write_text(
        '12\n{}\n[1]\n"\n{"step": -1}\n{"step": 1.5}\n{"step": 1, "split": {}}\n'
        '{"step": 1, "kl": [[1]]}\n{"step": 1' + 30 * "0" + "}\n"
        + "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3, "s')
    with open(tmp_path / workdirs.METRICS, "ab") as file:
        file.write(b"\n\xff\xfe\n")
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
    weights = {name: save_weights_alone(shelf / name, seed=seed)
               for seed, name in enumerate(("zebra", "abacus", "mnist"))}
    (shelf / "aardvark").mkdir()  # without weights
    assert checkpoints.pretrained() == ["abacus", "mnist", "zebra"]
    assert_same(checkpoints.load("zebra"), weights["zebra"])


def test_a_run_comes_before_weights_that_ship(shelf):
    save_weights_alone(shelf / "mnist", seed=1)
    pathlib.Path("mnist").mkdir()
    assert checkpoints.resolve("mnist") == shelf / "mnist"  # the folder holds no run
    weights = save_weights_alone(pathlib.Path("mnist"), seed=2)
    assert_same(checkpoints.load("mnist"), weights)


def test_unknown_names_are_reported_with_the_known_ones(shelf):
    assert "workdir nothing is neither a folder nor" in sentence(checkpoints.load, "nothing")
    assert "(there are none)" in sentence(checkpoints.load, "nothing")
    save_weights_alone(shelf / "mnist")
    assert "(mnist)" in sentence(checkpoints.load, "nothing")


def test_the_weights_that_draw_by_default_ship_and_none_of_their_data_set_are_better():
    reports = {path.parent.name: json.loads(path.read_text())
               for path in workdirs.PRETRAINED.glob("*/evaluation.json")}
    chosen = reports[checkpoints.DEFAULT_WEIGHTS]
    assert chosen["bound_nats"] == min(report["bound_nats"] for report in reports.values()
                                       if report["dataset"] == chosen["dataset"])


def test_a_tilde_is_the_home_folder(tiny_run, monkeypatch):
    monkeypatch.setenv("HOME", str(tiny_run.parent))
    assert checkpoints.load_with_step(f"~/{tiny_run.name}")[1] == 2
    assert workdirs.changed_settings(f"~/{tiny_run.name}", *checkpoints.read_config(tiny_run)) == []
    monkeypatch.setenv("HOME", "")
    assert "no home folder is known" in sentence(checkpoints.load, f"~/{tiny_run.name}")


def test_a_path_is_not_the_name_of_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert checkpoints.resolve("./data").samefile(tmp_path / "data")
    assert checkpoints.resolve("mnist") == workdirs.PRETRAINED / "mnist"
    message = sentence(checkpoints.resolve, "./mnist")
    assert "./mnist is neither a folder nor" in message and "--" not in message
