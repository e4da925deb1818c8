"""Arrays in, pictures out: grids, columns side by side, attention boxes.

Images are probabilities in [0, 1], float [..., H, W, C] with C = 1 (grey) or 3 (RGB). A picture is
uint8 [h, w, 3] in screen pixels: of an image enlarged `scale` times, scale * H by scale * W.
"""

import math
from collections.abc import Sequence

import imageio.v3 as iio
import numpy as np
from PIL.PngImagePlugin import PngInfo

from draw_tf.files import MADE_HERE
from draw_tf.models.attention import Box

RED = (255, 0, 0)  # write windows
GREEN = (0, 255, 0)  # read windows
BLUE = (64, 128, 255)  # the known part of an image
GAP = 4  # screen pixels between two tiles
WHITE = 255  # between tiles, where it shows that the black ground of a digit ends
TILE_SIDE = 112  # screen pixels, enough to see a tile well
GRID_SIDE = 800  # about the largest side of an animation, in screen pixels
STILL_SIDE = 1600  # about the largest side of a still picture


def to_uint8(probabilities: np.ndarray, scale: int = 1) -> np.ndarray:
    """Turns float [..., H, W, C] into uint8 [..., h, w, 3]; raises ValueError for anything else.

    Every pixel is repeated `scale` times each way. Contrast is never stretched, so that pictures
    can be compared. Values outside [0, 1] are clipped, and NaN is black: a picture must not end a
    training run.
    """
    probabilities = np.asarray(probabilities)
    shape, dtype = probabilities.shape, probabilities.dtype
    if len(shape) < 3 or shape[-1] not in (1, 3) or not np.issubdtype(dtype, np.floating):
        raise ValueError("probabilities must be float [..., H, W, C] in [0, 1] with C = 1 or 3, "
                         f"got {dtype} of shape {shape}")
    levels = np.rint(np.clip(np.nan_to_num(probabilities), 0, 1) * 255)  # [..., H, W, C]
    pictures = np.repeat(levels.astype(np.uint8), 3 // shape[-1], axis=-1)  # [..., H, W, 3]
    return pictures.repeat(scale, axis=-3).repeat(scale, axis=-2)  # [..., h, w, 3]


def layout(shape: Sequence[int], across: int | None = None, redrawn: bool = False,
           scale: int | None = None) -> tuple[int, int, int]:
    """Rows, columns and scale of a picture of images of a shape [N, H, W, C].

    A still picture has one row per image, with `across` tiles. An animation, for which `across` is
    None, is nearly square; an image takes one tile, or two that are side by side if it is
    `redrawn`. Where `scale` is None, tiles are about `TILE_SIDE` large, and smaller if the picture
    would exceed `STILL_SIDE` or `GRID_SIDE`.
    """
    rows, height, width, _ = shape
    side, limit = max(height, width), STILL_SIDE
    if across is None:
        limit = GRID_SIDE
        per_image = 2 if redrawn else 1
        across = per_image * math.ceil(math.sqrt(rows / per_image))  # a pair is not torn apart
        rows = math.ceil(per_image * rows / across)
    fitting = max(1, min(round(TILE_SIDE / side), limit // (max(rows, across) * side)))
    return rows, across, scale or fitting


def draw_boxes(pictures: np.ndarray, box: Box, scale: int, colour: Sequence[int]) -> np.ndarray:
    """Draws `box`, each field of shape [...], on a copy of `pictures`, uint8 [..., h, w, 3].

    The pictures are enlarged `scale` times; `colour` is red, green and blue in 0..255. The middle
    of the line runs along the box. It is sigma / 2 thick, but at least one screen pixel and at most
    a sixteenth of the picture: a wide filter shows, and still leaves the picture visible. Parts
    outside the picture are not drawn, nor is a box with a NaN among its edges. Raises ValueError
    where a field of `box` has another shape.
    """
    shape, (height, width) = pictures.shape[:-3], pictures.shape[-3:-1]
    for name, field in zip(Box._fields, box, strict=True):
        if np.shape(field) != shape:
            raise ValueError(f"box.{name} must have shape {shape}, got {np.shape(field)}")
    fields = np.stack(box).astype(np.float64)[..., np.newaxis, np.newaxis]  # [5, ..., 1, 1]
    thickest = max(1, min(height, width) // 16)
    thick = np.rint(np.clip(np.nan_to_num(fields[4] * scale / 2), 1, thickest))  # [..., 1, 1]
    # where the lines start, [..., 1, 1] each
    top, left, bottom, right = np.floor((fields[:4] + 0.5) * scale - thick / 2 + 0.5)
    rows, columns = np.ogrid[:height, :width]  # [h, 1], [1, w]

    def filled(top, left, bottom, right):
        """Which pixels lie between edges [..., 1, 1], bool [..., h, w]; none where one is NaN."""
        return (top <= rows) & (rows < bottom) & ((left <= columns) & (columns < right))

    drawn = (filled(top, left, bottom + thick, right + thick)
             & ~filled(top + thick, left + thick, bottom, right))  # [..., h, w]
    return np.where(drawn[..., np.newaxis], np.array(colour, np.uint8), pictures)


def grid(pictures: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Lays out pictures [N, h, w, 3] row by row in one, nearly square where `columns` is None.

    Raises ValueError for any other array, and for no pictures.
    """
    check_pictures("pictures", pictures, ndim=4)
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    cells = np.pad(pictures, ((0, rows * columns - len(pictures)), (0, GAP), (0, GAP), (0, 0)),
                   constant_values=WHITE)  # [rows * columns, h + GAP, w + GAP, 3]
    return np.vstack([np.hstack([*row]) for row in np.split(cells, rows)])[:-GAP, :-GAP]


def side_by_side(columns: Sequence[np.ndarray], scale: int | None = None,
                 last_apart: bool = False) -> np.ndarray:
    """Lays out images with one row per image, for example `[inputs, reconstructions]`.

    Each column is [N, H, W, C] in [0, 1], with the same N, H and W. `scale` is as for `to_uint8`,
    or None to choose one; `last_apart` leaves a wider gap before the last column.
    """
    _, across, scale = layout(columns[0].shape, len(columns), scale=scale)
    rows = np.stack([to_uint8(column, scale) for column in columns], axis=1)  # [N, across, h, w, 3]
    sheet = grid(np.concatenate(rows), across)  # [gh, gw, 3]
    if last_apart:
        sheet = np.insert(sheet, [-rows.shape[3]] * 3 * GAP, WHITE, axis=1)
    return sheet


def bars(values: np.ndarray, height: int = 200, width: int = 400) -> np.ndarray:
    """A bar chart of `values` [T], each at least 0, without axes and scaled to the largest.

    Returns a picture, [height, T * max(1, width // T), 3]; a bar is at least one screen pixel wide.
    """
    side = max(1, width // len(values))
    values = np.nan_to_num(values)  # [T]
    tall = np.rint(height * (values / max(values.max(), 1e-9)))  # [T]
    drawn = np.arange(height, 0, -1)[:, np.newaxis] <= np.repeat(tall, side)  # [height, width]
    drawn[:, side - 1::side] &= side < 3  # a gap between bars
    return np.where(drawn[..., np.newaxis], np.array((70, 110, 180), np.uint8), np.uint8(WHITE))


def nearest(samples: np.ndarray, train_images: np.ndarray) -> np.ndarray:
    """Finds the training image [M, H, W, C] nearest to each sample [N, H, W, C] by L2 distance.

    Returns indices, int [N]; raises ValueError where H, W or C differ, or M is 0.
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

    The samples [N, H, W, C] fill a rectangle as square as N allows; after a wider gap stands the
    training image [M, H, W, C] nearest to the last of each row, by L2 distance. All are in [0, 1].
    A model that has learned its training images by heart draws copies of these neighbours.
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
    maker = PngInfo()
    maker.add_text("Software", MADE_HERE)
    return iio.imwrite("<bytes>", picture, extension=".png", pnginfo=maker)
