"""The product of joined inputs, with and without inputs that are zero."""

import numpy as np
import pytest
import tensorflow as tf

from draw_tf.models.layers import affine
from tests.numerics import EXACT, assert_close

SIZES = (2, 3, 4)  # of the inputs


@pytest.mark.parametrize("zeros, rows", [((), 10), ((1,), 7), ((0, 2), 4), ((0, 1, 2), 1)])
def test_inputs_that_are_zero_take_no_part_in_a_programs_product(zeros, rows):
    rng = np.random.default_rng(3)
    kernel, bias = rng.normal(size=(sum(SIZES), 5)), rng.normal(size=5)
    given = [rng.normal(size=(6, size)) * (i not in zeros) for i, size in enumerate(SIZES)]

    def product(*inputs):
        inputs = [tf.zeros_like(x) if i in zeros else x for i, x in enumerate(inputs)]
        return affine(tf.constant(kernel), tf.constant(bias), *inputs)

    program = tf.function(product, autograph=False).get_concrete_function(
        *(tf.TensorSpec(x.shape, tf.float64) for x in given))
    want = {"affine": np.concatenate(given, axis=1) @ kernel + bias}
    for run in (product, program):
        assert_close({"affine": run(*map(tf.constant, given))}, want, EXACT)
    [matmul] = [op for op in program.graph.get_operations() if op.type == "MatMul"]
    assert matmul.inputs[1].shape == (rows, 5)
