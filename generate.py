"""Draws images stroke by stroke: python generate.py [--workdir=DIR] --out=strokes.gif"""

from draw_tf import commands  # isort: skip  # first, for it starts TensorFlow

import contextlib
import pathlib

import numpy as np
from absl import flags

from draw_tf import checkpoints, data
from draw_tf.errors import ConfigError, why
from draw_tf.files import check_output, write_whole
from draw_tf.noise import between
from draw_tf.pictures import strokes
from draw_tf.pictures.page import page

FLAGS = flags.FLAGS
flags.DEFINE_string("workdir", None, "folder of a run, or the name of weights that ship with the "
                    "package; the best of those where not given")
flags.DEFINE_string("out", "strokes.gif", "the picture: .gif plays the strokes, .png is a film "
                    "strip with one row per image and one column per step, after the image "
                    "redrawn, .html is a page to look into every step")
flags.DEFINE_enum("mode", "prior", ("prior", "reconstruct", "interpolate"), "new images; images "
                  "of a data set redrawn; or new images on the way from one to another")
flags.DEFINE_integer("num", 16, "how many images", lower_bound=1)
flags.DEFINE_integer("seed", None, "whole number that the images follow from; random where not "
                     "given", lower_bound=0, upper_bound=2**31 - 1)
flags.DEFINE_bool("boxes", True, "show where the model writes (red) and reads (green)")
flags.DEFINE_string("dataset", None, f"to redraw images of: {', '.join(data.names())}; the run's "
                    "where not given")
flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")
flags.DEFINE_integer("columns", 16, "steps shown at most in a film strip", lower_bound=1)


def images_to_redraw(model, workdir, seed) -> np.ndarray:
    """`--num` test images, [num, H, W, C] in [0, 1], binarized as the run's were."""
    _, train_config = checkpoints.read_config(checkpoints.resolve(workdir))
    name = FLAGS.dataset or train_config.dataset
    images = data.load(name, "test", FLAGS.data_dir, model.config.image_shape)
    if images.shape != model.config.image_shape:
        raise ConfigError(f"dataset {name} has images of {images.shape}, and the model draws "
                          f"{model.config.image_shape}")
    if FLAGS.num > len(images):
        raise ConfigError(f"num must be at most the {len(images)} images of {images}, "
                          f"got {FLAGS.num}")
    if data.binarize_for(train_config.dataset, train_config.binarize, name) != "none":
        images = images.binarized()
    chosen = np.random.default_rng(seed).permutation(len(images))[:FLAGS.num]  # [num]
    return images.floats(chosen)


def draw(model, workdir, seed):
    """The Trace or Generation that `--mode` asks for, and the images that it redraws or None."""
    config = model.config
    rng = np.random.default_rng(seed)
    if FLAGS.mode == "reconstruct":
        images = images_to_redraw(model, workdir, seed)  # [N, H, W, C]
        noise = rng.standard_normal((config.glimpses, FLAGS.num, config.latent_size))  # [T, N, Z]
        return model.trace(images, noise), images
    if FLAGS.mode == "prior":
        return model.generate(FLAGS.num, seed=seed), None
    ends = rng.standard_normal((2, config.glimpses, 1, config.latent_size))  # [2, T, 1, Z]
    return model.generate(FLAGS.num, noise=between(*ends, FLAGS.num)), None


def save(out, config, trace, inputs, caption):
    """Writes what was drawn to the file `out`, as its ending says.

    Raises:
      OSError: the file cannot be written.
    """
    if out.suffix.lower() == ".html":
        write_whole(out, page(config, trace, inputs, caption, boxes=FLAGS.boxes))
        return
    boxes = strokes.boxes(config, trace) if FLAGS.boxes else ()
    probabilities = strokes.probabilities(trace.canvases)  # [T, N, H, W, C]
    if out.suffix.lower() == ".gif":
        picture = strokes.stroke_frames(probabilities, boxes)
    else:
        picture = strokes.film_strip(probabilities, boxes, max_columns=FLAGS.columns,
                                     inputs=inputs)
    strokes.save(out, picture)


def main(_):
    """Draws `--num` images to `--out`."""
    if FLAGS.mode == "interpolate" and FLAGS.num < 2:
        raise ConfigError(f"num must be at least 2 to interpolate, got {FLAGS.num}")
    seed = int(np.random.SeedSequence().entropy % 2**31) if FLAGS.seed is None else FLAGS.seed
    out = pathlib.Path(FLAGS.out)
    with contextlib.suppress(OSError):  # reported by the check
        out.parent.mkdir(parents=True, exist_ok=True)
    check_output("out", out, ".gif", ".png", ".html")
    workdir = FLAGS.workdir or checkpoints.best_pretrained()
    model = checkpoints.load(workdir)
    if model.config.shared_noise and FLAGS.mode != "reconstruct":
        print("This model was trained with shared_noise, so what it draws from the prior is noise.")
    trace, inputs = draw(model, workdir, seed)
    made = f"{FLAGS.num} images from {workdir}, --mode={FLAGS.mode} --seed={seed}"
    try:
        save(out, model.config, trace, inputs, made)
    except OSError as error:
        raise ConfigError(f"out {FLAGS.out} cannot be written: {why(error)}") from error
    print(f"{made}: {FLAGS.out}")


if __name__ == "__main__":
    commands.run(main)
