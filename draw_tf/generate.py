"""Draws images stroke by stroke: python generate.py [--workdir=DIR] --out=strokes.gif"""

import contextlib
import pathlib

import numpy as np
import tensorflow as tf
from absl import flags

from draw_tf import checkpoints, commands, data
from draw_tf.errors import ConfigError, written
from draw_tf.files import check_output, exists, local_path
from draw_tf.models.completion import SIDES, imagine, kept_half
from draw_tf.noise import between
from draw_tf.pictures import strokes

FLAGS = flags.FLAGS
MODES = ("prior", "reconstruct", "interpolate", "complete")
AT_ONCE = 100  # images that are drawn at once; more would only take memory
# The candidates and the sweeps of each imagination; a page shows one pass, without a guess.
SWEEPS = {".html": (32, 1)}
DIGITS = {(28, 28, 1): "digits", (28, 28, 3): "colour_digits"}  # what ships, by its shape


def define_flags() -> None:
    """Defines the flags; at import they could clash with those of another command."""
    flags.DEFINE_string("workdir", checkpoints.DEFAULT_WEIGHTS, "folder of a run, or the name of "
                        "weights that ship with the package")
    flags.DEFINE_string("out", "strokes.gif", "the picture: .gif plays the strokes, beside the "
                        "images that are redrawn; .png is a film strip with one row per image and "
                        "at most --columns of the steps; .html is a page to look into every step")
    flags.DEFINE_enum("mode", None, MODES, "new images; images of a data set redrawn; new "
                      "images on the way from one to another; or images of a data set of which "
                      "one half is known and the rest imagined. Without it: reconstruct where "
                      "--image is given, else prior")
    flags.DEFINE_integer("num", 16, "how many images; where not given, fewer if there are fewer",
                         lower_bound=1, upper_bound=10_000)
    flags.DEFINE_integer("seed", None, "whole number that the images follow from; random where not "
                         "given", lower_bound=0, upper_bound=2**31 - 1)
    flags.DEFINE_bool("boxes", True, "show where the model writes (red) and reads (green)")
    flags.DEFINE_multi_string("image", [], "picture files (PNG, JPEG, BMP, GIF, WebP) to redraw or "
                              "complete, separated by commas, in place of a data set")
    flags.DEFINE_bool("invert", None, "whether to turn light into dark in the pictures of --image; "
                      "where not given, a light ground is made dark for a model that draws light "
                      "on dark")
    flags.DEFINE_string("dataset", None, f"to redraw or complete images of: "
                        f"{', '.join(data.names())}; the run's where not given")
    flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")
    flags.DEFINE_integer("columns", strokes.COLUMNS, "steps shown at most in a film strip",
                         lower_bound=1)
    flags.DEFINE_enum("keep", "left", SIDES, "the half that is known in --mode=complete")
    flags.DEFINE_integer("imaginations", 6, "how often each image is completed in --mode=complete",
                         lower_bound=1, upper_bound=100)


def paths_of(values) -> list[str]:
    """The files of --image, which may have commas in their names."""
    return [path for value in values
            for path in ([value] if exists(local_path(value, "image")) else value.split(","))
            if path]


def own_images(model, trained_on) -> data.Images:
    """The pictures of --image, as the model's images are."""
    shape = model.config.image_shape
    # the mean of new images shows their ground at the border
    drawn = model.generate(64, seed=0).images[-1].numpy().mean(axis=0)  # [H, W, C]
    border = np.concatenate([drawn[[0, -1]].ravel(), drawn[:, [0, -1]].ravel()])
    pixels = data.pictures(
        [local_path(path, "image") for path in paths_of(FLAGS.image)], shape,
        invert=FLAGS.invert, dark_background=bool(border.mean() < 0.5),
        fit_digit=trained_on == "digits" or data.overlaps(trained_on, "digits"))
    return data.Images(pixels, 1, "image", "test")


def set_of_images(shape, trained_on) -> data.Images:
    """The test images of --dataset, of the run's data set, or of one that ships."""
    name = FLAGS.dataset or trained_on
    if FLAGS.dataset is None and shape in DIGITS and not data.is_here(name, FLAGS.data_dir):
        print(f"The images of {name} are not on this machine, so those of {DIGITS[shape]} take "
              f"their place, which ship with the package (--dataset={name} gets them).")
        name = DIGITS[shape]
    images = data.load(name, "test", FLAGS.data_dir, shape)
    if images.shape != shape:
        raise ConfigError(f"dataset {name} has images of {images.shape}, and the model draws "
                          f"{shape}")
    return images


