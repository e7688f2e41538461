"""One runner for work that is made of steps: what each costs is known before, and how each ended is a value, not an error.

``check`` runs its conditions with it, ``audit`` its parts. A step that is not needed, for which there is no time, or whose arrays do
not fit in memory is left out, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from identify.base.errors import OutOfTimeError
from identify.base.limits import NEGLIGIBLE, TooLargeError, at_least, readable_seconds

State = TypeVar("State")
"""The results of the steps so far; each reads them, and may add to them."""


class Outcome(Enum):
    """How a step ended."""

    DONE = "done"
    UNNEEDED = "not needed"
    TOO_LONG = "its estimate is more than the time that is left"
    OUT_OF_TIME = "the time was spent while it ran"
    TOO_LARGE = "its arrays do not fit in memory"
    FAILED = "it raised an error that ends this step only"
    INTERRUPTED = "interrupted from the keyboard"


def free(state: Any) -> float:
    """The cost of a step that takes next to no time, or that keeps to the time that is left by itself."""
    return 0.0


@dataclass(frozen=True)
class Step(Generic[State]):
    """One piece of work.

    Attributes
    ----------
    run
        Does it. What it adds to the state it adds at its end, so that an interrupt loses this step only.
    seconds
        An estimate of what it takes, from sizes alone.
    """

    name: str
    run: Callable[[State], Any]
    seconds: Callable[[State], float] = free


@dataclass(frozen=True)
class Ended:
    """How one step ended: ``seconds`` is what was estimated, ``left`` what there was (None: no limit), ``took`` what it took."""

    outcome: Outcome
    value: Any = None
    error: Exception | None = None
    seconds: float = 0.0
    left: float | None = None
    took: float = 0.0

    @property
    def why(self) -> str:
        """One clause for a person: why there is no value."""
        if self.outcome is Outcome.TOO_LONG:
            assert self.left is not None
            return f"it needs about {readable_seconds(self.seconds)}, and {self.left:.2g} s of the budget are left"
        return self.outcome.value if self.error is None else str(self.error)


def attempt(
    step: Step[State],
    state: State,
    *,
    left: float | None = None,
    is_needed: bool = True,
    tell: Callable[[str, float], None] = lambda name, seconds: None,
    forgiven: tuple[type[Exception], ...] = (),
    keeps_interrupts: bool = False,
    running: Callable[[], AbstractContextManager] = nullcontext,
) -> Ended:
    """Run one step, if it is needed and ``left`` (seconds) is enough for it.

    ``tell`` is called with its name and estimate before it runs. Errors that are ``forgiven`` become an outcome; so do time and memory
    that do not suffice, and with ``keeps_interrupts`` a KeyboardInterrupt. Everything else is raised. ``running`` makes a context for the
    time while it runs.
    """
    seconds = step.seconds(state)
    if not is_needed:
        return Ended(Outcome.UNNEEDED, seconds=seconds, left=left)
    if left is not None and seconds > max(left, NEGLIGIBLE):
        return Ended(Outcome.TOO_LONG, seconds=seconds, left=left)
    began = time.monotonic()

    def ended(outcome: Outcome, value: Any = None, error: Exception | None = None) -> Ended:
        return Ended(outcome, value, error, seconds, left, time.monotonic() - began)

    try:
        with running(), at_least():
            tell(step.name, seconds)
            value = step.run(state)
        return ended(Outcome.DONE, value)
    except OutOfTimeError as error:
        return ended(Outcome.OUT_OF_TIME, error=error)
    except TooLargeError as error:
        return ended(Outcome.TOO_LARGE, error=error)
    except forgiven as error:
        return ended(Outcome.FAILED, error=error)
    except KeyboardInterrupt:
        if not keeps_interrupts:
            raise
        return ended(Outcome.INTERRUPTED)
