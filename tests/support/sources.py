"""The source files of the package, each parsed once for all tests of a process."""

from __future__ import annotations

import ast
import gc
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(find_spec("identify").origin).parent


@cache
def trees() -> dict[Path, ast.Module]:
    """The syntax of every file of the package, in the order of their paths; nobody changes it."""
    enabled = gc.isenabled()
    gc.disable()  # the collector would look through half a million new nodes again and again, which takes longer than parsing
    try:
        return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    finally:
        if enabled:
            gc.enable()