def test_images(model, train_config, seed) -> tuple[np.ndarray, np.ndarray | None]:
    """At most `--num` images to redraw, binarized as the run's were, and their labels.

    They are [N, H, W, C] in [0, 1], and [N] or None.
    """
    trained_on = train_config.dataset
    images = (own_images(model, trained_on) if FLAGS.image
              else set_of_images(model.config.image_shape, trained_on))
    num = FLAGS.num if FLAGS["num"].present else min(FLAGS.num, len(images))
    if num > len(images):
        raise ConfigError(f"num must be at most the {len(images)} images of {images}, got {num}")
    grey = "digits" if FLAGS.image else images.name
    binary = data.binarize_for(trained_on, train_config.binarize, grey) != "none"
    if FLAGS.image:
        pixels = images.floats(slice(num))  # [N, H, W, C]
        # black or white, whichever is nearer: a random draw makes a smooth line ragged
        return np.rint(pixels) if binary else pixels, None
    if binary:
        images = images.binarized()
    chosen = np.random.default_rng(seed).permutation(len(images))[:num]  # [N]
    labels = None if images.labels is None else images.labels[chosen]  # [N]
    return images.floats(chosen), labels  # [N, H, W, C]


def in_batches(function, count, at_once=AT_ONCE):
    """The Trace or Generation of `function(slice)`, made for `at_once` of `count` images a time."""
    parts = [function(slice(k, min(k + at_once, count))) for k in range(0, count, at_once)]
    return tf.nest.map_structure(
        lambda *x: None if x[0] is None else tf.concat(x, axis=1), *parts)


def draw(model, images, mode, seed):
    """What `--mode` asks for: a Trace or Generation, of `images` [N, H, W, C] unless None."""
    config, rng = model.config, np.random.default_rng(seed)

    def normal(num):
        return rng.standard_normal((model.glimpses, num, config.latent_size))  # [T, num, Z]

    if mode == "complete":
        candidates, sweeps = SWEEPS.get(pathlib.Path(FLAGS.out).suffix.lower(), (8, 6))
        known = kept_half(FLAGS.keep, *config.image_shape[:2])  # [H, W, 1]
        many = np.repeat(images, FLAGS.imaginations, axis=0)  # [N K, H, W, C]
        return in_batches(lambda k: imagine(model, many[k], known, int(rng.integers(2**31)),
                                            candidates, sweeps), len(many), 400 // candidates)
    if mode == "reconstruct":
        noise = normal(len(images))  # [T, N, Z]
        return in_batches(lambda k: model.trace(images[k], noise[:, k]), len(images))
    noise = (model.draw_noise(FLAGS.num, seed) if mode == "prior"
             else between(normal(1), normal(1), FLAGS.num))  # [T, N, Z]
    return in_batches(lambda k: model.generate(k.stop - k.start, noise[:, k]), FLAGS.num)


def check_flags(model, out, mode) -> None:
    """Raises ConfigError where flags do not fit each other or the model."""
    if mode == "interpolate" and FLAGS.num < 2:
        raise ConfigError(f"num must be at least 2 to interpolate, got {FLAGS.num}")
    if FLAGS.image and (mode in ("prior", "interpolate") or FLAGS.dataset is not None):
        raise ConfigError("image goes with mode=reconstruct or mode=complete, and without dataset; "
                          f"got mode={mode}, dataset={FLAGS.dataset}")
    if FLAGS.invert is not None and not FLAGS.image:
        raise ConfigError("invert needs the pictures of --image")
    if out.suffix.lower() == ".html" and not model.has_strokes:
        raise ConfigError("out must end in .gif or .png, this model being a VAE, which has no "
                          f"steps to look into; got {str(out)!r}")
    if mode == "complete" and not model.has_strokes:
        raise ConfigError("mode=complete needs a DRAW model, and this one is a VAE")


def main(_):
    """Draws `--num` images to `--out`."""
    seed = int(np.random.default_rng().integers(2**31)) if FLAGS.seed is None else FLAGS.seed
    mode = FLAGS.mode or ("reconstruct" if FLAGS.image else "prior")
    out = local_path(FLAGS.out, "out")
    with contextlib.suppress(OSError):  # reported by the check
        out.parent.mkdir(parents=True, exist_ok=True)
    check_output("out", out, *strokes.ENDINGS)
    model = checkpoints.load(FLAGS.workdir)
    _, train_config = checkpoints.read_config(checkpoints.resolve(FLAGS.workdir))
    check_flags(model, out, mode)
    redraws = mode in ("reconstruct", "complete")
    images = labels = known = None
    if redraws:
        images, labels = test_images(model, train_config, seed)  # [N, H, W, C], [N]
    num = FLAGS.num if images is None else len(images)
    if mode == "complete":
        known = kept_half(FLAGS.keep, *model.config.image_shape[:2])  # [H, W, 1]
    strokes.check(out, model, num, 0 if known is None else FLAGS.imaginations, FLAGS.columns,
                 redraws)
    if model.shared_noise and not redraws:
        print("This model was trained with shared_noise, so what it draws from the prior is noise.")
    steps = draw(model, images, mode, seed)
    made = f"{num} image{'s' * (num > 1)} from {FLAGS.workdir}, --mode={mode} --seed={seed}"
    with written(f"out {FLAGS.out}", ConfigError):
        strokes.save(out, model, steps, images, boxes=FLAGS.boxes, columns=FLAGS.columns,
                    known=known, caption=made, labels=labels, train=train_config)
    print(f"{made}: {out}")


def command() -> None:
    """Runs the command."""
    commands.start(define_flags, main)


if __name__ == "__main__":
    command()
