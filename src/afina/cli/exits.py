"""Turn errors into messages on stderr and exit codes."""

import errno
import os
import signal
import sys
import traceback

import typer

from afina.cli.process import is_first_process
from afina.cli.streams import show
from afina.errors import AfinaError, ConfigError, Interrupted, NonFiniteError, PeerError

USAGE = 2
NO_SPACE = 5


def report_error(error: BaseException, *, debug: bool) -> int:
    """Print what went wrong to stderr, and return the exit code.

    Args:
        error: what ended the command.
        debug: show the traceback too.
    """
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        return _leave_quietly()
    if isinstance(error, SystemExit):
        raise error
    if debug:
        traceback.print_exception(error)
    code, message = _explain(error, debug=debug)
    if is_first_process() or not _is_reported_by_first(error):
        show("stopped" if isinstance(error, Interrupted) else "error", message)
    return code


def _is_reported_by_first(error: BaseException) -> bool:
    """Return whether the first process fails with the same error and reports it for all."""
    if isinstance(error, PeerError):
        return error.relayed
    return isinstance(error, Interrupted | ConfigError | NonFiniteError) or hasattr(
        error, "format_message"
    )


def _explain(error: BaseException, *, debug: bool) -> tuple[int, str]:
    """Return the exit code and the message."""
    # typer bundles its own copy of click, and gives its exceptions no public name.
    if hasattr(error, "format_message"):
        return USAGE, _explain_usage(error)
    match error:
        case AfinaError() | Interrupted():
            return error.exit_code, str(error)
        case KeyboardInterrupt():
            return 128 + signal.SIGINT, "Stopped by Ctrl-C before the command finished."
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return NO_SPACE, f"The disk is full{_at(error)}. Make room and run the command again."
        case OSError():
            return 1, f"{error.strerror or error}{_at(error)}."
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return 1, (
            "There is not enough memory. Use a smaller train.microbatch_size, model.d_block or "
            "preprocess.onehot_max, or fewer rows."
        )
    hint = "" if debug else "; run again with --debug to see where"
    return 1, f"afina: internal error: {type(error).__name__}: {error}{hint}"


def _explain_usage(error: BaseException) -> str:
    message = str(error.format_message())  # type: ignore[attr-defined] # the caller checked
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "afina"
    stop = "" if message.endswith((".", "?", ")")) else "."
    return f"{message}{stop} See `{where} --help`."


def _at(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def _leave_quietly() -> int:
    """Exit as if killed by SIGPIPE: the reader, such as `head`, has read enough."""
    # Python flushes stdout once more when it exits, and the flush must not fail.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
