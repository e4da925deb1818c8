"""Errors whose message is one sentence for the person who typed the command."""

import pathlib


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


def why(error: OSError) -> str:
    """What an OSError says, in words that also fit a file where a folder must be."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        path = pathlib.Path(error.filename)  # may be below the file
        file = next((part for part in (path, *path.parents) if part.is_file()), path)
        return f"{file} is a file, not a folder"
    return error.strerror or str(error)
