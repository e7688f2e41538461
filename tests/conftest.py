"""Reproducible runs: the same examples of property tests every time, one thread for each process; annotations are executed."""

import gc
import os

# Read when NumPy and JAX are imported, so before everything else; for the processes that tests start, too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import settings
from support import compiling, executed
from support.golden import golden, pytest_addoption, pytest_configure, pytest_sessionfinish  # noqa: F401

compiling.set_up()

settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")

executed.install()


def pytest_collection_finish():
    """What was imported and collected stays to the end: the collector of garbage need not look through it again and again."""
    gc.freeze()  # Hypothesis before 6.140 takes what is left for an unreliable test
