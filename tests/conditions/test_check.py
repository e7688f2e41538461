"""The verdict: composition of the conditions, scopes, errors, and agreement with what is known."""

import json
from dataclasses import replace
from math import factorial

import numpy as np
import pytest
from flint import nmod_mat
from hypothesis import given, settings
from hypothesis import strategies as st
from support.marks import slow, slow_unless
from support.oracles import exact_target, random_network, system_of
from support.zoo import ISOLATED, MAX_MARGIN_WIDTHS, NOT_IDENTIFIABLE, TRUTH_TABLE, UNIQUE

from identify.base.errors import InternalError
from identify.conditions.check import InconsistentDataError, check
from identify.conditions.interpolation import generic_width
from identify.conditions.judgement import verdict_of
from identify.conditions.setting import Setting
from identify.exact.instance import Instance
from identify.exact.modular import residues
from identify.planting.configuration import Configuration
from identify.problem.arrays import ShapeError
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Arithmetic, Condition, Scope, Verdict

CUBIC = "z + z^2/2 + z^3"
ALLOWED = {
    UNIQUE: {Verdict.UNIQUE, Verdict.LOCALLY_UNIQUE, Verdict.UNDECIDED},
    ISOLATED: {Verdict.LOCALLY_UNIQUE, Verdict.UNDECIDED},
    NOT_IDENTIFIABLE: {Verdict.NOT_UNIQUE, Verdict.UNDECIDED},
}
DECIDED = {UNIQUE: Verdict.UNIQUE, ISOLATED: Verdict.LOCALLY_UNIQUE, NOT_IDENTIFIABLE: Verdict.NOT_UNIQUE}


def size(d: int, n: int, m: int, activation: str = CUBIC, **options) -> Configuration:
    return Configuration(inputs=d, samples=n, width=m, activation=activation, **options)


class TestTruthTable:
    @pytest.mark.parametrize("known", TRUTH_TABLE, ids=str)
    @pytest.mark.parametrize("seed", [0, slow(1)])
    def test_never_contradicted(self, known, seed):
        system, truth = known.configuration.plant(seed)
        n = known.size[1]
        reports = [
            check(known.configuration, seed=seed),
            check(system, samples=n, seed=seed),
            check(system, data=(truth.X, truth.c), seed=seed),
        ]
        given = ALLOWED[known.truth] | ({Verdict.NOT_UNIQUE} if known.truth == ISOLATED else set())  # real ones, or only complex
        assert {r.verdict for r in reports[:2]} <= ALLOWED[known.truth] and reports[2].verdict in given
        assert [str(r.scope) for r in reports] == ["generic network, generic data", "this network, generic data", "this network, this data"]
        assert reports[0].verdict is reports[1].verdict
        second = reports[2].witness is not None and reports[2].witness.kind == "second solution"
        assert reports[2].verdict is reports[0].verdict or reports[0]["generic-global"].is_proved or second

    @pytest.mark.smoke
    @pytest.mark.parametrize("known", TRUTH_TABLE, ids=str)
    def test_every_row_is_decided(self, known):
        assert check(known.configuration).verdict is DECIDED[known.truth]

    @pytest.mark.parametrize("known", TRUTH_TABLE, ids=str)
    def test_generic_global_uniqueness_is_proved_where_the_table_says(self, known):
        condition = check(known.configuration)["generic-global"]
        assert condition.is_proved is known.generic_global and (known.solutions == known.orbit or not condition.holds)

    @pytest.mark.smoke
    @pytest.mark.parametrize("known", TRUTH_TABLE, ids=str)
    def test_counts_are_those_of_the_group(self, known):
        n, signs = known.size[1], known.configuration.ambiguity.group == "sign"
        assert known.orbit == factorial(n) * (2**n if signs else 1)
        assert (known.truth == UNIQUE) == (known.solutions == known.orbit)


def conditions(**states) -> dict[str, Condition]:
    """Named conditions: 'proved', 'assumed', 'fails' or 'open'."""
    kinds = {
        "proved": (True, Arithmetic.PROOF),
        "montecarlo": (True, Arithmetic.MONTE_CARLO),
        "assumed": (True, Arithmetic.ASSUMED),
        "float": (True, Arithmetic.FLOAT),
        "fails": (False, Arithmetic.PROOF),
        "open": (None, Arithmetic.NONE),
    }
    states = {name.replace("_", "-"): state for name, state in states.items()}
    return {name: Condition(name, kinds[state][0], f"{name} was {state}", {}, kinds[state][1], "") for name, state in states.items()}


