"""Every verb at sizes a hundred times too large keeps to its budget, and an interrupt ends it: a slice here, all of them with -m slow."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the benchmarks are part of the repository, not of the package", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))
LIMITS = SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "limits.py")))
sys.path.remove(str(BENCHMARKS))
QUICK = ("check, configuration, more samples", "check, configuration, planted", "check, many outputs", "largest_identifiable")
"""These load no JAX. (Nor does "verify", whose budget tests/certificates/test_large.py looks at, without a process of its own.)"""
BUDGET = 2.0
LOADED = 3.0
"""Factor on all times, for machines that do other things as well."""


def cases(quick: bool) -> list:
    return [pytest.param(name, marks=() if quick and name in QUICK else pytest.mark.slow) for name in LIMITS.CASES]


@pytest.mark.parametrize("name", cases(quick=True))
def test_a_budget_is_kept_and_the_answer_is_typed(name):
    found = LIMITS.measured(name, BUDGET)
    assert found.is_typed and min(found.seconds, found.cpu) < max(2 * BUDGET, LIMITS.WITHIN), found
    assert found.peak - found.before <= LIMITS.MORE * 1024 * LIMITS.MEMORY, found


@pytest.mark.parametrize("number", LIMITS.SIGNALS)
@pytest.mark.parametrize("name", cases(quick=False))
def test_a_signal_ends_it(name, number):
    found = LIMITS.measured(name, 60.0, interrupt=0.5, number=number)
    assert found.is_typed and found.seconds < LOADED * LIMITS.AFTER_INTERRUPT, found


@pytest.mark.parametrize("number", LIMITS.SIGNALS)
def test_a_signal_ends_a_sweep_and_its_processes(number):
    """A task that takes longer than the test: the processes of the sweep are waited for, so they have ended, too."""
    LIMITS.CASES["a long sweep"] = (
        LIMITS.SWEEP.format("'verdict'", 60, "samples=50, bias=[False, True]", 300),
        "idf.sweep(grid, store=store, workers=1)",
    )
    found = LIMITS.measured("a long sweep", 60.0, interrupt=1.0, number=number)
    assert found.outcome == "KeyboardInterrupt" and found.seconds < LOADED * LIMITS.AFTER_INTERRUPT, found


def test_what_fails_is_seen():
    """Untyped errors, deaths, and cases that do not begin."""
    LIMITS.CASES.update(
        {
            "untyped": ("", "1 / 0"),
            "late": ("", "time.sleep(3)"),
            "dead": ("import os", "os._exit(3)"),
            "not begun": ("raise ValueError('no')", "None"),
        }
    )
    found = {name: LIMITS.measured(name, 0.1) for name in ("untyped", "late", "dead", "not begun")}
    assert not found["untyped"].is_typed and "ZeroDivisionError" in found["untyped"].outcome
    assert found["late"].is_typed and found["late"].seconds >= 3 and found["late"].outcome == "NoneType"
    assert found["dead"].outcome.startswith("died") and found["not begun"].outcome.startswith("not begun")
    assert not LIMITS.is_kept(LIMITS.Measured("Report", True, 5.1, 0.0), 1.0) and LIMITS.is_kept(
        LIMITS.Measured("Report", True, 4.9, 0.0), 1.0
    )
    assert not LIMITS.is_stopped(LIMITS.Measured("Report", True, 2.1, 0.0))
