"""What a run was trained on and what was held out, kept in its workdir as hashes of the images."""

import dataclasses
import hashlib
import io
import pathlib

import numpy as np

from draw_tf.data.images import Images
from draw_tf.errors import ConfigError, WorkdirError
from draw_tf.files import PathLike, remove_partial, write_whole

DATA = ".data.npz"  # uint64 [M] of the images trained on, [K] of those held out


def keep_apart(workdir: PathLike, home: PathLike, train: Images, held_out: Images,
               step: int) -> tuple[Images, Images, list[str]]:
    """Keeps held out what the run in a workdir has held out so far, and records its data in `home`.

    The two folders differ for workers beside the chief, which write nothing to the workdir. Images
    to train on that the record has as held out move to the end of those held out. A run without a
    record, or at step 0, takes all as they are.

    Returns:
      What to train on and what to hold out; and the changes, as "NAME OLD -> NEW" each.

    Raises:
      ConfigError: among the images held out are some that the run was trained on, so that
        evaluations would no longer be of images that the model has not seen.
      WorkdirError: the record cannot be read.
      OSError: it cannot be written.
    """
    path = pathlib.Path(workdir, DATA)
    hashes = [_hashes(train), _hashes(held_out)]  # [M], [K]
    changes = []
    if step and path.exists():
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as record:
                trained, kept = record["train"], record["held_out"]
        except Exception as error:  # there is no end to what a damaged file can raise
            raise WorkdirError(f"{path} cannot be read: remove it, and the run goes on without "
                               "comparing its data with those before") from error
        stay = np.isin(hashes[0], np.setdiff1d(kept, trained))  # [M]
        if stay.any():
            pixels = np.concatenate([held_out.pixels, train.pixels[stay]])
            held_out = dataclasses.replace(held_out, pixels=pixels, labels=None)
            train = dataclasses.replace(train, pixels=train.pixels[~stay], labels=None)
            hashes = [_hashes(train), _hashes(held_out)]
        known = np.intersect1d(hashes[1], np.setdiff1d(trained, kept))
        if len(known):
            raise ConfigError(
                f"the run in --workdir={workdir} was trained on {len(known)} of the images of "
                f"{held_out}, which must be new to it: bring the data back as they were, or give "
                "another --workdir")
        for images, new, old in ((train, hashes[0], trained), (held_out, hashes[1], kept)):
            come, gone = len(np.setdiff1d(new, old)), len(np.setdiff1d(old, new))
            if come or gone:
                changes.append(f"images of {images} {len(old)} -> {len(new)} "
                               f"({come} new and {gone} gone)")
    remove_partial(home, DATA)
    content = io.BytesIO()
    np.savez(content, train=hashes[0], held_out=hashes[1])
    write_whole(pathlib.Path(home, DATA), content.getvalue())
    return train, held_out, changes


def _hashes(images):
    """A hash of each image, uint64 [M]."""
    return np.frombuffer(b"".join(
        hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images.pixels), "<u8")