def setting(data: str = "generic data") -> Setting:
    config = size(2, 2, 2)
    instance = Instance(config.activation, 2, 2, 2, 1, False, config.observed)
    return Setting(instance, Scope("this network", data), config.ambiguity, True, 0)


ALL = {"interpolation": "proved", "decomposition": "proved", "scale": "proved", "local": "proved", "witness": "open"}


class TestComposition:
    @pytest.mark.parametrize(
        ("change", "verdict"),
        [
            ({}, Verdict.UNIQUE),
            ({"scale": "montecarlo"}, Verdict.UNIQUE),
            ({"local": "open"}, Verdict.UNIQUE),
            ({"interpolation": "fails", "generic_global": "proved"}, Verdict.UNIQUE),
            ({"interpolation": "fails", "local": "open", "generic_global": "assumed"}, Verdict.UNDECIDED),
            ({"interpolation": "fails", "generic_global": "fails"}, Verdict.LOCALLY_UNIQUE),
            *(
                ({name: state}, Verdict.LOCALLY_UNIQUE)
                for name in ("interpolation", "decomposition", "scale")
                for state in ("fails", "open", "assumed")
            ),
            ({"scale": "float"}, Verdict.LOCALLY_UNIQUE),
            ({"scale": "assumed", "local": "assumed"}, Verdict.UNDECIDED),
            ({"scale": "fails", "local": "fails"}, Verdict.UNDECIDED),
            ({"interpolation": "fails", "local": "fails", "witness": "fails"}, Verdict.UNDECIDED),
            ({"interpolation": "fails", "local": "fails", "witness": "proved"}, Verdict.NOT_UNIQUE),
            ({"interpolation": "fails", "local": "proved", "witness": "assumed"}, Verdict.LOCALLY_UNIQUE),
        ],
    )
    def test_verdict(self, change, verdict):
        found, reasons = verdict_of(setting(), conditions(**ALL | change))
        assert found is verdict and reasons
        if found is not Verdict.UNIQUE:
            failing = [
                name for name in ("interpolation", "decomposition", "scale") if change.get(name, "proved") not in ("proved", "montecarlo")
            ]
            assert found is Verdict.NOT_UNIQUE or all(any(name in reason for reason in reasons) for name in failing)

    @pytest.mark.parametrize(
        ("reduction", "verdict"), [("proved", Verdict.UNIQUE), ("assumed", Verdict.UNDECIDED), ("fails", Verdict.UNDECIDED)]
    )
    def test_unknown_data_must_be_known_to_exist_in_their_span(self, reduction, verdict):
        states = ALL | {"local": "open", "reduction": reduction}
        assert verdict_of(setting("this target"), conditions(**states))[0] is verdict
        assert verdict_of(setting(), conditions(**states))[0] is Verdict.UNIQUE

    def test_without_any_condition(self):
        assert verdict_of(setting(), conditions(local="open", witness="open")) == (
            Verdict.UNDECIDED,
            ("no condition could be evaluated",),
        )

    def test_an_assumption_is_named(self):
        _, reasons = verdict_of(setting(), conditions(**ALL | {"scale": "assumed", "local": "open"}))
        assert "it would be UNIQUE if the assumption held" in reasons[-1] and "scale is not proved" in reasons[0]

    def test_contradictory_proofs_are_not_reported(self):
        with pytest.raises(InternalError, match="a proof of uniqueness and a witness against it"):
            verdict_of(setting(), conditions(**ALL | {"witness": "proved"}))


