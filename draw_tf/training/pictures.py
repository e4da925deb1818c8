"""What a model in training draws, for strokes.gif and TensorBoard."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from draw_tf.data import Images
from draw_tf.models.base import ImageModel
from draw_tf.pictures import strokes, tiles

SHOWN = 16  # images in a grid, at most


class Pictures(NamedTuple):
    """Pictures of a model at one step of its training, each under its tag in TensorBoard."""

    images: dict[str, np.ndarray]  # uint8 [height, width, 3] each
    strokes: dict[str, tuple[int, int, bytes]]  # width, height, and a GIF
    histograms: dict[str, tf.Tensor]  # the parameters of the windows, [T, 16, 1] each


def shown_images(images: Images, binarize: str) -> np.ndarray:
    """The first images as a run sees them, float32 [16, H, W, C]."""
    shown = dataclasses.replace(images, pixels=images.pixels[:SHOWN])
    return (shown if binarize == "none" else shown.binarized()).floats()


def draw(model: ImageModel, shown: np.ndarray) -> Pictures:
    """Pictures of new images, and of `shown` [N, H, W, C] redrawn."""
    trace, generation = model.trace(shown), model.generate(SHOWN, seed=0)
    redrawn, drawn = (steps.images.numpy() for steps in (trace, generation))  # [T, N, H, W, C]
    across = math.gcd(len(shown), 4)  # pairs in a row
    pairs = [images[k::across] for k in range(across) for images in (shown, redrawn[-1])]
    images = {"reconstructions": tiles.side_by_side(pairs),
              "kl_step_nats": tiles.bars(tf.reduce_mean(trace.kl_nats, axis=1).numpy()),
              "samples": tiles.grid(tiles.to_uint8(drawn[-1], 2))}
    gifs = {}
    for tag, canvases, steps in (("reconstructions", redrawn, trace),
                                 ("samples", drawn, generation)):
        frames = strokes.stroke_frames(canvases, model.boxes(steps))
        height, width = frames.shape[1:3]
        gifs[f"strokes/{tag}"] = width, height, strokes.encode_gif(frames)
    windows = {scope: getattr(trace, scope) for scope in ("read", "write")}
    return Pictures(images, gifs, {
        f"{scope}/{name}": getattr(window, name) for scope, window in windows.items() if window
        for name in ("gx", "gy", "delta", "sigma2", "gamma")})


def graph(model: ImageModel) -> tf.compat.v1.GraphDef:
    """The graph of one step, small enough to read in TensorBoard."""
    images = tf.TensorSpec([SHOWN, *model.config.image_shape], model.compute_dtype, "images")
    noise = tf.TensorSpec([SHOWN, model.config.latent_size], model.compute_dtype, "noise")
    step = tf.function(model.one_step, autograph=False)
    graph = step.get_concrete_function(images, noise).graph.as_graph_def()
    # the nodes that only hand out results would hide the model's
    nodes = [node for node in graph.node if node.op not in ("Identity", "NoOp")]
    del graph.node[:]
    graph.node.extend(nodes)
    return graph
