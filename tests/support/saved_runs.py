"""Runs and weights for tests of checkpoints, of what is shipped, and of damaged files."""

import numpy as np
import pytest

from draw_tf import checkpoints
from draw_tf.checkpoints import saves
from draw_tf.checkpoints import workdir as workdirs
from draw_tf.config import TrainConfig, config_to_dict
from draw_tf.errors import WorkdirError
from draw_tf.files import write_json
from draw_tf.training.trainer import Trainer
from tests.support import reference
from tests.support.numerics import model_with, small_config

# one with every kind of weight, the learned first states among them
CONFIG = small_config(glimpses=2, hidden_size=8, equations="paper")
QUIET = TrainConfig(jit_compile=False)


def numbers(model):
    """A model's weights as a dictionary of arrays."""
    return {name: variable.numpy() for name, variable in checkpoints.named_weights(model).items()}


def some_weights(seed):
    """Random weights for CONFIG, a dictionary of arrays."""
    return numbers(model_with(CONFIG, reference.random_weights(CONFIG, seed)))


def assert_same(model, weights):
    assert set(numbers(model)) == set(weights)
    for name, value in numbers(model).items():
        np.testing.assert_array_equal(value, weights[name], err_msg=name)


def save_weights_alone(folder, dtype=np.float32, seed=5):
    """Makes a folder of weights alone; returns the weights."""
    folder.mkdir(exist_ok=True)
    model = model_with(CONFIG, reference.random_weights(CONFIG, seed))
    write_json(folder / workdirs.CONFIG, config_to_dict(CONFIG, QUIET))
    checkpoints.save_weights(model, folder / workdirs.WEIGHTS, dtype)
    return numbers(model)


def save_step(workdir, trainer, step, seed=None):
    """Saves a checkpoint, of new weights where there is a seed; returns the model's weights."""
    if seed is not None:
        checkpoints.assign_weights(trainer.model, some_weights(seed))
    if trainer.evaluated is not trainer.model:
        checkpoints.assign_weights(trainer.evaluated, some_weights(seed + 1))
    trainer.step.assign(step)
    saves.save(trainer.checkpoint(), workdir, step)
    return numbers(trainer.model)


def save_run(workdir):
    """Makes a run of two checkpoints; returns the weights of each by step."""
    checkpoints.write_settings(workdir, CONFIG, QUIET)
    trainer = Trainer(CONFIG, QUIET)
    return {step: save_step(workdir, trainer, step, seed=step) for step in (90, 100)}


def cut_short(path, share):
    content = path.read_bytes()
    path.write_bytes(content[:int(share * len(content))])


def sentence(call, *arguments):
    """The message of the WorkdirError that a call must raise, checked to be of one line."""
    with pytest.raises(WorkdirError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert message and "\n" not in message
    return message
