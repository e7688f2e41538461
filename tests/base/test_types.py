"""Types: what is public is annotated whole, what is annotated is executed in the tests, and integers are checked in one place."""

import ast
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from support.executed import UNCHECKED, checked_modules, is_on
from support.sources import trees

import identify as idf
from identify.exact.modular import rank
from identify.problem.gradients import flatten

ROOT = Path(idf.__file__).parent
PYPROJECT = ROOT.parent / "pyproject.toml"
OWN = {
    "checker/verify.py": "the checker stands alone",
    "base/options.py": "the one place",
    "planting/configuration.py": "a truth value",
    "sweeps/grid.py": "a truth value",
    "problem/formulas.py": "coefficients: any rational number, or a float that is finite",
    "symbolic/export.py": "an odd prime",
}
"""Modules that tell True from 1 themselves in a check that raises, with the reason."""


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "py.typed").exists()


@pytest.mark.skipif(not PYPROJECT.exists(), reason="pyproject.toml is part of the repository, not of the package")
def test_every_module_of_a_public_name_is_checked_strictly():
    overrides = tomllib.loads(PYPROJECT.read_text("utf-8"))["tool"]["mypy"]["overrides"]
    (strict,) = [one for one in overrides if one.get("disallow_untyped_defs")]
    assert set(strict["module"]) == {f"identify.{module}" for module in idf._HOME.values()}
    for module in strict["module"]:
        import_module(module)


def test_modules_that_are_left_out_exist():
    assert all((ROOT / path).is_file() for path in UNCHECKED)


@pytest.mark.skipif(not is_on(), reason="annotations are not executed")
class TestExecution:
    def test_modules_were_loaded_through_the_hook(self):
        assert len(checked_modules()) > 30
        plain = [
            name
            for name in checked_modules()
            if name in sys.modules and type(sys.modules[name].__spec__.loader).__module__.split(".")[0] != "jaxtyping"
        ]
        assert not plain

    def test_a_wrong_shape_is_found(self):
        with pytest.raises(jaxtyping.TypeCheckError, match="rank"):
            rank(np.zeros(3, dtype=np.int64), 7)

    def test_a_wrong_type_is_found(self):
        with pytest.raises(jaxtyping.TypeCheckError, match="flatten"):
            flatten([np.zeros(2)], 3)


def tells_booleans(tree: ast.AST) -> bool:
    """Whether an ``if`` that raises asks for an integer or a number that is no bool."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and any(isinstance(one, ast.Raise) for one in node.body):
            for call in ast.walk(node.test):
                named = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "isinstance"
                if named and "bool" in ast.unparse(call.args[1]):
                    return True
    return False


def test_integers_and_numbers_are_checked_in_one_place():
    found = {path.relative_to(ROOT).as_posix() for path, tree in trees().items() if tells_booleans(tree)}
    assert found <= set(OWN)
    assert tells_booleans(ast.parse("if isinstance(n, bool) or n < 1:\n    raise ValueError"))
    assert not tells_booleans(ast.parse("if isinstance(n, bool):\n    n = 1"))
