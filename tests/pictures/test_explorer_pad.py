"""What a visitor does on the page on which a model runs: drawing, new images, walks, finishing."""

import numpy as np
import pytest

from draw_tf import DRAW, DRAWConfig
from draw_tf.models.completion import complete, kept_half
from draw_tf.models.losses import log_prior_ratio
from draw_tf.noise import between
from draw_tf.pictures import tiles
from draw_tf.pictures.page import page
from tests.support.pages import MNIST, STILL, assert_close, draw, inputs, make, pixels

pytestmark = pytest.mark.slow


def points(browser, *places):
    """Points of the pad, in fractions of it, as [x, y] on the screen."""
    left, top, width, height = browser.evaluate(
        "(b => [b.left, b.top, b.width, b.height])($('pad').getBoundingClientRect())")
    return [(left + x * width, top + y * height) for x, y in places]


def ink(browser):
    """The image that the model sees, [28, 28], and whether it is the one redrawn."""
    browser.evaluate(STILL)
    image, redrawn = browser.evaluate("[Array.from(image()), Array.from(run.image)]")
    assert image == redrawn
    return np.reshape(image, (28, 28))


@pytest.mark.parametrize("touch", [False, True])
def test_a_digit_is_drawn_fitted_and_redrawn(visit, touch):
    model, trace, images = draw("paper")
    browser = visit(page(model, trace, images, train=MNIST), width=360 if touch else 1400)
    browser.evaluate("$('clear').click()")
    browser.evaluate("$('pad').scrollIntoView()")
    assert not ink(browser).any()
    browser.drag(*points(browser, (0.1, 0.1), (0.15, 0.3), (0.15, 0.4)), touch=touch)
    drawn = ink(browser)
    rows, columns = np.nonzero(drawn > 0.5)
    assert rows.max() - rows.min() + 1 == pytest.approx(20, abs=1)  # pixels, as MNIST's digits
    y, x = np.indices(drawn.shape)
    assert (drawn * y).sum() / drawn.sum() == pytest.approx(13.5, abs=0.3)  # centred by mass
    assert (drawn * x).sum() / drawn.sum() == pytest.approx(13.5, abs=0.3)
    assert ((drawn > 0) & (drawn < 1)).any()  # soft edges
    browser.drag(*points(browser, (0.5, 0.1), (0.5, 0.4)), touch=touch)
    both = ink(browser)
    assert not np.array_equal(both, drawn)
    browser.evaluate("$('undo').click()")
    np.testing.assert_array_equal(ink(browser), drawn)
    browser.evaluate("$('eraser').click()")
    browser.drag(*points(browser, (0.1, 0.3), (0.2, 0.42)), touch=touch)
    assert not np.array_equal(ink(browser), drawn)
    browser.evaluate("D.binary = true; $('undo').click()")
    assert set(np.unique(ink(browser))) == {0, 1}


def test_the_pad_is_drawn_on_with_keys(visit):
    browser = visit(page(*draw("paper"), train=MNIST))
    browser.evaluate("$('clear').click()")
    browser.press("Tab")  # so that the focus is the keyboard's
    browser.evaluate("$('pad').focus()")
    for key in ("ArrowUp", " ", *["ArrowDown"] * 5, " ", "ArrowRight"):
        browser.press(key, text=" " if key == " " else "")
    assert browser.evaluate("drawing.strokes.map(stroke => stroke.points.at(-1))") == [[14, 18]]
    assert ink(browser).any()
    browser.press("z", text="z")
    assert not ink(browser).any()


def test_a_pen_draws_by_itself_until_the_visitor_does(visit):
    html = page(*draw("paper"), train=MNIST)
    browser = visit(html, link="")
    assert ink(browser).any() and browser.evaluate("drawing.strokes.length") == 1
    browser.evaluate("ghost.draw(), $('pad').scrollIntoView()")
    browser.drag(*points(browser, (0.4, 0.4), (0.6, 0.6)))
    assert browser.evaluate("[drawing.strokes.length, ghost.frame]") == [1, 0]
    assert browser.evaluate("drawing.strokes[0].points[0][0]") == pytest.approx(0.4 * 28, abs=0.5)


