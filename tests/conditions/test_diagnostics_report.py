"""Diagnostics in a report: beside the verdict, within the budget, and never in the way of either."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identify.conditions.check import check
from identify.conditions.diagnostics import diagnose as diagnostics
from identify.planting.configuration import Configuration
from identify.problem.gradients import weighted_gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Arithmetic, Report, Verdict, Witness

CUBIC = "z + z^2/2 + z^3"
SENTENCE = re.compile(r"identifiable, to \d+ digits?\b")
PROVED = (Verdict.UNIQUE, Verdict.LOCALLY_UNIQUE)


def planted(d: int = 5, n: int = 4, m: int = 12, activation: str = CUBIC, **options):
    return Configuration(inputs=d, samples=n, width=m, activation=activation, **options).plant(0)


@pytest.fixture(scope="module")
def unique() -> Report:
    system, truth = planted()
    return check(system, data=(truth.X, truth.c))


def everything_said(report: Report) -> list[str]:
    return [" ".join(report.explain().split()), report._repr_html_(), report.to_json()]


class TestTheSentence:
    def test_stands_beside_a_proof(self, unique, tmp_path):
        assert unique.verdict is Verdict.UNIQUE and unique["conditioning"].evidence["digits"]["float32 target"] == 5
        page = unique.to_html(tmp_path / "report.html").read_text("utf-8")
        for text in (*everything_said(unique), page):
            assert SENTENCE.findall(text) == ["identifiable, to 5 digits"]

    def test_says_locally_where_only_that_is_proved(self, unique):
        local = replace(unique, verdict=Verdict.LOCALLY_UNIQUE)
        assert local.precision is not None and local.precision.startswith("these data are locally identifiable, to 5 digits")

    @pytest.mark.parametrize("verdict", [Verdict.NOT_UNIQUE, Verdict.UNDECIDED])
    def test_never_beside_another_verdict(self, unique, verdict):
        other = replace(unique, verdict=verdict)
        assert other.precision is None and not any("identifiable, to" in text for text in everything_said(other))

    def test_not_for_data_that_do_not_solve_the_equations(self):
        system, truth = planted(3, 3, 7, "z^3", regime="max-margin")
        report = check(system, data=(1.1 * truth.X, truth.c))
        assert report.verdict is Verdict.UNDECIDED and report["conditioning"].holds is not None
        assert not any("identifiable, to" in text for text in everything_said(report))

    def test_not_without_the_conditioning(self, unique):
        assert replace(unique, diagnostics=()).precision is None
        open_ = replace(unique["conditioning"], holds=None)
        assert replace(unique, diagnostics=(open_,)).precision is None

    def test_no_digit_is_said(self):
        system, truth = planted(4, 2, 15)
        X = truth.X.copy()
        X[1] = X[0] * (1 + 1e-9)
        system = system.with_target(system.right_hand_side(X, truth.c))
        report = check(system, data=(X, truth.c))
        assert report.verdict in PROVED and report.precision is not None
        assert "identifiable in exact arithmetic, but to no digit" in report.precision
        assert not any(SENTENCE.search(text) for text in everything_said(report))

    def test_one_digit_is_singular_and_the_residual_counts(self):
        system, truth = planted()
        report = check(system.with_target(system.target * (1 + 3e-4 * np.cos(np.arange(72)))), data=(truth.X, truth.c))
        assert report.verdict is Verdict.UNIQUE and report.precision is not None
        kept = report["conditioning"].evidence["digits"]["residual of these data"]
        count = f"{kept} digit" + "s" * (kept > 1)
        assert 0 < kept < 5 and report.precision.startswith(f"these data are identifiable, to {count}: the residual")
        assert "rounding the target to float32 alone would leave 5 digits" in report.precision


class TestWhichApply:
    def test_all_four_for_trained_networks_with_data(self):
        system, truth = planted(3, 3, 7, "z^3", regime="max-margin")
        names = [c.name for c in check(system, data=(truth.X, truth.c)).diagnostics]
        assert names == ["structure", "stationarity", "undetermined", "conditioning"]
        assert [c.name for c in check(system, samples=3).diagnostics] == ["structure", "undetermined"]

    def test_no_network_no_diagnostics(self):
        assert check(Configuration(inputs=4, samples=3, width=12, activation="z + z^3")).diagnostics == ()
        assert check(Configuration(inputs=4, samples=3, width=12, activation="z^2")).diagnostics == ()

    def test_of_a_network_alone(self):
        system, _ = planted()
        assert [c.name for c in check(system, samples=4).diagnostics] == ["structure"]

    def test_they_are_found_by_name(self, unique):
        assert unique["structure"] is unique.diagnostics[0]
        with pytest.raises(KeyError, match="structure, conditioning"):
            unique["shape"]


class TestPages:
    def test_every_diagnostic_is_on_the_page(self, unique, tmp_path):
        page = unique.to_html(tmp_path / "report.html").read_text("utf-8")
        assert "Structure and conditioning" in page and "Error bars of each sample" in page and "X[3]" in page
        for text in (page, unique._repr_html_(), unique.explain()):
            assert all(c.name in text for c in unique.diagnostics)

    def test_only_the_worst_of_many_samples(self, tmp_path):
        system, truth = planted(22, 21, 60)
        report = check(system, data=(truth.X, truth.c))
        page = report.to_html(tmp_path / "report.html").read_text("utf-8")
        assert "Error bars of the worst samples" in page and len(re.findall(r">X\[\d+\]</th>", page)) == 20
        assert f">X[{report['conditioning'].evidence['worst_sample']}]</th>" in page

    def test_json_is_finite_and_complete(self, unique):
        data = json.loads(unique.to_json())
        assert [c["name"] for c in data["diagnostics"]] == ["structure", "conditioning"]
        assert np.shape(data["diagnostics"][1]["evidence"]["coordinate_error_bars"]["float32 target"]) == (4, 5)
        assert data["precision"] == unique.precision

    def test_the_same_seed_gives_the_same_text(self, unique):
        system, truth = planted()
        assert check(system, data=(truth.X, truth.c)).to_json() == unique.to_json()


class TestLimits:
    def test_a_spent_budget_is_said(self, unique):
        system, truth = planted()
        report = check(system, data=(truth.X, truth.c), budget=1e-9)
        assert [c.name for c in report.diagnostics] == ["structure", "conditioning"] and report.precision is None
        for c in report.diagnostics:
            assert c.holds is None and c.arithmetic is Arithmetic.NONE
            assert c.statement == "not evaluated: not affordable: 0 s of the budget are left"

    def test_a_diagnostic_that_costs_more_than_is_left(self, monkeypatch):
        system, truth = planted()
        monkeypatch.setattr(diagnostics.conditioning, "seconds", lambda system, samples: 1e6)
        report = check(system, data=(truth.X, truth.c), budget=1000.0)
        assert report["structure"].holds and report["conditioning"].statement.endswith("of the budget are left; estimated cost 1000000 s")

    def test_a_failure_is_reported_and_takes_nothing_away(self, monkeypatch, unique):
        def fails(setting):
            raise ZeroDivisionError("by zero")

        system, truth = planted()
        monkeypatch.setattr(diagnostics.structure, "structure", fails)
        report = check(system, data=(truth.X, truth.c))
        assert report.verdict is unique.verdict and report.conditions == unique.conditions
        assert report["structure"].statement == "not evaluated: ZeroDivisionError: by zero" and report["structure"].holds is None

    def test_memory(self):
        system, truth = planted()
        report = check(system, data=(truth.X, truth.c), memory=30_000)
        assert report["conditioning"].holds is None and "not evaluated: 24 unknowns in 72 equations" in report["conditioning"].statement


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_degenerate_input_never_fails(seed):
    """Every diagnostic is evaluated, or says that numbers overflow; the verdict is that without diagnostics."""
    rng = np.random.default_rng(seed)
    d, n, m, outputs = rng.integers(1, 5), rng.integers(1, 5), rng.integers(1, 9), rng.choice([1, 1, 2, 3])
    W, A = rng.standard_normal((m, d)), rng.standard_normal((outputs, m))
    X, c = rng.standard_normal((n, d)), rng.standard_normal((n, outputs))
    bias = rng.standard_normal(m) if rng.random() < 0.4 else None
    i, j, k = rng.integers(m), rng.integers(m), rng.integers(n)
    for flaw in rng.choice(8, size=rng.integers(0, 4), replace=False):
        if flaw < 3:
            W[i] = (W[j], 0, -2 * W[j])[flaw]
        elif flaw < 5:
            X[k] = (0, -X[0])[flaw - 3]
        elif flaw == 5:
            A[:, i] = 0
        else:
            (W, X)[flaw - 6][:] *= 10.0 ** rng.integers(-90, 90)
    sigma = str(rng.choice(["z^2", "z^3", "z + z^3", "1 + z^2", "1 + z + z^2/2 + z^3", "z^4"]))
    net = TwoLayerNetwork(W, A, sigma, bias=bias)
    with np.errstate(all="ignore"):
        first, _, second = weighted_gradients(W, A, net.offsets, net.activation.floats(), net.activation.floats(1), X, c)
    targets = {"W": first if rng.random() < 0.8 else None, "a": second}
    try:
        system = KKTSystem.gradient(net, **targets) if rng.random() < 0.5 else KKTSystem.max_margin(net)
        with np.errstate(all="ignore"):
            report = check(system, data=(X, c))
    except ValueError:
        return  # refused before any verdict
    for found in report.diagnostics:
        assert found.holds is not None or "overflow" in found.statement, found.statement
    assert not SENTENCE.search(report.explain()) or report.verdict in PROVED
    json.loads(report.to_json())


def test_a_witness_whose_numbers_overflow_is_still_json(unique):
    X, c = np.array([[1e200]]), np.array([np.inf])
    found = Witness("scaling", 1, "too large", original=(X, c), example=(X, c), residual=float("nan"))
    data = json.loads(replace(unique, witness=found).to_json())["witness"]
    assert data["residual"] is None and data["original"] == {"X": [[1e200]], "c": [None]}
