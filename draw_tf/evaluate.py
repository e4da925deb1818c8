"""The bound of a trained model over a whole split: python -m draw_tf.evaluate --workdir=DIR

Prints a table, and last one line of JSON with the same numbers, in nats an image.
"""

import json
import os
import pathlib
import sys

from absl import flags

from draw_tf import checkpoint
from draw_tf import commands
from draw_tf import plots
from draw_tf.config import BINARIZE, DATASETS, write_json
from draw_tf.errors import ConfigError
from draw_tf.evaluation import evaluate_run
from draw_tf.trainer import use_xla

FLAGS = flags.FLAGS


def define_flags():
    """The command's flags; not at import, where they would be in another command's way."""
    flags.DEFINE_string("workdir", None, "folder of a run, or the name of weights that ship with "
                        "the package", required=True)
    flags.DEFINE_string("split", "test", "train, validation or test")
    flags.DEFINE_string("dataset", None, f"{', '.join(DATASETS)}; the run's where not given")
    flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets "
                        "(~/tensorflow_datasets)")
    flags.DEFINE_string("binarize", None, f"{', '.join(BINARIZE)}; the run's where not given; "
                        "static and dynamic mean the same fixed draw here")
    flags.DEFINE_integer("batch_size", 100, "images at once; it changes speed and memory only")
    flags.DEFINE_integer("noise_samples", 1, "draws of the noise that the bound is averaged over; "
                         "more than one give a standard error")
    flags.DEFINE_integer("importance_samples", None, "K: also the importance-weighted bound of so "
                         "many samples an image, nearer to the likelihood; takes K times as long")
    flags.DEFINE_enum("jit_compile", "auto", ("auto", "true", "false"),
                      "compile with XLA; auto does")
    flags.DEFINE_string("kl_plot", None, "a .png to draw the KL of every step to")
    flags.DEFINE_string("json", None, "a file to write the JSON to as well")


def check_output(name, path, ending=""):
    """Raises ConfigError where a file can not be written: now, not after the work."""
    path = pathlib.Path(path)
    if not path.name.lower().endswith(ending):
        raise ConfigError(f"{name} must end in {ending}, got {str(path)!r}")
    if path.is_dir():
        raise ConfigError(f"{name} must be a file, and {path} is a folder")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise ConfigError(f"{name} can not be written: {path.parent} is no folder to write to")


def watch(dataset):
    """Yields what `dataset` does, and where it comes to, on a terminal."""
    terminal = sys.stderr.isatty()
    for number, batch in enumerate(dataset, start=1):
        yield batch
        if terminal:
            print(f"\r\x1b[Kbatch {number}/{len(dataset)}", end="", file=sys.stderr, flush=True)
    if terminal:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def table(report):
    """What `evaluate_run` found, for people."""
    step = "" if report["step"] is None else f", step {report['step']}"
    draws = ("" if report["bound_se"] is None else
             f"  (+- {report['bound_se']:.3f}, {report['noise_samples']} draws of the noise)")
    rows = [("reconstruction", report["recon_nats"], ""), ("KL", report["kl_nats"], ""),
            ("bound", report["bound_nats"], draws)]
    if report["iwae_nats"] is not None:
        rows.append(("importance-weighted", report["iwae_nats"],
                     f"  ({report['importance_samples']} samples an image)"))
    lines = [f"{report['dataset']}/{report['split']}, {report['examples']} images, "
             f"binarize={report['binarize']}{step}; nats an image:"]
    lines += [f"  {name:<20}{nats:10.3f}{note}" for name, nats, note in rows]
    lines.append("  KL a step: " + " ".join(f"{nats:.2f}" for nats in report["kl_step_nats"]))
    if report["grey"]:
        lines.append("These images are grey, so the bound is on no likelihood: it can be compared "
                     "between models on the same images only.")
    if report["shared_noise"]:
        lines.append("The model shares one noise between its steps, so the bound is none.")
    return "\n".join(lines)


def main(_):
    if FLAGS.kl_plot:
        check_output("kl_plot", FLAGS.kl_plot, ".png")
        plots.pyplot()  # told now if it is missing
    if FLAGS.json:
        check_output("json", FLAGS.json)
    report = evaluate_run(
        FLAGS.workdir, FLAGS.split, FLAGS.dataset, FLAGS.binarize, FLAGS.data_dir,
        batch_size=FLAGS.batch_size, noise_samples=FLAGS.noise_samples,
        importance_samples=FLAGS.importance_samples, jit_compile=use_xla(FLAGS.jit_compile),
        watch=watch)
    print(table(report))
    _, trained = checkpoint.read_config(checkpoint.resolve(FLAGS.workdir))
    if report["dataset"] == "digits" and trained.dataset in ("mnist", "binarized_mnist"):
        print("Most of the digits are among MNIST's training images, so this model has seen them: "
              "the bound says nothing of new images.")
    if FLAGS.kl_plot:
        plots.kl_curve(FLAGS.kl_plot, report["kl_step_nats"])
    if FLAGS.json:
        write_json(FLAGS.json, report)
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    define_flags()
    commands.run(main)
