"""Tiny runs in float64, where modes and devices agree but for the last digits."""

import dataclasses
from unittest import mock

import numpy as np
import tensorflow as tf

from draw_tf import data, models, training
from draw_tf.checkpoints import saves
from draw_tf.config import DRAWConfig, TrainConfig, VAEConfig

MODEL = DRAWConfig(image_shape=(8, 6, 1), glimpses=2, hidden_size=8, latent_size=2, read_size=2,
                   write_size=3)
# traced in a third of the time, for what does not depend on the model
SIMPLE = VAEConfig(image_shape=(8, 6, 1), hidden_size=8, latent_size=2)
TRAIN = TrainConfig(binarize="dynamic", average_decay=0.5, schedule="exponential", batch_size=4,
                    train_steps=6, log_every=2, eval_every=3, save_every=3,
                    image_every=6, steps_per_call=4, jit_compile=False)  # compiles in less time


def _stripes(name, count):
    """Images of two kinds: bright above, or bright below."""
    grey = np.random.default_rng(count).uniform(0, 0.3, (count, 8, 6, 1)).astype(np.float32)
    grey[::2, :4] += 0.6
    grey[1::2, 4:] += 0.6
    return data.Images(grey, 1, "stripes", name)


IMAGES = _stripes("train", 11), _stripes("test", 6)  # to learn from, and held out


def float64():
    """A context in which models that are trained or loaded are in float64."""
    return mock.patch.object(models, "DTYPE", "float64")


def run(workdir, model=SIMPLE, **changes):
    """Trains in `workdir` with the settings of TRAIN and some changes."""
    with float64():
        return training.train_and_evaluate(model, dataclasses.replace(TRAIN, **changes), workdir,
                                           *IMAGES)


def saved_arrays(workdir):
    """Every number in a run's newest checkpoint but the time it took."""
    reader = tf.train.load_checkpoint(saves.latest(workdir))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
            if not name.startswith(("seconds", "save_counter", "_CHECKPOINTABLE"))}


def assert_same(left, right, rtol=0.0, atol=0.0):
    """Asserts that two checkpoints hold the same numbers, to the last bit without tolerances."""
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_allclose(value, right[name], rtol=rtol, atol=atol, err_msg=name)
