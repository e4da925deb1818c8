"""Random numbers as functions of what they are for."""

import numpy as np
import pytest

from draw_tf import noise
from draw_tf.noise import between, evaluation_noise


def test_draws_of_one_stream_are_uniform_and_independent():
    draws = noise.uniform(7, noise.DYNAMIC, 10**12, 5000, (3, 3, 1)).numpy().reshape(5000, 9)
    assert draws.min() >= 0 and draws.max() < 1
    assert np.histogram(draws, 10, (0, 1))[0] == pytest.approx([4500] * 10, abs=320)  # 5 sigma
    assert np.abs(np.corrcoef(draws.T) - np.eye(9)).max() < 0.075  # 5.3 sigma


@pytest.mark.parametrize("draw", [noise.uniform, noise.normal])
def test_keys_and_streams_give_other_numbers(draw):
    draws = [draw(key, stream, 0, 20, (5,)).numpy()
             for key, stream in ((0, 0), (1, 0), (0, 1), (2**31 - 1, 3))]
    assert len(np.unique(draws)) == 4 * 20 * 5


def test_evaluation_noise_belongs_to_the_image_and_not_to_its_batch():
    whole = evaluation_noise(3, 0, 20, 5, 7).numpy()  # 35 numbers per image, no multiple of 4
    np.testing.assert_array_equal(evaluation_noise(3, 6, 4, 5, 7), whole[:, 6:10])
    assert len(np.unique(whole)) == whole.size
    other = evaluation_noise(4, 0, 20, 5, 7).numpy()
    assert abs(np.corrcoef(whole.ravel(), other.ravel())[0, 1]) < 0.15


def test_evaluation_noise_is_standard_normal():
    drawn = evaluation_noise(0, 0, 2000, 5, 7).numpy()
    assert drawn.shape == (5, 2000, 7)
    assert abs(drawn.mean()) < 0.02 and abs(drawn.std() - 1) < 0.02
    assert abs((np.abs(drawn) < 1).mean() - 0.6827) < 0.01
    neighbours = np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.02


def test_training_noise_follows_from_seed_and_step():
    first = noise.noise_for(0, 5, [2, 3, 4])
    np.testing.assert_array_equal(noise.noise_for(0, 5, [2, 3, 4]), first)
    for seed, step in ((1, 5), (0, 6)):
        assert not np.any(noise.noise_for(seed, step, [2, 3, 4]) == first)


def test_interpolation_starts_and_ends_at_its_ends_and_keeps_their_length():
    ends = np.random.default_rng(0).standard_normal((2, 3, 1, 2))  # [2, T, 1, Z]
    ends[1] *= np.linalg.norm(ends[0]) / np.linalg.norm(ends[1])
    way = between(*ends, 5)  # [T, 5, Z]
    assert way.shape == (3, 5, 2)
    np.testing.assert_allclose(way[:, [0, -1]], np.concatenate(ends, axis=1))
    lengths = np.linalg.norm(way, axis=(0, 2))  # [5]
    np.testing.assert_allclose(lengths, lengths[0])
    steps = np.linalg.norm(np.diff(way, axis=1), axis=(0, 2))  # [4]
    np.testing.assert_allclose(steps, steps[0])


@pytest.mark.parametrize("factor", [1, 2, -1])
def test_interpolation_of_ends_on_one_line_is_finite(factor):
    first = np.random.default_rng(0).standard_normal((3, 1, 2))  # [T, 1, Z]
    way = between(first, factor * first, 3)  # [T, 3, Z]
    np.testing.assert_allclose(way[:, [0, 2]], np.concatenate([first, factor * first], axis=1))
    np.testing.assert_allclose(way[:, 1], first[:, 0] * (1 + factor) / 2, atol=1e-12)
