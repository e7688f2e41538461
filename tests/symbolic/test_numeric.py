"""Compiled residuals against the structured equations, against the numeric view, and under JAX's transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.oracles import jax_jacobian
from sympy import Rational, Symbol

from identify.planting.configuration import Configuration
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.symbolic.posing import kkt_equations
from identify.symbolic.system import SymbolicSystem

CONFIGURATIONS = [
    Configuration(inputs=2, samples=3, width=2, activation="1/2 - z + z^3/4", **options)
    for options in (
        {},
        {"bias": True, "regime": "lazy"},
        {"outputs": 2, "bias": True},
        {"layers": "first", "bias": True, "regime": "weight-decay"},
        {"layers": "second", "regime": "weight-decay"},
        {"regime": "max-margin", "bias": True},
        {"regime": "max-margin", "outputs": 2, "layers": "first"},
    )
]
NET = TwoLayerNetwork([[1.0, 2.0], [0.5, -1.0], [3.0, 1.0]], [1.0, -0.5, 2.0], "z - z^2/2 + z^3", bias=[1.0, 0.0, -1.0])
SYSTEMS = [
    (KKTSystem.max_margin(NET), 0),
    (KKTSystem.max_margin(NET, labels=[1, -1, 1], layers="first"), 3),
    (KKTSystem.weight_decay(NET, decay=0.25, loss="square"), 3),
    (KKTSystem.weight_decay(NET, decay=0.25, loss="logistic", layers="second"), 0),
    (KKTSystem.gradient(NET, W=np.ones((3, 2)), a=[1.0, 2.0, 3.0]), 0),
    (KKTSystem.gradient(NET, bias=[1.0, 2.0, 3.0]), 0),
]


def point(system: SymbolicSystem, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unknowns and parameters: eighths, so that doubles hold every value of the equations exactly."""
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(-16, 17, len(symbols)) / 8 for symbols in (system.unknowns, system.parameters))


def by_substitution(system: SymbolicSystem, unknowns, parameters) -> list[float]:
    values = dict(zip(system.variables, map(Rational, [*unknowns, *parameters]), strict=True))
    return [float(equation.xreplace(values)) for equation in system.equations]


@pytest.mark.parametrize("backend", ["numpy", "jax"])
@pytest.mark.parametrize("config", CONFIGURATIONS, ids=str)
def test_residual_is_the_structured_form(config, backend):
    system = kkt_equations(config)
    with jax.enable_x64(True):
        residual = system.lambdify(backend)
        residual = jax.jit(residual) if backend == "jax" else residual
        for seed in range(2):
            at = point(system, seed)
            assert np.allclose(residual(*at), by_substitution(system, *at), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
@pytest.mark.parametrize(("numbers", "sides"), SYSTEMS, ids=lambda value: repr(value)[:40])
def test_residual_is_the_numeric_view(numbers, sides, backend):
    system = kkt_equations(numbers, samples=3)
    unknowns, parameters = point(system)
    X, multipliers = unknowns[:6].reshape(3, 2), unknowns[6:]
    labels = {Symbol(f"y_{i + 1}"): i for i in range(3)}
    y = np.ones(3)
    if numbers.labels is not None:
        y = numbers.labels
    elif numbers.regime == "max-margin":
        y = parameters[[labels[symbol] for symbol in system.parameters]]
    with jax.enable_x64(True):
        values = np.asarray(system.lambdify(backend)(unknowns, parameters))
    expected = numbers.right_hand_side(X, multipliers * y) - numbers.target
    assert np.allclose(values[: numbers.n_equations], expected, rtol=1e-12, atol=1e-12)
    assert np.allclose(values, by_substitution(system, unknowns, parameters), rtol=1e-12, atol=1e-12)
    assert len(values) == len(system) and (sides == 0 or len(values) == numbers.n_equations + sides)


@pytest.mark.parametrize(("d", "n", "m"), [(3, 2, 4), (5, 4, 12)])
def test_residual_vanishes_at_planted_data(d, n, m):
    numbers, truth = Configuration(inputs=d, samples=n, width=m, activation="z + z^2/2 + z^3", bias=True).plant(0)
    values = kkt_equations(numbers, samples=n).lambdify()(np.concatenate([truth.X.ravel(), truth.c]))
    assert np.abs(values).max() < 1e-12 * np.abs(numbers.target).max()


@pytest.mark.slow
def test_jax_transformations():
    system = kkt_equations(CONFIGURATIONS[5])
    with jax.enable_x64(True):
        residual = system.lambdify("jax")
        points = [point(system, seed) for seed in range(4)]
        unknowns, parameters = (jax.device_put(np.array(part)) for part in zip(*points, strict=True))
        plain = np.array([system.lambdify()(*at) for at in points])
        assert np.allclose(jax.jit(residual)(unknowns[0], parameters[0]), plain[0], rtol=1e-13)
        assert np.allclose(jax.jit(jax.vmap(residual))(unknowns, parameters), plain, rtol=1e-13)
        assert jax.eval_shape(jax.vmap(residual, (0, None)), unknowns, parameters[0]).shape == plain.shape
        automatic = np.asarray(jax.jit(jax.jacfwd(residual))(unknowns[0], parameters[0]))
        values = dict(zip(system.variables, [*points[0][0], *points[0][1]], strict=True))
        symbolic = np.array(system.jacobian().to_sympy().subs(values), dtype=float)
        assert np.allclose(automatic, symbolic, rtol=1e-12, atol=1e-12)


def test_jacobian_of_the_numeric_view():
    numbers, n, d = SYSTEMS[4][0], 3, 2
    system = kkt_equations(numbers, samples=n)
    unknowns, _ = point(system)
    X, c = unknowns[: n * d].reshape(n, d), unknowns[n * d :].reshape(n, 1)
    symbolic = np.array(system.jacobian().to_sympy().subs(dict(zip(system.unknowns, unknowns, strict=True))), dtype=float)
    by_sample = jax_jacobian(numbers.network, numbers.observed, X, c).reshape(-1, n, d + 1)
    assert np.allclose(symbolic, np.concatenate([by_sample[:, :, :d].reshape(-1, n * d), by_sample[:, :, d]], axis=1), rtol=1e-12)


def test_single_precision_is_the_default_of_jax():
    system = kkt_equations(CONFIGURATIONS[0])
    at = point(system)
    values = system.lambdify("jax")(*at)
    assert values.dtype == jnp.float32 and np.allclose(values, system.lambdify()(*at), rtol=1e-4, atol=1e-4)


def test_refused():
    system = kkt_equations(CONFIGURATIONS[0])
    with pytest.raises(ValueError, match="backend: received 'torch', expected one of numpy, jax"):
        system.lambdify("torch")
    unknowns, parameters = point(system)
    for backend in ("numpy", "jax"):
        residual = system.lambdify(backend)
        for wrong in ((unknowns[1:], parameters), (unknowns, parameters[1:]), (unknowns,), (unknowns[None], parameters)):
            with pytest.raises(ValueError, match=r"unknowns, parameters: received shapes .*, expected \(9,\) and \(15,\), in the order"):
                residual(*wrong)
