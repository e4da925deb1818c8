"""The update: clipping, schedule and average; modes and devices give the same numbers."""

import collections
import dataclasses
import functools
import random
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from draw_tf import data
from draw_tf.errors import ConfigError
from draw_tf.training.loop import make_strategy
from draw_tf.training.trainer import Trainer, make_optimizer
from tests.support.trainings import IMAGES, MODEL, SIMPLE, TRAIN, assert_same, run, saved_arrays

PAPER = dataclasses.replace(MODEL, equations="paper")
EACH, ALL = [2, 2], [1.6, 1.2]  # two gradients of norms 4 and 3, clipped to 2


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"jit_compile": True}, {"steps_per_call": 1}])
def test_how_it_is_compiled_does_not_matter(tmp_path, saved_half, changes):
    # at a constant rate: XLA rounds a falling one, which is in float32, in its own way
    run(tmp_path, train_steps=3, schedule="constant", **changes)
    assert_same(saved_arrays(saved_half), saved_arrays(tmp_path), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_two_devices_under_xla_in_pieces_give_the_numbers_of_one_without(tmp_path, drawn):
    assert len(tf.config.list_logical_devices("CPU")) == 2
    run(tmp_path, MODEL, start="data", distribute="mirrored", jit_compile=True, unroll=1)
    assert_same(saved_arrays(drawn[0]), saved_arrays(tmp_path), rtol=1e-9, atol=1e-12)


def test_a_process_has_one_strategy_for_its_devices():
    """Two would use the same keys for their sums, and the second training would fail."""
    assert make_strategy("mirrored") is make_strategy("mirrored")


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("model, clip, clipped", [
    (MODEL, "auto", EACH), (PAPER, "auto", ALL), (SIMPLE, "auto", ALL), (MODEL, "all", ALL),
    (PAPER, "each", EACH), (SIMPLE, "each", EACH)])
def test_clipping_is_of_each_gradient_or_of_all(model, clip, clipped, replicas):
    config = dataclasses.replace(TRAIN, clip_norm=2.0, clip=clip)
    optimizer = make_optimizer(config, model, replicas)
    # norms of 4 and 3 each, and of 5 together; each device gives its share to the sum
    gradients = [tf.constant([4.0 / replicas]), tf.constant([3.0 / replicas])]
    got = np.concatenate(optimizer._clip_gradients(gradients)) * replicas
    np.testing.assert_allclose(got, clipped, rtol=1e-5)


def test_no_clipping_is_a_norm_of_zero():
    for model in (MODEL, PAPER):
        optimizer = make_optimizer(dataclasses.replace(TRAIN, clip_norm=0.0), model)
        assert optimizer._clip_gradients([tf.constant([400.0])])[0] == 400


@pytest.mark.slow
def test_the_trainer_clips_by_its_settings(monkeypatch):
    """A clipped gradient is what Adam's first moment starts from."""
    trainer = Trainer(SIMPLE, dataclasses.replace(TRAIN, clip_norm=1e-3))
    trainer.train(iter(data.train_dataset(IMAGES[0], batch_size=4, seed=0)), tf.constant(1))
    norms = [np.linalg.norm(moment) / (1 - TRAIN.adam_beta1)
             for moment in trainer.optimizer._momentums]
    assert np.linalg.norm(norms) == pytest.approx(1e-3, rel=1e-6)


@pytest.mark.parametrize("changes, rates", [
    (dict(), [1e-2] * 4), (dict(schedule="exponential"), [1e-2, 1e-2, 1e-3, 1e-4]),
    (dict(cooldown_steps=50), [1e-2, 1e-2, 5e-3, 0]),
    (dict(cooldown_steps=100), [1e-2, 5e-3, 2.5e-3, 0]),
    (dict(schedule="exponential", cooldown_steps=50), [1e-2, 1e-2, 5e-4, 0])])
def test_schedules_start_and_end_where_they_should(changes, rates):
    rate = make_optimizer(dataclasses.replace(TRAIN, **{
        "schedule": "constant", "train_steps": 100, "learning_rate": 1e-2,
        "final_learning_rate": 1e-4, **changes}), SIMPLE)._learning_rate
    np.testing.assert_allclose([float(rate(step)) for step in (0, 50, 75, 100)], rates, rtol=1e-4)


def test_a_run_is_not_shorter_than_its_cooling():
    with pytest.raises(ConfigError, match="cooldown_steps must be at most train_steps, 6, got 7"):
        dataclasses.replace(TRAIN, cooldown_steps=7)


@pytest.mark.slow
@pytest.mark.parametrize("step, decay", [(0, 0.1), (1000, 0.75)])
def test_the_average_follows_the_weights_with_its_decay(step, decay):
    trainer = Trainer(SIMPLE, dataclasses.replace(TRAIN, average_decay=0.75))
    trainer.step.assign(step)
    before = [x.copy() for x in trainer.model.get_weights()]
    batches = iter(data.train_dataset(IMAGES[0], batch_size=4, seed=0))
    trainer.train(batches, tf.constant(1))
    for start, now, average in zip(before, trainer.model.get_weights(),
                                   trainer.evaluated.get_weights(), strict=True):
        np.testing.assert_allclose(average, decay * start + (1 - decay) * now, rtol=1e-9)
        assert np.abs(now - start).max() > 0


def test_a_trainer_has_weights_of_its_seed_and_leaves_other_random_numbers_alone():
    def draws():
        return random.random(), np.random.random(), float(  # noqa: NPY002, the old one is what Keras seeds
            tf.random.uniform([]))

    def seed():
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002, as above
        tf.random.set_seed(1)

    seed()
    weights = [Trainer(SIMPLE, TRAIN).model.get_weights()]
    after = draws()
    weights.append(Trainer(SIMPLE, TRAIN).model.get_weights())
    other = Trainer(SIMPLE, dataclasses.replace(TRAIN, seed=1)).model.get_weights()
    for first, second, third in zip(*weights, other, strict=True):
        np.testing.assert_array_equal(first, second)
        assert not first.any() or np.any(first != third)  # biases are zero
    seed()
    assert draws() == after


def operations(call, folder):
    """How often TensorFlow's executor runs each type of operation in a call."""
    with tf.profiler.experimental.Profile(str(folder)):
        call()
    (path,) = folder.rglob("*.xplane.pb")
    counts = collections.Counter()
    for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
        for line in plane.lines:
            names = (plane.event_metadata[event.metadata_id].name for event in line.events)
            # such as stack_2:Pack#id=5#
            found = (re.fullmatch(r"[\w/]+:(\w+)", name.partition("#")[0]) for name in names)
            counts.update(match[1] for match in found if match)
    return counts


@pytest.mark.slow
def test_a_call_of_eight_steps_is_one_program_and_a_few_operations_for_what_it_needs(tmp_path):
    # a pipeline that runs nothing beside the call
    batches = tf.data.Dataset.from_tensors(IMAGES[0].floats()[:4]).repeat()
    seen = []
    for model in (SIMPLE, dataclasses.replace(MODEL, glimpses=1)):
        trainer = Trainer(model, dataclasses.replace(TRAIN, jit_compile=True, steps_per_call=8))
        iterator = iter(batches)
        trainer.train(iterator, 8)  # compiles
        counts = operations(functools.partial(trainer.train, iterator, 8),
                            tmp_path / type(model).__name__)
        (program,) = [name for name in counts if name.startswith("__inference__steps")]
        assert counts.pop(program) == 1
        seen.append(counts)
    assert seen[0] == seen[1]  # though there are more weights
    # for each step an image batch, and the number, key and noise; the rest is for all of them
    assert counts["StatelessRandomNormalV2"] == 8 and counts.total() < 6 * 8
