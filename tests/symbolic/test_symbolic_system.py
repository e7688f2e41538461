"""Symbolic systems against plain SymPy: every activation of degree at most 4, every regime, small sizes; then form, text, refusals."""

import re
from fractions import Fraction
from functools import lru_cache
from itertools import product
from random import Random

import numpy as np
import pytest
from support.marks import slow
from support.oracles import exact_target
from support.plain_sympy import COEFFICIENTS, FACTORS, SUPPORTS, Case, pairs, pairwise_sample, plain, rational
from sympy import Ge, Integer, Rational, Symbol, diff, symbols
from sympy.polys.rings import PolyElement

from identify.base.limits import TooLargeError
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.gradients import Observed
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.symbolic.posing import kkt_equations
from identify.symbolic.system import SymbolicSystem

SAMPLE = pairwise_sample()
MOST = 36
"""Cases with most of the pairs, because each adds as many as it can."""


def configuration(case: Case) -> Configuration:
    sizes = {"inputs": case.inputs, "samples": case.samples, "width": case.width, "outputs": case.outputs}
    return Configuration(**sizes, activation=Activation(case.sigma), bias=case.bias, regime=case.regime, layers=case.layers)


@lru_cache(maxsize=16)
def written(case: Case) -> tuple[SymbolicSystem, tuple, list]:
    """The system, its expanded polynomials, and what plain SymPy gives."""
    system = kkt_equations(configuration(case))
    return system, tuple(system.expand()), plain(case).equations(case.regime, case.layers)


def equal(polynomial: PolyElement, expression) -> bool:
    """Equality as polynomials, in SymPy's arithmetic; the expression may have no other symbols than the polynomial's ring."""
    return polynomial == polynomial.ring.from_expr(expression)


# --- the criterion, one combination at a time ------------------------------------------------------------------------


def equations_are_the_derivatives(case: Case) -> None:
    system, polynomials, expected = written(case)
    assert len(system) == len(polynomials) == len(expected)
    assert system.unknowns == plain(case).unknowns
    for polynomial, expression in zip(polynomials, expected, strict=True):
        assert equal(polynomial, expression)


def structured_equations_expand_to_the_polynomials(case: Case) -> None:
    system, polynomials, _ = written(case)
    for polynomial, equation in zip(polynomials, system.equations, strict=True):
        assert equal(polynomial, equation)


def jacobian_is_the_derivative(case: Case) -> None:
    system, polynomials, expected = written(case)
    jacobian = system.jacobian()
    assert jacobian.shape == (len(system), len(system.unknowns))
    for r, polynomial in enumerate(polynomials):
        ring = polynomial.ring
        derived = ring.from_expr(expected[r])
        for k, unknown in enumerate(system.unknowns):
            entry = jacobian.entries.get((r, k))
            if unknown not in ring.symbols:
                assert entry is None
                continue
            assert derived.diff(ring.from_expr(unknown)) == ({} if entry is None else PolyElement(ring, entry.to_dict()))
    rng = Random(str(case))
    r, unknown = rng.randrange(len(system)), rng.choice(system.unknowns)
    assert equal(polynomials[r].ring.from_expr(jacobian[r, unknown]), diff(expected[r], unknown))


def moment_form_is_the_same_system(case: Case) -> None:
    system, polynomials, _ = written(case)
    form = system.moment_form()
    assert form.agrees()
    assert len(form.equations) == system.n_stationarity
    for polynomial, equation in zip(polynomials, form.equations, strict=False):
        assert not equation.free_symbols & {*system.unknowns}
        assert equal(polynomial, equation.xreplace(form.definitions))


