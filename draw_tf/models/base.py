"""What the models have in common: their settings, their passes and their loss.

Letters in shapes: T steps, N images, H height, W width, C channels, Z latent size.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from draw_tf.config import ModelConfig
from draw_tf.models import losses
from draw_tf.models.fitting import FittedModel
from draw_tf.models.recurrence import auto_unroll
from draw_tf.models.start import log_odds
from draw_tf.models.steps import Array, Count, DRAWOutput, Generation, Steps, Trace


class ImageModel(FittedModel):
    """A model of images that minimises a bound on -log p(images).

    A subclass has `Config`, the class of its settings, `infer_steps`, `draw_steps`, `start_from`
    and `one_step`, as `DRAW` has them.

    Args:
      config: the model's settings, an object of `Config`.
      unroll: steps unrolled in a compiled program, the rest being a loop over such pieces (see
        `draw_tf.models.recurrence`); 0 chooses by `auto_unroll`. It changes speed and memory only.
      **kwargs: of keras.Model, such as dtype="float64".

    Raises:
      TypeError: the config is not of `Config`, or its fields were given in its place.
      ValueError: the dtype is neither float32 nor float64, or `unroll` is no whole number.
    """

    Config: type = object
    has_strokes = False  # whether it draws in steps that can be looked into, and completes images

    def __init_subclass__(cls, **kwargs):
        """Completes the help of a model by its settings, so that they are declared once."""
        super().__init_subclass__(**kwargs)
        if "Config" in vars(cls):
            settings = "".join(f"\n        {x.name} = {x.default!r}: {x.metadata['help']}"
                               for x in dataclasses.fields(cls.Config))
            cls.__doc__ = f"""{cls.__doc__}
    Args:
      config: the model's settings, a draw_tf.{cls.Config.__name__}:{settings}
      unroll: steps unrolled in a compiled program; 0 chooses for this machine.
      **kwargs: of keras.Model, such as dtype="float64".
    """

    def __init__(self, config: ModelConfig, unroll: int = 0, **kwargs):
        model, settings = type(self).__name__, self.Config.__name__
        fields = {field.name for field in dataclasses.fields(self.Config)}
        given = ", ".join(f"{name}={kwargs[name]!r:.99}" for name in kwargs if name in fields)
        if given:
            raise TypeError(f"{model} takes its settings as a {settings}: "
                            f"{model}({settings}({given}))")
        if not isinstance(config, self.Config):
            raise TypeError(f"config must be a {settings}, as in {model}({settings}()), "
                            f"got {config!r:.200}")
        super().__init__(**kwargs)
        if self.dtype_policy.name not in ("float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, got {self.dtype_policy.name}: "
                             "with 16 bits the filters and the loss lose too many digits")
        if type(unroll) is not int or unroll < 0:
            raise ValueError(f"unroll must be a whole number of at least 0, got {unroll!r}")
        self.config, self.glimpses = config, getattr(config, "glimpses", 1)
        self.shared_noise = getattr(config, "shared_noise", False)
        self._unroll_given, self.unroll = unroll, unroll or auto_unroll(self.glimpses)

    @staticmethod
    def first_shapes(config: Any) -> dict[str, tuple[int, ...]]:
        """The shape of each part of the first state that is learned, by name."""
        return {}

    def get_config(self) -> dict:
        """The settings from which `from_config` makes the same model, without its weights."""
        return {"config": dataclasses.asdict(self.config), "unroll": self._unroll_given,
                "name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config: dict) -> "ImageModel":
        """A new model from what `get_config` returned."""
        return cls(**{**config, "config": cls.Config(**config["config"])})

    def start_from_data(self, mean_image: np.ndarray) -> None:
        """Sets biases of a new model so that its windows cover the image and it draws the mean.

        That is `mean_image` [H, W, C] in [0, 1] (see `models.start`); ValueError for any other.
        """
        self.check_images(np.asarray(mean_image)[np.newaxis], values=True)
        self.start_from(log_odds(mean_image))

    # ------------------------------------------------------------ all steps

    def _infer(self, images, noise, keep=(), training=False):
        """Runs all steps: images and noise as checked, the last canvas, parts `keep` (or all)."""
        images = self.check_images(images)  # [N, H, W, C]
        num = images.shape[0] or tf.shape(images)[0]
        if noise is None:
            draw = self.step_noise if training and self.in_train_step else self.draw_noise
            noise = draw(num)  # [T, N, Z]
        else:
            noise = self.check_noise(noise, num)  # [T, N, Z]
        if self.shared_noise:  # as the article's code does by mistake
            noise = tf.repeat(noise[:1], self.glimpses, axis=0)  # [T, N, Z]
        return images, noise, *self.infer_steps(num, images, noise, keep)

    def call(self, images: Array, noise: Array | None = None,
             training: bool = False) -> DRAWOutput:
        """Encodes and redraws images [N, H, W, C] in [0, 1]: logits [N, H, W, C], kl_nats [T, N].

        Noise is standard normal, [T, N, Z], and drawn where None. Images or noise of another shape
        raise ValueError. `training` is for Keras's `fit`, whose noise follows from its step.
        """
        *_, logits, kept = self._infer(images, noise, ["kl_nats"], training)
        return DRAWOutput(logits, kept["kl_nats"])

    def trace(self, images: Array, noise: Array | None = None) -> Trace:
        """The pass of `call`, every step of it kept; arguments and errors are the same."""
        *_, kept = self._infer(images, noise)
        return self.with_windows(Trace(**kept))

    def generate(self, num: Count, noise: Array | None = None,
                 seed: int | None = None) -> Generation:
        """Draws N = `num` new images from the prior (paper eq. 13-15), with canvases in logits.

        The noise is the latent variables themselves, standard normal [T, N, Z]; where None, it is
        drawn from `seed`, or at random where that is None too. Raises ValueError where num is
        under 1, or noise of another shape.
        """
        if isinstance(num, int) and num < 1:  # in a graph it may be a tensor
            raise ValueError(f"num must be at least 1, got {num}")
        noise = self.draw_noise(num, seed) if noise is None else self.check_noise(noise, num)
        return self.with_windows(self.draw_steps(num, noise))

    def with_windows(self, steps: Steps) -> Steps:
        """Adds what can be computed of all steps afterwards, where the model has it."""
        return steps

    def boxes(self, steps: Trace | Generation) -> dict:
        """The rectangles to draw around what was read and written; none without windows."""
        return {}

    # ------------------------------------------------------------ the loss

    def bound(self, images: Array,
              noise: Array | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The terms of the bound on -log p(images) in nats: recon_nats [N] and kl_nats [T, N].

        Arguments and errors are those of `call`.
        """
        return self.terms(images, self(images, noise))

    def terms(self, images: Array, output: DRAWOutput) -> tuple[tf.Tensor, tf.Tensor]:
        """The terms of `bound` of images [N, H, W, C] that `call` has redrawn."""
        images = tf.cast(images, output.logits.dtype)  # [N, H, W, C]; as Keras cast them for call
        likelihood = self.config.likelihood
        return losses.reconstruction_nats(images, output.logits, likelihood), output.kl_nats

    def bound_and_gradients(self, images: Array, noise: Array | None = None) -> tuple[
            tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """The terms of `bound`, and the gradient of the mean bound by each trainable variable."""
        with tf.GradientTape() as tape:
            recon_nats, kl_nats = self.bound(images, noise)  # [N], [T, N]
            loss = tf.reduce_mean(recon_nats + tf.reduce_sum(kl_nats, axis=0))  # []
        variables = [variable.value for variable in self.trainable_variables]
        # at T = 1 the article's LSTMs make no use of a state that is zero
        return recon_nats, kl_nats, tape.gradient(loss, variables, unconnected_gradients="zero")

    def log_weights(self, images: Array, noise: Array | None = None) -> tf.Tensor:
        """log p(images, z) - log q(z | images) in nats, [N], for one sample of z.

        Arguments and errors are those of `call`.
        """
        images, noise, logits, kept = self._infer(images, noise, ["z", "logsigma"])
        ratios = losses.log_prior_ratio(kept["z"], noise, kept["logsigma"])  # [T, N]
        recon_nats = losses.reconstruction_nats(images, logits, self.config.likelihood)  # [N]
        return tf.reduce_sum(ratios, axis=0) - recon_nats  # [N]
