"""Arrays in, pictures out: grids, film strips, attention boxes, stroke animations.

Nothing here knows the model. Images come in as probabilities in [0, 1], float [..., H, W, C] with
C = 1 (grey) or 3 (RGB). A picture is uint8 [h, w, 3], where h and w count screen pixels: an image
enlarged `scale` times has h = scale * H and w = scale * W.
"""

import os
import pathlib
from typing import NamedTuple

import imageio.v3 as iio
import numpy as np

RED = (255, 0, 0)  # write windows
GREEN = (0, 255, 0)  # read windows
GAP = 4  # screen pixels between two tiles
GAP_LEVEL = 255  # white, so that one sees where the black ground of a digit ends
TILE_SIDE = 112  # screen pixels that let a person see a tile well
GRID_SIDE = 800  # about the largest side of an animation
STILL_SIDE = 1600  # about the largest side of a picture that does not move
ENDINGS = (".gif", ".png")


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


def to_uint8(probabilities):
    """Turns float [..., H, W, C] in [0, 1] into uint8 [..., H, W, 3] in 0..255.

    Levels are never stretched, so that pictures can be compared. What lies outside [0, 1] is
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


def enlarge(pictures, scale):
    """Repeats every pixel: [..., H, W, 3] to [..., scale * H, scale * W, 3]."""
    return np.repeat(np.repeat(pictures, scale, axis=-3), scale, axis=-2)


def auto_scale(height, width, across=1, limit=GRID_SIDE):
    """The scale for tiles of about `TILE_SIDE`, less where `across` of them would pass `limit`."""
    side = max(height, width)
    return max(1, min(round(TILE_SIDE / side), limit // (across * side)))


def draw_boxes(pictures, box, scale, colour):
    """Draws a rectangle on each of the pictures [..., h, w, 3]; returns a copy.

    The middle of the line runs along the box. It is sigma / 2 thick, but at least one screen pixel
    and at most a sixteenth of the picture: a wide filter shows, and still leaves the picture
    visible. What lies outside the picture is not drawn, nor is a box with a NaN among its edges.

    Args:
      pictures: uint8 [..., h, w, 3], already enlarged `scale` times.
      box: the windows in image pixels; ValueError unless every field is [...].
      scale: screen pixels an image pixel.
      colour: red, green, blue, each in 0..255.
    """
    *shape, height, width, _ = pictures.shape
    for name, field in zip(Box._fields, box):
        if np.shape(field) != tuple(shape):
            raise ValueError(f"box.{name} must have shape {tuple(shape)}, got {np.shape(field)}")
    *edges, sigma = (np.asarray(field, np.float64).ravel() for field in box)  # each [N]
    edges = (np.stack(edges, axis=-1) + 0.5) * scale  # [N, 4], screen pixels
    thickest = max(1, min(height, width) // 16)
    thickness = np.rint(np.clip(np.nan_to_num(sigma * scale / 2), 1, thickest))  # [N]
    drawn = np.array(pictures, order="C")  # [..., h, w, 3]; in C order flat is a view of it
    flat = drawn.reshape(-1, height, width, 3)  # [N, h, w, 3]
    for index in np.flatnonzero(~np.isnan(edges).any(axis=1)):
        _draw_box(flat[index], *edges[index], int(thickness[index]), colour)
    return drawn


def _draw_box(picture, top, left, bottom, right, thickness, colour):
    """Draws on `picture` [h, w, 3] itself; edges in screen pixels from its top left corner."""

    def line(position, length):
        # Far away is as invisible as just outside, and just outside fits an int, infinity too.
        position = np.clip(position, -thickness, length + thickness)
        start = int(np.floor(position - thickness / 2 + 0.5))
        return slice(max(start, 0), max(start + thickness, 0))  # below 0 it would wrap around

    height, width, _ = picture.shape
    above, below = line(top, height), line(bottom, height)
    before, after = line(left, width), line(right, width)
    picture[above, before.start:after.stop] = colour
    picture[below, before.start:after.stop] = colour
    picture[above.start:below.stop, before] = colour
    picture[above.start:below.stop, after] = colour


def grid(pictures, columns=None, gap=GAP):
    """Lays pictures out row by row in one; `columns` None gives a near-square.

    ValueError unless `pictures` is uint8 [N, h, w, 3] with N at least 1.
    """
    _check_pictures("pictures", pictures, ndim=4)
    count, height, width, _ = pictures.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    sheet = np.full((*size, 3), GAP_LEVEL, np.uint8)  # [gh, gw, 3]
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        y, x = row * (height + gap), column * (width + gap)
        sheet[y:y + height, x:x + width] = picture
    return sheet


def side_by_side(columns, scale=None, last_apart=False):
    """One picture with a row an image and a column for each of `columns`.

    For example `[inputs, reconstructions]`, or, with a wider gap before the last column where
    `last_apart`, samples and their neighbours: `[samples, images[nearest(samples, images)]]`.
    The columns are probabilities, each [N, H, W, C] with the same N, H and W.
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


