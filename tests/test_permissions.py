"""What a user may not read or write: refused in a sentence, and never taken for absent.

Root may do everything, so these tests need another user; `test_as_a_user_without_rights` runs them
where root runs the tests and may give up that right.
"""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from draw_tf import checkpoints, data
from draw_tf.errors import DataError, WorkdirError
from draw_tf.training import loop
from tests.support.cli import ROOT, run_module, run_script

FLAGS = ("--glimpses=3", "--hidden_size=8", "--latent_size=2", "--nojit_compile",
         "--train_steps=2", "--log_every=1")


@pytest.fixture
def locked(tmp_path):
    """Takes rights from paths until the test ends; skips where this user needs none."""
    changed = []

    def lock(*paths, mode=0):
        for path in paths:
            changed.append((path, path.stat().st_mode))
            path.chmod(mode)

    probe = tmp_path / "probe"
    probe.mkdir()
    lock(probe)
    with contextlib.suppress(OSError):
        os.listdir(probe)
        pytest.skip("this user may read everything")
    yield lock
    for path, mode in reversed(changed):
        path.chmod(mode)


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a run of two steps."""
    workdir = tmp_path / "run"
    shutil.copytree(tiny_run, workdir)
    (workdir / ".data.npz").touch()
    (workdir / "metrics.jsonl").write_text('{"step": 1}\n')
    (workdir / "events" / "train").mkdir(parents=True)
    return workdir


def content(folder):
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
            for path in folder.rglob("*") if path.name != ".lock"}


def one_line(capfd, *words):
    (line,) = capfd.readouterr().err.splitlines()
    assert "Permission denied" in line or "be written to" in line, line
    assert all(word in line for word in words), line


@pytest.mark.parametrize("part, mode", [
    ("checkpoints", 0), ("checkpoints", 0o300), ("checkpoints", 0o500), (".data.npz", 0),
    ("checkpoints/ckpt-2.index", 0), ("config.json", 0), ("metrics.jsonl", 0),
    ("metrics.jsonl", 0o400), ("events", 0), ("events/train", 0), (".", 0), (".", 0o500),
    (".", 0o300)])
def test_a_run_of_which_a_part_may_not_be_read_is_not_begun_anew(
        run, locked, monkeypatch, capfd, part, mode):
    monkeypatch.setattr(loop, "Trainer", lambda *_: pytest.fail("training began"))
    before = content(run)
    path = run / part
    locked(path, mode=mode)
    assert run_script("train.py", f"--workdir={run}", *FLAGS) == 1
    one_line(capfd, f"workdir {run} cannot be", part if part != "." else str(run))
    path.chmod(0o700)
    assert content(run) == before


@pytest.mark.parametrize("part", ["checkpoints", "config.json", "."])
def test_a_model_that_may_not_be_read_is_not_missing(run, locked, part):
    locked(run / part)
    for workdir in (run, f"{run}/../run"):
        with pytest.raises(WorkdirError, match="cannot be read: .*Permission denied"):
            checkpoints.load(workdir)


@pytest.mark.parametrize("module, arguments, words", [
    ("train", ["--workdir={}/new"], "workdir"),
    ("train", ["--workdir={}"], "workdir"),
    ("generate", ["--out={}/x.png"], "out"), ("generate", ["--workdir={}/run"], "workdir"),
    ("evaluate", ["--workdir=run", "--json={}/x.json"], "json"),
    ("evaluate", ["--workdir=run", "--kl_plot={}/x.png"], "kl_plot"),
    ("export", ["--workdir=run", "--saved_model={}/x"], "saved_model"),
    ("export", ["--workdir=run", "--safetensors={}/x.safetensors"], "safetensors"),
    ("figures", ["--samples=run", "--out={}/x"], "out"),
    ("figures", ["--workdirs={}/a", "--out=new"], "workdir"),
    ("import_listing", ["--workdir={}/new", "--checkpoint=none"], "workdir"),
    ("benchmark", ["--json={}/x.json"], "json"), ("benchmark", ["--from_json={}/x"], "from_json"),
    ("train", ["--flagfile={}/x"], "flagfile")])
def test_a_folder_without_rights_is_one_sentence(
        run, locked, tmp_path, monkeypatch, capfd, module, arguments, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "Trainer", lambda *_: pytest.fail("training began"))
    folder = tmp_path / "locked"
    folder.mkdir()
    locked(folder)
    before = content(run)
    assert run_module(f"draw_tf.{module}", *(text.format(folder) for text in arguments),
                      *FLAGS[:4] * (module == "train")) == 1
    one_line(capfd, words, "locked")
    assert content(run) == before


def test_a_data_set_that_may_not_be_read_is_not_downloaded_again(tmp_path, locked, capfd):
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    for path in (folder, tmp_path / "mnist", tmp_path):
        locked(path)
        with pytest.raises(DataError, match="cannot be read .*Permission denied.$"):
            data.load("mnist", "test", str(tmp_path))
        path.chmod(0o700)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_as_a_user_without_rights():
    """Runs this file again, without the right of root to read and write everything."""
    without = "-dac_override,-dac_read_search"
    command = ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}"]
    if not hasattr(os, "geteuid") or os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("this is not root, or there is no setpriv command")
    done = subprocess.run([*command, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                           "-m", "not slow", "-rs", __file__], cwd=ROOT, capture_output=True,
                          text=True)
    if "Operation not permitted" in done.stderr:
        pytest.skip(f"root may not give up rights here: {done.stderr.strip()}")
    assert done.returncode == 0 and "skipped" not in done.stdout, done.stdout[-3000:] + done.stderr
