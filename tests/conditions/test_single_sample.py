"""Theorem C, completion and the question about one sample: what they prove, invariances, and instances with hidden second solutions."""

from fractions import Fraction

import numpy as np
import pytest
from support.marks import slow, slow_unless

import identify as idf
from identify.conditions.reduction import reduce
from identify.problem.gradients import weighted_gradients
from identify.problem.verdict import Arithmetic
from identify.theory.cases import draw, exactly
from identify.theory.search import count_exactly

CUBIC = "z + z^2 + z^3"


def judged(case, **options):
    return idf.check(case.system, data=(case.X, case.c), **options)


def system_of(net, X, c, layers="first", bias=True):
    """The system whose target these data have, exactly."""
    sigma = net.activation
    parts = weighted_gradients(*map(exactly, (net.W, net.A, net.offsets)), sigma.coefficients, sigma.derivative(), exactly(X), exactly(c))
    W, b, a = (part.astype(float) for part in parts)
    first = {} if layers == "second" else {"W": W} | ({"bias": b} if bias and net.has_bias else {})
    second = {} if layers == "first" else {"a": a.reshape(net.a.shape)}
    return idf.KKTSystem.gradient(net, **first, **second)


class TestMacaulay:
    @pytest.mark.parametrize(
        "sizes",
        [
            {"inputs": 6, "samples": 6, "width": 13, "activation": CUBIC, "layers": "first"},
            {"inputs": 9, "samples": 4, "width": 9, "activation": "z + z^2 + z^4"},
            {"inputs": 4, "samples": 4, "width": 10, "activation": "z + z^5", "layers": "first"},
            {"inputs": 4, "samples": 4, "width": 10, "activation": "z^5", "layers": "first"},
            {"inputs": 4, "samples": 4, "width": 12, "activation": "z^3 + z^4", "bias": True, "layers": "first", "outputs": 2},
        ],
    )
    def test_given_data_far_below_the_interpolation_width(self, sizes):
        report = judged(draw(idf.Configuration(**sizes), 1), conditions=["macaulay"])
        found = report["macaulay"]
        assert report.verdict is idf.Verdict.UNIQUE and found.is_proved and not report["interpolation"].is_proved
        assert found.evidence["degree"] >= 4 and found.evidence["corank"] == found.evidence["needed"] == sizes["samples"]
        assert "macaulay: corank" in report.explain() or any(reason.startswith("macaulay") for reason in report.reasons)

    def test_the_sizes_that_a_search_was_needed_for(self):
        for d, n, m in ((8, 8, 20), (12, 10, 30)):
            report = judged(draw(idf.Configuration(inputs=d, samples=n, width=m, activation="z + z^2/2 + z^3", layers="first"), 0))
            assert report.verdict is idf.Verdict.UNIQUE and (d > n or report.reasons[0].startswith("macaulay"))

    def test_the_second_layer_alone(self):
        for n, outputs, bias in ((1, 1, True), (1, 1, False), (2, 2, True), (2, 3, False)):
            sizes = {
                "inputs": 2,
                "samples": n,
                "width": 4 + 4 * n,
                "activation": CUBIC,
                "layers": "second",
                "outputs": outputs,
                "bias": bias,
            }
            report = judged(draw(idf.Configuration(**sizes), 2), conditions=["macaulay"])
            assert report["macaulay"].is_proved, sizes
        sizes |= {"outputs": 1}
        assert judged(draw(idf.Configuration(**sizes), 2), conditions=["macaulay"])["macaulay"].holds is None

    def test_as_many_equations_as_unknowns_have_other_solutions(self):
        found = judged(draw(idf.Configuration(inputs=3, samples=3, width=6, activation=CUBIC, layers="first"), 0), conditions=["macaulay"])[
            "macaulay"
        ]
        assert found.holds is False and found.evidence["coranks"][-1] == 8 and found.arithmetic is Arithmetic.EVIDENCE

    def test_dead_neurons_count_for_nothing(self):
        case = draw(idf.Configuration(inputs=3, samples=3, width=9, activation=CUBIC, layers="first"), 0)
        net = case.system.network
        a = net.a.copy()
        a[:3] = 0
        system = system_of(idf.TwoLayerNetwork(net.W, a, net.activation), case.X, case.c)
        found = idf.check(system, data=(case.X, case.c), conditions=["macaulay"])["macaulay"]
        assert found.holds is False and found.evidence["equations"] == 3

    def test_multipliers_that_the_first_layer_does_not_show(self):
        """Proportional outputs: the samples are determined, the multipliers only if the second layer is seen."""
        case = draw(idf.Configuration(inputs=3, samples=3, width=9, activation=CUBIC, layers="both", outputs=4), 0)
        net = case.system.network
        A = np.outer([1, 2, -1, 3], net.A[0])
        for layers, verdict in (("both", idf.Verdict.UNIQUE), ("first", idf.Verdict.NOT_UNIQUE)):
            system = system_of(idf.TwoLayerNetwork(net.W, A, net.activation), case.X, case.c, layers)
            report = idf.check(system, data=(case.X, case.c), conditions=["macaulay"])
            assert report.verdict is verdict and report["macaulay"].is_proved == (layers == "both")
        assert report["macaulay"].holds is None

    @pytest.mark.parametrize("change", ["samples", "neurons", "inputs", "scale of neurons"])
    def test_invariances(self, change):
        case = draw(idf.Configuration(inputs=4, samples=4, width=9, activation=CUBIC, layers="first"), 5)
        net, X, c, rng = case.system.network, case.X, case.c, np.random.default_rng(0)
        W, a = net.W, net.a
        if change == "samples":
            order = rng.permutation(4)
            X, c = X[order], c[order]
        if change == "neurons":
            order = rng.permutation(9)
            W, a = W[order], a[order]
        if change == "inputs":
            M = np.eye(4) + np.triu(rng.integers(-2, 3, (4, 4)), 1)  # unimodular, so its inverse is in integers too
            X, W = X @ M, W @ np.linalg.inv(M).T.round()
        if change == "scale of neurons":
            a = a * 2.0 ** rng.integers(-3, 4, 9)
        report = idf.check(system_of(idf.TwoLayerNetwork(W, a, net.activation), X, c), data=(X, c), conditions=["macaulay"])
        before = judged(case, conditions=["macaulay"])
        assert report.verdict is before.verdict is idf.Verdict.UNIQUE
        assert report["macaulay"].evidence["coranks"] == before["macaulay"].evidence["coranks"]

    def test_generic_data_by_one_random_point(self):
        config = idf.Configuration(inputs=2, samples=1, width=6, activation="z^3", bias=True, layers="second")
        report = idf.check(config)
        assert (
            report.verdict is idf.Verdict.UNIQUE and report["macaulay"].is_proved and str(report.scope) == "generic network, generic data"
        )

    def test_what_costs_too_much_is_not_begun(self):
        sizes = {"inputs": 16, "samples": 16, "width": 33, "activation": CUBIC, "layers": "first"}
        found = judged(draw(idf.Configuration(**sizes), 0), conditions=["macaulay"], budget=30)["macaulay"]
        assert found.holds is None and "coranks" not in found.evidence

    def test_a_certificate(self):
        report = judged(draw(idf.Configuration(inputs=4, samples=4, width=10, activation="z^5", layers="first"), 0))
        assert idf.verify(report.certificate()) and "macaulay" in {step["kind"] for step in report.certificate().to_dict()["steps"]}

    def test_dependent_outputs_hide_multipliers(self):
        """1 + z^3, and rows of A in proportion: scales that only a constant term shows, to two outputs for three samples."""
        rng = np.random.default_rng(0)
        W, a = rng.integers(-5, 6, (12, 3)).astype(float), rng.integers(1, 5, 12).astype(float)
        X, c = rng.integers(-5, 6, (3, 3)).astype(float), rng.integers(1, 5, (3, 2)).astype(float)
        system = system_of(idf.TwoLayerNetwork(W, np.stack([a, 2 * a]), "1 + z^3"), X, c, layers="both")
        report = idf.check(system, data=(X, c), conditions=["macaulay"])
        assert report.verdict is idf.Verdict.NOT_UNIQUE and report["macaulay"].holds is None


