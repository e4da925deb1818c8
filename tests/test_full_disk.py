"""A disk that fills up ends a run in one sentence, and costs nothing that was saved."""

import os
import subprocess

import pytest

from draw_tf import checkpoints
from draw_tf.checkpoints import saves
from draw_tf.training.log import Log
from tests.support import soak
from tests.support.cli import run_script

pytestmark = pytest.mark.slow
FLAGS = (*soak.FLAGS, *soak.VAE, "--train_steps=12")


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)],
                              capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"there is no mount command: {error}")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk, left):
    """Fills a disk but for `left` bytes."""
    space = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - left)))


def fill_at(disk, left, at, monkeypatch):
    """Fills the disk when the line of a step has been logged."""
    write = Log.write

    def write_and_fill(self, split, step, values):
        write(self, split, step, values)
        if step == at:
            fill(disk, left)

    monkeypatch.setattr(Log, "write", write_and_fill)


def test_a_full_disk_costs_nothing_that_was_saved(disk, tmp_path, monkeypatch, capfd):
    # after which line of the log (0: before the run), and how much room is left
    for at, left, saved in ((0, 2000, []),  # none for the settings
                            (2, 0, []),  # none for the first checkpoint
                            (4, 0, [3]),  # none for TensorBoard
                            (4, 20_000, [3]),  # none for pictures
                            (8, 20_000, [6, 3]),  # none for one more checkpoint
                            (10, 0, [9, 6])):  # none at the end
        with monkeypatch.context() as patch:
            if at:
                fill_at(disk, left, at, patch)
            else:
                fill(disk, left)
            assert run_script("train.py", f"--workdir={disk}/run", *FLAGS) == 1
        (line,) = capfd.readouterr().err.splitlines()
        assert "No space left on device" in line
        assert saves.saved_steps(disk / "run") == saved
        if saved:
            assert checkpoints.load_with_step(disk / "run")[1] == saved[0]
        parts = [path for path in disk.rglob("*") if "partial" in path.name or "temp" in path.name]
        assert parts == []
        (disk / "ballast").unlink()
    for workdir in (disk / "run", tmp_path / "undisturbed"):
        assert run_script("train.py", f"--workdir={workdir}", *FLAGS) == 0
    soak.check(disk / "run", tmp_path / "undisturbed")
