"""Our model with the listing's weights gives the listing's numbers (see fixtures/README.md)."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from draw_tf import DRAW, DRAWConfig, load_listing_weights, losses
from tests.numerics import MODES, arrays, assert_close, in_mode, named_gradients

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
CONFIG = DRAWConfig(equations="article", shared_noise=True)
WHOLE, PIECES = 10, 4  # of 10 steps; in pieces, 2 go first and then 4 twice

TOLERANCE = 2e-5  # of a tensor's scale; the recording is float32, and 5e-6 is what is seen


def recorded(name):
    with np.load(FIXTURES / f"listing_{name}.npz") as file:
        return dict(file)


def listing_model(unroll):
    model = DRAW(CONFIG, unroll=unroll)
    load_listing_weights(model, recorded("weights"))
    return model


@pytest.mark.parametrize("unroll", [WHOLE, PIECES])
@pytest.mark.parametrize("mode", MODES)
def test_every_recorded_tensor(mode, unroll):
    want = recorded("trace")
    images = want.pop("x").reshape(-1, 28, 28, 1)
    noise = want.pop("e")

    trace = in_mode(listing_model(unroll).trace, mode)(tf.constant(images), tf.constant(noise))
    got = arrays(trace)
    got["canvas"] = got.pop("canvases").reshape(want["canvas"].shape)
    got["KL_true_steps"] = got.pop("kl_nats")
    got["Lx_logits_per_image"] = losses.reconstruction_nats(images, trace.canvases[-1])

    assert_close(got, want, TOLERANCE)
    np.testing.assert_allclose(got["canvas"], want["canvas"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("mode", ["eager", "xla"])
def test_losses_and_gradient_norms(mode):
    batch = recorded("batch")
    images = tf.constant(batch["x"].reshape(-1, 28, 28, 1))
    noise = tf.repeat(batch["e"][tf.newaxis], CONFIG.glimpses, axis=0)
    model = listing_model(WHOLE)

    recon_nats, kl_nats, gradients = in_mode(model.bound_and_gradients, mode)(images, noise)
    assert np.mean(recon_nats) == pytest.approx(batch["Lx"], rel=TOLERANCE)
    assert np.mean(np.sum(kl_nats, axis=0)) == pytest.approx(batch["Lz"], rel=TOLERANCE)

    norms = {name: np.linalg.norm(gradient)
             for name, gradient in named_gradients(model, gradients).items()}
    got = {}
    for layer in ("read", "write", "writeW", "mu", "sigma"):
        got[f"{layer}/Linear/Matrix"] = norms[f"{layer}/kernel"]
        got[f"{layer}/Linear/bias"] = norms[f"{layer}/bias"]
    for cell in ("encoder", "decoder"):  # the listing's kernel is our two, joined
        got[f"{cell}/lstm_cell/kernel"] = np.hypot(norms[f"{cell}/kernel"],
                                                   norms[f"{cell}/recurrent_kernel"])
        got[f"{cell}/lstm_cell/bias"] = norms[f"{cell}/bias"]
    want = {name.removeprefix("norm_logits:"): value for name, value in batch.items()
            if name.startswith("norm_logits:")}
    assert_close(got, want, TOLERANCE)
