"""A folder of one's own pictures as a data set."""

import collections
import errno
import hashlib
import os
import pathlib
import re
import stat
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from draw_tf.data.picture import ENDINGS, MODES, UnreadableError, fitted, opened
from draw_tf.data.tfds import collect
from draw_tf.errors import ConfigError
from draw_tf.files import MADE_HERE, local_path

# What systems and tools put among pictures, in small letters; hidden names begin with a dot.
NOT_PICTURES = {
    "$recycle.bin", "recycler", "system volume information", "lost+found", "__macosx", "@eadir",
    "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "__pycache__", "node_modules",
    "site-packages"}
OF_A_RUN = {"checkpoints", "weights.npz", "metrics.jsonl", ".lock"}  # beside config.json
HELD_OUT = 0.1  # of the pictures


def read(name: str, split: str, data_dir: str | None, shape: tuple[int, int, int]) -> np.ndarray:
    """The pictures of "folder:PATH", cut to a shape's proportions and resized: uint8 [M, H, W, C].

    They are sorted by their path. About a tenth of them, at least one, is the test split: a picture
    belongs to it by the content of its file, so that neither its name nor other pictures move it.
    Files that cannot be read and folders that may not be entered are left out and counted on
    standard error. What is hidden, what systems and tools keep for themselves, and what this
    package wrote are no pictures. Links are followed, and the same file counts once.

    Raises:
      ConfigError: PATH is not a folder, it holds fewer than two pictures or none of a split can be
        read, or C is neither 1 nor 3.
    """
    if shape[2] not in MODES:
        raise ConfigError(f"dataset {name} has images of 1 or 3 channels, not {shape[2]}")
    found, closed = _found(name)
    broken = []

    def readable(pictures):
        """Of pictures and their paths, those that can be read, [1, H, W, C] each."""
        for path, picture in pictures:
            if isinstance(picture, str):
                broken.append(f"{path} ({picture})")
            else:
                yield picture[np.newaxis]

    workers = min(4, os.cpu_count() or 1)
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(workers) as pool:
        paths = _split(name, found, split, pool)
        pictures = zip(paths, pool.map(lambda path: _picture(path, shape), paths), strict=True)
        pixels = collect(readable(pictures), len(paths), shape, name)  # [M, H, W, C]
    if not len(pixels):
        raise ConfigError(f"dataset {name}: none of the {len(paths)} pictures for {split} can be "
                          f"read, the first being {broken[0]}")
    for what, left_out in (
            (f"{len(broken)} of {len(paths)} pictures for {split} that cannot be read", broken),
            (f"for {split} the pictures of {len(closed)} folder{'s' * (len(closed) > 1)} that "
             "cannot be entered", closed)):
        if left_out:
            print(f"dataset {name}: left out {what}, the first being {left_out[0]}",
                  file=sys.stderr, flush=True)
    return pixels


def _found(name):
    """The files that may be pictures, and the folders that cannot be entered, each sorted."""
    text = name.partition(":")[2]
    root = str(local_path(text, "dataset folder:"))
    if not (text and os.path.isdir(root)):
        raise ConfigError(f"dataset {name} needs a folder, and {text!r} is not one")
    files, closed, seen = [], set(), set()
    waiting = collections.deque([root])
    while waiting:
        path = waiting.popleft()
        picture = path.lower().endswith(ENDINGS) and not os.path.isdir(path)
        try:
            status = os.stat(path)
            key = (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
            if key in seen:
                continue
            seen.add(key)
            if stat.S_ISDIR(status.st_mode):
                for entry in _entries(path, path == root):
                    # links last: what is below the folder is found where it lies
                    (waiting.append if entry.is_symlink() else waiting.appendleft)(entry.path)
            elif picture and stat.S_ISREG(status.st_mode):
                files.append(pathlib.Path(path))
        except OSError as error:
            if path == root:
                raise ConfigError(f"dataset {name} needs a folder, and {text!r} cannot be read "
                                  f"({error.strerror})") from error
            if picture:  # reading will say why
                files.append(pathlib.Path(path))
            elif error.errno not in (errno.ENOENT, errno.ELOOP):
                folder = path if os.path.isdir(path) else os.path.dirname(path)
                closed.add(f"{folder} ({error.strerror})")
    return sorted(files), sorted(closed)


def _entries(path, named):
    """What is the user's in a folder, which is `named` in the name of the data set or below it."""
    entries = list(os.scandir(path))
    names = {entry.name for entry in entries}
    run = "config.json" in names and not OF_A_RUN.isdisjoint(names)
    if (run or "pyvenv.cfg" in names) and not named:
        return []
    return [entry for entry in entries if not (
        entry.name.startswith(".") or entry.name.lower() in NOT_PICTURES
        or entry.name.lower().endswith(".lrdata")
        or run and re.fullmatch(r"strokes(-\d+)?\.gif", entry.name))]


def _split(name, paths, split, pool):
    """The files of a split, sorted by path."""
    ranked = sorted((key, path) for key, path in zip(pool.map(_key, paths), paths, strict=True)
                    if key is not None)
    if len(ranked) < 2:
        raise ConfigError(
            f"dataset {name} needs at least two pictures ({', '.join(ENDINGS)}), one to train on "
            f"and one to hold out, and there {'is one' if ranked else 'are none'}")
    # at least one is held out that can be read, if there is one
    first = next((rank for rank, (_, path) in enumerate(ranked[:-1])
                  if not isinstance(_picture(path, (1, 1, 1)), str)), 0)
    count = max(first + 1, min(sum(key < HELD_OUT for key, _ in ranked), len(ranked) - 1))
    return sorted(path for _, path in (ranked[:count] if split == "test" else ranked[count:]))


def _key(path):
    """Where a file lies in [0, 1] by its content; None for a picture that this package wrote."""
    content = hashlib.blake2b(digest_size=8)
    try:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                if MADE_HERE in block:
                    return None
                content.update(block)
    except OSError:  # said when it is read
        return 1.0
    return int.from_bytes(content.digest(), "big") / 2**64


def _picture(path, shape):
    """A picture as uint8 [H, W, C], or why it cannot be read."""
    try:
        with opened(path) as image:
            return fitted(image, shape)
    except UnreadableError as error:
        return str(error)
