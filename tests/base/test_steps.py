"""The runner of steps: what each outcome is, and that nothing is lost between two of them."""

from __future__ import annotations

import time

import pytest

from identify.base.errors import InputError, OutOfTimeError
from identify.base.limits import LEAST, TooLargeError, limit_time, refuse_when_spent, seconds_left
from identify.base.steps import Ended, Outcome, Step, attempt


def raising(error: BaseException) -> Step[list]:
    def run(state: list) -> None:
        raise error

    return Step("it", run)


def test_done():
    told: list = []
    ended = attempt(Step("it", lambda state: state.append(1) or "value", lambda state: 0.5), state := [], tell=lambda *it: told.append(it))
    assert (ended.outcome, ended.value, state, told) == (Outcome.DONE, "value", [1], [("it", 0.5)])


@pytest.mark.parametrize(
    ("step", "options", "outcome"),
    [
        (Step("it", list.clear), {"is_needed": False}, Outcome.UNNEEDED),
        (Step("it", list.clear, lambda state: 600.0), {"left": 2.0}, Outcome.TOO_LONG),
        (raising(OutOfTimeError("late")), {}, Outcome.OUT_OF_TIME),
        (raising(TooLargeError("a matrix", 2, 1)), {}, Outcome.TOO_LARGE),
        (raising(FloatingPointError("nan")), {"forgiven": (FloatingPointError,)}, Outcome.FAILED),
        (raising(KeyboardInterrupt()), {"keeps_interrupts": True}, Outcome.INTERRUPTED),
    ],
)
def test_every_other_outcome(step, options, outcome):
    ended = attempt(step, state := [1], **options)
    assert ended.outcome is outcome and ended.value is None and state == [1]
    assert ended.why


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("bad"), MemoryError()])
def test_everything_else_is_raised(error):
    with pytest.raises(type(error)):
        attempt(raising(error), [])


def test_why_says_how_much_time_there_was():
    assert Ended(Outcome.TOO_LONG, seconds=600.0, left=2.0).why == "it needs about 10 min, and 2 s of the budget are left"


def test_what_costs_next_to_nothing_is_done_even_when_the_time_is_spent():
    def run(state: list) -> float | None:
        refuse_when_spent("it")
        return seconds_left()

    with limit_time(1e-9):
        time.sleep(1e-3)
        ended = attempt(Step("it", run), [], left=seconds_left())
        assert ended.outcome is Outcome.DONE and 0 < ended.value <= LEAST
        with pytest.raises(OutOfTimeError):
            refuse_when_spent("it")
