"""Trains DRAW: python train.py --flagfile=draw_tf/configs/quickstart.flags --workdir=DIR"""

import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: hush it

from absl import flags

from draw_tf import commands
from draw_tf import data
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.errors import ConfigError
from draw_tf.training import make_strategy, train_and_evaluate

FLAGS = flags.FLAGS
flags.DEFINE_string("workdir", None, "folder of the run; the same command again resumes it",
                    required=True)
flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")
flags.DEFINE_list("profile_steps", [], "first and last step to profile for TensorBoard: 100,110")


def define_flags(config_class):
    """A flag for each field of a settings class, but for what the data decides."""
    define = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float,
              str: flags.DEFINE_string}
    for field in dataclasses.fields(config_class):
        help_text, choices = field.metadata["help"], field.metadata["choices"]
        if choices:
            flags.DEFINE_enum(field.name, field.default, choices, help_text)
        elif field.name != "image_shape":
            define[type(field.default)](field.name, field.default, help_text)


define_flags(DRAWConfig)
define_flags(TrainConfig)


def config_from_flags(config_class, **fixed):
    """A settings object from the flags' values."""
    values = {field.name: FLAGS[field.name].value for field in dataclasses.fields(config_class)
              if field.name in FLAGS}
    return config_class(**{**values, **fixed})


def profiled_steps():
    """The first and last step to profile, or an empty tuple."""
    try:
        steps = tuple(int(step) for step in FLAGS.profile_steps)
    except ValueError:
        steps = (-1,)
    if steps and not (len(steps) == 2 and 0 <= steps[0] < steps[1]):
        raise ConfigError("profile_steps must be a first and a later last step, got "
                          f"{','.join(FLAGS.profile_steps)}")
    return steps


def main(_):
    config = config_from_flags(TrainConfig)
    config_from_flags(DRAWConfig)  # told now if out of range, not after a download
    steps = profiled_steps()
    strategy = make_strategy(config.distribute)
    train = data.load(config.dataset, "train", FLAGS.data_dir)
    held_out = data.load(config.dataset, data.evaluation_split(config.dataset), FLAGS.data_dir)
    model_config = config_from_flags(DRAWConfig, image_shape=tuple(train.shape))
    train_and_evaluate(model_config, config, FLAGS.workdir, train, held_out, steps, strategy)


if __name__ == "__main__":
    commands.run(main)
