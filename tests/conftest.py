"""Reproducible runs: the same examples of property tests every time, one thread for each process; annotations are executed."""

import os

# Read when NumPy and JAX are imported, so before everything else; for the processes that tests start, too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # the other cores are taken by the other workers
    os.environ.setdefault("NPROC", "1")  # of XLA

from hypothesis import settings
from support import executed
from support.golden import golden, pytest_addoption, pytest_configure, pytest_sessionfinish  # noqa: F401

settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")

executed.install()
