"""A folder of pictures: which files count, in which order, what is held out, what is left out."""

import os

import numpy as np
import pytest

from draw_tf import data
from draw_tf.data import folder
from draw_tf.pictures import strokes, tiles
from tests.support.picture_files import BLUE, RED, header, plain, save


def load(path, split="train", shape=(8, 8, 3)):
    return data.load(f"folder:{path}", split, shape=shape)


def numbered(path, *numbers):
    """Writes pictures of the levels `numbers`, in a format that has the same bytes everywhere."""
    for number in numbers:
        save(path / f"{number:03}.bmp", plain([number] * 3))


def levels(path, *splits):
    """The levels of the pictures in a folder that are read."""
    return sorted(level for split in splits or ("train", "test")
                  for level in load(path, split).pixels[:, 0, 0, 0].tolist())


# ---------------------------------------------------------------- what is read


def test_every_format_at_any_depth_in_the_order_of_paths(tmp_path, capsys):
    names = ["a.PNG", "b/c/deep.jpg", "b/d.jpeg", "b/e.bmp", "c.gif", "d e.webp", "é.png"]
    names += [f"z/{number}.png" for number in range(13)]  # by text: 0, 1, 10, 11, 12, 2, ...
    shades = dict(zip(sorted(names), np.arange(20) * 12, strict=True))
    for name in names:
        save(tmp_path / name, plain([shades[name], 99, 240 - shades[name]]))
    for name in ("b/notes.txt", "b/c/raw.tiff", "noending"):
        (tmp_path / name).write_text("not a picture")
    (tmp_path / "folder.png").mkdir()
    train, test = load(tmp_path), load(f"{tmp_path}/", "test")
    assert train.shape == (8, 8, 3) and len(train) + len(test) == 20
    assert train.pixels.dtype == np.uint8 and train.scale == 255
    assert str(train) == f"folder:{tmp_path}/train"
    for split in (train, test):
        assert (np.diff(split.pixels[:, 0, 0, 0].astype(int)) > 0).all()
    pixels = np.concatenate([train.pixels, test.pixels]).astype(int)  # [20, 8, 8, 3]
    assert np.abs(np.sort(pixels[..., 0], axis=0) - 12 * np.arange(20)[:, None, None]).max() < 6
    assert np.abs(pixels[..., 2] + pixels[..., 0] - 240).max() < 12  # JPEG is lossy
    np.testing.assert_array_equal(load(tmp_path).pixels, train.pixels)
    assert capsys.readouterr() == ("", "")