class TestInvariance:
    @given(seed=st.integers(0, 10**6), activation=st.sampled_from(["z^3", "z + z^3", "z + z^2"]), bias=st.booleans())
    @settings(max_examples=15)
    def test_order_and_representatives_change_nothing(self, seed, activation, bias):
        """Permuted samples and neurons, and another element of the orbit: the same verdict and the same ranks."""
        rng = np.random.default_rng(seed)
        d, n, m = rng.integers(1, 4), rng.integers(1, 4), rng.integers(1, 7)
        net = random_network(rng, activation, inputs=d, width=m, bias=bias)
        X, c = rng.standard_normal((n, d)), rng.uniform(0.5, 1.5, (n, 1))
        system = system_of(net, X, c)
        group = Configuration(inputs=int(d), samples=1, width=1, activation=activation, bias=bias).ambiguity
        t = {"none": np.ones(n), "sign": rng.choice([-1.0, 1.0], n), "scaling": 2.0 ** rng.integers(-2, 3, n)}[group.group]
        rows, neurons = rng.permutation(n), rng.permutation(m)
        Y, e = group.act(X[rows], c[rows], t)
        shuffled = TwoLayerNetwork(net.W[neurons], net.a[neurons], net.activation, net.bias[neurons] if bias else None)
        reports = [check(system, data=(X, c)), check(system_of(shuffled, Y, e), data=(Y, e))]
        assert reports[0].verdict is reports[1].verdict
        for name in ("interpolation", "decomposition", "scale", "local", "count", "reduction"):
            assert reports[0][name].holds is reports[1][name].holds
            for key in ("rank", "needed", "rank_samples", "rank_slopes", "kruskal_ranks", "fixing_degrees"):
                assert reports[0][name].evidence.get(key) == reports[1][name].evidence.get(key)

    @given(
        d=st.integers(1, 4),
        n=st.integers(1, 4),
        activation=st.sampled_from(["z^3", "1 + z^3", "z + z^2", CUBIC]),
        outputs=st.integers(1, 2),
    )
    @settings(max_examples=3)
    def test_more_neurons_never_take_uniqueness_away(self, d, n, activation, outputs):
        net = random_network(np.random.default_rng([d, n]), activation, inputs=d, width=9, outputs=outputs)
        rng = np.random.default_rng(0)
        X, c = rng.standard_normal((n, d)), rng.uniform(0.5, 1.5, (n, outputs))
        verdicts, ranks = [], []
        for m in range(1, 10):
            part = TwoLayerNetwork(net.W[:m], net.A[:, :m] if outputs > 1 else net.a[:m], net.activation)
            report = check(system_of(part, X, c), data=(X, c))
            verdicts.append(report.verdict is Verdict.UNIQUE)
            ranks.append(report["local"].evidence["rank"] / report["local"].evidence["needed"])
        assert verdicts == sorted(verdicts) and ranks == sorted(ranks)

    @given(
        seed=st.integers(0, 10**6),
        activation=st.sampled_from(["z^3", "z + z^3", "z + z^2", CUBIC]),
        bias=st.booleans(),
        layers=st.sampled_from(["both", "first", "second"]),
    )
    @settings(max_examples=15)
    def test_rotations_change_nothing(self, seed, activation, bias, layers):
        """W Q and X Q with Q orthogonal: the same products w x, and a target that is rotated."""
        rng = np.random.default_rng(seed)
        d, n, m = (int(v) for v in (rng.integers(1, 4), rng.integers(1, 4), rng.integers(1, 7)))
        net = random_network(rng, activation, inputs=d, width=m, bias=bias)
        X, c = rng.standard_normal((n, d)), rng.uniform(0.5, 1.5, (n, 1))
        Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
        turned = TwoLayerNetwork(net.W @ Q, net.a, net.activation, net.bias if bias else None)
        systems = [system_of(net, X, c, layers), system_of(turned, X @ Q, c, layers)]
        given = [check(system, data=data) for system, data in zip(systems, [(X, c), (X @ Q, c)], strict=True)]
        generic = [check(system, samples=n) for system in systems]
        for one, other in (given, generic):
            assert (one.verdict, one.ambiguity) == (other.verdict, other.ambiguity)
            for name in ("interpolation", "decomposition", "scale", "local", "count", "reduction", "generic-global"):
                assert one[name].holds is other[name].holds
                assert one[name].evidence.get("rank") == other[name].evidence.get("rank")

    @pytest.mark.parametrize("seed", range(6))
    def test_more_neurons_never_take_generic_uniqueness_away(self, seed):
        rng = np.random.default_rng(seed)
        d, n, C = (int(v) for v in (rng.integers(1, 5), rng.integers(1, 5), rng.integers(1, 3)))
        activation, layers = (str(rng.choice(names)) for names in (["z^3", "z + z^3", "z + z^2", CUBIC], ["both", "first", "second"]))
        net = random_network(rng, activation, inputs=d, width=10, outputs=C)
        configured, given = [], []
        for m in range(1, 11):
            configured.append(check(size(d, n, m, activation, outputs=C, layers=layers)).verdict is Verdict.UNIQUE)
            part = TwoLayerNetwork(net.W[:m], net.A[:, :m] if C > 1 else net.a[:m], net.activation)
            system = system_of(part, rng.standard_normal((n, d)), rng.standard_normal((n, C)), layers)
            given.append(check(system, samples=n).verdict is Verdict.UNIQUE)
        assert configured == sorted(configured) and given == sorted(given)

    @pytest.mark.parametrize("bias", [False, True])
    @pytest.mark.parametrize("regime", ["gradient", "lazy"])
    def test_a_single_sample_in_any_number_of_inputs(self, bias, regime):
        for d in (1, 2, 5):
            config = size(d, 1, 3, bias=bias, regime=regime)
            system, truth = config.plant(0)
            assert check(config).verdict is check(system, data=(truth.X, truth.c)).verdict is Verdict.UNIQUE

    def test_many_inputs_need_no_more_than_their_span(self):
        assert check(size(40_000, 2, 4)).verdict is Verdict.UNIQUE


