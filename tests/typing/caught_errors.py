"""Catch and build errors: what a user writes, and what must not pass."""

from afina.errors import AfinaError, ConfigError, Interrupted, NonFiniteError, PeerError


def exit_code(error: AfinaError | Interrupted) -> int:
    """Return the exit code of an error."""
    return error.exit_code


def remedy(error: AfinaError) -> str:
    """Return what to do, or nothing."""
    return error.fix or ""


def build() -> list[ValueError | ArithmeticError | RuntimeError]:
    """Errors are Python's own kinds too."""
    return [
        ConfigError("patience must be at least 1", got="0", fix="Use None to disable it."),
        NonFiniteError("the loss must be finite", but="it is NaN at step 3", fix="Lower lr."),
        PeerError("rank 1 ended", fix="Resume the run.", relayed=True),
    ]


# What must not pass: an ignore that is not needed is an error, so these lines are checked as well.
ConfigError("patience must be at least 1", "0")  # type: ignore[call-arg]
ConfigError("patience must be at least 1", got=0)  # type: ignore[arg-type]
ConfigError(got="0")  # type: ignore[call-arg]
