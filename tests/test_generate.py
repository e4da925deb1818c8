"""generate.py as a person calls it."""

import pathlib
import shutil

import imageio.v3 as iio
import numpy as np
import pytest

import draw_tf
from draw_tf import checkpoints, data
from draw_tf.data import tfds
from draw_tf.pictures.tiles import encode_png, to_uint8
from tests.support.cli import ROOT, run_script


@pytest.mark.parametrize("mode, num", [("prior", 5), ("reconstruct", 3), ("interpolate", 4)])
def test_a_gif_has_one_frame_per_step_and_the_finished_images(tiny_run, tmp_path, mode, num):
    out = tmp_path / "deep" / "strokes.gif"
    assert run_script("generate.py", f"--workdir={tiny_run}", f"--out={out}", f"--mode={mode}",
                      f"--num={num}", "--seed=1") == 0
    frames = iio.imread(out, index=None)  # [T + 1, h, w, 3]
    assert len(frames) == 4
    red = np.all(frames == (255, 0, 0), axis=-1).any(axis=(1, 2))  # [T + 1]
    green = np.all(frames == (0, 255, 0), axis=-1).any(axis=(1, 2))  # [T + 1]
    assert list(red) == [True] * 3 + [False]
    assert list(green) == [mode == "reconstruct"] * 3 + [False]


def test_a_png_has_one_row_per_image_and_one_column_per_step(tiny_run, tmp_path):
    out = tmp_path / "strip.png"
    assert run_script("generate.py", f"--workdir={tiny_run}", f"--out={out}", "--num=2",
                      "--noboxes") == 0
    strip = iio.imread(out)  # [h, w, 3]
    assert strip.shape == (2 * 112 + 4, 3 * 112 + 8, 3)
    assert not np.all(strip == (255, 0, 0), axis=-1).any()
    assert run_script("generate.py", f"--workdir={tiny_run}", f"--out={out}", "--num=2",
                      "--mode=reconstruct") == 0
    assert iio.imread(out).shape == (2 * 112 + 4, 4 * 112 + 12, 3)  # after what is redrawn


