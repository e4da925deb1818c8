"""A digit that somebody wrote, as a photograph or a drawing shows it, made like MNIST's."""

import numpy as np
from PIL import Image, ImageFilter, ImageOps

SIDE = 224  # pixels of the longer side in which a digit is looked for
BOX = 20 / 28  # the part of an image's side that a digit of MNIST fills
STROKE = 0.1  # the least thickness of a line, as a part of the digit's longer side
FAINTEST = 0.06  # how much darker than its paper ink is at least


def on_light_ground(pixels: np.ndarray) -> bool:
    """Whether the ground of a picture [h, w, C], which its border shows, is its lighter part."""
    border = np.concatenate([pixels[[0, -1]].ravel(), pixels[:, [0, -1]].ravel()])
    low, high = pixels.min(), pixels.max()
    return bool(np.median(border) > ((low + high) / 2 if high - low > FAINTEST else 0.5))


def like_mnist(pixels: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray | None:
    """A light digit on a dark ground [h, w, 1] as float32 [H, W, 1] in [0, 1]; None without one.

    As in MNIST, the digit is fitted to a box of 20/28 of the image and its centre of mass lies in
    the middle. The ground is 0 and the ink 1, however the paper was lit, and a line that would be
    thinner than MNIST's is made thicker.
    """
    ink = _ink(Image.fromarray(np.ascontiguousarray(pixels[..., 0], np.float32)))
    if ink is None:
        return None
    ink = _cut(ink)
    ink = _cut(_thickened(ink, STROKE * max(ink.size)))
    height, width, _ = shape
    scale = BOX * min(height / ink.height, width / ink.width)
    ink = ink.resize([max(1, round(side * scale)) for side in ink.size], Image.Resampling.BICUBIC)
    small = np.asarray(ink)  # [<=H, <=W]
    small = np.clip(small / np.percentile(small, 98), 0, 1)
    image = np.zeros(shape, np.float32)  # [H, W, 1]
    image[_middle(small.sum(axis=1), height), _middle(small.sum(axis=0), width), 0] = small
    return image


def _ink(image):
    """The ink of a picture in [0, 1], SIDE long, the paper's light taken off; None without ink."""
    scale = SIDE / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    image = image.resize(size, Image.Resampling.BICUBIC)
    coarse = image.resize([max(1, side // 4) for side in size], Image.Resampling.BOX)
    # no ink is as broad as half a picture, so this removes all of it
    paper = coarse.filter(ImageFilter.MinFilter(27)).filter(ImageFilter.MaxFilter(27))
    ink = np.asarray(image) - np.asarray(paper.resize(size, Image.Resampling.BILINEAR))  # [h, w]
    ink = (ink + sum(np.roll(ink, by, axis) for by in (-1, 1) for axis in (0, 1))) / 5  # less noise
    if ink.max() <= FAINTEST:
        return None
    return Image.fromarray(np.clip((ink / ink.max() - 0.25) / 0.5, 0, 1))


def _cut(ink):
    """The part of a picture that has ink."""
    return ink.crop(Image.fromarray(np.asarray(ink) > 0.5).getbbox())


def _thickened(ink, thickness):
    """Ink whose lines are `thickness` pixels thick on average, or thicker."""
    margin = int(thickness)
    ink = ImageOps.expand(ink, margin)
    for _ in range(margin // 2):
        dark = np.asarray(ink) > 0.5  # [h, w]
        edges = sum((dark ^ np.roll(dark, 1, axis)).sum() for axis in (0, 1))
        if 2.5 * dark.sum() / max(edges, 1) >= thickness:  # 2 / edges, which are stairs
            break
        ink = ink.filter(ImageFilter.MaxFilter(3))
    return ink


def _middle(mass, side):
    """The slice of `side` pixels that brings the centre of `mass` [k] nearest to their middle."""
    centre = mass @ np.arange(len(mass)) / mass.sum()
    start = min(max(round((side - 1) / 2 - centre), 0), side - len(mass))
    return slice(start, start + len(mass))
