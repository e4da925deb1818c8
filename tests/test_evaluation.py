"""The bound and the importance-weighted bound over a whole data set."""

import numpy as np
import pytest

from draw_tf import DRAW, checkpoints, data, evaluation
from draw_tf.checkpoints import workdir as workdirs
from draw_tf.config import TrainConfig, config_to_dict
from draw_tf.errors import ConfigError, WorkdirError
from draw_tf.evaluation import Evaluator, evaluate_model, evaluate_run
from draw_tf.files import write_json
from draw_tf.noise import evaluation_noise
from draw_tf.training.trainer import Trainer
from tests.support import reference
from tests.support.numerics import EXACT, exact_model, model_with, small_config
from tests.support.trainings import float64

CONFIG = small_config(glimpses=2)


def noise_images(count):
    """Images of grey noise, 0 and 255 among the levels."""
    pixels = np.random.default_rng(count).integers(0, 256, (count, 7, 9, 1), np.uint8)
    return data.Images(pixels, 255, "noise", "test")


IMAGES = noise_images(7)


@pytest.fixture(scope="module")
def model():
    return exact_model(CONFIG, seed=1)


@pytest.fixture(scope="module")
def evaluator(model):
    return Evaluator(model, jit_compile=False)


@pytest.fixture(scope="module")
def terms(model):
    """The terms of the bound of every image under four draws of noise, [4, M, 1 + T]."""

    def of(sample, first, last):
        noise = evaluation_noise(sample, first, last - first, CONFIG.glimpses, CONFIG.latent_size)
        recon_nats, kl_nats = model.bound(IMAGES.floats(slice(first, last)), noise)
        return np.concatenate([recon_nats[np.newaxis], kl_nats]).T  # [last - first, 1 + T]

    alone = np.concatenate([of(0, number, number + 1) for number in range(len(IMAGES))])
    return np.stack([alone, *(of(sample, 0, len(IMAGES)) for sample in (1, 2, 3))])


# ---------------------------------------------------------------- the bound


@pytest.mark.parametrize("batch_size", [3, 10])
def test_every_image_counts_once_in_batches_of_any_size(evaluator, terms, batch_size):
    means = evaluator.means(data.eval_dataset(IMAGES, batch_size))
    np.testing.assert_allclose(means, terms[:1].mean(axis=1), rtol=EXACT)


@pytest.mark.slow
def test_xla_gives_the_same_numbers_each_time(model, terms):
    compiled = Evaluator(model, jit_compile=True)
    dataset = data.eval_dataset(IMAGES, 4)
    first = compiled.means(dataset)
    np.testing.assert_allclose(first, terms[:1].mean(axis=1), rtol=EXACT)
    np.testing.assert_array_equal(compiled.means(dataset), first)


def test_the_standard_error_is_over_draws_of_the_noise(model, terms):
    report = evaluate_model(model, IMAGES, batch_size=3, noise_samples=4, jit_compile=False)
    means = terms.mean(axis=1)  # [4, 1 + T]
    bounds = means.sum(axis=1)  # [4]
    assert np.ptp(bounds) > 0.01
    assert report["bound_nats"] == pytest.approx(bounds.mean(), rel=EXACT)
    assert report["recon_nats"] == pytest.approx(means[:, 0].mean(), rel=EXACT)
    assert report["kl_step_nats"] == pytest.approx(means[:, 1:].mean(axis=0).tolist(), rel=EXACT)
    error = np.sqrt(np.sum((bounds - bounds.mean())**2) / 3 / 4)
    assert report["bound_se"] == pytest.approx(error, rel=EXACT)
    assert report["noise_samples"] == 4 and report["iwae_nats"] is None


def test_training_evaluates_with_the_same_numbers(model, terms):
    with float64():
        trainer = Trainer(CONFIG, TrainConfig(jit_compile=False))
    trainer.model.set_weights(model.get_weights())
    report = trainer.evaluate(data.eval_dataset(IMAGES, 5))
    assert report["bound_nats"] == pytest.approx(terms[0].sum(axis=1).mean(), rel=EXACT)
    assert set(report) == {"bound_nats", "recon_nats", "kl_nats", "kl_step_nats"}


# ---------------------------------------------------------------- importance weighting


@pytest.fixture(scope="module")
def blind():
    """A model whose decoder does not see z, so that -log p(image) is its reconstruction term."""
    weights = reference.random_weights(CONFIG, seed=2)
    weights["decoder/kernel"] *= 0
    # a posterior a little wider than the prior, so that few samples cover it
    weights["sigma/kernel"] *= 0.2
    weights["sigma/bias"][:] = 0.2
    return model_with(CONFIG, weights, dtype="float64")


def cross_entropy(images, logits):
    """[N] nats, in float64."""
    logits = np.asarray(logits, np.float64)
    pixels = np.maximum(logits, 0) - logits * images + np.log1p(np.exp(-np.abs(logits)))
    return pixels.sum(axis=(1, 2, 3))


@pytest.mark.slow
def test_importance_weighting_goes_from_the_bound_to_the_likelihood(blind):
    images = noise_images(200)
    logits = blind.generate(1, seed=0).canvases[-1]  # [1, H, W, C], whatever z
    exact = cross_entropy(images.floats(), logits).mean()  # -log p(image)
    bound = evaluate_model(blind, images, batch_size=200, jit_compile=False)
    assert bound["kl_nats"] > 0.3
    # z says nothing to the decoder, so the bound is off by all of the KL
    assert bound["recon_nats"] == pytest.approx(exact, rel=EXACT)
    assert bound["bound_nats"] == pytest.approx(exact + bound["kl_nats"], rel=EXACT)
    evaluator, dataset = Evaluator(blind, jit_compile=False), data.eval_dataset(images, 200)
    above = {samples: evaluator.importance_weighted(dataset, samples) - exact
             for samples in (1, 10, 100)}
    # the first is off by the KL too, with the noise of 200 draws; the others by about KL / K
    assert abs(above[1] - bound["kl_nats"]) < 0.2
    assert 0.05 < above[10] < 0.12
    assert 0 < above[100] < 0.03


