"""What pyproject.toml declares for extras, for pip: ``python .ci/requirements.py docs lint``; with ``--lowest`` the lowest versions."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

OWN = re.compile(r"kkt-identify\[(.*)\]")
BOUND = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?>=([0-9.]+)")


def requirements(project: dict, extras: list[str]) -> Iterator[str]:
    """Those of the package and of these extras, and of the extras that they name."""
    for requirement in [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]:
        if own := OWN.fullmatch(requirement):
            yield from requirements({**project, "dependencies": []}, own[1].split(","))
        else:
            yield requirement


def floors(project: dict, extras: list[str]) -> Iterator[str]:
    """``name==version`` for each of them."""
    return ("==".join(BOUND.fullmatch(requirement).groups()) for requirement in requirements(project, extras))


if __name__ == "__main__":
    content = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    named = floors if "--lowest" in sys.argv else requirements
    print("\n".join(sorted(set(named(content["project"], [extra for extra in sys.argv[1:] if not extra.startswith("--")])))))