def ambiguity_leaves_the_equations_as_they_are(case: Case) -> None:
    system, polynomials, expected = written(case)
    stationarity = [*zip(polynomials, expected, strict=True)][: system.n_stationarity]
    known = system.ambiguity()
    assert len(known) == case.samples - 1 + (system.group.group != "none")
    for substitution in known:
        assert system.is_invariant(substitution)
        at_three = {symbol: value.subs(Symbol("t"), 3) for symbol, value in substitution.items()}
        assert all(equal(polynomial, expression.xreplace(at_three)) for polynomial, expression in stationarity)


def other_substitutions_change_them(case: Case) -> None:
    system, group, names = written(case)[0], written(case)[0].group, written(case)[0].names

    def change(x, c) -> dict:
        return {v: x * v for v in names.x[0]} | {v: c * v for v in names.multipliers[0]}

    wrong = [change(2, 1), change(1, -1), change(2, Rational(1, 2 ** (group.degree + 1)))]
    if group.group == "none":
        wrong += [change(-1, 1), change(-1, -1)]
    if group.group != "scaling":
        wrong.append(change(2, Rational(1, 2**group.degree)))
    if case.samples > 1:
        wrong.append(dict(zip([*names.x[0], *names.x[1]], [*names.x[1], *names.x[0]], strict=True)))
    for substitution in wrong:
        assert not system.is_invariant(substitution)


def planted(case: Case) -> tuple[KKTSystem, dict, dict]:
    """A system with small integer weights and data whose target is exact, its solution, and what its numbers stand for."""
    p = plain(case)
    scale = np.lcm.reduce([value.denominator for value in case.sigma])
    for seed in range(100):
        rng = np.random.default_rng(seed)
        W, A, b, X = (rng.choice([-2, -1, 1, 2], part.shape) for part in (p.w, p.a, p.b, p.x))
        multipliers, y = scale * rng.integers(1, 4, p.multipliers.shape), rng.choice([-1, 1], case.samples)
        signed = multipliers * (y[:, None] if case.outputs == 1 else 1)
        net = TwoLayerNetwork(W, A if case.outputs > 1 else A[0], Activation(case.sigma), bias=b if case.bias else None)
        target = [float(value) for value in exact_target(net, Observed.of(case.layers, case.bias), X, signed)]
        system = with_exact_target(net, case, np.array(target))
        if system is not None:
            break
    numbers = dict(zip([*p.w.ravel(), *p.a.ravel(), *p.b], [*W.ravel(), *A.ravel(), *b], strict=True))
    seen = [v for group in {"both": "wba", "first": "wb", "second": "a"}[case.layers] for v, _ in p.derivatives[group]]
    numbers |= {Symbol("t" + v.name): t for v, t in zip(seen, target, strict=True)}
    solution = dict(zip([*p.x.ravel(), *p.multipliers.ravel(), *p.y], [*X.ravel(), *multipliers.ravel(), *y], strict=True))
    solution |= {Symbol(f"c_{i + 1}"): value for i, value in enumerate(signed[:, 0])}
    return system, *({symbol: rational(float(value)) for symbol, value in part.items()} for part in (solution, numbers))


def with_exact_target(net: TwoLayerNetwork, case: Case, target: np.ndarray) -> KKTSystem | None:
    """The system of that regime with that target; None where a trained layer would have none."""
    observed = Observed.of(case.layers, case.bias)
    shapes = {"W": net.W.shape, "bias": (net.width,), "a": net.a.shape}
    parts, start = {}, 0
    for (name, shape), seen in zip(shapes.items(), observed, strict=True):
        if seen:
            parts[name] = target[start : start + np.prod(shape)].reshape(shape)
            start += np.prod(shape)
    if not all(part.any() for part in parts.values()):
        return None
    if case.regime == "gradient":
        return KKTSystem.gradient(net, **parts)
    if case.regime == "lazy":
        moved = [part + parts.get(name, 0) for name, part in (("W", net.W), ("a", net.a), ("bias", net.bias)) if part is not None]
        return KKTSystem.lazy(net, TwoLayerNetwork(*moved[:2], net.activation, *moved[2:]))
    if case.regime == "weight-decay":
        return KKTSystem.weight_decay(net, decay=0.5, layers=case.layers).with_target(target)
    return KKTSystem.max_margin(net, layers=case.layers).with_target(target)


