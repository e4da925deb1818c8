"""What the commands share: flags, what is said of a wrong one, and one sentence on failure."""

import dataclasses
import os
import re
import sys
import traceback
from collections.abc import Callable
from logging import getLogger
from typing import Any

import tensorflow as tf
from absl import app, flags, logging
from absl.testing import flagsaver

from draw_tf import devices
from draw_tf.errors import ConfigError, DRAWError, why
from draw_tf.files import local_path

FLAGS = flags.FLAGS
TRACEBACK = "DRAW_TF_TRACEBACK"  # the environment variable that shows where an error comes from
_POOL = "TF_CPU_ALLOCATOR_USE_BFC"  # TensorFlow reads it once, when it makes its CPU device
_HELP = {"help", "helpshort", "helpfull", "h", "?"}
_VALUES = {"checkpoint": "PATH", "name": "NAME"}  # what is asked for where a flag is missing
_DEVICES = {"gpu", "gpus", "gpu_id", "device", "devices", "cuda", "cpu", "use_gpu"}
# What other programs call our flags; of several of ours, the first that the command has is meant.
_THEIRS = {
    "train_steps": "epochs epoch num_epochs max_epochs steps num_steps max_steps iterations "
                   "num_iterations iters",
    "batch_size": "batch bs batchsize train_batch_size", "learning_rate": "lr rate step_size",
    "out saved_model json workdir": "output o output_file out_file save gif filename",
    "workdir": "output_dir out_dir outdir logdir model_dir save_dir train_dir run_dir "
               "checkpoint_dir ckpt_dir dir",
    "start workdir": "checkpoint ckpt weights model load restore resume pretrained",
    "dataset": "data dataset_name task", "data_dir": "data_path datadir dataroot data_root",
    "hidden_size": "n_hidden hidden hidden_dim enc_size dec_size num_units",
    "latent_size": "n_z z_size z_dim latent latent_dim", "adam_beta1": "beta1 beta_1",
    "glimpses": "T timesteps n_steps seq_len sequence_length", "jit_compile": "xla jit compile",
    "read_attention": "attention attn read_attn", "importance_samples": "k iwae iwae_samples",
    "read_size": "attention_n read_n", "write_size": "write_n", "seed": "random_seed",
    "num": "n count samples num_samples n_samples num_images", "flagfile": "config cfg flags",
    "clip_norm": "clip grad_clip clip_grad max_grad_norm"}
_ELSEWHERE = {name: ours.split() for ours, names in _THEIRS.items() for name in names.split()}


