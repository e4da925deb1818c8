"""A model's steps as pictures and files: animations and film strips, with attention boxes.

Letters in shapes: T steps, N images, K imaginations of each, H height, W width, C channels.
`probabilities` are the canvas after each step, [T, N, H, W, C] in [0, 1]. `boxes` are what
`model.boxes` returns, each field [T, N]; a later one lies on top. `scale` is in screen pixels per
image pixel; None chooses one that suits the number of images.
"""

import contextlib
import math
import os
import pathlib
from collections.abc import Mapping

import imageio.v3 as iio
import numpy as np

from draw_tf.config import TrainConfig
from draw_tf.errors import ConfigError
from draw_tf.files import MADE_HERE, PathLike, local_path, write_whole
from draw_tf.models.base import ImageModel
from draw_tf.models.steps import Generation, Trace
from draw_tf.pictures import tiles
from draw_tf.pictures.page import Labels, page

ENDINGS = (".gif", ".png", ".html")
COLUMNS = 16  # steps of a film strip
COLOURS = {"read": tiles.GREEN, "write": tiles.RED, "known": tiles.BLUE}  # of boxes
Boxes = Mapping[str, tiles.Box] | None
LARGEST_SIDE = 65_535  # of a GIF, in pixels: the format has 16 bits for it


def stroke_frames(probabilities: np.ndarray, boxes: Boxes = None, scale: int | None = None,
                  inputs: np.ndarray | None = None) -> np.ndarray:
    """The frames of an animation, uint8 [T + 1, h, w, 3]: steps with boxes, then the result.

    Images that are redrawn, `inputs` [N, H, W, C] in [0, 1], are each to the left of its canvas.
    """
    _, columns, scale = tiles.layout(probabilities.shape[1:], None, inputs is not None, scale)
    drawn = _draw_steps(probabilities, boxes, scale)[:, :, np.newaxis]  # [T + 1, N, 1, h, w, 3]
    return _sheets([*_still(inputs, scale), drawn], columns)


def film_strip(probabilities: np.ndarray, boxes: Boxes = None, scale: int | None = None,
               max_columns: int | None = None, inputs: np.ndarray | None = None) -> np.ndarray:
    """One picture as in the paper's figures: one row per image, one column per step.

    The last column is always the last step: the finished images, without boxes. At most
    `max_columns` steps are shown, evenly spaced (None: all). The images that are redrawn, `inputs`
    [N, H, W, C] in [0, 1], come before the first step.
    """
    steps = len(probabilities)
    columns = min(steps, max_columns or steps)
    across = columns + (inputs is not None)
    _, _, scale = tiles.layout(probabilities.shape[1:], across, scale=scale)
    shown = np.rint(np.linspace(0, steps - 1, columns)).astype(int)[:-1]  # [columns - 1]
    drawn = _draw_steps(probabilities, boxes, scale, shown)  # [columns, N, h, w, 3]
    return _sheets([*_still(inputs, scale), drawn.swapaxes(0, 1)[np.newaxis]], across)[0]


