"""The bound and the importance-weighted bound over a data set, and the command that tells them."""

import json
import os
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest

from draw_tf import checkpoint, data, evaluate, evaluation
from draw_tf.config import DRAWConfig, TrainConfig, config_to_dict, write_json
from draw_tf.errors import ConfigError, MissingPackageError, WorkdirError
from draw_tf.evaluation import Evaluator, evaluate_model, evaluate_run
from draw_tf.model import DRAW
from draw_tf.noise import evaluation_noise
from draw_tf.trainer import Trainer
from tests import reference
from tests.cli import run_module
from tests.numerics import model_with, small_config

CONFIG = small_config(glimpses=2)


def noise_images(count):
    """Images of grey noise, 0 and 255 among the levels."""
    pixels = np.random.default_rng(count).integers(0, 256, (count, 7, 9, 1), np.uint8)
    return data.Images(pixels, 255, "noise", "test")


IMAGES = noise_images(7)


@pytest.fixture(scope="module")
def model():
    return model_with(CONFIG, reference.random_weights(CONFIG, seed=1))


@pytest.fixture(scope="module")
def blind():
    """A model whose decoder does not see z, so that -log p(image) is its reconstruction term."""
    weights = reference.random_weights(CONFIG, seed=2)
    weights["decoder/kernel"] *= 0
    # a posterior a little wider than the prior, so that few samples cover it
    weights["sigma/kernel"] *= 0.2
    weights["sigma/bias"][:] = 0.2
    return model_with(CONFIG, weights)


def save_run(folder, config=None, train_config=TrainConfig(), seed=0):
    """A workdir with weights alone."""
    config = config or DRAWConfig(glimpses=2, hidden_size=4, latent_size=3, read_size=2,
                                  write_size=2)
    model = model_with(config, reference.random_weights(config, seed))
    write_json(folder / checkpoint.CONFIG, config_to_dict(config, train_config))
    checkpoint.save_weights(model, folder / checkpoint.WEIGHTS)
    return folder


def one_by_one(model, images, sample=0):
    """The terms of the bound of every image, [M, 1 + T], each computed alone."""
    terms = []
    for number, image in enumerate(images.floats()):
        noise = evaluation_noise(sample, number, 1, model.config.glimpses,
                                 model.config.latent_size)  # [T, 1, Z]
        recon_nats, kl_nats = model.bound(image[np.newaxis], noise)
        terms.append(np.concatenate([recon_nats, kl_nats[:, 0]]))
    return np.array(terms)


# Noise.


def test_noise_belongs_to_the_image_and_not_to_its_batch():
    whole = evaluation_noise(3, 0, 20, 5, 7).numpy()  # 35 numbers an image, no multiple of 4
    np.testing.assert_array_equal(evaluation_noise(3, 6, 4, 5, 7), whole[:, 6:10])
    assert len(np.unique(whole)) == whole.size
    other = evaluation_noise(4, 0, 20, 5, 7).numpy()
    assert abs(np.corrcoef(whole.ravel(), other.ravel())[0, 1]) < 0.15


def test_noise_is_standard_normal():
    noise = evaluation_noise(0, 0, 2000, 5, 7).numpy()
    assert noise.shape == (5, 2000, 7)
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    assert abs((np.abs(noise) < 1).mean() - 0.6827) < 0.01
    neighbours = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.02


# The bound.


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10])
def test_every_image_counts_once_in_batches_of_any_size(model, batch_size):
    means = Evaluator(model, jit_compile=False).means(data.eval_dataset(IMAGES, batch_size))
    np.testing.assert_allclose(means, [one_by_one(model, IMAGES).mean(axis=0)], rtol=1e-5)


def test_xla_gives_the_same_numbers_each_time(model):
    evaluator = Evaluator(model, jit_compile=True)
    dataset = data.eval_dataset(IMAGES, 4)
    first = evaluator.means(dataset)
    np.testing.assert_allclose(first, [one_by_one(model, IMAGES).mean(axis=0)], rtol=1e-4)
    np.testing.assert_array_equal(evaluator.means(dataset), first)


