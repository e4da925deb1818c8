"""The gradients of the bound are the same eager, as a graph, under XLA, and in pieces."""

import functools

import pytest

from tests import reference
from tests.numerics import (MODES, assert_close, example, in_mode, model_with, named_gradients,
                      small_config)

WHOLE, PIECES = 3, 1  # steps to unroll, of 3; `test_scan` has pieces of other lengths
TOLERANCE = 1e-5  # of a gradient's scale, in float32


def gradients(equations, mode, unroll):
    """The bound's two terms and every gradient, by name."""
    config = small_config(equations=equations, glimpses=3)
    model = model_with(config, reference.random_weights(config, seed=1), unroll)
    images, noise = example(config)
    recon_nats, kl_nats, found = in_mode(model.bound_and_gradients, mode)(images, noise)
    return {"recon_nats": recon_nats, "kl_nats": kl_nats, **named_gradients(model, found)}


@functools.cache
def eager_gradients(equations):
    return gradients(equations, "eager", WHOLE)


@pytest.mark.parametrize("unroll", [WHOLE, PIECES])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("equations", ["article", "paper"])
def test_gradients_are_those_of_eager_mode(equations, mode, unroll):
    assert_close(gradients(equations, mode, unroll), eager_gradients(equations), TOLERANCE)
