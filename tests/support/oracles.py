"""Second opinions: the same quantities by other means (automatic differentiation, exact fractions, dual numbers)."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations_with_replacement
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from identify.problem.activation import Activation
from identify.problem.gradients import Observed, weighted_gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem


def fractions(array) -> np.ndarray:
    """The exact rationals that the numbers are, as an object array."""
    array = np.asarray(array)
    out = np.empty(array.shape, dtype=object)
    out.flat = [Fraction(float(value)) for value in array.flat]
    return out


def modulo(array: np.ndarray, q: int) -> np.ndarray:
    """Exact rationals modulo a prime."""
    out = np.empty(array.shape, dtype=np.int64)
    out.flat = [Fraction(v).numerator * pow(Fraction(v).denominator, -1, q) % q for v in array.flat]
    return out


class Dual:
    """a + b·eps with eps^2 = 0: exact derivatives in any ring that has + and *."""

    def __init__(self, value, slope=0):
        self.value, self.slope = value, slope

    def __add__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)

    __radd__, __rmul__ = __add__, __mul__


def exact_gradients(net: TwoLayerNetwork, X, c) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted gradients sample by sample and neuron by neuron, in exact fractions; c has one column per output."""
    W, A, b, X, c = (fractions(part) for part in (net.W, net.A, net.offsets, X, c))
    s = net.activation.coefficients
    outputs, m = A.shape
    tW, tb, ta = fractions(np.zeros(W.shape)), fractions(np.zeros(m)), fractions(np.zeros(A.shape))
    for x, gamma in zip(X, c, strict=True):
        for j in range(m):
            z = sum(w * u for w, u in zip(W[j], x, strict=True)) + b[j]
            value = sum(s_k * z**k for k, s_k in enumerate(s))
            slope = sum(k * s_k * z ** (k - 1) for k, s_k in enumerate(s) if k)
            g = sum(gamma[o] * A[o, j] for o in range(outputs)) * slope
            tW[j] += g * x
            tb[j] += g
            ta[:, j] += gamma * value
    return tW, tb, ta


def exact_target(net: TwoLayerNetwork, observed: Observed, X, c) -> list[Fraction]:
    """The observed weighted gradients as one exact list, in the order of ``KKTSystem.target``."""
    parts = exact_gradients(net, X, c)
    return [value for part, seen in zip(parts, observed, strict=True) if seen for value in part.flat]


def exact_jacobian(net: TwoLayerNetwork, observed: Observed, X, c) -> np.ndarray:
    """Derivatives of the weighted gradients by (x_1, gamma_1, ...), in exact fractions, by dual numbers."""
    W, A, b = (fractions(part) for part in (net.W, net.A, net.offsets))
    columns = []
    X, c = fractions(X), fractions(c)
    for i in range(len(X)):
        for part, position in [(0, k) for k in range(X.shape[1])] + [(1, o) for o in range(c.shape[1])]:
            point = [np.vectorize(Dual, otypes=[object])(value) for value in (X, c)]
            point[part][i, position].slope = Fraction(1)
            parts = weighted_gradients(W, A, b, net.activation.coefficients, net.activation.derivative(), *point)
            columns.append([v.slope for t, seen in zip(parts, observed, strict=True) if seen for v in t.flat])
    return np.array(columns, dtype=object).T


def network_function(sigma: Activation, parameters, X):
    """f(theta; X), shape (n, C), as one writes it down; for automatic differentiation."""
    W, b, A = parameters
    Z = X @ W.T + b
    return sum(float(s) * Z**k for k, s in enumerate(sigma.coefficients)) @ A.T


def jax_gradients(net: TwoLayerNetwork, X, c) -> list[np.ndarray]:
    """Weighted gradients (W, bias, a) by reverse-mode differentiation of the network, in 64 bits."""
    with jax.enable_x64(True):
        X, c = jax.device_put(X), jax.device_put(c)
        parameters = tuple(jax.device_put(part) for part in (net.W, net.offsets, net.A))
        gradients = jax.grad(lambda theta: (c * network_function(net.activation, theta, X)).sum())(parameters)
        return [np.asarray(part) for part in gradients]


def jax_jacobian(net: TwoLayerNetwork, observed: Observed, X, c) -> np.ndarray:
    """Derivatives of the weighted gradients by (x_1, gamma_1, ...), by forward-over-reverse differentiation, in 64 bits."""
    with jax.enable_x64(True):
        d = X.shape[1]
        parameters = tuple(jax.device_put(part) for part in (net.W, net.offsets, net.A))

        def right_hand_side(point):
            X, c = point[:, :d], point[:, d:]
            gradients = jax.grad(lambda theta: (c * network_function(net.activation, theta, X)).sum())(parameters)
            return jnp.concatenate([part.ravel() for part, seen in zip(gradients, observed, strict=True) if seen])

        jacobian = jax.jit(jax.jacfwd(right_hand_side))(jax.device_put(np.hstack([X, c])))
        return np.asarray(jacobian).reshape(len(jacobian), -1)


def moments(X, c, degrees) -> list:
    """y_e = sum_i gamma_i x_i^e, by output, degree and monomial (variables in increasing order), in the ring of the arrays."""
    out = []
    for o in range(c.shape[1]):
        for k in degrees:
            out.extend(
                sum(gamma[o] * prod(x[v] for v in monomial) for x, gamma in zip(X, c, strict=True))
                for monomial in combinations_with_replacement(range(X.shape[1]), k)
            )
    return out


def random_network(
    rng: np.random.Generator, activation: str, *, inputs: int, width: int, outputs: int = 1, bias: bool = False, integers: bool = False
) -> TwoLayerNetwork:
    """A network with normal weights, or with integer weights from -3 to 3."""

    def draw(shape):
        return rng.integers(-3, 4, shape).astype(float) if integers else rng.standard_normal(shape)

    a = draw((outputs, width))
    return TwoLayerNetwork(draw((width, inputs)), a[0] if outputs == 1 else a, activation, draw(width) if bias else None)


def system_of(net: TwoLayerNetwork, X, c, layers: str = "both") -> KKTSystem:
    """The gradient system that given data produce, in double precision."""
    X, c = np.asarray(X, float), np.asarray(c, float).reshape(len(X), -1)
    sigma = net.activation
    tW, tb, ta = weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c)
    rows = Observed.of(layers, net.has_bias)
    return KKTSystem.gradient(net, W=tW if rows.W else None, bias=tb if rows.bias else None, a=ta.reshape(net.a.shape) if rows.a else None)


def small_integer_problems(largest: tuple[int, int, int], activations: list[str]):
    """Systems and data (X, c) in integers so small that many are degenerate; sizes (d, n, m) up to the largest, one or two outputs."""
    return st.builds(
        _small_integer_problem,
        st.tuples(*(st.integers(1, size) for size in largest), st.integers(1, 2)),
        st.sampled_from(activations),
        st.sampled_from(["both", "first", "second"]),
        st.booleans(),
        st.integers(0, 10**6),
    ).filter(lambda problem: problem is not None)


def _small_integer_problem(shape: tuple[int, int, int, int], activation: str, layers: str, bias: bool, seed: int):
    """None where the target is zero."""
    d, n, m, outputs = shape
    rng = np.random.default_rng(seed)
    net = random_network(rng, activation, inputs=d, width=m, outputs=outputs, bias=bias, integers=True)
    X, c = rng.integers(-2, 3, (n, d)).astype(float), rng.integers(1, 4, (n, outputs)).astype(float)
    try:
        return system_of(net, X, c, layers), X, c
    except ValueError:
        return None
