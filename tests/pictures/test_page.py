"""The page on which a model runs: what it holds."""

import base64
import json
import re

import numpy as np
import pytest

from draw_tf import DRAW, DRAWConfig, checkpoints
from draw_tf.checkpoints import named_weights
from draw_tf.config import TrainConfig, VAEConfig
from draw_tf.models.steps import Generation, Trace
from draw_tf.models.vae import VAE
from draw_tf.pictures.page import page
from tests.support.cli import ROOT, run_script
from tests.support.pages import MODELS, draw, inputs, make


def content(html):
    """What is put into a page."""
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', html,
                                re.DOTALL)[1])


def numbers(text, dtype="<f4"):
    return np.frombuffer(base64.b64decode(text), dtype)


@pytest.mark.parametrize("name", MODELS)
def test_a_page_holds_the_model_and_its_run(name):
    model, steps, images = draw(name)
    held = content(page(model, steps, images, "a caption", boxes=False, labels=[7, None]))
    assert (held["caption"], held["boxes"], held["count"]) == ("a caption", False, 2)
    assert DRAWConfig(**held["config"]) == model.config
    assert (held["labels"], held["known"]) == ([7, None], None)
    weights = {key: value.numpy() for key, value in named_weights(model).items()}
    assert held["shapes"] == [[key, [*value.shape]] for key, value in weights.items()]
    np.testing.assert_array_equal(numbers(held["weights"], "<f2"),
                                  np.concatenate([value.ravel() for value in weights.values()]))
    np.testing.assert_array_equal(numbers(held["images"]), images.ravel())
    noise = inputs(model.config)[1]
    if model.config.shared_noise:
        noise = noise[:1].repeat(3, axis=0)
    np.testing.assert_allclose(numbers(held["noise"]).reshape(2, 3, 2), noise.swapaxes(0, 1),
                               rtol=1e-6, atol=1e-6)


def test_a_page_of_new_images_holds_their_latent_variables():
    model, (_, noise) = make("paper"), inputs(MODELS["paper"])
    held = content(page(model, model.generate(2, noise)))
    np.testing.assert_array_equal(numbers(held["noise"]).reshape(2, 3, 2), noise.swapaxes(0, 1))
    assert held["images"] is held["known"] is held["labels"] is None


def test_weights_beyond_16_bits_become_the_largest_that_fit():
    model, steps, images = draw("paper")
    model.mu_layer.bias.assign([1e6, -1e6])
    held = content(page(model, steps, images))
    assert np.abs(numbers(held["weights"], "<f2")).max() == np.finfo(np.float16).max


def test_noise_that_is_no_number_still_makes_a_page():
    model, steps, images = draw("paper")
    held = content(page(model, steps._replace(z=steps.z * np.nan), images))
    assert not numbers(held["noise"]).any()


@pytest.mark.parametrize(("dataset", "binarize", "digits", "binary"), [
    ("mnist", "none", True, False), ("digits", "dynamic", True, True),
    ("binarized_mnist", "none", True, True), ("fashion_mnist", "none", False, False)])
def test_drawings_are_brought_to_the_manner_of_the_training_images(dataset, binarize, digits,
                                                                   binary):
    train = TrainConfig(dataset=dataset, binarize=binarize)
    held = content(page(*draw("paper"), train=train))
    assert (held["digits"], held["binary"]) == (digits, binary)


def test_without_the_training_images_those_of_the_run_say_what_their_manner_is():
    model, steps, images = draw("paper")
    assert content(page(model, steps, images))["binary"] is False
    assert content(page(model, steps, images.round()))["binary"] is True


@pytest.mark.parametrize("name", checkpoints.pretrained())
def test_a_page_of_the_weights_that_ship_is_under_four_megabytes(name):
    config, _ = checkpoints.read_config(checkpoints.resolve(name))
    images, noise = inputs(config, count=16)
    fields = dict.fromkeys(Trace._fields)
    fields.update(canvases=np.zeros((1, *images.shape)), z=noise, mu=0 * noise, logsigma=0 * noise)
    html = page(DRAW(config), Trace(**fields), images)
    assert 2_000_000 < len(html.encode()) < 4_000_000


def test_a_page_loads_nothing():
    html = page(*draw("paper"))
    assert re.findall(r"(?i)https?:|//\w+\.|\bsrc\s*=|@import|(?-i:url\()|<iframe", html) == []
    assert re.findall(r'href="(?!#|data:,")', html) == []
    assert "default-src 'none'" in html


def test_a_caption_is_text_whatever_it_holds():
    caption = '</script><script>alert("&")</script> DATA SCRIPT MODEL'
    html = page(*draw("paper"), caption)
    assert content(html)["caption"] == caption
    assert html.count("</script>") == page(*draw("paper")).count("</script>")


@pytest.mark.parametrize("images", [None, np.zeros((3, 28, 28, 1), np.float32)])
def test_a_trace_needs_the_images_that_it_redraws(images):
    model, steps, _ = draw("paper")
    with pytest.raises(ValueError, match=r"images must be those redrawn, \(2, 28, 28, 1\)"):
        page(model, steps, images)


def test_only_a_draw_of_grey_or_colour_has_a_page():
    with pytest.raises(ValueError, match="model must be a DRAW, got VAE"):
        page(VAE(VAEConfig(hidden_size=8, latent_size=2)), Generation(None, None))
    with pytest.raises(ValueError, match="images must have 1 or 3 channels, got 2"):
        page(DRAW(DRAWConfig((9, 9, 2), hidden_size=8)), Generation(None, None))


@pytest.mark.parametrize("mode", ["prior", "reconstruct", "interpolate", "complete"])
def test_generate_writes_a_page(tiny_run, tmp_path, mode):
    out = tmp_path / "strokes.HTML"
    assert run_script("generate.py", f"--workdir={tiny_run}", f"--out={out}", f"--mode={mode}",
                      "--num=3", "--seed=5", "--imaginations=1", "--noboxes") == 0
    held = content(out.read_text(encoding="utf-8"))
    assert (held["config"]["glimpses"], held["count"], held["boxes"]) == (3, 3, False)
    assert "--seed=5" in held["caption"]
    assert (held["images"] is None) == (mode in ("prior", "interpolate"))
    assert (held["known"] is None) == (mode != "complete")


def test_the_example_in_assets_is_such_a_page():
    example = (ROOT / "assets" / "explorer.html").read_text(encoding="utf-8")
    held = content(example)
    assert held["count"] == 16 and held["digits"]
    without = re.compile(r'(type="application/json">).*?(?=</script>)', re.DOTALL)
    assert without.sub(r"\1", example) == without.sub(r"\1", page(*draw("paper")))


def test_a_vae_has_no_page(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(checkpoints, "load", lambda _: VAE(VAEConfig(hidden_size=8, latent_size=2)))
    assert run_script("generate.py", f"--out={tmp_path}/strokes.html", "--num=1") == 1
    assert "out must end in .gif or .png, this model being a VAE" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
