"""The model's methods, its errors, its first weights, and training it through Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import reference
from draw_tf import DRAW, DRAWConfig
from draw_tf.checkpoint import named_weights
from tests.numerics import example, model_with, named_gradients, small_config

EQUATIONS = ("article", "paper")
N, H, W, C, D, Z = 3, 7, 9, 2, 12, 3


def small_model(**fields):
    return DRAW(small_config(image_shape=(H, W, C), **fields))


def random(*shape):
    return tf.random.stateless_normal(shape, [0, 0])


def shapes(*tensors):
    return [tuple(tensor.shape) for tensor in tensors]


# The article's methods, called in its argument order.


def test_encode():
    inputs = 2 * 2 * 2 * C + D  # two glimpses of 2 x 2, and the decoder's h
    mu, logsigma, sigma, state = small_model().encode([random(N, D), random(N, D)],
                                                      random(N, inputs))
    assert shapes(mu, logsigma, sigma, *state) == [(N, Z)] * 3 + [(N, D)] * 2
    np.testing.assert_allclose(sigma, np.exp(logsigma), rtol=1e-6)


def test_sample():
    np.testing.assert_allclose(small_model().sample(1.0, 2.0, 3.0), 7.0)


def test_decode_layer():
    hidden_layer, state = small_model().decode_layer([random(N, D), random(N, D)], random(N, Z))
    assert shapes(hidden_layer, *state) == [(N, D)] * 3
    np.testing.assert_array_equal(hidden_layer, state[0])


@pytest.mark.parametrize("scope, n", [("read", 2), ("write", 5)])
def test_attn_window(scope, n):
    assert shapes(*small_model().attn_window(scope, random(N, D))) == [(N, n, W), (N, n, H), (N, 1)]


def test_filterbank():
    one = tf.ones([N, 1])
    for Fx, Fy in (small_model().filterbank(4 * one, 3 * one, one, one),
                   small_model().filterbank(gx=4 * one, gy=3 * one, sigma2=one, delta=one)):
        assert shapes(Fx, Fy) == [(N, 2, W), (N, 2, H)]
        np.testing.assert_allclose(np.sum(Fx, axis=2), 1, rtol=1e-6)


def test_read_attention():
    model = model_with(small_config(), reference.random_weights(small_config(), seed=1))
    x, x_hat, h_dec_prev = random(N, 7, 9, 1), random(N, 7, 9, 1) + 1, random(N, D)
    r = model.read_attention(x, x_hat, h_dec_prev)
    assert shapes(r) == [(N, 2 * 2 * 2)]
    for half, image in zip(np.split(r, 2, axis=1), (x, x_hat)):  # x first, then x_hat
        alone = model.read_attention(image, image, h_dec_prev)
        np.testing.assert_allclose(half, np.split(alone, 2, axis=1)[0], rtol=1e-6)


def test_write_attention():
    assert shapes(small_model().write_attention(random(N, D))) == [(N, H, W, C)]


# Errors.


@pytest.mark.parametrize("shape", [(N, H, W), (N, W, H, C), (N, H, W, C + 1)])
@pytest.mark.parametrize("method", ["__call__", "trace", "bound", "log_weights"])
def test_images_of_another_shape_are_refused(method, shape):
    with pytest.raises(ValueError, match=r"images must be \[N, \*\(7, 9, 2\)\], got") as error:
        getattr(small_model(), method)(tf.zeros(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("shape", [(4, N, Z + 1), (5, N, Z), (4, N + 1, Z), (N, Z)])
def test_noise_of_another_shape_is_refused(shape):
    for function in (lambda noise: small_model()(tf.zeros([N, H, W, C]), noise),
                     lambda noise: small_model().generate(N, noise)):
        with pytest.raises(ValueError, match=r"noise must be \(4, 3, 3\), got") as error:
            function(tf.zeros(shape))
        assert str(shape) in str(error.value)


@pytest.mark.parametrize("num", [0, -1])
def test_no_images_can_not_be_generated(num):
    with pytest.raises(ValueError, match=f"num must be at least 1, got {num}"):
        small_model().generate(num)


def test_a_window_that_the_model_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"scope must be one of \['read', 'write'\].*'look'"):
        small_model().attn_window("look", random(N, D))
    with pytest.raises(ValueError, match=r"scope must be one of \['write'\].*'read'"):
        small_model(read_attention=False).attn_window("read", random(N, D))


# New models.


def test_new_weights_are_the_listings():
    weights = {name: variable.numpy() for name, variable in named_weights(DRAW()).items()}
    inputs = {"encoder": 2 * 25 + 256 + 256, "decoder": 10 + 256}  # with the cell's own h
    for cell, rows in inputs.items():
        limit = (6 / (rows + 1024)) ** 0.5
        for name in ("kernel", "recurrent_kernel"):
            kernel = weights.pop(f"{cell}/{name}")
            assert 0.99 * limit < np.abs(kernel).max() <= limit
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
    first = {name: variable for name, variable in
             named_weights(small_model(equations="paper")).items() if name.startswith("first/")}
    assert {name: tuple(variable.shape) for name, variable in first.items()} == {
        "first/canvas": (H, W, C), "first/encoder_h": (D,), "first/encoder_c": (D,),
        "first/decoder_h": (D,), "first/decoder_c": (D,)}
    for variable in first.values():
        assert variable.trainable and not np.any(variable)
    assert small_model().first == {}


@pytest.mark.parametrize("equations", EQUATIONS)
def test_every_weight_of_a_new_model_has_a_gradient(equations):
    model = small_model(equations=equations)
    images, noise = example(model.config)
    _, _, gradients = model.bound_and_gradients(images, noise)
    assert len(gradients) == len(named_weights(model)) == len(model.weights)
    for name, gradient in named_gradients(model, gradients).items():
        assert np.all(np.isfinite(gradient)) and np.any(gradient), name


def test_a_model_is_made_again_from_its_config():
    model = DRAW(small_config(equations="paper"), unroll=2)
    again = DRAW.from_config(model.get_config())
    assert (again.config, again.unroll) == (model.config, 2)


@pytest.mark.parametrize("glimpses, gpus, steps", [(10, [], 10), (16, ["GPU"], 16), (64, [], 4),
                                                   (64, ["GPU"], 8)])
def test_few_glimpses_are_unrolled_whole_and_many_in_pieces(glimpses, gpus, steps, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    assert DRAW(small_config(glimpses=glimpses)).unroll == steps


def test_a_seed_decides_what_is_generated():
    model = small_model()
    one, again, other, any_ = (model.generate(2, seed=seed).canvases.numpy()
                               for seed in (1, 1, 2, None))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other) and not np.allclose(one, any_)


def test_images_may_be_arrays_of_any_float_type():
    model = small_model()
    images, noise = example(model.config)
    want = model.bound(images, noise)
    for got in (model.bound(images.astype(np.float64), noise.astype(np.float64)),
                model.bound(tf.constant(images), tf.constant(noise))):
        np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(
        model.log_weights(images.astype(np.float64), noise), model.log_weights(images, noise))


# Keras: compile, fit, evaluate, predict. 10 images in batches of 4, so the last one is partial.


def blobs(num=10):
    """Images with one soft blob each, [N, H, W, C]."""
    centre = np.random.default_rng(0).uniform(1, 6, size=(num, 2, 1, 1))
    row, col = np.mgrid[:H, :W]
    image = np.exp(-((row - centre[:, 0])**2 + (col - centre[:, 1])**2) / 2)
    return np.stack([image] * C, axis=-1).astype(np.float32)


def without_noise(model):
    """Makes a model's pass a function of its images: its posterior is as narrow as a point."""
    model.logsigma_layer.kernel.assign(tf.zeros_like(model.logsigma_layer.kernel))
    model.logsigma_layer.bias.assign(tf.fill(model.logsigma_layer.bias.shape, -30.0))
    return model


