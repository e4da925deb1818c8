"""A model's strokes as pictures: animations and film strips, with attention boxes."""

import math
import os
import pathlib
from collections.abc import Sequence

import imageio.v3 as iio
import numpy as np
import tensorflow as tf

from draw_tf.config import DRAWConfig
from draw_tf.files import write_whole
from draw_tf.models.attention import window_box
from draw_tf.models.steps import Generation, Trace
from draw_tf.pictures import tiles


def probabilities(logits: tf.Tensor) -> np.ndarray:
    """Turns canvases in logits into float arrays in [0, 1] of the same shape."""
    return tf.sigmoid(logits).numpy()


def boxes(config: DRAWConfig, steps: Trace | Generation) -> list:
    """The windows of every step with their colours: green to read, red to write.

    Args:
      config: the model's settings.
      steps: from `DRAW.trace` or `DRAW.generate`.

    Returns:
      A list as `stroke_frames` takes it; empty for a model without attention.
    """
    windows = ((getattr(steps, "read", None), config.read_size, tiles.GREEN),
               (steps.write, config.write_size, tiles.RED))
    return [(tiles.Box(*window_box(window, size, config.equations)), colour)
            for window, size, colour in windows if window is not None]


def stroke_frames(probabilities: np.ndarray, boxes: Sequence = (),
                  scale: int | None = None) -> np.ndarray:
    """The frames of an animation that draws N images.

    Args:
      probabilities: the canvas after each step, [T, N, H, W, C] in [0, 1].
      boxes: pairs of a `tiles.Box`, each field [T, N], and its colour; a later pair lies on top.
      scale: screen pixels per image pixel; None chooses.

    Returns:
      uint8 [T + 1, gh, gw, 3]: one frame per step with its boxes, then the finished images
      without them.
    """
    _, count, height, width, _ = probabilities.shape
    scale = scale or tiles.auto_scale(height, width, math.ceil(math.sqrt(count)))
    return np.stack([tiles.grid(step) for step in _draw_steps(probabilities, boxes, scale)])


def film_strip(probabilities: np.ndarray, boxes: Sequence = (), scale: int | None = None,
               max_columns: int | None = None, inputs: np.ndarray | None = None) -> np.ndarray:
    """One picture as in the paper's figures: one row per image, one column per step.

    The last column is always the last step: the finished images, without boxes.

    Args:
      probabilities, boxes, scale: as for `stroke_frames`.
      max_columns: if there are more steps, show this many, evenly spaced; None shows all.
      inputs: the images that are redrawn, [N, H, W, C] in [0, 1]; shown in a column before the
        first step.

    Returns:
      A picture, uint8 [h, w, 3].
    """
    steps, count, height, width, _ = probabilities.shape
    columns = min(steps, max_columns or steps)
    across = columns + (inputs is not None)
    scale = scale or tiles.auto_scale(height, width, max(count, across), tiles.STILL_SIDE)
    shown = np.rint(np.linspace(0, steps - 1, columns)).astype(int)  # [columns]
    shown[-1] = steps  # the finished images, which follow the last step with its boxes
    drawn = _draw_steps(probabilities, boxes, scale)[shown]  # [columns, N, h, w, 3]
    if inputs is not None:
        inputs = tiles.enlarge(tiles.to_uint8(inputs), scale)  # [N, h, w, 3]
        drawn = np.concatenate([inputs[np.newaxis], drawn])  # [1 + columns, N, h, w, 3]
    return tiles.grid(np.concatenate(np.swapaxes(drawn, 0, 1)), across)


def completions(probabilities: np.ndarray, images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The frames of an animation that completes N images, K times each.

    Args:
      probabilities: the canvas after each step, [T, N * K, H, W, C] in [0, 1], the K of an image
        one after the other.
      images: the whole images, [N, H, W, C] in [0, 1].
      known: 1 where a pixel is known and 0 elsewhere, [H, W, 1].

    Returns:
      uint8 [T, h, w, 3], one row per image: what is known of it on grey, K imaginations with a
      frame around the known part, and the whole image.
    """
    steps, total, height, width, _ = probabilities.shape
    count, again = len(images), total // len(images)
    scale = tiles.auto_scale(height, width, max(count, again + 2), tiles.STILL_SIDE)
    rows, columns = np.nonzero(known[..., 0])
    edges = (rows.min() - 0.5, columns.min() - 0.5, rows.max() + 0.5, columns.max() + 0.5, 0)
    box = tiles.Box(*(np.full((steps, total), edge) for edge in edges))
    drawn = tiles.draw_boxes(tiles.enlarge(tiles.to_uint8(probabilities), scale), box, scale,
                             tiles.BLUE)  # [T, N * K, h, w, 3]
    drawn = drawn.reshape(steps, count, again, *drawn.shape[2:])  # [T, N, K, h, w, 3]
    covered, whole = (np.broadcast_to(
        tiles.enlarge(tiles.to_uint8(x), scale)[:, np.newaxis], (steps, count, 1, *drawn.shape[3:]))
        for x in (images * known + 0.5 * (1 - known), images))  # [T, N, 1, h, w, 3] each
    sheets = np.concatenate([covered, drawn, whole], axis=2)  # [T, N, K + 2, h, w, 3]
    return np.stack([tiles.grid(sheet.reshape(-1, *sheet.shape[2:]), again + 2)
                     for sheet in sheets])


def _draw_steps(probabilities, boxes, scale):
    """Tiles [T + 1, N, h, w, 3]: every step with its boxes, then the last without them."""
    drawn = tiles.enlarge(tiles.to_uint8(probabilities), scale)  # [T, N, h, w, 3]
    finished = drawn[-1:]  # [1, N, h, w, 3]
    for box, colour in boxes:
        drawn = tiles.draw_boxes(drawn, box, scale, colour)
    return np.concatenate([drawn, finished])


def encode_gif(frames: np.ndarray, frame_ms: int = 120, hold_ms: int = 1000) -> bytes:
    """Encodes frames as a GIF that plays in a loop.

    Equal frames that follow each other are stored as one, which is shown for their total time.
    Grey levels and the colours of boxes come back within 1; a frame of colour images comes back in
    the 256 colours that suit it best.

    Args:
      frames: uint8 [F, h, w, 3].
      frame_ms: how long each frame is shown, in milliseconds; the format counts in tens.
      hold_ms: how long the last frame is shown.

    Raises:
      ValueError: `frames` is anything else, or F is 0.
    """
    tiles.check_pictures("frames", frames, ndim=4)
    # 128 levels per channel, 0 and 255 among them: all greys and the boxes fit in 256 colours
    frames = frames & 0xFE | frames >> 7  # [F, h, w, 3]
    times = [frame_ms] * (len(frames) - 1) + [hold_ms]
    return iio.imwrite("<bytes>", frames, extension=".gif", loop=0,
                       duration=times if len(times) > 1 else hold_ms)


def save(path: str | os.PathLike, pictures: np.ndarray, frame_ms: int = 120,
         hold_ms: int = 1000) -> None:
    """Writes frames [F, h, w, 3] to a `.gif`, or one picture [h, w, 3] to a `.png`.

    An interrupted write leaves the file as it was. Missing folders are made. `frame_ms` and
    `hold_ms` are those of `encode_gif`.

    Raises:
      ValueError: `path` has another ending, or `pictures` is not what its ending holds.
      OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    name = path.name.lower()
    if not name.endswith((".gif", ".png")):
        raise ValueError(f"path must end in .gif or .png, got {str(path)!r}")
    content = (encode_gif(pictures, frame_ms, hold_ms) if name.endswith(".gif")
               else tiles.encode_png(pictures))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
