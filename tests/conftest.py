"""Reproducible runs: the same examples of property tests every time, one thread for each process; annotations are executed."""

import gc
import os
import sys

# Read when NumPy and JAX are imported, so before everything else; for the processes that tests start, too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from support import compiling, executed, few
from support import golden as messages
from support.golden import golden, pytest_addoption, pytest_configure  # noqa: F401

compiling.set_up()
gc.disable()  # until all is collected: what is imported stays

settings.register_profile("reproducible", derandomize=True, deadline=None, max_examples=few.EXAMPLES if few.is_on() else 30)
settings.load_profile("reproducible")

executed.install()

COMPILED, GROWN = 1500, 700
"""MiB of a process above which what JAX compiled is dropped at the end of a file: each program keeps more than one, to the end. And how
much it has to grow until that is done again: looking for garbage among all that a long run holds takes seconds."""
_dropped = {"at": 0.0}


@pytest.fixture(autouse=True, scope="module")
def bounded_memory():
    """Else the processes of a whole run take several GB each, mostly for programs that no later test calls."""
    yield
    if "jax" in sys.modules and resident() > max(COMPILED, _dropped["at"] + GROWN):
        sys.modules["jax"].clear_caches()
        gc.collect()
        _dropped["at"] = resident()


def resident() -> float:
    """MiB of memory that this process holds; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """No examples in docstrings are looked for in the tests: there are none, and each file would be looked through twice."""
    return [each for each in (yield) if type(each).__name__ != "DoctestModule"]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop():
    gc.enable()  # also where other processes run the tests


@pytest.hookimpl(trylast=True)  # of those that the marks leave
def pytest_collection_modifyitems(config, items):
    if few.is_on():
        items[:], others = few.chosen(items)
        config.hook.pytest_deselected(items=others)
    if file := os.environ.get("IDENTIFY_ONLY"):
        items[:], others = few.skipped_before(items, file)
        config.hook.pytest_deselected(items=others)


def pytest_runtest_logreport(report):
    few.note(report)


def pytest_collectreport(report):
    few.note(report)


def pytest_sessionfinish(session):
    messages.pytest_sessionfinish(session)
    few.write()


def pytest_collection_finish():
    """What was imported and collected stays to the end: the collector of garbage need not look through it again and again.

    It also looks less often: tracing, algebra and parsing make millions of objects that live as long as a test, and almost no cycles.
    """
    gc.freeze()  # Hypothesis before 6.140 takes what is left for an unreliable test
    gc.set_threshold(20_000, 20, 20)
