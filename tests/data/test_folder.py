"""A folder of pictures: every format, any depth, in order, and what cannot be read."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from draw_tf import data
from draw_tf.data import folder

RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def save(path, pixels, **options):
    """Writes uint8 [h, w, 3] or a Pillow image, in the format of the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)


def plain(colour, size=(20, 30)):
    """One colour everywhere, uint8 [h, w, 3]."""
    return np.full((*size, 3), colour, np.uint8)


def thirds(width=90, height=30):
    """Red, green and blue side by side, uint8 [h, w, 3]."""
    return np.repeat([[RED, GREEN, BLUE]], width // 3, axis=1).repeat(height, axis=0).astype(
        np.uint8)


def load(path, split="train", shape=(8, 8, 3)):
    return data.load(f"folder:{path}", split, shape=shape)


def load_one(path, picture, shape=(8, 8, 3), **options):
    """What becomes of one picture, uint8 [H, W, C]."""
    save(path / "a.png" if not path.suffix else path, picture, **options)
    home = path if not path.suffix else path.parent
    save(home / "z.png", plain(BLUE))  # held out
    images = load(home, shape=shape)
    assert len(images) == 1
    return images.pixels[0]


def header(kind, width, height):
    """The start of a file that claims a size and holds no pixels."""
    if kind == "bmp":
        return struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, width, height, 1, 24,
                           0, 0, 0, 0, 0, 0)
    if kind == "gif":
        return struct.pack("<6sHHBBB", b"GIF89a", width, height, 0, 0, 0) + struct.pack(
            "<BHHHHB", 0x2C, 0, 0, width, height, 0) + b"\x02\0;"
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    idat = b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(
        ">I", zlib.crc32(ihdr)) + idat


# ---------------------------------------------------------------- what is read


def test_every_format_at_any_depth_in_the_order_of_paths(tmp_path, capsys):
    names = ["a.PNG", "b/c/deep.jpg", "b/d.jpeg", "b/e.bmp", "c.gif", "d e.webp", "é.png"]
    names += [f"z/{number}.png" for number in range(13)]  # by text: 0, 1, 10, 11, 12, 2, ...
    levels = dict(zip(sorted(names), np.arange(20) * 12))
    for name in names:
        save(tmp_path / name, plain([levels[name], 99, 240 - levels[name]]))
    for name in ("b/notes.txt", "._a.png", "b/c/raw.tiff", "noending"):
        (tmp_path / name).write_text("not a picture")
    (tmp_path / "folder.png").mkdir()
    train, test = load(tmp_path), load(f"{tmp_path}/", "test")
    assert train.shape == (8, 8, 3) and (len(train), len(test)) == (18, 2)
    assert train.pixels.dtype == np.uint8 and train.scale == 255
    assert str(train) == f"folder:{tmp_path}/train"
    pixels = np.concatenate([train.pixels, test.pixels]).astype(int)  # [20, 8, 8, 3]
    assert np.abs(pixels[..., 0] - 12 * np.arange(20)[:, None, None]).max() < 6  # JPEG is lossy
    assert np.abs(pixels[..., 2] + pixels[..., 0] - 240).max() < 12
    np.testing.assert_array_equal(load(tmp_path).pixels, train.pixels)
    assert capsys.readouterr() == ("", "")


def test_a_picture_is_cut_at_its_middle_and_keeps_its_proportions(tmp_path):
    wide = load_one(tmp_path / "wide.png", thirds())  # 90 x 30
    assert np.abs(wide.astype(int) - GREEN).max() < 20  # at the edges the neighbours count too
    assert np.abs(wide[:, 1:-1].astype(int) - GREEN).max() < 5
    tall = load_one(tmp_path / "tall" / "a.png", thirds().swapaxes(0, 1))
    np.testing.assert_array_equal(tall, wide.swapaxes(0, 1))
    fits = load_one(tmp_path / "fits" / "a.png", thirds(), shape=(8, 24, 3))
    assert fits.shape == (8, 24, 3)
    for column, colour in ((3, RED), (12, GREEN), (20, BLUE)):
        assert np.abs(fits[:, column].astype(int) - colour).max() < 12
    large = load_one(tmp_path / "large" / "a.png", plain(RED, (3, 2)), shape=(64, 48, 3))
    assert large.shape == (64, 48, 3) and (large == RED).all()


def test_grey_is_how_light_a_colour_looks(tmp_path):
    grey = load_one(tmp_path, plain(GREEN), shape=(8, 6, 1))
    assert grey.shape == (8, 6, 1)
    assert np.abs(grey - (0.299 * 30 + 0.587 * 200 + 0.114 * 30)).max() < 1.5
    colour = load_one(tmp_path / "grey", Image.new("L", (9, 9), 77))
    assert (colour == 77).all()


def test_transparent_parts_are_white(tmp_path):
    half = np.concatenate([plain(RED, (8, 4)), plain(BLUE, (8, 4))], axis=1)
    alpha = np.repeat([[255] * 4 + [0] * 4], 8, axis=0).astype(np.uint8)
    picture = load_one(tmp_path, Image.fromarray(np.dstack([half, alpha])))
    assert (picture[:, :4] == RED).all() and (picture[:, 4:] == 255).all()
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30] * 256)
    assert (load_one(tmp_path / "solid", palette.copy()) == (10, 20, 30)).all()
    assert (load_one(tmp_path / "clear", palette, transparency=0) == 255).all()


