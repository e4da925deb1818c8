"""Data sets by name, held in memory, and batches of them as a function of seed and step."""

from draw_tf.data.batches import check_batch, eval_dataset, train_dataset
from draw_tf.data.images import (
    Images,
    binarize_for,
    evaluation_split,
    is_here,
    load,
    names,
    overlaps,
)
from draw_tf.data.picture import pictures
from draw_tf.data.record import keep_apart
