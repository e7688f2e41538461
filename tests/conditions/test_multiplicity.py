"""Data where the Jacobian is deficient: isolated all the same, and alone if a corank counts them; against multiplicities known by hand."""

import numpy as np
import pytest
from flint import fmpq, nmod

import identify as idf
from identify.certificates.lacking import Lacking
from identify.checker.reading import canonical_hash
from identify.conditions.local import local
from identify.conditions.macaulay import Shape, macaulay
from identify.conditions.multiple_points import are_simple, multiple_points
from identify.conditions.multiplicity import germs_of, multiplicity, multiplicity_applies, multiplicity_seconds, prime_point
from identify.conditions.reduction import reduce
from identify.exact.germs import added, dual_dimensions, product, taylor
from identify.exact.germs import multiplicity as multiplicity_of
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.verdict import Arithmetic, Verdict
from identify.theory.cases import case_of, draw

Q = 2**31 - 1
X, Y = (1, 0), (0, 1)


def poly(**terms):
    """Coefficients by exponents, "xxy" being x²y."""
    return {(name.count("x"), name.count("y")): fmpq(value) for name, value in terms.items()}


KNOWN = {
    "a simple point": ([poly(x=1, xy=3), poly(y=2, xx=1)], 1, 0),
    "a double point": ([poly(x=1), poly(yy=1, xy=1)], 2, 1),
    "two conics that touch": ([poly(y=1, xx=-1), poly(y=1, xx=1)], 2, 1),
    "the square of the maximal ideal": ([poly(xx=1), poly(xy=1), poly(yy=1)], 3, 1),
    "two cusps": ([poly(xx=1, yyy=-1), poly(xxx=1, yy=-1)], 4, 2),
    "a curve and its tangent of order five": ([poly(y=1, xxxxx=1), poly(y=1)], 5, 4),
}
"""Equations, multiplicity and order at the origin (Cox, Little & O'Shea, chapter 4: intersection multiplicities)."""


@pytest.mark.parametrize("name", KNOWN)
def test_known_multiplicities(name):
    germs, expected, order = KNOWN[name]
    assert multiplicity_of(germs, 2, None) == (expected, order)
    modular = [{e: nmod(int(v.p), Q) / int(v.q) for e, v in germ.items()} for germ in germs]
    assert multiplicity_of(modular, 2, Q) == (expected, order)
    doubled = [*germs, product(germs[0], poly(x=1)), added(germs)]
    assert multiplicity_of(doubled, 2, None) == (expected, order)  # multiples and sums are no further equations


def test_a_curve_of_solutions_never_comes_to_rest():
    assert list(dual_dimensions([poly(xy=1)], 2, None, 400)) == [1, 3, 5, 7, 9, 11]
    assert multiplicity_of([poly(xy=1)], 2, None, 400) is None and multiplicity_of([], 2, None, 50) is None


def test_taylor_series():
    """(2 + x + 3 y)^3."""
    found = taylor([fmpq(8), fmpq(12), fmpq(12), fmpq(6)], [fmpq(1), fmpq(3)])
    assert found[0, 0] == 8 and found[X] == 12 and found[Y] == 36 and found[1, 1] == 36 and found[0, 3] == 27


EVEN = "1 + z^2 + z^4"


def with_zero(activation="1 + z^2 + z^3", width=6, inputs=2, outputs=2, seed=1):
    """Two samples, one of them zero, behind the second layer's update alone."""
    config = Configuration(inputs=inputs, samples=2, width=width, outputs=outputs, layers="second", activation=Activation.parse(activation))
    case = draw(config, seed)
    data = case.X.copy()
    data[0] = 0
    return case_of(config, case.system.network, data, case.c, seed)


@pytest.mark.parametrize(
    ("activation", "dual"),
    [("1 + z^2 + z^3", 3), ("2 - z^2 + z^4 + z^3", 3), ("1 + z + z^2", 1), ("1 + z^3 + z^4", 6)],
)
def test_a_zero_sample(activation, dual):
    """Terms of order k alone: all monomials below it are in the dual space."""
    case = with_zero(activation, width=8)
    where = reduce(case.of_these_data)[1]
    found, counted = multiplicity(where), macaulay(where)
    assert found.is_proved and found.evidence["multiplicity"] == dual and local(where).holds is (dual == 1)
    if dual > 1:
        assert counted.is_proved and counted.evidence["multiplicities"] == [dual, 1] and counted.evidence["corank"] == dual + 1


def test_verdicts():
    """UNIQUE where the corank is the sum of multiplicities; LOCALLY_UNIQUE where no corank speaks of zero (g = 2)."""
    alone, among_others = (idf.check(case.system, data=(case.X, case.c)) for case in (with_zero(), with_zero(EVEN)))
    assert alone.verdict is Verdict.UNIQUE and alone["macaulay"].evidence["multiplicities"] == [3, 1]
    assert among_others.verdict is Verdict.LOCALLY_UNIQUE and among_others["multiplicity"].is_proved
    assert among_others.reasons[0].startswith("multiplicity: ") and not among_others["macaulay"].is_proved


def test_bezout():
    """Two cubics in two unknowns that start with quadrics: 9 solutions, 4 of them at zero, and more than the samples in all."""
    where = reduce(with_zero(width=4).of_these_data)[1]
    found = macaulay(where)
    assert found.evidence["coranks"][-1] == 9 and not found.is_proved


