"""Wrong options and arguments, in the form of every other error: name: received ..., expected ...; what to do."""

from __future__ import annotations

import sys
from typing import Any

import typer

from identify.base.options import nearest
from identify.cli.app import app

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""The exception of the parser: click's own, or that of the copy of click in newer versions of typer."""


def usage(error: Any) -> str:
    """One line for an error of the parser."""
    command, path = _command(error)
    see = f"see {path} --help"
    kind, param = type(error).__name__, getattr(error, "param", None)
    if kind == "NoSuchOption":
        known = [option for one in command.params for option in one.opts]
        return f"{error.option_name}: no such option{nearest(error.option_name, known)}; {see}"
    if kind == "BadOptionUsage":
        flags = [option for one in command.params if getattr(one, "is_flag", False) for option in (*one.opts, *one.secondary_opts)]
        said = "received a value, expected none" if error.option_name in flags else "received nothing, expected a value"
        return f"{error.option_name}: {said}; {see}"
    if param is None:
        return f"{error.message[:1].lower()}{error.message[1:].rstrip('.')}; {see}"
    name = max(param.opts, key=len) if param.param_type_name == "option" else param.name
    return f"{name}: missing; {see}" if kind == "MissingParameter" else f"{name}: {error.message}"


def _command(error: Any) -> tuple[Any, str]:
    """The command that was called, and how; the parser does not always say it."""
    if error.ctx:
        return error.ctx.command, error.ctx.command_path
    whole = typer.main.get_command(app)
    name = next(iter(sys.argv[1:]), "")
    return (whole.commands[name], f"identify {name}") if name in whole.commands else (whole, "identify")  # type: ignore[attr-defined]
