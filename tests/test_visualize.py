import ast
import inspect
import os

import imageio.v3 as iio
import numpy as np
import pytest

from draw_tf import visualize
from draw_tf.visualize import GREEN, RED, Box

ANY_COLOUR = (9, 90, 200)


def black(*shape):
    return np.zeros((*shape, 3), np.uint8)


def box(top, left, bottom, right, sigma=0.0):
    """A box for one picture."""
    return Box(*(np.array([value], np.float64) for value in (top, left, bottom, right, sigma)))


def draw(one_box, size=(64, 64), scale=1):
    """Where, bool [h, w], the box is drawn on one black picture."""
    drawn = visualize.draw_boxes(black(1, *size), one_box, scale, ANY_COLOUR)[0]  # [h, w, 3]
    touched = drawn.any(axis=-1)  # [h, w]
    assert (drawn[touched] == ANY_COLOUR).all()
    return touched


def moving_box(steps, count):
    """A box that is elsewhere at every step on every image, fields [T, N]."""
    t, i = np.mgrid[0:steps, 0:count].astype(np.float64)  # each [T, N]
    return Box(top=t, left=i, bottom=t + 3, right=i + 4, sigma=0 * t)


def canvases(steps, count, height=8, width=9):
    """Grey canvases [T, N, H, W, 1], each of one level that no other has."""
    levels = np.arange(1, steps * count + 1).reshape(steps, count, 1, 1, 1) / (2 * steps * count)
    return np.broadcast_to(levels, (steps, count, height, width, 1)).astype(np.float32)


def read_gif(data):
    """The frames [F, h, w, 3] of a GIF, and how many milliseconds each is shown."""
    frames = np.stack(list(iio.imiter(data, extension=".gif")))
    times = [iio.immeta(data, extension=".gif", index=i)["duration"] for i in range(len(frames))]
    return frames, times


# Images to pictures


def test_levels_are_rounded_and_clipped():
    probabilities = np.array([0.0, 0.1, 0.499, 0.5, 1.0, -3.0, 7.0, np.nan, np.inf])
    with np.errstate(invalid="raise"):  # a NaN is not left to the cast
        pictures = visualize.to_uint8(probabilities.reshape(1, 3, 3, 1))
    assert pictures.dtype == np.uint8 and pictures.shape == (1, 3, 3, 3)
    expected = [0, 26, 127, 128, 255, 0, 255, 0, 255]
    for channel in range(3):
        assert pictures[..., channel].ravel().tolist() == expected


def test_contrast_is_not_stretched():
    faint = np.full((2, 4, 4, 1), 0.4, np.float32)
    faint[:, 0, 0] = 0.6
    assert set(visualize.to_uint8(faint).ravel().tolist()) == {102, 153}


def test_colour_channels_keep_their_places():
    probabilities = np.zeros((2, 5, 4, 4, 3), np.float32)
    probabilities[..., 1] = 1
    assert (visualize.to_uint8(probabilities) == (0, 255, 0)).all()


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused(channels):
    with pytest.raises(ValueError, match=rf"probabilities.*\(7, 4, 4, {channels}\)"):
        visualize.to_uint8(np.zeros((7, 4, 4, channels)))


def test_levels_taken_for_probabilities_are_refused():
    with pytest.raises(ValueError, match="probabilities must be float.*uint8"):
        visualize.to_uint8(np.zeros((4, 4, 1), np.uint8))


