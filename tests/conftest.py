"""Reproducible property tests: the same examples on every run, however slow the machine."""

from hypothesis import settings

settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")