def numbers_are_taken_exactly(case: Case) -> None:
    system, solution, numbers = planted(case)
    given = kkt_equations(system, samples=case.samples)
    polynomials = tuple(given.expand())
    _, _, general = written(case._replace(regime="gradient"))
    p = plain(case)
    if case.outputs == 1 and case.regime != "max-margin":
        numbers |= {p.y[i]: Integer(1) for i in range(case.samples)}
        numbers |= {p.multipliers[i, 0]: Symbol(f"c_{i + 1}") for i in range(case.samples)}
    assert given.n_stationarity == len(general)
    values = [solution[symbol] for symbol in polynomials[0].ring.symbols]
    moved = [value + Rational(int(k == 0), 101) for k, value in enumerate(values)]
    for r, expression in enumerate(general):
        assert equal(polynomials[r], expression.xreplace(numbers))
        assert equal(polynomials[r], given.equations[r])
        assert polynomials[r](*values) == 0
        assert given.equations[r].xreplace(solution) == 0
    assert any(polynomials[r](*moved) != 0 for r in range(len(general)))


CHECKS = (
    equations_are_the_derivatives,
    structured_equations_expand_to_the_polynomials,
    jacobian_is_the_derivative,
    moment_form_is_the_same_system,
    ambiguity_leaves_the_equations_as_they_are,
    other_substitutions_change_them,
    numbers_are_taken_exactly,
)


def test_sample_has_every_pair_of_values():
    values = [{(f, value) for value in factor} for f, factor in enumerate(FACTORS)]
    wanted = {pair for f in range(len(values)) for g in range(f) for pair in product(values[g], values[f])}
    assert set().union(*map(pairs, SAMPLE)) == wanted and len(SUPPORTS) == 22
    assert {(f, v) for case in SAMPLE[:MOST] for f, v in enumerate(case)} == set().union(*values)
    assert len(set().union(*map(pairs, SAMPLE[:MOST]))) > 0.7 * len(wanted)


@pytest.mark.parametrize("case", [*SAMPLE[:MOST], *map(slow, SAMPLE[MOST:])], ids=str)
def test_system_is_what_plain_sympy_gives(case):
    for check in CHECKS:
        check(case)


@pytest.mark.slow
@pytest.mark.parametrize("coefficients", COEFFICIENTS)
@pytest.mark.parametrize("support", SUPPORTS, ids=str)
def test_every_combination(support, coefficients):
    for factors in product(*FACTORS[2:]):
        case = Case(support, coefficients, *factors)
        for check in CHECKS:
            try:
                check(case)
            except AssertionError as error:
                raise AssertionError(f"{check.__name__}: {case}") from error


# --- shape and form --------------------------------------------------------------------------------------------------


def small(**options) -> Configuration:
    return Configuration(**{"inputs": 2, "samples": 2, "width": 3, "activation": "z + z^3", **options})


LARGE_INDICES = [
    small(inputs=d, samples=n, width=m, activation=activation, bias=bias, regime=regime)
    for d, n, m in [(11, 2, 2), (2, 11, 2), (2, 2, 11), (1, 11, 11), (12, 10, 1)]
    for activation, bias, regime in [
        ("z^3", False, "gradient"),
        ("z^2", False, "max-margin"),
        ("z^4/3 - z", True, "weight-decay"),
        ("1/2 - 2*z + z^2 + z^3", True, "max-margin"),
        ("z + z^2 + z^3", False, "lazy"),
    ]
]


