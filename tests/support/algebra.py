"""SymPy's solutions without the process of its own, which takes a second to start; tests/symbolic/test_solve.py starts it."""

from __future__ import annotations

import json

import pytest

from identify.symbolic import groebner


def in_this_process(patch: pytest.MonkeyPatch) -> None:
    """Tasks go to SymPy as the process reads them, and its answers come back as the process writes them; no limit is kept."""

    def run(command, seconds, text, env) -> tuple[str, str, int]:
        return json.dumps(groebner._solve(**json.loads(text))), "", 0

    patch.setattr(groebner, "run_within", run)
