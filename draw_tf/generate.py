"""Draws images stroke by stroke: python generate.py [--workdir=DIR] --out=strokes.gif"""

import contextlib
import pathlib

import numpy as np
import tensorflow as tf
from absl import flags

from draw_tf import checkpoints, commands, data
from draw_tf.errors import ConfigError, written
from draw_tf.files import check_output, write_whole
from draw_tf.models.completion import SIDES, complete, kept_half
from draw_tf.models.draw import DRAW
from draw_tf.noise import between
from draw_tf.pictures import strokes
from draw_tf.pictures.page import page

FLAGS = flags.FLAGS
MODES = ("prior", "reconstruct", "interpolate", "complete")
AT_ONCE = 100  # images that are drawn at once; more would only take memory


def define_flags() -> None:
    """Defines the flags; at import they could clash with those of another command."""
    flags.DEFINE_string("workdir", checkpoints.DEFAULT_WEIGHTS, "folder of a run, or the name of "
                        "weights that ship with the package")
    flags.DEFINE_string("out", "strokes.gif", "the picture: .gif plays the strokes, .png is a film "
                        "strip with one row per image and one column per step, after the image "
                        "redrawn, .html is a page to look into every step")
    flags.DEFINE_enum("mode", "prior", MODES, "new images; images of a data set redrawn; new "
                      "images on the way from one to another; or images of a data set of which "
                      "one half is known and the rest imagined")
    flags.DEFINE_integer("num", 16, "how many images", lower_bound=1, upper_bound=10_000)
    flags.DEFINE_integer("seed", None, "whole number that the images follow from; random where not "
                         "given", lower_bound=0, upper_bound=2**31 - 1)
    flags.DEFINE_bool("boxes", True, "show where the model writes (red) and reads (green)")
    flags.DEFINE_string("dataset", None, f"to redraw or complete images of: "
                        f"{', '.join(data.names())}; the run's where not given")
    flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")
    flags.DEFINE_integer("columns", 16, "steps shown at most in a film strip", lower_bound=1)
    flags.DEFINE_enum("keep", "left", SIDES, "the half that is known in --mode=complete")
    flags.DEFINE_integer("imaginations", 6, "how often each image is completed in --mode=complete",
                         lower_bound=1, upper_bound=100)


def test_images(model, workdir, seed) -> np.ndarray:
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


def in_batches(function, noise, *images):
    """The Trace or Generation of `function(noise, *images)`, made for `AT_ONCE` images at a time.

    Noise is [T, N, Z], images are [N, H, W, C].
    """
    parts = [function(noise[:, k:k + AT_ONCE], *(x[k:k + AT_ONCE] for x in images))
             for k in range(0, noise.shape[1], AT_ONCE)]
    return tf.nest.map_structure(
        lambda *x: None if x[0] is None else tf.concat(x, axis=1), *parts)


def draw(model, workdir, seed):
    """What `--mode` asks for.

    Returns:
      A Trace or Generation of N images; the images of the data set that they redraw or complete,
      [N, H, W, C], or None; and which pixels of those completed are known, [H, W, 1], or None.
    """
    config, rng = model.config, np.random.default_rng(seed)

    def normal(num):
        return rng.standard_normal((config.glimpses, num, config.latent_size))  # [T, num, Z]

    if FLAGS.mode in ("prior", "interpolate"):
        noise = (model.check_noise(None, FLAGS.num, seed) if FLAGS.mode == "prior"
                 else between(normal(1), normal(1), FLAGS.num))  # [T, N, Z]
        return in_batches(lambda z: model.generate(z.shape[1], z), noise), None, None
    images = test_images(model, workdir, seed)  # [N, H, W, C]
    if FLAGS.mode == "reconstruct":
        steps = in_batches(lambda e, x: model.trace(x, e), normal(FLAGS.num), images)
        return steps, images, None
    if not isinstance(model, DRAW):
        raise ConfigError("mode=complete needs a DRAW model, and this one is a VAE")
    images = np.repeat(images, FLAGS.imaginations, axis=0)  # [N K, H, W, C]
    known = kept_half(FLAGS.keep, *config.image_shape[:2])  # [H, W, 1]
    steps = in_batches(lambda e, x: complete(model, x, known, e), normal(len(images)), images)
    return steps, images, known


def save(out, config, trace, inputs, known, caption):
    """Writes what `draw` returned to the file `out`, as its ending says; may raise OSError."""
    ending = out.suffix.lower()
    if ending == ".html":
        write_whole(out, page(config, trace, inputs, caption, boxes=FLAGS.boxes, known=known))
        return
    boxes = strokes.boxes(config, trace) if FLAGS.boxes else ()
    probabilities = strokes.probabilities(trace.canvases)  # [T, N, H, W, C]
    if known is not None:
        picture = strokes.completions(probabilities, inputs[::FLAGS.imaginations], known)
        picture = picture[-1] if ending == ".png" else picture
    elif ending == ".gif":
        picture = strokes.stroke_frames(probabilities, boxes)
    else:
        picture = strokes.film_strip(probabilities, boxes, max_columns=FLAGS.columns, inputs=inputs)
    strokes.save(out, picture)


def main(_):
    """Draws `--num` images to `--out`."""
    if FLAGS.mode == "interpolate" and FLAGS.num < 2:
        raise ConfigError(f"num must be at least 2 to interpolate, got {FLAGS.num}")
    seed = int(np.random.SeedSequence().entropy % 2**31) if FLAGS.seed is None else FLAGS.seed
    out = pathlib.Path(FLAGS.out).expanduser()
    with contextlib.suppress(OSError):  # reported by the check
        out.parent.mkdir(parents=True, exist_ok=True)
    check_output("out", out, ".gif", ".png", ".html")
    workdir = FLAGS.workdir
    model = checkpoints.load(workdir)
    if out.suffix.lower() == ".html" and not isinstance(model, DRAW):
        raise ConfigError("out must end in .gif or .png, this model being a VAE, which has no "
                          f"steps to look into; got {str(out)!r}")
    if model.config.shared_noise and FLAGS.mode in ("prior", "interpolate"):
        print("This model was trained with shared_noise, so what it draws from the prior is noise.")
    drawn = draw(model, workdir, seed)
    made = f"{FLAGS.num} images from {workdir}, --mode={FLAGS.mode} --seed={seed}"
    with written(f"out {FLAGS.out}", ConfigError):
        save(out, model.config, *drawn, made)
    print(f"{made}: {out}")


def command() -> None:
    """Runs the command."""
    commands.start(define_flags, main)


if __name__ == "__main__":
    command()
