"""Draws images stroke by stroke: python generate.py [--workdir=DIR] --out=strokes.gif"""

import contextlib

import numpy as np
import tensorflow as tf
from absl import flags

from draw_tf import checkpoints, commands, data
from draw_tf.config import TrainConfig
from draw_tf.errors import ConfigError, written
from draw_tf.files import check_output, exists, local_path
from draw_tf.models.base import ImageModel
from draw_tf.models.completion import SIDES, imagine, kept_half
from draw_tf.models.steps import Generation, Trace
from draw_tf.noise import between
from draw_tf.pictures import strokes

DIGITS = {(28, 28, 1): "digits", (28, 28, 3): "colour_digits"}  # what ships, by its shape


def _define_flags():
    flags.DEFINE_string("workdir", checkpoints.DEFAULT_WEIGHTS, "folder of a run, or the name of "
                        "weights that ship with the package")
    flags.DEFINE_string("out", "strokes.gif", "the picture: .gif plays the strokes, beside the "
                        "images that are redrawn; .png is a film strip with one row per image and "
                        "at most --columns of the steps; .html is a page to look into every step")
    flags.DEFINE_enum("mode", None, ("prior", "reconstruct", "interpolate", "complete"),
                      "new images; images of a data set redrawn; new images on the way from one to "
                      "another; or images of a data set of which one half is known and the rest "
                      "imagined. Without it: reconstruct where --image is given, else prior")
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


def own_pictures(given: flags.FlagValues, model: ImageModel, train: TrainConfig) -> data.Images:
    """The pictures of --image, as the model's images are."""
    paths = [path for value in given.image  # a file may have commas in its name
             for path in ([value] if exists(local_path(value, "image")) else value.split(","))
             if path]
    if not paths:
        raise ConfigError(f"image must name at least one picture file, got {given.image}")
    # the mean of new images shows their ground at the border
    drawn = model.generate(64, seed=0).images[-1].numpy().mean(axis=0)  # [H, W, C]
    border = np.concatenate([drawn[[0, -1]].ravel(), drawn[:, [0, -1]].ravel()])
    pixels = data.pictures(
        [local_path(path, "image") for path in paths], model.config.image_shape,
        invert=given.invert, dark_background=bool(border.mean() < 0.5),
        fit_digit=train.dataset == "digits" or data.overlaps(train.dataset, "digits"))
    if data.binarize_for(train.dataset, train.binarize, "digits") != "none":
        pixels = np.rint(pixels)  # not by a random draw, which makes a smooth line ragged
    return data.Images(pixels, 1, "image", "test")


