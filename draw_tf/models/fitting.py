"""A model in Keras's hands: its inputs checked, compiled, trained by `fit`, saved, and going on.

XLA leaves out assertions, so Keras's loops check images in their input pipeline, which runs beside
the training: that costs a compiled program nothing, and a batch that fails never reaches the model.
Letters in shapes: T steps, N images, H height, W width, C channels, Z latent size.
"""

import functools
import random
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from draw_tf.files import PathLike
from draw_tf.models.recurrence import forward_only
from draw_tf.models.steps import Array, Count

_ALONE = "y and sample_weight must be None, because this model learns from images alone"
_EMPTY = "x must have at least one image, got none"
# the model whose own training step runs, in the thread of a replica
_FITTED: ContextVar[keras.Model | None] = ContextVar("fitted", default=None)


def _check_array(data, name):
    """Raises ValueError where `data` is a `draw_tf.data.Images`, and not an array of its images."""
    if hasattr(data, "floats"):
        raise ValueError(f"{name} must be an array, got the data set {data}: give {name}.floats()")


def _check_values(images, image_shape):
    """The same images [N, H, W, C]; an error where one is not in [0, 1] or of another shape.

    In eager mode it is a ValueError, and in a graph an InvalidArgumentError with the same text.
    """
    shape, wanted = tf.shape(images), " ".join(map(str, image_shape))
    side = tf.strings.format("{}", [shape[1:]])  # []; comparable for any rank
    # comparisons with NaN are false, which a minimum may pass over
    inside = tf.reduce_all((images >= 0) & (images <= 1))  # []
    ends = tf.reduce_min(images), tf.reduce_max(images)  # [] each
    checks = [
        (side == f"[{wanted}]",
         tf.strings.format(f"images must be [N {wanted}], got {{}}", [shape])),
        (inside, tf.strings.format("images must be in [0, 1], got [{}, {}]", ends))]
    if not tf.executing_eagerly():
        with tf.control_dependencies([tf.debugging.Assert(ok, [text]) for ok, text in checks]):
            return tf.identity(images)  # [N, H, W, C]
    for passed, text in checks:
        if not passed:
            raise ValueError(text.numpy().decode())
    return images


class _CheckingStrategy:
    """A strategy for Keras's loops, which checks each batch of the data sets it distributes."""

    def __init__(self, strategy: tf.distribute.Strategy, check: Callable):
        self._strategy = strategy
        # Keras has made a data set of anything that it takes, and has put images first
        self._check = tf.autograph.experimental.do_not_convert(
            lambda images, *rest: (check(images), *rest))

    # Keras asks for the kind of strategy
    __class__ = property(lambda self: type(self._strategy))  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self._strategy is (other._strategy if type(other) is _CheckingStrategy else other)

    def __hash__(self) -> int:
        return hash(self._strategy)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def experimental_distribute_dataset(self, dataset: tf.data.Dataset, options: Any = None) -> Any:
        """As of any strategy; raises ValueError for a data set that is known to be empty."""
        if dataset.cardinality() == 0:
            raise ValueError(_EMPTY)
        return self._strategy.experimental_distribute_dataset(
            dataset.map(self._check, num_parallel_calls=tf.data.AUTOTUNE), options)


def _in_sentences(method):
    """One of Keras's loops, whose errors over its data are a ValueError of one sentence."""
    @functools.wraps(method)
    def loop(*args, **options):
        if options.get("sample_weight") is not None:  # which Keras leaves out where there is no y
            raise ValueError(_ALONE)
        for data in (*args[1:], *options.values()):
            if isinstance(data, tf.distribute.DistributedDataset):  # its batches are not checked
                raise ValueError("x and validation_data must not be distributed already: give the "
                                 "tf.data.Dataset itself, got a DistributedDataset")
            _check_array(data, "x")
        try:
            return method(*args, **options)
        except tf.errors.InvalidArgumentError as error:
            sentence = re.search(r"images must be .*?, got \[.*?\]", error.message)
            if not sentence:
                raise
            raise ValueError(sentence[0]) from None
        except UnboundLocalError:  # predict, of Keras 3, over a data set without a batch
            raise ValueError(_EMPTY) from None
    return loop


