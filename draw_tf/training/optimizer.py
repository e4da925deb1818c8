"""Adam, its learning rate and its clipping, in one place."""

import keras
import tensorflow as tf

from draw_tf.config import ModelConfig, TrainConfig


class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate at each step: from a peak, held or lowered, to zero where it is cooled.

    In the second half of the run it falls exponentially from `peak` to `final`, which is the same
    where it is held. In the last `cooldown` of all `steps` it also falls linearly to zero.
    """

    def __init__(self, peak: float, final: float, steps: int, cooldown: int = 0):
        self.peak, self.final, self.steps, self.cooldown = peak, final, steps, cooldown

    def __call__(self, step) -> tf.Tensor:
        """The rate [] at a step."""
        step = tf.cast(step, tf.float32)  # []
        late = tf.maximum(2 * step / self.steps - 1, 0)  # [], 0 to 1
        rate = self.peak * (self.final / self.peak) ** late  # []
        if self.cooldown:
            rate *= tf.clip_by_value((self.steps - step) / self.cooldown, 0, 1)  # []
        return rate

    def get_config(self) -> dict:
        """The arguments of `__init__`."""
        return {"peak": self.peak, "final": self.final, "steps": self.steps,
                "cooldown": self.cooldown}


def make_optimizer(config: TrainConfig, model_config: ModelConfig,
                   replicas: int = 1) -> keras.Optimizer:
    """Adam; it clips each gradient, or all together, as the `clip` setting has it.

    Each of R `replicas` holds 1/R of the gradients. Keras clips on each of them and adds up
    afterwards, so each clips to 1/R of the norm.
    """
    # a constant rate is a decay to itself, so that both kinds of run have the same checkpoints
    final = config.learning_rate if config.schedule == "constant" else config.final_learning_rate
    article = getattr(model_config, "equations", "paper") == "article"
    each = config.clip == "each" or config.clip == "auto" and article
    clip = {"clipnorm" if each else "global_clipnorm": config.clip_norm / replicas or None}
    return keras.optimizers.Adam(
        Rate(config.learning_rate, final, config.train_steps, config.cooldown_steps),
        beta_1=config.adam_beta1, **clip)
