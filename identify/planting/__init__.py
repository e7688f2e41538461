"""Instances with known data: configurations, KKT points, eigenvectors, multipliers."""
