"""From a command line to flags: flagfiles, --help, and what is said of a flag that is wrong."""

import os
import re
import sys
from collections.abc import Iterable, Iterator

from absl import flags

from draw_tf.errors import ConfigError, why
from draw_tf.files import local_path

FLAGS = flags.FLAGS
HELP = ("help", "helpshort", "helpfull", "h", "?")
# What other programs call our flags; of several, the first that the command has is suggested.
_ELSEWHERE = {
    **dict.fromkeys(("epochs", "epoch", "num_epochs", "max_epochs", "steps", "num_steps",
                     "max_steps", "iterations", "num_iterations", "iters"), ("train_steps",)),
    **dict.fromkeys(("lr", "rate", "step_size"), ("learning_rate",)),
    **dict.fromkeys(("batch", "bs", "batchsize", "train_batch_size"), ("batch_size",)),
    **dict.fromkeys(("output", "o", "output_file", "out_file", "save", "gif", "filename"),
                    ("out", "saved_model", "json", "workdir")),
    **dict.fromkeys(("output_dir", "out_dir", "outdir", "logdir", "model_dir", "save_dir",
                     "train_dir", "run_dir", "checkpoint_dir", "ckpt_dir", "dir"), ("workdir",)),
    **dict.fromkeys(("checkpoint", "ckpt", "weights", "model", "load", "restore", "resume",
                     "pretrained"), ("start", "workdir")),
    **dict.fromkeys(("data", "dataset_name", "task"), ("dataset",)),
    **dict.fromkeys(("data_path", "datadir", "dataroot", "data_root"), ("data_dir",)),
    **dict.fromkeys(("n_hidden", "hidden", "hidden_dim", "enc_size", "dec_size", "num_units"),
                    ("hidden_size",)),
    **dict.fromkeys(("n_z", "z_size", "z_dim", "latent", "latent_dim"), ("latent_size",)),
    **dict.fromkeys(("T", "timesteps", "n_steps", "seq_len", "sequence_length"), ("glimpses",)),
    **dict.fromkeys(("attention", "attn", "read_attn"), ("read_attention",)),
    **dict.fromkeys(("attention_n", "read_n"), ("read_size",)), "write_n": ("write_size",),
    **dict.fromkeys(("n", "count", "samples", "num_samples", "n_samples", "num_images"), ("num",)),
    **dict.fromkeys(("clip", "grad_clip", "clip_grad", "max_grad_norm"), ("clip_norm",)),
    **dict.fromkeys(("beta1", "beta_1"), ("adam_beta1",)), "random_seed": ("seed",),
    **dict.fromkeys(("xla", "jit", "compile"), ("jit_compile",)),
    **dict.fromkeys(("k", "iwae", "iwae_samples"), ("importance_samples",)),
    **dict.fromkeys(("config", "cfg", "flags"), ("flagfile",)),
}
_DEVICES = ("gpu", "gpus", "gpu_id", "device", "devices", "cuda", "cpu", "use_gpu")
_VALUES = {"checkpoint": "PATH", "name": "NAME"}  # what is asked for where a flag is missing


def parse(argv: list[str], about: str) -> list[str]:
    """Sets the flags from a command line; returns what of it is not a flag.

    Where help is asked for, prints `about` and the flags, and exits with status 0. Raises
    ConfigError where a flag is wrong, or a flagfile cannot be read.
    """
    argv = [argv[0], *_expanded(argv[1:])]
    asked = {argument.lstrip("-") for argument in argv if argument.startswith("-")}
    if asked.intersection(HELP):
        print(about.strip(), FLAGS.get_help() if "helpfull" in asked else FLAGS.main_module_help(),
              "--flagfile=FILE reads flags from a file.", sep="\n\n")
        sys.exit(0)
    try:
        return FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        raise ConfigError(_unknown(error)) from error
    except (flags.Error, ValueError) as error:  # a ValueError where --noFLAG is given a value
        raise ConfigError(_wrong(error)) from error
    except RecursionError as error:  # absl looks for the names that are most like an unknown one
        raise ConfigError("a flag is unknown, and its name has thousands of letters") from error


def _unknown(error):
    name = error.flagname.replace("-", "_")
    if name.lower() in _DEVICES:
        return (f"there is no flag --{error.flagname}: the environment variable "
                "CUDA_VISIBLE_DEVICES chooses the GPU, and where it is empty, the CPU is used")
    candidates = (name, *_ELSEWHERE.get(name, ()), *_ELSEWHERE.get(name.lower(), ()))
    known = next((ours for ours in candidates if ours in FLAGS), None)
    if known is None:
        return str(error)
    return f"Unknown command line flag '{error.flagname}'. Did you mean: {known} ?"


def _wrong(error):
    missing = re.findall(r"^flag --(\w+)=None: Flag --\1 must have a value other than None\.$",
                         str(error), re.MULTILINE)
    if missing:
        return "; ".join(f"give --{name}={_VALUES.get(name, 'DIR')}: {FLAGS[name].help}"
                         for name in missing)
    return re.sub(r"invalid literal for int\(\) with base 10: .*", "it is not a whole number",
                  str(error))


def _expanded(arguments: Iterable[str], inside: tuple[str, ...] = ()) -> Iterator[str]:
    """Command line arguments with the flags of each --flagfile in its place."""
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
        yield from _expanded(_lines(file, path), (*inside, file))


def _lines(file, name):
    """The flags in a flagfile, one a line, without its comments."""
    try:
        with open(file, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise ConfigError(f"flagfile {name} cannot be read: {why(error)}") from error
    try:
        text = content.decode("utf-8-sig")  # programs of Windows put a mark at the beginning
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ConfigError(f"flagfile {name} is not UTF-8 text, but perhaps UTF-16, as some "
                          "programs of Windows write it: save it as UTF-8")
    lines = map(str.strip, re.split(r"\r\n|\r|\n", text))
    return [line for line in lines if line and not line.startswith(("#", "//"))]
