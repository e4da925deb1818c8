"""The page on which a model runs, in a real browser: its numbers, and what it shows of them."""

import json

import numpy as np
import pytest

from draw_tf import checkpoints
from draw_tf.models.completion import complete, kept_half
from draw_tf.pictures import tiles
from draw_tf.pictures.page import page
from tests.support.pages import MODELS, WINDOW, assert_close, draw, inputs, make, pixels

pytestmark = pytest.mark.slow


def run_script(browser, images, noise, function):
    """What a function of `window.draw` returns for each image."""
    given = json.dumps([[None if images is None else images[i].ravel().tolist(),
                         noise[:, i].ravel().tolist()] for i in range(noise.shape[1])])
    return browser.evaluate(f"""{given}.map(([image, noise]) => {{
      const plain = v => ArrayBuffer.isView(v) ? Array.from(v) : Array.isArray(v) ? v.map(plain)
        : v && typeof v === "object" ? Object.fromEntries(
          Object.entries(v).map(([name, part]) => [name, plain(part)])) : v;
      [image, noise] = [image && new Float32Array(image), new Float32Array(noise)];
      return plain({function}); }})""")


def assert_steps(found, steps, i, tolerance):
    """What the page computed of image i is the model's Trace or Generation, to its scale."""
    fields = [("canvases", steps.canvases), ("w", steps.w)]
    fields += [(name, getattr(steps, name, None)) for name in ("mu", "logsigma", "kl_nats", "r")]
    for name, array in fields:
        assert (array is None) == (name not in found), name
        if array is not None:
            assert_close(found[name], array[:, i], tolerance, name)
    for scope in ("read", "write"):
        window = getattr(steps, scope, None)
        assert bool(found[scope]) == (window is not None)
        for name in WINDOW if window is not None else ():
            assert_close(found[scope][name], getattr(window, name)[:, i], tolerance, name)


@pytest.mark.parametrize("name", MODELS)
def test_the_page_computes_the_models_numbers(visit, name):
    model = make(name)
    images, noise = inputs(model.config)
    known = kept_half("left", *model.config.image_shape[:2])
    trace = model.trace(images, noise)
    browser = visit(page(model, trace, images))
    assert browser.evaluate("window.draw.config.equations") == model.config.equations
    passes = [("draw.redraw(image, noise)", images, trace),
              ("draw.generate(noise)", None, model.generate(2, noise)),
              ("draw.redraw(image, noise, halfOf('right'))", images,
               complete(model, images, known, noise))]
    for function, given, steps in passes:
        for i, found in enumerate(run_script(browser, given, noise, function)):
            assert_steps(found, steps, i, 1e-6)
    found = run_script(browser, images, noise, "draw.redraw(image, noise).recon_nats.at(-1)")
    np.testing.assert_allclose(found, model.bound(images, noise)[0], rtol=1e-6)


@pytest.mark.parametrize("name", checkpoints.pretrained())
def test_the_page_computes_what_the_weights_that_ship_do(visit, name):
    model = checkpoints.load(name)
    for weight in model.trainable_variables:
        weight.assign(np.float16(weight))
    (images, noise), train = inputs(model.config, 1), checkpoints.read_config(
        checkpoints.resolve(name))[1]
    trace = model.trace(images, noise)
    browser = visit(page(model, trace, images, train=train))
    for function, given, steps in (("draw.redraw(image, noise)", images, trace),
                                   ("draw.generate(noise)", None, model.generate(1, noise))):
        assert_steps(run_script(browser, given, noise, function)[0], steps, 0, 1e-4)


@pytest.mark.parametrize("name", ["paper", "colour"])
def test_what_is_shown_of_a_step_is_what_was_computed(visit, name):
    model, trace, images = draw(name)
    height, width, channels = model.config.image_shape
    browser = visit(page(model, trace, images, boxes=False), "#mode=draw&image=2&step=3")
    before, after = tiles.to_uint8(trace.images)[1:, 1]  # [H, W, 3] each
    np.testing.assert_allclose(pixels(browser, "$('before')", height, width), before, atol=1)
    np.testing.assert_allclose(pixels(browser, "$('answer')", height, width), after, atol=1)
    x = tiles.to_uint8(images[1])
    np.testing.assert_allclose(pixels(browser, "$('x')", height, width), x, atol=1)
    if channels == 3:  # around mid-grey
        residual = 128 + 127 * (x.astype(float) - before) / 255
        np.testing.assert_allclose(pixels(browser, "$('x_hat')", height, width), residual, atol=2)
    table = "[...$('read-numbers').querySelectorAll('td')].map(td => td.textContent)"
    cells = browser.evaluate(table)
    gx, gy, delta = (float(getattr(trace.read, field)[2, 1, 0]) for field in WINDOW[:3])
    np.testing.assert_allclose([float(cell) for cell in cells[:3]], [gx, gy, delta], rtol=1e-3)
    status = browser.evaluate("$('status').textContent")
    assert f"costs {float(trace.kl_nats[2, 1]):.3g} nats" in status
    if name == "colour":  # the article's grid lies one delta towards the origin
        middle = [float(word) for word in cells[5].split(", ")]
        np.testing.assert_allclose(middle, [gx - delta, gy - delta], rtol=1e-2)
        assert f"reads around column {gx - delta:.1f}".replace("-", "\u2212") in status
    bars = browser.evaluate("$('bars').getAttribute('aria-label')")
    kl, gain = ([float(v) for v in part.split(": ")[1].rstrip(".").split()]
                for part in bars.split(". "))
    np.testing.assert_allclose(kl, trace.kl_nats[:, 1], rtol=6e-3)
    recon = [float(model.bound(images, inputs(model.config)[1])[0][1])]
    np.testing.assert_allclose(browser.evaluate("reconstructions(run).at(-1)"), recon[0], rtol=1e-6)
    np.testing.assert_allclose(gain, -np.diff(browser.evaluate("reconstructions(run)")), rtol=6e-3)
