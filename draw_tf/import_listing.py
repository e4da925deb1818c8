"""Makes a workdir of a checkpoint that the article's TensorFlow 1 code saved.

    python -m draw_tf.import_listing --checkpoint=PATH --workdir=DIR

The sizes of the model follow from the shapes of its variables. What they do not show are flags: the
image's shape, the glimpses, and whether the article's one noise tensor for all steps was kept.
"""

from absl import flags

from draw_tf import commands
from draw_tf.checkpoints.listing import import_checkpoint
from draw_tf.errors import ConfigError


def _define_flags():
    flags.DEFINE_string("checkpoint", None, "prefix of the checkpoint (what its Saver returned), "
                        "or the folder that holds it", required=True)
    flags.DEFINE_string("workdir", None, "folder to make; it must not hold a run", required=True)
    flags.DEFINE_list("image_shape", ["28", "28", "1"], "height, width, channels in pixels")
    flags.DEFINE_integer("glimpses", 10, "steps in which an image is drawn (the article's T)")
    flags.DEFINE_bool("shared_noise", True, "the model was trained with one noise tensor for all "
                      "its steps, as the article does by mistake; what it generates is garbage")


@commands.command(_define_flags)
def command(given: flags.FlagValues) -> None:
    """Imports, and prints what was found."""
    try:
        height, width, channels = map(int, given.image_shape)
    except ValueError as error:
        raise ConfigError("image_shape must be three whole numbers: height, width, channels, got "
                          f"{','.join(given.image_shape)}") from error
    config = import_checkpoint(given.checkpoint, given.workdir, (height, width, channels),
                               given.glimpses, given.shared_noise)
    print(f"{given.workdir} now holds {config}.")
    if config.shared_noise:
        print("It was trained with one noise tensor for all its steps: it can redraw images, but "
              "what it generates from the prior is garbage.")


if __name__ == "__main__":
    command()