def completions(probabilities: np.ndarray, images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The frames of an animation that completes images [N, H, W, C], uint8 [T, h, w, 3].

    Each has one row per image: what is known of it on grey, its K imaginations [T, N K, H, W, C]
    with a frame around the known part, and the whole image. Pixels that are `known`, [H, W, 1],
    hide what was imagined in their place.
    """
    steps, total = probabilities.shape[:2]
    count, across, scale = tiles.layout(np.shape(images), total // len(images) + 2)
    rows, columns = np.nonzero(known[..., 0])
    edges = (rows.min() - 0.5, columns.min() - 0.5, rows.max() + 0.5, columns.max() + 0.5, 0)
    box = tiles.Box(*(np.full((steps, total), edge) for edge in edges))
    shown = np.where(known > 0, np.repeat(images, total // count, axis=0), probabilities)
    drawn = _draw_steps(shown, {"known": box}, scale)[:-1]  # [T, N K, h, w, 3]
    drawn = drawn.reshape(steps, count, -1, *drawn.shape[2:])  # [T, N, K, h, w, 3]
    given = images * known + 0.5 * (1 - known)  # [N, H, W, C]
    return _sheets([*_still(given, scale), drawn, *_still(images, scale)], across)


def _draw_steps(probabilities, boxes, scale, shown=slice(None)):
    """Tiles [steps + 1, N, h, w, 3]: the steps that are `shown` with boxes, then the last bare."""
    drawn = tiles.to_uint8(probabilities[shown], scale)  # [steps, N, h, w, 3]
    for scope, box in (boxes or {}).items():
        box = tiles.Box(*(np.asarray(field)[shown] for field in box))  # [steps, N] each
        drawn = tiles.draw_boxes(drawn, box, scale, COLOURS[scope])  # [steps, N, h, w, 3]
    return np.concatenate([drawn, tiles.to_uint8(probabilities[-1:], scale)])


def _still(images, scale):
    """The same tiles of images [N, H, W, C] in each frame, [1, N, 1, h, w, 3]; none of None."""
    return [] if images is None else [tiles.to_uint8(images, scale)[np.newaxis, :, np.newaxis]]


def _sheets(parts, columns):
    """Lays out frames [F, h, w, 3], in which the tiles of an image follow each other.

    Each of `parts` has some tiles of each image, [F, N, some, h, w, 3], or [1, ...] for all frames.
    """
    frames = []
    for number in range(max(map(len, parts))):
        cells = np.concatenate([part[min(number, len(part) - 1)] for part in parts],
                               axis=1)  # [N, tiles of an image, h, w, 3]
        frames.append(tiles.grid(np.concatenate(cells), columns))
    return np.stack(frames)


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
    return iio.imwrite(
        "<bytes>", frames, extension=".gif", loop=0, duration=times, comment=MADE_HERE)


def save(path: PathLike, model: ImageModel, steps: Trace | Generation,
         images: np.ndarray | None = None, *, boxes: bool = True, columns: int = COLUMNS,
         known: np.ndarray | None = None, caption: str = "", labels: Labels = None,
         train: TrainConfig | None = None) -> None:
    """Writes what a model drew to a file, as `generate.py` does.

    A `.gif` plays the strokes and holds the finished images for a second. A `.png` is a film strip
    with one row per image and at most `columns` of the steps. A `.html` is a page to look into
    every step. Missing folders are made, and an interrupted write leaves the file as it was.

    Args:
      path: the file, whose ending is one of these three.
      model: the model that made the steps.
      steps: of N images, what `model.trace(images)` or `model.generate(num)` returned.
      images: the images that a Trace redraws, [N, H, W, C] in [0, 1]. An animation has them to the
        left of the canvases, a film strip begins with them, and a page needs them.
      boxes: whether to show where the model writes (red) and reads (green).
      columns: steps shown at most in a film strip.
      known: for steps of `imagine`, 1 where a pixel was known and 0 elsewhere, [H, W, 1]. Then
        the whole images are [N, H, W, C], and the steps are of K imaginations of each, N K images.
      caption: a line of text for the page.
      labels, train: what the images show, and how the model was trained; for the page, see `page`.

    Raises:
      ConfigError (a ValueError): the ending is another, the images do not fit the steps, or the
        picture would be larger than its format or this machine allows.
      OSError: the file cannot be written.
    """
    if not isinstance(model, ImageModel) or not isinstance(steps, (Trace, Generation)):
        raise ConfigError("model and steps must be a model of this package and what its trace or "
                          "generate returned, as in save(path, model, model.trace(x), x), got "
                          f"{type(model).__name__} and {type(steps).__name__}")
    path = local_path(path)
    total, *shape = np.shape(steps.canvases)[1:]
    count = total if images is None else len(images)
    if tuple(shape) != model.config.image_shape or (images is not None and (
            list(np.shape(images)[1:]) != shape or count < 1
            or (total != count if known is None else total % count))):
        raise ConfigError(
            f"images must be those that the steps are of, [{total}, {', '.join(map(str, shape))}] "
            f"for a model of {model.config.image_shape}, got "
            f"{None if images is None else np.shape(images)}")
    if known is not None and images is None:
        raise ConfigError("images must be the whole images where known is given, got None")
    check(path, model, count, 0 if known is None else total // count, columns, images is not None)
    ending = path.suffix.lower()
    content: bytes | str
    if ending == ".html":
        if images is not None:  # [N K, H, W, C], and the label of each
            images = np.repeat(images, total // count, axis=0)
            labels = None if labels is None else np.repeat(np.asarray(labels), total // count)
        content = page(model, steps, images, caption, boxes, known, labels, train)
    else:
        drawn = steps.images.numpy()  # [T, N K, H, W, C]
        windows = model.boxes(steps) if boxes else None
        if known is not None and images is not None:
            frames = completions(drawn[-1:] if ending == ".png" else drawn, images, known)
        elif ending == ".png":
            frames = film_strip(drawn, windows, max_columns=columns, inputs=images)[np.newaxis]
        else:
            frames = stroke_frames(drawn, windows, inputs=images)
        content = encode_gif(frames) if ending == ".gif" else tiles.encode_png(frames[-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def check(path: pathlib.Path, model: ImageModel, count: int, imaginations: int = 0,
          columns: int = COLUMNS, redrawn: bool = False) -> None:
    """Checks before the work that a picture of `count` images fits its format and the memory.

    `imaginations` is K where images are completed, else 0, and `redrawn` says whether the images
    are shown too. Raises ConfigError.
    """
    config, ending = model.config, path.suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(f"path must end in {' or '.join(ENDINGS)}, got {str(path)!r}")
    frames = model.glimpses + 1 if ending == ".gif" else 1
    across: int | None = min(columns, model.glimpses) + 1
    if imaginations:
        across = imaginations + 2
    elif ending == ".gif":
        across = None
    rows, across, scale = tiles.layout((count, *config.image_shape), across, redrawn)
    height, width = (number * (scale * side + tiles.GAP) - tiles.GAP for number, side
                     in zip((rows, across), config.image_shape[:2], strict=True))
    if ending == ".gif" and max(height, width) > LARGEST_SIDE:
        raise ConfigError(f"a GIF has at most {LARGEST_SIDE} pixels a side, and {count} "
                          f"images would be {width} x {height}: give a .png or fewer images")
    pixels = 0 if ending == ".html" else frames * height * width
    count *= max(1, imaginations)
    grids = sum(getattr(config, f"{scope}_size", 0) for scope in ("read", "write"))
    numbers = (8 * math.prod(config.image_shape) + 10 * (config.hidden_size + config.latent_size)
               + 2 * grids * sum(config.image_shape[:2]))  # about those of one step of an image
    needed = 12 * pixels + 4 * numbers * model.glimpses * count
    if needed > memory():
        raise ConfigError(f"{count} images in a {ending} need about {needed / 1e9:.0f} GB of "
                          f"memory, and this machine has {memory() / 1e9:.0f}: give fewer images")


def memory() -> float:
    """The memory that this process may take in bytes; infinite where it cannot be found out."""
    limit = math.inf
    with contextlib.suppress(AttributeError, ValueError, OSError):  # what not every system has
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        # that of a group, if there is one, and not "max"
        limit = min(limit, int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    return limit
