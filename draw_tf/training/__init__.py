"""Training and evaluation: the loop, the update, the log, the bound over a whole split."""

from draw_tf.training.evaluation import Evaluator, evaluate_model, evaluate_run
from draw_tf.training.loop import make_strategy, train_and_evaluate
from draw_tf.training.trainer import Trainer
