"""train.py in processes of their own, which begin with TensorFlow imported: that takes longest.

Where Python cannot fork a process that has imported it, each one imports it anew.
"""

import atexit
import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import threading

from tqdm import tqdm

from draw_tf import models
from tests.support import moments
from tests.support.cli import ROOT

_processes = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
_processes.set_forkserver_preload(["draw_tf.train"])


def _train(arguments, stdout, stderr, environment, dtype, moment):
    """Runs in the new process, as a shell in the foreground would start it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test runner may ignore
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for name, target, buffering in (("stdout", stdout, -1), ("stderr", stderr, 1)):
        is_path, number = isinstance(target, str), getattr(sys, name).fileno()
        with open(target if is_path else target.fileno(), "wb", closefd=is_path) as file:
            os.dup2(file.fileno(), number)
        # a new stream, for the old one takes a pipe for the file that was there before
        stream = open(number, "w", buffering, closefd=False)  # noqa: SIM115, it stays open
        setattr(sys, name, stream)
    os.environ.update(environment)
    models.DTYPE = dtype
    tqdm.set_lock(threading.RLock())  # not a semaphore, which a kill would leave in the system
    if moment:
        moments.patch(moments.Moment(*moment))
    sys.argv = ["train.py", *arguments]
    try:
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out


@contextlib.contextmanager
def training(*arguments, stderr, stdout=os.devnull, environment=(), dtype="float32", moment=None):
    """A process of train.py, which is killed at the end of the block.

    Args:
      *arguments: its command line.
      stderr: path of a file that it writes.
      stdout: the same, or the writing end of a `multiprocessing.Pipe`, which is closed here.
      environment: variables for it.
      dtype: of the model.
      moment: name, count and marker of a `moments.Moment` for it to wait at.
    """
    process = _processes.Process(target=_train, args=(
        arguments, stdout, str(stderr), dict(environment), dtype, moment))
    process.start()
    if not isinstance(stdout, str):
        stdout.close()  # so that a reader sees the end when the process ends
    try:
        yield process
    finally:
        process.kill()
        process.join()
