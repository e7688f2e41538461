"""Faults while files are written and after, for ``benchmarks/faults.py``."""
