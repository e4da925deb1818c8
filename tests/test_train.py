"""train.py as a person calls it."""

import dataclasses
import re

import numpy as np
import pytest

from draw_tf import DRAWConfig, TrainConfig, data, training
from tests.support.cli import ROOT, run_script


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


def test_help_lists_the_settings(capsys):
    assert run_script("train.py", "--help") == 1  # absl's way
    printed = capsys.readouterr().out
    assert all(f"--{name}: " in printed for name in ("workdir", "glimpses", "batch_size"))


def test_another_architecture_is_refused_by_name(tiny_run, capfd):
    before = sorted(tiny_run.rglob("*.*"))
    assert run_script("train.py", f"--workdir={tiny_run}", "--glimpses=3", "--hidden_size=8",
                      "--latent_size=3", "--nojit_compile") == 1
    assert "latent_size=2, not 3" in capfd.readouterr().err
    assert [path for path in sorted(tiny_run.rglob("*.*")) if path.name != ".lock"] == before
