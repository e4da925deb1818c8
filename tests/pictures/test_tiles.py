import imageio.v3 as iio
import numpy as np
import pytest

from draw_tf.pictures import tiles
from draw_tf.pictures.tiles import GAP, RED, Box
from tests.support.drawings import canvases, moving_box

ANY_COLOUR = (9, 90, 200)


def black(*shape):
    return np.zeros((*shape, 3), np.uint8)


def box(top, left, bottom, right, sigma=0.0):
    """A box for one picture."""
    return Box(*(np.array([value], np.float64) for value in (top, left, bottom, right, sigma)))


def draw(one_box, size=(64, 64), scale=1):
    """Where, bool [h, w], the box is drawn on one black picture."""
    drawn = tiles.draw_boxes(black(1, *size), one_box, scale, ANY_COLOUR)[0]  # [h, w, 3]
    assert drawn.dtype == np.uint8
    touched = drawn.any(axis=-1)  # [h, w]
    assert (drawn[touched] == ANY_COLOUR).all()
    return touched


# Images to pictures


def test_levels_are_rounded_and_clipped():
    probabilities = np.array([0.0, 0.1, 0.499, 0.5, 1.0, -3.0, 7.0, np.nan, np.inf])
    with np.errstate(invalid="raise"):  # a NaN is not left to the cast
        pictures = tiles.to_uint8(probabilities.reshape(1, 3, 3, 1))
    assert pictures.dtype == np.uint8 and pictures.shape == (1, 3, 3, 3)
    expected = [0, 26, 127, 128, 255, 0, 255, 0, 255]
    for channel in range(3):
        assert pictures[..., channel].ravel().tolist() == expected


def test_contrast_is_not_stretched():
    faint = np.full((2, 4, 4, 1), 0.4, np.float32)
    faint[:, 0, 0] = 0.6
    assert set(tiles.to_uint8(faint).ravel().tolist()) == {102, 153}


def test_colour_channels_keep_their_places():
    probabilities = np.zeros((2, 5, 4, 4, 3), np.float32)
    probabilities[..., 1] = 1
    assert (tiles.to_uint8(probabilities) == (0, 255, 0)).all()


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused(channels):
    with pytest.raises(ValueError, match=rf"probabilities.*\(7, 4, 4, {channels}\)"):
        tiles.to_uint8(np.zeros((7, 4, 4, channels)))


def test_levels_in_place_of_probabilities_are_refused():
    with pytest.raises(ValueError, match="probabilities must be float.*uint8"):
        tiles.to_uint8(np.zeros((4, 4, 1), np.uint8))


def test_an_enlarged_image_repeats_its_pixels():
    pictures = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3)
    large = tiles.to_uint8(pictures / 255, 4)
    assert large.shape == (2, 8, 12, 3)
    for y, x in np.ndindex(8, 12):
        assert (large[:, y, x] == pictures[:, y // 4, x // 4]).all()


def test_the_scale_fits_the_tile_and_the_picture():
    assert tiles.layout((1, 28, 28, 1)) == (1, 1, 4)
    assert tiles.layout((1, 28, 56, 1)) == (1, 1, 2)  # the longer side counts
    assert tiles.layout((100, 28, 28, 1)) == (10, 10, 2)  # 560 pixels; 3 would exceed 800
    assert tiles.layout((100, 28, 28, 1), across=10) == (100, 10, 1)
    assert tiles.layout((1_000_000, 28, 28, 1)) == (1000, 1000, 1)
    assert tiles.layout((1, 500, 500, 1)) == (1, 1, 1)


# Boxes


def test_box_lies_exactly_on_its_pixels():
    touched = draw(box(top=2, left=3, bottom=6, right=8), size=(10, 12))
    expected = np.zeros((10, 12), bool)
    expected[2:7, 3:9] = True
    expected[3:6, 4:8] = False
    np.testing.assert_array_equal(touched, expected)


def test_enlarged_box_runs_through_the_middle_of_its_pixels():
    # pixel 2 is screen pixels 6, 7 and 8 at scale 3: its middle is 7
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
    # a 28-pixel image at scale 4: sigma / 2 image pixels are 2 * sigma screen pixels
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
    (np.inf, np.inf, np.inf, np.inf),
    *[np.where(np.arange(4) == k, np.nan, (10, 10, 20, 20)) for k in range(4)]])
def test_invisible_boxes_leave_the_picture_alone(edges):
    assert not draw(box(*edges, sigma=2)).any()


def test_endless_box_shows_the_edges_that_are_near():
    touched = draw(box(-np.inf, 10, np.inf, 1e300))
    assert touched[:, 10].all() and touched.sum() == 64


def test_box_of_one_point_is_a_dot():
    touched = draw(box(5, 7, 5, 7))
    assert np.argwhere(touched).tolist() == [[5, 7]]


def test_each_picture_gets_its_own_box_and_stays_unchanged():
    pictures = np.full((2, 3, 20, 20, 3), 50, np.uint8)
    drawn = tiles.draw_boxes(pictures, moving_box(2, 3), 2, RED)
    assert (pictures == 50).all()
    for t, i in np.ndindex(2, 3):
        is_red = (drawn[t, i] == RED).all(axis=-1)  # [h, w]
        assert (drawn[t, i][~is_red] == 50).all()
        rows, columns = np.nonzero(is_red)
        assert (rows.min(), columns.min()) == (2 * t + 1, 2 * i + 1)
        assert (rows.max(), columns.max()) == (2 * t + 7, 2 * i + 9)


