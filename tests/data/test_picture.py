"""One picture file: what becomes of its pixels, what its metadata may be, what is refused."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFilter

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


def digit():
    """A light seven on dark in 28 x 28, its centre of mass in the middle, float32 [28, 28]."""
    seven = np.zeros((28, 28), np.float32)
    for row in range(20):
        column = 20 - row // 2
        seven[4 + row, column - 1:column + 2] = 1
    seven[4:7, 6:20] = 1
    seven = np.roll(seven, [round(13.5 - (seven.sum(axis=1 - axis) @ np.arange(28)) / seven.sum())
                            for axis in (0, 1)], (0, 1))
    return seven


def photograph(path, thin=False, light_on_dark=False):
    """Writes the seven as on paper under a lamp, off the middle."""
    ink = Image.fromarray((digit() * 255).astype(np.uint8)).resize((560, 560))
    ink = ink.filter(ImageFilter.MinFilter(21)) if thin else ink
    ink = np.pad(np.asarray(ink) / 255, ((50, 390), (300, 40)))  # [1000, 900]
    light = 0.5 + 0.3 * np.linspace(0, 1, 1000)[:, None] + 0.1 * np.linspace(0, 1, 900)
    noise = np.random.RandomState(0).normal(0, 0.02, ink.shape)
    seen = light * (0.2 + 0.6 * ink if light_on_dark else 1 - 0.7 * ink) + noise
    Image.fromarray((255 * seen.clip(0, 1)).astype(np.uint8)).save(path)


@pytest.mark.parametrize("options", [{}, {"thin": True}, {"light_on_dark": True}])
def test_a_written_digit_becomes_as_those_of_mnist_are(tmp_path, options):
    photograph(tmp_path / "seven.jpg", **options)
    shown, = data.pictures([tmp_path / "seven.jpg"], (28, 28, 1), dark_background=True,
                           fit_digit=True)  # [28, 28, 1]
    assert shown.dtype == np.float32 and shown.shape == (28, 28, 1)
    assert shown.min() == 0 and shown.max() == 1 and np.median(shown) == 0
    rows, columns = (np.flatnonzero((shown > 0.5).any(axis=(axis, 2))) for axis in (1, 0))
    assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
    for axis in (0, 1):
        mass = shown.sum(axis=(1 - axis, 2))
        assert abs(mass @ np.arange(28) / mass.sum() - 13.5) <= 0.51
    assert np.corrcoef(shown.ravel(), digit().ravel())[0, 1] > (0.7 if options.get("thin") else 0.8)


@pytest.mark.parametrize("level", [0, 255])
def test_ink_on_nothing_is_found_whether_dark_or_light(tmp_path, level):
    alpha = np.pad((255 * digit()).astype(np.uint8), ((20, 9), (5, 30))).repeat(4, 0).repeat(4, 1)
    Image.fromarray(np.dstack([np.full_like(alpha, level)] * 3 + [alpha])).save(tmp_path / "a.png")
    shown, = data.pictures([tmp_path / "a.png"], (28, 28, 1), dark_background=True, fit_digit=True)
    assert np.corrcoef(shown.ravel(), digit().ravel())[0, 1] > 0.8


def test_nothing_around_a_sheet_of_paper_is_paper(tmp_path):
    sheet = np.pad(1 - 0.9 * digit(), 6, constant_values=1).repeat(6, 0).repeat(6, 1)  # [240, 240]
    alpha = np.full_like(sheet, 255)
    alpha[:30] = 0
    picture = np.dstack([255 * sheet] * 3 + [alpha]).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    shown, = data.pictures([tmp_path / "a.png"], (28, 28, 1), dark_background=True, fit_digit=True)
    assert np.corrcoef(shown.ravel(), digit().ravel())[0, 1] > 0.8


def test_ink_is_turned_light_where_asked_or_where_it_lies_on_light_ground(tmp_path):
    paper, slate = tmp_path / "paper.png", tmp_path / "slate.png"
    seven = (55 + 150.0 * digit()).astype(np.uint8)
    Image.fromarray(255 - seven).save(paper)
    Image.fromarray(seven).save(slate)
    plain, turned = seven / 255, 1 - seven / 255
    for path, first, options in (
            (paper, 1 - plain, {}), (slate, plain, {}),
            (paper, plain, {"dark_background": True}),
            (slate, plain, {"dark_background": True}), (slate, turned, {"invert": True}),
            (paper, 1 - plain, {"dark_background": True, "invert": False})):
        one, = data.pictures([path], (28, 28, 1), **options)
        np.testing.assert_allclose(one[..., 0], first, atol=1e-6)
    # a digit of the model's own size is left as it is
    np.testing.assert_array_equal(
        data.pictures([slate], (28, 28, 1), dark_background=True),
        data.pictures([slate], (28, 28, 1), dark_background=True, fit_digit=True))


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
