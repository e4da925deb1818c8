"""Runs a command inside the test's process: importing TensorFlow anew takes seconds."""

import importlib.util
import pathlib
import sys
from unittest import mock

from absl import flags

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run_script(name, *arguments):
    """Runs a script of the top level, such as "train.py"; returns its exit status."""
    from draw_tf import commands
    known = set(flags.FLAGS)
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py"), ROOT / name)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        with mock.patch.object(sys, "argv", [name, *map(str, arguments)]):
            commands.run(module.main)
    except SystemExit as end:
        return end.code or 0
    finally:  # the next script may define flags of the same names
        for flag in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, flag)
    return 0
