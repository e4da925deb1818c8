"""What happens to a training as a process: a second one, a reader that goes, a closed terminal."""

import multiprocessing
import os
import signal
import time

import pytest

from draw_tf.checkpoints import read_metrics, saves
from tests.support import child, soak
from tests.support.cli import run_script

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(signal, "SIGHUP"),
                                                   reason="this system has no terminals to close")]
FLAGS = (*soak.FLAGS, *soak.VAE, "--train_steps=1000000")


def test_one_trains_in_a_workdir_until_nobody_reads_or_its_terminal_closes(tmp_path, capfd):
    workdir, errors = tmp_path / "run", tmp_path / "errors"
    flags = (f"--workdir={workdir}", *FLAGS)
    pipe, stdout = multiprocessing.Pipe(duplex=False)
    with child.training(*flags, stdout=stdout, stderr=errors) as first:
        with pipe, open(os.dup(pipe.fileno())) as reader:  # goes as in `train.py ... | head -2`
            assert any(line.startswith("step ") for line in reader), errors.read_text()
            assert run_script("train.py", *flags) == 1
            out, said = capfd.readouterr()
            (line,) = said.splitlines()
            assert line.startswith(f"train.py: workdir {workdir} is in use by another training")
            assert "step " not in out and first.is_alive()
        first.join()
        assert (first.exitcode, errors.read_text()) == (0, "")
    saved = saves.saved_steps(workdir)[0]

    with child.training(*flags, stderr=errors) as second:
        while max(line["step"] for line in read_metrics(workdir)) <= saved:
            assert second.is_alive(), errors.read_text()
            time.sleep(0.1)
        os.kill(second.pid, signal.SIGHUP)
        second.join()
        assert (second.exitcode, errors.read_text()) == (0, "")
    assert saves.saved_steps(workdir)[0] > saved
    steps = [(line["step"], line["split"]) for line in read_metrics(workdir)]
    assert len(set(steps)) == len(steps)
    assert not [name for name in soak.files(workdir) if "partial" in name or "temp" in name]
    assert os.path.exists(workdir / "strokes.gif")
