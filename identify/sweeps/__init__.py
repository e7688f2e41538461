"""Grids of tasks, run by any executor, kept one file each, read as one table and drawn as phase diagrams."""
