"""Grids of tasks: run by any executor, stored in one file each, read as one table and drawn as phase diagrams."""
