"""A page for the browser on which the model itself runs: draw a digit, and it is redrawn.

The page is `explorer/page.html` with the scripts beside it, the weights and the numbers of a run
put in; it loads nothing. Letters in shapes: T steps, N images, H height, W width, C channels,
Z latent size.
"""

import base64
import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from draw_tf import data
from draw_tf.config import TrainConfig
from draw_tf.models import named_weights
from draw_tf.models.draw import DRAW
from draw_tf.models.steps import Generation, Trace

# Data sets of one digit per image, fitted to 20 x 20 pixels and centred by its mass.
DIGITS = ("digits", "colour_digits", "mnist", "binarized_mnist")
FILES = ("page.html", "model.js", "pictures.js", "pad.js", "pen.js", "page.js")
Labels = Sequence[int | None] | np.ndarray | None  # which digit each image is


def page(model: DRAW, steps: Trace | Generation, images: np.ndarray | None = None,
         caption: str = "", boxes: bool = True, known: np.ndarray | None = None,
         labels: Labels = None, train: TrainConfig | None = None) -> str:
    """A page (HTML) that holds a model, and the images and the noise of a run of it.

    The page computes the run anew, from weights rounded to 16 bits. A visitor can also draw an
    image, and ask for new images. Raises ValueError for a model that is not a DRAW, for a Trace
    without its images, or where C is neither 1 nor 3.

    Args:
      model, steps: the model that made the steps, and these.
      images: the images that a Trace redraws, [N, H, W, C] in [0, 1]; None for a Generation.
      caption: a line of text at the end of the page, such as the command that made it.
      boxes: whether attention windows are shown when the page opens.
      known: for `complete`, 1 where a pixel was known and 0 elsewhere, broadcast to [H, W, C].
      labels: which digit each image is, or None, for N images.
      train: how the model was trained. What is drawn on the page is brought to the manner of its
        images. Without it, the shape and the values of images decide.
    """
    if not isinstance(model, DRAW):
        raise ValueError(f"model must be a DRAW, got {type(model).__name__}")
    config = model.config
    if config.image_shape[2] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels, got {config.image_shape[2]}")
    noise = np.asarray(steps.z, np.float64)  # [T, N, Z]
    if isinstance(steps, Trace):
        shape = np.shape(steps.canvases)[1:]
        if images is None or np.shape(images) != shape:
            raise ValueError(f"images must be those redrawn, {shape}, "
                             f"got {None if images is None else np.shape(images)}")
        mu, logsigma = (np.asarray(x, np.float64) for x in (steps.mu, steps.logsigma))
        noise = (noise - mu) / np.exp(logsigma)  # [T, N, Z]
    weights = {name: variable.numpy() for name, variable in named_weights(model).items()}
    numbers = np.concatenate([weight.ravel() for weight in weights.values()])  # [all weights]
    limit = np.finfo(np.float16).max
    digits = config.image_shape[2] == 1
    binary = images is not None and bool(np.isin(images, (0, 1)).all())
    if train is not None:
        digits = train.dataset in DIGITS
        binary = data.binarize_for(train.dataset, train.binarize, "digits") != "none"
    content = {
        "config": dataclasses.asdict(config), "caption": caption, "boxes": boxes,
        "shapes": [(name, weight.shape) for name, weight in weights.items()],
        "weights": _base64(numbers.clip(-limit, limit), np.float16),
        "count": noise.shape[1], "noise": _base64(noise.swapaxes(0, 1)),  # [N, T, Z]
        "images": _base64(images) if isinstance(steps, Trace) else None,  # [N, H, W, C]
        "known": None if known is None else _base64(np.broadcast_to(known, config.image_shape)),
        "labels": None if labels is None else [None if x is None else int(x) for x in labels],
        "digits": digits and config.image_shape[:2] == (28, 28), "binary": binary}
    folder = pathlib.Path(__file__).with_name("explorer")
    html, model_js, *scripts = ((folder / name).read_text(encoding="utf-8") for name in FILES)
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return html.replace(">MODEL<", f">\n{model_js}<").replace(
        ">SCRIPT<", f">\n{''.join(scripts)}<").replace(">DATA<", f">{text}<")


def _base64(array, dtype=np.float32):
    """The numbers of an array as little-endian bytes in base64; what is not finite becomes 0."""
    array = np.nan_to_num(np.asarray(array, np.float64), posinf=0, neginf=0)
    return base64.b64encode(array.astype(np.dtype(dtype).newbyteorder("<")).tobytes()).decode()
