"""Malformed input for every reader and for the command line, and the judgement of what became of it."""
