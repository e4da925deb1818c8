"""The command that makes the figures of a README from finished runs."""

import json

import imageio.v3 as iio
import numpy as np
import pytest

from draw_tf import DRAW, DRAWConfig, TrainConfig, checkpoints, data
from draw_tf.config import config_to_dict
from draw_tf.files import write_json
from draw_tf.pictures import curves, tiles
from tests.support.cli import run_module

METRICS = [{"step": step, "split": split, "bound_nats": 100 + 1 / step}
           for step in range(1, 21) for split in ("train", "test")]


def write_metrics(workdir, lines=METRICS):
    workdir.mkdir(parents=True)
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("binarize", ["none", "static"])
def test_samples_stand_beside_the_training_images_as_the_run_saw_them(tmp_path, binarize):
    config = DRAWConfig(glimpses=2, hidden_size=8, latent_size=3)
    model = DRAW(config)
    random = np.random.default_rng(0)
    for weight in model.weights:  # so that samples differ
        weight.assign(random.normal(size=weight.shape))
    write_json(tmp_path / "config.json",
               config_to_dict(config, TrainConfig(dataset="digits", binarize=binarize)))
    checkpoints.save_weights(model, tmp_path / "weights.safetensors")
    out = tmp_path / "figures"
    assert run_module("draw_tf.figures", f"--samples={tmp_path}", "--num=6", f"--out={out}") == 0
    images = data.load("digits", "train")
    if binarize == "static":
        images = images.binarized()
    samples = model.generate(6, seed=0).images[-1].numpy()  # [N, H, W, C]
    expected = tiles.samples_and_nearest(samples, images.floats()).astype(int)
    shown = iio.imread(out / "samples.png")
    assert shown.shape == expected.shape and np.abs(shown - expected).max() <= 1  # rounding


def test_lines_without_a_bound_are_not_drawn(tmp_path):
    odd = [{"step": 1, "split": "train"}, {"step": 2, "bound_nats": 9.0},
           {"step": 3, "split": "train", "bound_nats": float("nan")},
           {"step": 4, "split": ["train"], "bound_nats": 9.0}]
    write_metrics(tmp_path / "run", [*odd, *METRICS])
    assert run_module("draw_tf.figures", f"--workdirs={tmp_path}/run", f"--out={tmp_path}/out") == 0
    kept = (tmp_path / "out" / "run.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept] == curves.thin_metrics(METRICS)


def test_figures_are_named_by_run_and_show_its_numbers(tmp_path, monkeypatch):
    for name in ("one", "two"):
        write_metrics(tmp_path / name)
    monkeypatch.chdir(tmp_path / "two")
    out = tmp_path / "new" / "figures"
    assert run_module("draw_tf.figures", f"--workdirs={tmp_path}/one/,.", f"--out={out}") == 0
    assert {path.name for path in out.iterdir()} == {"one.jsonl", "two.jsonl", "training.png"}
    kept = [json.loads(line) for line in (out / "two.jsonl").read_text().splitlines()]
    assert kept == curves.thin_metrics(METRICS)


@pytest.mark.parametrize("arguments, words", [
    ([], "workdirs or samples must name a run"),
    (["--workdirs=."], "holds no metrics"),
    (["--workdirs=long"], "workdir long holds metrics of very long lines"),
    (["--workdirs=a,b/a"], "workdirs must have different names, got two of a"),
    (["--samples=missing"], "missing"),
    (["--samples=mnist", "--num=0"], "--num=0"),
    (["--samples=mnist", "--out=file"], "out cannot be written: file"),
])
def test_figures_that_cannot_be_made_are_reported(tmp_path, monkeypatch, capfd, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    for name in ("a", "b/a"):
        write_metrics(tmp_path / name)
    write_metrics(tmp_path / "long", [{**METRICS[0], "note": "x" * 200_000}])
    assert run_module("draw_tf.figures", "--out=out", *arguments) == 1
    error = capfd.readouterr().err
    assert words in error and "Traceback" not in error
    assert (tmp_path / "file").read_text() == "kept"