class TestHidden:
    """Instances with a second solution by construction: none may be called UNIQUE."""

    @pytest.mark.parametrize("outputs", [1, 3])
    @pytest.mark.parametrize(
        ("values", "bias", "n", "d"),
        slow_unless(
            lambda values, bias, n, d: n == 1 or (n < 4 and (len(values) == n or bias)),
            [
                (*kind, *sizes)
                for sizes in [(1, 2), (2, 2), (3, 4), (4, 6)]
                for kind in [((0, 1), False), ((0, 1), True), ((0, 1, 2), False), ((0, 1, 2, 3), False)]
            ],
        ),
    )
    def test_samples_that_can_be_doubled(self, n, d, values, bias, outputs):
        """If sigma'(2 z) = sigma'(z) at all pre-activations z, every sample may be doubled, with half its multiplier."""
        rng = np.random.default_rng([n, d, len(values), outputs])
        difference = np.poly1d(values, r=True).coeffs[::-1]  # of sigma'(2 z) - sigma'(z), increasing powers
        slope = [3.0, *(Fraction(int(v)) / (2**k - 1) for k, v in enumerate(difference) if k)]
        sigma = [Fraction(0), *(Fraction(v) / (k + 1) for k, v in enumerate(slope))]
        m = 8 * n
        Z = rng.choice(values, (m, n)).astype(float)
        M = np.eye(d) + np.triu(rng.integers(-1, 2, (d, d)), 1)
        X = M[:n]
        inverse = np.linalg.inv(M).round()
        W = np.hstack([Z, rng.integers(-2, 3, (m, d - n))]) @ inverse.T
        assert (W @ X.T == Z).all()
        A, c = rng.integers(1, 5, (outputs, m)).astype(float), rng.integers(1, 5, (n, outputs)).astype(float)
        net = idf.TwoLayerNetwork(W, A[0] if outputs == 1 else A, idf.Activation(sigma), bias=np.zeros(m) if bias else None)
        system = system_of(net, X, c, bias=False)
        assert system.residual(np.vstack([2 * X[:1], X[1:]]), np.vstack([c[:1] / 2, c[1:]])) < 1e-12
        report = idf.check(system, data=(X, c if outputs > 1 else c[:, 0]), conditions=["macaulay"])
        assert report.verdict is not idf.Verdict.UNIQUE and report["macaulay"].holds is not True

    @pytest.mark.parametrize(("n", "d", "m"), [(1, 2, 9), (1, 5, 20), (2, 4, 12), (3, 6, 20)])
    def test_reflected_samples_of_the_second_layer(self, n, d, m):
        """sigma = z^2 with biases: the other samples have the opposite pre-activations, or the same, at every neuron."""
        rng = np.random.default_rng([n, d])
        X = 2.0 * rng.integers(-3, 4, (n, d))
        step = 2.0 * rng.integers(-3, 4, d)
        other = step - X  # x + x' is the same for all samples, so one bias turns the sign for all
        W = rng.integers(-3, 4, (m, d)).astype(float)
        C = np.eye(n) + np.triu(rng.integers(-1, 2, (n, n)), 1)
        net = idf.TwoLayerNetwork(W, np.ones((n, m)) if n > 1 else np.ones(m), "z^2", bias=-(W @ step) / 2)
        system = system_of(net, X, C, layers="second")
        assert system.residual(other, C) == 0
        report = idf.check(system, data=(X, C if n > 1 else C[:, 0]), conditions=["macaulay"])
        assert report.verdict is not idf.Verdict.UNIQUE and report["macaulay"].holds is not True


