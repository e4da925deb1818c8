"""What a model in training draws, for strokes.gif and TensorBoard."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from draw_tf.data import Images
from draw_tf.models.base import ImageModel
from draw_tf.pictures import strokes, tiles

SHOWN = 16  # images in a grid, at most


def shown_images(images: Images, binarize: str) -> np.ndarray:
    """The first images as a run sees them, float32 [16, H, W, C]."""
    shown = dataclasses.replace(images, pixels=images.pixels[:SHOWN])
    return (shown if binarize == "none" else shown.binarized()).floats()


def draw(model: ImageModel, shown: np.ndarray) -> tuple[
        dict[str, np.ndarray], dict[str, np.ndarray], dict[str, tf.Tensor]]:
    """Draws new images, and `shown` [N, H, W, C] anew, under their tags in TensorBoard.

    Returns pictures, uint8 [h, w, 3] each; animations, uint8 [T + 1 frames, h, w, 3] each; and
    for histograms the parameters of the windows, [T, N, 1] each.
    """
    trace, generation = model.trace(shown), model.generate(SHOWN, seed=0)
    redrawn, drawn = trace.images.numpy(), generation.images.numpy()  # [T, N, H, W, C] each
    across = math.gcd(len(shown), 4)  # pairs in a row
    pairs = [images[k::across] for k in range(across) for images in (shown, redrawn[-1])]
    images = {"reconstructions": tiles.side_by_side(pairs),
              "kl_step_nats": tiles.bars(tf.reduce_mean(trace.kl_nats, axis=1).numpy()),
              "samples": tiles.grid(tiles.to_uint8(drawn[-1], 2))}
    animations = {"strokes/reconstructions": strokes.stroke_frames(redrawn, model.boxes(trace)),
                  "strokes/samples": strokes.stroke_frames(drawn, model.boxes(generation))}
    return images, animations, {
        f"{scope}/{name}": getattr(window, name)  # [T, N, 1]
        for scope, window in (("read", trace.read), ("write", trace.write)) if window
        for name in ("gx", "gy", "delta", "sigma2", "gamma")}


def graph(model: ImageModel) -> tf.compat.v1.GraphDef:
    """The graph of one step, small enough to read in TensorBoard."""
    images = tf.TensorSpec([SHOWN, *model.config.image_shape], model.compute_dtype, "images")
    noise = tf.TensorSpec([SHOWN, model.config.latent_size], model.compute_dtype, "noise")
    step = tf.function(model.one_step, autograph=False).get_concrete_function(images, noise)
    graph = step.graph.as_graph_def()
    # the nodes that only hand out results would hide the model's
    nodes = [node for node in graph.node if node.op not in ("Identity", "NoOp")]
    del graph.node[:]
    graph.node.extend(nodes)
    return graph
