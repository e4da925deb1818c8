"""Updates that are not finite: skipped, counted, and after too many of them the end of a run."""

import numpy as np
import pytest
import tensorflow as tf

from draw_tf import data
from draw_tf.checkpoints import read_metrics
from draw_tf.errors import TrainingError
from draw_tf.models.vae import VAE
from draw_tf.training import loop
from draw_tf.training.trainer import Trainer
from tests.support.trainings import IMAGES, SIMPLE, TRAIN, assert_same, run, saved_arrays

pytestmark = pytest.mark.slow


def not_finite(monkeypatch, from_image):
    """Makes bound and gradient infinite for images whose first pixel is above `from_image`."""
    original = VAE.bound

    def bound(self, images, noise=None):
        recon_nats, kl_nats = original(self, images, noise)  # [N], [T, N]
        bad = images[:, 0, 0, 0] > from_image  # [N]
        infinity = tf.cast(np.inf, recon_nats.dtype)  # []
        return recon_nats * tf.where(bad, infinity, tf.ones_like(infinity)), kl_nats
    monkeypatch.setattr(VAE, "bound", bound)


def test_updates_that_are_not_finite_are_skipped_and_counted(tmp_path, monkeypatch):
    second, first = np.sort(IMAGES[0].pixels[:, 0, 0, 0])[-2:]
    not_finite(monkeypatch, from_image=(first + second) / 2)  # one of eleven
    monkeypatch.setattr(loop, "PATIENCE", 3)  # which a line with an update begins anew
    run(tmp_path, binarize="none")
    lines = [line for line in read_metrics(tmp_path) if line["split"] == "train"]
    assert len(lines) == 3 and 0 < sum(line["skipped_updates"] for line in lines) < 6
    assert all(np.isfinite(line["bound_nats"]) for line in lines)
    assert all(np.isfinite(value).all() for value in saved_arrays(tmp_path).values())


def test_a_line_is_the_mean_of_its_own_steps(tmp_path):
    fields = ("bound_nats", "recon_nats", "kl_nats", "gradient_norm", "skipped_updates")

    def lines(log_every):
        run(tmp_path / str(log_every), log_every=log_every)
        return np.array([[line[field] for field in fields] for line in read_metrics(
            tmp_path / str(log_every)) if line["split"] == "train"])  # [lines, fields]

    np.testing.assert_allclose(lines(2), lines(1).reshape(3, 2, -1).mean(axis=1), rtol=1e-9)


def test_a_skipped_update_leaves_all_as_it_was(monkeypatch):
    not_finite(monkeypatch, from_image=-1)
    trainer = Trainer(SIMPLE, TRAIN)
    trainer.model.set_weights([1 + x for x in trainer.model.get_weights()])  # not the average
    variables = [*trainer.model.variables, *trainer.evaluated.variables,
                 *trainer.optimizer.variables]
    before = [variable.numpy() for variable in variables]
    batches = iter(data.train_dataset(IMAGES[0], batch_size=4, seed=0, binarize="dynamic"))
    (updates, _), _ = trainer.train(batches, 2)
    assert updates == 0 and int(trainer.step) == 2
    for value, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


def test_a_run_that_stays_not_finite_ends_and_says_so(half, monkeypatch):
    before = saved_arrays(half)
    not_finite(monkeypatch, from_image=-1)
    monkeypatch.setattr(loop, "PATIENCE", 3)
    with pytest.raises(TrainingError, match="learning_rate.*last good checkpoint.*ckpt-3"):
        run(half, train_steps=20)
    assert_same(before, saved_arrays(half))
