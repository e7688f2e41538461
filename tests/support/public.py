"""The public names: those that the API pages list."""

import re
from importlib import import_module
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "api"
"""They are part of the repository, not of the package."""


def resolved(name: str):
    """The module or attribute that a dotted name stands for."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            value = getattr(value, attribute)
        return value
    raise ModuleNotFoundError(name)


def listed() -> list[str]:
    """Every name of the API pages, as written there."""
    return [name for path in sorted(PAGES.glob("*.md")) for name in re.findall(r"^::: (\S+)", path.read_text("utf-8"), re.M)]
