"""What happens to a training as a process: a second one, a closed terminal, a reader that goes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from draw_tf.checkpoints import read_metrics, saves
from tests import soak
from tests.cli import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(signal, "SIGHUP"),
                                                   reason="this system has no terminals to close")]


def start(workdir, steps, **pipes):
    """A training in another process, which would take this many steps."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), f"--workdir={workdir}", *soak.FLAGS, *soak.VAE,
         f"--train_steps={steps}"], stderr=subprocess.PIPE, text=True, **pipes)


def test_one_trains_in_a_workdir_until_its_terminal_closes_or_nobody_reads(tmp_path):
    workdir = tmp_path / "run"
    # a shell or a test runner may have been started with the signal ignored
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    first = start(workdir, 10**6, stdout=subprocess.DEVNULL)
    signal.signal(signal.SIGHUP, before)
    try:
        while not read_metrics(workdir):
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.1)
        second = start(workdir, 10**6, stdout=subprocess.PIPE)
        out, errors = second.communicate()
        assert (second.returncode, out) == (1, "")
        (line,) = errors.splitlines()
        assert line.startswith(f"train.py: --workdir={workdir} is in use by another training")
        assert first.poll() is None

        first.send_signal(signal.SIGHUP)
        errors = first.communicate()[1]
        assert (first.returncode, errors) == (0, "")
    finally:
        first.kill()
    saved = saves.saved_steps(workdir)[0]

    # a pipe whose reader goes after two lines, as in `train.py ... | head -2`
    third = start(workdir, 10**6, stdout=subprocess.PIPE)
    try:
        lines = [third.stdout.readline() for _ in range(2)]
        assert lines[0] == f"Resuming {workdir} at step {saved}\n"
        third.stdout.close()
        errors = third.stderr.read()
        assert (third.wait(), errors) == (0, "")
    finally:
        third.kill()
    assert saves.saved_steps(workdir)[0] > saved
    steps = [(line["step"], line["split"]) for line in read_metrics(workdir)]
    assert len(set(steps)) == len(steps)
    assert not [name for name in soak.files(workdir) if "partial" in name or "temp" in name]
    assert os.path.exists(workdir / "strokes.gif")
