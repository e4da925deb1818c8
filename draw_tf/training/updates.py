"""The updates since the last line of the log: here they are counted, judged and reported."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from draw_tf.checkpoints import saves
from draw_tf.errors import TrainingError
from draw_tf.models import losses

# A run ends when this many steps in a row had no finite gradient.
PATIENCE = 100


class Updates:
    """Sums of what `trainer.train` returns; their lines go to a `Log`. `home` is the workdir."""

    def __init__(self, trainer, log, home):
        self.trainer, self.log, self.home = trainer, log, home
        self.idle = 0  # steps in a row without an update, in whole lines
        self._clear()

    def _clear(self):
        self.steps, self.began = 0, float(self.trainer.seconds)
        self.sums: list = [0, 0]  # of counts [2] and means [1 + T], as trainer.train has them

    def add(self, steps: int, sums: Sequence[tf.Tensor]) -> None:
        """Counts `steps` steps, with what `trainer.train` returned for them."""
        self.steps += steps
        self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)]

    def wait(self) -> None:
        """Waits until the device has made all of the steps."""
        self.sums = [np.asarray(x) for x in self.sums]

    def report(self, step: int) -> None:
        """Writes the line of the log up to `step`, and starts the next one.

        Raises TrainingError where too many steps in a row had no finite gradient.
        """
        (updates, norms), means = self.sums
        self.idle = 0 if updates else self.idle + self.steps
        if self.idle >= PATIENCE:
            kept = saves.latest(self.home) or "none was saved yet"
            raise TrainingError(
                f"the gradients of the last {self.idle} steps up to step {step} were not finite: "
                f"try a lower --learning_rate or --clip_norm (last good checkpoint: {kept})")
        if updates:
            images = self.steps * self.trainer.config.batch_size
            self.log.write("train", step, {
                **losses.report(means / updates),
                "images_per_second": images / (float(self.trainer.seconds) - self.began),
                "gradient_norm": float(norms / updates),
                "learning_rate": float(self.trainer.optimizer.learning_rate),
                "skipped_updates": int(self.steps - updates)})
        else:
            self.log.say(f"step {step}: no finite gradient in the last {self.steps} steps")
        self._clear()