@pytest.mark.parametrize("config", LARGE_INDICES, ids=str)
def test_fast_construction_gives_what_sympy_evaluates(config):
    fast, slow = kkt_equations(config), kkt_equations(config)
    slow.structured.__dict__["_canonical"] = None
    for one, other in zip(fast.equations, slow.equations, strict=True):
        assert one == other and one.args == other.args and one.is_commutative
        assert one == one.func(*one.args)
    assert fast.inequalities == slow.inequalities


def test_equations_in_any_order_are_the_same():
    config = small(width=4, bias=True, activation="z + z^2 + z^3", regime="max-margin")
    system, again = kkt_equations(config), kkt_equations(config)
    order = np.random.default_rng(0).permutation(len(system))
    assert {k: system.equations[k] for k in order} == dict(enumerate(again.equations))


def test_equations_are_a_lazy_sequence():
    equations = kkt_equations(small(layers="first")).equations
    assert len(equations) == 6 and len(equations[:]) == 6
    assert equations[-1] == equations[5] == [*equations][5]
    assert equations[4:1:-2] == (equations[4], equations[2])
    assert equations[-2:] == (equations[4], equations[5]) and equations[9:] == ()
    assert repr(equations).endswith(", ...: 6 in all)") and str(equations[0]) in repr(equations)
    assert repr(kkt_equations(small(inputs=1, width=1, layers="second")).equations).endswith("- ta_1: 1 in all)")
    for outside in (6, -7):
        with pytest.raises(IndexError):
            equations[outside]


def test_polynomials_are_a_sequence():
    system = kkt_equations(small())
    expanded = system.expand()
    assert len(expanded) == len(system) == 9 and len(expanded[2:4]) == 2
    assert expanded[-1] == expanded[8] and [*expanded][3] == expanded[3]
    assert expanded.expression(0) == system.equations[0].expand()
    assert expanded.n_terms == sum(map(len, expanded))
    assert repr(expanded) == f"Polynomials(9 equations, {expanded.n_terms} terms in {len(system.variables)} variables)"
    with pytest.raises(IndexError):
        expanded[9]


def test_one_neuron_stands_for_all():
    system = kkt_equations(small(width=7))
    expanded = system.expand()
    assert len(expanded.flint) == 3  # equations of one neuron, of 21
    flint, variables, place = expanded.polynomial(-1)
    assert Symbol("a_6") not in variables and Symbol("ta_7") in variables and place == 2
    assert PolyElement(expanded[-1].ring, flint.to_dict()) == expanded[-1]


@pytest.mark.parametrize("case", SAMPLE[::3], ids=str)
def test_estimate_bounds_the_number_of_terms(case):
    system, polynomials, _ = written(case)
    targets = system.n_stationarity
    assert sum(map(len, polynomials[: system.n_stationarity])) <= system.n_terms() + targets
    given = kkt_equations(planted(case)[0], samples=case.samples)
    assert sum(map(len, given.expand()[: given.n_stationarity])) <= given.n_terms() + targets


def test_names_and_order():
    x, w, a, b, y, lam = (f"{stem}_1" for stem in ("x_1", "w_1", "a", "b", "y", "lambda"))
    one = {"inputs": 1, "samples": 1, "width": 1}

    def names(**options):
        system = kkt_equations(small(**one, **options))
        return [s.name for s in system.unknowns], [s.name for s in system.parameters]

    assert names(bias=True) == ([x, lam], [y, w, a, b, "tw_1_1", "tb_1", "ta_1"])
    assert names(regime="lazy", layers="second") == ([x, lam], [y, w, a, "ta_1"])
    assert names(regime="weight-decay") == ([x, lam], [y, w, a, "decay"])
    assert names(regime="max-margin") == ([x, lam], [y, w, a])
    assert names(outputs=2, layers="first") == ([x, "gamma_1_1", "gamma_1_2"], [w, "a_1_1", "a_2_1", "tw_1_1"])
    system = kkt_equations(small(bias=True, regime="max-margin"))
    assert system.groups() == [("first layer", 6), ("first-layer biases", 3), ("second layer", 3), ("complementary slackness", 2)]
    assert system.variables == system.unknowns + system.parameters


