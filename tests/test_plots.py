"""Curves and pictures made of a run's numbers, and the thinning of its metrics."""

import contextlib
import json

import imageio.v3 as iio
from matplotlib import pyplot as plt
import numpy as np
import pytest

from draw_tf import plots, render, visualize
from draw_tf.data import Images
from tests import reference
from tests.cli import run_module
from tests.numerics import model_with, small_config


def line(step, split, bound, numbers=3):
    return {"step": step, "split": split, "bound_nats": bound + 1e-9,
            "kl_step_nats": [bound / 3] * numbers}


@pytest.fixture
def drawn(monkeypatch):
    """The axes of the plots, in order, as they are after drawing."""
    axes = []

    @contextlib.contextmanager
    def keep(path, x_label, y_label):
        axes.append(plt.figure().add_subplot())
        yield axes[-1]

    monkeypatch.setattr(plots, "_figure", keep)
    yield axes
    plt.close("all")


def test_kl_curve_shows_every_step(drawn):
    plots.kl_curve("unused.png", [3.0, 1.0, 0.5])
    [curve] = drawn[0].lines
    np.testing.assert_array_equal(curve.get_xydata(), [[1, 3.0], [2, 1.0], [3, 0.5]])
    assert drawn[0].get_ylim()[0] == 0 and "4.50" in drawn[0].get_title()


def test_training_curves_show_both_splits_of_every_run(drawn):
    runs = {"one": [line(1, "train", 900.0), line(10, "train", 300.0), line(20, "test", 150.0),
                    line(20, "train", 140.0)],
            "two": [line(20, "train", 100.0)]}
    plots.training_curves("unused.png", runs)
    curves = {curve.get_label(): curve for curve in drawn[0].lines}
    assert set(curves) == {"one, train", "one, test", "two, train"}
    np.testing.assert_allclose(curves["one, train"].get_xydata(),
                               [[1, 900], [10, 300], [20, 140]])
    np.testing.assert_allclose(curves["one, test"].get_xydata(), [[20, 150]])
    assert curves["one, test"].get_linewidth() > curves["one, train"].get_linewidth()
    assert curves["one, test"].get_color() == curves["one, train"].get_color()
    assert curves["one, test"].get_color() != curves["two, train"].get_color()
    assert 300 <= drawn[0].get_ylim()[1] < 900  # the start does not flatten the rest


def test_plots_are_png_files(tmp_path):
    plots.kl_curve(tmp_path / "kl.png", [3.0, 1.0])
    plots.training_curves(tmp_path / "bound.png", {"run": [line(1, "train", 9.0),
                                                           line(2, "train", 8.0)]})
    for name in ("kl.png", "bound.png"):
        picture = iio.imread(tmp_path / name)
        assert picture.shape[0] > 300 and picture.std() > 0
    assert not plt.get_fignums()  # closed again


# Metrics.


def size(lines):
    return sum(len(json.dumps(line)) + 1 for line in lines)


def metrics():
    lines = []
    for step in range(1, 1001):
        lines.append(line(step, "train", 100 + 1 / step))
        if step % 100 == 0:
            lines.append(line(step, "test", 101 + 1 / step))
    return lines


def test_metrics_that_fit_are_kept_to_six_digits():
    kept = plots.thin_metrics([line(7, "train", 123.4567891)])
    assert kept == [{"step": 7, "split": "train", "bound_nats": 123.457,
                     "kl_step_nats": [41.1523] * 3}]


def test_thinned_metrics_fit_and_keep_the_end_and_the_evaluations():
    lines = metrics()
    limit = size(lines) // 10
    kept = plots.thin_metrics(lines, limit)
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
    kept = plots.thin_metrics(lines, size(plots.thin_metrics(lines[-2:])))
    assert [(x["step"], x["split"]) for x in kept] == [(1000, "train"), (1000, "test")]
    with pytest.raises(ValueError, match="got 50"):
        plots.thin_metrics(lines, 50)


# Samples beside their neighbours.


@pytest.mark.parametrize("num, columns", [(6, 2), (5, 1), (9, 3)])
def test_samples_stand_beside_the_nearest_training_image(num, columns):
    config = small_config()
    model = model_with(config, reference.random_weights(config, seed=3))
    samples = render.probabilities(model.generate(num, seed=4).canvases[-1])  # [N, H, W, C]
    last = samples[columns - 1::columns]  # [rows, H, W, C]
    near = last[::-1] + np.float32(0.01)  # in another order than the rows
    far = np.random.default_rng(0).random((20, *config.image_shape))
    train = Images(np.concatenate([far, near]).astype(np.float32), 1)
    picture = render.samples_and_nearest(model, train, num, seed=4)
    across = [samples[column::columns] for column in range(columns)]
    expected = visualize.side_by_side([*across, near[::-1]], last_apart=True)
    np.testing.assert_array_equal(picture, expected)


# The command that makes what a README shows.


def test_figures_are_named_by_run_and_made_of_its_numbers(tmp_path):
    lines = metrics()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "new" / "figures"
    assert run_module("draw_tf.figures", f"--workdirs={tmp_path}/one,{tmp_path}/two/",
                      f"--out={out}") == 0
    assert {path.name for path in out.iterdir()} == {"one.jsonl", "two.jsonl", "training.png"}
    kept = [json.loads(line) for line in (out / "two.jsonl").read_text().splitlines()]
    assert kept == plots.thin_metrics(lines)


@pytest.mark.parametrize("arguments, words", [
    ([], "workdirs or samples must name a run"),
    (["--workdirs=."], "--workdirs=. holds no metrics"),
    (["--workdirs=a,b/a"], "workdirs must be of different names, got two of a"),
    (["--samples=missing"], "missing"),
    (["--samples=mnist", "--num=0"], "num must be at least 1, got 0"),
    (["--samples=mnist", "--out=file"], "out can not be written: file"),
])
def test_figures_that_can_not_be_made_are_told(tmp_path, monkeypatch, capfd, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    for name in ("a", "b/a"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "metrics.jsonl").write_text(json.dumps(line(1, "train", 9.0)) + "\n")
    assert run_module("draw_tf.figures", "--out=out", *arguments) == 1
    error = capfd.readouterr().err
    assert words in error and "Traceback" not in error
    assert (tmp_path / "file").read_text() == "kept"
