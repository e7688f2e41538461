"""The command line: ``identify demo``, ``check``, ``verify``, ``recover``, ``audit``, ``attack``, ``kkt``, ``theorems``, ``sweep`` and
``plot``.

Every command prints text for people, or JSON with ``--json``; progress goes to standard error. Exit status: 0 when the
work was done, 1 when the data could not be recovered, every run of an attack diverged, a certificate is not valid or cannot be
written, a theorem has a counterexample, or tasks of a sweep failed, 2 for bad input, with one line that says what to do, 130 at Ctrl-C,
143 when terminated, 141 when the reader of the output exited early.
"""

from __future__ import annotations

import typer

from identify.base.errors import OutOfTimeError

from identify.cli import demo, check, recover, audit, attack, kkt, theorems, sweep, plot  # isort: skip
from identify.cli.app import app
from identify.cli.console import fail
from identify.cli.ending import ending
from identify.cli.usage import UsageError, usage

COMMANDS = (demo, check, recover, audit, attack, kkt, theorems, sweep, plot)
"""Modules that register a command when they are imported, in the order in which ``--help`` lists them."""

__all__ = ["COMMANDS", "app", "main"]


def main() -> None:
    """Entry point: runs a command and turns bad input into one line and exit status 2."""
    with ending():
        try:
            status = app(standalone_mode=False, prog_name="identify")
        except UsageError as error:
            fail(usage(error), 2)
        except (KeyboardInterrupt, typer.Abort):
            status = 130
        except Exception as error:
            fail(*_message_and_status(error))
        if status == 130:
            fail("interrupted", 130)
        raise SystemExit(status)


def _message_and_status(error: Exception) -> tuple[str, int]:
    """The message for an error of the user, and the exit status; any other error is raised again."""
    from identify.base.errors import IdentifyError, MissingArgumentError
    from identify.recovery.solution import RecoveryError

    if isinstance(error, RecoveryError):
        return f"not recovered: {error}", 1
    if isinstance(error, OutOfTimeError):
        return f"out of time: {error}; a larger --budget makes room for it", 1
    if isinstance(error, MissingArgumentError):
        return error.spelled("--"), 2
    if isinstance(error, (ValueError, TypeError)):
        return str(error), 2
    if isinstance(error, OSError):
        return f"{error.filename or 'output'}: {error.strerror or error}; make room there, or choose another place", 2
    if isinstance(error, MemoryError):
        return f"not enough memory ({error or 'none is left'}); use smaller sizes", 2
    if isinstance(error, IdentifyError):
        return str(error), 1
    raise error
