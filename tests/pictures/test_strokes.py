import os
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow as tf

from draw_tf import DRAW, DRAWConfig
from draw_tf.models.attention import Window, window_box
from draw_tf.models.steps import Generation
from draw_tf.pictures import strokes, tiles
from draw_tf.pictures.tiles import GAP, GREEN, RED
from tests.support.drawings import canvases, moving_box


def playback(data, tick_ms=10):
    """What a GIF shows in every 10 ms, [ticks, h, w, 3]: the same however equal frames are kept."""
    frames = list(iio.imiter(data, extension=".gif"))
    times = [iio.immeta(data, extension=".gif", index=i)["duration"] for i in range(len(frames))]
    return np.repeat(np.stack(frames).astype(int), np.array(times) // tick_ms, axis=0)


def expected_playback(frames, frame_ms, hold_ms, tick_ms=10):
    times = [frame_ms] * (len(frames) - 1) + [hold_ms]
    return np.repeat(frames.astype(int), np.array(times) // tick_ms, axis=0)


# From what a model did to what is drawn


def test_probabilities_are_those_of_the_logits():
    shown = Generation(tf.constant([[0.0, 2.0], [-100.0, 100.0]]), None).images
    np.testing.assert_allclose(shown, [[0.5, 1 / (1 + np.exp(-2))], [0, 1]], rtol=1e-6)


def window(number):
    """A window for 2 steps of 3 images, each field different."""
    fields = [tf.constant(np.full((2, 3, 1), number + k), tf.float32) for k in range(5)]
    return Window(*fields, Fx=None, Fy=None, params=None)


@pytest.mark.parametrize("equations", ["article", "paper"])
def test_boxes_are_green_where_the_model_reads_and_red_where_it_writes(equations):
    model = DRAW(DRAWConfig(read_size=2, write_size=5, hidden_size=1, equations=equations))
    trace = SimpleNamespace(read=window(3), write=window(20))
    (read, green), (write, red) = (
        (box, strokes.COLOURS[scope]) for scope, box in model.boxes(trace).items())
    assert (green, red) == (GREEN, RED)
    np.testing.assert_array_equal(read, window_box(window(3), 2, equations))
    np.testing.assert_array_equal(write, window_box(window(20), 5, equations))
    assert read.top.shape == (2, 3)


def test_windows_that_are_not_there_have_no_boxes():
    model = DRAW(DRAWConfig(hidden_size=1))
    generation = SimpleNamespace(write=window(20))
    assert list(model.boxes(generation)) == ["write"]
    assert model.boxes(SimpleNamespace(read=None, write=None)) == {}


# Animations and film strips


def test_stroke_frames_are_the_steps_then_the_finished_images():
    probabilities, where = canvases(5, 4), moving_box(5, 4)
    frames = strokes.stroke_frames(probabilities, {"write": where}, scale=2)
    assert frames.shape == (6, 2 * 16 + GAP, 2 * 18 + GAP, 3) and frames.dtype == np.uint8
    bare = strokes.stroke_frames(probabilities, scale=2)
    for t in range(5):
        plain = tiles.grid(tiles.to_uint8(probabilities[t], 2))
        np.testing.assert_array_equal(bare[t], plain)
        is_red = (frames[t] == RED).all(axis=-1)
        np.testing.assert_array_equal(frames[t][~is_red], plain[~is_red])
        for i in range(4):  # top left screen pixel of the box of image i at step t
            y, x = (i // 2) * (16 + GAP) + 2 * t + 1, (i % 2) * (18 + GAP) + 2 * i + 1
            assert is_red[y, x]
            assert not is_red[(i // 2) * (16 + GAP):y].any(axis=0)[x:x + 5].any()
    np.testing.assert_array_equal(frames[-1], bare[-1])
    np.testing.assert_array_equal(bare[-1], bare[-2])


def test_later_boxes_lie_on_top():
    where = moving_box(1, 1)
    frames = strokes.stroke_frames(canvases(1, 1), {"read": where, "write": where}, scale=1)
    assert (frames[0] == RED).all(axis=-1).any() and not (frames[0] == GREEN).all(axis=-1).any()


def test_film_strip_has_one_row_per_image_and_one_column_per_step():
    probabilities = canvases(4, 3)
    strip = strokes.film_strip(probabilities, scale=2)
    assert strip.shape == (3 * 16 + 2 * GAP, 4 * 18 + 3 * GAP, 3)
    levels = tiles.to_uint8(probabilities)[..., 0, 0, 0]  # [T, N]
    for t, i in np.ndindex(4, 3):
        y, x = i * (16 + GAP), t * (18 + GAP)
        assert (strip[y:y + 16, x:x + 18] == levels[t, i]).all()
        assert (strip[:, x + 18:x + 18 + GAP] == 255).all()


def test_film_strip_shows_what_is_redrawn_before_the_first_step():
    inputs, steps = canvases(1, 3)[0], canvases(4, 3) / 2
    strip = strokes.film_strip(steps, inputs=inputs, scale=2)
    column = strokes.film_strip(inputs[np.newaxis], scale=2)
    np.testing.assert_array_equal(strip[:, :18], column)
    np.testing.assert_array_equal(strip[:, 18 + GAP:], strokes.film_strip(steps, scale=2))


def test_film_strip_shows_the_boxes_of_each_step_but_none_on_the_finished_images():
    strip = strokes.film_strip(canvases(3, 2), {"write": moving_box(3, 2)}, scale=1)
    is_red = (strip == RED).all(axis=-1)
    for t, i in np.ndindex(3, 2):
        y, x = i * (8 + GAP), t * (9 + GAP)
        expected = np.zeros((8, 9), bool)
        if t < 2:
            expected[t:t + 4, i:i + 5] = True
            expected[t + 1:t + 3, i + 1:i + 4] = False
        np.testing.assert_array_equal(is_red[y:y + 8, x:x + 9], expected)


@pytest.mark.parametrize("max_columns, steps", [(1, [9]), (2, [0, 9]), (4, [0, 3, 6, 9]),
                                                (10, range(10)), (99, range(10))])
def test_film_strip_of_some_steps_ends_with_the_last(max_columns, steps):
    probabilities = canvases(10, 1)
    strip = strokes.film_strip(probabilities, scale=1, max_columns=max_columns)
    levels = tiles.to_uint8(probabilities)[list(steps), 0, 0, 0, 0]
    assert strip[0, ::9 + GAP, 0].tolist() == levels.tolist()


@pytest.mark.parametrize("count, columns", [(1, 2), (2, 2), (3, 4)])
def test_images_that_are_redrawn_are_beside_their_canvases(count, columns):
    probabilities = canvases(5, count)
    inputs = 1 - probabilities[0]
    frames = strokes.stroke_frames(probabilities, scale=2, inputs=inputs)
    for t, step in enumerate([*probabilities, probabilities[-1]]):
        pairs = [image for pair in zip(inputs, step, strict=True) for image in pair]
        np.testing.assert_array_equal(frames[t], tiles.grid(
            tiles.to_uint8(np.stack(pairs), 2), columns))


@pytest.mark.parametrize("count, animated, still", [(1, 112, 112), (16, 112, 84), (400, 28, 28)])
def test_pictures_are_large_enough_to_see_and_not_larger(count, animated, still):
    probabilities = np.zeros((1, count, 28, 28, 1), np.float32)
    columns = int(np.sqrt(count))
    assert strokes.stroke_frames(probabilities).shape[2] == columns * (animated + GAP) - GAP
    assert strokes.film_strip(probabilities).shape[:2] == (count * (still + GAP) - GAP, still)


# Files


def test_gif_plays_every_step_then_holds_the_finished_images_and_loops():
    frames = strokes.stroke_frames(canvases(5, 4), {"write": moving_box(5, 4)}, scale=2)
    data = strokes.encode_gif(frames, frame_ms=70, hold_ms=1500)
    shown, expected = playback(data), expected_playback(frames, 70, 1500)
    assert shown.shape == expected.shape and np.abs(shown - expected).max() <= 1
    assert iio.immeta(data, extension=".gif")["loop"] == 0
    assert data == strokes.encode_gif(frames, frame_ms=70, hold_ms=1500)


@pytest.mark.parametrize("order", [[0, 0, 1, 1, 1, 0, 0], [1, 1, 1], [0]])
def test_gif_shows_equal_frames_for_their_total_time(order):
    frames = strokes.stroke_frames(canvases(2, 1), scale=2)[order]
    shown, expected = playback(strokes.encode_gif(frames)), expected_playback(frames, 120, 1000)
    assert shown.shape == expected.shape and np.abs(shown - expected).max() <= 1


def test_gif_keeps_greys_and_box_colours_beside_all_the_greys():
    # every grey, noise and two thin boxes: more colours than the 256 of a GIF frame
    noise = np.random.default_rng(0).integers(0, 256, (3, 128, 256, 1), dtype=np.uint8)
    noise[:, 64:] = np.arange(256, dtype=np.uint8)[:, None]
    frames = np.repeat(noise, 3, axis=-1)  # [3, h, w, 3]
    frames[:, 10, 20:60], frames[:, 90, 20:60] = RED, GREEN
    shown = playback(strokes.encode_gif(frames, frame_ms=10, hold_ms=10))
    assert shown.shape == frames.shape and np.abs(shown - frames).max() <= 1
    assert (shown[:, 10, 20:60] == RED).all() and (shown[:, 90, 20:60] == GREEN).all()


@pytest.mark.parametrize("frames", [np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8),
                                    np.zeros((2, 4, 4, 3))])
def test_gif_of_anything_but_frames_is_refused(frames):
    with pytest.raises(ValueError, match=r"frames must be uint8 \[N, h, w, 3\]"):
        strokes.encode_gif(frames)


@pytest.fixture(scope="module")
def drawn():
    """A model, and what it drew."""
    model = DRAW(DRAWConfig((8, 9, 1), glimpses=2, hidden_size=8, latent_size=2))
    return model, model.generate(1, seed=0)


def test_save_writes_what_the_ending_says(drawn, tmp_path):
    frames = strokes.stroke_frames(drawn[1].images.numpy())
    strokes.save(tmp_path / "new" / "strokes.GIF", *drawn, boxes=False)
    data = (tmp_path / "new" / "strokes.GIF").read_bytes()
    assert data == strokes.encode_gif(frames, 120, 1000)
    strokes.save(str(tmp_path / "strip.png"), *drawn, boxes=False, columns=1)
    np.testing.assert_array_equal(iio.imread(tmp_path / "strip.png"), frames[-1])
    assert sorted(os.listdir(tmp_path)) == ["new", "strip.png"]


@pytest.mark.parametrize("name", ["strokes.jpg", "strokes", "gif", "strokes.gif.txt"])
def test_unknown_ending_is_refused_before_anything_is_written(drawn, tmp_path, name):
    with pytest.raises(ValueError, match=rf"path must end in .*\.png or \.html, got .*{name}'"):
        strokes.save(tmp_path / "new" / name, *drawn)
    assert os.listdir(tmp_path) == []


def test_failed_save_leaves_the_old_file_alone(drawn, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    path = tmp_path / "strokes.gif"
    path.write_bytes(b"old")
    with monkeypatch.context() as broken, pytest.raises(OSError, match="disk full"):
        broken.setattr(os, "replace", fail)
        strokes.save(path, *drawn)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["strokes.gif"]


def test_completions_show_what_is_known_what_is_imagined_and_the_image():
    rng = np.random.default_rng(0)
    images, drawn = rng.random((2, 4, 4, 1)), rng.random((3, 2 * 5, 4, 4, 1))
    known = np.zeros((4, 4, 1))
    known[:, :2] = 1
    frames = strokes.completions(drawn, images, known)
    side = tiles.layout(images.shape, 7)[2] * 4
    step = side + tiles.GAP
    assert frames.shape == (3, 2 * step - tiles.GAP, 7 * step - tiles.GAP, 3)
    tile = frames[:, step:step + side].reshape(3, side, -1, 3)
    covered = tile[0, :, :side]
    np.testing.assert_array_equal(covered[:, side // 2:], 128)
    np.testing.assert_array_equal(covered[::side // 4, :side // 2:side // 4],
                                  tiles.to_uint8(images[1, :, :2]))
    np.testing.assert_array_equal(tile[2, ::side // 4, 6 * step::side // 4],
                                  tiles.to_uint8(images[1]))
    middle = side // 8
    shown = tile[1, middle::side // 4, 5 * step + middle:5 * step + side:side // 4]  # [4, 4, 3]
    np.testing.assert_array_equal(  # the second step of the last imagination of the second image
        shown[:, 2:], tiles.to_uint8(drawn[1, 9, :, 2:]))
    np.testing.assert_array_equal(shown[:, :2], tiles.to_uint8(images[1, :, :2]))  # as it is known
    framed = np.all(tile[1, :, 5 * step:5 * step + side] == tiles.BLUE, axis=-1)
    assert framed[0, :side // 2].all() and not framed[:, side // 2 + 1:].any()


@pytest.mark.parametrize("equations", ["article", "paper"])
def test_edges_of_boxes_are_where_the_filters_lie(equations):
    config = DRAWConfig((60, 70, 1), glimpses=2, hidden_size=8, latent_size=2, read_size=3,
                        write_size=4, equations=equations)
    model = DRAW(config)
    centre = 0.2 if equations == "article" else 0.0  # the article's grid lies towards the origin
    for layer, x in ((model.read_window, centre), (model.write_window, centre - 0.1)):
        layer.bias.assign([x, x, np.log(0.8), -np.log(4) if equations == "paper" else np.log(4), 0])
    images = np.random.default_rng(0).random((2, 60, 70, 1)).astype(np.float32)
    trace = model.trace(images)
    for box, window in zip(
            model.boxes(trace).values(), (trace.read, trace.write), strict=True):
        for bank, length, (low, high) in ((window.Fx, 70, (box.left, box.right)),
                                          (window.Fy, 60, (box.top, box.bottom))):
            means = np.sum(bank * np.arange(length), axis=-1)  # [T, N, n], in pixels
            np.testing.assert_allclose(low, means[..., 0], atol=1e-3)
            np.testing.assert_allclose(high, means[..., -1], atol=1e-3)


def test_a_gif_has_no_more_pixels_than_its_format():
    with pytest.raises(ValueError, match="at most 65535 pixels a side, got 65536 x 1.*png"):
        strokes.encode_gif(np.zeros((1, 1, 65_536, 3), np.uint8))
    assert strokes.encode_gif(np.zeros((1, 1, 65_535, 3), np.uint8))
