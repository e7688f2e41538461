"""The moment form: names, definitions, linearity; its agreement with the equations is tested for every small system elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from sympy import Symbol, diff, symbols

from identify.planting.configuration import Configuration
from identify.problem.ambiguity import Ambiguity
from identify.problem.interpolation import moment_count
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.symbolic.posing import kkt_equations


def form(**options):
    return kkt_equations(Configuration(**{"inputs": 2, "samples": 2, "width": 2, "activation": "z^2", **options})).moment_form()


def test_moments_are_named_by_their_exponents():
    found = form(layers="first", activation="z + z^2")
    assert [symbol.name for symbol in found.moments] == ["M_1_0", "M_0_1", "M_2_0", "M_1_1", "M_0_2"]
    lam, y = symbols("lambda_1:3"), symbols("y_1:3")
    x = {(i, k): Symbol(f"x_{i}_{k}") for i in (1, 2) for k in (1, 2)}
    assert found.definitions[Symbol("M_1_1")] == sum(lam[i - 1] * y[i - 1] * x[i, 1] * x[i, 2] for i in (1, 2))
    assert found.definitions[Symbol("M_2_0")] == sum(lam[i - 1] * y[i - 1] * x[i, 1] ** 2 for i in (1, 2))
    assert repr(found) == "MomentForm(4 equations, linear in 5 moments of degree (1, 2))"


def test_equations_by_hand():
    w, a, moment = symbols("w_1_1 w_1_2"), Symbol("a_1"), {name: Symbol(name) for name in ("M_2_0", "M_1_1", "M_0_2")}
    first, *_, last = form(width=1).equations
    assert (first - (2 * a * (w[0] * moment["M_2_0"] + w[1] * moment["M_1_1"]) - Symbol("tw_1_1"))).expand() == 0
    by_hand = w[0] ** 2 * moment["M_2_0"] + 2 * w[0] * w[1] * moment["M_1_1"] + w[1] ** 2 * moment["M_0_2"]
    assert (last - (by_hand - Symbol("ta_1"))).expand() == 0


def test_several_outputs_have_moments_of_their_own():
    found = form(outputs=2, bias=True)
    assert len(found.moments) == moment_count(2, (0, 1, 2), 2) == len(set(found.moments))
    assert found.definitions[Symbol("M_2_0_0")] == Symbol("gamma_1_2") + Symbol("gamma_2_2")
    assert found.exponents[0] == (0, (0, 0)) and found.exponents[-1] == (1, (0, 2))


@pytest.mark.parametrize("options", [{}, {"bias": True}, {"activation": "1 + z^3", "outputs": 2}, {"regime": "max-margin"}])
def test_equations_are_linear_in_the_moments(options):
    found = form(**options)
    for equation in found.equations:
        for moment in found.moments:
            assert not diff(equation, moment).free_symbols & {*found.moments}
        constant = equation.subs(dict.fromkeys(found.moments, 0))
        assert len(constant.free_symbols) <= 2 and not constant.free_symbols & {*found.definitions}


def test_numbers():
    net = TwoLayerNetwork([[1.0, 2.0], [0.5, -1.0]], [1.0, -0.5], "z + z^3/3", bias=[0.25, 1.0])
    found = kkt_equations(KKTSystem.max_margin(net), samples=2).moment_form()
    assert found.agrees()
    assert all(equation.free_symbols <= {*found.moments} for equation in found.equations)
    matrix = np.array([[float(diff(equation, moment)) for moment in found.moments] for equation in found.equations])
    assert np.linalg.matrix_rank(matrix) <= min(matrix.shape) == 8


def test_a_wrong_form_does_not_agree():
    found = form(width=1, bias=True)
    assert found.agrees()
    wrong = found.matrix.copy()
    wrong[0, 1] = wrong[0, 1] * 2
    assert not replace(found, matrix=wrong).agrees()
    assert not replace(found, targets=found.targets[1:] + found.targets[:1]).agrees()


# --- the ambiguity of the moments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "bias", "layers", "group"),
    [
        ("z^3", False, "both", "scaling"),
        ("z^2", False, "first", "scaling"),
        ("z + z^3", False, "both", "sign"),
        ("1 + z^2", False, "both", "sign"),
        ("1 + z^2", False, "first", "scaling"),
        ("z + z^2", False, "both", "none"),
        ("z^3", True, "both", "none"),
    ],
)
def test_generators_follow_the_group(activation, bias, layers, group):
    system = kkt_equations(Configuration(inputs=2, samples=3, width=2, activation=activation, bias=bias, layers=layers))
    assert isinstance(system.group, Ambiguity) and system.group.group == group
    generators = system.ambiguity()
    exchanges = generators[:2]
    for i, exchange in enumerate(exchanges, start=1):
        assert exchange[Symbol(f"lambda_{i}")] == Symbol(f"lambda_{i + 1}") and exchange[Symbol(f"y_{i + 1}")] == Symbol(f"y_{i}")
    t, x, lam, y = symbols("t x_1_2 lambda_1 y_1")
    p = system.group.degree
    if group == "scaling":
        assert generators[2][x] == t * x and generators[2][lam] == lam * t**-p
    if group == "sign":
        assert generators[2][x] == -x and generators[2].get(y, y) == (-1) ** p * y and generators[2].get(lam, lam) == lam
    assert len(generators) == 2 + (group != "none")


@pytest.mark.parametrize("outputs", [1, 2])
def test_signed_multipliers_take_the_sign(outputs):
    net = TwoLayerNetwork([[1.0, 2.0]], np.ones((outputs, 1)) if outputs > 1 else [1.0], "z + z^3")
    system = kkt_equations(KKTSystem.gradient(net, W=[[1.0, 2.0]]), samples=2)
    exchange, sign = system.ambiguity()
    multiplier = Symbol("c_1" if outputs == 1 else "gamma_1_1")
    assert sign[multiplier] == -multiplier and all(map(system.is_invariant, (exchange, sign)))
    assert not system.is_invariant({**sign, multiplier: multiplier})
