"""A model's steps as a file: an animation, a film strip, or a page for the browser.

Letters in shapes: T steps, N images, K imaginations of each, H height, W width, C channels.
"""

import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from draw_tf.config import TrainConfig
from draw_tf.errors import ConfigError
from draw_tf.files import local_path, write_whole
from draw_tf.models.base import ImageModel
from draw_tf.models.steps import Generation, Trace
from draw_tf.pictures import strokes, tiles
from draw_tf.pictures.page import page

ENDINGS = (".gif", ".png", ".html")
COLUMNS = 16  # steps of a film strip


def save(path: str | os.PathLike, model: ImageModel, steps: Trace | Generation,
         images: np.ndarray | None = None, *, boxes: bool = True, columns: int = COLUMNS,
         known: np.ndarray | None = None, caption: str = "",
         labels: Sequence[int | None] | np.ndarray | None = None,
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
    if path.suffix.lower() == ".html":
        if images is not None:  # [N K, H, W, C]
            images = np.repeat(images, total // count, axis=0)
            labels = None if labels is None else [x for x in labels for _ in range(total // count)]
        content = page(model, steps, images, caption, boxes, known, labels, train)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        return
    strip = path.suffix.lower() == ".png"
    windows = strokes.boxes(model, steps) if boxes else ()
    probabilities = steps.images.numpy()  # [T, N, H, W, C]
    if known is not None and images is not None:
        picture = strokes.completions(probabilities[-1:] if strip else probabilities, images, known)
        picture = picture[-1] if strip else picture
    elif strip:
        picture = strokes.film_strip(probabilities, windows, max_columns=columns, inputs=images)
    else:
        picture = strokes.stroke_frames(probabilities, windows, inputs=images)
    strokes.save(path, picture)


def check(path: pathlib.Path, model: ImageModel, count: int, imaginations: int = 0,
          columns: int = COLUMNS, redrawn: bool = False) -> None:
    """Checks before the work that a picture of `count` images fits its format and the memory.

    `imaginations` is K where images are completed, else 0, and `redrawn` says whether the images
    are shown too. Raises ConfigError.
    """
    ending, (height, width, _) = path.suffix.lower(), model.config.image_shape
    if ending not in ENDINGS:
        raise ConfigError(f"path must end in {' or '.join(ENDINGS)}, got {str(path)!r}")
    frames = model.glimpses + 1 if ending == ".gif" else 1
    rows, across, limit = count, min(columns, model.glimpses) + 1, tiles.STILL_SIDE
    if imaginations:
        across = imaginations + 2
    elif ending == ".gif":
        across, limit = strokes.columns_of(count, redrawn), tiles.GRID_SIDE
        rows = math.ceil((2 * count if redrawn else count) / across)
    scale = tiles.auto_scale(height, width, max(rows, across), limit)
    height, width = (tiles.across(n, scale * side) for n, side in ((rows, height), (across, width)))
    if ending == ".gif" and max(height, width) > strokes.LARGEST_SIDE:
        raise ConfigError(f"a GIF has at most {strokes.LARGEST_SIDE} pixels a side, and {count} "
                          f"images would be {width} x {height}: give a .png or fewer images")
    pixels = 0 if ending == ".html" else frames * height * width
    needed = 12 * pixels + step_bytes(model, count * max(1, imaginations))
    if needed > memory():
        raise ConfigError(f"{count * max(1, imaginations)} images in a {ending} need about "
                          f"{needed / 1e9:.0f} GB of memory, and this machine has "
                          f"{memory() / 1e9:.0f}: give fewer images")


def step_bytes(model: ImageModel, count: int) -> int:
    """About what the steps of `count` images take in memory, while pictures are made of them."""
    config = model.config
    pixels, sides = math.prod(config.image_shape), sum(config.image_shape[:2])
    grids = sum(getattr(config, f"{scope}_size", 0) for scope in ("read", "write"))
    numbers = (8 * pixels + 10 * (config.hidden_size + config.latent_size) + 2 * grids * sides)
    return 4 * numbers * model.glimpses * count


def memory() -> float:
    """The memory that this process may take in bytes; infinite where it cannot be found out."""
    try:
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return math.inf
    try:
        return min(limit, int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    except (OSError, ValueError):  # no group, or no limit: "max"
        return limit