def test_box_of_another_shape_is_refused():
    fields = [np.zeros((2, 1))] * 5
    with pytest.raises(ValueError, match=r"box.top must have shape \(2,\), got \(2, 1\)"):
        tiles.draw_boxes(black(2, 8, 8), Box(*fields), 1, RED)


# Pictures side by side


def test_grid_places_row_by_row():
    pictures = np.stack([np.full((4, 5, 3), level, np.uint8) for level in (10, 20, 30, 40, 50)])
    sheet = tiles.grid(pictures)
    down, right = 4 + GAP, 5 + GAP
    expected = np.full((down + 4, 2 * right + 5, 3), 255, np.uint8)  # 3 columns, 2 rows
    expected[:4, :5], expected[:4, right:right + 5], expected[:4, 2 * right:] = 10, 20, 30
    expected[down:, :5], expected[down:, right:right + 5] = 40, 50
    np.testing.assert_array_equal(sheet, expected)
    assert tiles.grid(pictures, columns=1).shape == (4 * down + 4, 5, 3)
    assert tiles.grid(pictures[:4]).shape == (down + 4, right + 5, 3)


def test_grid_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"pictures must be uint8.*\(0, 4, 4, 3\)"):
        tiles.grid(black(0, 4, 4))


def test_side_by_side_has_one_row_per_image():
    inputs, outputs = canvases(2, 3, height=4, width=5)  # each [3, 4, 5, 1]
    sheet = tiles.side_by_side([inputs, outputs], scale=2)
    assert sheet.shape == (3 * 8 + 2 * GAP, 2 * 10 + GAP, 3)
    for row, column in np.ndindex(3, 2):
        level = tiles.to_uint8((inputs, outputs)[column])[row, 0, 0, 0]
        y, x = row * (8 + GAP), column * (10 + GAP)
        assert (sheet[y:y + 8, x:x + 10] == level).all()


def test_side_by_side_sets_the_last_column_apart():
    columns = list(canvases(3, 2, height=4, width=5))
    together = tiles.side_by_side(columns, scale=2)
    apart = tiles.side_by_side(columns, scale=2, last_apart=True)
    assert apart.shape[1] > together.shape[1]
    before = 2 * (10 + GAP) - GAP  # two columns
    np.testing.assert_array_equal(apart[:, :before], together[:, :before])
    np.testing.assert_array_equal(apart[:, -10:], together[:, -10:])
    assert (apart[:, before:-10] == 255).all()


# Samples beside their neighbours


def test_nearest_finds_planted_images():
    rng = np.random.default_rng(0)
    train = rng.random((1000, 6, 5, 3)).astype(np.float32)
    planted = np.array([999, 0, 100, 99, 512])
    samples = train[planted] + rng.normal(0, 0.02, (5, 6, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(tiles.nearest(samples, train), planted)


def test_nearest_is_by_distance_not_by_brightness():
    train = np.array([0.3, 0.55, 1.0], np.float32).reshape(3, 1, 1, 1)
    samples = np.array([0.45, 0.0, 0.8], np.float32).reshape(3, 1, 1, 1)
    assert tiles.nearest(samples, train).tolist() == [1, 0, 2]


@pytest.mark.parametrize("shape", [(5, 6, 4, 1), (0, 4, 6, 1)])
def test_nearest_refuses_other_images(shape):
    with pytest.raises(ValueError, match="train_images"):
        tiles.nearest(np.zeros((2, 4, 6, 1)), np.zeros(shape))


@pytest.mark.parametrize("count, columns", [(6, 2), (5, 1), (9, 3)])
def test_the_last_samples_of_each_row_stand_beside_the_nearest_images(count, columns):
    samples = np.random.default_rng(0).random((count, 4, 6, 1))
    last = samples[columns - 1::columns]  # [rows, H, W, C]
    near = last[::-1] + 0.01  # in another order than the rows
    far = np.random.default_rng(1).random((20, 4, 6, 1))
    picture = tiles.samples_and_nearest(samples, np.concatenate([far, near]))
    across = [samples[column::columns] for column in range(columns)]
    expected = tiles.side_by_side([*across, near[::-1]], last_apart=True)
    np.testing.assert_array_equal(picture, expected)


# Files


def test_png_is_exact():
    picture = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    shown = iio.imread(tiles.encode_png(picture), extension=".png")
    np.testing.assert_array_equal(shown, picture)


@pytest.mark.parametrize("picture", [black(1, 4, 4), np.zeros((4, 4), np.uint8), black(0, 4),
                                     black(4, 4).astype(float)])
def test_png_of_anything_but_a_picture_is_refused(picture):
    with pytest.raises(ValueError, match=r"picture must be uint8 \[h, w, 3\]"):
        tiles.encode_png(picture)


def test_bars_are_as_tall_as_their_values():
    picture = tiles.bars(np.array([1.0, 4.0, 0.0, 2.0]), height=8, width=40)
    assert picture.shape == (8, 40, 3) and picture.dtype == np.uint8
    inked = (picture != 255).any(axis=-1)  # [8, 40]
    np.testing.assert_array_equal(inked[:, [0, 10, 20, 30]].sum(axis=0), [2, 8, 0, 4])
    assert inked[-1, 0] and not inked[0, 0]  # they stand on the ground
    assert not inked[:, 9].any()
    assert tiles.bars(np.zeros(3)).min() == 255


def test_bars_of_a_training_that_went_wrong_are_drawn_without_a_warning():
    picture = tiles.bars(np.array([np.nan, 4.0, 2.0]), height=8, width=30)
    assert (picture != 255).any(axis=-1)[:, [0, 10, 20]].sum(axis=0).tolist() == [0, 8, 4]
    assert tiles.bars(np.full(3, np.nan)).min() == 255
