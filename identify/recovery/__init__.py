"""Recovery of the data: reduce, solve for the moments, decompose, fix the scale, polish, and say how far to trust it."""
