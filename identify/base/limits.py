"""Limits of memory and time: large work is refused before anything is allocated or begun, with the estimate."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from identify.base.errors import InputError, OutOfTimeError
from identify.base.options import positive, whole

NEGLIGIBLE = 0.01
"""Seconds that are never refused."""
LEAST = 0.2
"""Seconds that a step which has been begun is given, even when the time is spent: so that what costs nothing is always there."""
OPERATIONS_PER_SECOND = 3e9
"""Rate of eliminations in floating point on one core, for estimates of their time."""
_WITHIN: ContextVar[int | None] = ContextVar("memory limit", default=None)
_UNTIL: ContextVar[float | None] = ContextVar("deadline", default=None)


class Stopped(StrEnum):
    """Why work ended before it was done."""

    OUT_OF_TIME = "the budget was spent"
    INTERRUPTED = "interrupted from the keyboard"


@dataclass(eq=False, kw_only=True)
class Clock:
    """Until when work goes on, and what ended it before it was done."""

    deadline: float | None = None
    """The end, as :func:`time.monotonic` counts; None for no end."""
    interrupted: Stopped | None = None

    def go_on(self) -> bool:
        """Whether there is time left; notes it when there is not."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.interrupted = Stopped.OUT_OF_TIME
        return not self.interrupted

    def allows(self, seconds: Callable[[], float]) -> bool:
        """Whether work that cannot be stopped ends in time, by an estimate that is asked for only if there is an end; notes it if not."""
        if self.deadline is not None and time.monotonic() + seconds() > self.deadline:
            self.interrupted = Stopped.OUT_OF_TIME
        return not self.interrupted


class TooLargeError(InputError):
    """Work whose arrays would not fit in memory. ``bytes_needed`` and ``bytes_allowed`` say by how much."""

    def __init__(self, what: str, bytes_needed: int, bytes_allowed: int):
        super().__init__(
            f"{what} needs about {readable(bytes_needed)} of memory, more than the {readable(bytes_allowed)} allowed here; "
            "use smaller sizes, or raise the limit with the environment variable IDENTIFY_MEMORY (in GiB)"
        )
        self.bytes_needed = bytes_needed
        self.bytes_allowed = bytes_allowed


@contextmanager
def limit_time(seconds: float | None) -> Iterator[None]:
    """Within this block, begin no piece of work that is estimated to end later; None, or a limit around it that ends sooner, stays."""
    outer = _UNTIL.get()
    own = outer if seconds is None else time.monotonic() + seconds
    token = _UNTIL.set(own if outer is None or own is None else min(own, outer))
    try:
        yield
    finally:
        _UNTIL.reset(token)


@contextmanager
def at_least(seconds: float = LEAST) -> Iterator[None]:
    """Within this block no work is refused before that many seconds, even if :func:`limit_time` around it allows less."""
    outer = _UNTIL.get()
    token = _UNTIL.set(None if outer is None else max(outer, time.monotonic() + seconds))
    try:
        yield
    finally:
        _UNTIL.reset(token)


def time_limit() -> float | None:
    """Until when :func:`limit_time` allows work, as :func:`time.monotonic` counts; None without a limit."""
    return _UNTIL.get()


def seconds_left() -> float | None:
    """The rest of the time that :func:`limit_time` allows, at least 0; None without a limit."""
    until = _UNTIL.get()
    return None if until is None else max(until - time.monotonic(), 0.0)


def is_affordable(seconds: float) -> bool:
    """Whether ``seconds``, an estimate, are no more than :func:`seconds_left`, or next to nothing; 0: whether there is time at all."""
    left = seconds_left()
    return left is None or (seconds <= max(left, NEGLIGIBLE) if seconds else left > 0)


def refuse_late(seconds: float, what: str) -> None:
    """Raise :class:`OutOfTimeError` when ``seconds``, an estimate, exceed :func:`seconds_left`."""
    if not is_affordable(seconds):
        raise OutOfTimeError(f"{what} takes about {seconds:.2g} s, and {seconds_left():.2g} s are left")


def refuse_when_spent(what: str) -> None:
    """Raise :class:`OutOfTimeError` when no time is left: for loops of short pieces."""
    if not is_affordable(0.0):
        raise OutOfTimeError(f"{what}: the time that was allowed is spent")


def check_limits(budget: float | None, memory: int | None = None) -> None:
    """Raise InputError for a budget that is not a positive number of seconds, or a memory that is not a positive number of bytes."""
    if budget is not None:
        positive("budget", budget, unit="seconds", advice=", or None")
    if memory is not None:
        whole("memory", memory, advice=" (bytes), or None")


@contextmanager
def limit_memory(size: int | None) -> Iterator[None]:
    """Within this block, allow at most that many bytes for one piece of work; None changes nothing."""
    token = _WITHIN.set(_WITHIN.get() if size is None else size)
    try:
        yield
    finally:
        _WITHIN.reset(token)


def memory_allowed() -> int:
    """Bytes that one piece of work may take: :func:`limit_memory`, IDENTIFY_MEMORY (in GiB), or half of the machine's memory."""
    within = _WITHIN.get()
    if within is not None:
        return within
    text = os.environ.get("IDENTIFY_MEMORY")
    if text is not None:
        try:
            limit = float(text)
        except ValueError:
            limit = 0.0
        if not 0 < limit < 1e6:
            raise InputError(f"IDENTIFY_MEMORY: received {text!r}, expected a number of GiB such as 8")
        return int(limit * 2**30)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return 4 * 2**30


def refuse_above(bytes_needed: int, what: str) -> None:
    """Raise :class:`TooLargeError` when ``bytes_needed`` exceeds :func:`memory_allowed`."""
    allowed = memory_allowed()
    if bytes_needed > allowed:
        raise TooLargeError(what, bytes_needed, allowed)


def readable(size: float) -> str:
    """A number of bytes as a person reads it; an integer may be larger than every float."""
    if size > sys.float_info.max:
        return f"{Decimal(size) / 2**40:.1e} TiB"
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB" if size < 1e6 else f"{size:.1e} TiB"


def about(seconds: float) -> str:
    """An estimate of a time, as a person reads it."""
    return readable_seconds(seconds) if seconds < 1 else f"about {readable_seconds(seconds)}"


def readable_seconds(seconds: float) -> str:
    """A time as a person reads it."""
    if seconds < 1:
        return "less than a second"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
