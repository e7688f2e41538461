"""The command line: ``identify demo``, ``check``, ``verify``, ``recover``, ``audit``, ``attack``, ``kkt``, ``theorems``, ``sweep`` and
``plot``.

Every command prints text for people, or JSON with ``--json``; progress goes to standard error. Exit status: 0 when the
work was done, 1 when the data could not be recovered, every run of an attack diverged, a certificate is not valid or not to be
had, a theorem has a counterexample, or tasks of a sweep failed, 2 for bad input, with one line that says what to do.
"""

from __future__ import annotations

from identify.cli import demo, check, recover, audit, attack, kkt, theorems, sweep, plot  # isort: skip
from identify.cli.app import app
from identify.cli.console import fail
from identify.cli.kkt import PROGRAMS

COMMANDS = (demo, check, recover, audit, attack, kkt, theorems, sweep, plot)
"""Modules that register a command when they are imported, in the order in which ``--help`` lists them."""

__all__ = ["COMMANDS", "PROGRAMS", "app", "main"]


def main() -> None:
    """Entry point: runs a command and turns bad input into one line and exit status 2."""
    from identify.recovery.solution import RecoveryError

    try:
        app()
    except RecoveryError as error:
        fail(f"not recovered: {error}", 1)
    except (ValueError, TypeError) as error:
        fail(str(error), 2)
    except OSError as error:
        fail(f"{error.filename or 'output'}: {error.strerror or error}; make room there, or choose another place", 2)
    except FloatingPointError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        fail("interrupted", 130)
