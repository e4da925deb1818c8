"""Arrays in, pictures out: grids, columns side by side, attention boxes.

Nothing here depends on a model. Images come in as probabilities in [0, 1], float [..., H, W, C]
with C = 1 (grey) or 3 (RGB). A picture is uint8 [h, w, 3], where h and w count screen pixels: an
image enlarged `scale` times has h = scale * H and w = scale * W.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import imageio.v3 as iio
import numpy as np

RED = (255, 0, 0)  # write windows
GREEN = (0, 255, 0)  # read windows
BLUE = (64, 128, 255)  # the known part of an image
GAP = 4  # screen pixels between two tiles
GAP_LEVEL = 255  # white, which shows where the black ground of a digit ends
TILE_SIDE = 112  # screen pixels, enough to see a tile well
GRID_SIDE = 800  # about the largest side of an animation, in screen pixels
STILL_SIDE = 1600  # about the largest side of a still picture


class Box(NamedTuple):
    """Where windows lie on their images; the fields are float arrays of one shape.

    Positions are in image pixels, and the centre of pixel a is at a: an image W pixels wide spans
    -0.5 to W - 0.5. `sigma` is the standard deviation of the window's filters, in image pixels;
    it sets how thick the line is.
    """

    top: np.ndarray
    left: np.ndarray
    bottom: np.ndarray
    right: np.ndarray
    sigma: np.ndarray


def to_uint8(probabilities: np.ndarray) -> np.ndarray:
    """Turns float [..., H, W, C] in [0, 1] into uint8 [..., H, W, 3] in 0..255.

    Contrast is never stretched, so that pictures can be compared. Values outside [0, 1] are
    clipped, and NaN is black: a picture must not end a training run.

    Raises:
      ValueError: `probabilities` is not float, or C is neither 1 nor 3.
    """
    probabilities = np.asarray(probabilities)
    shape, dtype = probabilities.shape, probabilities.dtype
    if len(shape) < 3 or shape[-1] not in (1, 3) or not np.issubdtype(dtype, np.floating):
        raise ValueError("probabilities must be float [..., H, W, C] in [0, 1] with C = 1 or 3, "
                         f"got {dtype} of shape {shape}")
    levels = np.rint(np.clip(np.nan_to_num(probabilities), 0, 1) * 255)  # [..., H, W, C]
    return np.repeat(levels.astype(np.uint8), 3 // shape[-1], axis=-1)  # [..., H, W, 3]


def enlarge(pictures: np.ndarray, scale: int) -> np.ndarray:
    """Repeats every pixel: [..., H, W, 3] to [..., scale * H, scale * W, 3]."""
    return np.repeat(np.repeat(pictures, scale, axis=-3), scale, axis=-2)


def auto_scale(height: int, width: int, across: int = 1, limit: int = GRID_SIDE) -> int:
    """The scale for tiles of about `TILE_SIDE`, less if `across` of them would exceed `limit`."""
    side = max(height, width)
    return max(1, min(round(TILE_SIDE / side), limit // (across * side)))


def draw_boxes(pictures: np.ndarray, box: Box, scale: int, colour: Sequence[int]) -> np.ndarray:
    """Draws a rectangle on a copy of each picture.

    The middle of the line runs along the box. It is sigma / 2 thick, but at least one screen pixel
    and at most a sixteenth of the picture: a wide filter shows, and still leaves the picture
    visible. Parts outside the picture are not drawn, nor is a box with a NaN among its edges.

    Args:
      pictures: uint8 [..., h, w, 3], already enlarged `scale` times.
      box: the windows in image pixels, each field [...].
      scale: screen pixels per image pixel.
      colour: red, green, blue, each in 0..255.

    Returns:
      uint8 [..., h, w, 3].

    Raises:
      ValueError: a field of `box` has another shape.
    """
    *shape, height, width, _ = pictures.shape
    for name, field in zip(Box._fields, box):
        if np.shape(field) != tuple(shape):
            raise ValueError(f"box.{name} must have shape {tuple(shape)}, got {np.shape(field)}")
    top, left, bottom, right, sigma = (np.asarray(field, np.float64)[..., np.newaxis]
                                       for field in box)  # each [..., 1]
    thickest = max(1, min(height, width) // 16)
    thickness = np.rint(np.clip(np.nan_to_num(sigma * scale / 2), 1, thickest))  # [..., 1]

    def lines(first, last, length):
        """Which pixels of a side lie between two edges, and which of them on one; [..., length]."""
        first, last = (np.floor((edge + 0.5) * scale - thickness / 2 + 0.5)
                       for edge in (first, last))  # [..., 1], where the lines start
        pixels = np.arange(length)
        between = (first <= pixels) & (pixels < last + thickness)  # all False for a NaN
        return between, between & ((pixels < first + thickness) | (last <= pixels))

    in_row, on_row = lines(top, bottom, height)  # [..., h]
    in_column, on_column = lines(left, right, width)  # [..., w]
    drawn = (on_row[..., np.newaxis] & in_column[..., np.newaxis, :]
             | in_row[..., np.newaxis] & on_column[..., np.newaxis, :])  # [..., h, w]
    return np.where(drawn[..., np.newaxis], np.uint8(colour), pictures)


def grid(pictures: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Lays out pictures row by row in one picture.

    Args:
      pictures: uint8 [N, h, w, 3].
      columns: how many per row; None makes the grid nearly square.

    Returns:
      uint8 [rows * (h + GAP) - GAP, columns * (w + GAP) - GAP, 3].

    Raises:
      ValueError: `pictures` is anything else, or N is 0.
    """
    check_pictures("pictures", pictures, ndim=4)
    count, height, width, _ = pictures.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cells = np.full((rows * columns, height + GAP, width + GAP, 3), GAP_LEVEL, np.uint8)
    cells[:count, :height, :width] = pictures
    cells = cells.reshape(rows, columns, height + GAP, width + GAP, 3).swapaxes(1, 2)
    return cells.reshape(rows * (height + GAP), columns * (width + GAP), 3)[:-GAP, :-GAP]


