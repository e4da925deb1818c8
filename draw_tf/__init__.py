import os
import sys

if sys.argv[:1] == ["-m"]:  # about to run as `python -m draw_tf.NAME`: quiet, as train.py is
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from draw_tf.checkpoint import load
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.listing import load_listing_weights
from draw_tf.model import DRAW