def test_enlarge_repeats_pixels():
    pictures = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3)
    large = visualize.enlarge(pictures, 4)
    assert large.shape == (2, 8, 12, 3)
    for y, x in np.ndindex(8, 12):
        assert (large[:, y, x] == pictures[:, y // 4, x // 4]).all()


def test_auto_scale():
    assert visualize.auto_scale(28, 28) == 4
    assert visualize.auto_scale(28, 56) == 2  # the longer side counts
    assert visualize.auto_scale(28, 28, across=10) == 2  # 560 pixels; 3 would pass 800
    assert visualize.auto_scale(28, 28, across=1000) == 1
    assert visualize.auto_scale(500, 500) == 1


# Boxes


def test_box_lies_exactly_on_its_pixels():
    touched = draw(box(top=2, left=3, bottom=6, right=8), size=(10, 12))
    expected = np.zeros((10, 12), bool)
    expected[2:7, 3:9] = True
    expected[3:6, 4:8] = False
    np.testing.assert_array_equal(touched, expected)


def test_enlarged_box_runs_through_the_middle_of_its_pixels():
    # Pixel 2 is screen pixels 6, 7 and 8 at scale 3: its middle is 7.
    touched = draw(box(top=2, left=2, bottom=4, right=5), size=(30, 30), scale=3)
    expected = np.zeros((30, 30), bool)
    expected[7:14, 7:17] = True
    expected[8:13, 8:16] = False
    np.testing.assert_array_equal(touched, expected)


def test_image_spans_half_a_pixel_beyond_its_outer_centres():
    whole = draw(box(-0.5, -0.5, 9.5, 9.5, sigma=0.5), size=(80, 80), scale=8)  # lines 2 thick
    expected = np.ones((80, 80), bool)  # the inner half of each line
    expected[1:-1, 1:-1] = False
    np.testing.assert_array_equal(whole, expected)
    assert not draw(box(-0.6, -0.6, 9.6, 9.6), size=(80, 80), scale=8).any()


@pytest.mark.parametrize("sigma, thickness", [(0, 1), (0.5, 1), (1, 2), (2, 4), (3, 6), (4, 7),
                                              (1e30, 7), (np.inf, 7), (np.nan, 1)])
def test_line_thickens_with_sigma_up_to_a_limit(sigma, thickness):
    # A 28-pixel image at scale 4: sigma / 2 image pixels are 2 * sigma screen pixels.
    touched = draw(box(6, 6, 22, 22, sigma), size=(112, 112), scale=4)
    top = (6 + 0.5) * 4
    rows = np.flatnonzero(touched[:56, 56])
    assert len(rows) == thickness and np.ptp(rows) == thickness - 1
    assert abs(rows.mean() + 0.5 - top) <= 0.5  # the line's middle is the box
    assert np.flatnonzero(touched[56, :56]).tolist() == rows.tolist()
    assert touched[rows[0], rows[0]] and not touched[rows[0] - 1].any()  # a full corner


def test_half_outside_box_is_clipped_not_wrapped():
    expected = draw(box(20, 20, 70, 70, 2), size=(100, 100))[40:, 40:]  # seen through a window
    np.testing.assert_array_equal(draw(box(-20, -20, 30, 30, 2), size=(60, 60)), expected)
    expected = draw(box(20, 20, 70, 70, 2), size=(100, 100))[:60, :60]
    np.testing.assert_array_equal(draw(box(20, 20, 70, 70, 2), size=(60, 60)), expected)


@pytest.mark.parametrize("edges", [
    (-50, 10, -20, 20), (80, 10, 90, 20), (10, -50, 20, -20), (10, 80, 20, 90),  # each side
    (-1e300, -1e300, 1e300, 1e300), (-np.inf, -np.inf, np.inf, np.inf),  # all around
    (np.inf, np.inf, np.inf, np.inf), (np.nan, 10, 20, 20), (10, 10, 20, np.nan)])
def test_invisible_boxes_leave_the_picture_alone(edges):
    assert not draw(box(*edges, sigma=2)).any()


def test_endless_box_shows_the_edges_that_are_near():
    touched = draw(box(-np.inf, 10, np.inf, 1e300))
    assert touched[:, 10].all() and touched.sum() == 64


def test_box_of_one_point_is_a_dot():
    touched = draw(box(5, 7, 5, 7))
    assert np.argwhere(touched).tolist() == [[5, 7]]


def test_each_picture_gets_its_own_box_and_stays_unchanged():
    # Steps and images swapped, so that the pictures are not contiguous in memory.
    pictures = np.swapaxes(black(3, 2, 20, 20), 0, 1)  # [2, 3, h, w, 3]
    drawn = visualize.draw_boxes(pictures, moving_box(2, 3), 2, RED)
    assert not pictures.any()
    for t, i in np.ndindex(2, 3):
        rows, columns = np.nonzero((drawn[t, i] == RED).all(axis=-1))
        assert (rows.min(), columns.min()) == (2 * t + 1, 2 * i + 1)
        assert (rows.max(), columns.max()) == (2 * t + 7, 2 * i + 9)


def test_box_of_another_shape_is_refused():
    fields = [np.zeros((2, 1))] * 5
    with pytest.raises(ValueError, match=r"box.top must have shape \(2,\), got \(2, 1\)"):
        visualize.draw_boxes(black(2, 8, 8), Box(*fields), 1, RED)


# Pictures side by side


def test_grid_places_row_by_row():
    pictures = np.stack([np.full((4, 5, 3), level, np.uint8) for level in (10, 20, 30, 40, 50)])
    sheet = visualize.grid(pictures, gap=2)
    assert sheet.shape == (2 * 4 + 2, 3 * 5 + 2 * 2, 3)  # 5 pictures: 3 columns, 2 rows
    expected = np.full(sheet.shape, 255, np.uint8)
    expected[:4, :5], expected[:4, 7:12], expected[:4, 14:] = 10, 20, 30
    expected[6:, :5], expected[6:, 7:12] = 40, 50
    np.testing.assert_array_equal(sheet, expected)
    assert visualize.grid(pictures, columns=1, gap=0).shape == (20, 5, 3)
    assert visualize.grid(pictures[:4]).shape == (2 * 4 + 4, 2 * 5 + 4, 3)


def test_grid_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"pictures must be uint8.*\(0, 4, 4, 3\)"):
        visualize.grid(black(0, 4, 4))


def test_side_by_side_is_a_row_an_image():
    inputs, outputs = canvases(2, 3, height=4, width=5)  # each [3, 4, 5, 1]
    sheet = visualize.side_by_side([inputs, outputs], scale=2)
    assert sheet.shape == (3 * 8 + 2 * 4, 2 * 10 + 4, 3)
    for row, column in np.ndindex(3, 2):
        level = visualize.to_uint8((inputs, outputs)[column])[row, 0, 0, 0]
        y, x = row * 12, column * 14
        assert (sheet[y:y + 8, x:x + 10] == level).all()


def test_side_by_side_sets_the_last_column_apart():
    columns = list(canvases(3, 2, height=4, width=5))
    together = visualize.side_by_side(columns, scale=2)
    apart = visualize.side_by_side(columns, scale=2, last_apart=True)
    extra = apart.shape[1] - together.shape[1]
    assert extra > 0
    np.testing.assert_array_equal(apart[:, :24], together[:, :24])  # two columns and a gap
    np.testing.assert_array_equal(apart[:, -10:], together[:, -10:])
    assert (apart[:, 24:-10] == 255).all()


def test_nearest_finds_planted_images():
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (1000, 6, 5, 3), dtype=np.uint8)
    planted = np.array([999, 0, 100, 99, 512])  # both sides of a border between chunks
    samples = train[planted] / 255 + rng.normal(0, 0.02, (5, 6, 5, 3))
    np.testing.assert_array_equal(visualize.nearest(samples, train, chunk=100), planted)
    floats = (train / 255).astype(np.float32)
    np.testing.assert_array_equal(visualize.nearest(train[planted], floats), planted)


