"""How well verbs keep to their limits: the cases."""
