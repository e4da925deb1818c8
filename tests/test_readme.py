"""The README: its commands run, its Python runs, and what it names is there."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from draw_tf import checkpoint, data, timing
from tests.cli import ROOT, run_module, run_script

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if language == "bash"
            for line in block.strip().splitlines()]
# what makes a training small enough for a test; flags given later win
TINY = ("--dataset=digits", "--glimpses=2", "--hidden_size=8", "--latent_size=2", "--batch_size=20",
        "--train_steps=2", "--jit_compile=false")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that looks like a checkout, for runs to be left in."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("train.py", "generate.py", "draw_tf"):
        (copy / name).symlink_to(ROOT / name)
    return copy


def words_of(command):
    """The last of the commands joined by &&, as the words of a command line."""
    return shlex.split(command.split("&&")[-1].strip())


@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(folder, monkeypatch, command):  # in the README's order
    monkeypatch.chdir(folder)
    program, *arguments = words_of(command)
    if program == "tensorboard":
        told = subprocess.run([sys.executable, "-m", "tensorboard.main", *arguments, "--inspect"],
                              capture_output=True, text=True, check=True).stdout
        assert "bound_nats" in told
        return
    assert program.endswith("python")
    if arguments[0] == "train.py":
        flagfile = next(word for word in arguments if word.startswith("--flagfile="))
        assert (folder / flagfile.partition("=")[2]).is_file()
        assert run_script("train.py", *arguments[1:], *TINY) == 0
    elif arguments[0] == "generate.py":
        assert run_script("generate.py", *arguments[1:]) == 0
        out = next(word for word in arguments if word.startswith("--out="))
        assert (folder / out.partition("=")[2]).stat().st_size > 0
    elif arguments[1] == "pytest":
        assert set(arguments[2:]) <= {"-q"}  # of everything: this test is a part of it
    elif arguments[1] == "draw_tf.benchmark":
        records = json.loads((ROOT / "assets/results/benchmark_cpu.json").read_text())["records"]
        monkeypatch.setattr(timing, "measure_apart",
                            lambda job, *_: dict(records[0], sweep=job.sweep))
        assert run_module("draw_tf.benchmark", *arguments[2:]) == 0
        for word in arguments[2:]:
            if word.startswith(("--json=", "--plot=")):
                assert (folder / word.partition("=")[2]).stat().st_size > 0
    elif any(f"--workdir={name}" in arguments for name in checkpoint.pretrained()):
        # on three images, and not on data sets that are not here
        few = data.Images(data.load("digits", "test").pixels[:3], 255, "digits", "test")
        monkeypatch.setattr(data, "load", lambda *_: few)
        assert run_module(*arguments[1:], "--jit_compile=false") == 0
    else:
        assert run_module(*arguments[1:]) == 0


def test_python_example_runs():
    (example,) = [block for language, block in BLOCKS if language == "python"]
    names = {}
    exec(example, names)
    assert names["out"].logits.shape == (64, 28, 28, 1)
    assert names["out"].kl_nats.shape == (10, 64)
    assert names["strokes"].shape == (10, 16, 28, 28, 1)


def test_there_are_two_commands_for_a_newcomer():
    first, second = [command for command in COMMANDS if "venv" in command]
    assert "pip install -q -e . &&" in first and "quickstart.flags" in first
    assert "pip install -q -e '.[test]' &&" in second and "pytest" in second


def test_files_that_are_named_exist():
    named = set(re.findall(r"`((?:draw_tf|tests|assets)/[\w./-]*)`", README))
    named |= set(re.findall(r"\]\((assets/[^)]+)\)", README))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_flagfile_has_its_command():
    for path in (ROOT / "draw_tf" / "configs").glob("*.flags"):
        assert any(f"draw_tf/configs/{path.name}" in command for command in COMMANDS), path.name


def test_nothing_is_left_to_fill_in():
    assert "@@" not in README
