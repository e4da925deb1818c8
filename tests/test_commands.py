"""What all commands share: bad input, flags, and how a command runs."""

import dataclasses
import io
import os
import re
import subprocess
import sys
import tempfile

import pytest
import tensorflow as tf
from absl import flags

import draw_tf
from draw_tf import DRAWConfig, TrainConfig, commands
from draw_tf.errors import DRAWError
from draw_tf.training import loop
from tests.support.cli import run_script

# ---------------------------------------------------------------- bad input


BAD = [
    ("train.py", ["--workdir=new", "--dataset=emnist"], "dataset must be one of .*'emnist'"),
    ("train.py", ["--workdir=new", "--glimpses=0"], r"glimpses=0: .*integer .*\[1, 4095\]"),
    ("train.py", ["--workdir=new", "--glimpses=x"], "glimpses=x"),
    ("train.py", ["--workdir=new", "--read_size=29"], "read_size must be at most .* 28, got 29"),
    ("train.py", ["--workdir=new", "--learning_rate=0"], "learning_rate must be .* above 0, got 0"),
    ("train.py", ["--workdir=new", "--adam_beta1=1"], "adam_beta1 must be .* below 1, got 1"),
    ("train.py", ["--workdir=new", "--unroll=some"], "unroll=some"),
    ("train.py", ["--workdir=new", "--read_attention=auto"], "read_attention=auto"),
    ("train.py", ["--workdir=new", "--nojit_compile=3"], "--nojit_compile=3 does not take"),
    ("train.py", ["--workdir=new", "--profile_steps=9,3"], "profile_steps must be .*9,3"),
    ("train.py", ["--workdir=new", "spare"], "unexpected argument 'spare'"),
    ("train.py", ["--workdir=new", "--flagfile=missing.flags"], "missing.flags"),
    ("train.py", ["--workdir=new", "--glimpse=3"], "glimpse.*Did you mean: glimpses"),
    ("train.py", [], "give --workdir=DIR: folder of the run"),
    ("train.py", ["--workdir=new", "--train_steps=many"], "train_steps=many: it is not a whole"),
    ("train.py", ["--workdir=file"], "workdir file cannot be written: file is a file"),
    ("train.py", ["--workdir=file/below"], "workdir file/below cannot .*: file is a file"),
    ("generate.py", ["--out=file/x.png"], "out cannot be written: file is not a folder"),
    ("generate.py", ["--workdir=missing"], "workdir missing is neither a folder nor the name"),
    ("generate.py", ["--workdir=."], "holds no config.json"),
    ("generate.py", ["--out=strokes.jpg"], "out must end in .* or .html, got 'strokes.jpg'"),
    ("generate.py", ["--num=0"], r"num=0: .*\[1, 10000\]"),
    ("generate.py", ["--num=1", "--mode=interpolate"], "num must be at least 2 .*, got 1"),
    ("generate.py", ["--seed=-1"], "seed=-1: .*integer"),
    ("generate.py", ["--num=10001"], r"num=10001: .*\[1, 10000\]"),
    ("generate.py", ["--workdir="], "workdir must be a folder, got ''"),
    ("train.py", ["--workdir="], "workdir must be a folder, got ''"),
    ("train.py", ["--workdir=runs/exp*"], r"workdir runs/exp\* must not contain \*"),
    ("train.py", ["--workdir=new", "--model=vae", "--glimpses=3"], "glimpses is not a setting of"),
    ("generate.py", ["--mode=complete", "--imaginations=0"], "imaginations=0"),
    ("generate.py", ["--mode=dream"], "mode=dream: .*prior"),
]


@pytest.mark.parametrize("script, arguments, words", BAD)
def test_bad_input_is_reported_in_one_line(tmp_path, monkeypatch, capfd, script, arguments, words):
    monkeypatch.chdir(tmp_path)
    # what is not refused must not train for hours
    monkeypatch.setattr(loop, "Trainer", lambda *_: pytest.fail("training began"))
    (tmp_path / "file").write_text("kept")
    assert run_script(script, *arguments) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"{script}: ") and re.search(words, line)
    assert {path.name for path in tmp_path.iterdir()} == {"file"}
    assert (tmp_path / "file").read_text() == "kept"


