"""The count of operations is that of the graph which TensorFlow traces."""

import math

import pytest
import tensorflow as tf

from draw_tf.benchmark.jobs import CONFIGS, matmul_flops
from draw_tf.config import DRAWConfig
from draw_tf.models import attention, draw, layers
from draw_tf.models.draw import DRAW


@pytest.mark.parametrize("name, megaflops, digits", [("article", 52.46, 2), ("paper", 370.4, 1)])
def test_flops_of_the_two_configurations(name, megaflops, digits):
    config, _ = CONFIGS[name]
    assert round(matmul_flops(config) / 1e6, digits) == megaflops


def flops_in(function, *specs):
    """Operations in the matrix products that the outputs of a traced function need."""
    graph = tf.function(function, autograph=False).get_concrete_function(*specs).graph
    found, waiting = set(), [tensor.op for tensor in graph.outputs]
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [tensor.op for tensor in op.inputs]
    total = 0
    for op in found:
        if op.type in ("MatMul", "BatchMatMulV2"):
            turned = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
            summed = op.inputs[0].shape[-2 if turned else -1]
            total += 2 * math.prod(op.outputs[0].shape) * summed
    return total


@pytest.fixture
def papers_products(monkeypatch):
    """Reading and writing as the products that they are in the paper, biases outside of any."""

    def read(image, Fx, Fy, gamma):
        planes = tf.transpose(image, [0, 3, 1, 2])  # [N, C, H, W]
        rows = tf.matmul(planes, Fx[:, tf.newaxis], transpose_b=True)  # [N, C, H, n]
        glimpse = tf.matmul(Fy[:, tf.newaxis], rows)  # [N, C, n, n]
        return tf.transpose(glimpse, [0, 2, 3, 1]) * gamma[:, :, tf.newaxis, tf.newaxis]

    def write(patch, Fx, Fy, gamma):
        planes = tf.transpose(patch / gamma[:, :, tf.newaxis, tf.newaxis], [0, 3, 1, 2])
        rows = tf.matmul(planes, Fx[:, tf.newaxis])  # [N, C, n, W]
        stroke = tf.matmul(Fy[:, tf.newaxis], rows, transpose_a=True)  # [N, C, H, W]
        return tf.transpose(stroke, [0, 2, 3, 1])  # [N, H, W, C]

    def affine(pairs, bias):
        inputs, rows = zip(*pairs, strict=True)
        return tf.concat(inputs, axis=1) @ tf.concat(rows, axis=0) + bias  # [N, units]

    zero_state = layers.LSTMCell.zero_state
    # products with the article's first state count too
    monkeypatch.setattr(layers.LSTMCell, "zero_state", lambda *given: list(zero_state(*given)))
    for module in (layers, draw):
        monkeypatch.setattr(module, "affine", affine)
    monkeypatch.setattr(attention, "read", read)
    monkeypatch.setattr(attention, "write", write)


@pytest.mark.slow
@pytest.mark.parametrize("equations, reads, writes", [
    ("article", True, True), ("article", False, False), ("paper", True, False),
    ("paper", False, True)])
def test_flops_are_those_of_the_graph(equations, reads, writes, papers_products):
    config = DRAWConfig(image_shape=(7, 9, 3), glimpses=2, hidden_size=12, latent_size=3,
                        read_size=2, write_size=5, equations=equations, read_attention=reads,
                        write_attention=writes)
    model = DRAW(config)
    images = tf.TensorSpec([1, *config.image_shape])
    noise = tf.TensorSpec([config.glimpses, 1, config.latent_size])
    assert matmul_flops(config) == flops_in(
        lambda images, noise: model.bound_and_gradients(images, noise), images, noise)
    assert matmul_flops(config, "generate") == flops_in(
        lambda noise: model.generate(1, noise).canvases, noise)
