"""The pieces of ``benchmarks/attacks.py``."""
