r"""What a network that was trained on its own data leaves undetermined, and the dimension of that.

At a stationary point of training with weight decay or maximal margin the rows of W are combinations of few directions: the
visible moments are then not all determined, exactly or to the precision of the training. Where W has rank r < d, projecting
every sample on the row space of W leaves (S) unchanged, because the target has no component outside.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.activation import Activation
from identify.conditions.interpolation import REFERENCE
from identify.exact.instance import Instance
from identify.exact.interpolation import Monomials, interpolation_matrix, moment_count
from identify.exact.modular import Arithmetic, certified_rank
from identify.limits import memory_allowed
from identify.report.verdict import Condition
from identify.stationarity import KKTSystem, Observed

TOLERANCES = (1e-2, 1e-4, 1e-8)
"""Singular values below these parts of the largest count as zero: how precisely a network may have been trained."""
MAX_MOMENTS = 1000
MAX_WIDTH = 2000


def undetermined(system: KKTSystem, interpolation: Condition | None = None) -> Condition:
    """Moments that the equations leave open: exact rank, and numerical ranks at stated precisions; effective width.

    Parameters
    ----------
    system
        Of regime ``weight-decay`` or ``max-margin``.
    interpolation
        The condition of that name, if it was evaluated for this system: its exact rank is used. None: it is computed for
        up to 1000 moments, in all coordinates.

    Returns
    -------
    Condition
        ``holds``: the exact rank is full, W spans as many coordinates at precision 1e-8, and the interpolation matrix has
        full rank there too. Evidence: for each precision the rank r of W, the number of moments in r coordinates, how many of
        them the equations show, and how many of all moments in d coordinates.

    Notes
    -----
    Cost: one singular value decomposition of at most 1000 columns for each precision.
    """
    net = system.network
    evidence: dict = {"width": net.width} | _exact(system, interpolation)
    if net.width <= MAX_WIDTH:
        evidence["effective_width"] = net.distinct_directions()
        evidence["effective_width_to_1_percent"] = net.distinct_directions(TOLERANCES[0])
    evidence["at_precision"] = {f"{tolerance:g}": _numerical(system, tolerance) for tolerance in TOLERANCES}
    return Condition("undetermined", *_judge(evidence, net.n_inputs), evidence, Arithmetic.FLOAT, REFERENCE)


def _exact(system: KKTSystem, interpolation: Condition | None) -> dict:
    """Rank of the interpolation matrix and number of moments, in coordinates that are named."""
    if interpolation is not None and {"rank", "needed", "coordinates"} <= interpolation.evidence.keys():
        kept = ("rank", "needed", "coordinates", "rank_is_upper_bound")
        return {name: interpolation.evidence[name] for name in kept if name in interpolation.evidence}
    net = system.network
    instance = Instance(
        net.activation, net.n_inputs, 1, net.width, net.n_outputs, net.has_bias, system.observed, W=net.W, A=net.A, offsets=net.offsets
    )
    N, rows = instance.n_moments, instance.n_rows
    evidence = {"needed": N, "coordinates": net.n_inputs}
    if rows < N:
        return evidence | {"rank": rows, "rank_is_upper_bound": True}
    if N > MAX_MOMENTS or 120 * rows * N > memory_allowed():
        return evidence
    return evidence | {"rank": certified_rank(lambda q, rng: instance.at(q, rng).interpolation(), N, seed=0).rank}


def _numerical(system: KKTSystem, tolerance: float) -> dict:
    """Ranks in coordinates on the numerical row space of W, and in all coordinates."""
    W = system.network.W
    _, values, V = np.linalg.svd(W / (np.abs(W).max() or 1.0), full_matrices=False)
    r = int((values > tolerance * values[0]).sum())
    N = moment_count(r, system.degrees, system.network.n_outputs)
    found: dict = {"rank_W": r, "moments": N}
    for name, basis in (("interpolation_rank", V[:r].T), ("rank_in_all_coordinates", np.eye(W.shape[1]))):
        rank = _interpolation_rank(system, basis, tolerance)
        if rank is not None:
            found[name] = rank
    return found


def _interpolation_rank(system: KKTSystem, basis: Float[np.ndarray, "d r"], tolerance: float) -> int | None:
    """Numerical rank in coordinates on that basis; None where it is too large, or overflows."""
    net, degrees = system.network, system.degrees
    N = moment_count(basis.shape[1], degrees, net.n_outputs)
    if N > MAX_MOMENTS or 24.0 * system.n_equations * N > memory_allowed():
        return None
    if not basis.shape[1]:
        return 0
    with np.errstate(all="ignore"):
        matrix = _matrix(net.W @ basis, net.A, net.offsets, net.activation, system.observed, degrees)
    if not np.isfinite(matrix).all():
        return None
    values = np.linalg.svd(matrix, compute_uv=False)
    return int((values > tolerance * values[0]).sum())


def _matrix(
    W: np.ndarray, A: np.ndarray, offsets: np.ndarray, activation: Activation, observed: Observed, degrees: tuple[int, ...]
) -> Float[np.ndarray, "equations N"]:
    """The interpolation matrix with moments as orthonormal coordinates, and each degree scaled to the same size."""
    r = W.shape[1]
    derivatives = [activation.floats(k) for k in range(activation.degree + 2)]
    matrix = interpolation_matrix(W, A, offsets, derivatives, observed, degrees)
    monomials = [Monomials.of(r, k) for k in degrees]
    matrix = matrix * np.tile(np.concatenate([m.weights() for m in monomials]), len(A))
    start = 0
    for m in monomials * len(A):
        block = matrix[:, start : start + len(m)]
        block /= np.abs(block).max() or 1.0
        start += len(m)
    return matrix


def _judge(evidence: dict, inputs: int) -> tuple[bool | None, str]:
    parts = []
    if "effective_width" in evidence:
        parts.append(f"{evidence['effective_width']} of {evidence['width']} neurons point in different directions")
    holds: bool | None = None
    if "rank" in evidence:
        rank, needed = evidence["rank"], evidence["needed"]
        holds = rank >= needed
        most = "rank_is_upper_bound" in evidence
        parts.append(f"the equations show {'at most ' * most}{rank} of {needed} moments in {evidence['coordinates']} coordinates")
        if not holds:
            parts.append(f"{'at least ' * most}{needed - rank} dimensions of moments stay undetermined")
    exact, loose = (evidence["at_precision"][f"{tolerance:g}"] for tolerance in (TOLERANCES[-1], TOLERANCES[0]))
    if _is_limited(exact, evidence["coordinates"]):
        holds = False
        parts.append(_in_words(exact, TOLERANCES[-1], inputs))
    if _is_limited(loose, evidence["coordinates"]) and loose != exact:
        parts.append(_in_words(loose, TOLERANCES[0], inputs))
    if loose["rank_W"] < inputs:
        exactly = "" if exact["rank_W"] == loose["rank_W"] else ", to that precision"
        parts.append(f"projecting every sample on the row space of W leaves the equations unchanged{exactly}")
    return holds, "; ".join(parts)


def _is_limited(found: dict, coordinates: int) -> bool:
    return found["rank_W"] < coordinates or found.get("interpolation_rank", found["moments"]) < found["moments"]


def _in_words(found: dict, tolerance: float, inputs: int) -> str:
    text = f"to precision {tolerance:g} W has rank {found['rank_W']} of {inputs}"
    if "interpolation_rank" in found:
        text += f", with {found['interpolation_rank']} of {found['moments']} moments shown in its row space"
    if "rank_in_all_coordinates" in found:
        text += f", and {found['rank_in_all_coordinates']} in all coordinates"
    return text
