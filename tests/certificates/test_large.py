"""Large certificates: ranks by blocks, ranks by solutions of equations, and the time that both may take."""

from __future__ import annotations

import copy
import time
import tracemalloc
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from flint import nmod_mat
from hypothesis import given
from hypothesis import strategies as st
from support.command_line import run

import identify as idf
from identify.base.errors import OutOfTimeError
from identify.certificates import certify, draft, routes
from identify.checker import matrices, solved
from identify.checker.examination import Examination
from identify.checker.reading import canonical_hash
from identify.checker.solved import KEY, Gradient, number_needed, right_hand_side
from identify.checker.verify import open_content

CUBIC = "z + z^2/2 + z^3"
Q = 2**31 - 1


def generic(d: int, n: int, m: int, activation: str = CUBIC, **options) -> idf.Report:
    return idf.check(idf.Configuration(inputs=d, samples=n, width=m, activation=activation, **options))


def signed(content: dict) -> dict:
    """With the hash of the content made anew."""
    content["sha256"]["content"] = canonical_hash({name: value for name, value in content.items() if name != "sha256"})
    return content


@pytest.fixture
def large(monkeypatch):
    """Every Jacobian counts as large."""
    monkeypatch.setattr(draft, "PIVOT_LIMIT", 0)
    monkeypatch.setattr(routes, "PIVOT_LIMIT", 0)


class TestRanksByBlocks:
    @given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 20), st.integers(1, 6), st.integers(0, 2**32))
    def test_are_ranks(self, rows, columns, rank, block, seed):
        rng = np.random.default_rng(seed)
        left = rng.integers(-2, 3, (rows, rank)) * (rng.random((rows, rank)) < 0.5)
        matrix = (left @ rng.integers(-1, 2, (rank, columns)) % Q).tolist()
        expected = nmod_mat(rows, columns, [v for row in matrix for v in row], Q).rank()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(matrices, "AT_ONCE", 0)
            patch.setattr(matrices, "BLOCK", block)
            assert matrices.rank_of_rows(iter(matrix), rows, columns, Q) == expected
            sparse = ({k: v for k, v in enumerate(row) if v} for row in matrix)
            assert matrices.rank_of_rows(sparse, rows, columns, Q) == expected

    @pytest.mark.parametrize("report", [lambda: generic(4, 3, 9, "z + z^3"), lambda: generic(2, 3, 4, "z^3", layers="first")])
    def test_of_certificates(self, monkeypatch, report):
        monkeypatch.setattr(matrices, "AT_ONCE", 3)
        monkeypatch.setattr(matrices, "BLOCK", 4)
        assert idf.verify(report().certificate())


LARGE = {
    "generic global": (lambda: generic(3, 3, 9), "generic-global"),
    "a free scale": (lambda: generic(3, 2, 9, "z^3"), "generic-global"),
    "biases": (lambda: generic(3, 3, 9, bias=True), "generic-global"),
    "several outputs": (lambda: generic(3, 3, 8, "z^2 + z^4", outputs=2), "generic-global"),
    "second layer": (lambda: generic(3, 2, 30, layers="second"), "generic-global"),
    "span of the samples": (lambda: generic(6, 3, 7), "generic-global"),
    "affine span": (lambda: generic(6, 4, 4, "z^2 + z^3 + z^4", bias=True), "generic-global"),
    "isolated": (lambda: generic(2, 2, 2, "z + z^2 + z^3"), "local"),
    "isolated, free scale": (lambda: generic(3, 4, 4, "z^4"), "local"),
}


