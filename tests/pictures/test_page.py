"""The page that plays strokes: what it holds, and in a real browser what it shows."""

import base64
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from draw_tf import DRAW, DRAWConfig, checkpoints
from draw_tf.config import VAEConfig
from draw_tf.models.attention import Window, window_box
from draw_tf.models.completion import complete, kept_half
from draw_tf.models.steps import Trace
from draw_tf.models.vae import VAE
from draw_tf.pictures import strokes, tiles
from draw_tf.pictures.page import page
from tests.browser import Browser, program
from tests.cli import ROOT, run_script

WINDOW = ("gx", "gy", "delta", "sigma2", "gamma")
SMALL = dict(glimpses=3, hidden_size=8, latent_size=2)
MODELS = {
    "paper": DRAWConfig((28, 28, 1), read_size=2, write_size=5, equations="paper", **SMALL),
    "colour": DRAWConfig((9, 14, 3), read_size=3, write_size=4, **SMALL),
    "no attention": DRAWConfig((8, 9, 1), read_attention=False, write_attention=False, **SMALL),
    "prior": DRAWConfig((8, 9, 1), read_size=3, write_size=3, **SMALL)}


def draw(name, count=2):
    """A model's strokes with weights that make every number another, and the images redrawn."""
    rng = np.random.default_rng(0)
    config = MODELS[name]
    model = DRAW(config)
    for weight in model.trainable_variables:
        weight.assign(0.4 * rng.standard_normal(weight.shape))
    if name == "prior":
        return config, model.generate(count, seed=0), None
    images = rng.random((count, *config.image_shape)).astype(np.float32)
    noise = rng.standard_normal((config.glimpses, count, config.latent_size))
    return config, model.trace(images, noise), images


def content(html):
    """The numbers inside a page."""
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', html,
                                re.DOTALL)[1])


def levels(text, *shape):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


def assert_numbers(shown, array, digits=4):
    """Numbers [N, T] or [N, T, numbers] are those of [T, N, ...], rounded."""
    array = np.asarray(array, np.float64).swapaxes(0, 1)
    rounded = np.vectorize(lambda value: float(f"{value:.{digits}g}"))(array)
    np.testing.assert_array_equal(np.reshape(shown, rounded.shape), rounded)


# What the page holds


@pytest.mark.parametrize("name", MODELS)
def test_the_page_holds_every_step(name):
    config, steps, images = draw(name)
    held = content(page(config, steps, images, "a caption", boxes=False))
    assert (held["caption"], held["boxes"]) == ("a caption", False)
    assert (held["shape"], held["steps"], held["images"]) == ([*config.image_shape], 3, 2)
    canvases = levels(held["canvases"], 2, 4, *config.image_shape)  # [N, T + 1, H, W, C]
    expected = tiles.to_uint8(strokes.probabilities(steps.canvases))  # [T, N, H, W, 3]
    np.testing.assert_array_equal(canvases[:, 1:].swapaxes(0, 1),
                                  expected[..., :config.image_shape[2]])
    for scope, window in (("read", getattr(steps, "read", None)), ("write", steps.write)):
        if window is None:
            assert held[scope] is None and held[scope[0]] is None
            continue
        for field in WINDOW:
            assert_numbers(held[scope][field], getattr(window, field)[..., 0], digits=6)
        size = getattr(config, f"{scope}_size")
        assert_numbers(held[scope]["sigma"], window_box(window, size, config.equations)[-1], 6)
        assert len(held[scope]["offsets"]) == size
        assert_numbers(held[scope[0]], steps.r if scope == "read" else steps.w)
    if images is None:
        assert held["inputs"] is held["kl"] is held["r"] is None
        return
    assert_numbers(held["kl"], steps.kl_nats)
    np.testing.assert_array_equal(levels(held["inputs"], 2, *config.image_shape),
                                  np.rint(images * 255))


