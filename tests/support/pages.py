"""Models whose pages are tested, their strokes, and what is asked of a page in a browser."""

import numpy as np

from draw_tf import DRAW, DRAWConfig
from draw_tf.config import TrainConfig

MNIST = TrainConfig(dataset="mnist")
# until everything that was asked for is computed
STILL = """new Promise((done, fail) => {
  const first = performance.now();
  (function wait() {
    if (run?.done && !asked.size && !pen.frame && !ghost.frame) done(0);
    else if (performance.now() - first < 60000) setTimeout(wait, 5);
    else fail(`still busy: ${[mode, run?.done, asked.size, pen.frame, ghost.frame]}`);
  })(); })"""

WINDOW = ("gx", "gy", "delta", "sigma2", "gamma", "Fx", "Fy")
SMALL = dict(glimpses=3, hidden_size=8, latent_size=2)
MODELS = {
    "paper": DRAWConfig((28, 28, 1), read_size=2, write_size=5, equations="paper", **SMALL),
    "colour": DRAWConfig((9, 14, 3), read_size=3, write_size=4, **SMALL),
    "no attention": DRAWConfig((8, 9, 1), read_attention=False, write_attention=False, **SMALL),
    "only reads": DRAWConfig((9, 8, 3), read_size=1, write_attention=False, equations="paper",
                             likelihood="gaussian", **SMALL),
    "only writes": DRAWConfig((8, 9, 1), read_attention=False, write_size=1, shared_noise=True,
                              **SMALL)}


def make(name):
    """A model in float64 whose weights, all of them different, fit into 16 bits."""
    rng = np.random.default_rng(0)
    model = DRAW(MODELS[name], dtype="float64")
    for weight in model.trainable_variables:
        weight.assign(np.float16(0.4 * rng.standard_normal(weight.shape)))
    return model


def inputs(config, count=2):
    """Images [N, H, W, C] and noise [T, N, Z] that fit into 32 bits."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((config.glimpses, count, config.latent_size))
    return rng.random((count, *config.image_shape)).astype(np.float32), noise.astype(np.float32)


def draw(name, count=2):
    """What `page` takes of a model: the model, a trace, and the images redrawn."""
    model = make(name)
    images, noise = inputs(model.config, count)
    return model, model.trace(images, noise), images


def assert_close(found, array, tolerance, name):
    array = np.asarray(array)
    np.testing.assert_allclose(np.reshape(found, array.shape), array, rtol=0,
                               atol=tolerance * np.abs(array).max(), err_msg=name)


def pixels(browser, element, height, width):
    """The middle of every image pixel of a canvas, [H, W, 3]."""
    shown = browser.evaluate(f"""(canvas => {{
      const wide = canvas.width, s = wide / {width}, at = [];
      const data = canvas.getContext("2d").getImageData(0, 0, wide, canvas.height).data;
      for (let y = 0; y < {height}; y++) for (let x = 0; x < {width}; x++) {{
        const pixel = Math.floor((y + 0.5) * s) * wide + Math.floor((x + 0.5) * s);
        at.push(...data.slice(4 * pixel, 4 * pixel + 3)); }}
      return at; }})({element})""")
    return np.reshape(shown, (height, width, 3))
