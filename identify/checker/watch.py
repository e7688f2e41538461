"""How long a check may take, and whom it tells what it does.

Part of the checker: imports the standard library, and the errors of this package.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from identify.base.errors import OutOfTimeError

WORTH_TELLING = 0.5
"""Seconds."""


class Watch:
    """Looks at the clock between pieces of work; ``tell(name, seconds)`` hears of what is estimated to take longer than a moment."""

    def __init__(self, budget: float | None = None, tell: Callable[[str, float], None] | None = None):
        self.deadline = None if budget is None else time.monotonic() + budget
        self.tell = tell

    def begin(self, name: str, seconds: float) -> None:
        """A piece of work of that estimate. Raises OutOfTimeError when less time is left."""
        left = self.left()
        if left is not None and seconds > max(left, WORTH_TELLING):
            raise OutOfTimeError(f"{name} takes about {seconds:.2g} s, and {left:.2g} s of the budget are left")
        if self.tell is not None and seconds > WORTH_TELLING:
            self.tell(name, seconds)

    def look(self) -> None:
        """Raises OutOfTimeError when no time is left."""
        left = self.left()
        if left is not None and left < -WORTH_TELLING:
            raise OutOfTimeError("the budget is spent")

    def left(self) -> float | None:
        """Seconds, negative beyond the end; None without an end."""
        return None if self.deadline is None else self.deadline - time.monotonic()


_CURRENT: ContextVar[Watch | None] = ContextVar("watch", default=None)


def watch() -> Watch:
    """The watch of the check under way; one without an end if there is none."""
    return _CURRENT.get() or Watch()


@contextmanager
def watched(budget: float | None, tell: Callable[[str, float], None] | None) -> Iterator[None]:
    """Within this block :func:`watch` has that end, and tells that."""
    token = _CURRENT.set(Watch(budget, tell))
    try:
        yield
    finally:
        _CURRENT.reset(token)
