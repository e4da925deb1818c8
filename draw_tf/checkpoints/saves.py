"""The checkpoints of a run: written, pruned, and read back from the newest one that is whole.

`tf.train.CheckpointManager` is not used: it reads no older checkpoint where the newest is damaged,
knows none where its one text file is lost, and deletes old ones before new ones are on the disk.
"""

import contextlib
import math
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Callable

import tensorflow as tf

from draw_tf.errors import WorkdirError, why, written
from draw_tf.files import PathLike, found, remove_partial, write_whole

FOLDER = "checkpoints"
KEPT = 2  # checkpoints of a run


def saved_steps(workdir: PathLike) -> list[int]:
    """The steps of a run's checkpoints, the newest first; raises OSError if it may not look."""
    paths = found(pathlib.Path(workdir, FOLDER), "ckpt-*.index")
    matches = (re.fullmatch(r"ckpt-(\d+)\.index", path.name) for path in paths)
    return sorted((int(match[1]) for match in matches if match), reverse=True)


def prefix(workdir: PathLike, step: int) -> str:
    """The path of a checkpoint without its endings, as TensorFlow names it."""
    return str(pathlib.Path(workdir, FOLDER, f"ckpt-{step}"))


def latest(workdir: PathLike) -> str | None:
    """The `prefix` of a run's newest checkpoint, or None."""
    return next((prefix(workdir, step) for step in saved_steps(workdir)), None)


def save(checkpoint: tf.train.Checkpoint, workdir: PathLike, step: int) -> None:
    """Writes a checkpoint, then removes all but the newest `KEPT` up to `step`.

    Raises WorkdirError where it cannot be written; nothing of it is left, and the others are kept.
    """
    folder, path = pathlib.Path(workdir, FOLDER), prefix(workdir, step)
    try:
        folder.mkdir(exist_ok=True)
        checkpoint.write(path)
        for part in found(folder, f"ckpt-{step}.*"):
            with open(part, "rb") as file:  # on the disk before older ones go
                os.fsync(file.fileno())
    except (OSError, tf.errors.OpError) as error:
        with contextlib.suppress(OSError):
            _remove_others(folder, set(saved_steps(workdir)) - {step})
        raise WorkdirError(f"the checkpoint {path} cannot be written: {why(error)}") from error
    _prune(workdir, step)


def tidy(workdir: PathLike, step: int) -> None:
    """Finishes a `save` of this step that was killed; may raise OSError.

    Where there are later checkpoints, the next `save` does it.
    """
    if saved_steps(workdir)[:1] == [step]:
        _prune(workdir, step)


def _prune(workdir, step):
    """Removes all but the newest `KEPT` checkpoints up to `step`, and what a kill left."""
    folder = pathlib.Path(workdir, FOLDER)
    kept = [other for other in saved_steps(workdir) if other <= step][:KEPT]
    _remove_others(folder, kept)
    remove_partial(folder, "checkpoint")
    # the note by which TensorFlow itself finds what there is
    write_whole(folder / "checkpoint", f'model_checkpoint_path: "ckpt-{step}"\n' + "".join(
        f'all_model_checkpoint_paths: "ckpt-{other}"\n' for other in reversed(kept)))


def _remove_others(folder, kept):
    """Removes what belongs to checkpoints of other steps than `kept`, and half-written ones."""
    for path in found(folder, "ckpt-*"):
        whole = re.fullmatch(r"ckpt-(\d+)\.(index|data-\d+-of-\d+)", path.name)
        ours = re.match(r"ckpt-\d+(\.|_temp)", path.name)
        if ours and not (whole and int(whole[1]) in kept):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def _reading(path):
    """Turns what TensorFlow raises over a bad checkpoint into a WorkdirError of one sentence."""
    try:
        yield
    except (tf.errors.OpError, ValueError, AssertionError, IndexError, SystemError) as error:
        reason = "it lacks a part" if isinstance(error, AssertionError) else why(error)
        raise WorkdirError(f"the checkpoint {path} cannot be read, because it is damaged or of "
                           f"another model ({reason})") from error


def size(path: str, part: str) -> int:
    """How many numbers a part of a checkpoint has, such as "average"; may raise WorkdirError."""
    with _reading(path):
        return sum(math.prod(shape) for name, shape in tf.train.list_variables(path)
                   if name.startswith(f"{part}/"))


def restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
    """Reads a checkpoint's objects; raises WorkdirError where it is damaged or lacks one."""
    with _reading(path):
        checkpoint.read(path).expect_partial().assert_existing_objects_matched()


def restore_newest(workdir: PathLike, restore_from: Callable[[str], object]) -> bool:
    """Goes back to the newest checkpoint that is whole; reports those that are not.

    `restore_from` takes a checkpoint's `prefix`, and raises WorkdirError where it cannot be read.
    Returns whether there is any checkpoint; raises WorkdirError where none of them can be read.
    """
    failure = None
    with written(f"workdir {workdir}", done="read"):
        steps = saved_steps(workdir)
    for step in steps:
        try:
            restore_from(prefix(workdir, step))
        except WorkdirError as error:
            failure = failure or error
        else:
            if failure:
                print(f"{failure}: going back to step {step}", file=sys.stderr, flush=True)
            return True
    if failure:
        raise failure
    return False
