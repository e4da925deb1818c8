"""The learning rate over a run."""

import keras
import tensorflow as tf


class HalfThenExponential(keras.optimizers.schedules.LearningRateSchedule):
    """The peak rate for the first half of the run, then exponential decay to the final rate."""

    def __init__(self, peak, final, steps):
        self.peak, self.final, self.steps = peak, final, steps

    def __call__(self, step):
        late = tf.maximum(2 * tf.cast(step, tf.float32) / self.steps - 1, 0)  # [], 0 to 1
        return self.peak * (self.final / self.peak) ** late

    def get_config(self):
        return {"peak": self.peak, "final": self.final, "steps": self.steps}


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A straight line from zero to a schedule's value over its first steps."""

    def __init__(self, schedule, steps):
        self.schedule, self.steps = schedule, steps

    def __call__(self, step):
        done = tf.minimum((tf.cast(step, tf.float32) + 1) / self.steps, 1)  # []
        return done * self.schedule(step)

    def get_config(self):
        return {"schedule": self.schedule, "steps": self.steps}


def learning_rate(config):
    """The learning rate schedule that a TrainConfig asks for."""
    if config.schedule == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, config.train_steps,
            alpha=config.final_learning_rate / config.learning_rate)
    else:  # a constant is a decay to itself
        final = (config.learning_rate if config.schedule == "constant"
                 else config.final_learning_rate)
        schedule = HalfThenExponential(config.learning_rate, final, config.train_steps)
    return WarmUp(schedule, config.warmup_steps) if config.warmup_steps else schedule
