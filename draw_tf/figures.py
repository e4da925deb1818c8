"""Figures of finished runs for a README: python -m draw_tf.figures --workdirs=DIR,DIR --out=DIR

Writes the runs' metrics, thinned, a plot of their bounds, and samples beside training images.
"""

import contextlib
import json
import pathlib

import numpy as np
from absl import flags

from draw_tf import checkpoints, commands, data
from draw_tf.errors import ConfigError, WorkdirError
from draw_tf.files import check_output, local_path, write_whole
from draw_tf.pictures import curves, tiles

BLOCK = 2000  # training images


def _define_flags():
    flags.DEFINE_list("workdirs", [], "folders of runs, whose names become those of the curves")
    flags.DEFINE_string("samples", None, "a run, or weights that ship with the package, to draw "
                        "new images with, beside the nearest of its training images")
    flags.DEFINE_integer("num", 64, "how many new images", lower_bound=1)
    flags.DEFINE_string("out", None, "folder to write to, made if it does not exist", required=True)
    flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")


def draw_runs(workdirs: list[str], out: pathlib.Path) -> None:
    """Writes `out`/NAME.jsonl for each run, and `out`/training.png of all.

    Raises ConfigError where two runs have the same name, WorkdirError for one without metrics, and
    MissingPackageError where matplotlib is not installed.
    """
    runs = {}
    for workdir in map(checkpoints.resolve, workdirs):
        name = workdir.resolve().name
        if name in runs:
            raise ConfigError(f"workdirs must have different names, got two of {name}")
        try:
            runs[name] = curves.thin_metrics(checkpoints.read_metrics(workdir))
        except ValueError as error:
            raise WorkdirError(f"workdir {workdir} holds metrics of very long lines") from error
        if not runs[name]:
            raise WorkdirError(f"workdir {workdir} holds no metrics")
    curves.training_curves(out / "training.png", runs)
    for name, lines in runs.items():
        write_whole(out / f"{name}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    print(out / "training.png", *(out / f"{name}.jsonl" for name in runs), sep="\n")


def draw_samples(workdir: str, num: int, out: pathlib.Path, data_dir: str | None = None) -> None:
    """Writes `out`/samples.png; see `tiles.samples_and_nearest`.

    Raises what `checkpoints.load` and `data.load` raise.
    """
    model = checkpoints.load(workdir)
    _, config = checkpoints.read_config(checkpoints.resolve(workdir))
    images = data.load(config.dataset, "train", data_dir, model.config.image_shape)
    if config.binarize != "none":
        images = images.binarized()
    samples = model.generate(num, seed=0).images[-1].numpy()  # [N, H, W, C]
    # a block at a time: all images as floats may not fit into memory
    blocks = (images.floats(slice(first, first + BLOCK)) for first in range(0, len(images), BLOCK))
    nearest = np.concatenate([block[tiles.nearest(samples, block)] for block in blocks])
    write_whole(out / "samples.png", tiles.encode_png(tiles.samples_and_nearest(samples, nearest)))
    print(out / "samples.png")


@commands.command(_define_flags)
def command(given: flags.FlagValues) -> None:
    """Checks the flags and draws what they ask for."""
    if not (given.workdirs or given.samples):
        raise ConfigError("workdirs or samples must name a run")
    out = local_path(given.out, "out")
    with contextlib.suppress(OSError):  # reported by the check
        out.mkdir(parents=True, exist_ok=True)
    check_output("out", out / "training.png")
    if given.workdirs:
        draw_runs(given.workdirs, out)
    if given.samples:
        draw_samples(given.samples, given.num, out, given.data_dir)


if __name__ == "__main__":
    command()
