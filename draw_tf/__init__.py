from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.model import DRAW
