"""The page that plays strokes, in a real browser: what it shows at each step."""

import re

import numpy as np
import pytest

from draw_tf import DRAW
from draw_tf.models.attention import window_box
from draw_tf.models.completion import complete, kept_half
from draw_tf.pictures import strokes, tiles
from draw_tf.pictures.page import page
from tests.support.browser import Browser, program
from tests.support.pages import MODELS, WINDOW, draw


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(program(), tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def open_page(browser, folder, name, link="#step=1"):
    config, steps, images = draw(name)
    path = folder / "strokes.html"
    path.write_text(page(config, steps, images), encoding="utf-8")
    browser.errors.clear()
    browser.requests.clear()
    browser.look(1400)
    browser.open(f"{path.as_uri()}{link}")
    return config, steps, images


def follow(browser, link):
    browser.evaluate("new Promise(done => { addEventListener('hashchange', done, {once: true}); "
                     f"location.hash = '{link}'; }}).then(() => 0)")


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


def label(browser, element):
    """The numbers in the description of a grid of values."""
    text = browser.evaluate(f"document.getElementById('{element}').getAttribute('aria-label')")
    return [float(word) for word in text.partition(": ")[2].split()]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_what_is_shown_at_a_step_is_the_traces(browser, tmp_path, name):
    config, steps, images = open_page(browser, tmp_path, name)
    height, width, _ = config.image_shape
    if browser.evaluate("!$('boxes').parentElement.hidden"):
        browser.evaluate("$('boxes').click()")
    canvases = tiles.to_uint8(strokes.probabilities(steps.canvases))  # [T, N, H, W, 3]
    for t, i in np.ndindex(3, 2):
        follow(browser, f"image={i + 1}&step={t + 1}")
        shown = pixels(browser, f"$('thumbs').children[{i}].firstChild", height, width)
        np.testing.assert_array_equal(shown, canvases[t, i])
        if t:
            shown = pixels(browser, "$('before')", height, width)
            np.testing.assert_array_equal(shown, canvases[t - 1, i])
            change = (canvases[t] - canvases[t - 1].astype(float))[i]
            stroke = np.reshape(browser.evaluate(f"Array.from(strokeOf({i}, {t + 1}))"),
                                config.image_shape)
            expected = (steps.canvases[t, i] - steps.canvases[t - 1, i] if steps.write
                        else change[..., :1] / 255)
            np.testing.assert_allclose(stroke, expected, atol=2e-3 * np.abs(expected).max())
        for scope, window in (("read", getattr(steps, "read", None)), ("write", steps.write)):
            if window is None:
                continue
            cells = f"[...$('{scope}-numbers').querySelectorAll('td')].map(td => +td.textContent)"
            np.testing.assert_allclose(browser.evaluate(cells), [
                getattr(window, field)[t, i, 0] for field in WINDOW], rtol=6e-4)
            for bank, expected in zip(browser.evaluate(f"filters('{scope}', {i}, {t + 1})"),
                                      (window.Fx, window.Fy)):
                np.testing.assert_allclose(bank, expected[t, i], atol=5e-4)
        if steps.write:
            np.testing.assert_allclose(label(browser, "w"), np.ravel(steps.w[t, i]), rtol=6e-3)
        if images is None:
            assert browser.evaluate("$('bars').clientWidth + $('x').clientWidth") == 0
            continue
        cost = re.search(r"costs (\S+) nats", browser.evaluate("$('status').textContent"))[1]
        np.testing.assert_allclose(float(cost), steps.kl_nats[t, i], rtol=6e-3)
        np.testing.assert_allclose(label(browser, "bars"), steps.kl_nats[:, i], rtol=6e-3)
        if steps.read:
            shown = label(browser, "read_x") + label(browser, "read_x_hat")
            np.testing.assert_allclose(shown, steps.r[t, i], rtol=6e-3)
    assert browser.errors == []
    assert browser.requests == [(tmp_path / "strokes.html").as_uri()]


@pytest.mark.slow
def test_of_a_half_image_the_page_shows_what_the_encoder_saw(browser, tmp_path):
    config, _, images = draw("paper")
    known = kept_half("left", 28, 28)
    steps = complete(DRAW(config), images, known)
    path = tmp_path / "strokes.html"
    path.write_text(page(config, steps, images, known=known), encoding="utf-8")
    browser.open(f"{path.as_uri()}#image=2&step=3")
    browser.evaluate("$('boxes').click()")
    canvas = tiles.to_uint8(strokes.probabilities(steps.canvases[1, 1]))
    expected = np.where(known > 0, tiles.to_uint8(images[1]), canvas)
    np.testing.assert_array_equal(pixels(browser, "$('x')", 28, 28), expected)
    assert (pixels(browser, "$('x_hat')", 28, 28)[:, 14:] == 0).all()


@pytest.mark.slow
def test_windows_are_drawn_where_they_are(browser, tmp_path):
    config, steps, _ = open_page(browser, tmp_path, "prior")
    height, width, _ = config.image_shape
    with_windows, without = [], []
    for shown in (with_windows, without):
        for t, i in np.ndindex(3, 2):
            follow(browser, f"image={i + 1}&step={t + 1}")
            side = browser.evaluate(f"$('thumbs').children[{i}].firstChild.width")
            shown.append(pixels(browser, f"$('thumbs').children[{i}].firstChild",
                                side * height // width, side))
        browser.evaluate("$('boxes').click()")
    box = window_box(steps.write, config.write_size, config.equations)  # [T, N] each
    for number, (t, i) in enumerate(np.ndindex(3, 2)):
        changed = np.any(with_windows[number] != without[number], axis=-1)  # [h, w]
        y, x = np.indices(changed.shape)
        scale = side / width
        top, left, bottom, right = ((edge[t, i] + 0.5) * scale - 0.5 for edge in box[:4])
        beside = np.maximum(np.maximum(top - y, y - bottom), np.maximum(left - x, x - right))
        assert not changed[np.abs(beside) > 2].any()
        assert changed[np.abs(beside) < 0.3].all()
    assert any(np.any(a != b) for a, b in zip(with_windows, without))


@pytest.mark.slow
def test_keys_slider_and_buttons_move_through_the_steps(browser, tmp_path):
    open_page(browser, tmp_path, "paper")
    place, stage = "$('place').textContent", "$('stage').toDataURL()"
    pictures = [browser.evaluate(stage)]
    assert browser.evaluate(place) == "step 1 of 3"
    for key, step in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowRight", 3), ("ArrowLeft", 2)):
        browser.press(key)
        assert browser.evaluate(place) == f"step {step} of 3"
        pictures.append(browser.evaluate(stage))
    first, second, third, again, back = pictures
    assert len({first, second, third}) == 3 and (again, back) == (third, second)
    browser.evaluate("$('slider').focus()")
    for key, step in (("Home", 1), ("ArrowRight", 2), ("End", 3)):
        browser.press(key)
        assert browser.evaluate(place) == f"step {step} of 3"
    browser.evaluate("$('back').click()")
    assert browser.evaluate(stage) == second
    browser.evaluate("$('thumbs').children[1].click()")
    assert browser.evaluate("$('status').textContent").startswith("Image 2, step 2 of 3.")
    other = browser.evaluate(stage)
    browser.evaluate("$('boxes').click()")
    assert len({second, other, browser.evaluate(stage)}) == 3
    assert browser.errors == []


@pytest.mark.slow
def test_the_page_plays_to_the_finished_images_and_stops(browser, tmp_path):
    open_page(browser, tmp_path, "paper", link="")
    assert browser.evaluate("$('play').textContent") == "Stop"
    seen = browser.evaluate("""new Promise(done => {
      const seen = new Set(), watch = () => {
        seen.add($("place").textContent);
        if (seen.size === 4) done([...seen]); else setTimeout(watch, 10); };
      watch(); })""")
    assert sorted(seen) == ["finished", "step 1 of 3", "step 2 of 3", "step 3 of 3"]
    browser.evaluate("document.activeElement.blur()")
    browser.press(" ", text=" ")
    assert browser.evaluate("[$('play').textContent, timer]") == ["Play", 0]
    assert browser.errors == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_control_and_picture_has_a_name_and_fits(browser, tmp_path, name):
    open_page(browser, tmp_path, name)
    grounds = set()
    for width in (360, 800, 1400):
        for scheme in ("light", "dark"):
            browser.look(width, scheme=scheme)
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            grounds.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2
    tree = browser.send("Accessibility.getFullAXTree")["nodes"]
    named = [(node["role"]["value"], node.get("name", {}).get("value")) for node in tree
             if not node["ignored"] and node["role"]["value"] in (
                 "button", "slider", "checkbox", "combobox", "image", "img", "link")]
    assert {"button", "slider", "combobox", "link"} <= {role for role, _ in named}
    assert [role for role, name in named if not name] == []
    assert browser.errors == []