class TestOneSample:
    def case(self, factor, sigma="z + z^2", width=5):
        """One sample with pre-activations z and unseen biases k z, for which another multiple has the same first-layer update."""
        z = np.array([1.0, 2.0, -1.0, 3.0, -2.0])[:width]
        net = idf.TwoLayerNetwork(np.stack([z, np.zeros(width)], axis=1), np.ones(width), sigma, bias=factor * z)
        X, c = np.array([[1.0, 0.0]]), np.array([[2.0]])
        return system_of(net, X, c, bias=False), X, c

    def test_another_multiple_is_shown(self):
        """sigma = z^2/2: lambda t (t + k) = 1 + k has two roots for each lambda, and any one will do at all neurons."""
        system, X, c = self.case(1.0, "z^2/2")
        report = idf.check(system, data=(X, c[:, 0]))
        assert report.verdict is idf.Verdict.NOT_UNIQUE

    def test_the_count_of_real_solutions(self):
        W = np.array([[1.0, 0.0], [2.0, 1.0]])
        for seed in range(20):
            rng = np.random.default_rng(seed)
            net = idf.TwoLayerNetwork(rng.integers(-3, 4, (2, 2)) + W, [1.0, 2.0], "z + z^2 + z^3")
            X, c = rng.integers(1, 4, (1, 2)).astype(float), np.array([[1.0]])
            report = idf.check(system_of(net, X, c), data=(X, c[:, 0]), conditions=["one-sample"])
            found = report["one-sample"]
            if found.holds is None:
                continue
            # lambda t sigma'(t z_j) = sigma'(z_j), j = 1, 2: eliminate lambda
            z = net.W @ X[0]
            s = np.polynomial.Polynomial([1, 2, 3])
            first, second = (s(np.polynomial.Polynomial([0, v])) for v in z)
            roots = (first * s(z[1]) - second * s(z[0])).roots()
            real = [t.real for t in roots if abs(t.imag) < 1e-9 and abs(t - 1) > 1e-6 and abs(t * first(t)) > 1e-9]
            assert found.evidence["other_real_solutions"] == len(real), (seed, roots)
            assert report.verdict is (idf.Verdict.NOT_UNIQUE if real else idf.Verdict.UNIQUE)
            if real:
                assert report.witness.kind == "multiple" and report.witness.residual < 1e-12
            assert idf.verify(report.certificate())

    def test_both_layers_of_one_neuron(self):
        net = idf.TwoLayerNetwork([[1.0, 2.0]], [[1.0], [3.0]], "z^2 - z^4")
        X, c = np.array([[2.0, 1.0]]), np.array([[1.0, -2.0]])
        report = idf.check(system_of(net, X, c, layers="both"), data=(X, c))
        assert report.verdict is idf.Verdict.UNIQUE and report["one-sample"].is_proved and len(report.ambiguity) == 2

    def test_several_samples_are_none_of_its_business(self):
        case = draw(idf.Configuration(inputs=3, samples=2, width=2, activation=CUBIC, layers="first"), 0)
        assert judged(case, conditions=["one-sample"])["one-sample"].holds is None


