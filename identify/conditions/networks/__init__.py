"""Verdicts for networks of any activation and depth: one file for each theorem, and the judgement that composes them."""
