"""Two processes that train together, each with a part of every batch."""

import contextlib
import json
import socket
import time

import pytest

from draw_tf.checkpoints import read_metrics, saves
from tests.support import child
from tests.support.cli import run_script
from tests.support.trainings import assert_same, saved_arrays

pytestmark = pytest.mark.slow
FLAGS = ("--model=vae", "--hidden_size=8", "--latent_size=2", "--batch_size=8", "--save_every=2",
         "--log_every=1", "--train_steps=1000000", "--jit_compile=false")


@contextlib.contextmanager
def started(workdir, folder, other=None, moment=None):
    """Two processes that train together, the chief last, in float64; they end with the block.

    Args:
      workdir: the chief's, and the other's unless there is another.
      folder: for what they write to standard error.
      other: the other's workdir.
      moment: for the chief to wait at, as in `child.training`.
    """
    with socket.socket() as first, socket.socket() as second:
        for server in (first, second):
            server.bind(("127.0.0.1", 0))
        cluster = {"worker": [f"127.0.0.1:{server.getsockname()[1]}"
                              for server in (first, second)]}
    with contextlib.ExitStack() as stack:
        workers = []
        for index, home, at in ((1, other or workdir, None), (0, workdir, moment)):
            task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
            errors = folder / f"{index}.stderr"
            worker = stack.enter_context(child.training(
                f"--workdir={home}", "--distribute=multi_worker", *FLAGS, dtype="float64",
                stderr=errors, environment={"TF_CONFIG": json.dumps(task)}, moment=at))
            worker.errors = errors
            workers.append(worker)
        yield workers


def finish(workers):
    """Waits for all, which must end well."""
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0], [
        worker.errors.read_text() for worker in workers]


def sentence(worker):
    """All that a worker says on standard error, which must end by itself within a minute."""
    worker.join(60)
    (line,) = worker.errors.read_text().splitlines()
    assert worker.exitcode == 1 and line.startswith("train.py: ")
    return line


def test_two_workers_survive_a_kill_another_folder_and_a_signal(tmp_path):
    workdir, marker = tmp_path / "run", tmp_path / "marker"
    # a killed worker ends the other
    with started(workdir, tmp_path, moment=("log", 5, marker)) as (other, chief):
        while not marker.exists():
            assert chief.is_alive() and other.is_alive(), finish([other, chief])
            time.sleep(0.05)
        chief.kill()
        assert "another worker has gone: start all of them again" in sentence(other)
    assert saves.saved_steps(workdir) == [4, 2]

    # a worker that does not see the folder would start from step 0
    with started(workdir, tmp_path, other=tmp_path / "elsewhere") as (other, chief):
        assert "different steps (this one at 0): give all of them the same" in sentence(other)
        assert "different steps (this one at 4): give all of them the same" in sentence(chief)
    assert saves.saved_steps(workdir) == [4, 2]

    # the same commands go on, and a signal to one of them stops and saves all
    with started(workdir, tmp_path) as workers:
        while max(line["step"] for line in read_metrics(workdir)) <= 5:
            assert all(worker.is_alive() for worker in workers), finish(workers)
            time.sleep(0.05)
        workers[0].terminate()  # not the one that saves
        finish(workers)
    stopped = saves.saved_steps(workdir)[0]
    assert stopped > 5

    # so far, the numbers are those of one process that nothing happened to
    assert run_script("train.py", f"--workdir={tmp_path / 'one'}", *FLAGS,
                      f"--train_steps={stopped}") == 0
    assert_same(saved_arrays(tmp_path / "one"), saved_arrays(workdir), rtol=1e-9, atol=1e-12)
