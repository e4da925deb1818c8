"""The recurrence in pieces gives what a plain loop does, and so do all its gradients."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from draw_tf.models.recurrence import auto_unroll, product, scan
from tests.support.numerics import EXACT, assert_close, in_mode

T, N, D = 7, 3, 4


def random(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))  # float64


def make_step(weight):
    """A recurrence with a state of two parts, a variable, a constant, and a nested output."""
    def step(state, x, constant):
        hidden, total = state
        hidden = tf.tanh(product(hidden, weight) + x * constant)  # [N, D]
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
    slopes = tape.gradient(value, dict(weight=weight, hidden=state[0], total=state[1],
                                       inputs=inputs, constant=constant))
    return {"end hidden": end[0], "end total": end[1], "hidden": outputs["hidden"],
            "more": outputs["more"][0], "value": value,
            **{f"slope by {name}": slope for name, slope in slopes.items()}}


def results(unroll, mode="eager"):
    weight = tf.Variable(0.5 * random(D, D))
    return in_mode(lambda: run(weight, unroll), mode)()


@functools.cache
def eager_results():
    return results(T)


def test_the_whole_unroll_is_a_plain_loop():
    weight = 0.5 * random(D, D).numpy()
    hidden, total = random(N, D, seed=1).numpy(), random(N, seed=2).numpy()
    outputs = []
    for x in random(T, N, D, seed=3).numpy():
        hidden = np.tanh(hidden @ weight + x * random(N, D, seed=4).numpy())
        total = total + np.sum(hidden * x, axis=1)
        outputs.append((hidden, total * x[:, 0]))
    want = {name: np.stack(part) for name, part in zip(
        ("hidden", "more"), zip(*outputs, strict=True), strict=True)}
    want.update({"end hidden": hidden, "end total": total})
    assert_close({name: eager_results()[name] for name in want}, want, EXACT)


# seven pieces; one step, then two pieces of three
@pytest.mark.parametrize("mode, unroll", [
    ("graph", 1), ("graph", 3), pytest.param("xla", 3, marks=pytest.mark.slow)])
def test_pieces_give_what_the_whole_unroll_does(mode, unroll):
    got, want = results(unroll, mode), eager_results()
    for name in want:
        assert got[name].shape == want[name].shape
    assert_close(got, want, EXACT)


def test_more_steps_to_unroll_than_there_are():
    assert_close(results(T + 5, "graph"), eager_results(), EXACT)


def test_only_pieces_make_a_loop():
    weight = tf.Variable(0.5 * random(D, D))
    for unroll, loops in ((T, False), (3, True)):
        graph = tf.function(lambda steps=unroll: run(weight, steps)).get_concrete_function().graph
        assert any("While" in operation.type for operation in graph.get_operations()) == loops


def test_the_backward_pass_of_pieces_does_not_make_their_products_again():
    weight = tf.Variable(0.5 * random(D, D))
    graph = tf.function(lambda: run(weight, 3)).get_concrete_function().graph
    bodies = [graph._get_function(operation.get_attr("body").name).graph
              for operation in graph.get_operations() if operation.type.endswith("While")]
    products = [sum(operation.type == "MatMul" for operation in body.get_operations())
                for body in bodies]
    # forward: one for each of three steps; backward: those of the two gradients of each
    assert products == [3, 6]


@pytest.mark.parametrize("before, after", [
    ([D], [D, D]), ([D, D], [D]), ([], [D]), ([D], [1]), ([1, D], [D, 1])])
def test_a_step_that_makes_other_products_on_the_way_back_is_refused(before, after):
    def step(state, x, _):
        traced.append(1)  # per piece of one step: for its shapes, forward, and on the way back
        rows = before if len(traced) < 3 else after
        return state + sum(tf.reduce_sum(product(state[:count], x)) for count in rows), state

    traced = []
    state, inputs = random(D, D), random(T, D, D)
    with pytest.raises(RuntimeError, match="must make the same products each time"):
        tf.function(lambda: tf.gradients(scan(step, state, inputs, (), 1)[0], inputs))()


@pytest.mark.parametrize("glimpses, gpus, steps", [
    (16, [], 16), (17, [], 2), (16, ["GPU"], 16), (64, ["GPU"], 8)])
def test_few_steps_are_unrolled_whole_and_many_in_pieces(glimpses, gpus, steps, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    assert auto_unroll(glimpses) == steps
