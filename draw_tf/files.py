"""Files: paths as a person writes them, what is there, and the one way in which we write."""

import errno
import fnmatch
import json
import os
import pathlib
import secrets

from draw_tf.errors import ConfigError, DRAWError, written

PathLike = str | os.PathLike[str]

MADE_HERE = b"drawn by draw_tf"  # is in every picture that this package writes


def local_path(path: PathLike, name: str = "path",
               error_class: type[DRAWError] = ConfigError) -> pathlib.Path:
    """The path that a person's text means, in which a leading ~ is a home folder.

    A path that it returned stays as it is when it is given again. Raises an `error_class`, whose
    message begins with `name`, for an unknown home folder or a character that no path can have.
    """
    text = os.fsdecode(path)
    if "\0" in text:
        raise error_class(f"{name} must not contain the character \\0, got {text!r}")
    full = os.path.expanduser(text)
    nowhere = full.startswith("~") or text[:2] in ("~", "~/") and not os.environ.get("HOME", "~")
    if text.startswith("~") and nowhere:
        raise error_class(f"{name} {text} begins with ~, and no home folder is known for it: give "
                          "the whole path")
    result = pathlib.Path(full)
    return result.absolute() if str(result).startswith("~") else result  # a folder named ~: ./~


def tensorflow_path(path: PathLike, name: str = "path",
                    error_class: type[DRAWError] = ConfigError) -> pathlib.Path:
    """`local_path` of what TensorFlow itself will read or write.

    For TensorFlow a path is UTF-8, and that of a checkpoint a pattern. Raises an `error_class` also
    for a path that it would misunderstand.
    """
    path = local_path(path, name, error_class)
    special = sorted(set("*?[]\\") & set(str(path)))
    if special:
        raise error_class(f"{name} {path} must not contain {' '.join(special)}")
    if os.fsencode(path) != str(path).encode("utf-8", "replace"):
        raise error_class(f"{name} {path} is not UTF-8, and TensorFlow takes no other path")
    return path


def exists(path: PathLike) -> bool:
    """Whether there is anything at a path; raises OSError where that cannot be found out."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def found(folder: PathLike, pattern: str) -> list[pathlib.Path]:
    """The paths in a folder whose names fit a pattern; none where there is no folder.

    Raises OSError where the folder cannot be read, which `Path.glob` takes for an empty one.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [pathlib.Path(folder, name) for name in fnmatch.filter(names, pattern)]


def check_access(path: PathLike, files: int = os.R_OK,
                 folders: int = os.R_OK | os.W_OK | os.X_OK, below: bool = True) -> None:
    """Raises OSError where a file, or a folder and what is `below` it, may not be used as asked.

    `files` and `folders` are sums of os.R_OK, os.W_OK and os.X_OK. What is not there is fine.
    """
    if not exists(path):
        return
    folder = os.path.isdir(path)
    if not os.access(path, folders if folder else files):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    for name in os.listdir(path) if folder and below else ():
        check_access(os.path.join(path, name), files, folders)


def write_whole(path: PathLike, content: bytes | str) -> None:
    """Writes bytes, or text as UTF-8, so that a reader sees the old content or the new, all of it.

    The content goes to a file beside `path`, reaches the disk, and takes the name. An interrupted
    write leaves `path` as it was. Links are followed, and what is not a regular file, such as
    /dev/stdout, is written to directly. Raises OSError.
    """
    path = pathlib.Path(os.path.realpath(local_path(path)))
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    there = exists(path)
    if there and not path.is_file():
        path.write_bytes(data)
        return
    # the name may be as long as names can be
    partial = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as file:
            if there:
                os.chmod(partial, path.stat().st_mode & 0o777)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def remove_partial(folder: PathLike, name: str) -> None:
    """Removes what a process killed in `write_whole` left; `name` may be a pattern: "*.gif"."""
    for path in found(folder, f".{name}.????????.partial"):
        path.unlink()


def write_json(path: PathLike, content: object) -> None:
    """Writes `content` as indented JSON; see `write_whole`."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


def check_output(name: str, path: PathLike, *endings: str) -> None:
    """Checks, before the work, that a result can be written to `path`, the value of flag `name`.

    Raises ConfigError where it cannot, or where the file's name ends in none of the `endings`.
    """
    path = local_path(path, name)
    if endings and not path.name.lower().endswith(endings):
        raise ConfigError(f"{name} must end in {' or '.join(endings)}, got {str(path)!r}")
    with written(name, ConfigError):
        special = exists(path) and not path.is_file()  # such as /dev/stdout
    if path.is_dir():
        raise ConfigError(f"{name} must be a file, and {path} is a folder")
    folder = os.path.dirname(os.path.realpath(path))
    if special and not os.access(path, os.W_OK):
        raise ConfigError(f"{name} cannot be written: {path} may not be written to")
    if not (special or os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
        raise ConfigError(f"{name} cannot be written: {path.parent} is not a folder that can be "
                          "written to")
