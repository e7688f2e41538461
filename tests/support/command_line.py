"""The command line in this process: what a test calls in place of a shell."""

from __future__ import annotations

import sys
from functools import cache

import pytest
import typer.main

from identify import cli

built = cache(typer.main.get_command)
"""Of the options of all commands Typer makes a parser for each call, which takes most of a short one; a process makes one call."""


def run(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    """Run the entry point; returns exit status, standard output, standard error."""
    monkeypatch.setattr(typer.main, "get_command", built)
    monkeypatch.setattr(sys, "argv", ["identify", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


LISTENING = """
import signal
from identify.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
