"""A run put among the weights that ship."""

import json

import numpy as np
import pytest

from draw_tf import checkpoints, data, ship, training
from draw_tf.checkpoints import workdir as workdirs
from draw_tf.errors import ConfigError
from tests.support.cli import run_module
from tests.support.saved_runs import assert_same, numbers, save_run, sentence


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run of two checkpoints with a line of metrics, and the weights of the newest."""
    workdir = tmp_path_factory.mktemp("run")
    weights = save_run(workdir)[100]
    (workdir / workdirs.METRICS).write_text('{"step": 100, "seconds": 90.0}\n{"step": 100}\n')
    return workdir, weights


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A place of weights that ship."""
    monkeypatch.setattr(workdirs, "PRETRAINED", tmp_path / "shelf")
    return tmp_path / "shelf"


@pytest.fixture
def images(monkeypatch):
    """What every data set holds."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 9, 1), np.uint8)
    monkeypatch.setattr(data, "load", lambda name, split, *_: data.Images(
        pixels, 255, name, split))


@pytest.mark.slow
def test_a_run_is_exported_to_the_weights_that_ship(saved, shelf, images):
    run, weights = saved
    report = ship.ship(run, "small-run", half=True, note="on two cores", folder=shelf,
                           jit_compile=False)
    folder = shelf / "small-run"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "weights.npz", "evaluation.json", "RUN.md"}
    assert [path.name for path in shelf.iterdir()] == ["small-run"]  # nothing half done is left
    for name, value in numbers(checkpoints.load("small-run")).items():
        np.testing.assert_array_equal(value, weights[name].astype(np.float16), err_msg=name)
    assert json.loads((folder / "evaluation.json").read_text()) == report
    assert training.evaluate_run("small-run", jit_compile=False) == report
    assert report["step"] == 100
    text = (folder / "RUN.md").read_text()
    for part in ("# small-run", "on two cores", "100 steps of training in 1.5 minutes",
                 f"{report['bound_nats']:.2f} nats", "float16"):
        assert part in text


def test_an_export_in_full_precision_replaces_one_of_the_same_name(saved, shelf, monkeypatch):
    run, weights = saved
    asked = []
    monkeypatch.setattr(ship, "evaluate_run", lambda folder, **options: asked.append(
        (numbers(checkpoints.load(folder)), options)) or REPORT)
    for name, half in (("run", True), ("run", False)):
        assert ship.ship(run, name, half, folder=shelf, noise_samples=2) is REPORT
    assert_same(checkpoints.load("run"), weights)
    assert asked[1][1] == {"noise_samples": 2}
    # as it will be loaded, after rounding
    assert asked[0][0]["mu/bias"].tolist() == weights["mu/bias"].astype(np.float16).tolist()


REPORT = {"bound_nats": 101.5, "bound_se": 0.25, "kl_nats": 20.125, "iwae_nats": 97.375,
          "importance_samples": 50, "dataset": "digits", "split": "test", "examples": 500,
          "binarize": "static", "step": 7}


def test_the_origin_of_weights_has_all_that_was_evaluated():
    text = ship.origin("some", "", False, REPORT, [])
    assert text.splitlines() == [
        "# some", "", "- 7 steps of training",
        "- digits/test, 500 images, binarize=static: bound 101.50 (+- 0.25) nats, KL 20.12; "
        "importance-weighted 97.38 (50 samples) (all numbers in evaluation.json)",
        "- weights in float32; settings in config.json"]
    bare = {**REPORT, "bound_se": None, "iwae_nats": None, "step": None}
    text = ship.origin("some", "A note.", True, bare, [{"seconds": 60}])
    assert text.splitlines() == [
        "# some", "", "A note.", "",
        "- digits/test, 500 images, binarize=static: bound 101.50 nats, KL 20.12 "
        "(all numbers in evaluation.json)",
        "- weights in float16; settings in config.json"]


def test_an_export_that_fails_leaves_nothing(saved, shelf, images):
    run = saved[0]
    for name in ("", "../up", "Big", "a b"):
        with pytest.raises(ConfigError, match="name must be"):
            ship.ship(run, name, folder=shelf)
    assert not shelf.exists()
    with pytest.raises(ConfigError, match="importance_samples"):
        ship.ship(run, "run", folder=shelf, importance_samples=0)
    assert not list(shelf.iterdir())
    (shelf / "file").touch()
    assert "cannot be written" in sentence(lambda: ship.ship(run, "run", folder=shelf / "file"))


def test_the_command_reports_a_run_that_is_not_there(capsys):
    assert run_module("draw_tf.ship", "--workdir=missing", "--name=some") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "workdir missing is neither a folder" in line
