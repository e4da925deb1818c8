"""Checkpoints: written whole, pruned, and read back from the newest one that is whole."""

import dataclasses
import os
import shutil

import pytest
import tensorflow as tf

from draw_tf import checkpoints
from draw_tf.checkpoints import saves
from draw_tf.checkpoints import workdir as workdirs
from draw_tf.config import config_to_dict
from draw_tf.files import write_json
from draw_tf.training.trainer import Trainer
from tests.support.saved_runs import (
    CONFIG,
    QUIET,
    assert_same,
    cut_short,
    save_run,
    save_step,
    sentence,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run of two checkpoints, with the weights of each; for reading only."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, save_run(workdir)


@pytest.fixture
def run(saved, tmp_path):
    """A copy of it to damage, at another place."""
    return shutil.copytree(saved[0], tmp_path / "copy")


@pytest.fixture(scope="module")
def trainer():
    return Trainer(CONFIG, QUIET)


def names(run):
    return sorted(path.name for path in (run / saves.FOLDER).iterdir())


def files_of(*steps):
    return sorted(["checkpoint", *(f"ckpt-{step}.{ending}" for step in steps for ending in (
        "data-00000-of-00001", "index"))])


def test_a_run_may_move_and_lose_its_newest_checkpoint(run, saved):
    for path in (run / saves.FOLDER).glob("ckpt-100*"):
        path.unlink()
    model, step = checkpoints.load_with_step(run)
    assert step == 90
    assert_same(model, saved[1][90])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("ending", ["data-00000-of-00001", "index"])
@pytest.mark.parametrize("damage", [
    lambda path: cut_short(path, 0), lambda path: cut_short(path, 0.5),
    lambda path: cut_short(path, 0.99), flip_a_bit])
def test_a_damaged_checkpoint_is_passed_over_in_one_line(run, saved, trainer, capfd, ending,
                                                         damage):
    damage(run / saves.FOLDER / f"ckpt-100.{ending}")
    assert saves.restore_newest(run, trainer.restore)
    assert int(trainer.step) == 90
    assert_same(trainer.model, saved[1][90])
    (line,) = capfd.readouterr().err.splitlines()
    assert "going back to step 90" in line
    # the next one takes its place, and the whole one is kept
    save_step(run, trainer, 95)
    assert names(run) == files_of(90, 95)


def test_a_model_is_loaded_from_the_newest_whole_checkpoint(run, saved, capfd):
    cut_short(run / saves.FOLDER / "ckpt-100.index", 0)
    model, step = checkpoints.load_with_step(run)
    assert step == 90
    assert_same(model, saved[1][90])
    assert "going back to step 90" in capfd.readouterr().err


def test_without_a_whole_checkpoint_a_run_is_refused(run):
    for step in (90, 100):
        cut_short(run / saves.FOLDER / f"ckpt-{step}.index", 0)
    assert "ckpt-100 cannot be read" in sentence(checkpoints.load, run)


@pytest.mark.parametrize("fields", [
    dict(hidden_size=13), dict(equations="article"), dict(read_attention=False)])
def test_a_checkpoint_of_another_model_is_reported(tmp_path, fields):
    save_step(tmp_path, Trainer(dataclasses.replace(CONFIG, **fields), QUIET), 200)
    write_json(tmp_path / workdirs.CONFIG, config_to_dict(CONFIG, QUIET))
    assert "of another model" in sentence(checkpoints.load, tmp_path)


def test_the_newest_two_are_kept_and_nothing_half_written(run, trainer):
    folder = run / saves.FOLDER
    (folder / "ckpt-105.data-00000-of-00001.tempstate12").write_text("left by a kill")
    (folder / "ckpt-107_temp").mkdir()
    (folder / "ckpt-100.index.tempstate12").write_text("of one that stays")
    (folder / ".checkpoint.a1b2c3d4.partial").touch()
    (folder / "ckpt-6.bad.index").touch()
    (folder / "checkpoint").write_text("")
    (folder / "notes.txt").touch()
    save_step(run, trainer, 110)
    assert names(run) == sorted([*files_of(100, 110), "notes.txt"])
    assert saves.saved_steps(run) == [110, 100]
    state = tf.train.get_checkpoint_state(folder)  # as others find it
    assert state.model_checkpoint_path == str(folder / "ckpt-110")
    assert list(state.all_model_checkpoint_paths) == [
        str(folder / "ckpt-100"), str(folder / "ckpt-110")]


def test_a_save_that_was_killed_before_it_had_pruned_is_ended(run):
    folder = run / saves.FOLDER
    for ending in ("index", "data-00000-of-00001"):
        shutil.copy(folder / f"ckpt-90.{ending}", folder / f"ckpt-80.{ending}")
    (folder / "ckpt-100_temp").mkdir()
    saves.tidy(run, 90)  # 100 is damaged: one more may be needed
    assert saves.saved_steps(run) == [100, 90, 80]
    saves.tidy(run, 100)
    assert names(run) == files_of(90, 100)
    assert tf.train.latest_checkpoint(folder) == saves.prefix(run, 100)


def test_a_new_workdir_has_nothing_to_end(tmp_path):
    saves.tidy(tmp_path, 0)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_on_the_disk_before_others_go(run, trainer, monkeypatch):
    order, prune = [], saves._prune
    monkeypatch.setattr(os, "fsync", lambda file: order.append(os.fstat(file).st_ino))
    monkeypatch.setattr(saves, "_prune", lambda *_: order.append("prune") or prune(*_))
    save_step(run, trainer, 110)
    assert set(order[:order.index("prune")]) == {
        path.stat().st_ino for path in (run / saves.FOLDER).glob("ckpt-110.*")}


def test_a_checkpoint_that_cannot_be_written_leaves_the_others(run, trainer, monkeypatch):
    before = names(run)

    class Full:
        def write(self, path):
            open(f"{path}.index", "w").close()
            raise OSError(28, "No space left on device")
    assert "No space left" in sentence(saves.save, Full(), run, 110)
    assert names(run) == before
