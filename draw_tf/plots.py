"""Curves of a run's numbers, drawn with matplotlib where it is installed (the extra `plot`)."""

import contextlib
import itertools
import json

from draw_tf.errors import MissingPackageError

SETTLED = 0.1  # of its steps, after which a run's bound sets the height of its plot


def pyplot():
    """matplotlib.pyplot, which draws to files without a screen.

    Raises:
      MissingPackageError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingPackageError("a plot needs matplotlib: pip install matplotlib") from error
    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    return plt


@contextlib.contextmanager
def _figure(path, x_label, y_label):
    """Yields axes to draw on, then writes them to `path`."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    try:
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(alpha=0.3)
        yield axes
        figure.savefig(path, dpi=150, format="png")
    finally:
        plt.close(figure)


def kl_curve(path, kl_step_nats):
    """Draws what each step tells about the image.

    Args:
      path: of the picture, a .png.
      kl_step_nats: T numbers, the mean KL of a step in nats an image.
    """
    steps = range(1, len(kl_step_nats) + 1)
    with _figure(path, "step", "KL (nats an image)") as axes:
        axes.plot(steps, kl_step_nats, marker="o", markersize=3)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_title(f"{sum(kl_step_nats):.2f} nats over {len(kl_step_nats)} steps")


def training_curves(path, runs):
    """Draws the bound of runs as they trained: thin on training batches, thick on held-out images.

    Args:
      path: of the picture, a .png.
      runs: a mapping from a run's name to its lines, as `summaries.read_metrics` gives them.
    """
    tops = []
    with _figure(path, "training step", "bound (nats an image)") as axes:
        for number, (name, lines) in enumerate(runs.items()):
            for split in sorted({line["split"] for line in lines}):
                steps, bounds = zip(*((line["step"], line["bound_nats"]) for line in lines
                                      if line["split"] == split))
                train = split == "train"
                axes.plot(steps, bounds, label=f"{name}, {split}", color=f"C{number}",
                          linewidth=0.7 if train else 2, alpha=0.6 if train else 1)
                tops += [bound for step, bound in zip(steps, bounds)
                         if step >= SETTLED * max(steps)]
        axes.set_ylim(top=max(tops))  # the first steps would flatten all that follows
        axes.legend()


def thin_metrics(lines, max_bytes=200_000):
    """Fewer lines of a run's metrics, few enough to keep beside the code.

    Numbers are cut to six digits. Then every other line of the split that takes the most room
    goes, until the rest fits; the last line of each split stays.

    Args:
      lines: as `summaries.read_metrics` gives them.
      max_bytes: how long they may be as lines of JSON.

    Returns:
      Some of the lines, in their order.

    Raises:
      ValueError: the last lines alone are longer than `max_bytes`.
    """
    lines = [_rounded(line) for line in lines]
    sizes = [len(json.dumps(line)) + 1 for line in lines]  # with the line's end
    kept = {split: [i for i, line in enumerate(lines) if line["split"] == split]
            for split in {line["split"] for line in lines}}
    while sum(sizes[i] for i in itertools.chain(*kept.values())) > max_bytes:
        split = max(kept, key=lambda name: (len(kept[name]) > 1, sum(sizes[i] for i in kept[name])))
        if len(kept[split]) == 1:
            raise ValueError(f"max_bytes must be at least the length of the last lines, "
                             f"got {max_bytes}")
        kept[split] = kept[split][::-1][::2][::-1]  # from the back, so that the last stays
    return [lines[i] for i in sorted(itertools.chain(*kept.values()))]


def _rounded(value):
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value
