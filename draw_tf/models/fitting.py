"""A model in Keras's hands: compiled, trained by `fit`, saved, and going on where it was.

Letters in shapes: T steps, N images, H height, W width, C channels, Z latent size.
"""

import random
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

from draw_tf.models.inputs import ALONE, CheckingStrategy, check_logs, in_sentences

# The model whose own training step runs, in the thread of a replica.
_FITTED: ContextVar[keras.Model | None] = ContextVar("fitted", default=None)


class FittedModel(keras.Model):
    """The part of `ImageModel` that answers to Keras, whose own training step it has."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._noise_seed: Any = None  # a whole number from the first training on
        self._exporting = False
        self.trackers = [keras.metrics.Mean(name=name, dtype=self.compute_dtype) for name in (
            "bound_nats", "recon_nats", "kl_nats")]

    def export(self, filepath, format="tf_saved_model", **options) -> None:
        """Keras's `export`, of the pass with noise drawn inside, for images of any number."""
        images = tf.TensorSpec([None, *self.config.image_shape], self.compute_dtype, "images")
        self._exporting = True
        try:
            super().export(filepath, format, **{"input_signature": [images], **options})
        finally:
            self._exporting = False

    def quantize(self, *args, **options) -> None:
        """Keras's `quantize`, which this model does not have: raises NotImplementedError."""
        raise NotImplementedError(f"quantize is not available for {type(self).__name__}, which "
                                  "computes in float32 or float64 only")

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None,
                weighted_metrics=None, **options) -> None:
        """Keras's `compile`, whose loss is `bound`; raises ValueError for another one."""
        refused = [x for x in (loss, loss_weights, metrics, weighted_metrics) if x]
        if refused:
            raise ValueError("loss and metrics must be None, because this model has its own, got "
                             + " and ".join(map(repr, refused)))
        super().compile(optimizer, **options)
        self._noise_seed = None
        # Keras's own is of its default type, which may be one of 16 bits
        self._loss_tracker = keras.metrics.Mean(name="loss", dtype="float32")

    def get_compile_config(self) -> dict:
        """What `compile_from_config` needs to go on as this model would."""
        config = super().get_compile_config()
        return {**config, "noise_seed": self._noise_seed} if config else config

    def compile_from_config(self, config: dict) -> None:
        """Compiles a model that is loaded, with room for its optimizer's state."""
        config = keras.saving.deserialize_keras_object(config)
        seed = config.pop("noise_seed", None)
        self.compile(**config)
        self._noise_seed = seed
        if self.optimizer:
            self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force: bool = False) -> None:
        """Keras's; from here on the noise of `train_step` follows from this seed and its number."""
        if self._noise_seed is None:
            self._noise_seed = random.randrange(2**30)
        super().make_train_function(force)

    def train_step(self, data) -> dict:
        """Keras's training step, whose noise is that of `step_noise`."""
        token = _FITTED.set(self)
        try:
            return super().train_step(data)
        finally:
            _FITTED.reset(token)

    @property
    def in_train_step(self) -> bool:
        """Whether this model is called by its own `train_step`, and not as a part of another."""
        return _FITTED.get() is self and self._noise_seed is not None

    @property
    def distribute_strategy(self) -> tf.distribute.Strategy:
        """Keras's, through which `fit`, `evaluate` and `predict` check the images of any data."""
        return CheckingStrategy(super().distribute_strategy, self._checked)

    def _checked(self, x):
        """The images [N, H, W, C] of a batch, which Keras may hand over in a list or dictionary."""
        arrays = keras.tree.flatten(x)
        if len(arrays) != 1:
            raise ValueError(f"x must be one array of images, got {len(arrays)}")
        return self.check_images(arrays[0], values=True)  # [N, H, W, C]

    fit, evaluate, predict = map(in_sentences, (
        keras.Model.fit, keras.Model.evaluate, keras.Model.predict))

    def train_on_batch(self, x, *args, **options):
        """Keras's `train_on_batch`; raises ValueError for images outside [0, 1]."""
        return super().train_on_batch(self._checked(x), *args, **options)

    def test_on_batch(self, x, *args, **options):
        """Keras's `test_on_batch`; raises ValueError for images outside [0, 1]."""
        return super().test_on_batch(self._checked(x), *args, **options)

    def predict_on_batch(self, x):
        """Keras's `predict_on_batch`; raises ValueError for images outside [0, 1]."""
        return super().predict_on_batch(self._checked(x))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The mean bound [] in nats, and what layers add: Keras's training steps minimise it."""
        if y is not None or sample_weight is not None:
            raise ValueError(ALONE)
        recon_nats, kl_nats = self.terms(x, y_pred)  # [N], [T, N]
        nats = recon_nats + tf.reduce_sum(kl_nats, axis=0)  # [N]
        # a replica may have no image of the last batch
        loss = tf.math.divide_no_nan(tf.reduce_sum(nats), tf.cast(tf.size(nats), nats.dtype))  # []
        loss = tf.add_n([loss, *map(tf.reduce_sum, self.losses)])  # []
        return loss / tf.distribute.get_strategy().num_replicas_in_sync  # []; Keras adds them up

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict:
        """The running means that Keras's `fit` and `evaluate` report, in nats per image."""
        recon_nats, kl_nats = self.terms(x, y_pred)  # [N], [T, N]
        kl_nats = tf.reduce_sum(kl_nats, axis=0)  # [N]
        for tracker, nats in zip(self.trackers, (recon_nats + kl_nats, recon_nats, kl_nats),
                                 strict=True):
            tracker.update_state(nats)
        return self.get_metrics_result()

    def _get_metrics_result_or_logs(self, logs):
        check_logs(logs)
        return super()._get_metrics_result_or_logs(logs)

    def predict_step(self, data) -> tf.Tensor:
        """Keras's `predict`: the images redrawn, probabilities [N, H, W, C]."""
        images, *_ = keras.utils.unpack_x_y_sample_weight(data)
        return tf.sigmoid(self(images).logits)  # [N, H, W, C]

    def step_noise(self, num):
        """The noise [T, N, Z] of a step of `fit`: another on each replica, as of a saved model."""
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        optimizer: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        # of batches, for `iterations` stands still where several of them make one update
        step = tf.cast(tf.convert_to_tensor(optimizer._iterations), tf.int32)  # []
        seed = tf.stack([self._noise_seed + replica, step])  # [2]
        return tf.random.stateless_normal(
            (self.glimpses, num, self.config.latent_size), seed, dtype=self.compute_dtype)
