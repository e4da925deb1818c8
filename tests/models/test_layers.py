"""The product of joined inputs, of which some may be zero, and the LSTM cell."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from draw_tf.models.layers import LSTMCell, affine
from tests.support.numerics import EXACT, assert_close

SIZES = (2, 3, 4)  # of the inputs


@pytest.mark.parametrize("zeros, rows", [((), 10), ((1,), 7), ((0, 2), 4), ((0, 1, 2), 1)])
def test_inputs_that_are_zero_take_no_part_in_a_programs_product(zeros, rows):
    rng = np.random.default_rng(3)
    kernel, bias = rng.normal(size=(sum(SIZES), 5)), rng.normal(size=5)
    given = [rng.normal(size=(6, size)) * (i not in zeros) for i, size in enumerate(SIZES)]

    def product(x, y, z):  # of which y is a constant, zero or not
        x, z = (tf.zeros_like(part) if i in zeros else part for i, part in ((0, x), (2, z)))
        return affine(tf.constant(kernel), tf.constant(bias), x, tf.constant(given[1]), z)

    program = tf.function(product, autograph=False).get_concrete_function(
        *(tf.TensorSpec(x.shape, tf.float64) for x in given))
    want = {"affine": np.concatenate(given, axis=1) @ kernel + bias}
    for run in (product, program):
        assert_close({"affine": run(*map(tf.constant, given))}, want, EXACT)
    [matmul] = [op for op in program.graph.get_operations() if op.type == "MatMul"]
    assert matmul.inputs[1].shape == (rows, 5)


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
            shown, states = layer(inputs, [h, c])
            loss = tf.reduce_sum(tf.sin(shown) + tf.cos(states[1]))
        results += [shown, *states, *tape.gradient(
            loss, [inputs, h, c, *layer.trainable_variables])]
    assert_close(dict(enumerate(got)), dict(enumerate(want)), EXACT)
