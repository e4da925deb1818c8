"""Puts a run's weights among those that ship: python -m draw_tf.ship --workdir=DIR --name=NAME

They are evaluated as they will be loaded, after any rounding, before anything is written.
"""

import pathlib
import re
import tempfile

import numpy as np
from absl import flags

from draw_tf import checkpoints, commands
from draw_tf.checkpoints.workdir import CONFIG, PRETRAINED, WEIGHTS
from draw_tf.config import config_to_dict
from draw_tf.errors import ConfigError, written
from draw_tf.evaluation import evaluate_run
from draw_tf.files import write_json

FLAGS = flags.FLAGS
EVALUATION, NOTE = "evaluation.json", "RUN.md"


def define_flags() -> None:
    """Defines the flags; at import they could clash with those of another command."""
    flags.DEFINE_string("workdir", None, "folder of the run", required=True)
    flags.DEFINE_string("name", None, "what the weights will be called", required=True)
    flags.DEFINE_bool("half", False, "half the size: 16 bits a weight")
    flags.DEFINE_string("note", "", "how they were trained: the command, the hardware")
    flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")
    flags.DEFINE_integer("noise_samples", 1, "draws of the noise that the bound is averaged over",
                         lower_bound=1)
    flags.DEFINE_integer("importance_samples", None, "K of the importance-weighted bound",
                         lower_bound=1)


def ship(workdir, name: str, half: bool = False, note: str = "", folder=PRETRAINED,
         **options) -> dict:
    """Writes a run's settings, weights, test bound and origin to `folder`/`name`.

    `half` rounds the weights to float16, and `note` says how they were trained. Options, result and
    errors are those of `training.evaluate_run`, which is given the weights as written. Also raises
    ConfigError where the name has characters other than a-z, 0-9, - and _, and WorkdirError where
    the folder cannot be written.
    """
    if not re.fullmatch("[a-z0-9_-]+", name):
        raise ConfigError(f"name must be of lower-case letters, digits, - and _, got {name!r}")
    workdir = checkpoints.resolve(workdir)
    model, step = checkpoints.load_with_step(workdir)
    folder = pathlib.Path(folder)
    with written(str(folder / name)):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ship-", dir=folder) as partial:
            new = pathlib.Path(partial)
            write_json(new / CONFIG, config_to_dict(*checkpoints.read_config(workdir)))
            checkpoints.save_weights(model, new / WEIGHTS, np.float16 if half else np.float32,
                                     step)
            report = evaluate_run(new, **options)
            write_json(new / EVALUATION, report)
            text = origin(name, note, half, report, checkpoints.read_metrics(workdir))
            (new / NOTE).write_text(text, encoding="utf-8")
            (folder / name).mkdir(exist_ok=True)
            for path in new.iterdir():
                path.replace(folder / name / path.name)
    return report


def origin(name: str, note: str, half: bool, report: dict, metrics: list[dict]) -> str:
    """The text of RUN.md: where weights come from, and how good they are."""
    trained = ""
    if report["step"] is not None:
        seconds = [line["seconds"] for line in metrics if isinstance(line.get("seconds"), float)]
        minutes = f" in {seconds[-1] / 60:.1f} minutes" if seconds else ""
        trained = f"- {report['step']} steps of training{minutes}\n"
    error = "" if report["bound_se"] is None else " (+- {bound_se:.2f})"
    weighted = ("" if report["iwae_nats"] is None else
                "; importance-weighted {iwae_nats:.2f} ({importance_samples} samples)")
    found = ("- {dataset}/{split}, {examples} images, binarize={binarize}: bound {bound_nats:.2f}"
             + error + " nats, KL {kl_nats:.2f}" + weighted).format(**report)
    return (f"# {name}\n\n" + (f"{note}\n\n" if note else "") + trained
            + f"{found} (all numbers in {EVALUATION})\n"
            + f"- weights in float{16 if half else 32}; settings in {CONFIG}\n")


def main(_):
    """Ships, and prints the bound of what was shipped."""
    report = ship(FLAGS.workdir, FLAGS.name, FLAGS.half, FLAGS.note, data_dir=FLAGS.data_dir,
                  noise_samples=FLAGS.noise_samples, importance_samples=FLAGS.importance_samples)
    print(f"{PRETRAINED / FLAGS.name}: bound {report['bound_nats']:.2f} nats on "
          f"{report['dataset']}/{report['split']}")


def command() -> None:
    """Runs the command."""
    commands.start(define_flags, main, says_device=False)


if __name__ == "__main__":
    command()
