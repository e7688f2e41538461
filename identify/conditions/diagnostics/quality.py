r"""Stationarity of a trained network at its data: how well (S) holds there, and at the best multipliers.

For given samples (S) is linear in the multipliers, so the best ones are a least-squares problem, with :math:`\lambda_i \ge 0`
a non-negative one. Trained networks are stationary only up to the time and precision of their training; below that residual
their target says nothing. Floating point, so it supports no verdict.
"""

from __future__ import annotations

import numpy as np
import scipy
from jaxtyping import Float

from identify.base.limits import memory_allowed
from identify.base.norms import relative_size, size
from identify.exact.modular import Arithmetic
from identify.problem.data import check_data
from identify.problem.gradients import unflatten
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.verdict import Condition

REFERENCE = "Lyu & Li 2020; Ji & Telgarsky 2020 (KKT points); Lawson & Hanson 1974 (non-negative least squares)"
STATIONARY = 1e-2
"""Relative residual up to which data count as a solution."""
SUPPORT = 1e-3
"""Samples whose multiplier is at least this part of the largest one count as support."""
LISTED = 200
MAX_ENTRIES = 2e8
"""Largest matrix of per-sample gradients, in numbers, for which the best multipliers are computed."""


def stationarity_quality(
    system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, " n"] | Float[np.ndarray, "n C"]
) -> Condition:
    """Relative residual of (S) at these data and at the best multipliers; margins, support and slackness.

    Parameters
    ----------
    system
        Any regime. Margins, support and complementary slackness only for ``max-margin`` and ``weight-decay``.
    X, c
        Samples and signed multipliers; labels are taken as y_i = sign c_i (several outputs: the one positive entry).

    Returns
    -------
    Condition
        ``holds``: the relative residual at the given multipliers is at most 0.01. Named ``stationarity``.

    Raises
    ------
    ShapeError
        For data of the wrong shape.

    Notes
    -----
    Cost O(equations · (n C)^2). Residuals at the best multipliers are left out for more than 2e8 numbers.
    """
    net = system.network
    X, c = check_data(X, c, net.n_inputs, net.n_outputs)
    with np.errstate(all="ignore"):
        residual, layers = _residuals(system, system.right_hand_side(X, c))
        evidence: dict = {"residual": residual, "residual_by_layer": layers} | _best(system, X, c)
        if system.regime in SELF_TRAINED:
            evidence |= _support(c) | _margins(system, X, c)
        if system.loss is not None:
            evidence["closure_residual"] = _closure(system, X, c)
    text = f"relative residual {residual:.1e} at these multipliers"
    if "best_residual" in evidence:
        text += f", {evidence['best_residual']:.1e} at the best ones"
    if "best_residual_nonnegative" in evidence:
        text += f", {evidence['best_residual_nonnegative']:.1e} at the best ones of these signs"
    if "margins" in evidence:
        text += f"; {evidence['support_samples']} of {len(X)} samples support, smallest margin {evidence['margins']['smallest']:.4g}"
        text += " (max-margin asks for 1)" * (system.regime == "max-margin")
    if system.regime in SELF_TRAINED and not residual <= STATIONARY:
        text += "; the network is not stationary for these data"
    return Condition("stationarity", residual <= STATIONARY, text, evidence, Arithmetic.FLOAT, REFERENCE)


def _residuals(system: KKTSystem, found: np.ndarray) -> tuple[float, dict[str, float]]:
    """Relative residual of all equations, and of each layer relative to its own target."""
    t = system.target
    parts = system.parts
    shares = unflatten(found, [part.shape for part in parts.values()], [True] * len(parts))
    layers = {name: _ratio((share - part).reshape(-1), part.reshape(-1)) for share, (name, part) in zip(shares, parts.items(), strict=True)}
    return _ratio(found - t, t), layers


def _ratio(part: np.ndarray, whole: np.ndarray) -> float:
    """Infinite or NaN if it overflows or the whole is zero."""
    return relative_size(part, whole)


