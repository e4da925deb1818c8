"""Draws images stroke by stroke: python generate.py [--workdir=DIR] --out=strokes.gif"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: hush it

from absl import flags
import numpy as np

from draw_tf import checkpoint
from draw_tf import commands
from draw_tf import data
from draw_tf import render
from draw_tf import visualize
from draw_tf.config import DATASETS
from draw_tf.errors import ConfigError, why
from draw_tf.noise import between

FLAGS = flags.FLAGS
flags.DEFINE_string("workdir", None, "folder of a run, or the name of weights that ship with the "
                    "package; the best of those where not given")
flags.DEFINE_string("out", "strokes.gif", "the picture: .gif plays the strokes, .png is a film "
                    "strip with a row an image and a column a step, after the image redrawn")
flags.DEFINE_enum("mode", "prior", ("prior", "reconstruct", "interpolate"), "new images; images "
                  "of a data set redrawn; or new images on the way from one to another")
flags.DEFINE_integer("num", 16, "how many images")
flags.DEFINE_integer("seed", None, "whole number that the images follow from; any where not given")
flags.DEFINE_bool("boxes", True, "show where the model writes (red) and reads (green)")
flags.DEFINE_enum("dataset", None, DATASETS, "to redraw images of; the run's where not given")
flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")
flags.DEFINE_integer("columns", 16, "steps shown at most in a film strip")


def images_to_redraw(model, workdir, seed):
    """`--num` test images, [num, H, W, C] in [0, 1], binarized as the run's were."""
    _, train_config = checkpoint.read_config(checkpoint.resolve(workdir))
    name = FLAGS.dataset or train_config.dataset
    images = data.load(name, "test", FLAGS.data_dir)
    if tuple(images.shape) != model.config.image_shape:
        raise ConfigError(f"dataset {name} has images of {tuple(images.shape)}, and the model "
                          f"draws {model.config.image_shape}")
    if FLAGS.num > len(images):
        raise ConfigError(f"num must be at most the {len(images)} images of {images}, "
                          f"got {FLAGS.num}")
    if train_config.binarize_of(name) != "none":
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


def main(_):
    if FLAGS.num < 1 or (FLAGS.mode == "interpolate" and FLAGS.num < 2):
        raise ConfigError(f"num must be at least {2 if FLAGS.mode == 'interpolate' else 1}, "
                          f"got {FLAGS.num}")
    if FLAGS.columns < 1:
        raise ConfigError(f"columns must be at least 1, got {FLAGS.columns}")
    seed = int(np.random.SeedSequence().entropy % 2**31) if FLAGS.seed is None else FLAGS.seed
    if not 0 <= seed < 2**31:
        raise ConfigError(f"seed must be at least 0 and below {2**31}, got {seed}")
    try:
        ending = visualize.check_ending(FLAGS.out)
    except ValueError as error:
        raise ConfigError(f"out: {error}") from error
    workdir = FLAGS.workdir or checkpoint.best_pretrained()
    model = checkpoint.load(workdir)
    if model.config.shared_noise and FLAGS.mode != "reconstruct":
        print("This model was trained with shared_noise, so what it draws from the prior is noise.")
    trace, inputs = draw(model, workdir, seed)
    boxes = render.boxes(model.config, trace) if FLAGS.boxes else ()
    probabilities = render.probabilities(trace.canvases)  # [T, N, H, W, C]
    if ending == ".gif":
        picture = visualize.stroke_frames(probabilities, boxes)
    else:
        picture = visualize.film_strip(probabilities, boxes, max_columns=FLAGS.columns,
                                       inputs=inputs)
    try:
        visualize.save(FLAGS.out, picture)
    except OSError as error:
        raise ConfigError(f"out {FLAGS.out} can not be written: {why(error)}") from error
    print(f"{FLAGS.num} images from {workdir}, --mode={FLAGS.mode} --seed={seed}: {FLAGS.out}")


if __name__ == "__main__":
    commands.run(main)
