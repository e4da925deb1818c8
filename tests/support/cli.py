"""Runs a command inside the test's process: importing TensorFlow anew takes seconds."""

import pathlib
import runpy
import sys
from unittest import mock

from absl import app

from draw_tf import commands

ROOT = pathlib.Path(__file__).resolve().parents[2]
app.define_help_flags()  # once per process: they stay when a command's flags go


def _run(run, name, arguments):
    """Calls `run` with `arguments` as the command line; returns the command's exit status."""
    try:
        with (mock.patch.object(sys, "argv", [name, *map(str, arguments)]),
              mock.patch.object(commands, "keep_freed_memory")):  # of this process, for good
            run()
    except SystemExit as end:
        return end.code or 0
    return 0


def run_script(name, *arguments):
    """Runs a script of the top level, such as "train.py"; returns its exit status."""
    return _run(lambda: runpy.run_path(str(ROOT / name), run_name="__main__"), name, arguments)


def run_module(name, *arguments):
    """Runs what `python -m name` does; returns its exit status."""
    imported = {known: sys.modules.pop(known) for known in (name, f"{name}.__main__")
                if known in sys.modules}  # runpy warns of what is there already
    try:
        return _run(lambda: runpy.run_module(name, run_name="__main__", alter_sys=False), name,
                    arguments)
    finally:
        sys.modules.update(imported)
