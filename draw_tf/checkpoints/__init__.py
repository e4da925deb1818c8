"""A run's folder: its settings, weights and metrics; and the weights that ship."""

from draw_tf.checkpoints.workdir import (
    DEFAULT_WEIGHTS,
    assign_weights,
    load,
    load_with_step,
    named_weights,
    pretrained,
    read_config,
    read_metrics,
    resolve,
    save_weights,
    write_settings,
)