class TestGivenData:
    net = random_network(np.random.default_rng(0), CUBIC, inputs=3, width=12)
    X = np.array([[1.0, 2, 0], [0, 1, 1], [3, -1, 2]])

    def test_samples_that_the_equations_do_not_see_apart(self):
        X, c = np.vstack([self.X, self.X[:1], [[5, 5, 5]]]), np.array([1.0, 2, -1, 0.5, 0])
        report = check(system_of(self.net, X, c), data=(X, c))
        assert report.verdict is Verdict.UNIQUE and report.subject["samples"] == 3
        assert "1 samples with zero multiplier do not enter the equations and were left out" in report.notes
        assert "1 samples coincide with others and were merged with them" in report.notes
        plain = check(system_of(self.net, self.X, [1.5, 2, -1]), data=(self.X, [1.5, 2, -1]))
        assert not any("left out" in note or "merged" in note for note in plain.notes)

    def test_multipliers_are_added_exactly_or_not_at_all(self):
        X, c = self.X[[0, 1, 1]], [1.0, 1.0, 2.0**-60]
        with pytest.raises(ValueError, match=r"c: the multipliers of the coincident samples \[1, 2\] have a sum that is not a float64"):
            check(system_of(self.net, X, c), data=(X, c))

    def test_cancelling_multipliers_are_dropped(self):
        X, c = self.X[[0, 1, 2, 2]], [1.0, 2, -1, 1]
        report = check(system_of(self.net, X, c), data=(X, c))
        assert report.subject["samples"] == 2 and report.verdict is Verdict.UNIQUE

    @pytest.mark.parametrize(("error", "words"), [(0.0, "by about"), (1e-6, "by 1.0e-06")])
    def test_residual_of_large_updates(self, error, words, monkeypatch):
        """Estimated where it is far below what rounding explains; computed otherwise."""
        monkeypatch.setattr("identify.conditions.check.LARGE", 0)
        system, truth = Configuration(inputs=3, samples=2, width=5, activation="z + z^2 + z^3").plant(seed=1)
        report = check(system.with_target((1 + error) * system.target), data=(truth.X, truth.c))
        assert any(words in note for note in report.notes) and report.subject["residual"] == pytest.approx(error, rel=0.01, abs=1e-15)

    def test_residual_is_reported_and_bounded(self):
        c = np.array([1.0, 2, -1])
        system = system_of(self.net, self.X, c)
        near = check(system, data=(self.X, c * (1 + 1e-6)))
        assert near.verdict is Verdict.UNIQUE and near.subject["residual"] == pytest.approx(1e-6, rel=0.01)
        with pytest.raises(InconsistentDataError, match="differs from the target by 2 relative.*minus the gradient") as caught:
            check(system, data=(self.X, -c))
        assert caught.value.residual == pytest.approx(2)

    def test_other_regimes_say_undecided_for_data_that_do_not_fit(self):
        c = np.array([1.0, 2, -1])
        system = replace(system_of(self.net, self.X, c), regime="lazy")
        report = check(system, data=(self.X, -c))
        assert report.verdict is Verdict.UNDECIDED and "do not satisfy the equations: relative residual 2" in report.reasons[0]
        assert report.witness is None

    def test_exactly_these_numbers_count(self):
        """In exact arithmetic a last bit makes dependent samples independent, and ranks say so."""
        X = np.array([[1.0, 2, 3], [2, 4, 6], [0, 0, 1]])
        moved = X.copy()
        moved[1, 1] = np.nextafter(4, 5)
        net = random_network(np.random.default_rng(0), CUBIC, inputs=3, width=12)
        for data, holds in ((X, False), (moved[[0, 1]], True)):
            c = np.ones(len(data))
            assert check(system_of(net, data, c), data=(data, c))["reduction"].holds is holds

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"data": (X, [1.0, 2, -1]), "samples": 2}, ValueError, "samples: received 2, but 3 distinct samples"),
            ({"data": (X, [0.0, 0, 0])}, ShapeError, "c: every multiplier is zero"),
            ({"data": (X[:2], [1.0, 2, -1])}, ShapeError, r"c: received shape \(3,\), expected \(2\)"),
            ({"data": (X[:, :2], [1.0, 2, -1])}, ShapeError, r"X: received shape \(3, 2\), expected \(any, 3\)"),
            ({"data": 5}, ShapeError, r"data: received int, expected a pair \(X, c\)"),
            ({"data": X}, ShapeError, r"data: received ndarray, expected a pair"),
            ({}, ValueError, r"samples: how many training samples are sought\? Pass samples=n"),
            ({"samples": 0}, ValueError, "samples: received 0, expected an integer of at least 1"),
            ({"samples": True}, ValueError, "samples: received True"),
            ({"samples": 2.0}, ValueError, "samples: received 2.0"),
        ],
    )
    def test_arguments_refused(self, arguments, error, message):
        system = system_of(self.net, self.X, [1.0, 2, -1])
        with pytest.raises(error, match=message):
            check(system, **arguments)


