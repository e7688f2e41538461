"""C7, witnesses of non-uniqueness: families, curves, dependent gradients, second solutions."""
