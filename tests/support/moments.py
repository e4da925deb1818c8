"""Moments of a training at which it waits, to be killed."""

import fnmatch
import os
import pathlib
import signal
from unittest import mock

import tensorflow as tf

from draw_tf.checkpoints import saves
from draw_tf.training.log import Log

# moments when the whole content of a file lies beside it, by the file's name
RENAMED = {"config": "config.json", "metrics": "metrics.jsonl", "gif": "strokes-*.gif",
           "newest gif": "strokes.gif", "note": "checkpoint", "events": "events.out.tfevents.*"}
# and those during and between saves and lines of the log
MOMENTS = (*RENAMED, "parts", "data", "index", "prune", "log")


class Moment:
    """What is called when a moment comes.

    Args:
      name: one of MOMENTS.
      count: how often it comes before the process waits.
      marker: path of a file that is then made.
    """

    def __init__(self, name, count, marker):
        self.name, self.left, self.marker = name, count, pathlib.Path(marker)

    def __call__(self, name, *, leave=lambda: None):
        """Waits for ever if it is time, after a call of `leave`."""
        self.left -= name == self.name
        if name == self.name and not self.left:
            leave()
            self.marker.touch()
            while True:
                signal.pause()


def patch(moment):
    """Makes what writes files call `moment`, until the process ends."""
    replace, write, prune, log = os.replace, tf.train.Checkpoint.write, saves._prune, Log.write

    def replace_whole(source, target):
        for name, pattern in RENAMED.items():
            if fnmatch.fnmatch(os.path.basename(target), pattern):
                moment(name)
        replace(source, target)

    def write_checkpoint(self, path):
        parts = pathlib.Path(f"{path}_temp")

        def leave_parts():
            parts.mkdir()
            (parts / "part-00000-of-00001.data-00000-of-00001.tempstate12").write_bytes(b"some")

        moment("parts", leave=leave_parts)
        write(self, path)
        index = f"{path}.index"
        # TensorFlow moves the data to their place, and then writes the index there
        moment("data", leave=lambda: os.unlink(index))
        moment("index", leave=lambda: os.truncate(index, os.path.getsize(index) // 2))

    def prune_others(workdir, step):
        moment("prune")
        prune(workdir, step)

    def write_log(*arguments):
        log(*arguments)
        moment("log")

    mock.patch.object(os, "replace", replace_whole).start()
    mock.patch.object(tf.train.Checkpoint, "write", write_checkpoint).start()
    mock.patch.object(saves, "_prune", prune_others).start()
    mock.patch.object(Log, "write", write_log).start()