def test_a_configuration_knows_its_samples():
    for arguments in ({"samples": 2}, {"data": (np.eye(2), [1, 1])}):
        with pytest.raises(ValueError, match="a Configuration already says how many samples there are"):
            check(size(2, 2, 2), **arguments)


def test_only_problems_can_be_checked():
    with pytest.raises(TypeError, match="check: received str, expected a Configuration or a KKTSystem"):
        check("z^3")


def test_problems_that_do_not_fit_in_memory_are_refused(monkeypatch):
    monkeypatch.setenv("IDENTIFY_MEMORY", "0.0001")
    report = check(size(12, 12, 60))
    assert report.verdict is Verdict.UNDECIDED
    for name in ("interpolation", "local", "generic-global"):
        assert report[name].holds is None and "not evaluated: not affordable" in report[name].statement
        assert "needs about" in report[name].statement


class TestSelfTrained:
    @pytest.mark.parametrize("n", MAX_MARGIN_WIDTHS)
    def test_full_width_is_unique_for_its_own_data(self, n):
        report = check(size(n, n, MAX_MARGIN_WIDTHS[n], "z^3", regime="max-margin"))
        assert report.verdict is Verdict.UNIQUE and str(report.scope) == "this network, this data"
        assert any("one instance of this configuration was planted (seed 0)" in note for note in report.notes)
        assert any("statements about generic data do not apply" in note for note in report.notes)
        margins = next(note for note in report.notes if note.startswith("margins between"))
        assert [float(word) for word in margins.split()[2::2]] == pytest.approx([1, 1])

    @pytest.mark.parametrize("n", slow_unless(lambda n: n < 4, MAX_MARGIN_WIDTHS))
    def test_below_the_interpolation_rank_the_needed_width_is_named(self, n):
        needed = generic_width(3, n)
        for m, holds in ((needed, True), (needed - 1, False)):
            system, truth = size(n, n, m, "z^3", regime="max-margin").plant(0)
            report = check(system, data=(truth.X, truth.c))
            assert report["interpolation"].holds is holds and (report.verdict is Verdict.UNIQUE) is holds
        assert report["interpolation"].evidence["width_needed"] == needed and f"width {needed}" in report["interpolation"].statement
        assert report["interpolation"].evidence["effective_width"] == needed - 1

    @pytest.mark.parametrize(("d", "verdict"), [(3, Verdict.UNIQUE), (8, Verdict.UNDECIDED)])
    def test_weights_alone_prove_what_no_rounding_can_hide(self, d, verdict):
        system, _ = size(d, 3, 7, "z^3", regime="max-margin").plant(0)
        report = check(system, samples=3)
        assert report.verdict is verdict and report.scope.data == "this target"

    def test_labels_decide_the_ambiguity(self):
        system, truth = size(3, 3, 7, "z^3", regime="max-margin").plant(0)
        data = (truth.X, truth.c)
        plus, minus = (truth.c > 0).sum(), (truth.c < 0).sum()
        expected = f"the labels allow only sign patterns with {plus} positive and {minus} negative multipliers"
        assert expected in check(system, data=data).ambiguity
        without = check(KKTSystem.max_margin(system.network), data=data)
        assert without.verdict is Verdict.UNIQUE and "for every real t ≠ 0" in without.ambiguity[1]

    def test_a_number_of_labels_is_a_number_of_samples(self):
        system, _ = size(3, 3, 7, "z^3", regime="max-margin").plant(0)
        with pytest.raises(ValueError, match="samples: received 2, but the system has 3 labels"):
            check(system, samples=2)

    @pytest.mark.parametrize("labels", [[1, 1, 1], [1, -1], [-1, 1, 1, -1]])
    def test_labels_that_are_not_those_of_the_data_prove_nothing(self, labels):
        system, truth = size(3, 3, 7, "z^3", regime="max-margin").plant(0)
        assert (truth.c < 0).any()
        with pytest.raises(ValueError, match="labels: . positive and . negative, but the multipliers c of the data have 2 positive and 1"):
            check(KKTSystem.max_margin(system.network, labels=labels), data=(truth.X, truth.c))

    def test_margins_that_do_not_hold_fix_no_scale(self):
        """(2 x, c / 8) solves (S) as well, with margins 8: the equations that the labels put in force are not met."""
        system, truth = size(3, 3, 7, "z^3", regime="max-margin").plant(0)
        report = check(system, data=(2 * truth.X, truth.c / 8))
        assert "these margins are not 1, so the margin equations were left out" in report.notes
        assert "for every real t ≠ 0" in report.ambiguity[1] and not any("labels given" in line for line in report.equations)

    @pytest.mark.parametrize(
        ("activation", "bias", "looked_for"), [("z^3", False, True), ("z^3", True, False), ("z + z^3", False, False), ("z^2", True, False)]
    )
    def test_complementary_slackness_counts_unless_a_scale_is_free_to_meet_it(self, activation, bias, looked_for):
        net = random_network(np.random.default_rng(0), activation, inputs=2, width=2, bias=bias)
        report = check(replace(system_of(net, np.eye(2), [1, 1]), regime="max-margin"), data=(np.eye(2), [1, 1]))
        assert (report["witness"].holds is not None) is looked_for

    def test_weight_decay(self):
        config = size(3, 3, 7, "z^3", regime="weight-decay")
        report = check(config)
        assert report.verdict is Verdict.UNIQUE and any("closure" in line for line in report.equations)

    @pytest.mark.parametrize(
        ("activation", "regime", "verdict"),
        [
            ("z^2", "max-margin", Verdict.NOT_UNIQUE),
            ("z + z^3", "max-margin", Verdict.UNDECIDED),
            ("z + z^3", "weight-decay", Verdict.UNDECIDED),
        ],
    )
    def test_what_cannot_be_planted_is_not_judged_as_generic(self, activation, regime, verdict):
        report = check(size(3, 3, 20, activation, regime=regime))
        assert report.verdict is verdict and str(report.scope) == "any network, any data"
        assert any("no instance could be planted" in note for note in report.notes)
        assert [c.name for c in report.conditions] == ["witness"]


