"""Two processes that train together, each with a part of every batch."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from draw_tf import checkpoints
from tests.cli import ROOT, run_script
from tests.training.conftest import assert_same, saved_arrays

pytestmark = pytest.mark.slow
TINY = ("--glimpses=2", "--hidden_size=8", "--latent_size=2", "--batch_size=8", "--save_every=2",
        "--jit_compile=false")


def start_workers(workdir, folder, *flags, other=None, chief=("train.py",)):
    """Two processes that train together, the chief last; in float64.

    Args:
      workdir: the chief's, and the other's unless there is another.
      folder: for settings.
      *flags: of both.
      other: the other's workdir.
      chief: what the chief is to run: a script and its first arguments.
    """
    with socket.socket() as first, socket.socket() as second:
        for server in (first, second):
            server.bind(("127.0.0.1", 0))
        cluster = {"worker": [f"127.0.0.1:{server.getsockname()[1]}"
                              for server in (first, second)]}
    (folder / "keras.json").write_text(json.dumps({"floatx": "float64"}))
    return [subprocess.Popen(
        [sys.executable, *program, f"--workdir={home}", "--distribute=multi_worker", *TINY, *flags],
        cwd=ROOT,
        env={**os.environ, "KERAS_HOME": str(folder), "TF_CONFIG": json.dumps(
            {"cluster": cluster, "task": {"type": "worker", "index": index}})},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for index, home, program in (
            (1, other or workdir, ["train.py"]), (0, workdir, chief))]


def finish(workers):
    errors = [worker.communicate()[1].decode() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], errors


def test_two_workers_give_the_numbers_of_one(tmp_path):
    workers = start_workers(tmp_path / "two", tmp_path, "--train_steps=4")
    assert run_script("train.py", f"--workdir={tmp_path / 'one'}", *TINY, "--train_steps=4") == 0
    finish(workers)
    assert_same(saved_arrays(tmp_path / "one"), saved_arrays(tmp_path / "two"),
                rtol=1e-9, atol=1e-12)


def test_a_signal_to_one_worker_stops_and_saves_all(tmp_path):
    workers = start_workers(tmp_path / "run", tmp_path, "--train_steps=1000000", "--log_every=10")
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_text()):
        assert all(worker.poll() is None for worker in workers), finish(workers)
        time.sleep(0.1)
    workers[0].terminate()  # not the one that saves
    finish(workers)
    assert checkpoints.load_with_step(tmp_path / "run")[1] >= 10
