"""train.py as a person calls it."""

import dataclasses
import os
import re

import numpy as np
import pytest
from absl import flags

from draw_tf import DRAWConfig, TrainConfig, data, devices, training
from tests.support.cli import ROOT, run_module, run_script


@pytest.fixture
def trained(monkeypatch):
    """Replaces the training; the list of what was asked of it."""
    calls = []
    monkeypatch.setattr(training, "train_and_evaluate", lambda *arguments: calls.append(arguments))
    return calls


def test_flags_reach_the_training(trained):
    assert run_script("train.py", "--workdir=run", "--noread_attention", "--equations=paper",
                      "--glimpses=3", "--learning_rate=0.5", "--start=runs/other", "--unroll=2",
                      "--jit_compile=false", "--profile_steps=3,9") == 0
    ((model, config, workdir, train, held_out, steps, _),) = trained
    assert model == DRAWConfig(read_attention=False, equations="paper", glimpses=3)
    assert config == TrainConfig(learning_rate=0.5, start="runs/other", unroll=2, jit_compile=False)
    assert (workdir, steps) == ("run", (3, 9))
    assert (str(train), str(held_out)) == ("digits/train", "digits/test")


def test_the_quickstart_is_the_articles_model_on_the_digits(trained):
    assert run_script("train.py", f"--flagfile={ROOT}/draw_tf/configs/quickstart.flags",
                      "--train_steps=7", "--workdir=run") == 0
    model, config = trained[0][:2]
    assert model == DRAWConfig()
    assert (config.dataset, config.adam_beta1, config.train_steps) == ("digits", 0.9, 7)


@pytest.mark.parametrize("path", sorted((ROOT / "draw_tf" / "configs").glob("*.flags")),
                         ids=lambda path: path.stem)
def test_every_flagfile_that_ships_reaches_the_training(path, trained, monkeypatch):
    blank = np.zeros((1, 28, 28, 1), np.uint8)
    monkeypatch.setattr(data, "load", lambda *_: data.Images(blank, 255))  # what is not here
    assert run_script("train.py", f"--flagfile={path}", "--workdir=run") == 0
    model, config = trained[0][:2]
    settings = {**dataclasses.asdict(model), **dataclasses.asdict(config)}
    text = path.read_text()
    assert not any(settings[name] for name in re.findall(r"^--no(\w+)$", text, re.MULTILINE))
    given = dict(re.findall(r"^--(\w+)=(.*)$", text, re.MULTILINE))
    assert given.pop("model", "draw") in type(model).__name__.lower()
    assert given and {name: type(settings[name])(value) for name, value in given.items()} == {
        name: settings[name] for name in given}


def test_values_of_one_command_do_not_reach_the_next(trained):
    known = set(flags.FLAGS)
    assert run_script("train.py", "--workdir=first", "--glimpses=3", "--verbosity=1") == 0
    assert run_module("draw_tf.train", "--workdir=second", "--glimpse=3") == 1  # unknown
    assert run_module("draw_tf.train", "--workdir=second") == 0
    assert run_script("generate.py", "--num=0") == 1  # whose flags have the same names
    assert run_script("train.py", "--workdir=third") == 0
    assert [call[2] for call in trained] == ["first", "second", "third"]
    assert [call[0].glimpses for call in trained] == [3, 10, 10]
    assert set(flags.FLAGS) == known and flags.FLAGS["verbosity"].value != 1


def test_ipython_runs_it_twice(trained, monkeypatch):
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    shell = interactive.InteractiveShell()
    for name in ("first", "second"):
        shell.run_line_magic("run", f"{ROOT}/train.py --workdir={name}")
    assert [call[2] for call in trained] == ["first", "second"]


@pytest.mark.parametrize("flag", ["--dataset=folder:{}", "--workdir={}", "--start={}"])
def test_a_name_that_tensorflow_cannot_take_is_refused(tmp_path, monkeypatch, capfd, flag):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"a\xff")
    assert run_script("train.py", "--workdir=run", flag.format(name), "--train_steps=1") == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "is not UTF-8" in line and "a\\udcff" in line
    assert not [path for path in tmp_path.rglob("*") if path.name not in ("run", ".lock")]


def test_the_first_line_says_what_is_computed_on(trained, capfd):
    assert run_script("train.py", "--workdir=run") == 0
    assert capfd.readouterr().out.startswith(f"Computing on {devices.in_words()}.\n")


def test_another_architecture_is_refused_by_name(tiny_run, capfd):
    before = sorted(tiny_run.rglob("*.*"))
    assert run_script("train.py", f"--workdir={tiny_run}", "--glimpses=3", "--hidden_size=8",
                      "--latent_size=3", "--nojit_compile") == 1
    assert "latent_size=2, not 3" in capfd.readouterr().err
    assert [path for path in sorted(tiny_run.rglob("*.*")) if path.name != ".lock"] == before