def nearest(samples, train_images, chunk=2048):
    """The index [N] of the training image nearest to each sample by L2 distance.

    Both `samples` [N, H, W, C] and `train_images` [M, H, W, C] are float in [0, 1] or uint8 in
    0..255; ValueError where they differ in H, W or C, or M is 0. Of the training images only
    `chunk` are held as floats at a time.
    """
    if samples.shape[1:] != train_images.shape[1:] or not len(train_images):
        raise ValueError("train_images must be [M, H, W, C] like samples with M at least 1, "
                         f"got shapes {train_images.shape} and {samples.shape}")
    samples = _flatten(samples)  # [N, H*W*C]
    best = np.full(len(samples), np.inf, np.float32)  # [N]
    index = np.zeros(len(samples), np.int64)  # [N]
    for start in range(0, len(train_images), chunk):
        images = _flatten(train_images[start:start + chunk])  # [chunk, H*W*C]
        # |s - x|^2 without |s|^2, which is the same for every x.
        distances = np.sum(images**2, axis=1) - 2 * samples @ images.T  # [N, chunk]
        closest = np.argmin(distances, axis=1)  # [N]
        distance = np.min(distances, axis=1)  # [N]
        index = np.where(distance < best, start + closest, index)  # [N]
        best = np.minimum(distance, best)  # [N]
    return index


