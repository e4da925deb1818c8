"""Our model with the listing's weights gives the listing's numbers (see fixtures/README.md)."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from draw_tf import DRAW, DRAWConfig, load_listing_weights
from draw_tf.checkpoints.listing import listing_shapes
from draw_tf.models import losses
from tests.support.numerics import (
    RECORDED,
    SINGLE,
    arrays,
    assert_close,
    in_mode,
    named_gradients,
    relative_error,
    small_config,
)

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
CONFIG = DRAWConfig(equations="article", shared_noise=True)


def recorded(name):
    with np.load(FIXTURES / f"listing_{name}.npz") as file:
        return dict(file)


def listing_model(config, dtype):
    model = DRAW(config, dtype=dtype)
    load_listing_weights(model, recorded("weights"))
    return model


def check_steps(steps, dtype, mode, tolerance):
    """Compares the first steps with the recording; returns our nats after them, and all its."""
    want = recorded("trace")
    images = tf.constant(want.pop("x").reshape(-1, 28, 28, 1), dtype)
    nats = want.pop("Lx_logits_per_image")
    want = {name: value[:steps] for name, value in want.items()}
    noise = tf.constant(want.pop("e"), dtype)

    model = listing_model(dataclasses.replace(CONFIG, glimpses=steps), dtype)
    trace = in_mode(model.trace, mode)(images, noise)
    got = arrays(trace)
    got["canvas"] = got.pop("canvases")
    got["KL_true_steps"] = got.pop("kl_nats")
    assert_close(got, want, tolerance)
    return losses.reconstruction_nats(images, trace.canvases[-1]), nats


def test_every_recorded_tensor():
    got, want = check_steps(10, "float64", "eager", RECORDED)
    assert relative_error(got, want) < RECORDED


@pytest.mark.slow
def test_recorded_tensors_in_single_precision_and_compiled():
    check_steps(3, "float32", "xla", SINGLE)


def test_losses_and_gradient_norms():
    batch = recorded("batch")
    images = batch["x"].reshape(-1, 28, 28, 1)
    noise = np.repeat(batch["e"][np.newaxis], CONFIG.glimpses, axis=0)
    model = listing_model(CONFIG, "float64")

    recon_nats, kl_nats, gradients = model.bound_and_gradients(images, noise)
    got = {"Lx": np.mean(recon_nats), "Lz": np.mean(np.sum(kl_nats, axis=0))}
    norms = {name: np.linalg.norm(gradient)
             for name, gradient in named_gradients(model, gradients).items()}
    for layer in ("read", "write", "writeW", "mu", "sigma"):
        got[f"{layer}/Linear/Matrix"] = norms[f"{layer}/kernel"]
        got[f"{layer}/Linear/bias"] = norms[f"{layer}/bias"]
    for cell in ("encoder", "decoder"):  # the listing's kernel is our two, joined
        got[f"{cell}/lstm_cell/kernel"] = np.hypot(norms[f"{cell}/kernel"],
                                                   norms[f"{cell}/recurrent_kernel"])
        got[f"{cell}/lstm_cell/bias"] = norms[f"{cell}/bias"]
    want = {name.removeprefix("norm_logits:"): value for name, value in batch.items()
            if name.startswith("norm_logits:") or name in ("Lx", "Lz")}
    assert_close(got, want, RECORDED)


def test_the_listing_has_no_variables_for_a_learned_first_state():
    shapes = [listing_shapes(DRAW(small_config(equations=name))) for name in ("article", "paper")]
    assert shapes[0] == shapes[1]
