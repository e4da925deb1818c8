"""A model's strokes as pictures: animations and film strips, with attention boxes.

Letters in shapes: T steps, N images, H height, W width, C channels. `probabilities` are the canvas
after each step, [T, N, H, W, C] in [0, 1]. `boxes` are pairs of a `tiles.Box`, each field [T, N],
and its colour; a later pair lies on top. `scale` is in screen pixels per image pixel; None chooses
one that suits the number of images.
"""

import math
import os
import pathlib
from collections.abc import Sequence

import imageio.v3 as iio
import numpy as np
import tensorflow as tf

from draw_tf.files import MADE_HERE, write_whole
from draw_tf.models.base import ImageModel
from draw_tf.models.steps import Generation, Trace
from draw_tf.pictures import tiles

LARGEST_SIDE = 65_535  # of a GIF, in pixels: the format has 16 bits for it


def probabilities(logits: tf.Tensor) -> np.ndarray:
    """Turns canvases in logits into float arrays in [0, 1] of the same shape."""
    return tf.sigmoid(logits).numpy()


def boxes(model: ImageModel, steps: Trace | Generation) -> list[tuple[tiles.Box, tuple]]:
    """The windows of every step as `stroke_frames` takes them: green to read, red to write."""
    colours = {"read": tiles.GREEN, "write": tiles.RED}
    return [(box, colours[scope]) for scope, box in model.boxes(steps).items()]


def columns_of(count: int, redrawn: bool) -> int:
    """The columns of an animation: nearly square, and even where images are beside canvases."""
    return 2 * math.ceil(math.sqrt(count / 2)) if redrawn else math.ceil(math.sqrt(count))


def stroke_frames(probabilities: np.ndarray, boxes: Sequence = (), scale: int | None = None,
                  inputs: np.ndarray | None = None) -> np.ndarray:
    """The frames of an animation, uint8 [T + 1, h, w, 3]: steps with boxes, then the result.

    Images that are redrawn, `inputs` [N, H, W, C] in [0, 1], are each to the left of its canvas.
    """
    _, count, height, width, _ = probabilities.shape
    columns = columns_of(count, inputs is not None)
    scale = scale or tiles.auto_scale(height, width, columns)
    drawn = _draw_steps(probabilities, boxes, scale)  # [T + 1, N, h, w, 3]
    if inputs is not None:
        first = np.broadcast_to(tiles.enlarge(tiles.to_uint8(inputs), scale), drawn.shape)
        pairs = np.stack([first, drawn], axis=2)  # [T + 1, N, 2, h, w, 3]
        drawn = pairs.reshape(len(drawn), -1, *drawn.shape[2:])  # [T + 1, 2 N, h, w, 3]
    return np.stack([tiles.grid(step, columns) for step in drawn])


def film_strip(probabilities: np.ndarray, boxes: Sequence = (), scale: int | None = None,
               max_columns: int | None = None, inputs: np.ndarray | None = None) -> np.ndarray:
    """One picture as in the paper's figures: one row per image, one column per step.

    The last column is always the last step: the finished images, without boxes. At most
    `max_columns` steps are shown, evenly spaced (None: all). The images that are redrawn, `inputs`
    [N, H, W, C] in [0, 1], come before the first step.
    """
    steps, count, height, width, _ = probabilities.shape
    columns = min(steps, max_columns or steps)
    across = columns + (inputs is not None)
    scale = scale or tiles.auto_scale(height, width, max(count, across), tiles.STILL_SIDE)
    shown = np.rint(np.linspace(0, steps - 1, columns)).astype(int)  # [columns]
    shown[-1] = steps - 1  # where there is one column too
    boxes = [(tiles.Box(*(np.asarray(field)[shown] for field in box)), colour)
             for box, colour in boxes]  # each field [columns, N]
    drawn = _draw_steps(probabilities[shown], boxes, scale)  # [columns + 1, N, h, w, 3]
    drawn = np.delete(drawn, -2, axis=0)  # the last step with its boxes
    if inputs is not None:
        first = tiles.enlarge(tiles.to_uint8(inputs), scale)[np.newaxis]  # [1, N, h, w, 3]
        drawn = np.concatenate([first, drawn])  # [1 + columns, N, h, w, 3]
    return tiles.grid(np.concatenate(drawn.swapaxes(0, 1)), across)


