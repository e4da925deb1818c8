"""Adam, its learning rate and its clipping, in one place."""

import keras
import tensorflow as tf

from draw_tf.config import TrainConfig


class HalfThenExponential(keras.optimizers.schedules.LearningRateSchedule):
    """The peak rate for the first half of the run, then exponential decay to the final rate."""

    def __init__(self, peak: float, final: float, steps: int):
        self.peak, self.final, self.steps = peak, final, steps

    def __call__(self, step):
        """The rate [] at a step."""
        late = tf.maximum(2 * tf.cast(step, tf.float32) / self.steps - 1, 0)  # [], 0 to 1
        return self.peak * (self.final / self.peak) ** late  # []

    def get_config(self) -> dict:
        """The arguments of `__init__`."""
        return {"peak": self.peak, "final": self.final, "steps": self.steps}


def make_optimizer(config: TrainConfig, equations: str, replicas: int = 1) -> keras.Optimizer:
    """Adam; it clips each gradient under the article's equations, all together under the paper's.

    Each of R `replicas` holds 1/R of the gradients. Keras clips on each of them and adds up
    afterwards, so each clips to 1/R of the norm.
    """
    # a constant rate is a decay to itself, so that both kinds of run have the same checkpoints
    final = config.learning_rate if config.schedule == "constant" else config.final_learning_rate
    clip = {"global_clipnorm" if equations == "paper" else "clipnorm":
            config.clip_norm / replicas or None}
    return keras.optimizers.Adam(
        HalfThenExponential(config.learning_rate, final, config.train_steps),
        beta_1=config.adam_beta1, **clip)
