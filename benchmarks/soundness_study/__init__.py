"""The parts of ``benchmarks/soundness.py``: instances, an oracle that knows no condition of the checker, and the comparison."""
