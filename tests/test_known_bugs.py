"""Each known bug of the older implementations of DRAW, as a test that it is not here."""

import numpy as np
import pytest
import tensorflow as tf

from draw_tf import DRAW, DRAWConfig
from draw_tf.checkpoints import named_weights
from draw_tf.models import attention
from tests.support.numerics import EXACT, exact_model, example, relative_error, small_config


def column(*values):
    return tf.constant([[value] for value in values], tf.float64)  # [N, 1]


def zero(model, *names):
    """Sets weights to zero by the beginning of their names."""
    for name, variable in named_weights(model).items():
        if name.startswith(names):
            variable.assign(tf.zeros_like(variable))


def grid(equations):
    """The centres of the 5 columns of filters at zero window parameters and a width of 28."""
    zeros = tf.zeros([1, 5], tf.float64)
    gx, _, _, delta, _ = attention.window_parameters(zeros, 28, 28, 5, equations)
    return np.ravel(gx + attention.grid_offsets(5, equations, tf.float64) * delta)


# Off-by-one grid.


def test_the_papers_grid_spans_the_image_from_the_first_pixel_to_the_last():
    np.testing.assert_allclose(grid("paper"), [0, 6.75, 13.5, 20.25, 27], atol=EXACT)


def test_the_listings_grid_is_where_the_listing_has_it():
    np.testing.assert_allclose(grid("article"), [-5.75, 1, 7.75, 14.5, 21.25], atol=EXACT)


@pytest.mark.parametrize("equations", ["article", "paper"])
def test_the_filters_peak_at_the_pixels_nearest_to_the_grid(equations):
    model = DRAW(DRAWConfig(equations=equations, hidden_size=4))
    zero(model, "read/")
    Fx, Fy, gamma = model.attn_window("read", tf.ones([1, 4]))
    nearest = np.clip(grid(equations), 0, 27)
    for filters in (Fx, Fy):
        assert np.all(np.abs(np.argmax(filters[0], axis=1) - nearest) <= 0.5)
    assert gamma == 1


@pytest.mark.parametrize("equations", ["article", "paper"])
def test_a_grid_of_one_point_is_finite(equations):
    gx, gy, _, delta, _ = attention.window_parameters(tf.zeros([1, 5]), 7, 9, 1, equations)
    assert (gx, gy, delta) == ((4, 3, 8) if equations == "paper" else (5, 4, 8))


def test_a_larger_log_delta_widens_the_papers_grid_and_narrows_the_listings():
    params = tf.constant([[0, 0, 0, np.log(2), 0]], tf.float64)
    for equations, want in (("paper", 13.5), ("article", 3.375)):
        delta = attention.window_parameters(params, 28, 28, 5, equations)[3]
        np.testing.assert_allclose(delta, [[want]], rtol=EXACT)


def test_boxes_go_around_the_grid_points():
    for equations, sides in (("paper", (0, 0, 27, 27)), ("article", (-5.75, -5.75, 21.25, 21.25))):
        gx, gy, sigma2, delta, gamma = attention.window_parameters(
            tf.constant([[0, 0, np.log(9), 0, 0]], tf.float64), 28, 28, 5, equations)
        window = attention.Window(gx, gy, delta, sigma2, gamma, None, None, None)
        *box, sigma = attention.window_box(window, 5, equations)
        np.testing.assert_allclose(np.ravel(box), sides, atol=EXACT)
        # the filters' standard deviation in pixels
        assert sigma == pytest.approx(3 if equations == "paper" else 9 * 2**0.5, rel=EXACT)


# Squared sigma2.


@pytest.mark.parametrize("equations", ["article", "paper"])
def test_sigma2_is_a_variance_in_the_paper_and_squared_again_in_the_listing(equations):
    Fx, _ = attention.filterbank(column(10.0), column(10.0), column(4.0), column(1.0), 21, 21, 1,
                                 equations)
    centre = 10 if equations == "paper" else 9
    logs = np.log(Fx[0, 0])
    # how far a Gaussian's logarithm falls one, two and three pixels from its top
    fall = logs[centre] - logs[centre + np.array([1, 2, 3])]
    want = np.array([1, 4, 9]) / (2 * 4 if equations == "paper" else (2 * 4)**2)
    np.testing.assert_allclose(fall, want, rtol=EXACT)


# Shared noise.


def standardised(trace):
    return ((trace.z - trace.mu) / trace.sigma).numpy()  # [T, N, Z]


@pytest.mark.parametrize("shared_noise", [False, True])
def test_each_step_has_its_own_noise_or_the_first_steps(shared_noise):
    config = small_config(shared_noise=shared_noise)
    images, noise = example(config)
    got = standardised(exact_model(config, seed=1).trace(images, noise))
    assert relative_error(got, noise[:1] if shared_noise else noise) < EXACT


