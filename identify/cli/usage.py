"""Wrong options and arguments, said as every other error is: name: received ..., expected ...; what to do."""

from __future__ import annotations

from typing import Any

import typer

from identify.base.options import nearest

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What the parser raises: of click, or of the copy of it that is part of newer typers."""


def _takes_a_value(error: Any) -> bool:
    options = error.ctx.command.get_params(error.ctx) if error.ctx else []
    return not any(error.option_name in (*one.opts, *one.secondary_opts) and one.is_flag for one in options if hasattr(one, "is_flag"))


def usage(error: Any) -> str:
    """One line for an error of the parser."""
    see = f"see {error.ctx.command_path} --help" if error.ctx else "see --help"
    kind, param = type(error).__name__, getattr(error, "param", None)
    if kind == "NoSuchOption":
        known = [option for one in error.ctx.command.get_params(error.ctx) for option in one.opts] if error.ctx else []
        return f"{error.option_name}: no such option{nearest(error.option_name, known)}; {see}"
    if kind == "BadOptionUsage":
        said = "received nothing, expected a value" if _takes_a_value(error) else "received a value, expected none"
        return f"{error.option_name}: {said}; {see}"
    if param is None:
        return f"{error.message[:1].lower()}{error.message[1:].rstrip('.')}; {see}"
    name = max(param.opts, key=len) if param.param_type_name == "option" else param.name
    return f"{name}: missing; {see}" if kind == "MissingParameter" else f"{name}: {error.message}"
