"""Writes a trained model for others: python -m draw_tf.export --workdir=DIR --saved_model=OUT

A SavedModel runs wherever TensorFlow does, without this package. Its signatures:

* `generate(num, seed)`: whole numbers to `images` [num, H, W, C] and `canvases` [T, num, H, W, C]
* `reconstruct(images)`: [N, H, W, C] in [0, 1] to `images` [N, H, W, C] and `kl_nats` [T, N]

Images are probabilities in [0, 1], and canvases are logits after each step. Images outside [0, 1]
are an InvalidArgumentError, except where XLA compiles the program that calls it.

A `.safetensors` file holds the weights by name.
"""

import os
import pathlib
import tempfile

import tensorflow as tf
from absl import flags

from draw_tf import checkpoints, commands
from draw_tf.errors import ConfigError, why, written
from draw_tf.files import check_access, check_output, exists, tensorflow_path
from draw_tf.models.base import ImageModel
from draw_tf.models.recurrence import forward_only


def _define_flags():
    flags.DEFINE_string("workdir", None, "folder of a run, or the name of weights that ship with "
                        "the package", required=True)
    flags.DEFINE_string("saved_model", None, "a folder to make, for TensorFlow's SavedModel")
    flags.DEFINE_string("safetensors", None, "a file to write, for the weights by name")


def save_model(model: ImageModel, path: pathlib.Path) -> None:
    """Writes a SavedModel with the signatures that this file describes, whole or not at all.

    `path` is new, in a folder that exists. Raises OSError where it cannot be written.
    """
    number = tf.TensorSpec([], tf.int32)
    pictures = tf.TensorSpec([None, *model.config.image_shape], model.compute_dtype)

    @tf.function(input_signature=[number, number], autograph=False)
    def generate(num, seed):
        noise = model.draw_noise(num, seed)  # [T, num, Z]
        canvases = model.generate(num, noise).canvases  # [T, num, H, W, C]
        return {"images": tf.sigmoid(canvases[-1]), "canvases": canvases}

    @tf.function(input_signature=[pictures], autograph=False)
    def reconstruct(images):
        output = model(model.check_images(images, values=True))
        return {"images": tf.sigmoid(output.logits), "kl_nats": output.kl_nats}

    module = tf.Module()
    module.model, module.generate, module.reconstruct = model, generate, reconstruct
    with tempfile.TemporaryDirectory(prefix=".saved_model-", dir=path.parent) as partial:
        try:
            with forward_only():
                tf.saved_model.save(module, f"{partial}/new",
                                    {"generate": generate, "reconstruct": reconstruct})
        except tf.errors.OpError as error:
            raise OSError(why(error)) from error
        os.rename(f"{partial}/new", path)


@commands.command(_define_flags)
def command(given: flags.FlagValues) -> None:
    """Writes what the flags name."""
    if not (given.saved_model or given.safetensors):
        raise ConfigError("saved_model or safetensors must name what to write")
    if given.saved_model:
        folder = tensorflow_path(given.saved_model, "saved_model")
        with written(f"saved_model {folder}", ConfigError):
            if exists(folder):
                raise ConfigError(f"saved_model must be a new folder, and {folder} exists")
            folder.parent.mkdir(parents=True, exist_ok=True)
            check_access(folder.parent, folders=os.W_OK | os.X_OK, below=False)
    if given.safetensors:
        check_output("safetensors", given.safetensors, ".safetensors")
    model = checkpoints.load(given.workdir)
    with written("the model", ConfigError):
        if given.safetensors:
            checkpoints.save_weights(model, given.safetensors)
        if given.saved_model:
            save_model(model, folder)
    print(f"{given.workdir}: {', '.join(filter(None, (given.saved_model, given.safetensors)))}")


if __name__ == "__main__":
    command()