def _flatten(images):
    """Images [N, H, W, C], float or uint8, as float32 [N, H*W*C] in [0, 1]."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    return flat / np.float32(255) if images.dtype == np.uint8 else flat


def stroke_frames(probabilities, boxes=(), scale=None):
    """The frames of an animation that draws N images, uint8 [T + 1, gh, gw, 3].

    One frame a step with that step's boxes, then the finished images without them.

    Args:
      probabilities: the canvas after each step, [T, N, H, W, C] in [0, 1].
      boxes: pairs of windows, each field [T, N], and their colour; a later pair lies on top.
      scale: screen pixels an image pixel; chosen to be visible where None.
    """
    _, count, height, width, _ = probabilities.shape
    scale = scale or auto_scale(height, width, int(np.ceil(np.sqrt(count))))
    return np.stack([grid(tiles) for tiles in _draw_steps(probabilities, boxes, scale)])


def film_strip(probabilities, boxes=(), scale=None, max_columns=None, inputs=None):
    """One picture as in the paper's figures: a row an image, a column a step.

    The last column is always the last step: the finished images, without boxes.

    Args:
      probabilities, boxes, scale: as for `stroke_frames`.
      max_columns: where there are more steps, show this many, evenly spaced; None shows all.
      inputs: [N, H, W, C] in [0, 1], what is redrawn, shown in a column of its own before.
    """
    steps, count, height, width, _ = probabilities.shape
    columns = min(steps, max_columns or steps)
    across = columns + (inputs is not None)
    scale = scale or auto_scale(height, width, max(count, across), STILL_SIDE)
    shown = np.rint(np.linspace(0, steps - 1, columns)).astype(int)  # [columns]
    shown[-1] = steps  # the finished images, which follow the last step with its boxes
    tiles = _draw_steps(probabilities, boxes, scale)[shown]  # [columns, N, h, w, 3]
    if inputs is not None:
        inputs = enlarge(to_uint8(inputs), scale)[np.newaxis]  # [1, N, h, w, 3]
        tiles = np.concatenate([inputs, tiles])  # [1 + columns, N, h, w, 3]
    return grid(np.concatenate(np.swapaxes(tiles, 0, 1)), across)


def _draw_steps(probabilities, boxes, scale):
    """Tiles [T + 1, N, h, w, 3]: every step with its boxes, then the last without them."""
    tiles = enlarge(to_uint8(probabilities), scale)  # [T, N, h, w, 3]
    finished = tiles[-1:]  # [1, N, h, w, 3]
    for box, colour in boxes:
        tiles = draw_boxes(tiles, box, scale, colour)
    return np.concatenate([tiles, finished])


def _check_pictures(name, pictures, ndim):
    shape, dtype = np.shape(pictures), np.asarray(pictures).dtype
    if len(shape) != ndim or shape[-1] != 3 or 0 in shape or dtype != np.uint8:
        wanted = "[h, w, 3]" if ndim == 3 else "[N, h, w, 3] with N at least 1"
        raise ValueError(f"{name} must be uint8 {wanted}, got {dtype} of shape {shape}")


def encode_png(picture):
    """The PNG of a picture, uint8 [h, w, 3]; ValueError for anything else."""
    _check_pictures("picture", picture, ndim=3)
    return iio.imwrite("<bytes>", picture, extension=".png")


def encode_gif(frames, frame_ms=120, hold_ms=1000):
    """The GIF that plays frames, uint8 [F, h, w, 3], for ever; ValueError for anything else.

    Each frame is shown for `frame_ms` milliseconds and the last for `hold_ms`; the format rounds
    them to tens. Levels of a grey picture and its boxes come back within 1; a frame of colour
    images comes back in the 256 colours that suit it best.
    """
    _check_pictures("frames", frames, ndim=4)
    # Given all the frames, Pillow would merge those that look alike into one that is shown longer.
    # So each is encoded alone, with its own table of colours, and the file is put together here.
    height, width = frames.shape[1:3]
    screen = width.to_bytes(2, "little") + height.to_bytes(2, "little") + bytes(3)
    loop = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"  # 0 times, which stands for ever
    times = [frame_ms] * (len(frames) - 1) + [hold_ms]
    return b"GIF89a" + screen + loop + b"".join(map(_gif_frame, frames, times)) + b";"


def _gif_frame(picture, milliseconds):
    """One frame's blocks of a GIF, taken from the GIF of that frame alone."""
    # 128 levels a channel, 0 and 255 among them: all greys and the boxes fit in 256 colours.
    picture = picture & 0xFE | picture >> 7  # [h, w, 3]
    alone = iio.imwrite("<bytes>", picture, extension=".gif", interlace=0)
    # signature (6 bytes), screen (7), colours, descriptor (10), pixels, ";"
    table_bits = alone[10] & 7
    start = 13 + 3 * 2**(table_bits + 1)
    colours, descriptor, pixels = alone[13:start], alone[start:start + 10], alone[start + 10:-1]
    if descriptor[:1] != b",":
        raise RuntimeError("imageio wrote a GIF with blocks other than one image")
    control = b"!\xf9\x04\x00" + round(milliseconds / 10).to_bytes(2, "little") + bytes(2)
    own_table = bytes([descriptor[9] | 0x80 | table_bits])
    return control + descriptor[:9] + own_table + colours + pixels


def check_ending(path):
    """The ending of `path` in lower case, one of `ENDINGS`; ValueError for another.

    A script calls it before the work whose picture `save` will write.
    """
    ending = pathlib.Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"cannot write {os.fspath(path)!r}: the name of a picture must end in "
                         f"{' or '.join(ENDINGS)}")
    return ending


def save(path, pictures, frame_ms=120, hold_ms=1000):
    """Writes frames [F, h, w, 3] to a `.gif`, or one picture [h, w, 3] to a `.png`.

    An interrupted write leaves the file as it was. Missing folders are made. `frame_ms` and
    `hold_ms` are those of `encode_gif`.

    Raises:
      ValueError: `path` has another ending, or `pictures` is not what its ending holds.
    """
    animated = check_ending(path) == ".gif"
    data = encode_gif(pictures, frame_ms, hold_ms) if animated else encode_png(pictures)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")  # same folder: replace is atomic
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