def test_a_seed_fixes_what_is_drawn(tiny_run, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run_script("generate.py", f"--workdir={tiny_run}", f"--out={tmp_path / name}.png",
                          f"--seed={seed}", "--num=2", "--noboxes") == 0
    a, b, c = (iio.imread(tmp_path / f"{name}.png") for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert np.any(a != c)


def test_weights_that_ship_draw_where_no_run_is_named(tmp_path, capfd):
    assert run_script("generate.py", f"--out={tmp_path}/a.png", "--num=1", "--seed=3") == 0
    out, err = capfd.readouterr()
    assert (out.splitlines()[-1], err) == (f"1 image from {checkpoints.DEFAULT_WEIGHTS}, "
                                           f"--mode=prior --seed=3: {tmp_path}/a.png", "")


def test_no_more_images_are_redrawn_than_there_are(tiny_run, capfd, tmp_path):
    assert run_script("generate.py", f"--workdir={tiny_run}", "--mode=reconstruct", "--num=501",
                      f"--out={tmp_path}/a.gif") == 1
    assert "num must be at most the 500 images" in capfd.readouterr().err


def write_picture(path, dark_on_light, number=3):
    """A picture of a digit that ships, larger, on black or as ink on paper; returns the digit."""
    digit = data.load("digits", "test").floats()[number]  # [28, 28, 1]
    shown = np.pad(1 - digit if dark_on_light else digit, ((9, 9), (5, 5), (0, 0)),
                   constant_values=float(dark_on_light))
    path.write_bytes(encode_png(to_uint8(shown, 5)))
    return digit


def inputs(path, count):
    """The images that a film strip of the tiny run begins with, [count, 28, 28]."""
    strip = iio.imread(path)[..., 0] / 255  # [h, w]
    side = (strip.shape[0] + 4) // count - 4
    return np.stack([strip[k * (side + 4):, :side][:side:side // 28, ::side // 28]
                     for k in range(count)])


@pytest.mark.parametrize("dark_on_light", [True, False])
def test_pictures_of_ones_own_are_light_on_dark_as_the_model_draws(
        tiny_run, tmp_path, monkeypatch, dark_on_light):
    digits = [write_picture(tmp_path / name, dark_on_light, number) for number, name in enumerate(
        ("a.png", "b.png", "with,comma.png"))]
    monkeypatch.chdir(tmp_path)
    ground(monkeypatch, -3)
    assert run_script("generate.py", f"--workdir={tiny_run}", "--image=a.png,b.png",
                      "--image=with,comma.png", "--noboxes", "--seed=0", "--out=out.png") == 0
    shown = inputs(tmp_path / "out.png", 3)  # [3, 28, 28]
    alike = np.corrcoef(shown.reshape(3, -1), np.reshape(digits, (3, -1)))[:3, 3:]  # [3, 3]
    assert alike.argmax(axis=1).tolist() == [0, 1, 2]  # in the order in which they were given
    assert alike.diagonal().min() > 0.6
    assert run_script("generate.py", f"--workdir={tiny_run}", "--image=a.png",
                      "--invert" if dark_on_light else "--noinvert", "--out=out.png") == 0
    np.testing.assert_allclose(inputs(tmp_path / "out.png", 1)[0], shown[0], atol=0.01)


def test_pictures_for_a_binary_model_are_black_or_white(tiny_run, tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png", True)
    monkeypatch.chdir(tmp_path)
    ground(monkeypatch, -3)
    shutil.copytree(tiny_run, "binary")
    settings = (tmp_path / "binary" / "config.json")
    settings.write_text(settings.read_text().replace('"binarize": "none"', '"binarize": "static"'))
    for run in (tiny_run, "binary"):
        assert run_script("generate.py", f"--workdir={run}", "--image=a.png", "--noboxes",
                          f"--out={pathlib.Path(run).name}.png") == 0
    grey, binary = (inputs(tmp_path / f"{name}.png", 1) for name in (tiny_run.name, "binary"))
    assert np.unique(binary).tolist() == [0, 1] and len(np.unique(grey)) > 2
    np.testing.assert_array_equal(binary, np.rint(grey))  # no draw


def ground(monkeypatch, logit):
    """Makes new images of every model as dark or as light as this logit."""
    generate = draw_tf.DRAW.generate
    monkeypatch.setattr(draw_tf.DRAW, "generate", lambda *args, **options: generate(
        *args, **options)._replace(canvases=np.full((3, 64, 28, 28, 1), logit, np.float32)))


@pytest.mark.parametrize("flags, words", [
    (["--mode=prior"], "image goes with mode=reconstruct or mode=complete"),
    (["--dataset=digits"], "without dataset; got mode=reconstruct, dataset=digits"),
    (["--num=2"], "num must be at most the 1 images of image/test, got 2"),
    (["--image=missing.png"], "picture missing.png cannot be read")])
def test_pictures_that_cannot_be_used_are_named(tiny_run, tmp_path, monkeypatch, capfd, flags,
                                                words):
    write_picture(tmp_path / "a.png", True)
    monkeypatch.chdir(tmp_path)
    assert run_script("generate.py", f"--workdir={tiny_run}", "--image=a.png", *flags) == 1
    assert words in capfd.readouterr().err
    for empty in ("--image=", "--image=,"):
        assert run_script("generate.py", f"--workdir={tiny_run}", empty) == 1
        assert "image must name at least one picture file" in capfd.readouterr().err
    assert not (tmp_path / "strokes.gif").exists()


def test_without_a_number_a_small_data_set_is_shown_whole(tiny_run, tmp_path, monkeypatch, capfd):
    few = data.Images(np.zeros((3, 28, 28, 1), np.uint8), 255, "digits", "test")
    monkeypatch.setattr(data, "load", lambda *_: few)
    flags = f"--workdir={tiny_run}", "--mode=reconstruct", f"--out={tmp_path}/a.png"
    assert run_script("generate.py", *flags) == 0
    assert "3 images from" in capfd.readouterr().out
    assert run_script("generate.py", *flags, "--num=16") == 1
    assert "num must be at most the 3 images" in capfd.readouterr().err


@pytest.mark.parametrize("mode", ["reconstruct", "complete"])
def test_without_the_data_of_its_training_a_model_is_given_digits(
        tmp_path, monkeypatch, capfd, mode):
    monkeypatch.setattr(tfds, "is_prepared", lambda *_: False)
    monkeypatch.setattr(tfds, "_download", lambda *_: pytest.fail("a download began"))
    flags = "--workdir=mnist", f"--out={tmp_path}/a.png", f"--mode={mode}", "--num=1"
    assert run_script("generate.py", *flags, "--imaginations=1") == 0
    assert ("The images of mnist are not on this machine, so those of digits take their place"
            in capfd.readouterr().out)


@pytest.mark.parametrize("ending", ["gif", "png"])
def test_completed_images_keep_what_is_known(tiny_run, tmp_path, ending):
    out = tmp_path / f"a.{ending}"
    assert run_script("generate.py", f"--workdir={tiny_run}", f"--out={out}", "--mode=complete",
                      "--num=2", "--imaginations=2", "--keep=bottom", "--seed=0") == 0
    shown = (iio.imread(out) if ending == "png" else iio.imread(out, index=None)[-1])[..., 0]
    side = (shown.shape[1] + 4) // 4 - 4  # of what is known, two imaginations, and the whole image
    tile = [shown[side // 2 + 4:side - 4, k * (side + 4):][:, 4:side - 4] for k in range(4)]
    for imagined in tile[:3]:
        np.testing.assert_array_equal(imagined, tile[3])


def test_limits_of_a_format_are_named_before_the_work(tiny_run, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(draw_tf.DRAW, "infer_step", lambda *_: pytest.fail("the work began"))
    many = data.Images(np.zeros((3000, 28, 28, 1), np.uint8), 255, "digits", "test")
    monkeypatch.setattr(data, "load", lambda *_: many)
    assert run_script("generate.py", f"--workdir={tiny_run}", "--mode=complete", "--num=3000",
                      "--imaginations=1", f"--out={tmp_path}/a.gif") == 1
    assert "a GIF has at most 65535 pixels a side" in capfd.readouterr().err


def test_a_user_sees_what_is_meant_for_users():
    assert set(dir(draw_tf)) == {*draw_tf.__all__, "__version__"}
    assert {"data", "load", "save", "DRAW"} <= set(dir(draw_tf))
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert draw_tf.__version__.count(".") == 2 and draw_tf.__version__ not in setup
