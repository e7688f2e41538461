"""Marks of single cases of a parametrised test."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: Any):
    """A case that takes more than 2 seconds of a processor, beside faster ones for the same claim."""
    return pytest.param(*values, marks=pytest.mark.slow)


def once(*values: Any):
    """A case that takes seconds, beside one that calls the same functions: not repeated with annotations executed or with old versions."""
    return pytest.param(*values, marks=pytest.mark.once)


def alone(test: Any) -> Any:
    """A slow test without a faster one for the same claim: continuous integration runs it, ``pytest -m alone``."""
    return pytest.mark.slow(pytest.mark.alone(test))