# ---------------------------------------------------------------- flags


def parse(*arguments):
    """The flags of both settings after a command line."""
    values = flags.FlagValues()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flags, "FLAGS", values)
        for name in ("enum", "bool", "integer", "float", "string"):
            define = getattr(flags, f"DEFINE_{name}")
            patch.setattr(flags, f"DEFINE_{name}", lambda *given, define=define: define(
                *given, flag_values=values))
        commands.define_flags(DRAWConfig)
        commands.define_flags(TrainConfig)
        values(["command", *arguments])
    return values


@pytest.mark.parametrize("arguments, name, value", [
    ([], "jit_compile", True),
    (["--jit_compile=true"], "jit_compile", True), (["--jit_compile=false"], "jit_compile", False),
    (["--nojit_compile"], "jit_compile", False),
    ([], "unroll", 0), (["--unroll=4"], "unroll", 4),
    (["--seed=2147483647"], "seed", 2**31 - 1), (["--glimpses=4095"], "glimpses", 4095),
])
def test_values_up_to_their_limits_are_taken(arguments, name, value):
    taken = parse(*arguments)[name].value
    assert taken == value and type(taken) is type(value)


def test_flags_have_the_defaults_help_and_bounds_of_the_settings():
    parsed = parse()
    for config_class in (DRAWConfig, TrainConfig):
        for field in dataclasses.fields(config_class):
            if field.name == "image_shape":
                assert field.name not in parsed  # the data decides
                continue
            flag = parsed[field.name]
            assert flag.value == field.default and field.metadata["help"] in flag.help
            if type(field.default) in (int, float):
                assert flag.parser.lower_bound == field.metadata["at_least"]
    for bad in ("--seed=-1", "--seed=2147483648", "--batch_size=0", "--clip_norm=-1",
                "--schedule=cosine", "--seed=auto", "--jit_compile=auto", "--unroll=auto"):
        with pytest.raises(flags.Error):
            parse(bad)


# ---------------------------------------------------------------- how a command runs


@pytest.fixture
def run(monkeypatch):
    """Runs a function as the main of a command without flags; returns its exit status."""
    monkeypatch.setattr(commands, "keep_freed_memory", lambda: True)
    monkeypatch.setattr(sys, "argv", ["some/command.py"])

    def call(main):
        try:
            commands.start(lambda: None, main)
        except SystemExit as end:
            return end.code

    return call


def raising(error):
    def main(_):
        raise error
    return main


def test_an_error_for_the_user_is_one_line(run, capfd):
    assert run(raising(DRAWError("too bad"))) == 1
    assert capfd.readouterr().err == "command.py: too bad\n"
    assert run(raising(KeyboardInterrupt())) == 130
    assert run(lambda _: None) is None


@pytest.mark.parametrize("error, words", [
    (PermissionError(13, "Permission denied", "a/b"), "a/b: Permission denied"),
    (OSError(36, "File name too long", "a/b"), "a/b: File name too long"),
    (OSError(28, "No space left on device"), "No space left on device"),
    (FileExistsError(17, "File exists", __file__), f"{__file__} is a file, not a folder"),
    (MemoryError("Unable to allocate 9 TiB"), "too little memory.*Unable to allocate 9 TiB"),
    (tf.errors.ResourceExhaustedError(None, None, "OOM"), "too little memory, or room .*OOM"),
    (tf.errors.InternalError(None, None, "broken\nand more"), r"TensorFlow cannot go on \(broken"),
    (ZeroDivisionError("division by zero"), "a fault of the program .ZeroDivisionError: division "
     "by zero.: please report it.*DRAW_TF_TRACEBACK=1"),
    (AssertionError(), "AssertionError"), (RecursionError("too deep"), "RecursionError: too deep"),
])
def test_an_error_that_nobody_foresaw_is_one_line_too(run, capfd, monkeypatch, error, words):
    monkeypatch.delenv(commands.TRACEBACK, raising=False)
    assert run(raising(error)) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("command.py: ") and re.search(words, line)
    monkeypatch.setenv(commands.TRACEBACK, "1")
    assert run(raising(error)) == 1
    *lines, last = capfd.readouterr().err.splitlines()
    assert last == line and lines[0].startswith("Traceback") and "in main" in " ".join(lines)


