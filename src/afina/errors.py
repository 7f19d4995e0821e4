"""Every error afina raises on purpose.

    AfinaError (1)                        base of all; the number is the command line's exit code
    ├── ConfigError (2, ValueError)       a setting that does not exist or cannot be
    ├── TableError (3, ValueError)        a file or frame that cannot be read as a table
    ├── SchemaError (3, ValueError)       a table that does not fit what was asked of it
    ├── CheckpointError (4, ValueError)   a checkpoint or model that is damaged, missing or hostile
    ├── StorageError (5, OSError)         a folder that is full, read-only or already taken
    ├── LockedError (6, RuntimeError)     a run folder in use by another process
    ├── PeerError (7, RuntimeError)       another process of the same run is gone
    └── NonFiniteError (1, ArithmeticError)  a loss, gradient or value that is NaN or infinite

    Interrupted (130 or 143, KeyboardInterrupt)  SIGINT or SIGTERM, after the state was saved
    AfinaWarning (UserWarning)                   something was done that the user may not expect

A message has up to three sentences: what must hold, what came (with file, row, column or key),
and what to do.
"""


class AfinaError(Exception):
    """Base of all errors that afina raises on purpose."""

    exit_code = 1


class ConfigError(AfinaError, ValueError):
    """A setting does not exist, has a wrong value, or contradicts another one."""

    exit_code = 2


class TableError(AfinaError, ValueError):
    """A file or frame cannot be read as a table."""

    exit_code = 3


class SchemaError(AfinaError, ValueError):
    """A table was read but does not fit the schema or the task."""

    exit_code = 3


class CheckpointError(AfinaError, ValueError):
    """A checkpoint or a model folder is damaged, incomplete, missing or not ours."""

    exit_code = 4


class StorageError(AfinaError, OSError):
    """A file or folder cannot be written: full, read-only, or already there."""

    exit_code = 5


class LockedError(AfinaError, RuntimeError):
    """A run folder is in use by another process."""

    exit_code = 6


class PeerError(AfinaError, RuntimeError):
    """Another process of the same run ended, failed or does not answer.

    Args:
        message: what happened, and what to do.
        relayed: the other process has told its error itself.
    """

    exit_code = 7

    def __init__(self, message: str, *, relayed: bool = False) -> None:
        super().__init__(message)
        self.relayed = relayed


class NonFiniteError(AfinaError, ArithmeticError):
    """A loss, a gradient or an input is NaN or infinite."""


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop by a signal; its state was saved first.

    Args:
        message: what was saved, and how to go on.
        signum: the signal's number; the command line exits with 128 + signum.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """Give what a shell expects of a program that ends by a signal."""
        return 128 + self.signum


class AfinaWarning(UserWarning):
    """Something was done that the user may not expect; the message says what."""