def images_to_redraw(given: flags.FlagValues, model: ImageModel, train: TrainConfig,
                     seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """At most `--num` images, [N, H, W, C] in [0, 1], binarized as the run's were; their labels."""
    shape, name = model.config.image_shape, given.dataset or train.dataset
    if given.image:
        images = own_pictures(given, model, train)
    else:
        if given.dataset is None and shape in DIGITS and not data.is_here(name, given.data_dir):
            print(f"The images of {name} are not on this machine, so those of {DIGITS[shape]} take "
                  f"their place, which ship with the package (--dataset={name} gets them).")
            name = DIGITS[shape]
        images = data.load(name, "test", given.data_dir, shape)
        if images.shape != shape:
            raise ConfigError(f"dataset {name} has images of {images.shape}, and the model draws "
                              f"{shape}")
        if data.binarize_for(train.dataset, train.binarize, name) != "none":
            images = images.binarized()
    num = given.num if given["num"].present else min(given.num, len(images))
    if num > len(images):
        raise ConfigError(f"num must be at most the {len(images)} images of {images}, got {num}")
    order = np.random.default_rng(seed).permutation(len(images))
    chosen = np.arange(num) if given.image else order[:num]  # [N]
    labels = None if images.labels is None else images.labels[chosen]  # [N]
    return images.floats(chosen), labels  # [N, H, W, C]


def draw(given: flags.FlagValues, mode: str, model: ImageModel, seed: int,
         images: np.ndarray | None, known: np.ndarray | None) -> Trace | Generation:
    """What `--mode` asks for: a Trace or Generation, of `images` [N, H, W, C] unless None."""
    rng = np.random.default_rng(seed)

    def normal(num):
        return rng.standard_normal((model.glimpses, num, model.config.latent_size))  # [T, num, Z]

    def in_batches(function, num, at_once=100):  # more images at once would only take memory
        parts = [function(slice(k, min(k + at_once, num))) for k in range(0, num, at_once)]
        return tf.nest.map_structure(
            lambda *x: None if x[0] is None else tf.concat(x, axis=1), *parts)

    if images is None:
        noise = (model.draw_noise(given.num, seed) if mode == "prior"
                 else between(normal(1), normal(1), given.num))  # [T, N, Z]
        return in_batches(lambda k: model.generate(k.stop - k.start, noise[:, k]), given.num)
    if mode == "reconstruct":
        noise = normal(len(images))  # [T, N, Z]
        return in_batches(lambda k: model.trace(images[k], noise[:, k]), len(images))
    # a page shows one pass, without a guess
    page = local_path(given.out, "out").suffix.lower() == ".html"
    candidates, sweeps = (32, 1) if page else (8, 6)
    many = np.repeat(images, given.imaginations, axis=0)  # [N K, H, W, C]
    return in_batches(lambda k: imagine(model, many[k], known, int(rng.integers(2**31)),
                                        candidates, sweeps), len(many), 400 // candidates)


@commands.command(_define_flags, says_device=True)
def command(given: flags.FlagValues) -> None:
    """Draws `--num` images to `--out`."""
    seed = int(np.random.default_rng().integers(2**31)) if given.seed is None else given.seed
    mode = given.mode or ("reconstruct" if given.image else "prior")
    out = local_path(given.out, "out")
    with contextlib.suppress(OSError):  # reported by the check
        out.parent.mkdir(parents=True, exist_ok=True)
    check_output("out", out, *strokes.ENDINGS)
    model = checkpoints.load(given.workdir)
    _, train = checkpoints.read_config(checkpoints.resolve(given.workdir))
    if mode == "interpolate" and given.num < 2:
        raise ConfigError(f"num must be at least 2 to interpolate, got {given.num}")
    if given.image and (mode in ("prior", "interpolate") or given.dataset is not None):
        raise ConfigError("image goes with mode=reconstruct or mode=complete, and without dataset; "
                          f"got mode={mode}, dataset={given.dataset}")
    if given.invert is not None and not given.image:
        raise ConfigError("invert needs the pictures of --image")
    if out.suffix.lower() == ".html" and not model.has_strokes:
        raise ConfigError("out must end in .gif or .png, this model being a VAE, which has no "
                          f"steps to look into; got {str(out)!r}")
    if mode == "complete" and not model.has_strokes:
        raise ConfigError("mode=complete needs a DRAW model, and this one is a VAE")
    images = labels = known = None
    num, imaginations = given.num, 0
    if mode in ("reconstruct", "complete"):
        images, labels = images_to_redraw(given, model, train, seed)  # [N, H, W, C], [N]
        num = len(images)
    if mode == "complete":
        known = kept_half(given.keep, *model.config.image_shape[:2])  # [H, W, 1]
        imaginations = given.imaginations
    strokes.check(out, model, num, imaginations, given.columns, images is not None)
    if model.shared_noise and images is None:
        print("This model was trained with shared_noise, so what it draws from the prior is noise.")
    steps = draw(given, mode, model, seed, images, known)
    made = f"{num} image{'s' * (num > 1)} from {given.workdir}, --mode={mode} --seed={seed}"
    with written(f"out {given.out}", ConfigError):
        strokes.save(out, model, steps, images, boxes=given.boxes, columns=given.columns,
                     known=known, caption=made, labels=labels, train=train)
    print(f"{made}: {out}")


if __name__ == "__main__":
    command()
