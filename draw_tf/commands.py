"""What the commands share: flags from settings, and one sentence on failure."""

import dataclasses
import os
import sys
from logging import getLogger

from absl import app, flags, logging

from draw_tf.errors import DRAWError

FLAGS = flags.FLAGS
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


def config_from_flags(config_class, **fixed):
    """A settings object from its flags on the command line, its defaults, and the fields given.

    Classes may share flags and differ in their defaults.
    """
    given = {field.name: FLAGS[field.name].value for field in dataclasses.fields(config_class)
             if field.name in FLAGS and FLAGS[field.name].present}
    return config_class(**{**given, **fixed})


def _report(error):
    program = os.path.basename(sys.argv[0].removesuffix("/__main__.py"))
    # one line, whatever characters a name or a file has
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(error))
    print(f"{program}: {text}", file=sys.stderr)


def _parse(argv):
    try:
        return FLAGS(argv)
    except (flags.Error, ValueError) as error:  # a ValueError where --noFLAG is given a value
        _report(error)
    except RecursionError:  # absl looks for the names that are most like an unknown one
        _report("a flag is unknown, and thousands of letters long")
    sys.exit(1)


def start(define, main) -> None:
    """Runs a command's `main` under absl, with the flags that `define()` defines now.

    Errors that are meant for the user are one sentence, without a traceback.
    """
    known = set(FLAGS)
    define()
    for name in set(FLAGS) - known:  # so that --help lists them, whichever file has `main`
        FLAGS.register_key_flag_for_module(sys.argv[0], FLAGS[name])

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
