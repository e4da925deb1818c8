"""The command line: flagfiles, help, and flags that are wrong."""

import importlib
import re
import runpy
import sys

import pytest
from absl import flags

from draw_tf import TrainConfig, commands
from draw_tf.__main__ import NAMES
from draw_tf.errors import ConfigError
from tests.support.cli import ROOT, run_module, run_script


@pytest.fixture
def parsed(monkeypatch):
    """Parses a command line with the flags of a training; returns the flags by name."""
    values = flags.FlagValues()
    for name in ("enum", "bool", "integer", "float", "string"):
        define = getattr(flags, f"DEFINE_{name}")
        monkeypatch.setattr(flags, f"DEFINE_{name}", lambda *given, define=define: define(
            *given, flag_values=values))
    monkeypatch.setattr(flags, "FLAGS", values)
    monkeypatch.setattr(commands, "FLAGS", values)
    commands.define_flags(TrainConfig)
    flags.DEFINE_string("workdir", None, "where the run lies")

    def parse(*arguments):
        values.unparse_flags()
        assert commands.parse(["command", *map(str, arguments)], "") == ["command"]
        return values.flag_values_dict()

    return parse


# ---------------------------------------------------------------- flagfiles

TEXT = "# café\r\n--seed=7\r\n\r\n  --dataset=folder:é  \r\n// a comment\r\n--nojit_compile\r\n"


@pytest.mark.parametrize("content", [
    TEXT.encode(), TEXT.encode("utf-8-sig"), TEXT.replace("\r\n", "\n").encode(),
    TEXT.replace("\r\n", "\r").encode("utf-8-sig")], ids=["CRLF", "mark", "LF", "CR and mark"])
@pytest.mark.parametrize("flag", ["--flagfile={}", "-flagfile={}", "--flagfile {}"])
def test_flagfiles_of_any_system_are_read(tmp_path, parsed, content, flag):
    (tmp_path / "a.flags").write_bytes(content)
    values = parsed(*flag.format(tmp_path / "a.flags").split(), "--batch_size=9")
    assert (values["seed"], values["dataset"], values["jit_compile"], values["batch_size"]) == (
        7, "folder:é", False, 9)


def test_flagfiles_name_others_and_what_comes_later_counts(tmp_path, parsed, monkeypatch):
    (tmp_path / "inner").write_text("--seed=1\n--batch_size=1\n")
    (tmp_path / "outer").write_text("--seed=3\n--flagfile=~/inner\n--train_steps=2\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    values = parsed(f"--flagfile={tmp_path}/outer", "--batch_size=5", "--flagfile=~/inner")
    assert (values["seed"], values["batch_size"], values["train_steps"]) == (1, 1, 2)


@pytest.mark.parametrize("content, words", [
    ("--seed=7\n".encode("utf-16"), "UTF-16"), ("--seed=7\n".encode("utf-16-le"), "UTF-16"),
    ("# café\n".encode("latin-1"), "is not UTF-8"), (b"\x80\x81PNG", "is not UTF-8"),
    (None, "No such file"), ("folder", "is a folder, not a file"),
    (b"--flagfile=bad.flags", "is read from within itself"),
    (b"--flagfile=none.flags", "none.flags cannot be read"),
])
def test_a_flagfile_that_cannot_be_used_is_named(tmp_path, parsed, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    if content == "folder":
        (tmp_path / "bad.flags").mkdir()
    elif content:
        (tmp_path / "bad.flags").write_bytes(content)
    with pytest.raises(ConfigError, match=f"^flagfile .*{words}") as caught:
        parsed("--flagfile=bad.flags")
    assert ("none" if words.startswith("none") else "bad.flags") in str(caught.value)


def test_a_flagfile_without_a_name_is_asked_for(parsed):
    for arguments in (["--flagfile="], ["--flagfile"]):
        with pytest.raises(ConfigError, match="give --flagfile=FILE"):
            parsed(*arguments)


# ---------------------------------------------------------------- flags that are wrong


@pytest.mark.parametrize("given, ours", [
    ("epochs", "train_steps"), ("max_steps", "train_steps"), ("lr", "learning_rate"),
    ("batch-size", "batch_size"), ("BS", "batch_size"), ("output_dir", "workdir"),
    ("out", None), ("seeed", "seed"), ("random_seed", "seed")])
def test_a_flag_of_another_program_brings_ours_to_mind(parsed, given, ours):
    with pytest.raises(ConfigError, match=f"Unknown command line flag '{given}'") as caught:
        parsed(f"--{given}=3")
    assert ours is None or f"Did you mean: {ours} ?" in str(caught.value)


def test_a_flag_for_the_device_is_answered(parsed):
    with pytest.raises(ConfigError, match="no flag --gpu: .*CUDA_VISIBLE_DEVICES"):
        parsed("--gpu=0")


def test_every_flag_that_is_brought_to_mind_is_one_of_a_command():
    names = {name for ours in commands._ELSEWHERE.values() for name in ours}
    for command in ("train", "generate", "evaluate", "export"):
        module = __import__(f"draw_tf.{command}", fromlist=["command"])
        known = set(flags.FLAGS)
        module._define_flags()
        mine = set(flags.FLAGS) - known
        for name in mine:
            delattr(flags.FLAGS, name)
        names -= mine
    assert names <= {"flagfile"}


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("flag", ["--help", "-help", "--helpshort", "--helpfull"])
def test_help_describes_the_command_and_its_flags(capfd, flag):
    assert run_script("train.py", flag) == 0
    out, error = capfd.readouterr()
    assert error == "" and out.startswith("Trains a model: ")
    for words in ("--workdir: ", "--glimpses: ", "--batch_size: ", "--flagfile=FILE"):
        assert words in out
    assert re.search(r"--start: .*\bDIR\b.*\bNAME\b.*\./data", " ".join(out.split()))


def test_help_describes_a_command_that_a_package_installed(monkeypatch, capfd):
    from draw_tf import train
    monkeypatch.setattr(sys, "argv", ["draw-train", "--help"])
    with pytest.raises(SystemExit) as ended:
        train.command()
    assert not ended.value.code and capfd.readouterr().out.startswith("Trains a model: ")


@pytest.mark.parametrize("name", ["evaluate", "figures", "export", "import_listing", "ship",
                                  "benchmark", "generate"])
def test_each_command_is_also_a_module(name, capfd):
    assert run_module(f"draw_tf.{name}", "--help") == 0
    assert "--" in capfd.readouterr().out
    assert run_module(f"draw_tf.{name}", "--nonsense") == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "Unknown command line flag 'nonsense'" in line


def test_each_command_is_also_a_script(monkeypatch):
    setuptools, given = pytest.importorskip("setuptools"), {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: given.update(options))
    runpy.run_path(str(ROOT / "setup.py"))
    scripts = dict(line.split(" = ") for line in given["entry_points"]["console_scripts"])
    assert set(scripts) == {f"draw-{name}" for name in NAMES}
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_package_lists_its_commands(capfd):
    assert run_module("draw_tf") == 0
    lines = capfd.readouterr().out.splitlines()
    for name, line in zip(NAMES, lines, strict=False):
        assert re.fullmatch(rf"python -m draw_tf\.{name} +[A-Z].{{10,}}", line)
    assert len(lines) == len(NAMES) + 1
    assert run_module("draw_tf", "train") == 2
    assert "no command is run here, got 'train'" in capfd.readouterr().err


def test_flags_that_are_missing_are_all_named(capfd):
    assert run_module("draw_tf.ship") == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert re.search("give --workdir=DIR: .*; give --name=NAME: ", line)
