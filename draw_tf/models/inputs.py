"""Checks of images on their way into a model, where they cost a compiled program nothing.

XLA leaves out assertions, so Keras's `fit`, `evaluate` and `predict` check in their input pipeline,
which runs beside the training. A batch that fails never reaches the model.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

import tensorflow as tf

ALONE = "y and sample_weight must be None, because this model learns from images alone"
_EMPTY = "x must have at least one image, got none"


def check_array(data: object, name: str) -> None:
    """Raises ValueError where `data` is a `draw_tf.data.Images`, and not an array of its images."""
    if hasattr(data, "floats"):
        raise ValueError(f"{name} must be an array, got the data set {data}: give {name}.floats()")


def check_values(images: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """The same images [N, H, W, C]; an error where one is not in [0, 1] or of another shape.

    It is a ValueError in eager mode, and an InvalidArgumentError with the same text where a graph
    runs. In a program that XLA compiles, nothing is checked.
    """
    low, high = tf.reduce_min(images), tf.reduce_max(images)  # []
    text = tf.strings.format("images must be in [0, 1], got [{}, {}]", (low, high))  # []
    # comparisons with NaN are false, which a minimum may pass over
    checks = [(tf.reduce_all((images >= 0) & (images <= 1)), text)]
    if not images.shape.is_fully_defined():
        side = tf.strings.format("{}", [tf.shape(images)[1:]])  # []; comparable for any rank
        wanted = " ".join(map(str, image_shape))
        checks.insert(0, (side == f"[{wanted}]", tf.strings.format(
            f"images must be [N {wanted}], got {{}}", [tf.shape(images)])))
    if tf.executing_eagerly():
        for passed, text in checks:
            if not passed:
                raise ValueError(text.numpy().decode())
        return images
    with tf.control_dependencies([tf.debugging.Assert(*check) for check in [
            (passed, [text]) for passed, text in checks]]):
        return tf.identity(images)  # [N, H, W, C]


class CheckingStrategy:
    """A strategy for Keras's loops, which checks each batch of the data sets it distributes."""

    def __init__(self, strategy: tf.distribute.Strategy, check: Callable):
        self._strategy = strategy
        # Keras has made a data set of anything that it takes, and has put images first
        self._check = tf.autograph.experimental.do_not_convert(
            lambda images, *rest: (check(images), *rest))

    # Keras asks for the kind of strategy
    __class__ = property(lambda self: type(self._strategy))  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self._strategy is (other._strategy if type(other) is CheckingStrategy else other)

    def __hash__(self) -> int:
        return hash(self._strategy)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def experimental_distribute_dataset(self, dataset, options=None):
        """As of any strategy; raises ValueError for a data set that is known to be empty."""
        if dataset.cardinality() == 0:
            raise ValueError(_EMPTY)
        return self._strategy.experimental_distribute_dataset(
            dataset.map(self._check, num_parallel_calls=tf.data.AUTOTUNE), options)


def in_sentences(method: Callable) -> Callable:
    """One of Keras's loops, whose errors over its data are a ValueError of one sentence."""
    @functools.wraps(method)
    def loop(*args, **options):
        if options.get("sample_weight") is not None:  # which Keras leaves out where there is no y
            raise ValueError(ALONE)
        for data in (*args[1:], *options.values()):
            if isinstance(data, tf.distribute.DistributedDataset):  # its batches are not checked
                raise ValueError("x and validation_data must not be distributed already: give the "
                                 "tf.data.Dataset itself, got a DistributedDataset")
            check_array(data, "x")
        try:
            return method(*args, **options)
        except tf.errors.InvalidArgumentError as error:
            sentence = re.search(r"images must be .*?, got \[.*?\]", error.message)
            if not sentence:
                raise
            raise ValueError(sentence[0]) from None
        except UnboundLocalError:  # predict, of Keras 3, over a data set without a batch
            raise ValueError(_EMPTY) from None
    return loop


def check_logs(logs: dict) -> None:
    """Raises ValueError where an epoch has left no logs, because its data set had no batch."""
    if not logs:
        raise ValueError(_EMPTY)