def test_what_systems_and_tools_put_there_is_no_picture(tmp_path, capsys):
    home = tmp_path / ".hidden" / "pictures"  # what the user names may be hidden
    numbered(home, *range(5))
    numbered(home / "more", 5)
    for name in (".ipynb_checkpoints", ".Trash-1000/files", ".thumbnails/normal", "@eaDir/000.bmp",
                 "__MACOSX", ".git/lfs", "$RECYCLE.BIN/S-1", "System Volume Information",
                 "#recycle", "more/lost+found", "A Previews.lrdata/0", "node_modules/x",
                 "more/.cache"):
        numbered(home / name, 200)
    numbered(home / "venv" / "share", 200)
    (home / "venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (home / "._000.bmp").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (home / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    assert levels(home) == list(range(6)) and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("beside", ["checkpoints", "weights.npz", "metrics.jsonl", ".lock"])
def test_what_this_package_wrote_is_no_picture(tmp_path, beside):
    numbered(tmp_path, *range(5))
    numbered(tmp_path / "configured", 5)  # a file of this name alone makes no run
    (tmp_path / "configured" / "config.json").write_text("{}")
    tall = np.zeros((1, 40, 8, 3), np.uint8) + np.arange(40, dtype=np.uint8)[:, None, None]
    (tmp_path / "new.gif").write_bytes(strokes.encode_gif(tall))
    (tmp_path / "configured" / "new.png").write_bytes(tiles.encode_png(tall[0]))
    for run in (tmp_path / "run", tmp_path):  # the folder itself may be a run, too
        numbered(run / "deep" if run != tmp_path else run, 0)
        (run / "config.json").write_text("{}")
        (run / beside).touch()
        for name in ("strokes.gif", "strokes-0.gif", "strokes-1200.gif"):
            save(run / name, plain([200] * 3))  # as older versions wrote them
    assert levels(tmp_path) == list(range(6))


def test_links_are_followed_once_and_loops_end(tmp_path, capsys):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    numbered(home, *range(5))
    numbered(home / "below", 5)
    numbered(elsewhere, *range(6, 12))
    for link, target in (("far", elsewhere), ("again", elsewhere), ("a", home / "below"),
                         ("loop", home), ("below/up", ".."), ("000.jpg", home / "003.bmp"),
                         ("self", "self"), ("nowhere", "no such folder")):
        (home / link).symlink_to(target)
    (elsewhere / "back").symlink_to(home)
    os.link(home / "002.bmp", home / "hard.bmp")
    found, _ = folder._found(f"folder:{home}")
    assert [str(path.relative_to(home)) for path in found if path.name < "005"] == [
        f"{n:03}.bmp" for n in range(5)]  # where they lie, and not where a link is
    assert levels(home) == list(range(12)) and capsys.readouterr() == ("", "")
    assert levels(elsewhere) == list(range(12))
    (home / "gone.png").symlink_to("no such file")
    load(home), load(home, "test")
    assert "left out 1 of" in (err := capsys.readouterr().err) and (
        f"the first being {home}/gone.png (No such file or directory)\n" in err)


def test_what_may_not_be_entered_or_read_is_counted_and_said(tmp_path, monkeypatch, capsys):
    numbered(tmp_path, *range(10))
    for name in ("closed", "odd.png", "sub/barred"):
        numbered(tmp_path / name, 100)
    barred = {str(tmp_path / name) for name in ("closed", "odd.png", "sub/barred")}

    def refuse(function, name):
        def refusing(path, *rest, **options):
            if str(path) in barred or str(path).endswith(name):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *rest, **options)
        return refusing

    monkeypatch.setattr(os, "scandir", refuse(os.scandir, "/"))  # the superuser may read everything
    monkeypatch.setattr("builtins.open", refuse(open, "/003.bmp"))
    assert levels(tmp_path) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    lines = capsys.readouterr().err.splitlines()
    for split in ("train", "test"):
        assert lines.count(
            f"dataset folder:{tmp_path}: left out for {split} the pictures of 3 folders that "
            f"cannot be entered, the first being {tmp_path}/closed (Permission denied)") == 1
    assert any(f"the first being {tmp_path}/003.bmp (Permission denied)" in line for line in lines)
    barred.add(str(tmp_path))
    with pytest.raises(ValueError, match="needs a folder, and '.*' cannot be read .Perm"):
        load(tmp_path)


# ---------------------------------------------------------------- what is held out


