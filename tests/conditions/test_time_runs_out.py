"""A budget may be spent at any look at the clock: public questions answer all the same, and say what they left out."""

from __future__ import annotations

import time

import numpy as np
import pytest
from support.marks import alone, slow

import identify as idf
from identify.base import limits

NEVER = 10**9


class Clock:
    """The monotonic clock of budgets, which jumps by days at one of the looks at it."""

    def __init__(self):
        self.looks, self.at = 0, NEVER

    def monotonic(self) -> float:
        self.looks += 1
        return time.monotonic() + (1e6 if self.looks >= self.at else 0.0)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(limits, "time", made)
    return made


def every_look(clock, ask, most):
    """Ask with time that runs out at the first look, the second one, and so on: at most so many of them, evenly spread."""
    ask()
    looks = clock.looks
    for at in np.unique(np.linspace(1, looks, min(looks, most)).astype(int)):
        clock.looks, clock.at = 0, int(at)
        yield ask()
    assert looks > 5


def planted(width, activation, inputs=6, samples=3, outputs=3):
    config = idf.Configuration(inputs=inputs, samples=samples, width=width, activation=activation, outputs=outputs, bias=True)
    return config.plant(0)


SUBJECTS = [
    ("piecewise-linear, two layers", 18, "relu", {"inputs": 5, "samples": 4}),
    ("piecewise-linear, narrow", 4, "relu", {"inputs": 3, "samples": 2}),
    ("piecewise-linear, three layers", (12, 9), "relu", {}),
    ("analytic", (12, 9), "gelu", {}),
    ("polynomial", 14, "z + z^2/2 + z^3", {"outputs": 2}),
]


@pytest.mark.parametrize("most", [16, slow(60)])
@pytest.mark.parametrize(("width", "activation", "sizes"), [row[1:] for row in SUBJECTS], ids=[row[0] for row in SUBJECTS])
def test_a_check(clock, width, activation, sizes, most):
    system, truth = planted(width, activation, **sizes)
    usual = idf.check(system, data=(truth.X, truth.c)).verdict
    for report in every_look(clock, lambda: idf.check(system, data=(truth.X, truth.c), budget=500.0), most):
        assert report.verdict in (usual, idf.Verdict.LOCALLY_UNIQUE, idf.Verdict.UNDECIDED)


@pytest.mark.parametrize(
    ("width", "activation", "most"), [alone(18, "relu", 3), slow(18, "relu", 6), slow((12, 9), "gelu", 6), slow(14, "z + z^2/2 + z^3", 6)]
)
def test_curves_of_defences(clock, width, activation, most):
    system, truth = planted(width, activation)
    levels = dict.fromkeys(("rounding", "weights", "width", "clipping", "dp_sgd", "formats", "withheld", "steps"), ())
    levels = levels if activation != "z + z^2/2 + z^3" else {"rounding": (), "weights": (), "width": (), "degree": ()}
    asked = levels | {"noise": (1e-6, 1e-3), "batch": (2,), "spot_checks": 1, "budget": 500.0}
    for found in every_look(clock, lambda: idf.defences(system, truth.X, truth.c, **asked), most):
        assert {curve.name for curve in found.curves} == {"noise", "batch"}
