"""How the command ends where others end it: a signal, a reader that goes away, no room for the output."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from identify.cli.console import fail

CLOSED = 128 + 13
"""The exit status of a program that ends because nobody reads its output; 13 is SIGPIPE, which not every system has."""


@contextmanager
def ending() -> Iterator[None]:
    """Within this block, termination is taken as Ctrl-C is; its end writes out what was printed."""
    received: list[int] = []

    def terminate(number: int, _: object) -> NoReturn:
        received.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminate)
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
        # the libraries below turn a closed pipe into status 1
        if isinstance(stop.__context__, BrokenPipeError):
            _silence()
            raise SystemExit(CLOSED) from None
        if received and stop.code == 130:
            raise SystemExit(128 + received[0]) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _silence() -> None:
    """Nothing more is written to standard output, so that the interpreter does not fail once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
