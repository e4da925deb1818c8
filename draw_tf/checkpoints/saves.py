"""The checkpoints of a run: written, pruned, and read back from the newest one that is whole."""

import contextlib
import math
import os
import pathlib
import re
import shutil
import sys

import tensorflow as tf

from draw_tf.errors import WorkdirError, why
from draw_tf.files import remove_partial, write_whole

FOLDER = "checkpoints"
KEPT = 2  # checkpoints of a run


def saved_steps(workdir) -> list[int]:
    """The steps of a run's checkpoints, the newest first."""
    names = (path.name for path in (pathlib.Path(workdir) / FOLDER).glob("ckpt-*.index"))
    matches = (re.fullmatch(r"ckpt-(\d+)\.index", name) for name in names)
    return sorted((int(match[1]) for match in matches if match), reverse=True)


def prefix(workdir, step: int) -> str:
    """The path of a checkpoint without its endings, as TensorFlow names it."""
    return str(pathlib.Path(workdir) / FOLDER / f"ckpt-{step}")


def latest(workdir) -> str | None:
    """The `prefix` of a run's newest checkpoint, or None."""
    steps = saved_steps(workdir)
    return prefix(workdir, steps[0]) if steps else None


def save(checkpoint: tf.train.Checkpoint, workdir, step: int) -> None:
    """Writes a checkpoint, then removes all but the newest `KEPT` up to `step`.

    Raises:
      WorkdirError: it cannot be written; nothing of it is left, and the others are kept.
    """
    folder = pathlib.Path(workdir) / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        checkpoint.write(prefix(workdir, step))
        for path in folder.glob(f"ckpt-{step}.*"):
            with open(path, "rb") as file:  # on the disk before older ones go
                os.fsync(file.fileno())
    except (OSError, tf.errors.OpError) as error:
        kept = [other for other in saved_steps(workdir) if other != step]
        with contextlib.suppress(OSError):
            _remove_others(folder, kept)
        raise WorkdirError(f"the checkpoint {prefix(workdir, step)} cannot be written: "
                           f"{why(error)}") from error
    _prune(workdir, step)


def tidy(workdir, step: int) -> None:
    """Ends a `save` of this step that was killed; where there are later ones, the next save does.

    Raises:
      OSError: something cannot be removed or written.
    """
    if saved_steps(workdir)[:1] == [step]:
        _prune(workdir, step)


def _prune(workdir, step):
    """Removes all but the newest `KEPT` checkpoints up to `step`, and what a kill left."""
    folder = pathlib.Path(workdir) / FOLDER
    kept = [other for other in saved_steps(workdir) if other <= step][:KEPT]
    _remove_others(folder, kept)
    remove_partial(folder, "checkpoint")
    # the note by which TensorFlow itself finds what there is
    write_whole(folder / "checkpoint", f'model_checkpoint_path: "ckpt-{step}"\n' + "".join(
        f'all_model_checkpoint_paths: "ckpt-{other}"\n' for other in reversed(kept)))


def _remove_others(folder, kept):
    """Removes what belongs to checkpoints of other steps than `kept`, and half-written ones."""
    for path in folder.glob("ckpt-*"):
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
    """How many numbers the part of a checkpoint with this name has, such as "average".

    Raises:
      WorkdirError: it is damaged.
    """
    with _reading(path):
        return sum(math.prod(shape) for name, shape in tf.train.list_variables(path)
                   if name.startswith(f"{part}/"))


def restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
    """Reads the checkpoint at `path` into the objects of a tf.train.Checkpoint.

    Raises:
      WorkdirError: it is damaged, or lacks one of the objects.
    """
    with _reading(path):
        checkpoint.read(path).expect_partial().assert_existing_objects_matched()


def restore_newest(workdir, restore_from) -> bool:
    """Goes back to the newest checkpoint that is whole; reports those that are not.

    Args:
      workdir: the run's folder.
      restore_from: a function of a checkpoint's prefix that raises WorkdirError where it cannot
        be read.

    Returns:
      Whether there is any checkpoint.

    Raises:
      WorkdirError: there are some, and none can be read.
    """
    failure = None
    for step in saved_steps(workdir):
        try:
            restore_from(prefix(workdir, step))
        except WorkdirError as error:
            failure = failure or error
            continue
        if failure:
            print(f"{failure}: going back to step {step}", file=sys.stderr, flush=True)
        return True
    if failure:
        raise failure
    return False
