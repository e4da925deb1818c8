"""A model's strokes as one page for the browser, to play, to stop and to look into.

Letters in shapes: T glimpses, N images, H height, W width, C channels, n side of an attention
grid. The page is `explorer.html` with `explorer.js` and the numbers put in; it loads nothing.
"""

import base64
import json
import pathlib

import numpy as np

from draw_tf.config import DRAWConfig
from draw_tf.models import attention
from draw_tf.models.steps import Generation, Trace
from draw_tf.pictures import strokes, tiles


def page(config: DRAWConfig, steps: Trace | Generation, inputs: np.ndarray | None = None,
         caption: str = "", boxes: bool = True, known: np.ndarray | None = None) -> str:
    """Builds a page (HTML) that plays strokes and shows for each step what was read and written.

    Images travel with 256 levels, windows with six digits, other numbers with four. What only
    inference has (what was read, the KL) is left out where `steps` is a Generation. Raises
    ValueError for a Trace without its inputs, or where C is neither 1 nor 3.

    Args:
      inputs: the images that a Trace redraws, [N, H, W, C] in [0, 1]; None for a Generation.
      caption: a line of text below the title.
      boxes: whether attention windows are shown when the page opens.
      known: for `complete`, 1 where a pixel was known and 0 elsewhere, broadcast to [H, W, C].
    """
    is_trace = hasattr(steps, "kl_nats")
    if is_trace and np.shape(inputs) != np.shape(steps.canvases)[1:]:
        raise ValueError(f"inputs must be the images redrawn, {np.shape(steps.canvases)[1:]}, "
                         f"got {np.shape(inputs)}")
    read = getattr(steps, "read", None)
    canvases = np.concatenate([_first_canvas(steps)[np.newaxis], steps.canvases])  # [T+1,N,H,W,C]
    content = {
        "caption": caption, "boxes": boxes, "shape": config.image_shape,
        "steps": len(canvases) - 1, "images": canvases.shape[1],
        "canvases": _levels(strokes.probabilities(canvases).swapaxes(0, 1)),  # [N, T+1, H, W, C]
        "inputs": _levels(inputs) if is_trace else None,
        "known": None if known is None else _levels(
            np.broadcast_to(known, config.image_shape).astype(np.float32)),
        "kl": _numbers(steps.kl_nats) if is_trace else None,  # [N, T]
        "read": _window(read, config.read_size, config.equations),
        "write": _window(steps.write, config.write_size, config.equations),
        "r": _numbers(steps.r) if read else None,  # [N, T, 2 n n C]
        "w": _numbers(steps.w) if steps.write else None,  # [N, T, n n C]
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    html, script = (pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8")
                    for name in ("explorer.html", "explorer.js"))
    return html.replace(">SCRIPT<", f">\n{script}<").replace(">DATA<", f">{text}<")


def _first_canvas(steps):
    """The canvas before the first step, in logits [N, H, W, C]: the first one less its stroke."""
    w, window = steps.w[0], steps.write  # [N, n, n, C]
    stroke = attention.write(w, window.Fx[0], window.Fy[0], window.gamma[0]) if window else w
    return np.asarray(steps.canvases[0]) - np.asarray(stroke)


def _window(window, size, equations):
    """A window's numbers, [N, T] each, and where its grid points lie in units of delta, [n]."""
    if window is None:
        return None
    *_, sigma = attention.window_box(window, size, equations)  # [T, N]
    names = ("gx", "gy", "delta", "sigma2", "gamma")
    return {**{name: _numbers(getattr(window, name)[..., 0], digits=6) for name in names},
            "sigma": _numbers(sigma, digits=6),
            "offsets": attention.grid_offsets(size, equations).numpy().tolist()}


def _levels(probabilities):
    """Images [..., C] in [0, 1] as bytes in base64."""
    levels = tiles.to_uint8(probabilities)[..., :probabilities.shape[-1]]  # [..., C]
    return base64.b64encode(levels.tobytes()).decode("ascii")


def _numbers(array, digits=4):
    """Lists of rounded numbers, [N, T] or [N, T, numbers], from an array [T, N, ...]."""
    array = np.asarray(array, np.float64).swapaxes(0, 1)  # [N, T, ...]
    array = array.reshape(*array.shape[:2], -1) if array.ndim > 2 else array
    array = np.nan_to_num(array, posinf=1e30, neginf=-1e30)  # JSON has none of the three
    return np.vectorize(lambda number: float(f"{number:.{digits}g}"))(array).tolist()