class TestWitness:
    @pytest.mark.parametrize(
        "config",
        [size(3, 3, 9, "z + z^2"), size(2, 3, 9, "z^2", bias=True), size(2, 3, 9, "z + z^3"), size(1, 4, 5, "z^2 + z^5", outputs=2)],
    )
    def test_other_data_have_the_same_target_in_exact_arithmetic_up_to_their_own_rounding(self, config):
        system, truth = config.plant(0)
        report = check(system, data=(truth.X, truth.c))
        (X, c), (Y, e) = report.witness.original, report.witness.example
        assert report.verdict is Verdict.NOT_UNIQUE and np.array_equal(X, truth.X)
        net = system.network
        first, second = (exact_target(net, system.observed, *pair) for pair in ((X, c), (Y, e)))
        scale = max(abs(value) for value in first)
        assert max(abs(u - v) for u, v in zip(first, second, strict=True)) < 1e-12 * scale
        assert config.ambiguity.match(Y, e, X, c).errors.max() > 1e-2
        assert report.witness.residual < 1e-12

    def test_perturbed_witnesses_are_no_witnesses(self):
        """Negative control of the comparison above: a change of 1e-6 in one entry shows."""
        config = size(3, 3, 9, "z + z^2")
        system, truth = config.plant(0)
        Y, e = check(system, data=(truth.X, truth.c)).witness.example
        Y = Y + 1e-6 * np.eye(3)
        assert system.residual(Y, e) > 1e-9