# --- side conditions -------------------------------------------------------------------------------------------------

CUBE = TwoLayerNetwork([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0], "z^3")
CUBE_DATA = [[1, 0], [0, 1]]


def exact_values(system: SymbolicSystem, X, multipliers, y=()) -> dict:
    point = [value for row in X for value in row]
    return dict(zip([*system.unknowns, *system.parameters], map(rational, [*point, *multipliers, *y]), strict=True))


def test_labels_give_margins():
    system = kkt_equations(KKTSystem.max_margin(CUBE, labels=[1, -1], layers="first"), samples=2)
    assert not system.parameters and system.groups()[-1] == ("margins", 2) and len(system) == 6
    third = rational(Fraction(1, 3))
    values = exact_values(system, CUBE_DATA, [third, third])
    assert all(equation.xreplace(values) == 0 for equation in system.equations)
    assert all(relation.xreplace(values) == True for relation in system.inequalities)  # noqa: E712
    x = symbols("x_1_1 x_1_2")
    assert system.equations[4] == x[0] ** 3 - x[1] ** 3 - 1
    assert [*map(len, system.ambiguity())] == [3, 3]  # the scale of each sample, and no exchange of opposite labels


@pytest.mark.parametrize(
    ("labels", "exchanged", "scaled"),
    [
        ([1, 1, -1], ["12"], "13"),
        ([1, -1, 1], ["13"], "12"),
        ([1, -1, -1], ["23"], "12"),
        ([1, 1, 1], ["12", "23"], "1"),
    ],
)
def test_given_labels_limit_the_exchanges(labels, exchanged, scaled):
    """Samples with equal labels are exchanged, and the scale of one sample of each label generates the others."""
    system = kkt_equations(KKTSystem.max_margin(CUBE, labels=labels, layers="first"), samples=3)
    assert all(map(system.is_invariant, system.ambiguity()))
    moved = ["".join(sorted(s.name[-1] for s in generator if s.name.startswith("lambda"))) for generator in system.ambiguity()]
    assert moved == [*exchanged, *scaled]


def test_margin_point_with_both_layers():
    """sigma = z^4, a = 1, w = 2, x = 1/2: stationary in both layers, with margin 1."""
    net = TwoLayerNetwork([[2.0, 0.0], [0.0, 2.0]], [1.0, -1.0], "z^4")
    half = rational(0.5)
    for labels, y in ((None, (1, -1)), ([1, -1], ())):
        system = kkt_equations(KKTSystem.max_margin(net, labels=labels), samples=2)
        values = exact_values(system, [[half, 0], [0, half]], [1, 1], y)
        assert len(system) == 8 and all(equation.xreplace(values) == 0 for equation in system.equations)
        assert all(polynomial(*(values[s] for s in polynomial.ring.symbols)) == 0 for polynomial in system.expand())
        opposite = {**values, Symbol("lambda_1"): -values[Symbol("lambda_1")]}
        assert any(equation.xreplace(opposite) != 0 for equation in system.equations)


def test_slackness_and_feasibility():
    system = kkt_equations(small(regime="max-margin", layers="first"))
    lam, y = symbols("lambda_1:3"), symbols("y_1:3")
    margins = [y[i] * plain_outputs(2, 2, 3)[i] for i in range(2)]
    slackness = system.equations[6:]
    assert all((slackness[i] - lam[i] * (margins[i] - 1)).expand() == 0 for i in range(2))
    assert system.inequalities[:2] == (Ge(lam[0], 0), Ge(lam[1], 0))
    for relation, margin in zip(system.inequalities[2:], margins, strict=True):
        assert (relation.lhs - margin).expand() == 0 and relation.rhs == 1
    assert not kkt_equations(small()).inequalities and not kkt_equations(small(regime="max-margin")).side_conditions