@pytest.mark.slow
@pytest.mark.parametrize("in_graph", [False, True])
def test_noise_that_is_not_given_differs_by_step_image_and_pass(in_graph):
    config = small_config(latent_size=20)
    model = DRAW(config, dtype="float64")
    trace = tf.function(model.trace) if in_graph else model.trace
    images, _ = example(config, num=50)
    noise = np.stack([standardised(trace(images)) for _ in range(2)])  # [2, T, N, Z]
    assert len(np.unique(noise.round(6))) > 0.99 * noise.size
    assert abs(noise.mean()) < 0.1 and abs(noise.std() - 1) < 0.1


def test_noise_that_is_not_given_is_shared_where_the_config_says_so():
    config = small_config(shared_noise=True)
    drawn = standardised(exact_model(config, seed=1).trace(example(config)[0]))
    assert relative_error(drawn, drawn[:1]) < EXACT


def test_generation_does_not_share_noise():
    config = small_config(shared_noise=True)
    model = exact_model(config, seed=1)
    _, noise = example(config)
    alike = np.repeat(noise[:1], config.glimpses, axis=0)
    assert relative_error(model.generate(4, noise).canvases[-1],
                          model.generate(4, alike).canvases[-1]) > 0.01


# The KL's constant.


@pytest.mark.parametrize("glimpses, latent_size", [(4, 2), (2, 4), (3, 3)])
def test_a_posterior_that_is_the_prior_costs_nothing(glimpses, latent_size):
    config = small_config(glimpses=glimpses, latent_size=latent_size)
    model = DRAW(config)
    zero(model, "mu/", "sigma/")
    kl_nats = model(*example(config)).kl_nats
    np.testing.assert_array_equal(kl_nats, np.zeros([glimpses, 4]))


# One window for reading and writing.


def test_reading_and_writing_have_windows_of_their_own():
    config = small_config()
    model = exact_model(config, seed=2)
    before = model.trace(*example(config))
    assert before.read.Fx.shape[2] == config.read_size
    assert before.write.Fx.shape[2] == config.write_size
    assert not np.any(np.isclose(before.read.params, before.write.params, atol=1e-3).all(axis=-1))

    model.write_window.bias.assign_add([0.125] * 5)
    after = model.trace(*example(config))
    assert relative_error(after.read.params[0], before.read.params[0]) < EXACT
    assert relative_error(after.write.params[0], before.write.params[0] + 0.125) < EXACT


# Fy built from x, and square images only.


@pytest.mark.parametrize("equations", ["article", "paper"])
def test_fx_follows_gx_over_columns_and_fy_follows_gy_over_rows(equations):
    shift = 0 if equations == "paper" else 1  # the listing's single filter lies one delta left
    Fx, Fy = attention.filterbank(column(11.0, 11.0), column(2.0, 4.0), column(0.5, 0.5),
                                  column(1.0, 1.0), 6, 13, 1, equations)
    assert Fx.shape == (2, 1, 13) and Fy.shape == (2, 1, 6)
    np.testing.assert_array_equal(np.argmax(Fx, axis=2)[:, 0], [11 - shift, 11 - shift])
    np.testing.assert_array_equal(np.argmax(Fy, axis=2)[:, 0], [2 - shift, 4 - shift])


@pytest.mark.parametrize("shape", [(6, 13, 1), (13, 6, 3)])
def test_a_narrow_filter_reads_and_writes_its_pixel_of_an_image_that_is_not_square(shape):
    height, width, channels = shape
    row, col = height - 2, width - 3
    Fx, Fy = attention.filterbank(column(float(col)), column(float(row)), column(1e-3),
                                  column(1.0), height, width, 1, "paper")
    image = example(small_config(image_shape=shape), num=1)[0]
    glimpse = attention.read(image, Fx, Fy, column(2.0))
    np.testing.assert_allclose(glimpse[0, 0, 0], 2 * image[0, row, col], rtol=EXACT)

    ink = tf.reshape(tf.range(1, channels + 1, dtype=tf.float64), [1, 1, 1, channels])
    stroke = attention.write(ink, Fx, Fy, column(2.0)).numpy()
    np.testing.assert_allclose(stroke[0, row, col], np.arange(1, channels + 1) / 2, rtol=EXACT)
    assert np.count_nonzero(np.abs(stroke) > EXACT) == channels


@pytest.mark.parametrize("equations", ["article", "paper"])
@pytest.mark.parametrize("shape", [(6, 13, 1), (13, 6, 3)])
def test_images_need_not_be_square(shape, equations):
    config = small_config(image_shape=shape, equations=equations)
    model = DRAW(config)
    assert model(*example(config)).logits.shape == (4, *shape)
    assert model.generate(2).canvases.shape == (config.glimpses, 2, *shape)