def completions(probabilities: np.ndarray, images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The frames of an animation that completes N images, K times each, uint8 [T, h, w, 3].

    Each has one row per image: what is known of it on grey, K imaginations with a frame around the
    known part, and the whole image. Known pixels are shown as they are, and hide what was imagined
    in their place.

    Args:
      probabilities: [T, N * K, H, W, C], the K of an image one after the other.
      images: the whole images, [N, H, W, C] in [0, 1].
      known: 1 where a pixel is known and 0 elsewhere, [H, W, 1].
    """
    steps, total, height, width, _ = probabilities.shape
    count, across = len(images), total // len(images) + 2
    scale = tiles.auto_scale(height, width, max(count, across), tiles.STILL_SIDE)
    rows, columns = np.nonzero(known[..., 0])
    edges = (rows.min() - 0.5, columns.min() - 0.5, rows.max() + 0.5, columns.max() + 0.5, 0)
    box = tiles.Box(*(np.full((steps, total), edge) for edge in edges))
    shown = np.where(known > 0, np.repeat(images, total // count, axis=0), probabilities)
    drawn = _draw_steps(shown, [(box, tiles.BLUE)], scale)[:-1]  # [T, N * K, h, w, 3]
    size = drawn.shape[2:]
    sheets = np.empty((steps, count, across, *size), np.uint8)  # [T, N, K + 2, h, w, 3]
    sheets[:, :, 0] = tiles.enlarge(tiles.to_uint8(images * known + 0.5 * (1 - known)), scale)
    sheets[:, :, 1:-1] = drawn.reshape(steps, count, -1, *size)
    sheets[:, :, -1] = tiles.enlarge(tiles.to_uint8(images), scale)
    return np.stack([tiles.grid(sheet.reshape(-1, *size), across) for sheet in sheets])


def _draw_steps(probabilities, boxes, scale):
    """Tiles [T + 1, N, h, w, 3]: every step with its boxes, then the last without them."""
    drawn = tiles.enlarge(tiles.to_uint8(probabilities), scale)  # [T, N, h, w, 3]
    finished = drawn[-1:]  # [1, N, h, w, 3]
    for box, colour in boxes:
        drawn = tiles.draw_boxes(drawn, box, scale, colour)
    return np.concatenate([drawn, finished])


def encode_gif(frames: np.ndarray, frame_ms: int = 120, hold_ms: int = 1000) -> bytes:
    """Encodes frames, uint8 [F, h, w, 3], as a GIF that plays in a loop and holds the last frame.

    Each frame is shown for `frame_ms` milliseconds and the last for `hold_ms`; the format counts in
    tens. Equal frames that follow each other are stored as one, for their total time. Grey levels
    and the colours of boxes come back within 1, colour images in the 256 colours that suit each
    frame best. Raises ValueError for any other array, for no frames, and for a side of more than
    `LARGEST_SIDE` pixels.
    """
    tiles.check_pictures("frames", frames, ndim=4)
    if max(frames.shape[1:3]) > LARGEST_SIDE:
        raise ValueError(f"frames of a GIF have at most {LARGEST_SIDE} pixels a side, got "
                         f"{frames.shape[2]} x {frames.shape[1]}: save one as .png")
    # 128 levels per channel, 0 and 255 among them: all greys and the boxes fit in 256 colours
    frames = frames & 0xFE | frames >> 7  # [F, h, w, 3]
    times = [frame_ms] * (len(frames) - 1) + [hold_ms] if len(frames) > 1 else hold_ms
    return iio.imwrite("<bytes>", frames, extension=".gif", loop=0, duration=times,
                       comment=MADE_HERE)


def save(path: str | os.PathLike, pictures: np.ndarray, frame_ms: int = 120,
         hold_ms: int = 1000) -> None:
    """Writes frames [F, h, w, 3] to a `.gif`, or one picture [h, w, 3] to a `.png`.

    An interrupted write leaves the file as it was. Missing folders are made. Raises ValueError
    where the ending is another or does not fit `pictures`, and OSError where the file cannot be
    written.
    """
    path = pathlib.Path(path)
    name = path.name.lower()
    if name.endswith(".gif"):
        content = encode_gif(pictures, frame_ms, hold_ms)
    elif name.endswith(".png"):
        content = tiles.encode_png(pictures)
    else:
        raise ValueError(f"path must end in .gif or .png, got {str(path)!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
