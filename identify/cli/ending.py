"""How the command ends where others end it: a signal, a reader that goes away, no room for the output."""

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
"""The exit status of a program that ends because nobody reads its output; 13 is SIGPIPE, which not every system has."""


@contextmanager
def ending() -> Iterator[None]:
    """A block that ends with SystemExit: with the status of a signal, if one came, whatever could be saved before.

    Termination is taken as Ctrl-C is: what is under way keeps what it has. Output is written out here, where a failure can be told.
    """
    if sys.stdout is None:  # closed by the caller
        sys.stdout = StringIO()
    with listening(signal.SIGINT, signal.SIGTERM) as heard:
        try:
            with _written_out():
                yield
        except SystemExit as stop:
            if not heard.received:
                raise
            if stop.code != 130:
                tell("interrupted")
            # not through the end of the interpreter: libraries may still compute on threads of their own, and crash there
            sys.stderr.flush()
            os._exit(128 + heard.received[0])


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
    """Nothing more is written to standard output, so that the interpreter does not fail once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
