"""The README: its commands run, its Python runs, its numbers and what it names are there."""

import json
import re
import runpy
import shlex
import subprocess

import numpy as np
import pytest

from draw_tf import checkpoints, data, training
from draw_tf.benchmark import measure
from draw_tf.pictures.tiles import encode_png
from tests.support.cli import ROOT, run_module, run_script

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if language == "bash"
            for line in block.strip().splitlines()]
FIGURES = {  # of each command that ships weights, what stands in the table of results
    "binarized_mnist_cpu": r"\*\*{bound_nats:.2f}\*\* ± {bound_se:.2f}.*\*\*{iwae_nats:.2f}\*\*",
    "binarized_mnist_cpu_64": r"\*\*{bound_nats:.2f}\*\* ± {bound_se:.2f}.*\*\*{iwae_nats:.2f}\*\*",
    "mnist": r"\*\*{bound_nats:.2f}\*\* ± {bound_se:.2f}",
    "quickstart_colour": r"\*\*{bound_nats:.2f}\*\* ± {bound_se:.2f}"}
# what makes a training small enough for a test; flags given later win
TINY = ("--glimpses=2", "--hidden_size=8", "--latent_size=2", "--batch_size=20", "--train_steps=2",
        "--jit_compile=false")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that looks like a checkout, for runs to be left in."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("train.py", "generate.py", "draw_tf"):
        (copy / name).symlink_to(ROOT / name)
    pixels = np.random.RandomState(0).randint(0, 256, (160, 9, 12, 3)).astype(np.uint8)
    (copy / "pictures").mkdir()
    for number, picture in enumerate(pixels):  # the last 16 are the test split
        (copy / "pictures" / f"{number:03}.png").write_bytes(encode_png(picture))
    return copy


def words_of(command):
    """The last of the commands joined by &&, as the words of a command line."""
    return shlex.split(command.split("&&")[-1].strip())


def few_images(name, split, data_dir=None, shape=None):
    """What stands for a data set that is large, or not on this machine."""
    return data.Images(np.zeros((20, 28, 28, 1), np.uint8), 255, name, split)


def check_training(arguments, folder, monkeypatch):
    path = next(word for word in arguments if word.startswith("--flagfile=")).partition("=")[2]
    assert (folder / path).is_file()
    if arguments[-1] in ("--workdir=runs/quickstart", "--workdir=runs/pictures"):  # needed later
        assert run_script("train.py", *arguments, *TINY) == 0
        return
    started = []
    monkeypatch.setattr(data, "load", few_images)
    monkeypatch.setattr(training, "train_and_evaluate", lambda *args: started.append(args))
    assert run_script("train.py", *arguments, "--batch_size=20") == 0
    assert len(started) == 1
    given = [*(folder / path).read_text(encoding="utf-8").splitlines(), *arguments]
    assert f"--dataset={started[0][1].dataset}" in given


def check_benchmark(arguments, folder, monkeypatch):
    records = json.loads((ROOT / "assets/results/benchmark_cpu.json").read_text())["records"]
    newer = {"page_faults_per_step": 1.0, "peak_memory_mib": 1.0}
    monkeypatch.setattr(measure, "measure_apart",
                        lambda job, *_: {**newer, **records[0], "sweep": job.sweep})
    assert run_module("draw_tf.benchmark", *arguments) == 0
    for word in arguments:
        if word.startswith(("--json=", "--plot=")):
            assert (folder / word.partition("=")[2]).stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(folder, monkeypatch, capfd, command):  # in the README's order
    monkeypatch.chdir(folder)
    program, *arguments = words_of(command)
    if program == "tensorboard":
        assert run_module("tensorboard.main", *arguments, "--inspect") == 0
        assert "bound_nats" in capfd.readouterr().out
        return
    assert program.endswith("python")
    if arguments[0] == "train.py":
        check_training(arguments[1:], folder, monkeypatch)
    elif arguments[0] == "generate.py":
        assert run_script("generate.py", *arguments[1:]) == 0
        out = next(word for word in arguments if word.startswith("--out="))
        assert (folder / out.partition("=")[2]).stat().st_size > 0
    elif arguments[1] == "pytest":
        assert set(arguments[2:]) <= {"-q", "-n", "auto"}  # all tests: this one is among them
    elif arguments[1] == "draw_tf.benchmark":
        check_benchmark(arguments[2:], folder, monkeypatch)
    elif arguments[1] == "draw_tf.evaluate" and any(
            f"--workdir={name}" in arguments for name in checkpoints.pretrained()):
        name = next(word for word in arguments if word.startswith("--workdir=")).partition("=")[2]
        flags = dict(word.lstrip("-").split("=") for word in arguments[2:])
        report = json.loads((checkpoints.resolve(name) / "evaluation.json").read_text())
        assert int(flags["noise_samples"]) == report["noise_samples"]
        assert report["importance_samples"] == (int(flags.get("importance_samples", 0)) or None)
        assert re.search(FIGURES[name].format(**report), README), report
    else:
        if arguments[1] == "draw_tf.evaluate":
            monkeypatch.setattr(data, "load", few_images)
            arguments.append("--nojit_compile")
        assert run_module(*arguments[1:]) == 0


@pytest.mark.slow  # Keras compiles it with XLA
def test_the_python_example_runs():
    (example,) = [block for language, block in BLOCKS if language == "python"]
    assert "glimpses=10" in example
    names = {}
    exec(example.replace("glimpses=10", "glimpses=2"), names)  # compiles in a fifth of the time
    assert names["out"].logits.shape == (64, 28, 28, 1)
    assert names["out"].kl_nats.shape == (2, 64)
    assert names["strokes"].shape == (2, 16, 28, 28, 1)


def test_there_are_two_commands_for_a_newcomer():
    first, second = [command for command in COMMANDS if "venv" in command]
    assert "pip install -q -e . &&" in first and "quickstart.flags" in first
    assert "pip install -q -e '.[test]' &&" in second and "pytest" in second


def test_files_that_are_named_exist():
    named = set(re.findall(r"`((?:draw_tf|tests|assets)/[\w./-]*)`", README))
    named |= set(re.findall(r"\]\((assets/[^)]+)\)", README))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("origin, link", [
    ("https://github.com/some/draw.git\n", "](https://github.com/some/draw/raw/HEAD/assets/"),
    ("git@github.com:some/draw\n", "](https://github.com/some/draw/raw/HEAD/assets/"),
    ("", None), ("/home/some/draw\n", None)])
def test_a_package_index_shows_the_pictures_of_the_repository(monkeypatch, origin, link):
    given = {}
    monkeypatch.setattr("setuptools.setup", given.update)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess(
        [], 0, stdout=origin))
    runpy.run_path(str(ROOT / "setup.py"))
    text = given["long_description"]
    assert "](assets/" not in text and "![](" not in text
    assert (link in text and "![" in text) if link else "![" not in text


def test_every_flagfile_has_its_command():
    for path in (ROOT / "draw_tf" / "configs").glob("*.flags"):
        assert any(f"draw_tf/configs/{path.name}" in command for command in COMMANDS), path.name


def test_every_data_set_is_listed():
    for name in data.names():
        assert f"| `{name}` |" in README, name
