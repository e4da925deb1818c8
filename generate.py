"""Draws images stroke by stroke: python generate.py [--workdir=DIR] --out=strokes.gif"""

from draw_tf.generate import command

if __name__ == "__main__":
    command()
