"""Marks of single cases of a parametrised test."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def slow(*values: Any):
    """A case that takes more than 2 seconds of a processor, beside faster ones for the same claim."""
    return pytest.param(*values, marks=pytest.mark.slow)


def once(*values: Any):
    """A case that takes seconds, beside one that calls the same functions: not repeated with annotations executed or with old versions."""
    return pytest.param(*values, marks=pytest.mark.once)


def alone(*values: Any) -> Any:
    """A slow test, or a case of one, without a faster one for the same claim: continuous integration runs it, ``pytest -m alone``."""
    if len(values) == 1 and inspect.isfunction(values[0]):
        return pytest.mark.slow(pytest.mark.alone(values[0]))
    return pytest.param(*values, marks=[pytest.mark.slow, pytest.mark.alone])


def thinned(cases: Iterable[Any], step: int = 3, start: int = 0) -> list[Any]:
    """Cases of a grid that repeat a claim in other numbers: every ``step``-th from ``start`` on stays quick, the others are slow.

    A case is a tuple of values, or one value. Choose a step that leaves each value of each factor in the quick ones.
    """
    return [case if k % step == start else _slow(case) for k, case in enumerate(cases)]


def slow_unless(quick: Callable[..., bool], cases: Iterable[Any]) -> list[Any]:
    """Cases of a grid that repeat a claim in other numbers: those that are named stay quick, the others are slow."""
    return [case if quick(*_values(case)) else _slow(case) for case in cases]


def _values(case: Any) -> tuple[Any, ...]:
    return case if type(case) is tuple else (case,)


def _slow(case: Any) -> Any:
    return slow(*_values(case))
