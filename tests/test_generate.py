"""generate.py as a person calls it."""


import imageio.v3 as iio
import numpy as np
import pytest

from draw_tf import checkpoints
from tests.support.cli import run_script


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
    assert (out.splitlines()[-1], err) == (f"1 images from {checkpoints.DEFAULT_WEIGHTS}, "
                                           f"--mode=prior --seed=3: {tmp_path}/a.png", "")


def test_no_more_images_are_redrawn_than_there_are(tiny_run, capfd, tmp_path):
    assert run_script("generate.py", f"--workdir={tiny_run}", "--mode=reconstruct", "--num=501",
                      f"--out={tmp_path}/a.gif") == 1
    assert "num must be at most the 500 images" in capfd.readouterr().err
