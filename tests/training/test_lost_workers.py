"""Two processes that train together, of which one is killed or has another folder."""

import contextlib
import time

import pytest

from draw_tf.checkpoints import saves
from tests.cli import run_script
from tests.training.conftest import assert_same, saved_arrays
from tests.training.test_workers import TINY, finish, start_workers

pytestmark = pytest.mark.slow
FLAGS = ("--train_steps=6", "--log_every=1")


@contextlib.contextmanager
def started(*arguments, **options):
    """`start_workers`, whose processes end with the block."""
    workers = start_workers(*arguments, **options)
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            worker.stderr.close()


def sentence(worker):
    """All that a worker says on standard error, which must end by itself within a minute."""
    (line,) = worker.communicate(timeout=60)[1].decode().splitlines()
    assert worker.returncode == 1 and line.startswith("train.py: ")
    return line


def test_a_killed_worker_ends_the_other_and_the_same_commands_go_on(tmp_path):
    workdir, marker = tmp_path / "run", tmp_path / "marker"
    with started(workdir, tmp_path, *FLAGS, chief=("tests/soak_child.py", "log", "5", str(marker))
                 ) as (other, chief):
        while not marker.exists():
            assert chief.poll() is None and other.poll() is None, finish([other, chief])
            time.sleep(0.05)
        chief.kill()
        assert "another worker has gone: start all of them again" in sentence(other)
    assert saves.saved_steps(workdir) == [4, 2]

    # a worker that does not see the folder would start from step 0
    with started(workdir, tmp_path, *FLAGS, other=tmp_path / "elsewhere") as (other, chief):
        assert "different steps (this one at 0): give all of them the same" in sentence(other)
        assert "different steps (this one at 4): give all of them the same" in sentence(chief)
    assert saves.saved_steps(workdir) == [4, 2]

    with started(workdir, tmp_path, *FLAGS) as workers:
        assert run_script("train.py", f"--workdir={tmp_path / 'one'}", *TINY, *FLAGS) == 0
        finish(workers)
    assert_same(saved_arrays(tmp_path / "one"), saved_arrays(workdir), rtol=1e-9, atol=1e-12)