def plain_outputs(d: int, n: int, m: int) -> list:
    return [row[0] for row in plain(Case((1, 3), "ones", d, n, m, False, 1, "gradient", "both")).outputs]


def test_logistic_closure_is_named():
    for system in (
        kkt_equations(small(regime="weight-decay")),
        kkt_equations(KKTSystem.weight_decay(CUBE, decay=1, loss="logistic"), samples=2),
    ):
        (condition,) = system.side_conditions
        assert condition.name == "closure" and "1 + exp(y_i f(x_i))" in condition.text and r"\frac{y_i}" in condition.latex
        assert "closure (not polynomial)" in system.to_text() and condition.latex in system.to_latex()
        assert "closure" in repr(system)
    assert not kkt_equations(KKTSystem.weight_decay(CUBE, decay=1), samples=2).side_conditions


def test_closure_of_the_square_loss_is_polynomial():
    system = kkt_equations(KKTSystem.weight_decay(CUBE, decay=0.5, loss="square", layers="first"), samples=2)
    assert system.groups()[-1] == ("closure of the square loss", 2) and not system.side_conditions and not system.inequalities
    c, y, x = symbols("c_1:3"), symbols("y_1:3"), plain(Case((3,), "ones", 2, 2, 2, False, 1, "gradient", "both")).x
    assert system.parameters == y
    for i, equation in enumerate(system.equations[4:]):  # c_i = -(2/n) (f(x_i) - y_i)
        assert (equation - (c[i] + x[i, 0] ** 3 - x[i, 1] ** 3 - y[i])).expand() == 0
    sixth = rational(Fraction(1, 6))
    values = exact_values(system, CUBE_DATA, [sixth, -sixth], [1 + sixth, -1 - sixth])
    assert all(equation.xreplace(values) == 0 for equation in system.equations)
    assert all(equal(p, q) for p, q in zip(system.expand(), system.equations, strict=True))
    assert system.jacobian()[4, c[0]] == 1


# --- words -----------------------------------------------------------------------------------------------------------


def test_latex_has_groups_counts_and_names():
    system = kkt_equations(small(width=12, bias=True, regime="max-margin", samples=3))
    text = system.to_latex(limit=2)
    assert text.startswith(r"\begin{align*}") and text.endswith(r"\end{align*}")
    left_out = {"first layer": 22, "first-layer biases": 10, "second layer": 10, "complementary slackness": 1, "feasibility": 4}
    for title, more in left_out.items():
        assert rf"\text{{{title}}}" in text and rf"\text{{({more} more)}}" in text
    for name in (r"\lambda_{1}", "w_{1,2}", "b_{1}", "x_{3,2}", r"\geq 0"):
        assert name in text
    assert not re.search(r"[a-z]_\d|lambda_\d|_[a-z0-9]+_", text)
    assert text.count("{") == text.count("}") and text.count(r"\left(") == text.count(r"\right)")
    whole = system.to_latex(limit=100)
    assert "more" not in whole and whole.count(" = 0") == len(system)
    assert system._repr_latex_() == system.to_latex()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ("t^{W}_{1,1}", "t^{a}_{1}", "y_{1}")),
        ({"bias": True, "layers": "first"}, ("t^{b}_{1}",)),
        ({"regime": "weight-decay"}, (r"\mu w_{1,1}",)),
        ({"outputs": 2}, (r"\gamma_{1,2}", "a_{2,1}", "t^{a}_{2,1}")),
    ],
)
def test_latex_names(options, names):
    text = kkt_equations(small(**options)).to_latex()
    assert all(name in text for name in names)


