"""What happens to a training as a process: a second one, a reader that goes, a closed terminal."""

import os
import signal
import subprocess
import sys
import time

import pytest

from draw_tf.checkpoints import read_metrics, saves
from tests import soak
from tests.cli import ROOT, run_script

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(signal, "SIGHUP"),
                                                   reason="this system has no terminals to close")]
FLAGS = (*soak.FLAGS, *soak.VAE, "--train_steps=1000000")


def start(workdir, stdout):
    """A training in another process, with stderr as a pipe."""
    # a shell or a test runner may have been started with the signal ignored
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), f"--workdir={workdir}", *FLAGS],
        stdout=stdout, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGHUP, before)
    return process


def test_one_trains_in_a_workdir_until_nobody_reads_or_its_terminal_closes(tmp_path, capfd):
    workdir = tmp_path / "run"
    # a pipe whose reader goes after two lines, as in `train.py ... | head -2`
    first = start(workdir, subprocess.PIPE)
    try:
        lines = [first.stdout.readline() for _ in range(2)]
        assert all(line.startswith("step ") for line in lines), first.stderr.read()
        assert run_script("train.py", f"--workdir={workdir}", *FLAGS) == 1
        out, errors = capfd.readouterr()
        (line,) = errors.splitlines()
        assert line.startswith(f"train.py: --workdir={workdir} is in use by another training")
        assert out == "" and first.poll() is None
        first.stdout.close()
        errors = first.stderr.read()
        assert (first.wait(), errors) == (0, "")
    finally:
        first.kill()
    saved = saves.saved_steps(workdir)[0]

    second = start(workdir, subprocess.DEVNULL)
    try:
        while max(line["step"] for line in read_metrics(workdir)) <= saved:
            assert second.poll() is None, second.stderr.read()
            time.sleep(0.1)
        second.send_signal(signal.SIGHUP)
        errors = second.communicate()[1]
        assert (second.returncode, errors) == (0, "")
    finally:
        second.kill()
    assert saves.saved_steps(workdir)[0] > saved
    steps = [(line["step"], line["split"]) for line in read_metrics(workdir)]
    assert len(set(steps)) == len(steps)
    assert not [name for name in soak.files(workdir) if "partial" in name or "temp" in name]
    assert os.path.exists(workdir / "strokes.gif")
