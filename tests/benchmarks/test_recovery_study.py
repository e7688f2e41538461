"""The study of what recoveries claim: a slice of it, forged data, and the table."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the benchmarks are part of the repository, not of the package", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import claims  # noqa: E402
from recovery_study import audited as audits  # noqa: E402
from recovery_study import digits, second, small  # noqa: E402
from recovery_study import judged as study  # noqa: E402
from recovery_study.checked import ambiguity_of  # noqa: E402
from recovery_study.judged import Outcome, examine, judged, shown  # noqa: E402
from recovery_study.planted import ACTIVATIONS, MIXED, SMALL, draw  # noqa: E402
from recovery_study.targets import HONEST  # noqa: E402
from support.marks import alone  # noqa: E402

import identify as idf  # noqa: E402
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus  # noqa: E402
from identify.recovery.recover import recover  # noqa: E402

SLICE = 8


def usual():
    """An honest, exact instance without any trouble."""
    wanted = {"target": "exact", "size": "12-40-4, 3", "multipliers": "normal", "network": "as drawn", "layers": "all"}
    candidates = (draw(0, index) for index in range(1000))
    return next(planted for planted in candidates if wanted.items() <= planted.labels.items())


@alone
def test_a_slice_has_nothing_wrong(tmp_path, capsys):
    out = tmp_path / "lines.jsonl"
    arguments = ["--instances", str(SLICE), "--seed", "5", "--seconds", "1.5", "--out", str(out)]
    assert claims.main(arguments) == 0
    lines = [json.loads(text) for text in out.read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(SLICE)) and sum(line["outcome"] == Outcome.RIGHT for line in lines) >= 2
    assert claims.main(arguments) == 0  # nothing is done twice
    assert len(out.read_text().splitlines()) == SLICE
    assert "| all |" in capsys.readouterr().out


def test_honest_targets_are_those_of_the_planted_data():
    for index in range(60):
        planted = draw(3, index)
        if planted.labels["target"] in HONEST - {"float16", "bfloat16", "int8", "noise"} and planted.labels["question"] != "several steps":
            assert planted.own < 1e-6


def test_every_question_is_drawn():
    drawn = [draw(5, index) for index in range(160)]
    large = {"layers", "known map", "softmax head", "several steps"}
    assert large < {planted.labels["question"] for planted in drawn} <= large | set(SMALL)
    assert all(
        planted.own < 2.001 or planted.labels["target"] not in HONEST
        for planted in drawn
        if not planted.labels["question"].endswith("steps")
    )


@pytest.fixture(scope="module")
def pair():
    planted = usual()
    return planted, recover(planted.system)


class TestForgeries:
    def test_the_recovery_itself_is_right(self, pair):
        assert judged(*pair)["outcome"] == Outcome.RIGHT

    def test_moved_data_are_wrong_and_doubted_ones_are_not(self, pair):
        planted, found = pair
        moved = replace(found, X=found.X + 1e-3)
        assert judged(planted, moved)["outcome"] == Outcome.WRONG
        doubt = Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.UNDECIDED)
        assert judged(planted, replace(moved, uniqueness=doubt))["outcome"] == Outcome.DOUBT
        assert judged(planted, replace(moved, error_bars=np.full(found.n_samples, 1e-2)))["outcome"] == Outcome.RIGHT

    def test_an_error_that_no_user_should_see(self, pair, monkeypatch):
        def fails(*arguments, **options):
            raise ZeroDivisionError("none of this package's")

        monkeypatch.setattr(study, "recover", fails)
        assert examine(pair[0], 1.0)["outcome"] == Outcome.CRASHED


def test_samples_that_show():
    planted = usual()
    X = np.vstack([planted.X, planted.X[:1], planted.X[:1] + 1])
    own = np.reshape(planted.c, (len(planted.X), -1))
    c = np.vstack([own, own[:1], 0 * own[:1]])
    kept, merged = shown(replace(planted, X=X, c=c))
    assert len(kept) == len(planted.X) and np.array_equal(merged[0], 2 * c[0])


def test_a_slice_of_small_shapes_has_no_contradiction(tmp_path, capsys):
    out = tmp_path / "lines.jsonl"
    assert claims.main(["--small", "--instances", "4", "--seed", "2", "--seconds", "1", "--out", str(out)]) == 0
    lines = [json.loads(text) for text in out.read_text().splitlines()]
    assert len(lines) == 4 and all(line["question"].startswith("small") and not line["contradictions"] for line in lines)


@pytest.mark.parametrize("activation", sorted({*small.ACTIVATIONS, *ACTIVATIONS} - {MIXED}))
def test_many_digits_agree_with_doubles(activation):
    rng = np.random.default_rng(0)
    net = idf.Network([rng.standard_normal((5, 3)), rng.standard_normal((4, 5)), rng.standard_normal((2, 4))], activation=activation)
    net = idf.Network(net.weights, biases=[rng.standard_normal(5), None, rng.standard_normal(2)], activation=activation)
    system = idf.KKTSystem.gradient(net, layers={1: (np.ones((5, 3)), np.ones(5)), 3: np.ones((2, 4))})
    X, c = rng.standard_normal((2, 3)), rng.standard_normal((2, 2))
    found = digits._update(system, [*X.reshape(-1), *c.reshape(-1)], X.shape)
    wanted = system.right_hand_side(X, c)
    assert np.linalg.norm(np.array(found, float) - wanted) < 1e-13 * np.linalg.norm(wanted)
    rows = np.ones((5, 3))
    rows[1] = np.nan  # was not sent
    part = idf.KKTSystem.gradient(net, layers={1: rows, 3: np.ones((2, 4))})
    found = digits._update(part, [*X.reshape(-1), *c.reshape(-1)], X.shape)
    assert np.allclose(np.array(found, float), part.right_hand_side(X, c), rtol=1e-12)


def test_a_family_in_doubles_may_be_none_in_many_digits():
    """Multipliers of a softmax of two classes, whose sum is an ulp or zero: isolated data in exact arithmetic, and a family."""
    planted = draw(20261130, 584, SMALL)
    system, X, c = planted.system, planted.X, planted.c
    opposite = np.column_stack([c[:, 0], -c[:, 0]])
    assert (c.sum(axis=1) != 0).any() and not digits.is_deficient(system, X, c) and digits.is_deficient(system, X, opposite)
    assert idf.check(system, data=(X, c)).verdict.value == "UNIQUE"
    assert idf.check(system, data=(X, opposite)).verdict.value != "UNIQUE"


def test_scales_that_are_free_are_no_family():
    """Monomials leave the scale of each sample; several outputs with multipliers that differ fix the rest, and proportional ones do not."""
    system, (X, nearly) = draw(20261201, 965, SMALL).system, shown(draw(20261201, 965, SMALL))
    c = np.random.default_rng(0).standard_normal(nearly.shape)
    assert digits.is_deficient(system, X, c) and not digits.is_deficient(system, X, c, free=len(X))
    assert digits.is_deficient(system, X, c[:, :1] * [1.0, 2.0, -4.0], free=len(X))
    about = idf.check(system, data=(X, nearly))  # proportional but for rounding
    assert about.verdict.value == "UNIQUE" and not digits.is_deficient(system, X, nearly, free=len(X))
    assert second.family(system, X, nearly, ambiguity_of(about)) is None


@pytest.mark.parametrize("index", [401, 1181, 1259])
def test_a_narrow_second_layer_below_others_ends_in_an_answer_or_a_refusal(index):
    planted = draw(20261201, index, SMALL)
    try:
        found = idf.recover(planted.system, samples=planted.samples, budget=2)
    except idf.RecoveryError:
        return
    assert not found.uniqueness.is_supported


def test_a_sample_a_few_units_above_rounding_is_no_rounding():
    """Two samples a half percent apart, in float32, with equal multipliers: one that stands for both is not evidence."""
    planted = draw(20261201, 884, SMALL)
    found = idf.recover(planted.system, budget=2)
    assert len(planted.X) == 2 and found.n_samples == 1
    assert found.uniqueness.status.value == "UNKNOWN" and found.uniqueness.reason.name == "REST"


def test_samples_of_one_pattern_with_proportional_multipliers_are_their_mixture():
    """Nothing else is determined; the error of the mixture keeps to its bar, which that of one of the samples does not."""
    planted = draw(20261201, 860, SMALL)
    found, weights = idf.recover(planted.system, budget=2), planted.c[:, 1] / planted.c[:, 1].sum()
    mixture = weights @ planted.X
    assert len(planted.X) == 2 and found.n_samples == 1
    assert np.linalg.norm(found.X[0] - mixture) < 0.1 * found.error_bars[0] < 0.1 * np.linalg.norm(planted.X - mixture, axis=1).min()


@pytest.fixture(scope="module")
def honest():
    planted = usual()
    return planted, idf.audit(planted.system, samples=planted.samples, budget=4)


class TestAudits:
    """What is called wrong: badges that claim too much, and badges that call recovered data safe."""

    def outcome(self, monkeypatch, planted, audit):
        monkeypatch.setattr(audits, "audit", lambda *args, **options: audit)
        return audits.audited(planted, 4)["outcome"]

    @pytest.mark.slow
    def test_an_honest_audit_is_right(self, monkeypatch, honest):
        assert self.outcome(monkeypatch, *honest) == Outcome.RIGHT

    @pytest.mark.slow
    def test_warnings_are_recorded(self, monkeypatch, honest):
        def warning(*args, **options):
            np.float64(1e300) * np.float64(1e300)
            return honest[1]

        monkeypatch.setattr(audits, "audit", warning)
        assert audits.audited(honest[0], 4)["warned"][0].endswith("overflow encountered in scalar multiply")
        assert audits.audited(honest[0], 4)["outcome"] == Outcome.RIGHT

    def test_other_samples_are_wrong_unless_they_are_doubted(self, monkeypatch, honest):
        planted, audit = honest
        found = audit.recovery
        moved = replace(audit, recovery=replace(found, X=found.X + 0.1))
        assert self.outcome(monkeypatch, planted, moved) == Outcome.WRONG
        left_out = Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.LEFT_OUT, numbers={"samples": 3, "shown": 4})
        assert self.outcome(monkeypatch, planted, replace(moved, recovery=replace(moved.recovery, uniqueness=left_out))) == Outcome.DOUBT

    def test_the_data_below_not_determined_are_wrong(self, monkeypatch, honest):
        planted, audit = honest
        known = Uniqueness(UniquenessStatus.NOT_UNIQUE, UniquenessReason.WITNESS)
        none = tuple(replace(finding, report=None) for finding in audit.findings)
        safe = replace(audit, findings=none, recovery=replace(audit.recovery, uniqueness=known))
        assert safe.standing.name == "NOT_DETERMINED" and self.outcome(monkeypatch, planted, safe) == Outcome.WRONG