class FittedModel(keras.Model):
    """The part of `ImageModel` that checks what it is given, and answers to Keras."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._noise_seed: Any = None  # a whole number from the first training on
        self._exporting = False
        self.trackers = [keras.metrics.Mean(name=name, dtype=self.compute_dtype)
                         for name in ("bound_nats", "recon_nats", "kl_nats")]

    # ------------------------------------------------------------ images and noise

    def check_images(self, images: Array, values: bool = False) -> tf.Tensor:
        """Images [N, H, W, C] in the model's number type; raises ValueError for any other input.

        Pixels outside [0, 1] are noticed in eager mode, in what `export` writes, and where `values`
        asks for it; not in a program that XLA compiles.
        """
        _check_array(images, "images")
        images, shape = tf.convert_to_tensor(images), self.config.image_shape  # [N, H, W, C]
        if not images.dtype.is_floating:  # grey levels in 0..255 would pass for probabilities
            raise ValueError(f"images must be floating point in [0, 1], got {images.dtype.name}")
        if not images.shape.is_compatible_with([None, *shape]):
            raise ValueError(f"images must be [N, {str(shape)[1:-1]}], got {tuple(images.shape)}")
        if values or self._exporting or tf.executing_eagerly():
            images = _check_values(images, shape)  # [N, H, W, C]
        return tf.cast(tf.ensure_shape(images, [None, *shape]), self.compute_dtype)  # [N, H, W, C]

    def check_noise(self, noise: Array, num: Count) -> tf.Tensor:
        """Noise [T, N, Z], N = `num`, in the model's number type; ValueError for other shapes."""
        known = (self.glimpses, num if isinstance(num, int) else None, self.config.latent_size)
        noise = tf.cast(noise, self.compute_dtype)  # [T, N, Z]
        if not noise.shape.is_compatible_with(known):
            raise ValueError(f"noise must be {known}, got {tuple(noise.shape)}")
        return tf.ensure_shape(noise, known)  # [T, N, Z]

    def draw_noise(self, num: Count, seed: Count | None = None, step: Count = 0) -> tf.Tensor:
        """Standard normal noise [T, N, Z], N = `num`, of a seed and step; at random without a seed.

        Eager mode, graphs and XLA draw different numbers from one seed.
        """
        shape, dtype = (self.glimpses, num, self.config.latent_size), self.compute_dtype
        if seed is None:
            return tf.random.normal(shape, dtype=dtype)  # [T, N, Z]
        return tf.random.stateless_normal(shape, [seed, step], dtype=dtype)  # [T, N, Z]

    def step_noise(self, num: Count) -> tf.Tensor:
        """The noise [T, N, Z] of a step of `fit`, different on each replica.

        It follows from a seed that is saved with the model, and from the number of the step.
        """
        if self._noise_seed is None:
            self._noise_seed = random.randrange(2**30)
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        optimizer: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        # of batches, for `iterations` stands still where several of them make one update
        step = tf.cast(tf.convert_to_tensor(optimizer._iterations), tf.int32)  # []
        return self.draw_noise(num, self._noise_seed + replica, step)  # [T, N, Z]

    @property
    def in_train_step(self) -> bool:
        """Whether this model is called by its own `train_step`, and not as a part of another."""
        return _FITTED.get() is self

    # ------------------------------------------------------------ compiling, saving

    def compile(self, optimizer: str | keras.Optimizer = "rmsprop", loss: None = None,
                loss_weights: None = None, metrics: None = None, weighted_metrics: None = None,
                **options) -> None:
        """Keras's `compile`, whose loss is `bound`; raises ValueError for another one."""
        refused = [repr(x) for x in (loss, loss_weights, metrics, weighted_metrics) if x]
        if refused:
            raise ValueError("loss and metrics must be None, because this model has its own, got "
                             + " and ".join(refused))
        self._noise_seed = options.pop("noise_seed", None)  # of a model that is loaded
        super().compile(optimizer, **options)
        # Keras's own is of its default type, which may be one of 16 bits
        self._loss_tracker = keras.metrics.Mean(name="loss", dtype="float32")

    def get_compile_config(self) -> dict:
        """What `compile_from_config` needs to go on as this model would."""
        config = super().get_compile_config()
        return {**config, "noise_seed": self._noise_seed} if config else config

    def compile_from_config(self, config: dict) -> None:
        """Compiles a model that is loaded, with room for its optimizer's state."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer:
            self.optimizer.build(self.trainable_variables)

    def export(self, filepath: PathLike, format: str = "tf_saved_model", **options) -> None:
        """Keras's `export`, of the pass with noise drawn inside, for images of any number."""
        images = tf.TensorSpec([None, *self.config.image_shape], self.compute_dtype, "images")
        self._exporting = True
        try:
            with forward_only():
                super().export(filepath, format, **{"input_signature": [images], **options})
        finally:
            self._exporting = False

    def quantize(self, *args, **options) -> None:
        """Keras's `quantize`, which this model does not have: raises NotImplementedError."""
        raise NotImplementedError(f"quantize is not available for {type(self).__name__}, which "
                                  "computes in float32 or float64 only")

    # ------------------------------------------------------------ Keras's loops

    fit, evaluate, predict = map(_in_sentences, (
        keras.Model.fit, keras.Model.evaluate, keras.Model.predict))

    @property
    def distribute_strategy(self) -> tf.distribute.Strategy:
        """Keras's, through which `fit`, `evaluate` and `predict` check the images of any data."""
        return _CheckingStrategy(super().distribute_strategy, self._checked)

    def _checked(self, x):
        """The images [N, H, W, C] of a batch, which Keras may hand over in a list or dictionary."""
        arrays = keras.tree.flatten(x)
        if len(arrays) != 1:
            raise ValueError(f"x must be one array of images, got {len(arrays)}")
        return self.check_images(arrays[0], values=True)  # [N, H, W, C]

    def train_on_batch(self, x: Array, *args, **options) -> Any:
        """Keras's `train_on_batch`; raises ValueError for images outside [0, 1]."""
        return super().train_on_batch(self._checked(x), *args, **options)

    def test_on_batch(self, x: Array, *args, **options) -> Any:
        """Keras's `test_on_batch`; raises ValueError for images outside [0, 1]."""
        return super().test_on_batch(self._checked(x), *args, **options)

    def predict_on_batch(self, x: Array) -> np.ndarray:
        """Keras's `predict_on_batch`; raises ValueError for images outside [0, 1]."""
        return super().predict_on_batch(self._checked(x))

    def train_step(self, data: Any) -> dict:
        """Keras's training step, whose noise is that of `step_noise`."""
        token = _FITTED.set(self)
        try:
            return super().train_step(data)
        finally:
            _FITTED.reset(token)

    def predict_step(self, data: Any) -> tf.Tensor:
        """Keras's `predict`: the images redrawn, probabilities [N, H, W, C]."""
        images, *_ = keras.utils.unpack_x_y_sample_weight(data)
        return tf.sigmoid(self(images).logits)  # [N, H, W, C]

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None,
                     sample_weight: Any = None, training: bool = True) -> tf.Tensor:
        """The mean bound [] in nats, and what layers add: Keras's training steps minimise it."""
        if y is not None or sample_weight is not None:
            raise ValueError(_ALONE)
        recon_nats, kl_nats = self.terms(x, y_pred)  # [N], [T, N]
        nats = recon_nats + tf.reduce_sum(kl_nats, axis=0)  # [N]
        # a replica may have no image of the last batch
        loss = tf.math.divide_no_nan(tf.reduce_sum(nats), tf.cast(tf.size(nats), nats.dtype))  # []
        loss = tf.add_n([loss, *map(tf.reduce_sum, self.losses)])  # []
        return loss / tf.distribute.get_strategy().num_replicas_in_sync  # []; Keras adds them up

    def compute_metrics(self, x: Any, y: Any, y_pred: Any,
                        sample_weight: Any = None) -> dict:
        """The running means that Keras's `fit` and `evaluate` report, in nats per image."""
        recon_nats, kl_nats = self.terms(x, y_pred)  # [N], [T, N]
        kl_nats = tf.reduce_sum(kl_nats, axis=0)  # [N]
        for tracker, nats in zip(self.trackers, (recon_nats + kl_nats, recon_nats, kl_nats),
                                 strict=True):
            tracker.update_state(nats)
        return self.get_metrics_result()

    def _get_metrics_result_or_logs(self, logs):
        if not logs:  # an epoch over a data set without a batch
            raise ValueError(_EMPTY)
        return super()._get_metrics_result_or_logs(logs)
