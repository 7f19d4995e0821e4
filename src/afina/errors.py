r"""The errors that afina raises deliberately.

    AfinaError (1)                        base of all; the number is the command line's exit code
    ├── ConfigError (2, ValueError)       a setting that does not exist or has an invalid value
    ├── TableError (3, ValueError)        a file or frame that cannot be read as a table
    ├── SchemaError (3, ValueError)       a table that does not fit its schema or task
    ├── CheckpointError (4, ValueError)   a checkpoint or model that is damaged, missing or hostile
    ├── StorageError (5, OSError)         a full disk, or a folder that is read-only or exists
    ├── LockedError (6, RuntimeError)     a run folder in use by another process
    ├── PeerError (7, RuntimeError)       another process of the same run has ended
    └── NonFiniteError (1, ArithmeticError)  a loss, gradient or value that is NaN or infinite

    Interrupted (130 or 143, KeyboardInterrupt)  SIGINT or SIGTERM, after the state was saved
    AfinaWarning (UserWarning)                   afina did something that users may not expect

A message is built from its parts: what must hold, what came instead (with file, row, column or
key), and what to do about it:

    delimiter must be one character; got "||". Write a tab as "\\t".
    data.csv: the target column must be in the table, but there is no column "y". Did you mean "Y"?
"""

import typing


class AfinaError(Exception):
    """Base of the errors that afina raises deliberately.

    Args:
        must: what must hold, without a period; the place (file, row, column) comes first.
        got: what came instead, a noun phrase: "...; got {got}."
        but: what holds instead, a clause: "..., but {but}." Pass this or `got`.
        fix: what to do, in full sentences.

    Example:
        >>> print(AfinaError("patience must be at least 1", got="0", fix="Use None for never."))
        patience must be at least 1; got 0. Use None for never.
    """

    exit_code = 1

    def __init__(
        self, must: str, *, got: str | None = None, but: str | None = None, fix: str | None = None
    ) -> None:
        self.must, self.got, self.but, self.fix = must, got, but, fix
        super().__init__(self._message())

    def add_fix(self, sentence: str) -> None:
        """Add a sentence to the advice in the message."""
        self.fix = f"{self.fix} {sentence}" if self.fix else sentence
        self.args = (self._message(),)

    def _message(self) -> str:
        happened = self.must
        if self.got is not None:
            happened += f"; got {self.got}"
        if self.but is not None:
            happened += f", but {self.but}"
        if not happened.endswith((".", "?", "!", ":")):
            happened += "."
        return happened if self.fix is None else f"{happened} {self.fix}"


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
    """A checkpoint or a model folder is damaged, incomplete, missing or not made by afina."""

    exit_code = 4


class StorageError(AfinaError, OSError):
    """A file or folder cannot be written: it is read-only or already exists, or the disk is full."""

    exit_code = 5


class LockedError(AfinaError, RuntimeError):
    """A run folder is in use by another process."""

    exit_code = 6


class PeerError(AfinaError, RuntimeError):
    """Another process of the same run has ended, has failed or does not respond.

    Args:
        must: what happened.
        fix: what to do.
        relayed: the other process has already reported its own error.
    """

    exit_code = 7

    def __init__(self, must: str, *, fix: str | None = None, relayed: bool = False) -> None:
        super().__init__(must, fix=fix)
        self.relayed = relayed


class NonFiniteError(AfinaError, ArithmeticError):
    """A loss, a gradient or an input is NaN or infinite."""


class Interrupted(KeyboardInterrupt):
    """A signal stopped the run; its state was saved first if there is a run folder.

    Args:
        message: what was saved, and how to continue.
        signum: the signal's number; the command line exits with 128 + signum.

    Attributes:
        result: what `Trainer.fit` would have returned; None if it was not raised there.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum
        self.result: typing.Any = None

    def add_fix(self, sentence: str) -> None:
        """Add a sentence to the advice in the message."""
        self.args = (f"{self} {sentence}",)

    @property
    def exit_code(self) -> int:
        """Return the exit code that shells expect from a program that a signal ended."""
        return 128 + self.signum


class AfinaWarning(UserWarning):
    """A warning that afina did something that users may not expect; the message says what."""
