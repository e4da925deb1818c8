"""What a README shows of finished runs: python -m draw_tf.figures --workdirs=DIR,DIR --out=DIR

Writes the runs' metrics, thinned, a plot of their bounds, and samples beside training images.
"""

import json
import os
import pathlib

from absl import flags

from draw_tf import checkpoint
from draw_tf import commands
from draw_tf import data
from draw_tf import plots
from draw_tf import render
from draw_tf import visualize
from draw_tf.errors import ConfigError, WorkdirError
from draw_tf.summaries import read_metrics

FLAGS = flags.FLAGS


def define_flags():
    """The command's flags; not at import, where they would be in another command's way."""
    flags.DEFINE_list("workdirs", [], "folders of runs, whose names become those of the curves")
    flags.DEFINE_string("samples", None, "a run, or weights that ship, to draw new images of "
                        "beside the nearest of its training images")
    flags.DEFINE_integer("num", 64, "how many new images")
    flags.DEFINE_string("out", None, "a folder to write to, made where it is not there",
                        required=True)
    flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets "
                        "(~/tensorflow_datasets)")


def draw_runs(workdirs, out):
    """Writes `out`/NAME.jsonl for each run, and `out`/training.png of all.

    Raises:
      ConfigError: two runs have the same name.
      WorkdirError: a run has no metrics.
      MissingPackageError: matplotlib is not installed.
    """
    runs = {}
    for workdir in map(pathlib.Path, workdirs):
        name = workdir.resolve().name
        if name in runs:
            raise ConfigError(f"workdirs must be of different names, got two of {name}")
        runs[name] = plots.thin_metrics(read_metrics(workdir))
        if not runs[name]:
            raise WorkdirError(f"--workdirs={workdir} holds no metrics")
    plots.training_curves(out / "training.png", runs)
    for name, lines in runs.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines),
                                           encoding="utf-8")


def draw_samples(workdir, num, out, data_dir=None):
    """Writes `out`/samples.png: see `render.samples_and_nearest`.

    Raises:
      WorkdirError: there is no such run.
      DataError: its training images are neither on this machine nor can be downloaded.
    """
    model = checkpoint.load(workdir)
    _, config = checkpoint.read_config(checkpoint.resolve(workdir))
    images = data.load(config.dataset, "train", data_dir)
    if config.binarize != "none":
        images = images.binarized()
    visualize.save(out / "samples.png", render.samples_and_nearest(model, images, num))


def main(_):
    if not (FLAGS.workdirs or FLAGS.samples):
        raise ConfigError("workdirs or samples must name a run")
    if FLAGS.num < 1:
        raise ConfigError(f"num must be at least 1, got {FLAGS.num}")
    out = pathlib.Path(FLAGS.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError
    except OSError as error:
        raise ConfigError(f"out can not be written: {out} is no folder to write to") from error
    if FLAGS.workdirs:
        draw_runs(FLAGS.workdirs, out)
    if FLAGS.samples:
        draw_samples(FLAGS.samples, FLAGS.num, out, FLAGS.data_dir)


if __name__ == "__main__":
    define_flags()
    commands.run(main)
