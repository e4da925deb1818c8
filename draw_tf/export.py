"""Puts a run's weights among those that ship: python -m draw_tf.export --workdir=DIR --name=NAME

They are evaluated as they will be loaded, after any loss of digits, before anything is written.
"""

import os
import pathlib
import re
import tempfile

from absl import flags
import numpy as np

from draw_tf import checkpoint
from draw_tf import commands
from draw_tf.config import config_to_dict, write_json
from draw_tf.errors import ConfigError, WorkdirError, why
from draw_tf.evaluation import evaluate_run
from draw_tf.summaries import read_metrics

FLAGS = flags.FLAGS
EVALUATION, NOTE = "evaluation.json", "RUN.md"


def define_flags():
    """The command's flags; not at import, where they would be in another command's way."""
    flags.DEFINE_string("workdir", None, "folder of the run", required=True)
    flags.DEFINE_string("name", None, "what the weights will be called", required=True)
    flags.DEFINE_bool("half", False, "half the size: 16 bits a weight")
    flags.DEFINE_string("note", "", "how they were trained: the command, the hardware")
    flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets "
                        "(~/tensorflow_datasets)")
    flags.DEFINE_integer("noise_samples", 1, "draws of the noise that the bound is averaged over")
    flags.DEFINE_integer("importance_samples", None, "K of the importance-weighted bound")


def export(workdir, name, half=False, note="", folder=checkpoint.PRETRAINED, **options):
    """Writes a run's settings, weights, test bound and origin to `folder`/`name`.

    Args:
      workdir: of the run.
      name: lower-case letters, digits, - and _.
      half: keep the weights in float16.
      note: how they were trained, as text.
      folder: of the weights that ship.
      **options: of `evaluation.evaluate_run`.

    Returns:
      What `evaluation.evaluate_run` says about the weights as written.

    Raises:
      ConfigError: the name is of other characters, or the evaluation is refused.
      WorkdirError: the run can not be loaded, or the weights not written.
      DataError: the data set is neither on this machine nor can be downloaded.
    """
    if not re.fullmatch("[a-z0-9_-]+", name):
        raise ConfigError(f"name must be of lower-case letters, digits, - and _, got {name!r}")
    workdir = checkpoint.resolve(workdir)
    configs = checkpoint.read_config(workdir)
    model, step = checkpoint.load_with_step(workdir)
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as partial:
            new = pathlib.Path(partial)
            write_json(new / checkpoint.CONFIG, config_to_dict(*configs))
            checkpoint.save_weights(model, new / checkpoint.WEIGHTS,
                                    np.float16 if half else np.float32, step)
            report = evaluate_run(new, **options)
            write_json(new / EVALUATION, report)
            (new / NOTE).write_text(origin(name, note, half, report, read_metrics(workdir)),
                                    encoding="utf-8")
            (folder / name).mkdir(exist_ok=True)
            for path in new.iterdir():
                os.replace(path, folder / name / path.name)
    except OSError as error:
        raise WorkdirError(f"{folder / name} can not be written: {why(error)}") from error
    return report


def origin(name, note, half, report, metrics):
    """The text of RUN.md: where weights come from, and how good they are."""
    lines = [f"# {name}", ""] + ([note, ""] if note else [])
    trained = "" if report["step"] is None else f"{report['step']} steps of training"
    if trained and metrics:
        trained += f" in {metrics[-1]['seconds'] / 60:.1f} minutes"
    lines += [f"- {trained}"] if trained else []
    error = "" if report["bound_se"] is None else f" (+- {report['bound_se']:.2f})"
    weighted = ("" if report["iwae_nats"] is None else
                f"; importance-weighted {report['iwae_nats']:.2f} "
                f"({report['importance_samples']} samples)")
    lines += [f"- {report['dataset']}/{report['split']}, {report['examples']} images, "
              f"binarize={report['binarize']}: bound {report['bound_nats']:.2f}{error} nats, of "
              f"which KL {report['kl_nats']:.2f}{weighted} (all numbers in {EVALUATION})",
              f"- weights in float{16 if half else 32}; settings in {checkpoint.CONFIG}"]
    return "\n".join(lines) + "\n"


def main(_):
    report = export(FLAGS.workdir, FLAGS.name, FLAGS.half, FLAGS.note, data_dir=FLAGS.data_dir,
                    noise_samples=FLAGS.noise_samples,
                    importance_samples=FLAGS.importance_samples)
    print(f"{checkpoint.PRETRAINED / FLAGS.name}: bound {report['bound_nats']:.2f} nats on "
          f"{report['dataset']}/{report['split']}")


if __name__ == "__main__":
    define_flags()
    commands.run(main)