@pytest.mark.usefixtures("large")
class TestSolutions:
    @pytest.mark.parametrize("name", LARGE)
    def test_prove_the_rank(self, name, monkeypatch):
        make, kind = LARGE[name]
        report = make()
        if report.verdict is idf.Verdict.UNIQUE:
            report = draft.replace(report, conditions=tuple(c for c in report.conditions if c.name != "interpolation"))
        monkeypatch.setattr(Examination, "rank_of_jacobian", lambda *args: pytest.fail("eliminated"))
        proof = report.certificate()
        step = proof.content["steps"][-1]
        assert step["kind"] == kind and len(step[KEY]) == number_needed(proof.content["point"]["prime"])
        answer = idf.verify(proof)
        assert answer and "SHA-256" in answer.reasons[-1] and "2^-128" in answer.reasons[-1]

    def test_any_other_number_is_refused(self):
        content = generic(3, 3, 9).certificate().to_dict()
        for number in range(len(content["steps"][0][KEY])):
            for place in (0, -1):
                other = copy.deepcopy(content)
                other["steps"][0][KEY][number][place] += 1
                assert not idf.verify(other) and not idf.verify(signed(other))

    @pytest.mark.parametrize(
        "change",
        [
            lambda step: step[KEY].pop(),
            lambda step: step[KEY].append(step[KEY][0]),
            lambda step: step[KEY][0].pop(),
            lambda step: step.update({KEY: None}),
            lambda step: step.update({KEY: []}),
            lambda step: step[KEY][0].__setitem__(0, -1),
            lambda step: step["rows"].pop(),
            lambda step: step["gauss"].pop(0),  # the right-hand sides come from all that is said
        ],
    )
    def test_what_they_stand_for_is_hashed(self, change):
        content = generic(3, 3, 9).certificate().to_dict()
        change(content["steps"][0])
        answer = idf.verify(signed(content))
        assert not answer and "step 1" in answer.reasons[0]

    def test_dependent_columns_have_none(self):
        """A network with equal neurons: whatever is put in place of solutions is refused."""
        content = generic(3, 3, 9).certificate().to_dict()
        content["point"]["W"] = [content["point"]["W"][0]] * 9
        content["point"]["A"] = [[content["point"]["A"][0][0]] * 9]
        assert not idf.verify(signed(content))

    def test_without_them_it_is_eliminated(self):
        content = generic(3, 3, 9).certificate().to_dict()
        del content["steps"][0][KEY]
        answer = idf.verify(signed(content))
        assert answer and "SHA-256" not in answer.reasons[0]

    def test_other_steps_have_none(self):
        content = generic(2, 3, 4, "z^3", layers="first").certificate().to_dict()
        assert content["steps"][-1]["kind"] == "count"
        content["steps"][-1][KEY] = []
        assert not idf.verify(signed(content))


@pytest.mark.parametrize("options", [{}, {"bias": True}, {"outputs": 2}, {"layers": "first", "bias": True}, {"layers": "second"}])
def test_the_gradient_is_that_of_the_rows(options):
    report = generic(3, 2, 20, **options)
    e = open_content(report.certificate().content)
    point, rng = e.full, np.random.default_rng(0)
    equations = e.equations(list(range(e.n_equations(3))), 3)
    y = rng.integers(0, point.q, len(equations)).tolist()
    rows = list(point.jacobian_rows(equations))
    expected = [sum(v * row[k] for v, row in zip(y, rows, strict=True)) % point.q for k in range(len(rows[0]))]
    assert Gradient(point).along(equations, y) == expected


def test_right_hand_sides_depend_on_everything():
    first = right_hand_side("ab", 0, 50, Q)
    assert len(set(first)) > 45 and max(first) > 2**30
    assert right_hand_side("ab", 0, 20, Q) == first[:20] and first != right_hand_side("ab", 1, 50, Q) != right_hand_side("ac", 1, 50, Q)
    assert [number_needed(2**b) for b in (21, 31, 62)] == [7, 5, 3]
    body = {"claim": 1, "numbers": 2, "point": 3, "steps": [{"rows": [1], KEY: [[5]]}]}
    assert solved.seed_of(body) == solved.seed_of(body | {"steps": [{"rows": [1]}]}) != solved.seed_of(body | {"steps": [{"rows": [2]}]})
    assert all(solved.seed_of(body | {name: 9}) != solved.seed_of(body) for name in ("claim", "numbers", "point"))


