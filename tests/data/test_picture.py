"""One picture file: what becomes of its pixels, what its metadata may be, what is refused."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from draw_tf import data, errors
from draw_tf.data import picture as files
from tests.support.picture_files import BLUE, GREEN, RED, header, plain, save, thirds


def load_one(path, pixels, shape=(8, 8, 3), **options):
    """What becomes of one picture, uint8 [H, W, C]."""
    path = path if path.suffix else path / "a.png"
    save(path, pixels, **options)
    return read(path, shape)


def read(path, shape=(8, 8, 3)):
    """A picture file as folders read it, uint8 [H, W, C]."""
    return np.rint(data.pictures([path], shape)[0] * 255).astype(np.uint8)


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
    fit, sizes = files.ImageOps.fit, []
    monkeypatch.setattr(files.ImageOps, "fit",
                        lambda image, *rest: sizes.append(image.size) or fit(image, *rest))
    ramp = np.linspace(0, 255, 600)[None, :, None].repeat(400, axis=0).repeat(3, axis=2)
    picture = load_one(tmp_path / "a.jpg", ramp.astype(np.uint8))
    assert sizes[0] == (75, 50)  # an eighth, and not less than twice what is needed
    expected = np.linspace(100, 500, 9) / 600 * 255  # the edges of 8 columns of the middle
    assert np.abs(picture[..., 0] - (expected[:-1] + expected[1:]) / 2).max() < 3


# ---------------------------------------------------------------- metadata


def chunk(kind, content):
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(
        ">I", zlib.crc32(kind + content))


TURNED = Image.Exif()
TURNED[0x0112] = 6  # the camera was turned: the first row is the right side
EXIF = TURNED.tobytes()
RAW = (f"\nexif\n{len(EXIF):8d}\n" + EXIF.hex()).encode()
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
PACKED = zlib.compress(bytes(3 << 20))
ODD = {  # chunks of healthy pictures, and of pictures with nothing worse than odd metadata
    "text": chunk(b"zTXt", b"Comment\0\0" + PACKED),
    "international text": chunk(b"iTXt", b"Comment\0\1\0\0\0" + PACKED),
    "much text": chunk(b"tEXt", b"Comment\0" + bytes(3 << 20)),
    "many texts": 70 * chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 20))),
    "profile": chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2 << 20))),
    "no profile": chunk(b"iCCP", b"profile\0\0broken") + chunk(b"iCCP", b""),
    "exif": chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
    "no exif": chunk(b"eXIf", b""),
    "raw exif": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"no numbers")),
    "big xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + PACKED),
    "short": chunk(b"pHYs", b"\0") + chunk(b"gAMA", b"") + chunk(b"cHRM", b"\1") + chunk(
        b"sRGB", b"") + chunk(b"tIME", b"") + chunk(b"acTL", b"") + chunk(b"fcTL", b"\0"),
    "wrong sum": chunk(b"tEXt", b"Comment\0text")[:-1] + b"?",
}


def png(*before, after=b"", pixels=thirds(24, 24)):  # noqa: B008, never changed
    """A PNG with chunks before its pixels and others after them."""
    whole = io.BytesIO()
    Image.fromarray(pixels).save(whole, "PNG")
    whole = whole.getvalue()
    start, end = 33, len(whole) - 12  # after IHDR, before IEND
    return whole[:start] + b"".join(before) + whole[start:end] + after + whole[end:]


@pytest.mark.parametrize("name", ODD)
def test_no_metadata_cost_a_picture(tmp_path, name):
    path = tmp_path / "a.png"
    for content in (png(ODD[name]), png(after=ODD[name])):
        path.write_bytes(content)
        np.testing.assert_array_equal(read(path, (24, 24, 3)), thirds(24, 24))
    path.write_bytes(png(after=ODD[name])[:-12 - len(ODD[name]) // 2])  # cut short in the metadata
    np.testing.assert_array_equal(read(path, (24, 24, 3)), thirds(24, 24))


@pytest.mark.parametrize("name", [
    name for name in ODD if name not in ("exif", "raw exif", "big xmp", "no exif")])  # a second one
@pytest.mark.parametrize("turn", [
    chunk(b"eXIf", EXIF[6:]), chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(RAW)),
    chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)], ids=["exif", "raw", "xmp"])
def test_a_png_is_set_upright(tmp_path, turn, name):
    path, odd = tmp_path / "a.png", ODD[name]
    for content in (png(turn), png(odd, turn), png(odd, after=turn), png(turn, after=odd)):
        path.write_bytes(content)
        np.testing.assert_array_equal(read(path, (24, 24, 3)), thirds(24, 24).swapaxes(0, 1))


def test_every_orientation_is_obeyed(tmp_path):
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40  # [2, 3]
    for orientation in range(1, 10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for ending in ("png", "webp"):
            whole = io.BytesIO()
            Image.fromarray(upright).convert("RGB").save(
                whole, ending, exif=exif, **({"lossless": True} if ending == "webp" else {}))
            (tmp_path / "a.png").write_bytes(whole.getvalue())  # whatever it is called
            turned = {2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
                      5: upright.T, 6: upright[::-1].T, 7: upright[::-1, ::-1].T,
                      8: upright[:, ::-1].T}.get(orientation, upright)
            np.testing.assert_array_equal(read(tmp_path / "a.png", (*turned.shape, 3)),
                                          turned[..., None].repeat(3, axis=2))


def segment(marker, content):
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


@pytest.mark.parametrize("odd", [
    segment(0xE2, b"ICC_PROFILE\0"), segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(60_000)),
    segment(0xED, b"Photoshop 3.0\x008BIM"), segment(0xE0, b"JFIF"), segment(0xE2, b"MPF\0"),
    segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"), segment(0xFE, bytes(60_000)),
    50 * segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60_000))])
def test_no_metadata_cost_a_photograph(tmp_path, odd):
    whole = io.BytesIO()
    Image.fromarray(thirds(24, 24)).save(whole, "JPEG", quality=95, subsampling=0)
    path, whole = tmp_path / "a.jpg", whole.getvalue()
    path.write_bytes(whole)
    expected = read(path, (24, 24, 3))
    turn = segment(0xE1, EXIF)
    for parts, turned in (([odd], False), ([odd, turn], True), ([turn, odd], True)):
        path.write_bytes(whole[:2] + b"".join(parts) + whole[2:])
        if turned and b"Exif" in odd:  # says twice how the camera was held
            assert read(path).shape == (8, 8, 3)
        else:
            np.testing.assert_allclose(  # turned pixels lie otherwise in the blocks of 8 x 8
                read(path, (24, 24, 3)).astype(int),
                expected.swapaxes(0, 1) if turned else expected, atol=1)


def test_bombs_in_metadata_take_no_memory(tmp_path):
    bomb = zlib.compress(bytes(100 << 20), 9)
    keywords = (b"Comment", b"Raw profile type exif", b"XML:com.adobe.xmp")
    parts = [chunk(b"zTXt", keyword + b"\0\0" + bomb) for keyword in keywords]
    (tmp_path / "a.png").write_bytes(png(*parts, chunk(b"iCCP", b"x\0\0" + bomb)))
    tracemalloc.start()
    np.testing.assert_array_equal(read(tmp_path / "a.png", (24, 24, 3)), thirds(24, 24))
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


# ---------------------------------------------------------------- what is too large


@pytest.mark.parametrize("kind, width, height", [
    ("bmp", 7100, 7100), ("png", 10_000, 10_000), ("png", 60_000, 60_000), ("gif", 60_000, 900)])
def test_a_picture_that_claims_to_be_huge_is_not_decoded(tmp_path, kind, width, height):
    path = tmp_path / f"huge.{kind}"
    path.write_bytes(header(kind, width, height))
    with pytest.raises(errors.DataError, match=r"picture .*huge.* it has .*pixels") as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.write_bytes(header(kind, 10, 10))  # is only broken
    with pytest.raises(errors.DataError, match="is damaged"):
        read(path)


@pytest.mark.parametrize("size, mode", [((8662, 5784), "RGB"), ((12_000, 9000), "L")])
def test_photographs_of_many_megapixels_are_read_in_little_memory(tmp_path, monkeypatch, size,
                                                                   mode):
    load, sizes = files.JpegImageFile.load, []
    monkeypatch.setattr(files.JpegImageFile, "load",
                        lambda image: sizes.append(image.size) or load(image))
    large = Image.new(mode, size, 77 if mode == "L" else RED)
    large.save(tmp_path / "large.jpg")
    one = data.pictures([tmp_path / "large.jpg"], (8, 8, 1))
    np.testing.assert_allclose(one * 255, 77 if mode == "L" else 81, atol=2)
    assert max(width * height for width, height in sizes) < 2_000_000
    with pytest.raises(errors.DataError, match="megapixels, and the most for a picture of its kin"):
        data.pictures([tmp_path / "large.jpg"], (4096, 4096, 1))  # no eighth of it is enough


def test_a_progressive_photograph_is_decoded_whole_and_has_a_limit(tmp_path, monkeypatch):
    Image.new("L", (900, 800), 77).save(tmp_path / "a.jpg", progressive=True)
    monkeypatch.setattr(files, "MAX_PIXELS", 900 * 800)
    assert (read(tmp_path / "a.jpg") == 77).all()
    monkeypatch.setattr(files, "MAX_PIXELS", 900 * 800 // 3)
    with pytest.raises(errors.DataError, match="it has 0.7 megapixels"):
        read(tmp_path / "a.jpg")


# ---------------------------------------------------------------- one's own pictures for a model


def test_pictures_are_cut_and_resized_and_take_the_colours_of_the_model(tmp_path):
    save(tmp_path / "a.png", thirds())
    save(tmp_path / "b.webp", plain(RED), lossless=True)
    both = data.pictures([tmp_path / "a.png", str(tmp_path / "b.webp")], (8, 8, 3))
    assert both.shape == (2, 8, 8, 3) and both.dtype == np.float32
    np.testing.assert_allclose(both[:, 4, 4], np.divide([GREEN, RED], 255), atol=0.02)
    grey = data.pictures([tmp_path / "b.webp"], (8, 6, 1))
    np.testing.assert_allclose(grey, np.full((1, 8, 6, 1), 81 / 255), atol=0.01)
    # only grey models draw digits
    np.testing.assert_array_equal(both, data.pictures(
        [tmp_path / "a.png", tmp_path / "b.webp"], (8, 8, 3), fit_digit=True))


def test_files_that_are_no_pictures_are_named(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    save(tmp_path / "blank.png", plain((250, 250, 250)))
    for name, words in (("gone.png", "cannot be read: No such file or directory"),
                        ("text.png", "cannot be read: it is not a picture, or is damaged"),
                        ("empty.jpg", "cannot be read: it is not a picture, or is damaged"),
                        ("", "cannot be read: it is a folder"),
                        ("phone.heic", "cannot be read: it is in HEIC or a format like it: save"),
                        ("blank.png", "shows no digit: it is of one level everywhere")):
        with pytest.raises(errors.DataError) as caught:
            data.pictures([tmp_path / name], (28, 28, 1), dark_background=True, fit_digit=True)
        assert str(caught.value).startswith(f"picture {tmp_path / name} ")
        assert words in str(caught.value)
    with pytest.raises(errors.DataError, match="images of 1 or 3 channels, not 2"):
        data.pictures([tmp_path / "blank.png"], (28, 28, 2))
    with pytest.raises(errors.DataError, match=r"paths must name at least one picture, got \[\]"):
        data.pictures([], (28, 28, 1))
