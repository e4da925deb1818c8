"""Trains DRAW: python train.py --flagfile=draw_tf/configs/quickstart.flags --workdir=DIR"""

from draw_tf import commands  # isort: skip  # first, for it starts TensorFlow

from absl import flags

from draw_tf import data
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.errors import ConfigError
from draw_tf.training import make_strategy, train_and_evaluate

FLAGS = flags.FLAGS
flags.DEFINE_string("workdir", None, "folder of the run; the same command again resumes it",
                    required=True)
flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")
flags.DEFINE_list("profile_steps", [], "first and last step to profile for TensorBoard: 100,110")
commands.define_flags(DRAWConfig)
commands.define_flags(TrainConfig)
flags.adopt_module_key_flags(commands)  # --help shows them too


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


def main(_):
    """Trains until `--train_steps`, or until it is asked to stop."""
    config = commands.config_from_flags(TrainConfig)
    commands.config_from_flags(DRAWConfig)  # out of range? say so now, not after a download
    steps = profiled_steps()
    strategy = make_strategy(config.distribute)
    train = data.load(config.dataset, "train", FLAGS.data_dir)
    held_out = data.load(config.dataset, data.evaluation_split(config.dataset), FLAGS.data_dir)
    model_config = commands.config_from_flags(DRAWConfig, image_shape=train.shape)
    train_and_evaluate(model_config, config, FLAGS.workdir, train, held_out, steps, strategy)


if __name__ == "__main__":
    commands.run(main)
