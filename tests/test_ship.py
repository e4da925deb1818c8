"""A run put among the weights that ship."""

import hashlib
import json
import re

import numpy as np
import pytest
import yaml

from draw_tf import checkpoints, data, evaluation, ship
from draw_tf.checkpoints import workdir as workdirs
from draw_tf.errors import ConfigError
from draw_tf.files import write_json
from tests.support.cli import run_module
from tests.support.saved_runs import assert_same, numbers, save_run, save_weights_alone, sentence


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
        "config.json", "weights.safetensors", "evaluation.json", "README.md"}
    assert [path.name for path in shelf.iterdir()] == ["small-run"]  # nothing half done is left
    for name, value in numbers(checkpoints.load("small-run")).items():
        np.testing.assert_array_equal(value, weights[name].astype(np.float16), err_msg=name)
    assert json.loads((folder / "evaluation.json").read_text()) == report
    assert evaluation.evaluate_run("small-run", jit_compile=False) == report
    assert report["step"] == 100
    text = (folder / "README.md").read_text()
    for part in ("# small-run", "on two cores\n\nThis took 100 steps of training in 1.5 minutes.",
                 f"| bound | {report['bound_nats']:.2f} |", "float16 numbers, after step 100"):
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


REPORT = {"bound_nats": 101.5, "recon_nats": 81.375, "kl_nats": 20.125, "bound_se": 0.25,
          "noise_samples": 5, "iwae_nats": 97.375, "importance_samples": 50, "dataset": "digits",
          "split": "test", "examples": 500, "binarize": "static", "grey": False,
          "shared_noise": False, "step": 7}


def head(text):
    """What a model hub reads of a card."""
    _, yaml_text, _ = text.split("---\n", 2)
    return yaml.safe_load(yaml_text)


def test_a_card_has_all_that_was_evaluated(tmp_path):
    save_weights_alone(tmp_path)
    write_json(tmp_path / "evaluation.json", REPORT)
    text = ship.card(tmp_path, "some", "By hand.")
    for row in ("| bound | 101.50 |", "| KL | 20.12 |", "| reconstruction | 81.38 |",
                "5 draws of the noise | 0.25 |", "weighted bound, 50 samples | 97.38 |",
                "all 500 images of `digits/test` with binarize=static", "| glimpses | 2 |",
                "float32 numbers, after step 7.", "## How it was made\n\nBy hand.\n"):
        assert row in text, row
    assert "{" not in text and "grey levels" not in text and "None" not in text
    assert head(text)["datasets"] == ["ylecun/mnist"]


def test_a_card_leaves_out_what_is_not_known(tmp_path):
    save_weights_alone(tmp_path)
    write_json(tmp_path / "evaluation.json", {
        **REPORT, "bound_se": None, "iwae_nats": None, "step": None, "grey": True,
        "dataset": 'folder:/some/{place} # "here": it'})
    text = ship.card(tmp_path, "some", "By hand.")
    assert "standard error" not in text and "importance" not in text and "after step" not in text
    assert "None" not in text and "grey levels" in text
    assert '`folder:/some/{place} # "here": it`, under the licence of those' in text
    assert head(text)["datasets"] == []
    assert head(text)["model-index"][0]["results"][0]["dataset"]["type"] == (
        'folder:/some/{place} # "here": it')


@pytest.mark.parametrize("name", checkpoints.pretrained())
def test_a_card_that_ships_says_what_lies_beside_it(name):
    folder = checkpoints.resolve(name)
    text = (folder / "README.md").read_text(encoding="utf-8")
    made = re.search("## How it was made\n\n(.*?)\n\n## ", text, re.DOTALL)[1]
    assert ship.card(folder, name, made) == text
    content, report = head(text), json.loads((folder / "evaluation.json").read_text())
    assert content["license"] == "apache-2.0" and content["library_name"] == "keras"
    ((result,),) = [model["results"] for model in content["model-index"]]
    assert result["dataset"]["type"] == report["dataset"] == checkpoints.read_config(folder)[
        1].dataset
    assert result["metrics"][0]["value"] == round(report["bound_nats"], 2)
    assert hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest() in text


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
