"""The one way in which this package writes a file: whole, or not at all."""

import json
import os
import pathlib
import tempfile

from draw_tf.errors import ConfigError

MADE_HERE = b"drawn by draw_tf"  # is in every picture that this package writes


def write_whole(path: str | os.PathLike, content: bytes | str) -> None:
    """Writes a file so that a reader sees the old content or the new, never a part of it.

    The content, bytes or text to write as UTF-8, goes to a file beside `path`, reaches the disk,
    and takes the name. An interrupted write leaves `path` as it was. Links are followed, and what
    is not a regular file, such as /dev/stdout, is written to directly. Raises OSError, also where
    the folder does not exist.
    """
    path = pathlib.Path(os.path.realpath(path))
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial",
                                           dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def remove_partial(folder: str | os.PathLike, name: str) -> None:
    """Removes what a process killed in `write_whole` left; `name` may be a pattern: "*.gif"."""
    for path in pathlib.Path(folder).glob(f".{name}.????????.partial"):
        path.unlink()


def write_json(path: str | os.PathLike, content) -> None:
    """Writes `content` as indented JSON; see `write_whole`."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


def check_output(name: str, path: str | os.PathLike, *endings: str) -> None:
    """Checks, before the work, that a result can be written to `path`, the value of flag `name`.

    Raises:
      ConfigError: the file cannot be written, or its name ends in none of the `endings`.
    """
    path = pathlib.Path(path)
    if endings and not path.name.lower().endswith(endings):
        raise ConfigError(f"{name} must end in {' or '.join(endings)}, got {str(path)!r}")
    if path.is_dir():
        raise ConfigError(f"{name} must be a file, and {path} is a folder")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise ConfigError(f"{name} cannot be written: {path.parent} is not a folder that can be "
                          "written to")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
