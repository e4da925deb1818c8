from draw_tf.checkpoint import load
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.listing import load_listing_weights
from draw_tf.model import DRAW
