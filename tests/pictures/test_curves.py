import json
import sys

import imageio.v3 as iio
import numpy as np
import pytest

from draw_tf.errors import MissingPackageError
from draw_tf.pictures import curves


def line(step, split, bound, numbers=3):
    """A line of a run's metrics."""
    return {"step": step, "split": split, "bound_nats": bound + 1e-9,
            "kl_step_nats": [bound / 3] * numbers}


# Plots


@pytest.fixture
def drawn(monkeypatch):
    """A function that returns the axes of the last plot, which is otherwise closed once written."""
    plt = curves.pyplot()
    close = plt.close
    monkeypatch.setattr(plt, "close", lambda _: None)
    yield lambda: plt.gcf().axes[0]
    close("all")


def test_kl_curve_shows_every_step(tmp_path, drawn):
    curves.kl_curve(tmp_path / "kl.png", [3.0, 1.0, 0.5])
    [curve] = drawn().lines
    np.testing.assert_array_equal(curve.get_xydata(), [[1, 3.0], [2, 1.0], [3, 0.5]])
    assert drawn().get_ylim()[0] == 0 and "4.50" in drawn().get_title()


def test_training_curves_show_both_splits_of_every_run(tmp_path, drawn):
    runs = {"one": [line(1, "train", 900.0), line(10, "train", 300.0), line(20, "test", 150.0),
                    line(20, "train", 140.0)],
            "two": [line(20, "train", 100.0)]}
    curves.training_curves(tmp_path / "bound.png", runs)
    shown = {curve.get_label(): curve for curve in drawn().lines}
    assert set(shown) == {"one, train", "one, test", "two, train"}
    np.testing.assert_allclose(shown["one, train"].get_xydata(), [[1, 900], [10, 300], [20, 140]])
    np.testing.assert_allclose(shown["one, test"].get_xydata(), [[20, 150]])
    assert shown["one, test"].get_linewidth() > shown["one, train"].get_linewidth()
    assert shown["one, test"].get_color() == shown["one, train"].get_color()
    assert shown["one, test"].get_color() != shown["two, train"].get_color()
    assert 300 <= drawn().get_ylim()[1] < 900  # the start does not flatten the rest


def test_plots_are_png_files(tmp_path):
    curves.kl_curve(tmp_path / "kl.png", [3.0, 1.0])
    curves.training_curves(tmp_path / "bound.png", {"run": [line(1, "train", 9.0),
                                                            line(2, "train", 8.0)]})
    for name in ("kl.png", "bound.png"):
        picture = iio.imread(tmp_path / name)
        assert picture.shape[0] > 300 and picture.std() > 0
    assert not curves.pyplot().get_fignums()  # closed again


def test_missing_matplotlib_is_reported_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match="pip install matplotlib"):
        curves.pyplot()


# Metrics


def size(lines):
    return sum(len(json.dumps(line)) + 1 for line in lines)


def metrics():
    """A thousand lines of training, with an evaluation after every hundred."""
    lines = []
    for step in range(1, 1001):
        lines.append(line(step, "train", 100 + 1 / step))
        if step % 100 == 0:
            lines.append(line(step, "test", 101 + 1 / step))
    return lines


def test_metrics_that_fit_are_kept_to_six_digits():
    kept = curves.thin_metrics([line(7_654_321, "train", 123.4567891)])
    assert kept == [{"step": 7_654_321, "split": "train", "bound_nats": 123.457,
                     "kl_step_nats": [41.1523] * 3}]


def test_thinned_metrics_fit_and_keep_the_end_and_the_evaluations():
    lines = metrics()
    limit = size(lines) // 10
    kept = curves.thin_metrics(lines, limit)
    assert limit / 3 < size(kept) <= limit
    assert [x["step"] for x in kept if x["split"] == "test"] == list(range(100, 1001, 100))
    steps = [x["step"] for x in kept if x["split"] == "train"]
    assert steps[-1] == 1000 and len(set(np.diff(steps))) == 1  # evenly spaced
    order = [(x["step"], x["split"] == "test") for x in kept]
    assert order == sorted(order)
    by_step = {x["step"]: x["bound_nats"] for x in lines if x["split"] == "train"}
    assert all(x["bound_nats"] == pytest.approx(by_step[x["step"]], rel=1e-5)
               for x in kept if x["split"] == "train")


def test_the_last_lines_stay():
    lines = metrics()
    kept = curves.thin_metrics(lines, size(curves.thin_metrics(lines[-2:])))
    assert [(x["step"], x["split"]) for x in kept] == [(1000, "train"), (1000, "test")]
    with pytest.raises(ValueError, match="got 50"):
        curves.thin_metrics(lines, 50)


def test_a_single_long_line_stays_while_others_are_thinned():
    long, short = line(9, "test", 100.0, numbers=200), [line(k, "train", 100.0) for k in range(9)]
    kept = curves.thin_metrics([*short, long], size(curves.thin_metrics([*short[:4], long])))
    assert [x["step"] for x in kept] == [0, 4, 8, 9]