def test_standard_error_is_over_draws_of_the_noise(model):
    report = evaluate_model(model, IMAGES, batch_size=3, noise_samples=4, jit_compile=False)
    terms = np.array([one_by_one(model, IMAGES, sample).mean(axis=0) for sample in range(4)])
    bounds = terms.sum(axis=1)
    assert np.ptp(bounds) > 0.01
    assert report["bound_nats"] == pytest.approx(bounds.mean(), rel=1e-5)
    assert report["recon_nats"] == pytest.approx(terms[:, 0].mean(), rel=1e-5)
    assert report["kl_step_nats"] == pytest.approx(terms[:, 1:].mean(axis=0).tolist(), rel=1e-5)
    error = np.sqrt(np.sum((bounds - bounds.mean())**2) / 3 / 4)
    assert report["bound_se"] == pytest.approx(error, rel=1e-3)
    assert report["noise_samples"] == 4


def test_training_evaluates_with_the_same_numbers(model):
    trainer = Trainer(CONFIG, TrainConfig(jit_compile="false"))
    trainer.model.set_weights(model.get_weights())
    report = trainer.evaluate(data.eval_dataset(IMAGES, 5))
    whole = evaluate_model(model, IMAGES, batch_size=2, jit_compile=False)
    assert report["bound_nats"] == pytest.approx(whole["bound_nats"], rel=1e-5)
    assert set(report) == {"bound_nats", "recon_nats", "kl_nats", "kl_step_nats"}


# Importance weighting.


def cross_entropy(images, logits):
    """[N] nats, in float64."""
    logits = np.asarray(logits, np.float64)
    pixels = np.maximum(logits, 0) - logits * images + np.log1p(np.exp(-np.abs(logits)))
    return pixels.sum(axis=(1, 2, 3))


def test_importance_weighting_goes_from_the_bound_to_the_likelihood(blind):
    images = noise_images(200)
    logits = blind.generate(1, seed=0).canvases[-1]  # [1, H, W, C], whatever z
    exact = cross_entropy(images.floats(), logits).mean()  # -log p(image)
    bound = evaluate_model(blind, images, batch_size=200, jit_compile=False)
    assert bound["kl_nats"] > 0.3
    # z tells the decoder nothing, so the bound is off by all of the KL
    assert bound["recon_nats"] == pytest.approx(exact, rel=1e-5)
    assert bound["bound_nats"] == pytest.approx(exact + bound["kl_nats"], rel=1e-5)
    evaluator, dataset = Evaluator(blind, jit_compile=False), data.eval_dataset(images, 200)
    above = {samples: evaluator.importance_weighted(dataset, samples) - exact
             for samples in (1, 10, 200)}
    # the first is off by the KL too, with the noise of 200 draws; the others by about KL / K
    assert abs(above[1] - bound["kl_nats"]) < 0.2
    assert 0.01 < above[10] < 0.06
    assert abs(above[200]) < 0.01


@pytest.mark.parametrize("rows", [1, 8, 12])
def test_importance_samples_in_passes_of_any_size(model, rows):
    dataset = data.eval_dataset(IMAGES, 4)
    whole = Evaluator(model, jit_compile=False).importance_weighted(dataset, 7)
    in_passes = Evaluator(model, jit_compile=False, rows=rows).importance_weighted(dataset, 7)
    assert in_passes == pytest.approx(whole, rel=1e-6)


def test_importance_weights_are_those_of_each_image(model):
    values = []
    for number, image in enumerate(IMAGES.floats()):
        log_weights = [model.log_weights(image[np.newaxis], evaluation_noise(
            sample, number, 1, CONFIG.glimpses, CONFIG.latent_size)) for sample in range(3)]
        values.append(np.log(3) - np.logaddexp.reduce(np.float64(log_weights))[0])
    evaluator = Evaluator(model, jit_compile=True)
    value = evaluator.importance_weighted(data.eval_dataset(IMAGES, 4), 3)
    assert value == pytest.approx(np.mean(values), rel=1e-5)


