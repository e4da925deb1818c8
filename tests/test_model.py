"""The model against `reference.py`, which computes the same in NumPy float64, another way."""

import numpy as np
import pytest
import tensorflow as tf

from tests import reference
from tests.numerics import (arrays, assert_close, example, in_mode, model_with, named_gradients,
                      our_name, relative_error, small_config)

EQUATIONS = ("article", "paper")
TOLERANCE = 1e-5  # of a tensor's scale, in float32
PRICES = ("recon_nats", "bound_nats")  # what `reference.draw` computes beside its steps

CASES = {
    "two grid sizes": dict(read_size=2, write_size=5),
    "grids of one point": dict(read_size=1, write_size=1),
    "colour": dict(image_shape=(7, 9, 3), read_size=3, write_size=2),
    "a tall image": dict(image_shape=(11, 6, 2)),
    "shared noise": dict(shared_noise=True),
    "no read attention": dict(read_attention=False, image_shape=(7, 9, 3)),
    "no write attention": dict(write_attention=False, image_shape=(7, 9, 3)),
    "no attention": dict(read_attention=False, write_attention=False),
    "T over Z": dict(glimpses=6, latent_size=2),
}


def off_image(result):
    """Of each window in use, the share of filters whose sum met the floor."""
    return {name: np.mean(np.sum(result[name], axis=-1) < 0.999)
            for name in result if name.endswith(("Fx", "Fy"))}


def check_trace(config, window_scale, seed):
    """Compares every tensor of a pass with the reference's, and returns the latter."""
    weights = reference.random_weights(config, seed, window_scale)
    images, noise = example(config, seed=seed)
    want = reference.draw(config, weights, images, noise)
    prices = {name: want.pop(name) for name in PRICES}
    model = model_with(config, weights)

    trace = model.trace(images, noise)
    assert_close(arrays(trace), want, TOLERANCE)

    recon_nats, kl_nats = model.bound(images, noise)
    bound_nats = recon_nats + tf.reduce_sum(kl_nats, axis=0)
    assert_close(dict(recon_nats=recon_nats, bound_nats=bound_nats), prices, TOLERANCE)
    return want


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("equations", EQUATIONS)
def test_every_tensor_is_the_references(equations, case, seed):
    check_trace(small_config(equations=equations, **CASES[case]), window_scale=1, seed=seed)


# In float32 a filter far off the image keeps fewer digits, for its exponent is large: of the seeds
# 1 to 12 these stay well under the tolerance, and the worst come to 2e-5. At seeds where a window
# never meets the image, nothing is left to compare but what float32 rounds to zero.
@pytest.mark.parametrize("seed", [1, 6, 9])
@pytest.mark.parametrize("window_scale", [2, 3])
@pytest.mark.parametrize("equations", EQUATIONS)
def test_every_tensor_is_the_references_where_filters_fall_off_the_image(
        equations, window_scale, seed):
    config = small_config(equations=equations, image_shape=(7, 9, 3))
    want = check_trace(config, window_scale, seed)
    shares = off_image(want)
    assert max(shares.values()) > 0.1, shares  # the floor of the normaliser is met ...
    assert min(shares.values()) < 0.9, shares  # ... and not everywhere


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("equations", EQUATIONS)
def test_generation_is_the_references(equations, case):
    config = small_config(equations=equations, **CASES[case])
    weights = reference.random_weights(config, seed=3)
    _, noise = example(config, seed=3)
    want = reference.generate(config, weights, noise)
    got = arrays(model_with(config, weights).generate(5, noise))
    # of the decoder's states and patches the reference keeps none here
    assert_close({name: got[name] for name in want}, want, TOLERANCE)


@pytest.mark.parametrize("equations", EQUATIONS)
def test_generation_is_the_second_half_of_a_pass(equations):
    config = small_config(equations=equations)
    model = model_with(config, reference.random_weights(config, seed=4))
    trace = arrays(model.trace(*example(config)))
    generated = arrays(model.generate(5, trace["z"]))
    assert_close(generated, {name: trace[name] for name in generated}, TOLERANCE)


@pytest.mark.parametrize("equations", EQUATIONS)
def test_call_is_the_end_of_the_trace(equations):
    config = small_config(equations=equations)
    model = model_with(config, reference.random_weights(config, seed=5))
    images, noise = example(config)
    output, trace = model(images, noise), model.trace(images, noise)
    np.testing.assert_array_equal(output.logits, trace.canvases[-1])
    np.testing.assert_array_equal(output.kl_nats, trace.kl_nats)


@pytest.mark.parametrize("unroll", [5, 2])  # whole; one step, then two pieces of two
@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_generation_is_the_references_in_every_mode(mode, unroll):
    config = small_config(equations="paper", glimpses=5)
    weights = reference.random_weights(config, seed=6)
    _, noise = example(config)
    model = model_with(config, weights, unroll)
    want = reference.generate(config, weights, noise)
    got = arrays(in_mode(lambda z: model.generate(5, z), mode)(noise))
    assert_close({name: got[name] for name in want}, want, TOLERANCE)


@pytest.mark.parametrize("unroll", [4, 2])
def test_one_graph_takes_batches_of_any_size(unroll):
    config = small_config(equations="paper")
    model = model_with(config, reference.random_weights(config, seed=7), unroll)
    signature = [tf.TensorSpec([None, *config.image_shape]),
                 tf.TensorSpec([config.glimpses, None, config.latent_size])]
    graph = tf.function(model.bound, input_signature=signature)
    for num in (1, 3):
        images, noise = example(config, num)
        for got, want in zip(graph(images, noise), model.bound(images, noise)):
            assert got.shape == want.shape and relative_error(got, want) < TOLERANCE


@pytest.mark.parametrize("equations", EQUATIONS)
def test_every_gradient_is_the_slope_of_the_references_bound(equations):
    config = small_config(equations=equations)
    weights = reference.random_weights(config, seed=8)
    images, noise = example(config)
    model = model_with(config, weights)
    gradients = named_gradients(model, model.bound_and_gradients(images, noise)[2])

    def bound(weights):
        return np.mean(reference.draw(config, weights, images, noise)["bound_nats"])

    for name, value in weights.items():
        gradient = gradients[our_name(name)].astype(np.float64)
        length = np.linalg.norm(gradient)
        step = 1e-5 * gradient / length  # uphill
        up, down = (bound({**weights, name: value + way * step}) for way in (1, -1))
        assert (up - down) / 2e-5 == pytest.approx(length, rel=1e-4), name


@pytest.mark.parametrize("equations", EQUATIONS)
@pytest.mark.parametrize("shared_noise", [False, True])
def test_log_weights_are_the_log_ratio_of_the_densities(equations, shared_noise):
    config = small_config(equations=equations, shared_noise=shared_noise)
    weights = reference.random_weights(config, seed=9)
    images, noise = example(config)
    want = reference.draw(config, weights, images, noise)

    def log_density(z, mu, sigma):  # summed over steps and latent variables
        each = -0.5 * ((z - mu) / sigma)**2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
        return each.sum(axis=(0, 2))  # [N]

    ratio = (-want["recon_nats"] + log_density(want["z"], 0, 1)
             - log_density(want["z"], want["mu"], want["sigma"]))
    got = model_with(config, weights).log_weights(images, noise)
    assert relative_error(got, ratio) < TOLERANCE