def test_a_tenth_is_held_out_by_content(tmp_path):
    for number in range(400):
        save(tmp_path / f"{number:03}.bmp", plain([number % 200, number // 200, 7], (3, 3)))
    held_out, trained = ({image.tobytes() for image in load(tmp_path, split, (3, 3, 3)).pixels}
                         for split in ("test", "train"))
    assert len(held_out) + len(trained) == 400 and not held_out & trained
    assert 16 <= len(held_out) <= 64  # 4 standard deviations of a binomial distribution


def test_neither_names_nor_other_pictures_move_what_is_held_out(tmp_path):
    numbered(tmp_path / "one", *range(0, 200, 2))
    held_out = levels(tmp_path / "one", "test")
    os.rename(tmp_path / "one", tmp_path / "other")
    for number, path in enumerate(sorted((tmp_path / "other").iterdir())):
        path.rename(path.with_name(f"new {1000 - number}.bmp"))
    assert levels(tmp_path / "other", "test") == held_out
    numbered(tmp_path / "other" / "a", *range(1, 200, 2))
    numbered(tmp_path / "other" / "copies", *range(0, 200, 2))  # on the side of their originals
    more = levels(tmp_path / "other", "test")
    assert set(held_out) < set(more) and [more.count(level) for level in held_out] == [
        2] * len(held_out)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_few_pictures_are_enough(tmp_path, count):
    numbered(tmp_path / "unlike", *range(count))
    for number in range(count):
        save(tmp_path / "alike" / f"{number}.bmp", plain(RED))
    for path in (tmp_path / "unlike", tmp_path / "alike"):
        train, test = load(path), load(path, "test")
        assert len(train) + len(test) == count and len(train) and len(test)
    for path in list((tmp_path / "unlike").iterdir())[:-2]:  # whatever the two that are left are
        path.write_text("broken")
    assert len(load(tmp_path / "unlike")) == len(load(tmp_path / "unlike", "test")) == 1


# ---------------------------------------------------------------- what cannot be used


def test_broken_and_huge_files_are_left_out_and_counted_in_one_line(tmp_path, capsys):
    numbered(tmp_path, *range(0, 200, 10))
    broken = [tmp_path / f"{number:03}.bmp" for number in (30, 40, 60, 70)]
    broken[0].write_text("a text by the name of a picture")
    broken[1].write_bytes(b"")
    broken[2].write_bytes(header("png", 30, 20))
    broken[3].write_bytes(header("png", 10_000, 10_000))
    save(tmp_path / "075.jpg", np.random.RandomState(0).randint(0, 256, (50, 50, 3), np.uint8))
    broken.append(tmp_path / "075.jpg")
    whole = broken[-1].read_bytes()
    broken[-1].write_bytes(whole[:len(whole) // 2])
    assert levels(tmp_path) == [n for n in range(0, 200, 10) if n not in (30, 40, 60, 70)]
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 2  # one for each split that has any
    assert sum(int(line.split(" left out ")[1].split()[0]) for line in lines) == 5
    for line in lines:
        assert line.startswith(f"dataset folder:{tmp_path}: left out ")
        assert "pictures for t" in line and f"cannot be read, the first being {tmp_path}/" in line
    for path in broken[:3] + broken[4:]:
        path.unlink()
    load(tmp_path), load(tmp_path, "test")
    assert capsys.readouterr().err.endswith(
        f"the first being {broken[3]} (it has 100.0 megapixels, and the most for a picture of its "
        "kind is 50)\n")


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    few = "needs at least two pictures (.png, .jpg, .jpeg, .bmp, .gif, .webp), one to train on and "
    for path, words in (
            (tmp_path / "nowhere", f"needs a folder, and '{tmp_path}/nowhere' is not one"),
            (tmp_path / "notes.txt", "is not one"), ("", "needs a folder, and '' is not one"),
            (tmp_path / ("long" * 99), "is not one"),
            (tmp_path, few + "one to hold out, and there are none")):
        with pytest.raises(ValueError) as caught:
            load(path)
        message = str(caught.value)
        assert message.startswith(f"dataset folder:{path} ") and words in message
    save(tmp_path / "a.png", plain(RED))
    with pytest.raises(ValueError, match="at least two pictures .* there is one"):
        load(tmp_path)
    save(tmp_path / "b.png", plain(BLUE))
    with pytest.raises(ValueError, match="has images of 1 or 3 channels, not 2"):
        load(tmp_path, shape=(8, 8, 2))
    with pytest.raises(ValueError, match="split of dataset folder:.* must be one of train, test"):
        load(tmp_path, "validation")
    for path in (tmp_path / "a.png", tmp_path / "b.png"):
        path.write_text("broken")
    with pytest.raises(ValueError, match="none of the 1 pictures for train can be read, the first "
                       r"being .*\.png \(it is not a picture, or is damaged\)"):
        load(tmp_path)


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for number in range(3):
        save(tmp_path / "my pictures" / f"{number}.png", plain(RED))
    assert len(load("~/my pictures")) == 2
