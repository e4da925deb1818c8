"""Training: the loop, the update, the log."""

from draw_tf.training.loop import make_strategy, train_and_evaluate
from draw_tf.training.trainer import Trainer
