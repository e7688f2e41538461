"""The conditions for uniqueness, one module each, and :func:`check`, which composes them into a verdict."""
