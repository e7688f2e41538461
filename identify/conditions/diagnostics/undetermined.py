r"""What a network that was trained on its own data leaves undetermined, and the dimension of that.

At a stationary point of training with weight decay or maximal margin the rows of W are combinations of few directions: the
visible moments are then not all determined, exactly or to the precision of the training. Where W has rank r < d, projecting
every sample on the row space of W leaves (S) unchanged, because the target has no component outside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from identify.base.limits import memory_allowed
from identify.base.norms import row_sizes
from identify.conditions.interpolation import REFERENCE
from identify.exact.instance import Instance
from identify.exact.slices import expected_work, interpolation_rank, interpolation_seconds
from identify.problem.activation import Activation
from identify.problem.gradients import Observed
from identify.problem.interpolation import Monomials, interpolation_matrix, moment_count
from identify.problem.system import KKTSystem
from identify.problem.verdict import Arithmetic, Condition

TOLERANCES = (1e-2, 1e-4, 1e-8)
"""Singular values below these parts of the largest count as zero: how precisely a network may have been trained."""
MAX_MOMENTS = 1000
MAX_WIDTH = 2000
MAX_SECONDS = 5.0
"""For an exact rank that no condition has computed."""
MAX_FLOPS = 3e10
"""Largest singular value decomposition, in floating-point operations."""


def undetermined(
    system: KKTSystem,
    interpolation: Condition | None = None,
    *,
    data: tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]] | None = None,
) -> Condition:
    """Moments and numbers of the data that the equations leave open: exact rank, and ranks at stated precisions.

    Parameters
    ----------
    system
        Of regime ``weight-decay`` or ``max-margin``.
    interpolation
        The condition of that name, if it was evaluated for this system: its exact rank is used. None: it is computed for
        up to 1000 moments, in all coordinates.
    data
        X and c. Their residual, where it lies between 1e-8 and 1, is one more precision to look at.

    Returns
    -------
    Condition
        ``holds``: the exact rank is full, and at precision 1e-8 and that of the data W spans as many coordinates and the
        interpolation matrix has full rank. Evidence: effective width, and for each precision the rank r of W, the number of
        moments in r and in all d coordinates, and how many of them the equations show. With data also
        ``hidden``: (n - rank H)(d - r), the numbers of the samples outside the row space of W that no equation sees there, H the
        factors of x_i in the first-layer rows.

    Notes
    -----
    Cost: one singular value decomposition of at most 1000 columns for each precision. A decomposition of more than
    3e10 floating-point operations is left out.
    """
    net = system.network
    evidence: dict = {"width": net.width} | _exact(system, interpolation)
    if net.width <= MAX_WIDTH:
        evidence["effective_width"] = net.distinct_directions()
        evidence["effective_width_to_1_percent"] = net.distinct_directions(TOLERANCES[0])
    tolerances = list(TOLERANCES)
    residual = None if data is None else system.residual(*data)
    if residual is not None and TOLERANCES[-1] < residual < 1:
        evidence["residual_of_the_data"] = residual
        tolerances = sorted({*tolerances, residual}, reverse=True)
    evidence["at_precision"] = _at_precisions(system, tolerances, None if data is None else _slopes(system, *data))
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
    if expected_work(instance)[1] > memory_allowed() or interpolation_seconds(instance) > MAX_SECONDS:
        return evidence
    return evidence | {"rank": interpolation_rank(instance, seed=0).rank}


def _at_precisions(system: KKTSystem, tolerances: Sequence[float], slopes: Float[np.ndarray, "m n"] | None) -> dict[str, dict]:
    """Ranks at each precision, in coordinates on the numerical row space of W, and in all coordinates."""
    W = system.network.W
    _, values, V = np.linalg.svd(W / (np.abs(W).max() or 1.0), full_matrices=False)
    d, outputs = W.shape[1], system.network.n_outputs
    spectra: dict[int, np.ndarray | None] = {d: _spectrum(system, np.eye(d))}
    factors = None if slopes is None else np.linalg.svd(slopes, compute_uv=False)
    found = {}
    for tolerance in tolerances:
        r = _rank(values, tolerance)
        if r not in spectra:
            spectra[r] = _spectrum(system, V[:r].T)
        at: dict = {"rank_W": r, "moments": moment_count(r, system.degrees, outputs)}
        at["moments_in_all_coordinates"] = moment_count(d, system.degrees, outputs)
        for name, spectrum in (("interpolation_rank", spectra[r]), ("rank_in_all_coordinates", spectra[d])):
            if spectrum is not None:
                at[name] = _rank(spectrum, tolerance)
        if slopes is not None and factors is not None:
            at["hidden"] = (slopes.shape[1] - _rank(factors, tolerance)) * (d - r)
        found[f"{tolerance:.2g}"] = at
    return found


def _rank(values: Float[np.ndarray, " k"], tolerance: float) -> int:
    return int((values > tolerance * values.max(initial=0)).sum())


def _slopes(system: KKTSystem, X: np.ndarray, c: np.ndarray) -> Float[np.ndarray, "m n"] | None:
    """H, its columns in proportion to the samples; zero if the first-layer weights were not trained, None on overflow."""
    net = system.network
    H = (c @ net.A).T * net.activation(net.W @ X.T + net.offsets[:, None], order=1) * row_sizes(X)
    H = H if system.observed.W else np.zeros_like(H)
    return H / (np.abs(H).max() or 1.0) if np.isfinite(H).all() else None


def _spectrum(system: KKTSystem, basis: Float[np.ndarray, "d r"]) -> Float[np.ndarray, " k"] | None:
    """Singular values of the interpolation matrix in coordinates on that basis; None if it is too large, or overflows."""
    net, degrees = system.network, system.degrees
    N = moment_count(basis.shape[1], degrees, net.n_outputs)
    rows = float(system.n_equations)
    if N > MAX_MOMENTS or 24 * rows * N > memory_allowed() or 2 * rows * N * min(rows, N) > MAX_FLOPS:
        return None
    if not basis.shape[1]:
        return np.zeros(0)
    with np.errstate(all="ignore"):
        matrix = _matrix(net.W @ basis, net.A, net.offsets, net.activation, system.observed, degrees)
    return np.linalg.svd(matrix, compute_uv=False) if np.isfinite(matrix).all() else None


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
        width, loosely = evidence["effective_width"], evidence["effective_width_to_1_percent"]
        also = f", {loosely} to precision {TOLERANCES[0]:g}" if loosely != width else ""
        parts.append(f"{width} of {evidence['width']} neurons point in different directions{also}")
    holds: bool | None = None
    if "rank" in evidence:
        rank, needed = evidence["rank"], evidence["needed"]
        holds = rank >= needed
        most = "rank_is_upper_bound" in evidence
        parts.append(f"the equations show {'at most ' * most}{rank} of {needed} moments in {evidence['coordinates']} coordinates")
        if not holds:
            parts.append(f"{'at least ' * most}{needed - rank} dimensions of moments stay undetermined")
    own = f"{evidence['residual_of_the_data']:.2g}" if "residual_of_the_data" in evidence else f"{TOLERANCES[0]:g}"
    said: list[dict] = []
    for name in (f"{TOLERANCES[-1]:g}", own):
        at = evidence["at_precision"][name]
        if not _is_limited(at, evidence["coordinates"]):
            continue
        if name == f"{TOLERANCES[-1]:g}" or "residual_of_the_data" in evidence:
            holds = False
        if at not in said:
            what = name + " (the residual of these data)" * (name == own and "residual_of_the_data" in evidence)
            parts.append(_in_words(at, what, inputs))
            said.append(at)
    if said and said[-1]["rank_W"] < inputs:
        parts.append("projecting every sample on that row space of W changes no equation by more")
    return holds, "; ".join(parts)


def _is_limited(at: dict, coordinates: int) -> bool:
    return at["rank_W"] < coordinates or at.get("interpolation_rank", at["moments"]) < at["moments"]


def _in_words(at: dict, precision: str, inputs: int) -> str:
    parts = [f"to precision {precision} W has rank {at['rank_W']} of {inputs}"]
    if "rank_in_all_coordinates" in at:
        seen, needed = at["rank_in_all_coordinates"], at["moments_in_all_coordinates"]
        parts.append(f"{seen} of all {needed} moments are seen and {needed - seen} dimensions of them stay undetermined")
    elif "interpolation_rank" in at:
        parts.append(f"{at['interpolation_rank']} of {at['moments']} moments are seen in its row space")
    if at.get("hidden"):
        parts.append(f"numbers of the samples that are in no equation: {at['hidden']}")
    return ", ".join(parts)
