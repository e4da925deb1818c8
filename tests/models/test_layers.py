"""The product of joined inputs, and the LSTM cell."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from draw_tf.models.layers import LSTMCell, affine
from tests.support.numerics import EXACT, assert_close


def test_affine_is_one_product():
    rng = np.random.default_rng(3)
    pairs = [(rng.normal(size=(6, size)), rng.normal(size=(size, 5))) for size in (2, 3, 4)]
    bias = rng.normal(size=5)

    def run():
        return affine([(tf.constant(x), tf.constant(rows)) for x, rows in pairs],
                      tf.constant(bias))

    want = {"affine": sum(x @ rows for x, rows in pairs) + bias}
    assert_close({"affine": run()}, want, EXACT)
    graph = tf.function(run, autograph=False).get_concrete_function().graph
    assert [op.type for op in graph.get_operations()].count("MatMul") == 1


@pytest.mark.parametrize("given, rows", [(3, 8), (2, 7)])
def test_known_zeros_take_no_part_in_the_cells_product(given, rows):
    cell = LSTMCell(3, 4, "cell", "float64")
    inputs = tf.constant(np.random.default_rng(5).normal(size=(5, given)))
    zeros = cell.zero_state(5)

    def run(inputs, states):
        h, (_, c) = cell(inputs, states=states)
        return {"h": h, "c": c}

    full = tf.concat([inputs, tf.zeros([5, 3 - given], tf.float64)], axis=1)
    assert_close(run(inputs, zeros), run(full, list(zeros)), EXACT)
    graph = tf.function(lambda: run(inputs, zeros), autograph=False).get_concrete_function().graph
    [matmul] = [op for op in graph.get_operations() if op.type == "MatMul"]
    assert matmul.inputs[1].shape == (rows - 4, 16)  # without h; the bias is a row


def test_the_cell_and_its_gradients_are_those_of_keras():
    cell = LSTMCell(3, 4, "cell", "float64")
    plain = keras.layers.LSTMCell(4, dtype="float64")
    plain.build((None, 3))
    rng = np.random.default_rng(4)
    weights = [rng.normal(size=x.shape) for x in cell.get_weights()]
    weights[2][4:6] = weights[2][12:14] = -1000, 1000  # shut and open, where exp overflows
    inputs, h, c = (tf.constant(rng.normal(size=(5, size))) for size in (3, 4, 4))
    got, want = [], []
    for layer, results in ((cell, got), (plain, want)):
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            tape.watch((inputs, h, c))
            shown, states = layer(inputs, states=[h, c])
            loss = tf.reduce_sum(tf.sin(shown) + tf.cos(states[1]))
        results += [shown, *states, *tape.gradient(
            loss, [inputs, h, c, *layer.trainable_variables])]
    assert_close(dict(enumerate(got)), dict(enumerate(want)), EXACT)
