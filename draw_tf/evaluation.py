"""How well a model explains a data set: the bound, and the importance-weighted one.

Every image counts once, and its noise follows from its number in the data set alone
(`noise.evaluation_noise`): the same question has the same answer every time, in batches of any
size. Letters in shapes: N images in a batch, T steps, Z latent variables, K importance samples.
"""

import functools
import math
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from draw_tf import checkpoints, data
from draw_tf.config import check_whole
from draw_tf.errors import ConfigError
from draw_tf.files import PathLike
from draw_tf.models import losses
from draw_tf.models.base import ImageModel
from draw_tf.noise import evaluation_noise

# Images times importance samples in one pass; more would take memory and not be faster.
ROWS = 1024


class Evaluator:
    """A model with its compiled evaluations over data sets as `data.eval_dataset` returns them.

    `jit_compile` compiles them with XLA; a pass has about `rows` images times importance samples.
    """

    def __init__(self, model: ImageModel, jit_compile: bool = True, rows: int = ROWS):
        self.model, self.rows = model, rows
        compiled = functools.partial(tf.function, jit_compile=jit_compile, autograph=False)
        self._compiled_weights = compiled(self._log_weights)
        self._compiled_means = compiled(lambda images, noise, weights: losses.batch_means(
            *model.bound(images, noise), weights))  # [1 + T]

    def _log_weights(self, images, noise):
        """Log weights [S, N] of S samples per image; noise [T, S * N, Z], sample after sample."""
        samples = noise.shape[1] // images.shape[0]
        images_again = tf.tile(images, [samples, 1, 1, 1])  # [S * N, H, W, C]
        return tf.reshape(self.model.log_weights(images_again, noise), [samples, -1])  # [S, N]

    def _noise(self, samples, first, count):
        """The noise of S samples of `count` images, `first` and on: [T, S * count, Z]."""
        latent_size = self.model.config.latent_size
        return tf.concat([evaluation_noise(sample, first, count, self.model.glimpses, latent_size)
                          for sample in samples], axis=1)

    @staticmethod
    def _average(dataset, batch_sum):
        """The mean over all images, in nats, of what `batch_sum(images, weights, first)` adds up.

        `first` is the number of the batch's first image in the data set.
        """
        total, count, first = 0.0, 0.0, 0
        for images, weights in dataset:
            total = total + batch_sum(images, weights, first)
            count, first = count + float(tf.reduce_sum(weights)), first + len(images)
        return total / count

    def means(self, dataset: Iterable, samples: int = 1) -> np.ndarray:
        """The bound's terms, nats per image, for each of several draws: [samples, 1 + T]."""
        def batch_sum(images, weights, first):
            means = np.stack([
                self._compiled_means(images, self._noise([sample], first, len(images)), weights)
                for sample in range(samples)])  # [samples, 1 + T]
            return float(tf.reduce_sum(weights)) * means.astype(np.float64)
        return self._average(dataset, batch_sum)

    def importance_weighted(self, dataset: Iterable, samples: int) -> float:
        """The importance-weighted bound (`losses.importance_weighted_nats`, K = `samples`) in nats.

        Only `rows` images times samples pass through the model at a time; their log weights, one
        number each, are kept.
        """
        def batch_sum(images, weights, first):
            # passes of one size, so that one program does; the last may draw a few too many
            passes = math.ceil(samples / max(1, self.rows // len(images)))
            share = math.ceil(samples / passes)
            log_weights = np.concatenate([
                self._compiled_weights(
                    images, self._noise(range(k, k + share), first, len(images)))
                for k in range(0, samples, share)])[:samples]  # [K, N]
            nats = losses.importance_weighted_nats(tf.constant(log_weights))  # [N]
            return float(np.dot(nats, weights))
        return self._average(dataset, batch_sum)


def evaluate_model(model: ImageModel, images: data.Images, binarize: str = "none",
                   batch_size: int = 100, noise_samples: int = 1,
                   importance_samples: int | None = None, jit_compile: bool = True,
                   watch: Callable[[Iterable], Iterable] = iter) -> dict:
    """Evaluates a model on every image of a split.

    Args:
      model, images: DRAW or VAE, and `data.Images`.
      binarize: "none", or "static" or "dynamic", which mean the same fixed draw here.
      batch_size, jit_compile: images at once, and whether to use XLA: speed and memory only.
      noise_samples: M, how many draws of the noise the bound is averaged over.
      importance_samples: K of the importance-weighted bound; None leaves it out.
      watch: a function, such as a progress bar, that is given the batches of each pass over the
        data set, and returns an iterable of the same batches.

    Returns:
      Numbers in nats per image: those of `losses.report`, bound_se (the standard error of
      bound_nats over the draws of the noise, None for one) and iwae_nats (None without K); with
      examples, noise_samples, importance_samples, and two reasons not to take bound_nats for a
      bound on -log p: grey (there are pixels other than 0 and 1) and shared_noise (the model draws
      less noise than its KL counts).

    Raises:
      ConfigError: an argument is out of its range, or the images are not of the model's shape.
    """
    check_whole(1, noise_samples=noise_samples)
    if importance_samples is not None:
        check_whole(1, importance_samples=importance_samples)
        if model.shared_noise:
            raise ConfigError("importance_samples needs a model with its own noise at every step, "
                              "and this one was trained with shared_noise")
    if images.shape != model.config.image_shape:
        raise ConfigError(f"the images of {images} have shape {images.shape}, and the model's "
                          f"have {model.config.image_shape}")
    dataset = data.eval_dataset(images, min(batch_size, len(images)), binarize)
    evaluator = Evaluator(model, jit_compile)
    means = evaluator.means(watch(dataset), noise_samples)  # [M, 1 + T]
    bounds = means.sum(axis=1)  # [M]
    bound_se = float(bounds.std(ddof=1) / math.sqrt(len(bounds))) if len(bounds) > 1 else None
    iwae_nats = (evaluator.importance_weighted(watch(dataset), importance_samples)
                 if importance_samples else None)
    return {**losses.report(means.mean(axis=0)), "bound_se": bound_se, "iwae_nats": iwae_nats,
            "examples": len(images), "noise_samples": noise_samples,
            "importance_samples": importance_samples, "shared_noise": model.shared_noise,
            "grey": binarize == "none" and bool(np.any(images.pixels % images.scale))}


def evaluate_run(workdir: PathLike, split: str = "test", dataset: str | None = None,
                 binarize: str | None = None, data_dir: str | None = None, **options) -> dict:
    """Evaluates the model of a run, or of weights that ship.

    The data set and `binarize` are the run's own where None (see `data.binarize_for`). Options are
    those of `evaluate_model`. Raises what `evaluate_model`, `checkpoints.load` and `data.load` do.

    Returns:
      What `evaluate_model` does, with dataset, split, binarize, and step: that of the training,
      None where not known.
    """
    workdir = checkpoints.resolve(workdir)
    model_config, train_config = checkpoints.read_config(workdir)
    dataset = dataset or train_config.dataset
    binarize = binarize or data.binarize_for(train_config.dataset, train_config.binarize, dataset)
    images = data.load(dataset, split, data_dir, model_config.image_shape)
    model, step = checkpoints.load_with_step(workdir)
    return {**evaluate_model(model, images, binarize, **options),
            "dataset": dataset, "split": split, "binarize": binarize, "step": step}