def test_one_pass_is_of_limited_size(model, monkeypatch):
    seen = []
    evaluator = Evaluator(model, jit_compile=False, rows=12)
    evaluator._log_weights = lambda images, noise: (
        seen.append(noise.shape[1]) or np.zeros((noise.shape[1] // len(images), len(images))))
    evaluator.importance_weighted(data.eval_dataset(IMAGES, 4), 7)
    assert set(seen) == {12}


# What is refused.


@pytest.mark.parametrize("options, message", [
    (dict(noise_samples=0), "noise_samples .* got 0"),
    (dict(importance_samples=0), "importance_samples .* got 0"),
    (dict(batch_size=0), "batch_size .* got 0"),
    (dict(binarize="maybe"), "binarize .* got 'maybe'"),
])
def test_bad_settings_are_refused(model, options, message):
    with pytest.raises(ConfigError, match=message):
        evaluate_model(model, IMAGES, **options)


def test_images_of_another_shape_are_refused(model):
    images = data.Images(np.zeros((2, 9, 7, 1), np.uint8), 255, "mnist", "test")
    with pytest.raises(ConfigError, match=r"mnist/test .*\(9, 7, 1\).*\(7, 9, 1\)"):
        evaluate_model(model, images)


def test_shared_noise_is_told_and_has_no_importance_weights(model, monkeypatch):
    monkeypatch.setattr(Evaluator, "means", lambda *_: np.ones((1, 3)))
    sharing = DRAW(small_config(glimpses=2, shared_noise=True))
    assert evaluate_model(sharing, IMAGES)["shared_noise"]
    assert not evaluate_model(model, IMAGES)["shared_noise"]
    with pytest.raises(ConfigError, match="shared_noise"):
        evaluate_model(sharing, IMAGES, importance_samples=2)


@pytest.mark.parametrize("options, message", [
    (dict(split="validation"), "digits has no split 'validation'"),
    (dict(dataset="cifar"), "dataset must be one of .* got 'cifar'"),
])
def test_bad_data_is_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        evaluate_run(save_run(tmp_path), **options)


def test_no_run_is_refused(tmp_path):
    with pytest.raises(WorkdirError, match="nowhere"):
        evaluate_run(tmp_path / "nowhere")


# Grey images.


@pytest.mark.parametrize("images, binarize, grey", [
    (IMAGES, "none", True), (IMAGES, "static", False), (IMAGES, "dynamic", False),
    (IMAGES.binarized(), "none", False),
    (data.Images(np.uint8(255) * IMAGES.binarized().pixels, 255), "none", False),
    (data.Images(IMAGES.floats(), 1), "none", True),
])
def test_grey_images_are_told(model, images, binarize, grey, monkeypatch):
    monkeypatch.setattr(Evaluator, "means", lambda *_: np.ones((1, 3)))
    report = evaluate_model(model, images, binarize)
    assert report["grey"] is grey
    text = evaluate.table({**report, "dataset": "noise", "split": "test", "binarize": binarize,
                           "step": 5})
    assert ("no likelihood" in text) == grey


# Runs and the command.


def test_settings_of_the_run_are_the_defaults(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(evaluation.data, "load", lambda *names: names)
    monkeypatch.setattr(evaluation, "evaluate_model", lambda model, images, binarize, **options: (
        asked.append((model.config, images, binarize, options)) or {"bound_nats": 5.0}))
    run = save_run(tmp_path, CONFIG, TrainConfig(dataset="mnist", binarize="dynamic"))
    assert evaluate_run(run, data_dir="there", batch_size=9) == {
        "bound_nats": 5.0, "dataset": "mnist", "split": "test", "binarize": "dynamic",
        "step": None}
    report = evaluate_run(run, "train", "fashion_mnist", "none")
    assert (report["dataset"], report["split"], report["binarize"]) == (
        "fashion_mnist", "train", "none")
    assert asked == [(CONFIG, ("mnist", "test", "there"), "dynamic", {"batch_size": 9}),
                     (CONFIG, ("fashion_mnist", "train", None), "none", {})]


def test_a_model_of_binarized_images_is_given_such(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation.data, "load", lambda *names: names)
    monkeypatch.setattr(evaluation, "evaluate_model", lambda *_, **__: {})
    run = save_run(tmp_path, CONFIG, TrainConfig(dataset="binarized_mnist"))
    # of its own data set the pixels are 0 and 1 already
    for options, binarize in (({}, "none"), ({"dataset": "mnist"}, "static"),
                              ({"dataset": "mnist", "binarize": "none"}, "none")):
        assert evaluate_run(run, **options)["binarize"] == binarize


def test_digits_that_a_model_of_mnist_has_seen_are_told(tmp_path, capsys, monkeypatch):
    few = data.Images(data.load("digits", "test").pixels[:3], 255, "digits", "test")
    monkeypatch.setattr(data, "load", lambda *_: few)
    for dataset, seen in (("mnist", True), ("digits", False)):
        (tmp_path / dataset).mkdir()
        run = save_run(tmp_path / dataset, train_config=TrainConfig(dataset=dataset))
        assert run_module("draw_tf.evaluate", f"--workdir={run}", "--dataset=digits",
                          "--jit_compile=false") == 0
        assert ("this model has seen them" in capsys.readouterr().out) == seen


def test_table_tells_what_was_found():
    report = {"bound_nats": 101.5, "recon_nats": 80.25, "kl_nats": 21.25, "iwae_nats": 97.125,
              "kl_step_nats": [20.0, 1.25], "bound_se": 0.0625, "noise_samples": 4,
              "importance_samples": 50, "examples": 500, "dataset": "digits", "split": "test",
              "binarize": "static", "step": 7, "grey": False, "shared_noise": False}
    text = evaluate.table(report)
    for part in ("digits/test, 500 images", "step 7", "80.250", "21.250", "101.500", "+- 0.06",
                 "97.125  (50 samples", "20.00 1.25"):
        assert part in text
    assert "shares one noise" not in text
    assert "shares one noise" in evaluate.table({**report, "shared_noise": True})
    bare = evaluate.table({**report, "iwae_nats": None, "bound_se": None, "step": None})
    assert "step 7" not in bare and "importance" not in bare and "+-" not in bare


def test_outputs_that_can_not_be_written_are_refused_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    for path, message in ((tmp_path, "folder"), (tmp_path / "no" / "x.json", "no folder"),
                          (tmp_path / "file" / "x.json", "no folder")):
        with pytest.raises(ConfigError, match=f"json .*{message}"):
            evaluate.check_output("json", path)
    with pytest.raises(ConfigError, match=r"kl_plot must end in \.png"):
        evaluate.check_output("kl_plot", tmp_path / "x.gif", ".png")
    evaluate.check_output("kl_plot", tmp_path / "x.PNG", ".png")


def test_a_missing_matplotlib_is_told_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    with pytest.raises(MissingPackageError, match="pip install matplotlib"):
        evaluate.plots.pyplot()


def test_the_command_ends_with_one_line_of_json(tmp_path):
    run = save_run(tmp_path)
    command = [sys.executable, "-m", "draw_tf.evaluate", f"--workdir={run}", "--split=test",
               "--importance_samples=2", "--binarize=static", "--noise_samples=2",
               "--batch_size=200", f"--kl_plot={run / 'kl.png'}", f"--json={run / 'all.json'}"]
    environment = {name: value for name, value in os.environ.items()
                   if name != "TF_CPP_MIN_LOG_LEVEL"}  # which the tests set
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert "XLA" not in done.stderr  # TensorFlow's chatter
    *table, line = done.stdout.splitlines()
    report = json.loads(line)
    assert set(report) >= {"bound_nats", "recon_nats", "kl_nats", "iwae_nats", "examples",
                           "dataset", "split", "binarize", "step", "bound_se", "noise_samples",
                           "importance_samples", "kl_step_nats"}
    assert report == json.loads((run / "all.json").read_text())
    assert (report["dataset"], report["split"], report["examples"]) == ("digits", "test", 500)
    assert report["step"] is None and report["binarize"] == "static"
    assert len(report["kl_step_nats"]) == 2 and not report["grey"]
    assert report["bound_nats"] == pytest.approx(report["recon_nats"] + report["kl_nats"])
    assert report["bound_se"] > 0 and np.isfinite(report["iwae_nats"])
    assert "digits/test" in table[0]
    assert iio.imread(run / "kl.png").std() > 0
