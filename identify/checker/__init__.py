"""The independent checker of certificates: the standard library and python-flint only."""
