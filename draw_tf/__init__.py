"""DRAW, the Deep Recurrent Attentive Writer, in TensorFlow 2.

Importing it imports TensorFlow without its reports, except what it says of an NVIDIA card that is
there. Where TF_CPP_MIN_LOG_LEVEL is not set, it becomes 1 (warnings) on a machine with such a card,
and 3 (fatal messages only) on others.
"""

import contextlib
import os
import re
import sys
import tempfile

from draw_tf.devices import card_is_there
from draw_tf.errors import BackendError

# A card that the user has hidden needs no report either.
_CARD = card_is_there() and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1")
# How a line of TensorFlow's log begins, and one that is about a card.
_LOG = re.compile(rb"[IWE]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IWE] |To enable the following "
                  rb"instructions|WARNING: All log messages before absl")
_ABOUT_CARD = re.compile(rb"cuda|gpu|nvidia", re.IGNORECASE)


@contextlib.contextmanager
def _quiet():
    """Holds back TensorFlow's reports, but not of a card; shows all if the block fails."""
    try:
        stderr, held = os.dup(2), tempfile.TemporaryFile()  # noqa: SIM115, the with follows
    except OSError:  # it is closed, or there is no place for a file
        yield
        return
    failed = True
    with open(stderr, "wb") as shown, held:
        os.dup2(held.fileno(), 2)
        try:
            yield
            failed = False
        finally:
            held.seek(0)
            shown.writelines(line for line in held if failed or not _LOG.match(line)
                             or _CARD and _ABOUT_CARD.search(line))
            os.dup2(stderr, 2)


def _check_backend():
    """Raises BackendError unless Keras runs on TensorFlow."""
    try:
        import keras
        backend = keras.config.backend()
    except (ModuleNotFoundError, ValueError) as error:  # it is not installed, or there is none
        if getattr(error, "name", None) in ("keras", "tensorflow"):
            raise
        backend = os.environ.get("KERAS_BACKEND", "another one")
    if backend == "tensorflow":
        return
    shown = sys.excepthook
    # a command ends with the sentence alone, where nobody catches the error
    sys.excepthook = lambda kind, error, trace: (
        print(error, file=sys.stderr) if kind is BackendError else shown(kind, error, trace))
    raise BackendError(f"draw_tf needs Keras with the backend tensorflow, got {backend}: set "
                       "KERAS_BACKEND=tensorflow before Keras is imported")


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1" if _CARD else "3")
with _quiet():
    _check_backend()
    from draw_tf import data
    from draw_tf.checkpoints import load
    from draw_tf.checkpoints.listing import load_listing_weights
    from draw_tf.config import DRAWConfig, TrainConfig, VAEConfig
    from draw_tf.models import DRAW, VAE
    from draw_tf.pictures.strokes import save

__version__ = "1.0.0"
__all__ = ["DRAW", "DRAWConfig", "TrainConfig", "VAE", "VAEConfig", "data", "load",
           "load_listing_weights", "save"]


def __dir__() -> list[str]:
    """What is meant for users, where Python would list every import."""
    return [*__all__, "__version__"]
