"""The model's methods, its errors, its first weights, and training it through Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from draw_tf import DRAW
from draw_tf.checkpoints import named_weights
from tests.support.numerics import (
    EXACT,
    SINGLE,
    assert_close,
    exact_model,
    example,
    named_gradients,
    relative_error,
    small_config,
)

EQUATIONS = ("article", "paper")
N, H, W, C, D, Z = 3, 7, 9, 2, 8, 3
CONFIG = small_config(image_shape=(H, W, C))


def small_model(**fields):
    return DRAW(small_config(image_shape=(H, W, C), **fields))


def random(*shape, dtype=tf.float64):
    return tf.random.stateless_normal(shape, [0, 0], dtype=dtype)


def shapes(*tensors):
    return [tuple(tensor.shape) for tensor in tensors]


# The article's methods, called in its argument order.


def test_encode():
    inputs = 2 * 2 * 2 * C + D  # two glimpses of 2 x 2, and the decoder's h
    mu, logsigma, sigma, state = exact_model(CONFIG, seed=1).encode(
        [random(N, D), random(N, D)], random(N, inputs))
    assert shapes(mu, logsigma, sigma, *state) == [(N, Z)] * 3 + [(N, D)] * 2
    assert relative_error(sigma, np.exp(logsigma)) < EXACT


def test_sample():
    assert small_model().sample(1.0, 2.0, 3.0) == 7


def test_decode_layer():
    hidden_layer, state = exact_model(CONFIG, seed=1).decode_layer(
        [random(N, D), random(N, D)], random(N, Z))
    assert shapes(hidden_layer, *state) == [(N, D)] * 3
    np.testing.assert_array_equal(hidden_layer, state[0])


@pytest.mark.parametrize("scope, n", [("read", 2), ("write", 5)])
def test_attn_window(scope, n):
    Fx, Fy, gamma = exact_model(CONFIG, seed=1).attn_window(scope, random(N, D))
    assert shapes(Fx, Fy, gamma) == [(N, n, W), (N, n, H), (N, 1)]


def test_filterbank():
    one = tf.ones([N, 1])
    square = small_model(read_size=2, write_size=2)
    only_write = small_model(read_attention=False, write_size=2)
    for Fx, Fy in (square.filterbank(4 * one, 3 * one, one, one),
                   square.filterbank(gx=4 * one, gy=3 * one, sigma2=one, delta=one),
                   only_write.filterbank(4 * one, 3 * one, one, one),
                   small_model().filterbank(4 * one, 3 * one, one, one, 2)):
        assert shapes(Fx, Fy) == [(N, 2, W), (N, 2, H)]
        np.testing.assert_allclose(np.sum(Fx, axis=2), 1, rtol=SINGLE)
    for model in (small_model(), small_model(read_attention=False, write_attention=False)):
        with pytest.raises(ValueError, match="size must be given, the sides .* got None"):
            model.filterbank(4 * one, 3 * one, one, one)  # two grids, or none


def test_read_attention():
    model = exact_model(CONFIG, seed=1)
    x, x_hat, h_dec_prev = random(N, H, W, C), random(N, H, W, C) + 1, random(N, D)
    r = model.read_attention(x, x_hat, h_dec_prev)
    assert shapes(r) == [(N, 2 * 2 * 2 * C)]
    for half, image in zip(np.split(r, 2, axis=1), (x, x_hat), strict=True):  # x first, then x_hat
        alone = model.read_attention(image, image, h_dec_prev)
        assert relative_error(half, np.split(alone, 2, axis=1)[0]) < EXACT


def test_write_attention():
    assert shapes(exact_model(CONFIG, seed=1).write_attention(random(N, D))) == [(N, H, W, C)]


# Errors.


@pytest.mark.parametrize("shape", [(N, H, W), (N, W, H, C), (N, H, W, C + 1)])
@pytest.mark.parametrize("method", ["__call__", "trace", "bound", "log_weights"])
def test_images_of_another_shape_are_refused(method, shape):
    with pytest.raises(ValueError, match=r"images must be \[N, 7, 9, 2\], got") as error:
        getattr(small_model(), method)(tf.zeros(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("shape", [(2, N, Z + 1), (3, N, Z), (2, N + 1, Z), (N, Z)])
def test_noise_of_another_shape_is_refused(shape):
    for function in (lambda noise: small_model()(tf.zeros([N, H, W, C]), noise),
                     lambda noise: small_model().generate(N, noise)):
        with pytest.raises(ValueError, match=r"noise must be \(2, 3, 3\), got") as error:
            function(tf.zeros(shape))
        assert str(shape) in str(error.value)


@pytest.mark.parametrize("num", [0, -1])
def test_no_images_cannot_be_generated(num):
    with pytest.raises(ValueError, match=f"num must be at least 1, got {num}"):
        small_model().generate(num)


@pytest.mark.parametrize("scope, fields", [
    ("look", {}), ("read", {"read_attention": False}), ("write", {"write_attention": False})])
def test_a_window_that_the_model_does_not_have_is_refused(scope, fields):
    with pytest.raises(ValueError, match=f"scope must be .* got '{scope}'"):
        small_model(**fields).attn_window(scope, random(N, D, dtype=tf.float32))


def test_grey_levels_do_not_pass_for_probabilities():
    with pytest.raises(ValueError, match=r"floating point in \[0, 1\], got uint8"):
        small_model().trace(np.zeros([1, H, W, C], np.uint8))


# New models.


def test_new_weights_are_the_listings():
    weights = {name: variable.numpy() for name, variable in named_weights(DRAW()).items()}
    inputs = {"encoder": 2 * 25 + 256 + 256, "decoder": 10 + 256}  # with the cell's own h
    for cell, rows in inputs.items():
        limit = (6 / (rows + 1024)) ** 0.5
        for name in ("kernel", "recurrent_kernel"):
            kernel = weights.pop(f"{cell}/{name}")
            assert 0.99 * limit < np.abs(kernel).max() <= np.float32(limit)
            assert np.std(kernel) == pytest.approx(limit / 3**0.5, rel=0.03)
            assert abs(np.mean(kernel)) < 0.03 * limit
        bias = weights.pop(f"{cell}/bias")  # gates i, f, c, o
        np.testing.assert_array_equal(bias, np.repeat([0, 1, 0, 0], 256))
    for layer in ("read", "write", "writeW", "mu", "sigma"):
        kernel = weights.pop(f"{layer}/kernel")
        assert np.std(kernel) == pytest.approx(0.02, rel=0.1) and abs(np.mean(kernel)) < 0.002
        assert not np.any(weights.pop(f"{layer}/bias"))
    assert not weights


def test_the_papers_first_state_is_learned_and_zero_in_a_new_model():
    def first_state(equations):
        return {name: variable for name, variable in
                named_weights(small_model(equations=equations)).items()
                if name.startswith("first/")}

    assert {name: tuple(variable.shape) for name, variable in first_state("paper").items()} == {
        "first/canvas": (H, W, C), "first/encoder_h": (D,), "first/encoder_c": (D,),
        "first/decoder_h": (D,), "first/decoder_c": (D,)}
    for variable in first_state("paper").values():
        assert variable.trainable and not np.any(variable)
    assert not first_state("article")


@pytest.mark.parametrize("equations", EQUATIONS)
def test_every_weight_of_a_new_model_has_a_gradient(equations):
    model = small_model(equations=equations)
    _, _, gradients = model.bound_and_gradients(*example(model.config))
    assert len(gradients) == len(named_weights(model)) == len(model.weights)
    for name, gradient in named_gradients(model, gradients).items():
        assert np.all(np.isfinite(gradient)) and np.any(gradient), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_is_made_again_from_its_config(dtype):
    model = DRAW(small_config(equations="paper"), unroll=1, dtype=dtype)
    again = DRAW.from_config(model.get_config())
    assert (again.config, again.unroll, again.compute_dtype) == (model.config, 1, dtype)
    # the choice for this machine is not taken along to another
    assert DRAW(model.config).get_config()["unroll"] == 0


def test_the_unroll_is_chosen_where_it_is_not_given():
    assert [DRAW(CONFIG, unroll).unroll for unroll in (0, 1)] == [2, 1]


def test_a_seed_decides_what_is_generated():
    model = exact_model(CONFIG, seed=1)
    one, again, other, some = (model.generate(2, seed=seed).canvases.numpy()
                               for seed in (1, 1, 2, None))
    assert relative_error(again, one) < EXACT
    assert relative_error(other, one) > 0.01 and relative_error(some, one) > 0.01


@pytest.mark.parametrize("seed", [None, 3])
def test_noise_that_is_not_given_is_standard_normal(seed):
    noise = DRAW(CONFIG).draw_noise(5000, seed).numpy().ravel()  # 30,000 numbers
    # moments of N(0, 1); each bound is over five standard errors
    for power, moment, bound in ((1, 0, 0.03), (2, 1, 0.05), (3, 0, 0.12), (4, 3, 0.3)):
        assert abs(np.mean(noise**power) - moment) < bound


@pytest.mark.parametrize("convert", [np.float16, np.float64, tf.constant])
def test_images_and_noise_may_be_of_any_float_type(convert):
    model = DRAW(CONFIG)
    images, noise = (np.round(4 * x) / 4 for x in example(CONFIG))  # exact in every type
    inputs = {"given": (convert(images), convert(noise)),
              "own": (np.float32(images), np.float32(noise))}
    results = {name: dict(enumerate((*model.bound(*pair), model.log_weights(*pair))))
               for name, pair in inputs.items()}
    assert_close(results["given"], results["own"], SINGLE)


# Keras: compile, fit, evaluate, predict. 10 images in batches of 4, so the last one is partial.


def blobs(num=10):
    """Images with one soft blob each, [N, H, W, C]."""
    centre = np.random.default_rng(0).uniform(1, 6, size=(num, 2, 1, 1))
    row, col = np.mgrid[:H, :W]
    image = np.exp(-((row - centre[:, 0])**2 + (col - centre[:, 1])**2) / 2)
    return np.stack([image] * C, axis=-1).astype(np.float32)


def without_noise():
    """A model whose pass is a function of its images: its posterior is as narrow as a point."""
    model = exact_model(CONFIG, seed=1)
    model.logsigma_layer.kernel.assign(tf.zeros_like(model.logsigma_layer.kernel))
    model.logsigma_layer.bias.assign(tf.fill(model.logsigma_layer.bias.shape, -30.0))
    model.compile(jit_compile=False)
    return model


@pytest.mark.slow
def test_fit_learns_a_few_images_by_heart():
    keras.utils.set_random_seed(0)
    images = blobs(2)
    model = small_model(glimpses=1)
    model.compile(optimizer=keras.optimizers.Adam(0.03), jit_compile=False)
    history = model.fit(np.tile(images, [25, 1, 1, 1]), batch_size=2, epochs=2, shuffle=False,
                        verbose=0).history
    assert sorted(history) == ["bound_nats", "kl_nats", "loss", "recon_nats"]
    np.testing.assert_allclose(history["bound_nats"],
                               np.add(history["recon_nats"], history["kl_nats"]), rtol=SINGLE)
    # no model can be under the entropy of the grey pixels themselves
    grey = np.clip(images, 1e-7, 1 - 1e-7)
    entropy = np.mean(np.sum(-grey * np.log(grey) - (1 - grey) * np.log(1 - grey), axis=(1, 2, 3)))
    before = H * W * C * np.log(2)  # of a canvas of zeros
    assert 0 < history["bound_nats"][-1] - entropy < 0.3 * (before - entropy), history


@pytest.mark.slow
def test_evaluate_is_the_mean_over_all_images():
    model = without_noise()
    report = model.evaluate(blobs(), batch_size=4, verbose=0, return_dict=True)
    recon_nats, kl_nats = (np.mean(x) for x in model.bound(blobs()))
    kl_nats *= CONFIG.glimpses
    want = dict(recon_nats=recon_nats, kl_nats=kl_nats, bound_nats=recon_nats + kl_nats)
    assert {name: report[name] for name in want} == pytest.approx(want, rel=SINGLE)


@pytest.mark.slow
def test_predict_redraws_every_image():
    model = without_noise()
    got = model.predict(blobs(), batch_size=4, verbose=0)
    assert relative_error(got, tf.sigmoid(model(blobs()).logits)) < SINGLE