def test_new_images_come_from_new_noise(visit):
    model = make("paper")
    images, noise = inputs(model.config)
    browser = visit(page(model, model.generate(2, noise)), link="")
    expected = tiles.to_uint8(model.generate(2, noise).images)[-1]
    browser.evaluate("stop(); finished = true; render()")
    for i in range(2):
        shown = pixels(browser, f"$('results').children[{i}].firstChild", 28, 28)
        np.testing.assert_allclose(shown, expected[i], atol=1)
    browser.evaluate("$('more').click()")
    browser.evaluate(STILL)
    assert browser.evaluate("items.map(item => item.steps.length)") == [3] * 12
    assert len(set(browser.evaluate("items.map(item => item.noise[0])"))) == 12
    assert browser.evaluate("[$('bars').clientWidth, $('x').clientWidth]") == [0, 0]
    browser.evaluate("$('results').children[3].click()")
    assert browser.evaluate("run === items[3]")


def test_a_walk_goes_from_one_noise_to_another(visit):
    model = make("paper")
    noise = inputs(model.config)[1]
    browser = visit(page(model, model.generate(2, noise)), link="#mode=walk")
    expected = between(*noise[:, :, np.newaxis].transpose(1, 0, 2, 3), 5)  # [T, 5, Z]
    for i, way in enumerate((0, 25, 50, 75, 100)):
        browser.evaluate(f"$('way').value = {way}; $('way').oninput()")
        browser.evaluate(STILL)
        found = browser.evaluate("Array.from(run.noise)")
        np.testing.assert_allclose(found, expected[:, i].ravel(), rtol=1e-5, atol=1e-6)


def test_an_image_is_finished_in_several_ways(visit):
    model = make("paper")
    images, noise = inputs(model.config, 4)
    images[1:2], images[2:] = images[:1], images[3:]  # each one twice
    known = kept_half("left", 28, 28)
    steps = complete(model, images, known, noise)
    browser = visit(page(model, steps, images, known=known), link="")
    assert browser.evaluate("examples.length") == 2
    browser.evaluate("$('examples').children[1].click()")
    browser.evaluate(STILL)
    final = browser.evaluate("items.map(item => Array.from(item.steps.at(-1).canvas))")
    assert len(final) == 6  # those of the page, and new ones
    for i in (0, 1):
        assert_close(final[i], steps.canvases[-1, 2 + i], 1e-5, "canvas")
    assert len({line[0] for line in final}) == 6
    ratios = log_prior_ratio(
        steps.z, noise.astype(float), steps.logsigma).numpy().sum(axis=0)  # [N]
    nats = browser.evaluate("items.slice(0, 2).map(item => model.reconstruction(item.image, "
                            "{canvas: item.steps.at(-1).canvas, drawn: shown("
                            "item.steps.at(-1).canvas)}, item.known))")
    np.testing.assert_allclose(browser.evaluate("items.slice(0, 2).map(logWeight)"),
                               ratios[2:] - nats, rtol=1e-4)
    # of those that are new, each is one of several tries
    assert browser.evaluate("items.map(item => item.score === undefined)") == [True] * 2 + [
        False] * 4
    browser.evaluate("$('boxes').click(); $('results').children[1].click(); go(3)")
    canvas = tiles.to_uint8(steps.images[1, 3])
    expected = np.where(known > 0, tiles.to_uint8(images[3]), canvas)
    shown = pixels(browser, "$('x')", 28, 28)[1:-1, 1:-1]
    inside = np.abs(np.arange(1, 27) - 13.5) > 1  # but for the line around what is known
    np.testing.assert_allclose(shown[:, inside], expected[1:-1, 1:-1][:, inside], atol=1)
    browser.evaluate("$('half').value = 'none'; $('half').onchange()")
    browser.evaluate("$('cover').click()")
    browser.evaluate("$('pad').scrollIntoView()")
    browser.drag(*points(browser, (0.5, 0.5), (0.5, 0.6)))
    browser.evaluate(STILL)
    covered = 1 - np.reshape(browser.evaluate("Array.from(run.known)"), (28, 28))
    assert covered[14, 14] == 1 and 5 < covered.sum() < 50


def test_a_picture_comes_soon_after_the_pen_moves(visit):
    config = DRAWConfig(glimpses=64, latent_size=100, read_size=2, equations="paper")
    model = DRAW(config)
    images, noise = inputs(config, 1)
    trace = model.trace(images, noise)
    browser = visit(page(model, trace, images, train=MNIST))
    times = browser.evaluate("""(async () => {
      const times = [];
      for (let k = 0; k < 5; k++) {
        clear();
        penDown([5 + k, 5]);
        const first = performance.now();
        penMove([20, 20]);
        await new Promise(done => (function wait() {
          run.done && !pen.frame && same(run.image, image()) ? done() : setTimeout(wait, 1); })());
        times.push(performance.now() - first);
        penUp();
      }
      return times; })()""")
    print("milliseconds from pen to picture:", times)
    assert min(times) < 3000  # 300 on two idle cores; a busy machine takes longer
