"""Trains a model: python train.py --flagfile=draw_tf/configs/quickstart.flags --workdir=DIR"""

import dataclasses

from absl import flags

from draw_tf import commands, data, training
from draw_tf.checkpoints.workdir import check_name
from draw_tf.config import MODELS, DRAWConfig, TrainConfig
from draw_tf.errors import ConfigError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags; at import they could clash with those of another command."""
    flags.DEFINE_string("workdir", None, "folder of the run; the same command again resumes it",
                        required=True)
    flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")
    flags.DEFINE_list("profile_steps", [], "first and last step to profile for TensorBoard: "
                      "100,110")
    flags.DEFINE_enum("model", "draw", MODELS, "DRAW, or the plain VAE to compare it with")
    commands.define_flags(DRAWConfig)
    commands.define_flags(TrainConfig)


def profiled_steps() -> tuple[int, ...]:
    """The first and last step to profile, or an empty tuple."""
    try:
        steps = tuple(int(step) for step in FLAGS.profile_steps)
    except ValueError:
        steps = (-1,)
    if steps and not (len(steps) == 2 and 0 <= steps[0] < steps[1]):
        raise ConfigError("profile_steps must be a first and a later last step, got "
                          f"{','.join(FLAGS.profile_steps)}")
    return steps


def model_settings(**fixed):
    """The settings of the model that `--model` names; `fixed` as in `config_from_flags`."""
    config_class = MODELS[FLAGS.model]
    known = {field.name for field in dataclasses.fields(config_class)}
    for field in dataclasses.fields(DRAWConfig):
        if field.name in FLAGS and FLAGS[field.name].present and field.name not in known:
            raise ConfigError(f"{field.name} is not a setting of --model={FLAGS.model}, got "
                              f"{FLAGS[field.name].value}")
    return commands.config_from_flags(config_class, **fixed)


def main(_):
    """Trains until `--train_steps`, or until it is asked to stop."""
    config = commands.config_from_flags(TrainConfig)
    try:
        config.dataset.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(f"dataset {config.dataset} is not UTF-8, and TensorBoard, which is told "
                          "the settings, takes no other text: rename the folder") from error
    check_name(FLAGS.workdir)
    model_settings()  # out of range? say so now, not after a download
    steps = profiled_steps()
    strategy = training.make_strategy(config.distribute)
    train, held_out = (
        data.load(config.dataset, split, FLAGS.data_dir, config.folder_shape)
        for split in ("train", data.evaluation_split(config.dataset)))
    model_config = model_settings(image_shape=train.shape)
    training.train_and_evaluate(model_config, config, FLAGS.workdir, train, held_out, steps,
                                strategy)


def command() -> None:
    """Runs the command."""
    commands.start(define_flags, main)


if __name__ == "__main__":
    command()
