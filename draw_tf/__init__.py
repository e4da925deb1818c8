"""DRAW, the Deep Recurrent Attentive Writer, in TensorFlow 2.

Importing it imports TensorFlow without its messages, and sets TF_CPP_MIN_LOG_LEVEL to 3 (fatal
messages only) where it is not set.
"""

import contextlib
import os
import tempfile


@contextlib.contextmanager
def _quiet():
    """Holds back what is written to standard error; shows it if the block fails."""
    try:
        stderr = os.dup(2)
    except OSError:  # closed
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _quiet():  # on a machine without a GPU, TensorFlow reports at length that there is none
    from draw_tf import data
    from draw_tf.checkpoints import load
    from draw_tf.checkpoints.listing import load_listing_weights
    from draw_tf.config import DRAWConfig, TrainConfig, VAEConfig
    from draw_tf.models import DRAW, VAE
    from draw_tf.pictures.saving import save

__version__ = "1.0.0"
__all__ = ["DRAW", "DRAWConfig", "TrainConfig", "VAE", "VAEConfig", "data", "load",
           "load_listing_weights", "save"]


def __dir__() -> list[str]:
    """What is meant for users, where Python would list every import."""
    return [*__all__, "__version__"]