class TestReport:
    report = check(size(3, 3, 9, "z + z^2"), seed=5)

    def test_json_round_trip(self):
        for report in (self.report, check(size(3, 2, 9)), check(size(2, 2, 2, "z^3", regime="max-margin"))):
            assert json.loads(report.to_json()) == report.to_dict()
            assert set(report.to_dict()) >= {"verdict", "scope", "conditions", "witness", "seed", "versions", "ambiguity", "notes"}

    @pytest.mark.parametrize("config", [size(3, 3, 9, "z + z^2"), size(2, 3, 4, "z + z^3"), size(3, 3, 7, "z^3", regime="max-margin")])
    def test_one_seed_one_report(self, config):
        assert check(config, seed=5).to_json() == check(config, seed=5).to_json() != check(config, seed=6).to_json()

    def test_conditions_by_name(self):
        names = [c.name for c in self.report.conditions]
        assert sorted(names) == ["count", "decomposition", "generic-global", "interpolation", "local", "reduction", "scale", "witness"]
        assert all(self.report[name].name == name and self.report[name].reference for name in names)
        with pytest.raises(KeyError, match="condition: received 'rank', expected one of interpolation"):
            self.report["rank"]

    def test_text_begins_with_verdict_and_scope(self):
        text = self.report.explain()
        assert text.startswith("NOT_UNIQUE — for generic network, generic data") and str(self.report) == text
        assert "rotation, dimension 3" in text and max(map(len, text.splitlines())) <= 100
        assert repr(self.report).startswith("Report(NOT_UNIQUE: generic network, generic data)\n  interpolation: ")

    @pytest.mark.parametrize("outputs", [1, 3])
    def test_several_outputs_come_with_a_word_on_softmax(self, outputs):
        notes = check(size(3, 2, 9, outputs=outputs)).notes
        assert any("softmax" in note for note in notes) is (outputs > 1)

    @pytest.mark.parametrize("n", [2, 5])
    def test_the_number_of_atoms_is_part_of_the_statement(self, n):
        assert f"among data sets of at most {n} distinct samples with non-zero multipliers" in check(size(3, n, 4)).notes


def test_primes_of_a_proof_can_be_checked_independently():
    """The evidence names the prime; the interpolation matrix of the given network has full rank there."""
    config = size(2, 2, 4)
    system, truth = config.plant(0)
    report = check(system, data=(truth.X, truth.c))
    (q,) = report["interpolation"].evidence["primes"]
    net = system.network
    # Moments y_e / e! of a cubic in two variables; rows of the second layer and of both first-layer weights, written out.
    s = [residues(np.array([float(v)]), q)[0] for v in net.activation.coefficients]
    rows = []
    for (u, v), a in zip(residues(net.W, q).tolist(), residues(net.a, q).tolist(), strict=True):
        monomials = {(i, k - i): (int(s[k]) * factorial(k), k) for k in (1, 2, 3) for i in range(k, -1, -1)}
        rows.append([f * u**i * v**j % q for (i, j), (f, _) in monomials.items()])
        rows += [
            [
                a * f * (u ** (i - 1) * v**j if first else u**i * v ** (j - 1)) % q if (i if first else j) else 0
                for (i, j), (f, _) in monomials.items()
            ]
            for first in (True, False)
        ]
    assert nmod_mat(len(rows), 9, [int(v) for row in rows for v in row], q).rank() == 9
