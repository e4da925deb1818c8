"""Kills a training run again and again, and compares what is left with a run that nobody killed.

    python -m tests.support.soak [--kills=20] [--seed=0]

Each of these kills is a SIGKILL, of a real `train.py`. `--kills` of them come at random, and one at
each of the moments in moments.py. After each one, the same command goes on.
"""

import argparse
import multiprocessing
import os
import pathlib
import random
import tempfile
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from tensorboard.compat.proto import event_pb2

from draw_tf.checkpoints import read_metrics, saves
from tests.support import child

PATIENCE = 600  # seconds, after which a process hangs
# how often each moment comes before the kill; the order makes sure that each one does come
KILLS = {"config": 1, "gif": 1, "parts": 1, "log": 2, "metrics": 1, "events": 1, "data": 1,
         "newest gif": 1, "index": 1, "note": 1, "prune": 2}

FLAGS = ("--hidden_size=8", "--latent_size=2", "--batch_size=16", "--jit_compile=false",
         "--steps_per_call=2", "--log_every=2", "--save_every=3", "--image_every=6",
         "--eval_every=12")
DRAW, VAE = ("--glimpses=2",), ("--model=vae",)  # the VAE starts in a third of the time


class Soak:
    """Runs of one command in folders below `folder`.

    Args:
      folder: an empty folder.
      steps: of a whole run.
      model: DRAW or VAE.
    """

    def __init__(self, folder, steps, model):
        self.folder = pathlib.Path(folder)
        self.flags = [*FLAGS, *model, f"--train_steps={steps}"]

    def started(self, workdir, stdout=os.devnull, moment=None):
        """A process of train.py; it is killed at the end of the block."""
        return child.training(f"--workdir={self.folder / workdir}", *self.flags, stdout=stdout,
                              stderr=self.errors(workdir), moment=moment)

    def errors(self, workdir):
        return self.folder / f"{workdir}.stderr"

    def finish(self, workdir):
        """Runs to the end."""
        with self.started(workdir) as process:
            process.join(PATIENCE)
            self.check_ended(process, workdir)

    def check_ended(self, process, workdir):
        errors = self.errors(workdir).read_text()
        assert process.exitcode == 0 and "Traceback" not in errors, errors

    def kill_at(self, workdir, moment, count):
        """Kills a run at a moment of moments.py."""
        marker, began = self.folder / f"{workdir}.marker", time.monotonic()
        with self.started(workdir, moment=(moment, count, marker)) as process:
            while not marker.exists():
                assert process.is_alive() and time.monotonic() < began + PATIENCE, (
                    f"{moment} did not come: {self.errors(workdir).read_text()}")
                time.sleep(0.02)
        marker.unlink()

    def kill_at_random(self, workdir, dice, longest):
        """Kills a run at random; returns whether it had not ended before."""
        pipe, stdout = multiprocessing.Pipe(duplex=False)
        with self.started(workdir, stdout) as process, open(os.dup(pipe.fileno())) as reader:
            lines = dice.randrange(10)
            for _ in range(lines):
                reader.readline()
            process.join(dice.uniform(0, 0.5 if lines else longest))
            if process.is_alive():
                return True
            self.check_ended(process, workdir)
            return False

    def check(self, workdir):
        """Asserts that a finished run left what the run "undisturbed" left."""
        check(self.folder / workdir, self.folder / "undisturbed")


def check(left, right):
    """Asserts that two finished runs left the same, to the last bit."""
    ours, theirs = arrays(left), arrays(right)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
    assert logged(left) == logged(right)
    assert sorted(plotted(left)) == sorted(plotted(right))
    assert files(left) == files(right)
    for path in right.glob("*.gif"):
        assert (left / path.name).read_bytes() == path.read_bytes(), path.name


def arrays(workdir):
    """Every number in the newest checkpoint but the time it took."""
    reader = tf.train.load_checkpoint(saves.latest(workdir))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
            if not name.startswith(("seconds", "save_counter", "_CHECKPOINTABLE"))}


def logged(workdir):
    """Step and split of each line of metrics, and the numbers that do not depend on kills."""
    return [(line["step"], line["split"], line["bound_nats"] if line["split"] == "test" else None)
            for line in read_metrics(workdir)]


def plotted(workdir):
    """Split, tag and step of whatever TensorBoard shows."""
    for path in (workdir / "events").glob("*/*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                yield path.parent.name, value.tag, event.step
            if event.HasField("graph_def"):
                yield path.parent.name, "graph", event.step


def files(workdir):
    """The files of a run; one name for all of TensorBoard's in a folder."""
    paths = (path.relative_to(workdir) for path in workdir.rglob("*") if not path.is_dir())
    return {str(path.parent / "events" if path.name.startswith("events.out.tfevents.")
                and path.name.endswith(".v2") else path) for path in paths}


def main():
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="at random moments")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(folder, 48, DRAW)
        started = time.monotonic()
        soak.finish("undisturbed")
        longest = time.monotonic() - started
        for moment, count in KILLS.items():
            soak.kill_at("moments", moment, count)
            print(f"killed at {moment}", flush=True)
        soak.finish("moments")
        soak.check("moments")
        killed, ended = 0, 0
        while killed < options.kills:
            if soak.kill_at_random(f"random{ended}", dice, longest):
                killed += 1
                steps = saves.saved_steps(soak.folder / f"random{ended}")
                print(f"killed at random, {killed} of {options.kills}; saved: {steps}", flush=True)
            else:
                soak.check(f"random{ended}")
                ended += 1
        for _ in range(2):  # the second time, nothing is left to do
            soak.finish(f"random{ended}")
            soak.check(f"random{ended}")
    print(f"{killed + len(KILLS)} kills in {time.monotonic() - started:.0f} seconds, and the same "
          "as without")


if __name__ == "__main__":
    main()
