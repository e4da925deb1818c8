"""What the commands share: a quiet start, flags from settings, and one sentence on failure.

Import this before anything that imports TensorFlow.
"""

import contextlib
import dataclasses
import os
import sys
import tempfile
from logging import getLogger

from absl import app, flags, logging

from draw_tf.config import current_value
from draw_tf.errors import DRAWError

# TensorFlow reads it once, when it makes its CPU device
_POOL = "TF_CPU_ALLOCATOR_USE_BFC"


@contextlib.contextmanager
def _quiet():
    """Holds back what is written to standard error; shows it if the block fails."""
    try:
        stderr = os.dup(2)
    except OSError:  # closed
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _quiet():  # on a machine without a GPU, TensorFlow reports at length that there is none
    import tensorflow  # noqa: F401


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

    A flag has its field's default, help text and bounds, and takes the values of older flagfiles.
    """
    for field in dataclasses.fields(config_class):
        if field.name == "image_shape":
            continue
        name, default, meta = field.name, field.default, field.metadata
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
        flag = flags.FLAGS[name]
        # not the parser's: flags of a kind share their parser
        flag.parse = lambda text, flag=flag, parse=flag.parse: parse(
            current_value(flag.name, text))


def config_from_flags(config_class, **fixed):
    """A settings object from its flags on the command line, its defaults, and the fields given.

    Classes may share flags and differ in their defaults.
    """
    values = {field.name: flags.FLAGS[field.name].value
              for field in dataclasses.fields(config_class)
              if field.name in flags.FLAGS and flags.FLAGS[field.name].present}
    return config_class(**{**values, **fixed})


def _report(error):
    program = os.path.basename(sys.argv[0].removesuffix("/__main__.py"))
    # one line, whatever characters a name or a file has
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(error))
    print(f"{program}: {text}", file=sys.stderr)


def _parse(argv):
    try:
        return flags.FLAGS(argv)
    except (flags.Error, ValueError) as error:  # a ValueError where --noFLAG is given a value
        _report(error)
        sys.exit(1)
    except RecursionError:  # absl looks for the names that are most like an unknown one
        _report("a flag is unknown, and thousands of letters long")
        sys.exit(1)


def start(define, main) -> None:
    """Runs a command whose flags are defined now, by `define()`; see `run`."""
    known = set(flags.FLAGS)
    define()
    for name in set(flags.FLAGS) - known:  # so that --help lists them, whichever file has `main`
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    run(main)


def run(main) -> None:
    """Runs a command's `main` under absl; errors meant for the user come without a traceback."""

    def guarded(argv):
        logging.set_verbosity(logging.WARNING)  # TensorFlow reports its routine through absl
        keep_freed_memory()
        try:
            if len(argv) > 1:
                raise DRAWError(f"unexpected argument {argv[1]!r}: every setting is a --flag=value")
            return main(argv)
        except DRAWError as error:
            # nothing may follow the sentence, such as what a checkpoint held that was not read
            getLogger("tensorflow").setLevel("CRITICAL")
            _report(error)
            return 1
        except KeyboardInterrupt:  # before or after training, which saves and ends by itself
            return 130

    app.run(guarded, flags_parser=_parse)
