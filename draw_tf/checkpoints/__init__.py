"""A run's folder: its settings, weights and metrics; and the weights that ship."""

from draw_tf.checkpoints.weights import assign_weights, named_weights, save_weights
from draw_tf.checkpoints.workdir import (
    DEFAULT_WEIGHTS,
    load,
    load_with_step,
    pretrained,
    read_config,
    read_metrics,
    resolve,
    write_settings,
)
