"""The checker of certificates about networks of any activation and depth: the standard library and python-flint only."""
