"""Compiled programs are bounded: sizes that are always new do not fill the memory, and programs of other code stay for a while."""

from __future__ import annotations

import ast
from pathlib import Path

import jax
import numpy as np
import pytest
from support.marks import alone

import identify as idf
from identify import attacks
from identify.base import compiled


@pytest.fixture
def function(monkeypatch):
    monkeypatch.setattr(compiled, "_functions", [])
    monkeypatch.setattr(compiled, "_dropped", 0)
    monkeypatch.setattr(compiled, "MOST", 3)
    return compiled.bounded(jax.jit(lambda x: x + 1))


def test_programs_are_dropped_at_the_end_of_the_outermost_call(function):
    other = jax.jit(lambda x: x - 1)
    other(np.ones(2))
    with compiled.dropping():
        with compiled.dropping():
            for size in range(5):
                function(np.ones(size))
        assert compiled.kept() == 5
    assert compiled.kept() == 0 and other._cache_size() == 1
    assert function(np.ones(2)).tolist() == [2, 2]


def test_few_programs_stay_also_after_an_error(function):
    with pytest.raises(ZeroDivisionError), compiled.dropping():
        function(np.ones(1))
        raise ZeroDivisionError
    assert compiled.kept() == 1
    with compiled.dropping():
        function(np.ones(1))
    assert compiled.kept() == 1


@alone
def test_recoveries_of_new_sizes_hold_a_bounded_number(monkeypatch):
    with monkeypatch.context() as none:
        none.setattr(compiled, "MOST", -1)
        with compiled.dropping():
            pass
    monkeypatch.setattr(compiled, "MOST", 3)
    held = []
    for width in (12, 13):
        system, truth = idf.Configuration(inputs=4, samples=3, width=width, activation="z + z^3").plant(seed=1)
        found = idf.recover(system, samples=3, method="projection", starts=4, judge=False)
        assert found.match(truth.X, truth.c).errors.max() < 1e-6
        held.append(compiled.kept())
    assert held == [2, 0]


def test_now_and_then_all_programs_are_dropped(function, monkeypatch):
    forgotten, other = [], jax.jit(lambda x: x - 1)
    monkeypatch.setattr(compiled, "_dropped", 0)
    monkeypatch.setattr(compiled, "_forgetting", [lambda: forgotten.append(other._cache_size())])
    other(np.ones(2))
    for _ in range(compiled.DROPS + 1):
        assert other._cache_size() == 1
        with compiled.dropping():
            for size in range(4):
                function(np.ones(size))
    assert forgotten == [1] * (compiled.DROPS + 1) and other._cache_size() == 0


SOURCES = sorted(path for path in Path(idf.__file__).parent.rglob("*.py") if "cli" not in path.parts)


def unregistered(source: str) -> list[int]:
    """Lines at which ``jax.jit`` makes a function that is neither registered nor used up at once by ``.lower(...)``."""
    tree, allowed = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(each) == "bounded" for each in node.decorator_list):
            allowed.update(id(inner) for each in node.decorator_list for inner in ast.walk(each))
        if isinstance(node, ast.Call) and (ast.unparse(node.func) == "bounded" or ast.unparse(node.func).endswith(".lower")):
            allowed.update(id(inner) for inner in ast.walk(node))
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "jax.jit" and id(node) not in allowed
    ]


@pytest.mark.parametrize("path", [path for path in SOURCES if "jax.jit" in path.read_text("utf-8")], ids=lambda path: path.name)
def test_every_compiled_function_is_registered(path):
    """Command lines end with their process; all else may be called again and again with new sizes."""
    assert unregistered(path.read_text("utf-8")) == []


def test_an_unregistered_function_is_seen():
    bad = "@jax.jit\ndef f(x): ...\n\n@partial(jax.jit, static_argnums=0)\ndef g(x): ...\n\nh = jax.jit(lambda x: x)\n"
    assert len(unregistered(bad)) == 3
    good = "@bounded\n@jax.jit\ndef f(x): ...\n\nh = bounded(jax.jit(f))\nk = jax.jit(f).lower(1).compile()\n"
    assert unregistered(good) == []


@alone
def test_attacks_of_new_sizes_compile_nothing_but_registered_functions(monkeypatch):
    """An operation outside of a compiled function leaves a program of 1 MiB for each size, which nothing drops."""
    with monkeypatch.context() as none:
        none.setattr(compiled, "MOST", -1)
        with compiled.dropping():
            pass
    monkeypatch.setattr(compiled, "MOST", 1000)
    made = []
    for width in (23, 29):
        before, counts = compiled.kept(), []

        def heard(event, seconds, counts=counts, **_):
            counts.append(event == "/jax/core/compile/backend_compile_duration")

        jax.monitoring.register_event_duration_secs_listener(heard)
        net, X = attacks.random_network((5, width, 1), seed=0), np.random.default_rng(0).standard_normal((3, 5))
        final = attacks.train(net, X, [-1.0, 1.0, 1.0], steps=2, momentum=0.5).final
        idf.reconstruct(attacks.loo(net, final), candidates=4, steps=4, splitting=idf.Splitting(every=2, threshold=0))
        attacks.diagnose(attacks.loo(net, final), X, signed=True)
        attacks.corners(final, -1, 1, starts=3)
        jax.monitoring.unregister_event_duration_listener(heard)
        made.append((sum(counts), compiled.kept() - before))
    assert made[1][0] == made[1][1] > 5