def keep_freed_memory() -> bool:
    """Makes TensorFlow keep the memory that it frees; call it before TensorFlow's first operation.

    Otherwise XLA's buffers go back to the system after every call, which clears them again: up to a
    third of the time of training. TensorFlow's own pool gives nothing back until the process ends,
    and takes up to a thirtieth more. Returns False, and does nothing, where the user has set
    TF_CPU_ALLOCATOR_USE_BFC, a MALLOC_ variable or GLIBC_TUNABLES, or preloads an allocator.
    """
    choices = (_POOL, "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    if any(name.startswith(choices) and value for name, value in os.environ.items()):
        return False
    os.environ[_POOL] = "true"
    return True


def define_flags(config_class: type) -> None:
    """Defines a flag for each field of a settings class, except what the data decides."""
    for field in dataclasses.fields(config_class):
        default: Any = field.default
        name, meta, about = field.name, field.metadata, field.metadata["help"]
        if meta["choices"]:
            flags.DEFINE_enum(name, default, meta["choices"], about)
        elif isinstance(default, bool):
            flags.DEFINE_bool(name, default, about)
        elif isinstance(default, int):
            at_most = meta["below"] and meta["below"] - 1
            flags.DEFINE_integer(name, default, about, meta["at_least"], at_most)
        elif isinstance(default, float):
            flags.DEFINE_float(name, default, about, meta["at_least"])
        elif isinstance(default, str):  # the image's shape is none
            flags.DEFINE_string(name, default, about)


def given_fields(config_class: type) -> dict:
    """The fields of a settings class that the command line sets, with their values.

    The others have the class's defaults, in which classes that share a flag may differ.
    """
    return {field.name: FLAGS[field.name].value for field in dataclasses.fields(config_class)
            if field.name in FLAGS and FLAGS[field.name].present}


def parse(argv: list[str], about: str) -> list[str]:
    """Sets the flags from a command line; returns what of it is not a flag.

    Where help is asked for, prints `about` and the flags, and exits. Raises ConfigError where a
    flag is wrong, or a flagfile cannot be read.
    """
    argv = [argv[0], *_expanded(argv[1:])]
    asked = _HELP & {argument.lstrip("-") for argument in argv if argument.startswith("-")}
    if asked:
        print(about.strip(), FLAGS.get_help() if "helpfull" in asked else FLAGS.main_module_help(),
              "--flagfile=FILE reads flags from a file.", sep="\n\n")
        sys.exit(0)
    try:
        return FLAGS(argv)
    except (flags.Error, ValueError) as error:  # a ValueError where --noFLAG is given a value
        raise ConfigError(_wrong(error)) from error
    except RecursionError as error:  # absl looks for the names that are most like an unknown one
        raise ConfigError("a flag is unknown, and its name has thousands of letters") from error


def _expanded(arguments, inside=()):
    """Command line arguments with the flags of each --flagfile, one a line there, in its place."""
    rest = iter(arguments)
    for argument in rest:
        name, equals, path = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            yield argument
            continue
        path = path if equals else next(rest, "")
        if not path:
            raise ConfigError("give --flagfile=FILE, a file of flags")
        file = os.path.realpath(local_path(path, "flagfile"))
        if file in inside:
            raise ConfigError(f"flagfile {path} is read from within itself")
        try:
            with open(file, encoding="utf-8-sig") as stream:  # programs of Windows put a mark first
                text = stream.read()
        except OSError as error:
            raise ConfigError(f"flagfile {path} cannot be read: {why(error)}") from error
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            raise ConfigError(f"flagfile {path} is not UTF-8 text, but perhaps UTF-16, as some "
                              "programs of Windows write it: save it as UTF-8")
        lines = [line.strip() for line in text.split("\n")]
        yield from _expanded([line for line in lines if line and not line.startswith(("#", "//"))],
                             (*inside, file))


def _wrong(error):
    """What is said of a flag that is unknown, or missing, or has a value that it cannot have."""
    if isinstance(error, flags.UnrecognizedFlagError):
        name = error.flagname.replace("-", "_")
        if name.lower() in _DEVICES:
            return (f"there is no flag --{error.flagname}: the environment variable "
                    "CUDA_VISIBLE_DEVICES chooses the GPU, and where it is empty, the CPU is used")
        for ours in (name, *_ELSEWHERE.get(name, ()), *_ELSEWHERE.get(name.lower(), ())):
            if ours in FLAGS:
                return f"Unknown command line flag '{error.flagname}'. Did you mean: {ours} ?"
    missing = re.findall(r"^flag --(\w+)=None: Flag --\1 must have a value other than None\.$",
                         str(error), re.MULTILINE)
    if missing:
        return "; ".join(f"give --{name}={_VALUES.get(name, 'DIR')}: {FLAGS[name].help}"
                         for name in missing)
    return re.sub(r"invalid literal for int\(\) with base 10: .*", "it is not a whole number",
                  str(error))


def _report(error):
    """Prints one sentence about an error, also about one that was not foreseen."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    reason, name = why(error), getattr(error, "filename", None)
    if isinstance(error, DRAWError):
        text = str(error)
    elif isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        text = f"there is too little memory, or room on the disk ({reason})"
    elif isinstance(error, OSError):
        text = reason if name is None or str(name) in reason else f"{name}: {reason}"
    elif isinstance(error, tf.errors.OpError):
        text = f"TensorFlow cannot go on ({reason})"
    else:
        text = (f"this is a fault of the program ({type(error).__name__}: {reason}): please report "
                f"it, with what is printed where the environment has {TRACEBACK}=1")
    # nothing may follow the sentence, such as what a checkpoint held that was not read
    getLogger("tensorflow").setLevel("CRITICAL")
    program = os.path.basename(sys.argv[0].removesuffix("/__main__.py"))
    # one line, whatever characters a name or a file has
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    print(f"{program}: {text}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads it, or its disk is full: Python would try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_device() -> None:
    """Prints what TensorFlow computes on, and why not on an NVIDIA card that this machine has."""
    said = (f"Computing on {devices.in_words()}.", devices.unused_card())
    print(*filter(None, said), sep="\n", flush=True)


def start(define: Callable[[], None], main: Callable[[flags.FlagValues], None],
          says_device: bool = False) -> None:
    """Runs `main`, which is given the values of the flags that `define()` defines.

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

    def run(argv):
        logging.set_verbosity(logging.WARNING)  # TensorFlow reports its routine through absl
        getLogger("tensorflow").setLevel("WARNING")
        keep_freed_memory()
        if len(argv) > 1:
            raise DRAWError(f"unexpected argument {argv[1]!r}: every setting is a --flag=value")
        if says_device:
            say_device()
        main(FLAGS)
        sys.stdout.flush()

    try:
        app.run(run, flags_parser=lambda argv: parse(argv, main.__globals__["__doc__"] or ""))
    except KeyboardInterrupt:  # before or after training, which saves and ends by itself
        sys.exit(130)
    except Exception as error:
        _report(error)
        sys.exit(1)
    finally:
        # packages that were imported on the way have flags too, and need them again
        now = {name: flag for name, flag in flagsaver.save_flag_values().items()
               if name not in ours}
        flagsaver.restore_flag_values({**now, **before})


def command(define: Callable[[], None], says_device: bool = False) -> Callable:
    """Makes a command of the function below it, as `start` runs it.

    `define` defines its flags: at import they could clash with those of another command.
    """
    def decorate(main):
        def run():
            start(define, main, says_device)
        return run

    return decorate
