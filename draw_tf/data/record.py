"""What a run was trained on and what was held out, kept in its workdir as hashes of the images."""

import hashlib
import io
import pathlib

import numpy as np

from draw_tf.data.images import Images
from draw_tf.errors import ConfigError, WorkdirError
from draw_tf.files import write_whole

DATA = "data.npz"  # uint64 [M] of the images trained on, [K] of those held out


def record_data(workdir, train: Images, held_out: Images, step: int) -> list[str]:
    """Keeps a record of a run's data in its workdir, and says what has changed since the last one.

    A run without a record, or at step 0, has no changes.

    Returns:
      The changes, as "NAME OLD -> NEW" each.

    Raises:
      ConfigError: images that were held out are now among those to train on, or the other way
        round, so that evaluations would no longer be of images that the model has not seen.
      WorkdirError: the record cannot be read.
      OSError: it cannot be written.
    """
    path = pathlib.Path(workdir) / DATA
    hashes = {"train": _hashes(train), "held_out": _hashes(held_out)}  # [M], [K]
    changes = []
    if step and path.exists():
        now, before = ({name: set(part[name].tolist()) for name in hashes}
                       for part in (hashes, _read(path)))
        for images, name, other, was in ((train, "train", "held_out", "held out"),
                                         (held_out, "held_out", "train", "trained on")):
            new, gone = now[name] - before[name], before[name] - now[name]
            if moved := new & before[other]:
                raise ConfigError(
                    f"images of {images} that the run in --workdir={workdir} has {was} so far: "
                    f"{len(moved)}; bring back the data as they were, or give another --workdir")
            if new or gone:
                changes.append(f"images of {images} {len(before[name])} -> {len(now[name])} "
                               f"({len(new)} new and {len(gone)} gone)")
    content = io.BytesIO()
    np.savez(content, **hashes)
    write_whole(path, content.getvalue())
    return changes


def _read(path):
    try:
        with np.load(path, allow_pickle=False) as record:
            return {name: record[name] for name in ("train", "held_out")}
    except Exception as error:  # there is no end to what a damaged file can raise
        raise WorkdirError(f"{path} cannot be read: remove it, and the run goes on without "
                           "comparing its data with those before") from error


def _hashes(images):
    """A hash of each image, uint64 [M]."""
    return np.frombuffer(b"".join(
        hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images.pixels), "<u8")
