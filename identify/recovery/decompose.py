r"""Steps 3 and 4: the samples' lines by simultaneous diagonalisation, then their scale, sign and multipliers.

For at most D independent samples, two contractions of the top moment are :math:`V A V^\top` and :math:`V B V^\top` with
diagonal A and B, so the eigenvectors of the first times the inverse of the second are the columns of V (Jennrich's
algorithm: Harshman 1970; Leurgans, Ross & Abel 1993). Several outputs give the matrices at degree 2 already.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from jaxtyping import Float

from identify.activation import root_group
from identify.configuration import is_lifted
from identify.exact.interpolation import Monomials
from identify.recovery.moments import Moments
from identify.recovery.solution import RecoveryError

DRAWS = 12
"""Random pairs of contractions tried; the best separated one is used."""


def sample_lines(moments: Moments, samples: int, rng: np.random.Generator) -> tuple[Float[np.ndarray, "n D"], dict]:
    """Unit vectors along the (lifted) samples, and evidence (spectrum of the flattening, condition, eigenvalue gap).

    Raises
    ------
    RecoveryError
        For more samples than the dimension D of the tensor, or for degree 2 with one output.
    """
    tensor = moments.top_tensor()
    outputs, D, p = tensor.shape[0], tensor.shape[1], tensor.ndim - 1
    if samples > D:
        raise RecoveryError(
            f"decomposition: {samples} samples in dimension {D}; simultaneous diagonalisation needs at most {D}", dimension=D
        )
    if p == 2 and outputs == 1 and samples > 1:
        raise RecoveryError(
            "decomposition: degree 2 with one output; the samples are determined only up to a rotation (identify.check shows it)"
        )
    U, spectrum, _ = np.linalg.svd(np.moveaxis(tensor, 1, 0).reshape(D, -1), full_matrices=False)
    U = U[:, :samples]
    evidence = {"flattening_spectrum": (spectrum[: samples + 2] / spectrum[0]).tolist()}
    if spectrum[samples - 1] <= 1e-14 * spectrum[0]:
        raise RecoveryError(
            f"decomposition: the top moment has numerical rank below {samples}; there are fewer independent samples than asked for",
            **evidence,
        )
    core = tensor
    for mode in range(1, p + 1):
        core = np.moveaxis(np.tensordot(core, U, axes=(mode, 0)), -1, mode)
    if samples == 1:
        return U.T, evidence
    best: tuple[float, np.ndarray] | None = None
    for _ in range(DRAWS):
        first, second = _contraction(core, rng), _contraction(core, rng)
        try:
            values, vectors = np.linalg.eig(np.linalg.solve(second.T, first.T).T)
        except np.linalg.LinAlgError:
            continue
        scale = np.abs(values).max()
        gap = np.abs(values[:, None] - values[None, :])[~np.eye(samples, dtype=bool)].min() / scale
        score = gap / np.linalg.cond(vectors) / np.linalg.cond(second)
        if np.isfinite(score) and (best is None or score > best[0]):
            best = (score, vectors)
    if best is None:
        raise RecoveryError("decomposition: every random contraction was singular; the samples are dependent", **evidence)
    vectors = best[1]
    # an eigenvector of a real eigenvalue is real up to a phase; rounding may have made a pair complex
    vectors = np.real(vectors * np.exp(-1j * np.angle(vectors[np.abs(vectors).argmax(axis=0), np.arange(samples)])))
    lines = (U @ vectors).T
    return lines / np.linalg.norm(lines, axis=1, keepdims=True), evidence | {"separation": float(best[0])}


def _contraction(core: np.ndarray, rng: np.random.Generator) -> Float[np.ndarray, "n n"]:
    """The core tensor contracted with random vectors in the output mode and in all but two of the others."""
    out = np.tensordot(rng.standard_normal(core.shape[0]), core, axes=1)
    while out.ndim > 2:
        out = np.tensordot(out, rng.standard_normal(out.shape[-1]), axes=1)
    return out


def fix_scale(moments: Moments, lines: Float[np.ndarray, "n D"]) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]]:
    """Samples and multipliers from their lines, as far as the moments fix them (condition C3).

    Without lifted coordinates the weights e_k = c s^k of the unit vectors are fitted in two degrees; their ratio gives
    the scale s, or its size when all degree differences are even. With one visible degree the samples have unit norm.
    """
    degrees = moments.degrees
    if is_lifted(degrees):
        last = lines[:, -1:]
        if np.abs(last).min() < 1e-12:
            raise RecoveryError("decomposition: a sample lies at infinity (its constant coordinate vanishes); the target is too noisy")
        X = lines[:, :-1] / last
        return X, fit_multipliers(moments, X)
    if len(degrees) == 1:
        return lines, fit_multipliers(moments, lines)
    weights = {k: _fit(moments, lines, (k,)) for k in degrees if k}
    pairs = [(high, low) for low, high in combinations(sorted(weights), 2)]
    fixing = [pair for pair in pairs if (pair[0] - pair[1]) % 2] if root_group(degrees) == "none" else pairs
    if not fixing:
        return lines, fit_multipliers(moments, lines)
    high, low = max(fixing, key=lambda pair: (-(pair[0] - pair[1]), pair[0]))
    ratio = (weights[high] * weights[low]).sum(axis=1) / (weights[low] ** 2).sum(axis=1)
    odd = (high - low) % 2
    s = (np.sign(ratio) if odd else 1.0) * np.abs(ratio) ** (1 / (high - low))
    X = s[:, None] * lines
    return X, fit_multipliers(moments, X)


def fit_multipliers(moments: Moments, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n C"]:
    """Least-squares multipliers for given samples, from the moments of all visible degrees."""
    return _fit(moments, X, moments.degrees)


def _fit(moments: Moments, X: np.ndarray, degrees: tuple[int, ...]) -> Float[np.ndarray, "n C"]:
    columns, right = [], []
    for k in degrees:
        monomials = Monomials.of(X.shape[1], k)
        unit = 1 / monomials.weights() if k else np.ones(1)
        scale = 1 / np.linalg.norm(moments.values[k] / unit) if k else 1.0
        # y_e / w_e^-1 with w_e ~ 1/sqrt(e!) is an orthonormal coordinate of the symmetric tensor
        columns.append(scale * (monomials.values(X, lambda value: value) / unit).T)
        right.append(scale * (moments.values[k] / unit).T)
    return np.linalg.lstsq(np.concatenate(columns), np.concatenate(right), rcond=None)[0]