def test_importance_weights_are_those_of_each_image_in_passes_of_any_size(model):
    log_weights = np.array([model.log_weights(IMAGES.floats(), evaluation_noise(
        sample, 0, len(IMAGES), CONFIG.glimpses, CONFIG.latent_size)) for sample in range(3)])
    expected = np.log(3) - np.logaddexp.reduce(log_weights)  # [M]
    for rows in (1, 8):  # one sample at a time; two, and one with one too many
        evaluator = Evaluator(model, jit_compile=False, rows=rows)
        value = evaluator.importance_weighted(data.eval_dataset(IMAGES, 4), 3)
        assert value == pytest.approx(expected.mean(), rel=EXACT)


def test_passes_are_of_one_limited_size(model):
    seen = []
    evaluator = Evaluator(model, jit_compile=False, rows=12)
    evaluator._compiled_weights = lambda images, noise: (
        seen.append(noise.shape[1]) or np.zeros((noise.shape[1] // len(images), len(images))))
    evaluator.importance_weighted(data.eval_dataset(IMAGES, 4), 7)
    assert set(seen) == {12}


# ---------------------------------------------------------------- what is refused, what is noted


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


def test_shared_noise_is_noted_and_has_no_importance_weights(model, monkeypatch):
    monkeypatch.setattr(Evaluator, "means", lambda *_: np.ones((1, 3)))
    sharing = DRAW(small_config(glimpses=2, shared_noise=True))
    assert evaluate_model(sharing, IMAGES)["shared_noise"]
    assert not evaluate_model(model, IMAGES)["shared_noise"]
    with pytest.raises(ConfigError, match="shared_noise"):
        evaluate_model(sharing, IMAGES, importance_samples=2)


@pytest.mark.parametrize("images, binarize, grey", [
    (IMAGES, "none", True), (IMAGES, "static", False), (IMAGES, "dynamic", False),
    (IMAGES.binarized(), "none", False),
    (data.Images(np.uint8(255) * IMAGES.binarized().pixels, 255), "none", False),
    (data.Images(IMAGES.floats(), 1), "none", True),
])
def test_grey_images_are_noted(model, images, binarize, grey, monkeypatch):
    monkeypatch.setattr(Evaluator, "means", lambda *_: np.ones((1, 3)))
    assert evaluate_model(model, images, binarize)["grey"] is grey


def test_all_passes_over_the_batches_can_be_watched(model, monkeypatch):
    monkeypatch.setattr(Evaluator, "means", lambda self, batches, _: np.ones((len(batches), 3)))
    monkeypatch.setattr(Evaluator, "importance_weighted", lambda self, batches, _: len(batches))
    seen = []
    report = evaluate_model(model, IMAGES, batch_size=3, importance_samples=2,
                            watch=lambda batches: seen.append(len(batches)) or range(2))
    assert seen == [3, 3] and report["iwae_nats"] == 2


# ---------------------------------------------------------------- runs


def save_run(folder, **fields):
    """A workdir with weights alone, of a training with these settings."""
    write_json(folder / workdirs.CONFIG, config_to_dict(CONFIG, TrainConfig(**fields)))
    checkpoints.save_weights(DRAW(CONFIG), folder / workdirs.WEIGHTS)
    return folder


def test_the_settings_of_the_run_are_the_defaults(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(data, "load", lambda *names: names[:3])
    monkeypatch.setattr(evaluation, "evaluate_model", lambda model, images, binarize, **options: (
        asked.append((model.config, images, binarize, options)) or {"bound_nats": 5.0}))
    run = save_run(tmp_path, dataset="mnist", binarize="dynamic")
    assert evaluate_run(run, data_dir="there", batch_size=9) == {
        "bound_nats": 5.0, "dataset": "mnist", "split": "test", "binarize": "dynamic",
        "step": None}
    report = evaluate_run(run, "train", "fashion_mnist", "none")
    assert (report["dataset"], report["split"], report["binarize"]) == (
        "fashion_mnist", "train", "none")
    assert asked == [(CONFIG, ("mnist", "test", "there"), "dynamic", {"batch_size": 9}),
                     (CONFIG, ("fashion_mnist", "train", None), "none", {})]


def test_a_model_of_binarized_images_is_given_binarized_images(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *names: names)
    monkeypatch.setattr(evaluation, "evaluate_model", lambda *_, **__: {})
    run = save_run(tmp_path, dataset="binarized_mnist")
    # of its own data set the pixels are 0 and 1 already
    for options, binarize in (({}, "none"), ({"dataset": "mnist"}, "static"),
                              ({"dataset": "mnist", "binarize": "none"}, "none")):
        assert evaluate_run(run, **options)["binarize"] == binarize


@pytest.mark.parametrize("options, message", [
    (dict(split="validation"), "split of dataset digits must be .* got 'validation'"),
    (dict(dataset="cifar"), "dataset must be one of .* got 'cifar'"),
])
def test_bad_data_is_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        evaluate_run(save_run(tmp_path), **options)


def test_no_run_is_refused(tmp_path):
    with pytest.raises(WorkdirError, match="nowhere"):
        evaluate_run(tmp_path / "nowhere")
