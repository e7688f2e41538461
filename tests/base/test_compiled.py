"""Compiled programs are bounded: sizes that are always new do not fill the memory, and programs of other code stay."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import identify as idf
from identify.base import compiled


@pytest.fixture
def function(monkeypatch):
    monkeypatch.setattr(compiled, "_functions", [])
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


def test_every_compiled_function_of_a_module_is_registered():
    from identify.attacks import objectives, running, splits, stationary, training
    from identify.recovery import least_squares, projection
    from identify.recovery.separation import devices
    from identify.recovery.steps import frozen
    from identify.recovery.steps import training as steps
    from identify.splitting import inner, matrices

    modules = (objectives, running, splits, stationary, training, least_squares, projection, devices, frozen, steps, inner, matrices)
    own = [value for module in modules for value in vars(module).values() if hasattr(value, "clear_cache")]
    assert len(own) > 15 and all(any(each is known for known in compiled._functions) for each in own)
