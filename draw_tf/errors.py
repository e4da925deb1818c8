"""Errors whose message is one sentence for whoever typed the command."""


class DRAWError(Exception):
    """Base of the errors that commands tell without a traceback."""


class ConfigError(DRAWError, ValueError):
    """A setting is out of its range, or does not fit another; names it and its value."""


class DataError(DRAWError, RuntimeError):
    """A data set is neither on this machine nor can be downloaded."""


class WorkdirError(DRAWError, RuntimeError):
    """A workdir can not be used."""


class TrainingError(DRAWError, RuntimeError):
    """Training can not go on."""


class MissingPackageError(DRAWError, ImportError):
    """A package that only some commands need is not installed."""


def why(error):
    """What an OSError says, in words that also fit a file where a folder must be."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return f"{error.filename} is a file, not a folder"
    return error.strerror