def test_families_stay_families():
    """Opposite samples and an odd activation: dependent gradients, a family; never isolated."""
    config = Configuration(inputs=2, samples=2, width=6, activation=Activation.parse("z + z^3"))
    case = draw(config, 1)
    case = case_of(config, case.system.network, np.array([case.X[0], -case.X[0]]), case.c, 1)
    assert not multiplicity(reduce(case.of_these_data)[1]).is_proved
    report = idf.check(case.system, data=(case.X, case.c))
    assert report.verdict is Verdict.NOT_UNIQUE and "multiplicity" not in {c.name for c in report.conditions}


def test_free_scales_are_held():
    """z³: (t x, c / t³) is the ambiguity, and not a family."""
    case = draw(Configuration(inputs=2, samples=2, width=8, activation=Activation.parse("z^3")), 3)
    where = case.of_these_data
    assert where.scales_per_sample == 1 and multiplicity(where).evidence["multiplicity"] == 1


def test_order_and_size_do_not_matter():
    case = with_zero()
    answers = []
    for order in ([0, 1], [1, 0]):
        report = idf.check(case.system, data=(case.X[order], case.c[order]), seed=5)
        answers.append((report.verdict, sorted(report["macaulay"].evidence["multiplicities"])))
    assert answers == [(Verdict.UNIQUE, [1, 3])] * 2


def test_the_first_derivatives_are_the_jacobian():
    """Germs modulo a prime against the matrix of ``local``."""
    for config in (
        Configuration(inputs=2, samples=2, width=5, outputs=2, bias=True, activation=Activation.parse("z + z^2 - z^3")),
        Configuration(inputs=3, samples=2, width=4, layers="first", activation=Activation.parse("z + z^2 - z^3")),
    ):
        instance = reduce(draw(config, 2).of_these_data)[1].instance
        point = prime_point(instance, np.random.default_rng(0))
        germs, variables = germs_of(point, False)
        rows = [[int(germ.get(tuple(np.eye(variables, dtype=int)[k].tolist()), 0)) for k in range(variables)] for germ in germs]
        assert sorted(rows) == sorted(row for row in point.jacobian().tolist() if any(row))


def test_cost_is_known_beforehand():
    case = draw(Configuration(inputs=12, samples=10, width=60, activation=Activation.parse("z + z^2 + z^3")), 1)
    setting = case.of_these_data
    assert not multiplicity_applies(setting) and multiplicity_seconds(setting) == 0
    assert multiplicity(setting).arithmetic is Arithmetic.NONE
    assert 0 < multiplicity_seconds(reduce(with_zero().of_these_data)[1]) < 1


class TestCertificates:
    def test_of_multiple_points(self):
        case = with_zero()
        content = idf.check(case.system, data=(case.X, case.c)).certificate().content
        assert [step["kind"] for step in content["steps"]] == ["multiple-points", "macaulay", "scale"]
        assert idf.verify(content).is_valid
        for change in (
            lambda steps: steps[1:],
            lambda steps: [steps[1], steps[0], steps[2]],
            lambda steps: [steps[0], steps[1] | {"degree": 3}, steps[2]],
            lambda steps: [steps[0] | {"basis": [0, 0]}, *steps[1:]],
            lambda steps: [steps[0] | {"layers": [1]}, *steps[1:]],
        ):
            body = {key: value for key, value in content.items() if key != "sha256"} | {"steps": change(content["steps"])}
            hashes = content["sha256"] | {"content": canonical_hash(body)}
            assert not idf.verify(body | {"sha256": hashes}).is_valid

    def test_of_isolation_do_not_exist(self):
        case = with_zero(EVEN)
        with pytest.raises(idf.NoCertificateError) as raised:
            idf.check(case.system, data=(case.X, case.c)).certificate()
        assert raised.value.reason is Lacking.MULTIPLICITY and raised.value.rests_on == ("multiplicity",)


@pytest.mark.parametrize(
    "options",
    [
        {"inputs": 3, "samples": 3, "width": 8, "layers": "first"},
        {"inputs": 3, "samples": 3, "width": 8, "layers": "first", "bias": True},
        {"inputs": 2, "samples": 2, "width": 8, "layers": "second", "outputs": 2},
    ],
)
def test_simple_samples_are_told_by_ranks(options):
    """A few ranks modulo a prime instead of dual spaces, which say the same; a sample that is met more than once is never called simple."""
    config = Configuration(activation=Activation.parse("z + z^2 - z^3"), **options)
    setting = reduce(draw(config, 1).of_these_data)[1]
    shape, point = Shape.of(setting), prime_point(setting.instance, np.random.default_rng(0))
    layers = bool(shape.first), bool(shape.second)
    germs = multiple_points(setting, [0], *layers, 1, 0)
    assert germs is None and are_simple(point, 0, *layers)


@pytest.mark.parametrize("activation", ["1 + z^2 + z^3", "1 + z^3 + z^4"])
def test_samples_that_are_met_more_than_once_are_not_simple(activation):
    setting = reduce(with_zero(activation, width=8).of_these_data)[1]
    point = prime_point(setting.instance, np.random.default_rng(0))
    assert not are_simple(point, 0, False, True)
