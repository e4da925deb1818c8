"""python -m draw_tf.evaluate: what it prints and writes, and what it refuses before the work."""

import io
import json
import os
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest

from draw_tf import DRAWConfig, TrainConfig, data, evaluate, evaluation
from draw_tf.checkpoints import workdir as workdirs
from draw_tf.config import config_to_dict
from draw_tf.files import write_json
from tests.support.cli import ROOT, run_module

REPORT = {"bound_nats": 101.5, "recon_nats": 80.25, "kl_nats": 21.25, "iwae_nats": 97.125,
          "kl_step_nats": [20.0, 1.25], "bound_se": 0.0625, "noise_samples": 4,
          "importance_samples": 50, "examples": 500, "dataset": "digits", "split": "test",
          "binarize": "static", "step": 7, "grey": False, "shared_noise": False}


@pytest.fixture
def asked(monkeypatch):
    """Replaces the evaluation by REPORT; the list of what was asked of it."""
    calls = []
    monkeypatch.setattr(evaluation, "evaluate_run", lambda *arguments, **options: calls.append(
        (arguments, options)) or REPORT)
    return calls


def test_the_command_prints_a_table_and_json_goes_where_it_is_asked_for(
        tiny_run, tmp_path, monkeypatch, capfd):
    few = data.Images(data.load("digits", "test").pixels[:7], 255, "digits", "test")
    monkeypatch.setattr(data, "load", lambda *_: few)
    assert run_module("draw_tf.evaluate", f"--workdir={tiny_run}", "--split=test",
                      "--importance_samples=2", "--binarize=static", "--noise_samples=2",
                      "--batch_size=4", f"--kl_plot={tmp_path}/kl.png",
                      f"--json={tmp_path}/all.json", "--nojit_compile") == 0
    out, error = capfd.readouterr()
    assert error == ""  # progress is for terminals
    report = json.loads((tmp_path / "all.json").read_text())
    assert set(report) == set(REPORT)
    assert (report["dataset"], report["split"], report["examples"]) == ("digits", "test", 7)
    assert report["step"] == 2 and report["binarize"] == "static"
    assert len(report["kl_step_nats"]) == 3 and not report["grey"]
    assert report["bound_nats"] == pytest.approx(report["recon_nats"] + report["kl_nats"])
    assert report["bound_se"] > 0 and np.isfinite(report["iwae_nats"])
    assert out.splitlines() == evaluate.table(report).splitlines()
    assert iio.imread(tmp_path / "kl.png").std() > 0


def test_json_on_standard_output_has_it_for_itself(asked, tiny_run, capfd):
    assert run_module("draw_tf.evaluate", f"--workdir={tiny_run}", "--json=-") == 0
    out, error = capfd.readouterr()
    assert json.loads(out) == REPORT and out.count("\n") == 1
    assert error.splitlines() == evaluate.table(REPORT).splitlines()
    assert not os.path.exists("-")


@pytest.mark.slow
def test_the_command_prints_nothing_on_standard_error(tiny_run):
    environment = {name: value for name, value in os.environ.items()
                   if name != "TF_CPP_MIN_LOG_LEVEL"}  # which the tests set
    done = subprocess.run(
        [sys.executable, "-m", "draw_tf.evaluate", f"--workdir={tiny_run}", "--nojit_compile"],
        cwd=ROOT, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "500 images" in done.stdout and "{" not in done.stdout


def test_flags_reach_the_evaluation(asked, tiny_run):
    assert run_module("draw_tf.evaluate", f"--workdir={tiny_run}", "--split=train",
                      "--dataset=digits", "--binarize=dynamic", "--data_dir=there",
                      "--batch_size=9", "--noise_samples=3", "--importance_samples=5",
                      "--jit_compile=false") == 0
    ((arguments, options),) = asked
    assert arguments == (str(tiny_run), "train", "digits", "dynamic", "there")
    options.pop("watch")
    assert options == dict(batch_size=9, noise_samples=3, importance_samples=5, jit_compile=False)


def test_progress_is_shown_on_a_terminal_only(asked, tiny_run, monkeypatch):
    assert run_module("draw_tf.evaluate", f"--workdir={tiny_run}") == 0
    for on_terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda answer=on_terminal: answer
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(asked[0][1]["watch"](range(3))) == [0, 1, 2]
        assert ("batches" in stream.getvalue()) == on_terminal


def test_the_table_says_what_was_found():
    text = evaluate.table(REPORT)
    for part in ("digits/test, 500 images", "step 7", "80.250", "21.250", "101.500", "+- 0.06",
                 "97.125  (50 samples", "20.00 1.25"):
        assert part in text
    bare = evaluate.table({**REPORT, "iwae_nats": None, "bound_se": None, "step": None})
    assert "step 7" not in bare and "importance" not in bare and "+-" not in bare
    for field, words in (("grey", "is not that of a likelihood"), ("shared_noise", "not a bound")):
        assert words not in text and words in evaluate.table({**REPORT, field: True})


@pytest.mark.parametrize("trained_on, seen", [("mnist", True), ("digits", False)])
def test_digits_that_a_model_of_mnist_has_seen_are_noted(tmp_path, capsys, asked, trained_on, seen):
    write_json(tmp_path / workdirs.CONFIG,
               config_to_dict(DRAWConfig(), TrainConfig(dataset=trained_on)))
    assert run_module("draw_tf.evaluate", f"--workdir={tmp_path}", "--dataset=digits") == 0
    assert ("this model has seen them" in capsys.readouterr().out) == seen


@pytest.mark.parametrize("flag, words", [
    ("--json=.", "json must be a file"), ("--json=no/x.json", "json cannot be written"),
    ("--kl_plot=x.gif", "kl_plot must end in .png, got 'x.gif'"),
    ("--kl_plot=x.png", "pip install matplotlib"),
    ("--batch_size=0", "--batch_size=0"), ("--binarize=maybe", "--binarize=maybe"),
])
def test_outputs_that_cannot_be_written_are_refused_before_the_work(
        flag, words, asked, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    assert run_module("draw_tf.evaluate", "--workdir=mnist", flag) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("draw_tf.evaluate: ") and words in line
    assert not asked and not list(tmp_path.iterdir())