def test_text_has_every_equation():
    system = kkt_equations(small(regime="max-margin"))
    text = system.to_text()
    assert text.startswith(repr(system)) and text.count(" = 0\n") + text.endswith(" = 0") >= len(system)
    assert all(f"  {equation} = 0" in text for equation in system.equations)
    assert all(f"\n  {relation}" in text for relation in system.inequalities)
    assert [line for line in text.splitlines() if line in ("first layer", "second layer", "complementary slackness", "feasibility")] != []
    cut = system.to_text(limit=1)
    assert "  ... and 5 more" in cut and "  ... and 2 more" in cut and "  ... and 3 more" in cut and str(system.equations[1]) not in cut


def test_reprs():
    system = kkt_equations(small(regime="max-margin", outputs=1))
    assert repr(system).splitlines()[:2] == [
        "SymbolicSystem(max-margin: 11 equations in 6 unknowns, 11 parameters)",
        "  sigma = z + z^3, 2 inputs, 2 samples, 3 neurons, 1 outputs",
    ]
    assert repr(system.jacobian()) == f"SymbolicJacobian(11 by 6, {len(system.jacobian().entries)} entries not zero)"
    assert repr(kkt_equations(small(samples=1, width=1, inputs=1))).startswith("SymbolicSystem(gradient: 2 equations in 2 unknowns")


# --- Jacobian --------------------------------------------------------------------------------------------------------


def test_jacobian_views_agree():
    jacobian = kkt_equations(small(regime="max-margin")).jacobian()
    matrix, pattern = jacobian.to_sympy(), jacobian.pattern()
    assert matrix.shape == pattern.shape == jacobian.shape == (11, 6)
    for r, k in np.ndindex(*jacobian.shape):
        assert matrix[r, k] == jacobian[r, k] and (jacobian[r, k] != 0) == pattern[r, k]
    assert jacobian[-1, -1] == jacobian[10, 5] and jacobian[9, 5] == 0
    assert jacobian[0, Symbol("lambda_1")] == jacobian[0, 4]
    for at in ((11, 0), (0, 6)):
        with pytest.raises(IndexError):
            jacobian[at]
    with pytest.raises(ValueError, match="not in tuple"):
        jacobian[0, Symbol("w_1_1")]


# --- refusals --------------------------------------------------------------------------------------------------------


def test_large_expansions_are_refused(monkeypatch):
    system = kkt_equations(small(inputs=50, samples=20, width=200, activation="z^3"))
    monkeypatch.setenv("IDENTIFY_MEMORY", "0.5")
    for work in (system.expand, system.jacobian, system.structure):
        with pytest.raises(TooLargeError, match=r"the expanded system \(\d+ terms; the structured form .equations needs no expansion\)"):
            work()
    assert system.equations[0].has(Symbol("x_20_50"))
    monkeypatch.setenv("IDENTIFY_MEMORY", "1e-6")
    with pytest.raises(TooLargeError, match="needs about .* KiB of memory, more than the 1 KiB allowed"):
        kkt_equations(small()).expand()


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: kkt_equations(small(), samples=2), ValueError, "samples: a Configuration already says how many"),
        (lambda: kkt_equations("z^3"), TypeError, "kkt_equations: received str, expected a Configuration or a KKTSystem"),
        (lambda: kkt_equations(KKTSystem.max_margin(CUBE)), ValueError, "samples: received None, expected an integer of at least 1"),
        (lambda: kkt_equations(KKTSystem.max_margin(CUBE), samples=0), ValueError, "samples: received 0"),
        (lambda: kkt_equations(KKTSystem.max_margin(CUBE), samples=True), ValueError, "samples: received True"),
        (lambda: kkt_equations(KKTSystem.max_margin(CUBE), samples=2.0), ValueError, "samples: received 2.0"),
        (
            lambda: kkt_equations(KKTSystem.max_margin(CUBE, labels=[1, -1]), samples=3),
            ValueError,
            "samples: received 3, but .* 2 labels",
        ),
    ],
)
def test_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_numpy_integers_are_sizes():
    assert len(kkt_equations(KKTSystem.max_margin(CUBE), samples=np.int64(2)).unknowns) == 6