def test_nearest_is_by_distance_not_by_brightness():
    train = np.array([0.3, 0.55, 1.0], np.float32).reshape(3, 1, 1, 1)
    samples = np.array([0.45, 0.0, 0.8], np.float32).reshape(3, 1, 1, 1)
    assert visualize.nearest(samples, train, chunk=2).tolist() == [1, 0, 2]


def test_nearest_refuses_other_images():
    with pytest.raises(ValueError, match="train_images"):
        visualize.nearest(np.zeros((2, 4, 6, 1)), np.zeros((5, 6, 4, 1)))


# Strokes


def test_stroke_frames_are_the_steps_then_the_finished_images():
    probabilities, where = canvases(5, 4), moving_box(5, 4)
    frames = visualize.stroke_frames(probabilities, [(where, RED)], scale=2)
    assert frames.shape == (6, 2 * 16 + 4, 2 * 18 + 4, 3) and frames.dtype == np.uint8
    bare = visualize.stroke_frames(probabilities, scale=2)
    for t in range(5):
        plain = visualize.grid(visualize.enlarge(visualize.to_uint8(probabilities[t]), 2))
        np.testing.assert_array_equal(bare[t], plain)
        is_red = (frames[t] == RED).all(axis=-1)
        np.testing.assert_array_equal(frames[t][~is_red], plain[~is_red])
        for i in range(4):  # top left screen pixel of the box of image i at step t
            y, x = (i // 2) * 20 + 2 * t + 1, (i % 2) * 22 + 2 * i + 1
            assert is_red[y, x]
            assert not is_red[(i // 2) * 20:y].any(axis=0)[x:x + 5].any()
    np.testing.assert_array_equal(frames[-1], bare[-1])
    np.testing.assert_array_equal(bare[-1], bare[-2])


def test_later_boxes_lie_on_top():
    where = moving_box(1, 1)
    frames = visualize.stroke_frames(canvases(1, 1), [(where, GREEN), (where, RED)], scale=1)
    assert (frames[0] == RED).all(axis=-1).any() and not (frames[0] == GREEN).all(axis=-1).any()


def test_film_strip_is_a_row_an_image_and_a_column_a_step():
    probabilities = canvases(4, 3)
    strip = visualize.film_strip(probabilities, scale=2)
    assert strip.shape == (3 * 16 + 2 * 4, 4 * 18 + 3 * 4, 3)
    levels = visualize.to_uint8(probabilities)[..., 0, 0, 0]  # [T, N]
    for t, i in np.ndindex(4, 3):
        y, x = i * 20, t * 22
        assert (strip[y:y + 16, x:x + 18] == levels[t, i]).all()
        assert (strip[:, x + 18:x + 22] == 255).all()


def test_film_strip_has_what_is_redrawn_before_the_first_step():
    inputs = canvases(1, 3)[0]
    strip = visualize.film_strip(canvases(4, 3) / 2, inputs=inputs, scale=2)
    column = visualize.film_strip(inputs[np.newaxis], scale=2)
    np.testing.assert_array_equal(strip[:, :18], column)
    np.testing.assert_array_equal(strip[:, 22:], visualize.film_strip(canvases(4, 3) / 2, scale=2))


def test_film_strip_shows_each_steps_boxes_but_none_on_the_finished_images():
    strip = visualize.film_strip(canvases(3, 2), [(moving_box(3, 2), RED)], scale=1)
    is_red = (strip == RED).all(axis=-1)
    for t, i in np.ndindex(3, 2):
        tile = is_red[i * 12:i * 12 + 8, t * 13:t * 13 + 9]
        expected = np.zeros((8, 9), bool)
        if t < 2:
            expected[t:t + 4, i:i + 5] = True
            expected[t + 1:t + 3, i + 1:i + 4] = False
        np.testing.assert_array_equal(tile, expected)


@pytest.mark.parametrize("max_columns, steps", [(1, [9]), (2, [0, 9]), (4, [0, 3, 6, 9]),
                                                (10, range(10)), (99, range(10))])
def test_film_strip_of_some_steps_ends_with_the_last(max_columns, steps):
    probabilities = canvases(10, 1)
    strip = visualize.film_strip(probabilities, scale=1, max_columns=max_columns)
    levels = visualize.to_uint8(probabilities)[list(steps), 0, 0, 0, 0]
    assert strip[0, ::13, 0].tolist() == levels.tolist()  # tiles 9 wide and gaps of 4


# Files


def test_gif_keeps_every_frame_time_and_the_loop():
    frames = visualize.stroke_frames(canvases(5, 4), [(moving_box(5, 4), RED)])
    data = visualize.encode_gif(frames, frame_ms=70, hold_ms=1500)
    shown, times = read_gif(data)
    assert shown.shape == frames.shape and np.abs(shown.astype(int) - frames).max() <= 1
    assert times == [70] * 5 + [1500]
    assert iio.immeta(data, extension=".gif")["loop"] == 0


@pytest.mark.parametrize("level", [0, 255])
def test_gif_keeps_frames_that_look_alike(level):
    frames = np.full((7, 30, 20, 3), level, np.uint8)
    shown, times = read_gif(visualize.encode_gif(frames))
    np.testing.assert_array_equal(shown, frames)
    assert times == [120] * 6 + [1000]


def test_gif_of_one_frame():
    shown, times = read_gif(visualize.encode_gif(black(1, 6, 300)))
    assert shown.shape == (1, 6, 300, 3) and times == [1000]


def test_gif_keeps_greys_and_box_colours_beside_all_the_greys():
    # Every grey, noise and two thin boxes: more colours than the 256 of a GIF frame.
    noise = np.random.default_rng(0).integers(0, 256, (3, 128, 256, 1), dtype=np.uint8)
    noise[:, 64:] = np.arange(256, dtype=np.uint8)[:, None]
    frames = np.repeat(noise, 3, axis=-1)  # [3, h, w, 3]
    frames[:, 10, 20:60], frames[:, 90, 20:60] = RED, GREEN
    shown, _ = read_gif(visualize.encode_gif(frames))
    assert np.abs(shown.astype(int) - frames).max() <= 1
    assert (shown[:, 10, 20:60] == RED).all() and (shown[:, 90, 20:60] == GREEN).all()


def test_png_is_exact():
    picture = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    shown = iio.imread(visualize.encode_png(picture), extension=".png")
    np.testing.assert_array_equal(shown, picture)


@pytest.mark.parametrize("encode, pictures", [
    (visualize.encode_gif, black(4, 4)), (visualize.encode_gif, black(0, 4, 4)),
    (visualize.encode_gif, black(2, 4, 4).astype(float)),
    (visualize.encode_png, black(1, 4, 4)), (visualize.encode_png, np.zeros((4, 4), np.uint8))])
def test_what_is_no_picture_is_refused(encode, pictures):
    with pytest.raises(ValueError, match="must be uint8"):
        encode(pictures)


def test_save_writes_what_the_ending_says(tmp_path):
    frames = visualize.stroke_frames(canvases(2, 1))
    visualize.save(tmp_path / "new" / "strokes.GIF", frames, frame_ms=50)
    shown, times = read_gif((tmp_path / "new" / "strokes.GIF").read_bytes())
    assert times == [50, 50, 1000] and shown.shape == frames.shape
    visualize.save(str(tmp_path / "strip.png"), frames[0])
    np.testing.assert_array_equal(iio.imread(tmp_path / "strip.png"), frames[0])
    assert sorted(os.listdir(tmp_path)) == ["new", "strip.png"]


@pytest.mark.parametrize("path", ["strokes.jpg", "strokes", "gif", "strokes.gif.txt"])
def test_unknown_ending_is_refused_before_anything_is_written(tmp_path, path):
    with pytest.raises(ValueError, match=rf"{path}'.*\.gif or \.png"):
        visualize.save(os.path.join(tmp_path, path), black(1, 4, 4))
    with pytest.raises(ValueError, match=rf"{path}'.*\.gif or \.png"):
        visualize.check_ending(path)
    assert os.listdir(tmp_path) == []


def test_check_ending_gives_the_ending():
    assert visualize.check_ending("a/b.c/strokes.gif") == ".gif"
    assert visualize.check_ending("STRIP.PNG") == ".png"


@pytest.mark.parametrize("broken", ["write_bytes", "replace", "encode"])
def test_failed_save_leaves_the_old_file_alone(tmp_path, monkeypatch, broken):
    path = tmp_path / "strokes.gif"
    path.write_bytes(b"old")

    def write_half(self, data):
        with open(self, "wb") as file:
            file.write(data[:len(data) // 2])
        raise OSError("disk full")

    def fail(*_):
        raise OSError("disk full")

    if broken == "write_bytes":
        monkeypatch.setattr(visualize.pathlib.Path, "write_bytes", write_half)
    elif broken == "replace":
        monkeypatch.setattr(visualize.os, "replace", fail)
    else:
        monkeypatch.setattr(visualize, "encode_gif", fail)
    with pytest.raises(OSError, match="disk full"):
        visualize.save(path, black(2, 4, 4))
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["strokes.gif"]  # and no leftovers


def test_knows_nothing_of_the_model():
    imported = set()
    for node in ast.walk(ast.parse(inspect.getsource(visualize))):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported == {"imageio", "numpy", "os", "pathlib", "typing"}
