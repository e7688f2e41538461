"""Systems of any activation and depth: against the passes of problem/signals, plain substitution, JAX, and exact polynomials."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product

import jax
import numpy as np
import pytest
from support.marks import slow, thinned
from sympy import Ge, Symbol, sympify

import identify as idf
from identify.base.limits import TooLargeError
from identify.problem.arrays import ShapeError
from identify.problem.network import Network
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.problem.signals import layer_updates
from identify.symbolic.functions import NAMED
from identify.symbolic.layered import LayeredSystem
from identify.symbolic.posing import kkt_equations
from identify.symbolic.printing import Printer
from identify.symbolic.system import Part
from identify.symbolic.two_layers import PolynomialSystem
from identify.symbolic.writing import TooLongError, estimated_characters

STEPS = "piecewise_linear([-1, 0, 1], [1, 1/2, -1, 2], 1/4)"
CONFIGURATIONS = {
    name: idf.Configuration(**{"inputs": 2, "samples": 2, "width": 3, **options})
    for name, options in {
        "relu": {"activation": "relu"},
        "leaky, biases, two outputs": {"activation": "leaky_relu(1/4)", "bias": True, "outputs": 2},
        "abs, first layer, lazy": {"activation": "abs", "layers": "first", "regime": "lazy"},
        "hard tanh, max-margin": {"activation": "hard_tanh", "bias": True, "regime": "max-margin"},
        "many pieces, second layer": {"activation": STEPS, "layers": "second"},
        "shifted, weight decay": {"activation": "piecewise_linear([1/2], [2, -1], 3)", "regime": "weight-decay"},
        "tanh": {"activation": "tanh", "bias": True},
        "gelu, two outputs": {"activation": "gelu", "outputs": 2, "regime": "max-margin"},
        "mish": {"activation": "mish", "layers": "first"},
        "deep relu": {"activation": "relu", "width": (3, 2), "bias": True},
        "deep relu6, two outputs": {"activation": "relu6", "width": (2, 3), "outputs": 2, "layers": (1, 3)},
        "deep erf, max-margin": {"activation": "erf", "width": (2, 2), "bias": True, "regime": "max-margin"},
        "deep silu": {"activation": "silu", "width": (2, 1, 2), "regime": "weight-decay"},
        "deep polynomial": {"activation": "1 - z + z^2/2", "width": (2, 2), "bias": True},
    }.items()
}
EVERY = pytest.mark.parametrize("name", CONFIGURATIONS)
PIECEWISE = [name for name, config in CONFIGURATIONS.items() if config.activation.kind == "piecewise-linear"]
POLYNOMIAL = [name for name, config in CONFIGURATIONS.items() if config.activation.kind != "analytic"]


def network(config, seed=0) -> Network:
    rng = np.random.default_rng(seed)
    sizes = (config.inputs, *config.widths, config.outputs)
    weights = [rng.integers(-8, 9, (out, inside)) / 4 for inside, out in pairwise(sizes)]
    biases = [rng.integers(-8, 9, len(W)) / 4 if config.bias else None for W in weights[:-1]]
    return Network(weights, biases=[*biases, None], activation=config.activation)


def parameters(system, net, targets=0.0, decay=0.5):
    """The values of the parameters, by their names."""
    numbered = net.depth > 2
    values = {}
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), 1):
        stem = f"w{k}" if numbered else "wa"[k - 1]
        flat = not numbered and k == 2 and len(W) == 1
        values |= {f"{stem}_{o + 1}_{j + 1}" if not flat else f"{stem}_{j + 1}": W[o, j] for o, j in np.ndindex(*W.shape)}
        if b is not None:
            values |= {f"b{k if numbered else ''}_{j + 1}": value for j, value in enumerate(b)}
    labels = {f"y_{i + 1}": (-1.0) ** i for i in range(system.names.samples)}
    return np.array([{**labels, "decay": decay, **values}.get(symbol.name, targets) for symbol in system.parameters])


def data(config, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((config.samples, config.inputs)), rng.uniform(0.5, 1.5, (config.samples, config.outputs))


def planted(config):
    """The first instance with an update: a narrow ReLU network may be dead."""
    for seed in range(20):
        try:
            return config.plant(seed)
        except ShapeError:
            continue
    raise AssertionError(config)


def unknowns_at(system, seed=2):
    """Any values, far from a solution: eighths."""
    return np.random.default_rng(seed).integers(-12, 13, len(system.unknowns)) / 8


# --- against the numeric view ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "backend"), [*product(CONFIGURATIONS, ["numpy"]), *thinned(product(CONFIGURATIONS, ["jax"]))])
def test_values_are_those_of_the_passes(name, backend):
    """At random data with their z, h, u and slopes: stationarity is update minus target, and every other equation holds."""
    config = CONFIGURATIONS[name]
    system, net, (X, c) = kkt_equations(config), network(config), data(config)
    assert isinstance(system, LayeredSystem)
    given = parameters(system, net)
    y = (-1.0) ** np.arange(config.samples) if config.outputs == 1 else np.ones(config.samples)
    with jax.enable_x64(True):
        values = np.asarray(system.lambdify(backend)(system.point(X, c, given), given))
    updates = layer_updates(net.weights, net.biases, net.activations, X, c * y[:, None])
    factor = {"weight-decay": 0.5, "max-margin": 1.0}.get(config.regime, 0.0)
    expected = []
    for (of_weights, of_bias), update, W, b in zip(system.seen, updates, net.weights, net.biases, strict=True):
        expected += [update[0] - factor * W] if of_weights else []
        expected += [update[1] - factor * b] if of_bias and b is not None else []
    expected = np.concatenate([part.ravel() for part in expected])
    size = max(1.0, np.abs(expected).max())
    assert len(values) == len(system) and len(expected) == system.n_stationarity
    assert np.allclose(values[: len(expected)], expected, rtol=1e-12, atol=1e-12 * size)
    sides = config.samples * system.has_margins
    if sides:
        f = net(X)[:, 0]
        assert np.allclose(values[len(expected) : len(expected) + sides], c[:, 0] * (y * f - 1), rtol=1e-12, atol=1e-12 * size)
    assert np.abs(values[len(expected) + sides :]).max(initial=0.0) < 1e-12 * size


@EVERY
def test_structured_equations_are_the_compiled_ones(name):
    """At unknowns that solve nothing, so that definitions and constraints count."""
    config = CONFIGURATIONS[name]
    system = kkt_equations(config)
    given, at = parameters(system, network(config), targets=0.25), unknowns_at(system)
    values = dict(zip([*system.unknowns, *system.parameters], map(sympify, [*at, *given]), strict=True))
    by_hand = np.array([float(equation.xreplace(values).doit().evalf()) for equation in system.equations])
    assert np.allclose(system.lambdify()(at, given), by_hand, rtol=1e-11, atol=1e-11)
    assert sum(size for _, size in system.groups()) == len(system) == len(by_hand)


@EVERY
def test_inequalities_are_the_signs_of_the_pieces(name):
    """They hold at data with the slopes that these have, and one of them fails when a slope is another."""
    config = CONFIGURATIONS[name]
    system, net, (X, c) = kkt_equations(config), network(config), data(config)
    given = parameters(system, net)
    symbols = [*system.unknowns, *system.parameters]
    at = system.point(X, c, given)
    signs = [*system.inequalities][2 * config.samples * system.has_margins :]
    assert bool(signs) == (config.activation.kind == "piecewise-linear")

    def holds(point) -> bool:
        values = dict(zip(symbols, map(sympify, [*point, *given]), strict=True))
        return all((relation.lhs - relation.rhs).xreplace(values) * (1 if isinstance(relation, Ge) else -1) >= 0 for relation in signs)

    assert holds(at)
    slopes = [k for k, symbol in enumerate(system.unknowns) if symbol.name.startswith("s")]
    lines = getattr(config.activation, "lines", None)
    for k in slopes[:: max(len(slopes) // 6, 1)]:
        values = [0.0, 1.0] if len(lines.breakpoints) > 1 else [float(slope) for slope in lines.slopes]
        other = at.copy()
        other[k] = values[1] if at[k] == values[0] else values[0]
        assert not holds(other)


@pytest.mark.parametrize(
    "name", ["leaky, biases, two outputs", slow("hard tanh, max-margin"), "tanh", slow("deep relu"), "deep erf, max-margin", slow("mish")]
)
def test_jacobian_is_that_of_jax(name):
    config = CONFIGURATIONS[name]
    system = kkt_equations(config)
    given, at = parameters(system, network(config), targets=0.25), unknowns_at(system)
    jacobian = system.jacobian()
    assert jacobian.shape == (len(system), len(system.unknowns))
    values = dict(zip([*system.unknowns, *system.parameters], map(sympify, [*at, *given]), strict=True))
    symbolic = np.zeros(jacobian.shape)
    for (r, k), entry in jacobian.entries.items():
        symbolic[r, k] = float(entry.xreplace(values).doit().evalf())
    with jax.enable_x64(True):
        automatic = np.asarray(jax.jit(jax.jacfwd(system.lambdify("jax")))(at, given))
    assert np.allclose(symbolic, automatic, rtol=1e-10, atol=1e-10)
    assert not np.any(automatic[~jacobian.pattern()])
    (r, k), entry = next(iter(jacobian.entries.items()))
    assert jacobian[r, system.unknowns[k]] == entry == jacobian.to_sympy()[r, k]
    assert system.structure().structural_rank <= min(jacobian.shape)


@pytest.mark.parametrize("name", ["relu", "deep relu", "deep relu6, two outputs", "gelu, two outputs"])
def test_planted_systems_vanish_at_their_data(name):
    config = CONFIGURATIONS[name]
    if config.regime in ("max-margin", "weight-decay"):
        config = idf.Configuration(inputs=2, samples=2, width=config.width, activation=config.activation, outputs=config.outputs)
    numbers, truth = planted(config)
    system = kkt_equations(numbers, samples=2)
    values = system.lambdify()(system.point(truth.X, truth.c))
    assert np.abs(values).max() < 1e-13 * np.abs(numbers.target).max() and not system.parameters
    moved = system.lambdify()(system.point(truth.X + 0.25, truth.c))
    assert np.allclose(moved[: numbers.n_equations], numbers.right_hand_side(truth.X + 0.25, truth.c) - numbers.target, atol=1e-12)


# --- expansion -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", POLYNOMIAL)
def test_expansion_eliminates_and_agrees(name):
    """Polynomials in data, multipliers, slopes and parameters, exactly the structured equations once z, h and u are put in."""
    config = CONFIGURATIONS[name]
    system, net, (X, c) = kkt_equations(config), network(config), data(config)
    expanded, given = system.expand(), parameters(system, net, targets=0.25)
    count = system.n_stationarity + config.samples * system.has_margins
    at = system.point(X, c, given)
    values = dict(zip([*system.unknowns, *system.parameters], [*at, *given], strict=True))
    numeric = system.lambdify()(at, given)
    for k in range(count):
        ring = expanded[k].ring
        found = sum(
            float(v) * np.prod([values[s] ** e for s, e in zip(ring.symbols, powers, strict=True)]) for powers, v in expanded[k].terms()
        )
        assert found == pytest.approx(numeric[k], rel=1e-10, abs=1e-10)
    slopes = sum(size for title, size in system.groups() if title.startswith("slopes"))
    assert len(expanded) == count + slopes
    assert system.free_unknowns + system.parameters == system.variables == expanded[0].ring.symbols
    assert sum(map(len, expanded[: system.n_stationarity])) <= system.n_terms() + system.n_stationarity


def test_the_terms_of_a_deep_network_are_too_many_to_be_counted():
    """Their number has some 10^12 digits; it is refused as quickly as any other."""
    system = idf.kkt_equations(idf.Configuration(inputs=2, samples=1, width=(2,) * 40, activation="z^2"))
    with pytest.raises(TooLargeError, match="the structured form"):
        system.expand()


@pytest.mark.parametrize("options", [{"activation": "z + z^3"}, {"activation": "z^2", "bias": True}, {"activation": "relu"}])
@pytest.mark.parametrize("width", [(2, 2), (1, 2, 1)])
def test_the_estimate_of_terms_bounds_systems_with_numbers(options, width):
    config = idf.Configuration(inputs=2, samples=2, width=width, **options)
    system = kkt_equations(planted(config)[0], samples=2)
    assert sum(map(len, system.expand()[: system.n_stationarity])) <= system.n_terms() + system.n_stationarity


def test_expansion_is_refused_where_it_cannot_be(monkeypatch):
    for name, question in product(("tanh", "deep silu"), ("expand", "n_terms")):
        with pytest.raises(UnsupportedError, match=f"{question}: received a network of .* layers with activation") as refused:
            getattr(kkt_equations(CONFIGURATIONS[name]), question)()
        assert refused.value.reason is Unsupported.POLYNOMIALS and refused.value.question == question
    with pytest.raises(UnsupportedError) as refused:
        kkt_equations(CONFIGURATIONS["deep silu"]).export("singular")
    assert refused.value.question == "export" and refused.value.depth == 4
    deep = kkt_equations(idf.Configuration(inputs=20, samples=5, width=(30, 30), activation="z + z^3"))
    monkeypatch.setenv("IDENTIFY_MEMORY", "1")
    with pytest.raises(TooLargeError, match=r"the structured form .equations needs no expansion"):
        deep.expand()
    assert deep.equations[0].has(Symbol("u1_5_1")) and deep.jacobian()[0, Symbol("x_1_1")] == Symbol("u1_1_1")
    monkeypatch.setenv("IDENTIFY_MEMORY", "1e-6")
    with pytest.raises(TooLargeError, match="symbols"):
        kkt_equations(idf.Configuration(inputs=20, samples=5, width=(30, 30), activation="relu"))


# --- names, regimes and words ----------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_which_kind_a_system_is():
    kinds = {"z^2": PolynomialSystem, "relu": LayeredSystem, "tanh": LayeredSystem}
    for activation, kind in kinds.items():
        assert type(kkt_equations(idf.Configuration(inputs=2, samples=1, width=2, activation=activation))) is kind
    assert isinstance(kkt_equations(idf.Configuration(inputs=2, samples=1, width=(2, 2), activation="z^2")), idf.SymbolicSystem)


def test_names_and_order():
    def names(**options):
        system = kkt_equations(idf.Configuration(**{"inputs": 1, "samples": 1, "width": 1, **options}))
        return [s.name for s in system.unknowns], [s.name for s in system.parameters]

    two = ["y_1", "w_1_1", "a_1", "b_1", "tw_1_1", "tb_1", "ta_1"]
    assert names(activation="relu", bias=True) == (["x_1_1", "lambda_1", "s_1_1"], two)
    assert names(activation="gelu", bias=True) == (["x_1_1", "lambda_1"], two)
    assert names(activation="relu6", outputs=2, layers="second")[0] == ["x_1_1", "gamma_1_1", "gamma_1_2", "s_1_1_1", "s_1_1_2"]
    hidden = [f"{stem}{layer}_1_1" for layer in (1, 2) for stem in "zhu"]
    assert names(activation="relu", width=(1, 1), regime="weight-decay", bias=True) == (
        ["x_1_1", "lambda_1", *hidden, "s1_1_1", "s2_1_1"],
        ["y_1", "w1_1_1", "b1_1", "w2_1_1", "b2_1", "w3_1_1", "decay"],
    )
    assert names(activation="tanh", width=(1, 1), layers=(2,))[1][-1] == "tw2_1_1"
    system = kkt_equations(CONFIGURATIONS["deep relu"])
    assert [title for title, _ in system.groups()] == [
        *("layer 1", "biases of layer 1", "layer 2", "biases of layer 2", "layer 3"),
        *(f"{what} of layer {k}" for k in (1, 2) for what in ("pre-activations", "values", "signals")),
        *("slopes of layer 1", "slopes of layer 2"),
    ]
    assert Part("z", 1) in system.unknown_parts and system.has_intermediates


def test_the_equations_of_relu_as_they_are_written():
    system = kkt_equations(idf.Configuration(inputs=1, samples=1, width=1, activation="relu", bias=True))
    assert [str(equation) for equation in system.equations] == [
        "a_1*lambda_1*s_1_1*x_1_1*y_1 - tw_1_1",
        "a_1*lambda_1*s_1_1*y_1 - tb_1",
        "lambda_1*s_1_1*y_1*(b_1 + w_1_1*x_1_1) - ta_1",
        "s_1_1**2 - s_1_1",
    ]
    assert [str(relation) for relation in system.inequalities] == [
        "s_1_1*(b_1 + w_1_1*x_1_1) >= 0",
        "(1 - s_1_1)*(b_1 + w_1_1*x_1_1) <= 0",
    ]


def test_labels_margins_and_the_closure_of_the_square_loss():
    rng = np.random.default_rng(0)
    W, a = rng.standard_normal((3, 2)), rng.standard_normal(3)
    net = idf.TwoLayerNetwork(W, a, "relu")
    X, lam, y = rng.standard_normal((2, 2)), np.array([0.5, 2.0]), np.array([1.0, -1.0])
    margins = kkt_equations(idf.KKTSystem.max_margin(net, labels=y), samples=2)
    values = margins.lambdify()(margins.point(X, lam))
    assert margins.groups()[2] == ("margins", 2) and np.allclose(values[9:11], y * net(X) - 1) and not margins.parameters
    assert len(margins.inequalities) == 4 + 12 and str(margins.inequalities[0]) == "lambda_1 >= 0"
    slack = kkt_equations(idf.KKTSystem.max_margin(net), samples=2)
    assert np.allclose(slack.lambdify()(slack.point(X, lam, y), y)[9:11], lam * (y * net(X) - 1))
    square = kkt_equations(idf.KKTSystem.weight_decay(net, decay=0.5, loss="square"), samples=2)
    values = square.lambdify()(square.point(X, lam, y), y)
    assert square.groups()[2] == ("closure of the square loss", 2) and np.allclose(values[9:11], lam + net(X) - y)
    logistic = kkt_equations(idf.KKTSystem.weight_decay(net, decay=0.5, loss="logistic"), samples=2)
    assert logistic.side_conditions and "closure (not polynomial)" in logistic.to_text()


@pytest.mark.parametrize("activation", ["z + z^2", "relu", "gelu"])
def test_an_observed_output_bias(activation):
    net = Network([np.eye(2), [[1.0, 2.0]]], biases=[None, [0.5]], activation=activation)
    X, c = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([1.0, -2.0])
    updates = layer_updates(net.weights, net.biases, net.activations, X, c[:, None])
    numbers = idf.KKTSystem.gradient(net, layers={1: updates[0][0], 2: updates[1]})
    system = kkt_equations(numbers, samples=2)
    assert isinstance(system, LayeredSystem) and not system.has_intermediates
    assert system.groups()[:3] == [("layer 1", 4), ("layer 2", 2), ("biases of layer 2", 1)]
    assert str(system.equations[6]) == "c_1 + c_2 + 1"
    assert np.abs(system.lambdify()(system.point(X, c))).max() < 1e-14


def test_a_network_with_an_activation_for_each_layer():
    net = Network([np.eye(2), np.ones((2, 2)), [[1.0, -1.0]]], activation=["relu", "tanh"])
    X, c = np.array([[1.0, -2.0]]), np.array([1.5])
    updates = layer_updates(net.weights, net.biases, net.activations, X, c[:, None])
    system = kkt_equations(idf.KKTSystem.gradient(net, layers={k + 1: update[0] for k, update in enumerate(updates)}), samples=1)
    assert np.abs(system.lambdify()(system.point(X, c))).max() < 1e-14
    assert "sigma = relu, tanh" in repr(system) and {s.name for s in system.unknowns} >= {"s1_1_1", "z2_1_2"}
    with pytest.raises(UnsupportedError):
        system.cell([np.zeros((1, 2), int), np.zeros((1, 2), int)])


@EVERY
@pytest.mark.parametrize("limit", [None, 1])
def test_the_length_is_known_beforehand(name, limit):
    config = CONFIGURATIONS[name]
    systems = [kkt_equations(config)]
    if config.regime in ("gradient", "lazy"):
        systems.append(kkt_equations(planted(config)[0], samples=2))
    for system in systems:
        for tex, text in ((True, system.to_latex(limit, max_characters=None)), (False, system.to_text(limit, max_characters=None))):
            assert 0.5 < (estimated_characters(system, limit, tex=tex) + 700) / (len(text) + 700) < 2


@pytest.mark.parametrize("options", [{"activation": "relu"}, {"activation": "gelu", "width": (60, 50)}, {"activation": "tanh"}])
def test_the_length_of_wide_networks_is_known_beforehand(options):
    system = kkt_equations(idf.Configuration(**{"inputs": 30, "samples": 8, "width": 40, "bias": True, **options}))
    text = system.to_latex(1, max_characters=None)
    assert 0.5 < estimated_characters(system, 1, tex=True) / len(text) < 2
    with pytest.raises(TooLongError):
        system.to_latex(None, max_characters=10_000)


@EVERY
def test_text_and_latex(name):
    system, text = kkt_equations(CONFIGURATIONS[name]), Printer(tex=False)
    for equation in system.equations:
        assert (sympify(text(equation), NAMED) - equation).expand() == 0
    latex = system.to_latex(None)
    assert latex.count(" = 0") == len(system) and latex.count("{") == latex.count("}")
    assert latex.count(r"\left(") == latex.count(r"\right)") and "^{(1)}_{1,1}^" not in latex
    assert all(rf"\text{{{title}}}" in latex for title, _ in system.groups())
    assert (r"\text{feasibility}" in latex) == bool(system.inequalities)
    found = system.to_dict()
    assert len(found["equations"]) == len(system) and len(found["inequalities"]) == len(system.inequalities)
    assert found["sizes"]["samples"] == 2 and found["unknowns"] == [symbol.name for symbol in system.unknowns]
    assert system.to_text(1).startswith(repr(system)) and "more" in system.to_text(1)


def test_points_are_checked():
    system = kkt_equations(CONFIGURATIONS["relu"])
    for wrong in ((np.ones((3, 2)), np.ones(2)), (np.ones((2, 2)), np.ones(3)), (np.ones((2, 2)), np.ones(2), np.ones(1))):
        with pytest.raises(ShapeError):
            system.point(*wrong)


def test_exact_numbers_are_the_doubles():
    net = idf.TwoLayerNetwork([[0.1, 0.2]], [0.3], "leaky_relu(0.01)")
    system = kkt_equations(idf.KKTSystem.gradient(net, W=[[0.5, 0.7]]), samples=1)
    coefficient = system.equations[0].coeff(Symbol("c_1") * Symbol("s_1_1") * Symbol("x_1_1"))
    assert Fraction(int(coefficient.p), int(coefficient.q)) == Fraction(0.3)
    assert system.equations[2] == sympify("s_1_1**2 - 101*s_1_1/100 + 1/100")