def side_by_side(columns: Sequence[np.ndarray], scale: int | None = None,
                 last_apart: bool = False) -> np.ndarray:
    """Lays out images with one row per image, for example `[inputs, reconstructions]`.

    Args:
      columns: the columns of the picture, each [N, H, W, C] in [0, 1] with the same N, H and W.
      scale: screen pixels per image pixel; None chooses.
      last_apart: leave a wider gap before the last column.

    Returns:
      A picture, uint8 [gh, gw, 3].
    """
    tiles = np.stack([to_uint8(column) for column in columns], axis=1)  # [N, columns, H, W, 3]
    count, across, height, width, _ = tiles.shape
    scale = scale or auto_scale(height, width, max(count, across), STILL_SIDE)
    tiles = enlarge(tiles.reshape(-1, height, width, 3), scale)  # [N * columns, h, w, 3]
    sheet = grid(tiles, across)  # [gh, gw, 3]
    if last_apart:
        last = sheet.shape[1] - scale * width
        sheet = np.insert(sheet, [last] * 3 * GAP, GAP_LEVEL, axis=1)
    return sheet


def bars(values: np.ndarray, height: int = 200, width: int = 400) -> np.ndarray:
    """A bar chart without axes, scaled to its largest value.

    Args:
      values: [T], at least 0.
      height, width: in screen pixels; a bar is at least one wide.

    Returns:
      A picture, uint8 [height, T * (width // T), 3].
    """
    side = max(1, width // len(values))
    tall = np.rint(height * np.nan_to_num(values / max(np.nanmax(values), 1e-9)))  # [T]
    drawn = np.arange(height, 0, -1)[:, np.newaxis] <= np.repeat(tall, side)  # [height, width]
    drawn[:, side - 1::side] &= side < 3  # a gap between bars
    return np.where(drawn[..., np.newaxis], np.uint8((70, 110, 180)), np.uint8(255))


def nearest(samples: np.ndarray, train_images: np.ndarray) -> np.ndarray:
    """Finds the training image nearest to each sample by L2 distance.

    Args:
      samples: float [N, H, W, C].
      train_images: float [M, H, W, C].

    Returns:
      Indices into `train_images`, int [N].

    Raises:
      ValueError: the images differ in H, W or C, or M is 0.
    """
    if samples.shape[1:] != train_images.shape[1:] or not len(train_images):
        raise ValueError("train_images must be [M, H, W, C] like samples with M at least 1, "
                         f"got shapes {train_images.shape} and {samples.shape}")
    samples, images = (array.reshape(len(array), -1) for array in (samples, train_images))
    # |s - x|^2 without |s|^2, which is the same for every x
    distances = np.einsum("mp,mp->m", images, images) - 2 * samples @ images.T  # [N, M]
    return np.argmin(distances, axis=1)


def samples_and_nearest(samples: np.ndarray, train_images: np.ndarray) -> np.ndarray:
    """Lays out samples as in the paper's figures, the last column beside its nearest images.

    A model that has learned its training images by heart draws copies of these neighbours.

    Args:
      samples: float [N, H, W, C] in [0, 1], laid out in a full rectangle as square as N allows.
      train_images: float [M, H, W, C] in [0, 1].

    Returns:
      A picture, uint8 [h, w, 3]; the nearest training images, by L2 distance, are its last
      column, after a wider gap.
    """
    count = len(samples)
    across = max(side for side in range(1, math.isqrt(count) + 1) if count % side == 0)
    rows = samples.reshape(-1, across, *samples.shape[1:])  # [rows, columns, H, W, C]
    neighbours = train_images[nearest(rows[:, -1], train_images)]  # [rows, H, W, C]
    return side_by_side([*rows.swapaxes(0, 1), neighbours], last_apart=True)


def check_pictures(name: str, pictures: np.ndarray, ndim: int) -> None:
    """Raises ValueError unless `pictures` is uint8 [h, w, 3] (ndim 3) or [N, h, w, 3] (ndim 4)."""
    shape, dtype = np.shape(pictures), np.asarray(pictures).dtype
    if len(shape) != ndim or shape[-1] != 3 or 0 in shape or dtype != np.uint8:
        wanted = "[h, w, 3]" if ndim == 3 else "[N, h, w, 3] with N at least 1"
        raise ValueError(f"{name} must be uint8 {wanted}, got {dtype} of shape {shape}")


def encode_png(picture: np.ndarray) -> bytes:
    """Encodes a picture, uint8 [h, w, 3], as PNG; raises ValueError for anything else."""
    check_pictures("picture", picture, ndim=3)
    return iio.imwrite("<bytes>", picture, extension=".png")
