r"""Steps 3 and 4: the samples' lines by simultaneous diagonalisation, then their scale, sign and multipliers.

For at most D independent samples, two contractions of the top moment are :math:`V A V^\top` and :math:`V B V^\top` with
diagonal A and B, so the eigenvectors of the first times the inverse of the second are the columns of V (Jennrich's
algorithm: Harshman 1970; Leurgans, Ross & Abel 1993). Several outputs give the matrices at degree 2 already.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.planting.configuration import is_lifted
from identify.problem.activation import root_group
from identify.problem.interpolation import Monomials
from identify.recovery.moments import Moments
from identify.recovery.solution import Failure, InapplicableError

DRAWS = 12
"""Random pairs of contractions tried; the best separated one is used."""


def sample_lines(moments: Moments, samples: int, rng: np.random.Generator) -> tuple[Float[np.ndarray, "n D"], dict]:
    """Unit vectors along the (lifted) samples, and evidence (spectrum of the flattening, condition, eigenvalue gap).

    Raises
    ------
    InapplicableError
        For more samples than the dimension D of the tensor, or dependent ones.
    """
    tensor = moments.top_tensor()
    D, p = tensor.shape[1], tensor.ndim - 1
    if samples > D:
        raise InapplicableError.of(Failure.MANY_SAMPLES, samples=samples, dimension=D)
    U, spectrum, _ = np.linalg.svd(np.moveaxis(tensor, 1, 0).reshape(D, -1), full_matrices=False)
    U = U[:, :samples]
    evidence = {"flattening_spectrum": (spectrum[: samples + 2] / spectrum[0]).tolist()}
    if spectrum[samples - 1] <= 1e-14 * spectrum[0]:
        raise InapplicableError.of(Failure.DEPENDENT, evidence, samples=samples)
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
        raise InapplicableError.of(Failure.SINGULAR, evidence)
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

    Without lifted coordinates the weights c s^p of the unit vectors are fitted in the top degree p; a lower degree k is then
    linear in s^(k-p), which gives the scale s, or its size when all degree differences are even. With one visible degree
    the samples have unit norm.

    Raises
    ------
    InapplicableError
        When no lower degree has enough moments, or a sample lies at infinity.
    """
    degrees = moments.degrees
    if is_lifted(degrees):
        last = lines[:, -1:]
        if np.abs(last).min() < 1e-12:
            raise InapplicableError.of(Failure.INFINITE)
        X = lines[:, :-1] / last
        return X, fit_multipliers(moments, X)
    if len(degrees) == 1:
        return lines, fit_multipliers(moments, lines)
    top = _fit(moments, lines, degrees[-1:])
    p, outputs = degrees[-1], top.shape[1]
    fixing = [k for k in degrees[:-1] if len(lines) <= outputs * len(Monomials.of(lines.shape[1], k))]
    if root_group(degrees) == "none":
        fixing = [k for k in fixing if (p - k) % 2]
    if not fixing:
        raise InapplicableError.of(Failure.SCALES, lower=", ".join(map(str, degrees[:-1])), samples=len(lines))
    k = fixing[-1]
    # with weights e = c s^p of unit vectors v known, M_k = sum_i q_i e_i v_i^k is linear in q_i = s_i^(k-p)
    powers = Monomials.of(lines.shape[1], k).values(lines, lambda value: value)
    columns = (top[:, :, None] * powers[:, None, :]).reshape(len(lines), -1).T
    q = _solved(columns, moments.values[k].reshape(-1))
    sign = np.sign(q) if (p - k) % 2 else 1.0
    X = (sign * np.maximum(np.abs(q), 1e-300) ** (1 / (k - p)))[:, None] * lines
    return X, fit_multipliers(moments, X)


def fit_multipliers(moments: Moments, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n C"]:
    """Least-squares multipliers for given samples, from the moments of all visible degrees."""
    return _fit(moments, X, moments.degrees)


def _fit(moments: Moments, X: np.ndarray, degrees: tuple[int, ...]) -> Float[np.ndarray, "n C"]:
    columns, right = [], []
    for k in degrees:
        monomials = Monomials.of(X.shape[1], k)
        unit = 1 / monomials.weights() if k else np.ones(1)
        size = np.linalg.norm(moments.values[k] / unit)
        scale = 1 / size if k and size else 1.0
        # y_e divided by w_e^-1 ~ sqrt(e!) is an orthonormal coordinate of the symmetric tensor
        columns.append(scale * (monomials.values(X, lambda value: value) / unit).T)
        right.append(scale * (moments.values[k] / unit).T)
    return _solved(np.concatenate(columns), np.concatenate(right))


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Least squares. Raises :class:`InapplicableError` for numbers beyond doubles."""
    if not (np.isfinite(matrix).all() and np.isfinite(right).all()):
        raise InapplicableError.of(Failure.RANGE)
    return np.linalg.lstsq(matrix, right, rcond=None)[0]
