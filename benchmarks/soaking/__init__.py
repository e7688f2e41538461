"""The parts of ``benchmarks/soak.py``: what a round does, and what is measured after it."""
