"""The gradients of the bound: the reference's slopes, and the same in every mode."""

import numpy as np
import pytest

from tests.support import reference
from tests.support.numerics import (
    CASES,
    EXACT,
    arrays,
    assert_close,
    exact_model,
    example,
    in_mode,
    model_with,
    named_gradients,
    our_name,
    small_config,
)

EQUATIONS = ("article", "paper")
TINY = 1e-30  # the step of a complex-step derivative, which rounds nothing however small it is


def check_slopes(config, window_scale=1):
    """Compares the gradient of each weight with the reference's slope along a random way."""
    weights = reference.random_weights(config, 2, window_scale)
    images, noise = example(config, num=2)
    model = model_with(config, weights, dtype="float64")
    gradients = named_gradients(model, model.bound_and_gradients(images, noise)[2])

    random = np.random.default_rng(0)
    errors = {}
    for name, value in weights.items():
        way = random.normal(size=value.shape)
        moved = {**weights, name: value + 1j * TINY * way}
        slope = np.mean(reference.draw(config, moved, images, noise)["bound_nats"]).imag / TINY
        gradient = gradients[our_name(name)]
        errors[name] = abs(slope - np.sum(gradient * way)) / (
            np.linalg.norm(gradient) * np.linalg.norm(way))
    assert all(error < EXACT for error in errors.values()), errors


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("equations", EQUATIONS)
def test_every_gradient_is_the_slope_of_the_references_bound(equations, case):
    check_slopes(small_config(equations=equations, **CASES[case]))


@pytest.mark.parametrize("equations", EQUATIONS)
def test_gradients_are_slopes_where_filters_lie_off_the_image(equations):
    check_slopes(small_config(equations=equations), window_scale=3)


def results(config, mode, unroll):
    """The bound's two terms, every gradient and a generation, as one program; and a trace."""
    model = exact_model(config, seed=1, unroll=unroll)
    images, noise = example(config, num=2)

    def program(images, noise):
        return model.bound_and_gradients(images, noise), model.generate(2, noise)

    (recon_nats, kl_nats, gradients), drawn = in_mode(program, mode)(images, noise)
    # `test_listing` has one under XLA
    trace = in_mode(model.trace, "graph" if mode == "graph" else "eager")(images, noise)
    return {"recon_nats": recon_nats, "bound's kl_nats": kl_nats, **arrays(trace),
            **{f"drawn {name}": x for name, x in arrays(drawn).items()},
            **named_gradients(model, gradients)}


# The product as it is used, and pieces of one step; `test_recurrence` has more pieces.
@pytest.mark.slow
@pytest.mark.parametrize("equations, mode, unroll", [("article", "xla", 2), ("paper", "graph", 1)])
def test_every_mode_gives_what_eager_mode_does(equations, mode, unroll):
    config = small_config(equations=equations)
    assert_close(results(config, mode, unroll), results(config, "eager", unroll=2), EXACT)
