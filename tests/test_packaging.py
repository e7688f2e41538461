"""What is published: one version, true classifiers, floors that are declared, sources that hold what their tests need."""

from __future__ import annotations

import re
import runpy
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import identify

ROOT = Path(__file__).parents[1]
if not (ROOT / "pyproject.toml").exists():
    pytest.skip("the package is tested without its sources", allow_module_level=True)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REQUIREMENTS = [
    *PROJECT["project"]["dependencies"],
    *(one for some in PROJECT["project"]["optional-dependencies"].values() for one in some),
]


def test_one_version():
    """The installed one is that of the sources, which is where the others have it from."""
    assert PROJECT["project"]["dynamic"] == ["version"] and PROJECT["tool"]["hatch"]["version"]["path"] == "identify/__init__.py"
    assert identify.__version__ == version("kkt-identify")
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == identify.__version__


def test_the_package_is_typed():
    assert (ROOT / "identify" / "py.typed").is_file() and "Typing :: Typed" in PROJECT["project"]["classifiers"]


def test_classifiers_name_the_versions_of_python_that_are_asked_for():
    named = [match[1] for one in PROJECT["project"]["classifiers"] if (match := re.fullmatch(r"Programming .* :: (3\.\d+)", one))]
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"
    assert (
        PROJECT["tool"]["ruff"]["target-version"] == f"py{named[0].replace('.', '')}"
        and PROJECT["tool"]["mypy"]["python_version"] == named[0]
    )


def test_every_requirement_has_a_floor_that_the_run_of_floors_installs():
    floors = runpy.run_path(str(ROOT / ".ci" / "requirements.py"))["floors"]
    extras = list(PROJECT["project"]["optional-dependencies"])
    pinned = dict(line.split("==") for line in floors(PROJECT["project"], extras))
    asked = {re.match(r"[A-Za-z0-9_.-]+", one)[0] for one in REQUIREMENTS} - {"kkt-identify"}
    assert set(pinned) == asked and all(re.fullmatch(r"\d+(\.\d+)*", number) for number in pinned.values())
    assert tuple(map(int, pinned["jax"].split("."))) >= (0, 8), "jax.enable_x64 is called"


def test_extras_that_errors_advise_exist():
    from identify.base.extras import EXTRAS

    assert set(EXTRAS.values()) <= set(PROJECT["project"]["optional-dependencies"])


def test_sources_hold_what_their_tests_read():
    """Every folder and file at the top; the archive is built in continuous integration, and its tests are run."""
    held = set(PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    ignored = {line.strip("/\n") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()}
    there = {f"/{path.name}" for path in ROOT.iterdir() if path.name not in ignored and path.name != ".git" and path.suffix != ".egg-info"}
    assert there - {"/pyproject.toml", "/PKG-INFO"} == held
