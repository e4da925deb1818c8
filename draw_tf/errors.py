"""Errors whose message is one sentence for the person who typed the command."""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator

# where in its own code TensorFlow was
_NOTES = re.compile(r"\{\{function_node .*?\}\} ?| \[Op:\w+\]( name: ?\w*)?")


class DRAWError(Exception):
    """Base of the errors that commands report without a traceback."""


class ConfigError(DRAWError, ValueError):
    """A setting is out of its range, or does not fit another; names it and its value."""


class DataError(DRAWError, RuntimeError):
    """A data set is not on this machine and cannot be downloaded."""


class WorkdirError(DRAWError, RuntimeError):
    """A workdir cannot be used."""


class TrainingError(DRAWError, RuntimeError):
    """Training cannot go on."""


class MissingPackageError(DRAWError, ImportError):
    """A package that only some commands need is not installed."""


class BackendError(DRAWError, ImportError):
    """Keras runs on something else than TensorFlow."""


def why(error: Exception) -> str:
    """What an error says, in one line, also where a file is in the place of a folder."""
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    if name and isinstance(error, (FileExistsError, NotADirectoryError)):
        path = pathlib.Path(name)  # may be below the file
        file = next(filter(os.path.isfile, (path, *path.parents)), path)
        return f"{file} is a file, not a folder"
    if name and isinstance(error, IsADirectoryError):
        return f"{name} is a folder, not a file"
    if name and isinstance(error, PermissionError):
        return f"{name}: {text}"
    return _NOTES.sub("", text.splitlines()[0]).strip()


@contextlib.contextmanager
def written(what: str, error_class: type[DRAWError] = WorkdirError,
            done: str = "written") -> Iterator[None]:
    """Turns an OSError in the block into an error: that `what` cannot be written, or `done`."""
    try:
        yield
    except OSError as error:
        raise error_class(f"{what} cannot be {done}: {why(error)}") from error
