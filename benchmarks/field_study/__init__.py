"""The arms of ``benchmarks/field.py``: what other methods and identify make of the same update, and how their answers are scored."""
