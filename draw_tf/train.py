"""Trains a model: python train.py --flagfile=draw_tf/configs/quickstart.flags --workdir=DIR"""

import dataclasses

from absl import flags

from draw_tf import commands, data, training
from draw_tf.checkpoints.workdir import check_name
from draw_tf.config import MODELS, DRAWConfig, TrainConfig
from draw_tf.errors import ConfigError


def _define_flags():
    flags.DEFINE_string("workdir", None, "folder of the run; the same command again resumes it",
                        required=True)
    flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")
    flags.DEFINE_list("profile_steps", [], "first and last step to profile for TensorBoard: "
                      "100,110")
    flags.DEFINE_enum("model", "draw", MODELS, "DRAW, or the plain VAE to compare it with")
    commands.define_flags(DRAWConfig)
    commands.define_flags(TrainConfig)


@commands.command(_define_flags, says_device=True)
def command(given: flags.FlagValues) -> None:
    """Trains until `--train_steps`, or until it is asked to stop."""
    config = TrainConfig(**commands.given_fields(TrainConfig))
    try:
        config.dataset.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(f"dataset {config.dataset} is not UTF-8, and TensorBoard, which is told "
                          "the settings, takes no other text: rename the folder") from error
    check_name(given.workdir)
    settings = commands.given_fields(DRAWConfig)
    for name, value in settings.items():
        if not hasattr(MODELS[given.model], name):
            raise ConfigError(f"{name} is not a setting of --model={given.model}, got {value}")
    model_config = MODELS[given.model](**settings)  # out of range? say so before a download
    try:
        steps = tuple(map(int, given.profile_steps))
    except ValueError:
        steps = (-1,)
    if steps and not (len(steps) == 2 and 0 <= steps[0] < steps[1]):
        raise ConfigError("profile_steps must be a first and a later last step, got "
                          f"{','.join(given.profile_steps)}")
    strategy = training.make_strategy(config.distribute)
    train, held_out = (
        data.load(config.dataset, split, given.data_dir, config.folder_shape)
        for split in ("train", data.evaluation_split(config.dataset)))
    training.train_and_evaluate(dataclasses.replace(model_config, image_shape=train.shape), config,
                                given.workdir, train, held_out, steps, strategy)


if __name__ == "__main__":
    command()
