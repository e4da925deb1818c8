"""The article's methods are the path of every number: a subclass that changes one changes all."""

import numpy as np
import pytest
import tensorflow as tf

from draw_tf import DRAW
from tests.support.numerics import example, in_mode, relative_error, small_config


def larger(result):
    """The first tensor of a method's result, or its only one, made a little larger."""
    if isinstance(result, tuple):
        return 1.1 * result[0], *result[1:]
    return 1.1 * result


def decoded(result):
    """A decoder whose h is larger for what is written, and in what it remembers."""
    h, (_, c) = result
    return 1.1 * h, [1.1 * h, c]


# the change, and whether drawing from the prior has the method
METHODS = {"encode": (larger, False), "decode_layer": (decoded, True),
           "attn_window": (larger, True), "filterbank": (larger, True),
           "read_attention": (larger, False), "write_attention": (larger, True)}
CONFIG = small_config(image_shape=(5, 6, 1), hidden_size=4)


def results(model, images, noise):
    """A number of each kind of pass; `noise` decides all of them."""
    trace = model.trace(images, noise)
    recon_nats, _, gradients = model.bound_and_gradients(images, noise)
    return {"call": model(images, noise).logits, "bound": recon_nats,
            "gradient": tf.concat([tf.reshape(x, [-1]) for x in gradients], axis=0),
            "log_weights": model.log_weights(images, noise), "trace": trace.canvases,
            "window": tf.concat([trace.read.Fx, trace.write.Fx], axis=2),
            "generate": model.generate(images.shape[0], noise).canvases}


@pytest.mark.parametrize("mode", ["eager", pytest.param("xla", marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_is_overridden_changes_every_number(method, mode):
    change, draws = METHODS[method]

    def changed(self, *arguments):
        return change(getattr(DRAW, method)(self, *arguments))

    images, noise = example(CONFIG)
    model = DRAW(CONFIG, dtype="float64")
    other = type("Other", (DRAW,), {method: changed})(CONFIG, dtype="float64")
    for k, weights in enumerate(zip(model.weights, other.weights, strict=True)):
        value = np.random.default_rng(k).normal(size=weights[0].shape) / 2
        for weight in weights:
            weight.assign(value)
    got, want = (in_mode(lambda x, e, m=m: results(m, x, e), mode)(images, noise)
                 for m in (other, model))
    for name in want:
        changes = relative_error(got[name], want[name].numpy()) > 1e-6
        assert changes == (name != "generate" or draws), name


def test_fit_trains_by_what_is_overridden():
    class Blind(DRAW):
        def read_attention(self, x, x_hat, h_dec_prev):
            return 0 * super().read_attention(x, x_hat, h_dec_prev)

    model = Blind(CONFIG)
    model.compile("sgd", run_eagerly=True)
    window = model.read_window.get_weights()
    model.fit(example(CONFIG)[0], epochs=1, verbose=0)
    for before, after in zip(window, model.read_window.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)  # nothing is read, so nothing is learned