def test_a_name_that_the_terminal_cannot_show_is_escaped(run, monkeypatch):
    out, error = (io.TextIOWrapper(io.BytesIO(), "ascii", newline="\n") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", error)
    assert run(lambda _: print("π", os.fsdecode(b"\xff"))) is None
    assert run(raising(DRAWError("no π"))) == 1
    out.flush()
    error.flush()
    assert rb"\u03c0 \udcff" in out.buffer.getvalue().splitlines()
    assert error.buffer.getvalue().splitlines() == [rb"command.py: no \u03c0"]


def test_an_error_is_one_line_whatever_a_name_has_in_it(run, capfd):
    def fail(_):
        raise DRAWError("no\nsuch \x1b[31m\u2028 café")

    assert run(fail) == 1
    assert capfd.readouterr().err == "command.py: no\\nsuch \\x1b[31m\\u2028 café\n"


def test_a_closed_standard_output_is_no_error(run, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert run(lambda _: print("unheard")) is None
    sys.stdout.close()


def test_a_reader_who_has_gone_is_one_line(run, monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writer, "w"))
    assert run(lambda _: print("unheard")) == 1
    assert capfd.readouterr().err == "command.py: Broken pipe\n"
    sys.stdout.close()  # as Python does at its end


def test_a_flag_of_absurd_length_is_one_line(capfd):
    assert run_script("train.py", "--" + "x" * 5000) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("train.py: ") and len(line) < 100


def test_commands_keep_freed_memory(run, monkeypatch):
    calls = []
    monkeypatch.setattr(commands, "keep_freed_memory", lambda: calls.append("kept"))
    run(lambda _: calls.append("ran"))
    assert calls == ["kept", "ran"]


CHOICES = ("TF_CPU_ALLOCATOR_USE_BFC", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD")


@pytest.mark.parametrize("name", [None, *CHOICES])
def test_freed_memory_is_kept_unless_the_user_chose_an_allocator(monkeypatch, name):
    environment = {choice: "2" if choice == name else "" for choice in CHOICES}
    monkeypatch.setattr(os, "environ", dict(environment))
    assert commands.keep_freed_memory() is (name is None)
    assert os.environ == {**environment, **({} if name else {CHOICES[0]: "true"})}


@pytest.mark.slow
def test_kept_memory_is_not_fetched_again():
    resource = pytest.importorskip("resource")  # not on Windows
    code = """
from draw_tf import commands
assert commands.keep_freed_memory()
import resource, tensorflow as tf
product = tf.function(lambda x: tf.reduce_sum(tf.sin(x @ x)), jit_compile=True)
x = tf.ones([2000, 2000])
faults = []
for _ in range(6):
    product(x).numpy()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[0])
"""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(CHOICES + ("MALLOC_",))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True,
                          text=True, check=True)
    # fewer than the pages of one product, where five were made
    assert int(done.stdout) < 2000**2 * 4 / resource.getpagesize()


CHATTER = b"""WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1785541.0 42 cudart_stub.cc:31] Could not find cuda drivers, GPU will not be used.
2026-01-01 10:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.
"""


def test_what_tensorflow_reports_is_held_back_unless_it_fails_or_has_a_card(capfd, monkeypatch):
    monkeypatch.setattr(draw_tf, "_CARD", False)
    with draw_tf._quiet():
        os.write(2, CHATTER + b"a warning\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "a warning\nafter\n"
    monkeypatch.setattr(draw_tf, "_CARD", True)  # then it is worth reading
    with draw_tf._quiet():
        os.write(2, CHATTER)
    assert capfd.readouterr().err.encode() == CHATTER.splitlines(keepends=True)[1]
    with pytest.raises(ImportError), draw_tf._quiet():
        os.write(2, b"the reason\n")
        raise ImportError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "the reason\nafter\n"


@pytest.mark.parametrize("module, name", [(os, "dup"), (tempfile, "TemporaryFile")])
def test_a_closed_standard_error_or_no_place_for_files_is_no_error(monkeypatch, module, name):
    def fail(*_):
        raise OSError("bad file descriptor")

    monkeypatch.setattr(module, name, fail)
    done = []
    with draw_tf._quiet():
        done.append(True)
    assert done
