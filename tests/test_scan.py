"""The recurrence in pieces gives what a plain loop does, and so do all its gradients."""

import numpy as np
import pytest
import tensorflow as tf

from draw_tf.scan import scan
from tests.numerics import MODES, in_mode

T, N, D = 7, 3, 4


def random(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))  # float64


def make_step(weight):
    """A recurrence with a state of two parts, a variable, a constant, and a nested output."""
    def step(state, x, constant):
        hidden, total = state
        hidden = tf.tanh(tf.matmul(hidden, weight) + x * constant)  # [N, D]
        total = total + tf.reduce_sum(hidden * x, axis=1)  # [N]
        return (hidden, total), {"hidden": hidden, "more": [total * x[:, 0]]}

    return step


def run(weight, unroll):
    """Final state, outputs, and gradients of a number that depends on every one of these."""
    state = (random(N, D, seed=1), random(N, seed=2))
    inputs, constant = random(T, N, D, seed=3), random(N, D, seed=4)
    with tf.GradientTape() as tape:
        tape.watch((state, inputs, constant))
        end, outputs = scan(make_step(weight), state, inputs, constant, unroll)
        flat = tf.nest.flatten((end, outputs))
        # each with weights of its own, so that no two steps or parts can be taken for each other
        value = tf.add_n([tf.reduce_sum(x * random(*x.shape, seed=10 + i))
                          for i, x in enumerate(flat)])  # []
    slopes = tape.gradient(value, [weight, *state, inputs, constant])
    return tf.nest.flatten((end, outputs, value, slopes))


def results(unroll, mode="eager"):
    weight = tf.Variable(0.5 * random(D, D))
    return in_mode(lambda: run(weight, unroll), mode)()


def plain():
    """The end and the outputs of the same recurrence as a loop in NumPy."""
    weight = 0.5 * random(D, D).numpy()
    hidden, total = random(N, D, seed=1).numpy(), random(N, seed=2).numpy()
    outputs = []
    for x in random(T, N, D, seed=3).numpy():
        hidden = np.tanh(hidden @ weight + x * random(N, D, seed=4).numpy())
        total = total + np.sum(hidden * x, axis=1)
        outputs.append((hidden, total * x[:, 0]))
    return hidden, total, *(np.stack(part) for part in zip(*outputs))


def test_the_whole_unroll_is_a_plain_loop():
    for got, want in zip(results(T), plain()):
        np.testing.assert_allclose(got, want, rtol=1e-10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("unroll", [1, 2, 3, 4])  # 7 in such pieces: with and without a rest
def test_pieces_give_what_the_whole_unroll_does(unroll, mode):
    for got, want in zip(results(unroll, mode), results(T)):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_more_steps_to_unroll_than_there_are():
    for got, want in zip(results(T + 5), results(T)):
        np.testing.assert_array_equal(got, want)


def test_only_pieces_make_a_loop():
    weight = tf.Variable(0.5 * random(D, D))
    for unroll, loops in ((T, False), (3, True)):
        graph = tf.function(lambda steps=unroll: run(weight, steps)).get_concrete_function().graph
        assert any("While" in operation.type for operation in graph.get_operations()) == loops