def gradients(system: KKTSystem, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "equations nC"]:
    """Column (i, o): the gradient of output o at sample i, in the order of the target."""
    units = np.eye(system.network.n_outputs)
    return np.stack([system.right_hand_side(x[None], unit[None]) for x in X for unit in units], axis=1)


def _best(system: KKTSystem, X: np.ndarray, c: np.ndarray) -> dict:
    entries = float(system.n_equations) * c.size
    if entries > MAX_ENTRIES or 32 * entries > memory_allowed():
        return {}
    unit = size(system.target)
    columns = gradients(system, X)
    scales = np.abs(columns).max(axis=0, initial=0)
    scales[scales == 0] = 1.0
    stacked = np.hstack([columns / scales, system.target[:, None] / unit])
    if not np.isfinite(stacked).all():
        return {}
    R = np.asarray(np.linalg.qr(stacked, mode="r"))  # the small problem R has the residuals of the large one
    G, t = R[:, :-1], R[:, -1]
    free = np.linalg.lstsq(G, t, rcond=None)[0]
    evidence = {"best_residual": size(G @ free - t)}
    if c.size <= LISTED:
        evidence["best_multipliers"] = (free / scales * unit).reshape(c.shape).tolist()
    if system.regime in SELF_TRAINED and c.shape[1] == 1:
        y = np.where(c[:, 0] != 0, np.sign(c[:, 0]), np.where(free < 0, -1.0, 1.0))
        try:
            weights, residual = scipy.optimize.nnls(G * y, t)
        except RuntimeError:  # the active-set iteration did not end
            return evidence
        evidence["best_residual_nonnegative"] = float(residual)
        evidence["best_nonnegative_support"] = int((weights / scales > SUPPORT * (weights / scales).max(initial=0)).sum())
    return evidence


def _support(c: np.ndarray) -> dict:
    sizes = np.abs(c).max(axis=1)
    supports = sizes > SUPPORT * sizes.max()
    return {
        "support_samples": int(supports.sum()),
        "support_tolerance": SUPPORT,
        "not_support": np.flatnonzero(~supports)[:LISTED].tolist(),
    }


def _margins(system: KKTSystem, X: np.ndarray, c: np.ndarray) -> dict:
    """Margins of the samples with a multiplier, and sum_i lambda_i |margin_i - 1| / sum_i lambda_i for max-margin."""
    values = margins(system, X, c)
    if values is None or not np.isfinite(values).all():
        return {}
    quantiles = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    evidence: dict = {"margins": dict(zip(("smallest", "quarter", "median", "three_quarters", "largest"), quantiles.tolist(), strict=True))}
    if system.regime == "max-margin":
        weights = np.abs(c).max(axis=1)
        weights = weights[weights > 0] / weights.max()
        evidence["complementary_slackness"] = float((weights * np.abs(values - 1)).sum() / weights.sum())
    return evidence


def margins(system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, " k"] | None:
    """y_i f(x_i), or the true output minus the runner-up, where c_i is not zero; None when c does not tell the labels."""
    keep = c.any(axis=1)
    if not keep.any():
        return None
    out = system.network(X[keep]).reshape(-1, c.shape[1])
    if c.shape[1] == 1:
        return np.sign(c[keep, 0]) * out[:, 0]
    positive = c[keep] > 0
    if (positive.sum(axis=1) != 1).any():
        return None
    return out[positive] - np.where(positive, -np.inf, out).max(axis=1)


def _closure(system: KKTSystem, X: np.ndarray, c: np.ndarray) -> float | None:
    """Largest |c_i + loss'(f(x_i), y_i)/n| relative to the largest |c_i|; for the square loss responses are unknown."""
    if system.loss != "logistic" or not c.any():
        return None
    y = np.sign(c[:, 0])
    expected = y * scipy.special.expit(-y * system.network(X).reshape(-1)) / len(X)
    return float(np.abs(c[:, 0] - expected).max() / np.abs(c).max())