@pytest.mark.slow
def test_a_large_jacobian_is_solved_and_not_eliminated():
    report = generic(30, 55, 80)
    proof = report.certificate()
    assert len(proof.content["steps"][0][KEY]) == number_needed(proof.content["point"]["prime"])
    tracemalloc.start()
    began = time.process_time()
    assert idf.verify(proof)
    assert time.process_time() - began < 10, "an elimination of 1736 columns takes longer"
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()


class TestTime:
    @pytest.mark.slow
    def test_of_a_certificate_and_its_check(self):
        """Estimates are of the right size, and said before."""
        made = by_elimination()
        assert certify.certificate_seconds(made.report) / 6 < made.took < 6 * certify.certificate_seconds(made.report) + 2
        assert made.told == [] or made.told[0].startswith("writing the certificate (about ")

    def test_a_budget_that_is_too_short_for_a_certificate(self):
        report = generic(3, 3, 9)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(certify, "certificate_seconds", lambda report, *route: 50.0)
            with pytest.raises(OutOfTimeError, match="the certificate takes about 50 s"):
                report.certificate(budget=10.0)
        for budget in (0, True, "1"):
            with pytest.raises(ValueError, match="budget: received"):
                report.certificate(budget=budget)

    def test_a_budget_that_is_too_short_for_a_check(self):
        content = by_elimination().proof.to_dict()
        told: list[tuple[str, float]] = []
        began = time.monotonic()
        with pytest.raises(OutOfTimeError, match="rank of a .* matrix takes about"):
            idf.verify(content, budget=0.01)
        assert time.monotonic() - began < 2
        assert idf.verify(content, budget=600.0, progress=lambda *what: told.append(what))
        assert told and told[0][0].startswith("rank of a ")
        for budget in (0, True, "1"):
            with pytest.raises(ValueError, match="budget: received"):
                idf.verify(content, budget=budget)

    def test_a_rank_under_way_is_stopped(self, monkeypatch):
        monkeypatch.setattr(matrices, "rank_seconds", lambda rows, columns: 0.0)
        monkeypatch.setattr(matrices, "AT_ONCE", 0)
        monkeypatch.setattr(matrices, "BLOCK", 8)
        monkeypatch.setattr("identify.checker.watch.WORTH_TELLING", 0.0)
        with pytest.raises(OutOfTimeError, match="the budget is spent"):
            idf.verify(by_elimination().proof, budget=0.05)

    def test_on_the_command_line(self, monkeypatch, capsys, tmp_path):
        path = tmp_path / "proof.json"
        monkeypatch.setattr(certify, "certificate_seconds", lambda report, *route: 50.0)
        sizes = ("-d", 3, "-n", 3, "-m", 9, "-a", CUBIC)
        status, out, err = run(monkeypatch, capsys, "check", *sizes, "--budget", 5, "--certificate", path)
        assert status == 1 and "UNIQUE" in out and "--certificate: the certificate takes about 50 s" in err and not path.exists()
        monkeypatch.undo()
        by_elimination().proof.save(path)
        status, out, err = run(monkeypatch, capsys, "verify", path, "--budget", 0.01)
        assert status == 1 and "out of time" in err and "VALID" not in out
        status, out, err = run(monkeypatch, capsys, "verify", path)
        assert status == 0 and out.startswith("VALID") and "rank of a" in err


@cache
def by_elimination() -> SimpleNamespace:
    """A certificate whose check takes about a second, what was told while it was written, and the seconds that this took."""
    report, told = generic(17, 60, 90), []
    began = time.process_time()
    proof = report.certificate(progress=told.append)
    return SimpleNamespace(report=report, proof=proof, told=told, took=time.process_time() - began)
