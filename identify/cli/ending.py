"""Endings from outside: a signal, a reader of the output that exits, no room for the output."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

from identify.base.interrupts import listening
from identify.cli.console import fail, tell

CLOSED = 128 + 13
"""Exit status of a program that ends because nobody reads its output; 13 is SIGPIPE, which some systems do not have."""


@contextmanager
def ending() -> Iterator[None]:
    """A block that ends with SystemExit; after a signal the status is that of the signal, even if results could be saved.

    Termination is treated like Ctrl-C: the current work saves its results. Output is flushed here, so that a failure can be reported.
    """
    if sys.stdout is None:  # closed by the caller
        sys.stdout = StringIO()
    with listening(signal.SIGINT, signal.SIGTERM) as signals:
        try:
            with _written_out():
                yield
        except SystemExit as stop:
            if not signals.received:
                raise
            if stop.code != 130:
                tell("interrupted")
            # not through the end of the interpreter: libraries may still compute on threads of their own, and crash there
            sys.stderr.flush()
            os._exit(128 + signals.received[0])


@contextmanager
def _written_out() -> Iterator[None]:
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        raise SystemExit(CLOSED) from None
    except OSError as error:
        _silence()
        fail(f"output: {error.strerror or error}; make room there, or choose another place", 2)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # which typer ends with status 1
            _silence()
            raise SystemExit(CLOSED) from None
        raise


def _silence() -> None:
    """Discard further output, so that the interpreter does not fail again when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
