"""train.py and generate.py as a person calls them: pictures, and bad input in one sentence."""

import re

import imageio.v3 as iio
import numpy as np
import pytest

from draw_tf import checkpoint
from draw_tf.noise import between
from tests.cli import ROOT, run_script

TINY = ("--glimpses=3", "--hidden_size=8", "--latent_size=2", "--train_steps=2", "--log_every=1",
        "--jit_compile=false")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of two steps of a tiny model."""
    folder = tmp_path_factory.mktemp("run")
    assert run_script("train.py", f"--workdir={folder}", *TINY) == 0
    return folder


def test_train_leaves_a_run(workdir):
    names = {path.name for path in workdir.iterdir()}
    assert names == {"config.json", "checkpoints", "events", "metrics.jsonl", "strokes-2.gif"}
    model, train = checkpoint.read_config(workdir)
    assert (model.glimpses, model.read_attention, train.train_steps) == (3, True, 2)


def test_flags_and_flagfile_reach_the_run(tmp_path):
    flagfile = ROOT / "draw_tf" / "configs" / "quickstart.flags"
    assert run_script("train.py", f"--flagfile={flagfile}", *TINY, f"--workdir={tmp_path}",
                      "--noread_attention", "--equations=paper") == 0
    model, train = checkpoint.read_config(tmp_path)
    assert (model.read_attention, model.equations, model.image_shape) == (
        False, "paper", (28, 28, 1))
    assert (train.dataset, train.adam_beta1, train.batch_size) == ("digits", 0.9, 64)


@pytest.mark.parametrize("mode, num", [("prior", 5), ("reconstruct", 3), ("interpolate", 4)])
def test_generate_gif_has_a_frame_a_step_and_the_finished_images(workdir, tmp_path, mode, num):
    out = tmp_path / "deep" / "strokes.gif"
    assert run_script("generate.py", f"--workdir={workdir}", f"--out={out}", f"--mode={mode}",
                      f"--num={num}", "--seed=1") == 0
    frames = iio.imread(out, index=None)  # [T + 1, h, w, 3]
    assert len(frames) == 4
    red = np.all(frames == (255, 0, 0), axis=-1).any(axis=(1, 2))  # [T + 1]
    green = np.all(frames == (0, 255, 0), axis=-1).any(axis=(1, 2))  # [T + 1]
    assert list(red) == [True] * 3 + [False]
    assert list(green) == [mode == "reconstruct"] * 3 + [False]


def test_generate_png_has_a_row_an_image_and_a_column_a_step(workdir, tmp_path):
    out = tmp_path / "strip.png"
    assert run_script("generate.py", f"--workdir={workdir}", f"--out={out}", "--num=2",
                      "--noboxes") == 0
    strip = iio.imread(out)  # [h, w, 3]
    assert strip.shape == (2 * 112 + 4, 3 * 112 + 8, 3)
    assert not np.all(strip == (255, 0, 0), axis=-1).any()
    assert run_script("generate.py", f"--workdir={workdir}", f"--out={out}", "--num=2",
                      "--mode=reconstruct") == 0
    assert iio.imread(out).shape == (2 * 112 + 4, 4 * 112 + 12, 3)  # after what is redrawn


def test_a_seed_fixes_what_is_drawn(workdir, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_script("generate.py", f"--workdir={workdir}", f"--out={tmp_path / name}.png",
                   f"--seed={seed}", "--num=2", "--noboxes")
    a, b, c = (iio.imread(tmp_path / f"{name}.png") for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert np.any(a != c)


def test_interpolation_starts_and_ends_at_its_ends():
    ends = np.random.default_rng(0).standard_normal((2, 3, 1, 2))  # [2, T, 1, Z]
    way = between(*ends, 5)  # [T, 5, Z]
    np.testing.assert_allclose(way[:, [0, -1]], np.concatenate(ends, axis=1))
    assert way.shape == (3, 5, 2)


BAD = [
    ("train.py", ["--workdir=new", "--dataset=emnist"], "dataset"),
    ("train.py", ["--workdir=new", "--glimpses=0"], "glimpses must be .* at least 1, got 0"),
    ("train.py", ["--workdir=new", "--read_size=29"], "read_size must be at most .* 28, got 29"),
    ("train.py", ["--workdir=new", "--learning_rate=-1"], "learning_rate must be .*got -1"),
    ("train.py", ["--workdir=new", "--batch_size=4501"], "batch_size 4501 is more than the 4500"),
    ("train.py", ["--workdir=new", "--unroll=some"], "unroll must be auto or .*'some'"),
    ("train.py", ["--workdir=new", "--profile_steps=9,3"], "profile_steps must be .*9,3"),
    ("train.py", ["--workdir=new", "spare"], "unexpected argument 'spare'"),
    ("train.py", ["--workdir=new", "--flagfile=missing.flags"], "missing.flags"),
    ("train.py", ["--workdir=new", "--glimpse=3"], "glimpse"),
    ("train.py", [], "workdir"),
    ("train.py", ["--workdir=file"], "--workdir=file can not be written: file is a file"),
    ("train.py", ["--workdir=file/below"], "--workdir=file/below can not be written: "),
    ("generate.py", ["--out=file/x.png"], "out file/x.png can not be written: file is a file"),
    ("generate.py", ["--workdir=missing"], "--workdir=missing is no folder, and no name"),
    ("generate.py", ["--workdir=."], "holds no config.json"),
    ("generate.py", ["--out=strokes.jpg"], "strokes.jpg.* must end in .gif or .png"),
    ("generate.py", ["--num=0"], "num must be at least 1, got 0"),
    ("generate.py", ["--num=1", "--mode=interpolate"], "num must be at least 2, got 1"),
    ("generate.py", ["--seed=-1"], "seed must be at least 0 .*got -1"),
    ("generate.py", ["--mode=dream"], "mode"),
]


@pytest.mark.parametrize("script, arguments, words", BAD)
def test_bad_input_is_told_in_one_sentence(tmp_path, monkeypatch, capfd, script, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    assert run_script(script, *arguments) in (1, 2)
    error = capfd.readouterr().err
    assert "Traceback" not in error
    assert len([line for line in error.splitlines() if line.strip()]) <= 4
    assert re.search(words, error), error
    assert {path.name for path in tmp_path.iterdir()} == {"file"}
    assert (tmp_path / "file").read_text() == "kept"


def test_another_architecture_is_refused_by_name(workdir, capfd):
    before = sorted(path.name for path in (workdir / "checkpoints").iterdir())
    assert run_script("train.py", f"--workdir={workdir}", *TINY, "--latent_size=3") == 1
    assert "latent_size=2, not 3" in capfd.readouterr().err
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == before


def test_generate_needs_no_more_images_than_there_are(workdir, capfd, tmp_path):
    assert run_script("generate.py", f"--workdir={workdir}", "--mode=reconstruct", "--num=501",
                      f"--out={tmp_path}/a.gif") == 1
    assert "num must be at most the 500 images" in capfd.readouterr().err
