"""Errors that a person can act on: what was got, what was wanted, how to mend it.

The command line prints the message without a traceback and exits with the class's `exit_code`.
"""


class MetajaxError(Exception):
    """Base of every error that metajax raises on purpose."""

    exit_code = 2


class ConfigError(MetajaxError):
    """An experiment, an option or a combination of options that makes no sense."""


class DataError(MetajaxError):
    """Data that are missing, malformed or not what was declared."""

    exit_code = 3


class LeakError(DataError):
    """A split that lets something of a test state into training."""


class TaskError(DataError):
    """Tasks that cannot be built, or do not fit where they should go."""


class TrainingError(MetajaxError):
    """Training that had to stop, such as a loss that is not finite."""

    exit_code = 4


class StorageError(MetajaxError):
    """A checkpoint, run or artifact that is missing, incomplete or altered."""

    exit_code = 5


class StoreError(StorageError):
    """A store of users that is not reached, is full, or refuses."""
