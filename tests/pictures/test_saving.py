"""`draw_tf.save`: what a model drew, as a file."""

import imageio.v3 as iio
import numpy as np
import pytest

import draw_tf
from draw_tf.models.completion import imagine, kept_half
from draw_tf.pictures import strokes
from tests.support.numerics import small_config

CONFIG = small_config(glimpses=3, hidden_size=8)
IMAGES = np.random.default_rng(0).random((4, 7, 9, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return draw_tf.DRAW(CONFIG)


def test_a_gif_and_a_png_are_the_strokes(model, tmp_path):
    trace = model.trace(IMAGES)
    shown, boxes = trace.images.numpy(), model.boxes(trace)
    draw_tf.save(tmp_path / "new" / "a.gif", model, trace, IMAGES)
    assert (tmp_path / "new" / "a.gif").read_bytes() == strokes.encode_gif(
        strokes.stroke_frames(shown, boxes, inputs=IMAGES))
    draw_tf.save(str(tmp_path / "a.PNG"), model, trace, IMAGES, boxes=False, columns=2)
    np.testing.assert_array_equal(iio.imread(tmp_path / "a.PNG"), strokes.film_strip(
        shown, max_columns=2, inputs=IMAGES))


def test_a_page_and_new_images(model, tmp_path):
    draw_tf.save(tmp_path / "a.html", model, model.trace(IMAGES), IMAGES, caption="my caption")
    assert "my caption" in (tmp_path / "a.html").read_text(encoding="utf-8")
    steps = model.generate(2, seed=0)
    draw_tf.save(tmp_path / "a.gif", model, steps)
    assert len(iio.imread(tmp_path / "a.gif", index=None)) >= 1


@pytest.mark.parametrize("strip", [True, False])
def test_completions_show_the_known_pixels_as_they_are(model, tmp_path, strip):
    known = kept_half("top", 7, 9)
    many = np.repeat(IMAGES, 2, axis=0)
    steps = imagine(model, many, known, 0, 2, 1)
    path = tmp_path / ("a.png" if strip else "a.gif")
    draw_tf.save(path, model, steps, IMAGES, known=known)
    want = strokes.completions(steps.images.numpy(), IMAGES, known)
    shown = iio.imread(path) if strip else iio.imread(path, index=None)[-1]
    assert np.abs(shown.astype(int) - want[-1]).max() <= 1


def test_every_kind_of_model_has_pictures(tmp_path):
    model = draw_tf.VAE(draw_tf.VAEConfig((7, 9, 1), hidden_size=4, latent_size=2))
    draw_tf.save(tmp_path / "a.gif", model, model.trace(IMAGES), IMAGES)
    with pytest.raises(ValueError, match="model must be a DRAW, got VAE"):
        draw_tf.save(tmp_path / "a.html", model, model.trace(IMAGES), IMAGES)


@pytest.mark.parametrize("images", [IMAGES[:3], IMAGES[:, :6], np.zeros((4, 28, 28, 1))])
def test_other_images_are_refused(model, tmp_path, images):
    with pytest.raises(ValueError, match=r"images must be those that the steps are of, \[4, 7, 9"):
        draw_tf.save(tmp_path / "a.png", model, model.trace(IMAGES), images)
    assert not list(tmp_path.iterdir())


def test_an_ending_without_a_format_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.gif or \.png or \.html, got .*a.jpg"):
        draw_tf.save(tmp_path / "a.jpg", model, model.generate(1))


@pytest.mark.parametrize("count, imaginations, redrawn", [
    (9, 0, False), (5, 0, False), (3, 2, True), (70, 1, True), (1, 0, True), (9, 0, True)])
def test_the_size_that_is_checked_is_the_size_that_is_drawn(
        model, monkeypatch, tmp_path, count, imaginations, redrawn):
    images = np.zeros((count, 7, 9, 1), np.float32)
    drawn = np.zeros((CONFIG.glimpses, count * max(1, imaginations), 7, 9, 1), np.float32)
    frames = (strokes.completions(drawn, images, kept_half("left", 7, 9)) if imaginations
              else strokes.stroke_frames(drawn, inputs=images if redrawn else None))
    side = max(frames.shape[1:3])
    for limit, fits in ((side, True), (side - 1, False)):
        monkeypatch.setattr(strokes, "LARGEST_SIDE", limit)
        try:
            strokes.check(tmp_path / "a.gif", model, count, imaginations, redrawn=redrawn)
            assert fits
        except ValueError as error:
            assert not fits and f"{frames.shape[2]} x {frames.shape[1]}" in str(error)


@pytest.mark.parametrize("ending", strokes.ENDINGS)
def test_what_does_not_fit_in_memory_is_refused(model, monkeypatch, tmp_path, ending):
    strokes.check(tmp_path / f"a{ending}", model, 100)
    monkeypatch.setattr(strokes, "memory", lambda: 1e6)
    with pytest.raises(ValueError, match="100 images in a .* need about .* GB of memory"):
        strokes.check(tmp_path / f"a{ending}", model, 100)
