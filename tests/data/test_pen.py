"""A digit that somebody wrote, as it comes to a model: found, turned light, and centred."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from draw_tf import data


def digit():
    """A light seven on dark in 28 x 28, its centre of mass in the middle, float32 [28, 28]."""
    seven = np.zeros((28, 28), np.float32)
    for row in range(20):
        column = 20 - row // 2
        seven[4 + row, column - 1:column + 2] = 1
    seven[4:7, 6:20] = 1
    seven = np.roll(seven, [round(13.5 - (seven.sum(axis=1 - axis) @ np.arange(28)) / seven.sum())
                            for axis in (0, 1)], (0, 1))
    return seven


def photograph(path, thin=False, light_on_dark=False):
    """Writes the seven as on paper under a lamp, off the middle."""
    ink = Image.fromarray((digit() * 255).astype(np.uint8)).resize((560, 560))
    ink = ink.filter(ImageFilter.MinFilter(21)) if thin else ink
    ink = np.pad(np.asarray(ink) / 255, ((50, 390), (300, 40)))  # [1000, 900]
    light = 0.5 + 0.3 * np.linspace(0, 1, 1000)[:, None] + 0.1 * np.linspace(0, 1, 900)
    noise = np.random.RandomState(0).normal(0, 0.02, ink.shape)
    seen = light * (0.2 + 0.6 * ink if light_on_dark else 1 - 0.7 * ink) + noise
    Image.fromarray((255 * seen.clip(0, 1)).astype(np.uint8)).save(path)


@pytest.mark.parametrize("options", [{}, {"thin": True}, {"light_on_dark": True}])
def test_a_written_digit_becomes_as_those_of_mnist_are(tmp_path, options):
    photograph(tmp_path / "seven.jpg", **options)
    shown, = data.pictures([tmp_path / "seven.jpg"], (28, 28, 1), dark_background=True,
                           fit_digit=True)  # [28, 28, 1]
    assert shown.dtype == np.float32 and shown.shape == (28, 28, 1)
    assert shown.min() == 0 and shown.max() == 1 and np.median(shown) == 0
    rows, columns = (np.flatnonzero((shown > 0.5).any(axis=(axis, 2))) for axis in (1, 0))
    assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
    for axis in (0, 1):
        mass = shown.sum(axis=(1 - axis, 2))
        assert abs(mass @ np.arange(28) / mass.sum() - 13.5) <= 0.51
    assert np.corrcoef(shown.ravel(), digit().ravel())[0, 1] > (0.7 if options.get("thin") else 0.8)


@pytest.mark.parametrize("level", [0, 255])
def test_ink_on_nothing_is_found_whether_dark_or_light(tmp_path, level):
    alpha = np.pad((255 * digit()).astype(np.uint8), ((20, 9), (5, 30))).repeat(4, 0).repeat(4, 1)
    Image.fromarray(np.dstack([np.full_like(alpha, level)] * 3 + [alpha])).save(tmp_path / "a.png")
    shown, = data.pictures([tmp_path / "a.png"], (28, 28, 1), dark_background=True, fit_digit=True)
    assert np.corrcoef(shown.ravel(), digit().ravel())[0, 1] > 0.8


def test_nothing_around_a_sheet_of_paper_is_paper(tmp_path):
    sheet = np.pad(1 - 0.9 * digit(), 6, constant_values=1).repeat(6, 0).repeat(6, 1)  # [240, 240]
    alpha = np.full_like(sheet, 255)
    alpha[:30] = 0
    picture = np.dstack([255 * sheet] * 3 + [alpha]).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    shown, = data.pictures([tmp_path / "a.png"], (28, 28, 1), dark_background=True, fit_digit=True)
    assert np.corrcoef(shown.ravel(), digit().ravel())[0, 1] > 0.8


def test_ink_is_turned_light_where_asked_or_where_it_lies_on_light_ground(tmp_path):
    paper, slate = tmp_path / "paper.png", tmp_path / "slate.png"
    seven = (55 + 150.0 * digit()).astype(np.uint8)
    Image.fromarray(255 - seven).save(paper)
    Image.fromarray(seven).save(slate)
    plain, turned = seven / 255, 1 - seven / 255
    for path, first, options in (
            (paper, 1 - plain, {}), (slate, plain, {}),
            (paper, plain, {"dark_background": True}),
            (slate, plain, {"dark_background": True}), (slate, turned, {"invert": True}),
            (paper, 1 - plain, {"dark_background": True, "invert": False})):
        one, = data.pictures([path], (28, 28, 1), **options)
        np.testing.assert_allclose(one[..., 0], first, atol=1e-6)
    # a digit of the model's own size is left as it is
    np.testing.assert_array_equal(
        data.pictures([slate], (28, 28, 1), dark_background=True),
        data.pictures([slate], (28, 28, 1), dark_background=True, fit_digit=True))
