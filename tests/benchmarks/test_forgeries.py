"""The study of forged certificates: a slice of it, and a checker that is not careful enough."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the benchmarks are part of the repository, not of the package", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import forgeries  # noqa: E402

import identify as idf  # noqa: E402


@pytest.fixture(scope="module")
def made():
    """Genuine certificates of two networks: of data that are not unique first."""
    return [forgeries.certificates(index, 0) for index in (1, 5)]


def test_genuine_certificates_are_of_both_kinds(made):
    verdicts = {body["claim"]["verdict"] for bodies in made for body in bodies[1:]}
    assert "UNIQUE" in verdicts and all(bodies[0]["claim"]["verdict"] != "UNIQUE" for bodies in made)
    for bodies in made:
        assert all(idf.verify(body) for body in bodies)
        assert all(idf.verify(forgeries.rehashed(body)) for body in bodies)


def test_a_slice_is_refused(made):
    rng = np.random.default_rng(0)
    for bodies in made:
        for _ in range(40):
            body = forgeries.forged(bodies[0], bodies, rng)
            assert body["claim"]["verdict"] == "UNIQUE" and not idf.verify(body, budget=20)


def test_a_checker_that_accepts_is_found_out(monkeypatch, capsys):
    monkeypatch.setattr(forgeries.idf, "verify", lambda body, **options: True)
    monkeypatch.setattr(forgeries, "MANY", 2)
    assert forgeries.main(["--forgeries", "2"]) == 1
    assert "| 2 | 0 | 2 |" in capsys.readouterr().out