class TestCompletion:
    @pytest.mark.parametrize(
        "sizes",
        [
            {"inputs": 1, "samples": 2, "width": 4, "activation": "1 + z + z^4", "outputs": 2, "bias": True, "layers": "first"},
            slow({"inputs": 2, "samples": 3, "width": 4, "activation": "z + z^2 + z^4", "outputs": 2, "bias": True}),
            {"inputs": 2, "samples": 2, "width": 5, "activation": "1 + z^2 + z^3", "outputs": 2, "layers": "first"},
        ],
    )
    def test_moments_that_the_target_does_not_show(self, sizes):
        case = draw(idf.Configuration(**sizes), 0)
        report = judged(case, conditions=["completion"])
        assert report.verdict is idf.Verdict.UNIQUE and report["completion"].is_proved and not report["interpolation"].is_proved
        assert report.reasons[0].startswith("completion")

    def test_against_a_count_of_all_solutions(self):
        """Small systems around the width where they become unique, counted by a Groebner basis."""
        compared = 0
        for seed, width in ((s, w) for s in range(4) for w in (3, 4, 5)):
            case = draw(idf.Configuration(inputs=2, samples=2, width=width, activation="z^3 + z", layers="first", bias=True), seed)
            report = judged(case, conditions=["completion", "macaulay"])
            if report.verdict is not idf.Verdict.UNIQUE:
                continue
            counted = count_exactly(case)
            if counted is not None:
                compared += 1
                assert counted[0], (seed, width, counted)
        assert compared or counted is None

    def test_too_few_neurons(self):
        case = draw(idf.Configuration(inputs=2, samples=2, width=2, activation=CUBIC, layers="first"), 0)
        assert reduce(case.of_these_data)[0].is_proved
        report = judged(case, conditions=["completion"])
        assert report.verdict is not idf.Verdict.UNIQUE and report["completion"].holds is not True