def test_fit_lowers_the_bound():
    keras.utils.set_random_seed(0)
    model = small_model(glimpses=2)
    model.compile(optimizer=keras.optimizers.Adam(0.03), jit_compile=False)
    history = model.fit(blobs(), batch_size=4, epochs=6, verbose=0).history
    assert sorted(history) == ["bound_nats", "kl_nats", "recon_nats"]
    assert history["bound_nats"][-1] < 0.8 * history["bound_nats"][0]
    np.testing.assert_allclose(history["bound_nats"],
                               np.add(history["recon_nats"], history["kl_nats"]), rtol=1e-5)


def test_evaluate_is_the_mean_over_all_images():
    model = without_noise(small_model(glimpses=2))
    model.compile(jit_compile=False)
    report = model.evaluate(blobs(), batch_size=4, verbose=0, return_dict=True)
    recon_nats, kl_nats = model.bound(blobs())
    assert report["recon_nats"] == pytest.approx(np.mean(recon_nats), rel=1e-5)
    assert report["kl_nats"] == pytest.approx(np.mean(np.sum(kl_nats, axis=0)), rel=1e-5)
    assert report["bound_nats"] == pytest.approx(report["recon_nats"] + report["kl_nats"], rel=1e-5)


def test_predict_redraws_every_image():
    config = small_config(image_shape=(H, W, C), glimpses=2)
    model = without_noise(model_with(config, reference.random_weights(config, seed=1)))
    model.compile(jit_compile=False)
    got = model.predict(blobs(), batch_size=4, verbose=0)
    np.testing.assert_allclose(got, tf.sigmoid(model(blobs()).logits), atol=1e-5)


def test_a_few_images_are_learned_by_heart():
    keras.utils.set_random_seed(0)
    images = blobs(4)
    model = small_model(equations="paper", hidden_size=32, glimpses=2)
    model.compile(optimizer=keras.optimizers.Adam(0.02), jit_compile=True)

    def bound_nats():
        return np.mean([np.mean(recon_nats + tf.reduce_sum(kl_nats, axis=0))
                        for recon_nats, kl_nats in (model.bound(images) for _ in range(10))])

    # no model can be under the entropy of the grey pixels themselves
    grey = np.clip(images, 1e-7, 1 - 1e-7)
    entropy = np.mean(np.sum(-grey * np.log(grey) - (1 - grey) * np.log(1 - grey), axis=(1, 2, 3)))
    before = bound_nats()
    model.fit(np.tile(images, [150, 1, 1, 1]), batch_size=4, shuffle=False, verbose=0)  # 150 steps
    after = bound_nats()
    assert 0 < after - entropy < 0.3 * (before - entropy), (entropy, before, after)


def test_grey_levels_do_not_pass_for_probabilities():
    model = small_model()
    levels = np.zeros([1, *model.config.image_shape], np.uint8)
    with pytest.raises(ValueError, match="floating point in .0, 1., got uint8"):
        model.trace(levels)
