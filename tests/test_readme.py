"""The README and the texts beside it: commands run, Python runs, what is named exists."""

import json
import re
import shlex

import imageio.v3 as iio
import numpy as np
import pytest

import draw_tf
from draw_tf import checkpoints, data, training
from draw_tf.benchmark import measure
from tests.support.cli import ROOT, run_module, run_script

TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in (
    "README.md", "assets/training.md", "assets/article_and_paper.md", "assets/results/README.md",
    "assets/README.md", "tests/README.md", ".github/CONTRIBUTING.md")}
README, RESULTS = TEXTS["README.md"], TEXTS["assets/results/README.md"]
BLOCKS = [block for text in TEXTS.values()
          for block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)]
COMMANDS = list(dict.fromkeys(  # in the order of the texts, each once
    command for language, block in BLOCKS if language == "bash"
    for command in re.sub(r"\s*\\\n\s*", " ", block).strip().splitlines()))
# what makes a training small enough for a test; flags given later win
TINY = ("--glimpses=2", "--hidden_size=8", "--latent_size=2", "--batch_size=20", "--train_steps=2",
        "--jit_compile=false")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that looks like a checkout, for runs to be left in."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("train.py", "generate.py", "draw_tf"):
        (copy / name).symlink_to(ROOT / name)
    rng = np.random.RandomState(0)
    (copy / "pictures").mkdir()
    for number in range(160):  # the last 16 are the test split
        picture = rng.randint(0, 256, (9, 12, 3)).astype(np.uint8)
        iio.imwrite(copy / "pictures" / f"{number:03}.png", picture)
    seven = 255 - data.load("digits", "test").pixels[0].repeat(4, 0).repeat(4, 1)  # dark on light
    for name in ("seven.jpg", "three.jpg"):
        iio.imwrite(copy / name, seven[..., 0])
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


def check_evaluation(arguments, monkeypatch):
    flags = dict(word.lstrip("-").split("=") for word in arguments)
    name = flags["workdir"]
    if name not in checkpoints.pretrained():
        monkeypatch.setattr(data, "load", few_images)
        assert run_module("draw_tf.evaluate", *arguments, "--nojit_compile") == 0
        return
    report = json.loads((checkpoints.resolve(name) / "evaluation.json").read_text())
    assert int(flags["noise_samples"]) == report["noise_samples"]
    assert report["importance_samples"] == (int(flags.get("importance_samples", 0)) or None)
    figures = "**{bound_nats:.2f}** ± {bound_se:.2f}".format(**report)
    if report["importance_samples"]:
        figures += "; K = {importance_samples}: **{iwae_nats:.2f}**".format(**report)
    assert figures in README and figures in RESULTS


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(folder, monkeypatch, capfd, command):  # in the order of the texts
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
    elif arguments[1] in ("pytest", "ruff", "mypy"):
        assert set(arguments[2:]) <= {"-q", "-n", "auto", "-m", "not slow", "check"}
    elif arguments[1] == "draw_tf.benchmark":
        check_benchmark(arguments[2:], folder, monkeypatch)
    elif arguments[1] == "draw_tf.evaluate":
        check_evaluation(arguments[2:], monkeypatch)
    else:
        assert run_module(*arguments[1:]) == 0


def python_example():
    (example,) = [block for language, block in BLOCKS if language == "python"]
    return example


@pytest.mark.slow  # Keras compiles it with XLA
def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = python_example()
    for long, short in {"glimpses=10": "glimpses=2", "epochs=8": "epochs=1"}.items():
        assert example.count(long) == 1
        example = example.replace(long, short)
    names = {}
    exec(example, names)
    assert names["trace"].kl_nats.shape == (2, 16)
    assert (tmp_path / "trained.gif").read_bytes().startswith(b"GIF")


def test_there_are_two_commands_for_a_newcomer():
    first, second = [command for command in COMMANDS if "venv" in command][:2]
    assert "pip install -q -e . &&" in first and "quickstart.flags" in first
    assert "pip install -q -e '.[test]' &&" in second and "pytest" in second


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 250 and len(README.split()) <= 2600
    for name, text in TEXTS.items():
        for language, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
            if language == "bash":
                assert max(map(len, block.splitlines())) <= 100, (name, block)


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_are_named_exist(name):
    text = TEXTS[name]
    named = set(re.findall(r"`((?:draw_tf|tests|assets|\.github)/[\w./-]*)`", text))
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", text)
    files = [ROOT / path for path in named] + [(ROOT / name).parent / path for path in links]
    assert [path for path in sorted(files) if not path.exists()] == []


def test_every_flagfile_has_its_command():
    for path in (ROOT / "draw_tf" / "configs").glob("*.flags"):
        assert any(f"draw_tf/configs/{path.name}" in command for command in COMMANDS), path.name


def test_every_data_set_and_all_weights_are_listed():
    for name in data.names():
        assert f"| `{name}` |" in README, name
    for name in checkpoints.pretrained():
        assert f"| `{name}` |" in README, name


def test_extras_that_are_named_exist():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    for text in TEXTS.values():
        for extra in re.findall(r"\.\[(\w+)\]", text):
            assert f'"{extra}": [' in setup, extra


def test_the_table_of_functions_is_true():
    methods = re.findall(r"`DRAW\.(\w+)`", README)
    functions = re.findall(r"`(\w+)` in `(draw_tf/[\w/]+\.py)`", README)
    assert methods and functions
    for name in methods:
        assert callable(getattr(draw_tf.DRAW, name))
    for name, path in functions:
        assert f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8"), (name, path)
