r"""Conditioning: to how many digits the data are determined near a solution, when the target is perturbed.

To first order :math:`\delta(x, c) = J^+ \delta t` with J the Jacobian of (S), modulo the ambiguity, so that
:math:`\|\delta x_i\| \le \|(J^+)_{x_i}\|_2\,\|\delta t\|` for every perturbation of that size: for data fitted to a perturbed
target by least squares this bound holds up to second order. Singular values are those of the relative change of the target
by relative changes of the samples and multipliers. Floating point, so it supports no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import floor, log10
from numbers import Real

import numpy as np
from jaxtyping import Float
from scipy.linalg import norm

from identify.conditions.sensitivity import changes, leaves_scale_free, left_inverse, triangular_factor
from identify.exact.jacobian import jacobian
from identify.exact.modular import Arithmetic
from identify.limits import memory_allowed
from identify.network import TwoLayerNetwork, finite_array
from identify.report.verdict import Condition
from identify.stationarity import SELF_TRAINED, KKTSystem, check_data

REFERENCE = "first-order perturbation of a least-squares solution (Golub & Van Loan 2013, section 5.3)"
MAX_UNKNOWNS = 3000
MAX_FLOPS = 4e11
FLOPS_PER_SECOND = 1e10
"""Assumed for the estimate of the time: one core of a present machine."""
MAX_COORDINATES = 2000
"""Up to this many numbers in X, error bars of every coordinate are part of the evidence."""
DOUBLE_DIGITS = 15
WEIGHT_BITS = (8, 16, 24)
FLOAT32, RESIDUAL = "float32 target", "residual of these data"


def conditioning(
    system: KKTSystem,
    X: Float[np.ndarray, "n d"],
    c: Float[np.ndarray, " n"] | Float[np.ndarray, "n C"],
    *,
    perturbations: Mapping[str, float | np.ndarray] | None = None,
) -> Condition:
    """Singular values of the Jacobian at the data, and error bars of each sample for stated perturbations of the target.

    Parameters
    ----------
    system, X, c
        The equations, and data that solve them: given or recovered.
    perturbations
        What may happen to the target, by name: its size relative to the norm of the target (dimensionless, not negative), or
        the change itself, in the order of ``KKTSystem.target``. The statement is about the first one. None: rounding of the
        target to single precision, the residual of these data (how far training stopped from a stationary point), and
        rounding of all weights to 8, 16 and 24 significant bits.

    Returns
    -------
    Condition
        ``holds``: every sample keeps at least one digit under the first perturbation. Digits are
        floor(-log10(error bar / norm of the sample)) of the worst sample, at most 15. ``evidence["error_bars"]`` has bounds
        to first order on the error of each sample, in the units of the inputs; random errors are smaller, about
        ``evidence["typical_error_bars"]``. Where (S) leaves the scale of a sample free the error across its line is meant.
        Not evaluated above 3000 unknowns, or about 40 s of work.

    Raises
    ------
    ValueError
        For data or perturbations of the wrong shape.

    Notes
    -----
    Cost O(equations · unknowns^2).
    """
    net = system.network
    X, c = check_data(X, c, net.n_inputs, net.n_outputs)
    stated = None if perturbations is None else _stated(perturbations, system)
    refused = _refusal(system.n_equations, system.n_unknowns(len(X)))
    if refused is not None:
        return refused
    with np.errstate(all="ignore"):
        J = jacobian(net.W, net.A, net.offsets, [net.activation.floats(k) for k in range(3)], system.observed, X, c)
        T = changes(X, c, leaves_scale_free(system))
        R = triangular_factor(J / norm(system.target), T)
        if not np.isfinite(R).all():
            statement = "not evaluated: the numbers overflow double precision; rescale inputs or weights"
            return Condition("conditioning", None, statement, {}, Arithmetic.NONE, REFERENCE)
        return _condition(system, X, R, T, default_perturbations(system, X, c) if stated is None else stated)


def _condition(system: KKTSystem, X: np.ndarray, R: np.ndarray, T: np.ndarray, sizes: dict[str, float]) -> Condition:
    evidence, values = _spectrum(R, len(T) * T.shape[2])
    evidence |= {"equations": system.n_equations, "unknowns": T.shape[0] * T.shape[1]}
    if leaves_scale_free(system):
        evidence["scale_freedom"] = len(X)
    evidence["perturbations"] = sizes
    inverse = left_inverse(R, T) if values[-1] > len(values) * np.finfo(float).eps * values[0] else None
    if inverse is None:
        statement = "not usable: to double precision the Jacobian is rank deficient, so to first order errors have no bound"
        evidence["digits"] = dict.fromkeys(sizes, 0)
        return Condition("conditioning", False, statement, evidence, Arithmetic.FLOAT, REFERENCE)
    rows = inverse[:, : X.shape[1]]
    per_sample = np.sqrt(np.maximum(np.linalg.eigvalsh(rows @ rows.transpose(0, 2, 1))[:, -1], 0))
    typical = np.linalg.norm(rows, axis=(1, 2)) / np.sqrt(system.n_equations)
    relative = per_sample / reference_sizes(X)
    worst = int(relative.argmax())
    evidence["digits"] = {name: digits(relative[worst] * value) for name, value in sizes.items()}
    evidence["worst_sample"] = worst
    evidence["worst_relative_error_bar"] = {name: float(relative[worst] * value) for name, value in sizes.items()}
    evidence["error_bars"] = {name: (per_sample * value).tolist() for name, value in sizes.items()}
    evidence["typical_error_bars"] = {name: (typical * value).tolist() for name, value in sizes.items()}
    first = next(iter(sizes))
    if X.size <= MAX_COORDINATES:
        evidence["coordinate_error_bars"] = {first: (np.linalg.norm(rows, axis=2) * sizes[first]).tolist()}
    return Condition("conditioning", evidence["digits"][first] > 0, _statement(evidence, first), evidence, Arithmetic.FLOAT, REFERENCE)


def _spectrum(R: np.ndarray, columns: int) -> tuple[dict, np.ndarray]:
    values = np.zeros(columns)
    found = np.linalg.svd(R, compute_uv=False)
    values[: len(found)] = found
    evidence = {"sigma_min": values[-1], "sigma_max": values[0], "condition_number": values[0] / values[-1] if values[-1] else np.inf}
    if columns > 1:
        evidence |= {"sigma_next": values[-2], "gap": values[-2] / values[-1] if values[-1] else np.inf}
    return {name: float(value) for name, value in evidence.items()}, values


def digits(relative_error: float) -> int:
    """Decimal digits that such a relative error leaves: floor(-log10), from 0 to 15.

    Examples
    --------
    >>> digits(2e-4), digits(0.5), digits(0.0)
    (3, 0, 15)
    """
    if relative_error <= 10.0**-DOUBLE_DIGITS:
        return DOUBLE_DIGITS
    return max(floor(-log10(relative_error)), 0) if relative_error < 1 else 0


def _statement(evidence: dict, first: str) -> str:
    found, worst, others = evidence["digits"], f"worst sample X[{evidence['worst_sample']}]", []
    where = "a float32 target" if first == FLOAT32 else f"the perturbation {first!r}"
    bar = f"error bar {evidence['worst_relative_error_bar'][first]:.1e} relative, {worst}"
    if found[first]:
        text = f"identifiable near these data, to {_count(found[first])} from {where} ({bar})"
    else:
        text = f"not usable from {where}: 0 digits ({bar})"
    if first == FLOAT32 and found[RESIDUAL] < found[first]:
        size = evidence["perturbations"][RESIDUAL]
        others.append(f"the residual of these data, {size:.1e}, leaves {_count(found[RESIDUAL]) if found[RESIDUAL] else 'none'}")
    return "; ".join([text, *others])


def _count(number: int) -> str:
    return f"{number} digit" + "s" * (number != 1)


def reference_sizes(X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """What errors are relative to: the norm of the sample; for one at the origin the root mean square norm, or else 1."""
    norms = np.linalg.norm(X, axis=1)
    typical = np.sqrt(np.mean(norms**2)) or 1.0
    return np.where(norms > 0, norms, typical)


def default_perturbations(system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> dict[str, float]:
    """Norms of the perturbations of the target that are looked at by default, relative to its own."""
    t = system.target
    size = norm(t)
    residual = t - system.right_hand_side(X, c)
    sizes = {FLOAT32: float(norm(2.0**-24 * t) / size), RESIDUAL: float(norm(residual, check_finite=False) / size)}
    for bits in WEIGHT_BITS:
        other = with_rounded_weights(system, bits)
        change = (_target_of(other, system, bits) - other.right_hand_side(X, c)) - residual
        sizes[f"weights of {bits} bits"] = float(norm(change, check_finite=False) / size)
    return sizes


def round_to_bits(values: Float[np.ndarray, "*shape"], bits: int) -> Float[np.ndarray, "*shape"]:
    """Nearest numbers with so many significant bits: 24 as float32, 11 as float16, 8 as bfloat16, exponents unbounded.

    Examples
    --------
    >>> round_to_bits(np.array([1.0, 1.0078125, 1.00390625, -3.3]), 8).tolist()
    [1.0, 1.0078125, 1.0, -3.296875]
    """
    fraction, exponent = np.frexp(values)
    largest = np.finfo(float).max
    with np.errstate(over="ignore"):
        return np.clip(np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits), -largest, largest)


def with_rounded_weights(system: KKTSystem, bits: int) -> KKTSystem:
    """The same target, with gradients taken at the network of rounded weights."""
    net = system.network
    bias = None if net.bias is None else round_to_bits(net.bias, bits)
    return replace(system, network=TwoLayerNetwork(round_to_bits(net.W, bits), round_to_bits(net.a, bits), net.activation, bias=bias))


def _target_of(rounded: KKTSystem, system: KKTSystem, bits: int) -> np.ndarray:
    """The target that an analyst forms who sees rounded weights only; a gradient is observed as it is."""
    if system.regime == "gradient":
        return system.target
    theta, theta_rounded = (_parameters(s.network, system) for s in (system, rounded))
    if system.regime in SELF_TRAINED:
        factor = 1.0 if system.decay is None else system.decay
        return system.target + factor * (theta_rounded - theta)
    return round_to_bits(theta + system.target, bits) - theta_rounded


def _parameters(net: TwoLayerNetwork, system: KKTSystem) -> np.ndarray:
    """The parameters of the observed rows, in the order of the target."""
    parts = zip((net.W, net.offsets, net.a), system.observed, strict=True)
    return np.concatenate([part.reshape(-1) for part, seen in parts if seen])


def _stated(perturbations: Mapping[str, float | np.ndarray], system: KKTSystem) -> dict[str, float]:
    """Relative norms of perturbations that the caller names."""
    if not perturbations:
        raise ValueError("perturbations: received none, expected at least one by name; pass None for the usual ones")
    sizes = {}
    for name, value in perturbations.items():
        label = f"perturbations[{name!r}]"
        if np.ndim(value):
            change = finite_array(label, value, (system.n_equations,), "one number for each equation")
            sizes[name] = float(norm(change) / norm(system.target))
        elif isinstance(value, Real) and 0 <= value < np.inf:
            sizes[name] = float(value)
        else:
            raise ValueError(f"{label}: received {value!r}, expected a relative size of at least 0, or one number for each equation")
    return sizes


def _refusal(equations: int, unknowns: int) -> Condition | None:
    """Not evaluated, with the estimate, where it would take long; None where it would not."""
    flops = 2.0 * equations * unknowns**2 + 4.0 * unknowns**3
    memory = 24 * equations * unknowns
    evidence = {"unknowns": unknowns, "equations": equations, "estimated_seconds": flops / FLOPS_PER_SECOND, "estimated_bytes": memory}
    if unknowns > MAX_UNKNOWNS:
        reason = f"{unknowns} unknowns, more than {MAX_UNKNOWNS}"
    elif flops > MAX_FLOPS or memory > memory_allowed():
        reason = f"a Jacobian of {equations} by {unknowns}"
    else:
        return None
    cost = f"about {flops / FLOPS_PER_SECOND:.0f} s and {memory / 2**30:.1f} GiB"
    return Condition("conditioning", None, f"not evaluated: {reason} ({cost})", evidence, Arithmetic.NONE, REFERENCE)
