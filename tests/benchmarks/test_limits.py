"""Every verb at sizes a hundred times too large keeps to its budget, and an interrupt ends it: a slice here, all of them with -m slow."""

from __future__ import annotations

import ast
import inspect
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import identify
from identify import attacks

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the benchmarks are part of the repository, not of the package", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))
LIMITS = SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "limits.py")))
SWEEP = sys.modules["limiting.cases"].SWEEP
sys.path.remove(str(BENCHMARKS))
QUICK = ("check, configuration, more samples", "check, configuration, planted", "check, many outputs", "largest_identifiable")
"""These load no JAX. (Nor does "verify", whose budget tests/certificates/test_large.py looks at, without a process of its own.)"""
BUDGET = 2.0
LOADED = 3.0
"""Factor on all times, for machines that do other things as well."""


def called(code: str) -> set[str]:
    """The names that code calls."""
    calls = [node.func for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return {each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in calls}


def verbs() -> set[str]:
    """Public functions, and methods of public classes that limit their time."""
    found = set()
    for module in (identify, attacks):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                found.add(name)
            elif inspect.isclass(value):
                methods = inspect.getmembers(value, inspect.isfunction)
                found |= {name for name, method in methods if {"budget", "time_limit"} & set(inspect.signature(method).parameters)}
    return {name for name in found if not name.startswith("_")}


def test_every_public_verb_is_measured():
    """A new verb needs a case; one that takes a budget, a case with it."""
    calls = [LIMITS.CASES[name][1] for name in LIMITS.CASES]
    assert verbs() - set().union(*map(called, calls)) == set()
    limited = {name for name in identify.__all__ if "budget" in _parameters(identify, name)}
    limited |= {name for name in attacks.__all__ if "budget" in _parameters(attacks, name)}
    assert {"check", "train", "diagnose", "sweep_updates"} <= limited
    assert limited - set().union(*(called(call) for call in calls if "budget" in call)) == set()


def test_a_verb_without_a_case_is_seen():
    assert called("identify.attacks.fresh(check(1), x.y(2)[0])") == {"fresh", "check", "y"}
    assert {"recover", "solve", "certificate", "vertices"} <= verbs() and not {"Report", "to_html"} & verbs()


def _parameters(module: ModuleType, name: str) -> set[str]:
    value = getattr(module, name)
    return set(inspect.signature(value).parameters) if inspect.isfunction(value) else set()


def cases(quick: bool) -> list:
    return [pytest.param(name, marks=() if quick and name in QUICK else pytest.mark.slow) for name in LIMITS.CASES]


@pytest.mark.parametrize("name", cases(quick=True))
def test_a_budget_is_kept_and_the_answer_is_typed(name):
    found = LIMITS.measured(name, BUDGET)
    assert LIMITS.is_kept(found, BUDGET, by_cpu=True), found


@pytest.mark.parametrize("number", LIMITS.SIGNALS)
@pytest.mark.parametrize("name", cases(quick=False))
def test_a_signal_ends_it(name, number):
    found = LIMITS.measured(name, 60.0, interrupt=0.5, number=number)
    assert found.is_typed and found.seconds < LOADED * LIMITS.AFTER_INTERRUPT, found


@pytest.mark.parametrize("number", LIMITS.SIGNALS)
def test_a_signal_ends_a_sweep_and_its_processes(number):
    """A task that takes longer than the test: the processes of the sweep are waited for, so they have ended, too."""
    LIMITS.CASES["a long sweep"] = (
        SWEEP.format("'verdict'", 60, "samples=50, bias=[False, True]", 300),
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
    assert not LIMITS.is_kept(LIMITS.Measured("MemoryError", False, 0.1, 0.0), 1.0)
    assert not LIMITS.is_stopped(LIMITS.Measured("Report", True, 2.1, 0.0))
