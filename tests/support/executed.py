"""Annotations of types and shapes are executed: beartype checks each call of the modules named here, in tests and in doctests.

Only if the environment variable IDENTIFY_TYPES is 1, as in CI: it doubles the time. Types and shapes hardly differ between the cases of a
test, so that a few of each are enough (``few.py``).
"""

import os
from importlib.util import find_spec
from pathlib import Path

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

PACKAGE = Path(find_spec("identify").origin).parent
CHECKED = ("problem", "exact", "recovery")
"""Folders whose annotations of types and shapes are executed, here and in doctests."""
UNCHECKED = {
    "problem/activation.py",
    "problem/ambiguity.py",
    "problem/arrays.py",
    "problem/network.py",
    "problem/one_layer.py",
    "problem/system.py",
    "problem/updates.py",
    "recovery/recover.py",
    "recovery/solution.py",
}
"""Modules that take anything that is like an array from the user, and check it themselves, with errors of their own."""


def checked_modules() -> list[str]:
    paths = sorted(path.relative_to(PACKAGE).as_posix() for folder in CHECKED for path in (PACKAGE / folder).rglob("*.py"))
    kept = [path for path in paths if path not in UNCHECKED and not path.endswith("__init__.py")]
    return [f"identify.{path.removesuffix('.py').replace('/', '.')}" for path in kept]


typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""An integer serves where a float is declared, as for mypy."""


def is_on() -> bool:
    return os.environ.get("IDENTIFY_TYPES") == "1"


def install() -> None:
    """Before these modules are imported."""
    if is_on():
        install_import_hook(checked_modules(), f"{__name__}.typechecker")
