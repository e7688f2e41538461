"""Ctrl-C, and termination: what is under way ends, and what is finished is not lost between two steps."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

AGAIN = 0.02
"""Seconds after which a signal that got lost is raised again."""
DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


@dataclass(eq=False)
class Interrupts:
    """A signal handler that remembers, and raises KeyboardInterrupt: the first time only at a place that loses nothing by it."""

    received: list[int] = field(default_factory=list)
    deferred: bool = False
    is_ending: bool = False
    """Whether handlers are being put back, so that nothing may be raised."""
    is_busy: bool = False
    """Whether the main thread is where it would ignore the signal once more."""
    again: threading.Thread | None = None
    """What will raise a lost signal again."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def count(self) -> int:
        return len(self.received)

    def __call__(self, number: int, frame) -> None:
        self.received.append(number)
        if not self.is_ending and (self.count > 1 or not self.deferred):
            raise KeyboardInterrupt

    def lost(self) -> None:
        """Raise the last signal again, a little later: KeyboardInterrupt was raised where Python ignores all exceptions."""
        if self.received:
            self.is_busy = True
            try:
                self.again = threading.Thread(target=self._raise_again, args=(signal.Signals(self.received.pop()),), daemon=True)
                self.again.start()
            finally:
                self.is_busy = False

    def _raise_again(self, number: signal.Signals) -> None:
        time.sleep(AGAIN)
        while self.is_busy:
            time.sleep(AGAIN)
        with self.lock:
            if self.again is threading.current_thread():
                self.again = None
                _thread.interrupt_main(number)

    def end(self) -> None:
        """From now on signals are counted only, those that were lost among them."""
        self.is_ending = True
        with self.lock:
            waiting, self.again = self.again, None
        if waiting is not None:
            self.received.append(signal.SIGINT)

    @contextmanager
    def deferring(self, deferred: bool = True) -> Iterator[None]:
        """Within this block a first signal is counted only; with False it is raised again."""
        before, self.deferred = self.deferred, deferred
        try:
            yield
        finally:
            self.deferred = before


@contextmanager
def listening(*numbers: int) -> Iterator[Interrupts]:
    """Take over these signals (SIGINT without any), or join the handler that has.

    Signals that are ignored, or that others handle, are left to them; so are all outside the main thread, where Python delivers none.
    One that arrives during garbage collection, in a callback of JAX or in a finaliser, is not lost, as it is without this: it is raised a
    little later, or at the end of this block.
    """
    before = {number: signal.getsignal(number) for number in numbers or (signal.SIGINT,)}
    joined = next((handler for handler in before.values() if isinstance(handler, Interrupts)), None)
    if joined is not None:
        yield joined
        return
    interrupts, told = Interrupts(), sys.unraisablehook

    def unraisable(ignored: Any) -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            interrupts.lost()
        else:
            told(ignored)

    taken = [number for number, handler in before.items() if handler is DEFAULTS[signal.Signals(number)]]
    if threading.current_thread() is not threading.main_thread():
        taken = []
    try:
        for number in taken:
            signal.signal(number, interrupts)
        if taken:
            sys.unraisablehook = unraisable
        yield interrupts
    finally:
        heard = interrupts.count
        interrupts.end()
        if sys.unraisablehook is unraisable:
            sys.unraisablehook = told
        for number in taken:
            signal.signal(number, before[number])
        if interrupts.count > heard and not isinstance(sys.exception(), KeyboardInterrupt):
            raise KeyboardInterrupt