def test_modes_of_other_kinds_of_pictures(tmp_path):
    levels = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    deep = load_one(tmp_path / "deep", Image.fromarray(levels), shape=(8, 8, 1))
    np.testing.assert_array_equal(deep[..., 0], levels >> 8)
    ink = load_one(tmp_path / "print" / "a.jpg", Image.new("CMYK", (9, 9), (255, 0, 0, 0)))
    assert np.abs(ink.astype(int) - (0, 255, 255)).max() < 3
    lying = Image.Exif()
    lying[0x0112] = 6  # the camera was turned: the first row is the right side
    turned = load_one(tmp_path / "turned" / "a.png", thirds(24, 24), shape=(24, 24, 3), exif=lying)
    np.testing.assert_array_equal(turned, thirds(24, 24).swapaxes(0, 1))


def test_a_film_counts_by_its_first_frame(tmp_path):
    frames = [Image.fromarray(plain(colour)) for colour in (RED, GREEN, BLUE)]
    for ending in ("gif", "webp"):
        first = load_one(tmp_path / ending / f"a.{ending}", frames[0], save_all=True,
                         append_images=frames[1:], duration=50)
        assert np.abs(first.astype(int) - RED).max() < 12


def test_a_photograph_is_decoded_at_a_fraction_of_its_size(tmp_path, monkeypatch):
    fit, sizes = folder.ImageOps.fit, []
    monkeypatch.setattr(folder.ImageOps, "fit",
                        lambda image, *rest: sizes.append(image.size) or fit(image, *rest))
    ramp = np.linspace(0, 255, 600)[None, :, None].repeat(400, axis=0).repeat(3, axis=2)
    picture = load_one(tmp_path / "a.jpg", ramp.astype(np.uint8))
    assert sizes[0] == (75, 50)  # an eighth, and not less than twice what is needed
    expected = np.linspace(100, 500, 9) / 600 * 255  # the edges of 8 columns of the middle
    assert np.abs(picture[..., 0] - (expected[:-1] + expected[1:]) / 2).max() < 3


# ---------------------------------------------------------------- what cannot be used


def test_broken_files_are_left_out_and_counted_in_one_line(tmp_path, capsys):
    for number in range(20):
        save(tmp_path / f"{number:02}.png", plain([10 * number] * 3))
    (tmp_path / "03.png").write_text("a text by the name of a picture")
    (tmp_path / "04.png").write_bytes(b"")
    save(tmp_path / "05.jpg", np.random.RandomState(0).randint(0, 256, (50, 50, 3), np.uint8))
    whole = (tmp_path / "05.jpg").read_bytes()
    (tmp_path / "05.jpg").write_bytes(whole[:len(whole) // 2])
    (tmp_path / "06.png").write_bytes(header("png", 30, 20))
    train = load(tmp_path)
    # 21 files, the last two held out; 03, 04, the JPEG and 06 are broken
    assert train.pixels[:, 0, 0, 0].tolist() == [10 * n for n in range(18)
                                                if n not in (3, 4, 6)]
    out, err = capsys.readouterr()
    assert out == "" and err == (
        f"dataset folder:{tmp_path}: left out 4 of 19 pictures for train that cannot be read, the "
        f"first being {tmp_path}/03.png\n")
    assert load(tmp_path, "test").pixels.max() == 190 and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind, width, height", [
    ("bmp", 7100, 7100), ("png", 10_000, 10_000), ("png", 60_000, 60_000), ("gif", 60_000, 900)])
def test_a_picture_that_claims_to_be_huge_is_not_decoded(tmp_path, kind, width, height):
    path = tmp_path / f"huge.{kind}"
    path.write_bytes(header(kind, width, height))
    save(tmp_path / "z.png", plain(RED))
    with pytest.raises(ValueError, match=r"huge.* has more than 50 megapixels") as caught:
        load(tmp_path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.write_bytes(header(kind, 10, 10))  # is only broken
    with pytest.raises(ValueError, match="none of the 1 pictures for train can be read"):
        load(tmp_path)


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    for path, words in (
            (tmp_path / "nowhere", f"needs a folder, and '{tmp_path}/nowhere' is not one"),
            (tmp_path / "notes.txt", "is not one"), ("", "needs a folder, and '' is not one"),
            (tmp_path, "needs at least two pictures (.png, .jpg, .jpeg, .bmp, .gif, .webp), and "
             "there are none")):
        with pytest.raises(ValueError) as caught:
            load(path)
        message = str(caught.value)
        assert message.startswith(f"dataset folder:{path} ") and words in message
    save(tmp_path / "a.png", plain(RED))
    with pytest.raises(ValueError, match="at least two pictures .* there is one"):
        load(tmp_path)
    save(tmp_path / "b.png", plain(RED))
    with pytest.raises(ValueError, match="batch_size 2 is more than the 1 images of folder:"):
        data.check_batch(load(tmp_path), 2)
    with pytest.raises(ValueError, match="has images of 1 or 3 channels, not 2"):
        load(tmp_path, shape=(8, 8, 2))
    with pytest.raises(ValueError, match="split of dataset folder:.* must be one of train, test"):
        load(tmp_path, "validation")


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for number in range(3):
        save(tmp_path / "my pictures" / f"{number}.png", plain(RED))
    assert len(load("~/my pictures")) == 2
