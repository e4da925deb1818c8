"""Plots of a run's numbers, drawn with matplotlib if it is installed (the extra `plot`)."""

import contextlib
import io
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from draw_tf.errors import MissingPackageError
from draw_tf.files import PathLike, write_whole


def pyplot() -> Any:
    """matplotlib.pyplot, set to draw without a screen; raises MissingPackageError without it."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingPackageError("a plot needs matplotlib: pip install matplotlib") from error
    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    return plt


@contextlib.contextmanager
def subplots(path: PathLike, *grid: int, **options) -> Iterator[Any]:
    """Yields axes of matplotlib's `subplots` to draw on, then writes them to `path` as a PNG."""
    plt = pyplot()
    figure, axes = plt.subplots(*grid, layout="constrained", **options)
    try:
        for panel in figure.axes:
            panel.grid(alpha=0.3)
        yield axes
        png = io.BytesIO()
        figure.savefig(png, dpi=150, format="png")
    finally:
        plt.close(figure)
    write_whole(path, png.getvalue())


def kl_curve(path: PathLike, kl_step_nats: Sequence[float]) -> None:
    """Plots the mean KL of each step to a PNG file: what it adds to the description of an image."""
    with subplots(path, figsize=(6, 4)) as axes:
        axes.set(xlabel="step", ylabel="KL (nats per image)")
        axes.plot(range(1, len(kl_step_nats) + 1), kl_step_nats, marker="o", markersize=3)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_title(f"{sum(kl_step_nats):.2f} nats over {len(kl_step_nats)} steps")


def training_curves(path: PathLike, runs: Mapping[str, Sequence[dict]]) -> None:
    """Plots the bound of runs over training: thin on training batches, thick on held-out images.

    The picture is a PNG file; `runs` maps a run's name to its metrics, as `thin_metrics` returns
    them.
    """
    with subplots(path, figsize=(6, 4)) as axes:
        axes.set(xlabel="training step", ylabel="bound (nats per image)")
        for number, (name, lines) in enumerate(runs.items()):
            for split in sorted({line["split"] for line in lines}):
                points = [(line["step"], line["bound_nats"]) for line in lines
                          if line["split"] == split]
                width, alpha = (0.7, 0.6) if split == "train" else (2, 1)
                axes.plot(*zip(*points, strict=True), label=f"{name}, {split}",
                          color=f"C{number}", linewidth=width, alpha=alpha)
        curves = (curve.get_xydata().T for curve in axes.lines)  # steps and bounds
        # the first tenth of a run would flatten the rest
        axes.set_ylim(top=max(bounds[steps >= 0.1 * steps.max()].max() for steps, bounds in curves))
        axes.legend()


def thin_metrics(lines: Sequence[dict], max_bytes: int = 200_000) -> list[dict]:
    """Thins a run's metrics until they are small enough to keep beside the code.

    Lines without a split or a finite bound are left out, and numbers are rounded to six digits.
    Then every other line of the split with the most lines is removed, until the rest takes at most
    `max_bytes` as lines of JSON; the last line of each split stays. Raises ValueError where these
    alone take more.
    """
    kept: dict[str, list] = {}  # from a split to the place and the text of each of its lines
    for place, line in enumerate(lines):
        split, bound = line.get("split"), line.get("bound_nats")
        if isinstance(split, str) and isinstance(bound, float) and math.isfinite(bound):
            line = json.loads(json.dumps(line), parse_float=lambda x: float(f"{float(x):.6g}"))
            kept.setdefault(split, []).append((place, json.dumps(line)))
    while sum(len(text) + 1 for _, text in itertools.chain(*kept.values())) > max_bytes:
        most = max(kept.values(), key=len)
        if len(most) == 1:
            raise ValueError("max_bytes must be at least the length of the last lines, "
                             f"got {max_bytes}")
        del most[-2::-2]  # from the back, so that the last stays
    return [json.loads(text) for _, text in sorted(itertools.chain(*kept.values()))]