@pytest.mark.parametrize("equations", ["article", "paper"])
def test_the_first_canvas_is_the_one_before_the_first_stroke(equations):
    config = DRAWConfig((8, 9, 1), read_size=3, write_size=3, equations=equations, **SMALL)
    model = DRAW(config)
    if equations == "paper":
        model.first_canvas.assign(np.random.default_rng(0).standard_normal((8, 9, 1)))
    first = strokes.probabilities(model.initial_state(2).canvas)  # [N, H, W, C]
    held = content(page(config, model.generate(2, seed=0)))
    shown = levels(held["canvases"], 2, 4, 8, 9, 1)[:, 0]
    np.testing.assert_allclose(shown, 255 * first, atol=0.51)


def test_a_page_of_the_papers_model_is_under_two_megabytes():
    rng = np.random.default_rng(0)
    config = DRAWConfig(glimpses=64, latent_size=100, read_size=2, write_size=5, equations="paper")

    def random(*shape):
        return tf.constant(rng.standard_normal((64, 16, *shape)), tf.float32)

    def window(size):
        return Window(*[tf.exp(random(1)) for _ in WINDOW], Fx=random(size, 28),
                      Fy=random(size, 28), params=random(5))

    fields = dict.fromkeys(Trace._fields, random(1))
    fields.update(r=random(8), w=random(5, 5, 1), canvases=random(28, 28, 1), read=window(2),
                  write=window(5), kl_nats=tf.exp(random()))
    html = page(config, Trace(**fields), rng.random((16, 28, 28, 1)))
    assert 1_000_000 < len(html.encode()) < 2_000_000


def test_a_page_loads_nothing():
    html = page(*draw("paper"))
    assert re.findall(r"(?i)https?:|//\w+\.|\bsrc\s*=|@import|url\(|<link|<iframe", html) == []
    assert re.findall(r'href="(?!#)', html) == []
    assert "default-src 'none'" in html


def test_a_caption_is_text_whatever_it_holds():
    caption = '</script><script>alert("&")</script> DATA SCRIPT'
    html = page(*draw("paper"), caption)
    assert content(html)["caption"] == caption
    assert html.count("</script>") == page(*draw("paper")).count("</script>")


def test_numbers_that_are_none_still_make_a_page():
    config, steps, images = draw("paper")
    broken = steps.write._replace(gamma=steps.write.gamma * np.inf, gx=steps.write.gx * np.nan)
    held = content(page(config, steps._replace(write=broken), images))
    assert held["write"]["gx"] == [[0] * 3] * 2
    assert np.isfinite(held["write"]["gamma"]).all()


@pytest.mark.parametrize("inputs", [None, np.zeros((3, 28, 28, 1), np.float32)])
def test_a_trace_needs_the_images_that_it_redraws(inputs):
    config, steps, _ = draw("paper")
    with pytest.raises(ValueError, match=r"inputs must be the images redrawn, \(2, 28, 28, 1\)"):
        page(config, steps, inputs)


@pytest.mark.parametrize("mode", ["prior", "reconstruct", "interpolate", "complete"])
def test_generate_writes_a_page(tiny_run, tmp_path, mode):
    out = tmp_path / "strokes.HTML"
    assert run_script("generate.py", f"--workdir={tiny_run}", f"--out={out}", f"--mode={mode}",
                      "--num=3", "--seed=5", "--imaginations=1", "--noboxes") == 0
    held = content(out.read_text(encoding="utf-8"))
    assert (held["steps"], held["images"], held["boxes"]) == (3, 3, False)
    assert f"--mode={mode} --seed=5" in held["caption"]
    assert (held["kl"] is None) == (held["read"] is None) == (mode in ("prior", "interpolate"))
    assert (held["known"] is None) == (mode != "complete")


def test_the_example_in_assets_is_such_a_page():
    example = (ROOT / "assets" / "explorer.html").read_text(encoding="utf-8")
    held = content(example)
    assert (held["steps"], held["images"]) == (32, 16)
    without = re.compile(r'(type="application/json">).*?(?=</script>)', re.DOTALL)
    assert without.sub(r"\1", example) == without.sub(r"\1", page(*draw("paper")))


def test_a_vae_has_no_page(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(checkpoints, "load", lambda _: VAE(VAEConfig(hidden_size=8, latent_size=2)))
    assert run_script("generate.py", f"--out={tmp_path}/strokes.html", "--num=1") == 1
    assert "out must end in .gif or .png, this model being a VAE" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


# What a browser makes of it


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
