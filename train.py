"""Trains a model: python train.py --flagfile=draw_tf/configs/quickstart.flags --workdir=DIR"""

from draw_tf.train import command

if __name__ == "__main__":
    command()
