"""Separation: every sample solves a small system of its own."""
