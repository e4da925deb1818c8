"""The page that plays strokes: what it holds."""

import base64
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from draw_tf import DRAW, DRAWConfig, checkpoints
from draw_tf.config import VAEConfig
from draw_tf.models.attention import Window, window_box
from draw_tf.models.steps import Trace
from draw_tf.models.vae import VAE
from draw_tf.pictures import strokes, tiles
from draw_tf.pictures.page import page
from tests.support.cli import ROOT, run_script
from tests.support.pages import MODELS, SMALL, WINDOW, draw


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
