"""What the commands share: flags from settings, and one sentence on failure."""

import dataclasses
import functools
import os
import sys
import traceback
from logging import getLogger
from typing import Any

import tensorflow as tf
from absl import app, flags, logging
from absl.testing import flagsaver

from draw_tf import devices
from draw_tf.errors import DRAWError, why
from draw_tf.parsing import parse

FLAGS = flags.FLAGS
TRACEBACK = "DRAW_TF_TRACEBACK"  # the environment variable that shows where an error comes from
_POOL = "TF_CPU_ALLOCATOR_USE_BFC"  # TensorFlow reads it once, when it makes its CPU device


def keep_freed_memory() -> bool:
    """Makes TensorFlow keep the memory that it frees, for the next call to use.

    XLA frees its buffers after every call. Without this they go back to the system, which clears
    them again for the next call: up to a third of the time of training. TensorFlow's own pool
    gives no memory back until the process ends, and takes up to a thirtieth more.

    Call it before TensorFlow's first operation. Nothing happens where the user has set
    TF_CPU_ALLOCATOR_USE_BFC, a MALLOC_ variable or GLIBC_TUNABLES, or preloads an allocator.

    Returns:
      Whether it was done.
    """
    choices = (_POOL, "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    if any(name.startswith(choices) and value for name, value in os.environ.items()):
        return False
    os.environ[_POOL] = "true"
    return True


def define_flags(config_class) -> None:
    """Defines a flag for each field of a settings class, except what the data decides.

    A flag has its field's default, help text and bounds.
    """
    for field in dataclasses.fields(config_class):
        if field.name == "image_shape":
            continue
        name, meta = field.name, field.metadata
        default: Any = field.default
        if meta["choices"]:
            flags.DEFINE_enum(name, default, meta["choices"], meta["help"])
        elif isinstance(default, bool):
            flags.DEFINE_bool(name, default, meta["help"])
        elif isinstance(default, int):
            flags.DEFINE_integer(name, default, meta["help"], meta["at_least"],
                                 meta["below"] and meta["below"] - 1)
        elif isinstance(default, float):
            flags.DEFINE_float(name, default, meta["help"], meta["at_least"])
        else:
            flags.DEFINE_string(name, default, meta["help"])


def config_from_flags(config_class, **fixed):
    """A settings object from its flags on the command line, its defaults, and the fields given.

    Classes may share flags and differ in their defaults.
    """
    given = {field.name: FLAGS[field.name].value for field in dataclasses.fields(config_class)
             if field.name in FLAGS and FLAGS[field.name].present}
    return config_class(**{**given, **fixed})


def _sentence(error):
    """What is said of an error: of one that was not foreseen too."""
    if isinstance(error, DRAWError):
        return str(error)
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        return f"there is too little memory, or room on the disk ({why(error)})"
    if isinstance(error, OSError):
        reason, name = why(error), error.filename
        return reason if name is None or str(name) in reason else f"{name}: {reason}"
    if isinstance(error, tf.errors.OpError):
        return f"TensorFlow cannot go on ({why(error)})"
    return (f"this is a fault of the program ({type(error).__name__}: {why(error)}): please report "
            f"it, with what is printed where the environment has {TRACEBACK}=1")


def _report(error):
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    # nothing may follow the sentence, such as what a checkpoint held that was not read
    getLogger("tensorflow").setLevel("CRITICAL")
    program = os.path.basename(sys.argv[0].removesuffix("/__main__.py"))
    # one line, whatever characters a name or a file has
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1]
                   for letter in _sentence(error))
    print(f"{program}: {text}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads it, or its disk is full: Python would try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def say_device() -> None:
    """Prints what TensorFlow computes on, and why not on an NVIDIA card that this machine has."""
    print(f"Computing on {devices.in_words()}.")
    unused = devices.unused_card()
    if unused:
        print(unused)
    sys.stdout.flush()


def _run(main, says_device, argv):
    logging.set_verbosity(logging.WARNING)  # TensorFlow reports its routine through absl
    getLogger("tensorflow").setLevel("WARNING")
    keep_freed_memory()
    try:
        if len(argv) > 1:
            raise DRAWError(f"unexpected argument {argv[1]!r}: every setting is a --flag=value")
        if says_device:
            say_device()
        status = main(argv)
        sys.stdout.flush()
        return status
    except Exception as error:
        return _report(error)
    except KeyboardInterrupt:  # before or after training, which saves and ends by itself
        return 130


def start(define, main, says_device: bool = True) -> None:
    """Runs a command's `main` under absl, with the flags that `define()` defines now.

    Every error is one sentence; DRAW_TF_TRACEBACK=1 in the environment adds its traceback. First
    `says_device` prints what TensorFlow computes on. The flags end with the command, so that
    another can follow in the same process.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, to the end
        elif hasattr(stream, "reconfigure"):  # what a terminal cannot show ends no run
            stream.reconfigure(errors="backslashreplace")
    app.define_help_flags()
    before = flagsaver.save_flag_values()
    define()
    ours = set(FLAGS) - set(before)
    for name in ours:  # so that --help lists them, whichever file has `main`
        FLAGS.register_key_flag_for_module(sys.argv[0], FLAGS[name])

    def parser(argv):
        try:
            return parse(argv, main.__globals__["__doc__"] or "")
        except Exception as error:
            sys.exit(_report(error))

    try:
        app.run(functools.partial(_run, main, says_device), flags_parser=parser)
    finally:
        # packages that were imported on the way have flags too, and need them again
        now = {name: flag for name, flag in flagsaver.save_flag_values().items()
               if name not in ours}
        flagsaver.restore_flag_values({**now, **before})
