"""Planted updates of all kinds, for ``benchmarks/claims.py``."""
