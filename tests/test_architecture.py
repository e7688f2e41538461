"""The house rules that keep the package readable: the order of imports, and one list of public names."""

import ast
import re
from pathlib import Path

import identify

ROOT = Path(identify.__file__).parent
ORDER = [
    "limits",
    "files",
    "checkpoints",
    "activation",
    "network",
    "stationarity",
    "ambiguity",
    "eigenvectors",
    "multipliers",
    "kkt_points",
    "configuration",
    "report",
    "exact",
    "symbolic",
    "conditions",
    "recovery",
    "attacks",
    "certificates",
    "theory",
    "sweeps",
    "io",
    "demo",
    "cli",
]


def imports(path: Path) -> set[str]:
    """First components, below ``identify``, of everything that a module imports at its top level."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("identify."):
            found.add(node.module.split(".")[1])
    return found


def test_every_module_has_a_row():
    rows = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")}
    assert rows - {"__init__"} == set(ORDER)


def test_modules_import_only_from_rows_above_their_own():
    for path in ROOT.rglob("*.py"):
        row = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if row == "__init__":
            continue
        below = {name for name in imports(path) if ORDER.index(name) > ORDER.index(row)}
        assert not below, f"{path.relative_to(ROOT)} imports {below}, which come after it"


def test_exact_verdicts_do_not_need_jax():
    for folder in ("exact", "conditions", "report", "theory"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not re.search(r"^\s*(import|from) (jax|sympy)\b", path.read_text(encoding="utf-8"), re.M), path


def test_public_names_are_listed_once_and_exist():
    assert sorted(identify.__all__) == identify.__all__ == sorted(identify._HOME)
    for name in identify.__all__:
        assert getattr(identify, name).__doc__, name
    assert set(identify.__all__) <= set(dir(identify))


def test_every_module_says_what_it_is_for():
    for path in ROOT.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path
