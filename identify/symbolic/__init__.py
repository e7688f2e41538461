"""The symbolic view of (S): SymPy at the surface, python-flint polynomials inside."""
