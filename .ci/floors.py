"""The lowest versions that pyproject.toml declares, as constraints for pip: ``python .ci/floors.py test > constraints.txt``."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

OWN = re.compile(r"kkt-identify\[(.*)\]")
BOUND = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?>=([0-9.]+)")


def floors(project: dict, extras: list[str]) -> Iterator[str]:
    """``name==version`` for the package and these extras, and for the extras that they name."""
    requirements = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    for requirement in requirements:
        if own := OWN.fullmatch(requirement):
            yield from floors({**project, "dependencies": []}, own[1].split(","))
        else:
            yield "==".join(BOUND.fullmatch(requirement).groups())


if __name__ == "__main__":
    content = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    print("\n".join(sorted(set(floors(content["project"], sys.argv[1:])))))
