r"""Error bars of features that were found behind a softmax loss.

Noise E of the update enters three times. It moves the row space: with :math:`a = U\Sigma^{-1}\eta` for a sample of coordinates
:math:`\eta`, the point of the noisy space that stands for :math:`\tilde h` is :math:`\tilde h + E^\top a`. That point has other outputs,
so another signal, though its coordinates are right; and least squares in the coordinates answer to this misfit as well as to the
noise inside the space. All of it is linear in E to first order, so some draws of E show the size of the error.

The rows of the classes that are present are much larger than the others, and nearly all of their noise lies in the column space of the
signals. So what is left outside of both spaces shows the noise of the small rows only: whether it is alike in all entries or in
proportion to them, as rounding is, makes a factor of ten, and the likelihood of what the solution leaves decides.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.problem.heads import HeadSystem, signals_of
from identify.recovery.separation.subspace import ABOVE_ROUNDING, ROUNDING, Subspace

DRAWS = 48
"""Of the noise: a bar from so many is right to a tenth for one entry, and better for more."""
AT_ONCE = 2**22
"""Numbers of the draws that are held together."""
ROUNDED = 0.43
"""Standard deviation of rounding to the nearest number, in units of roundoff of the entry, if mantissas have uniform logarithms."""
LEAST = 0.1
"""Rows and columns of which a smaller part lies outside of both spaces show little of their noise."""
SUBNORMAL = 2.0**-14
"""Entries below this, relative to the largest, are rounded like it: half precision has no exponents below."""


def bars_of(
    system: HeadSystem,
    space: Subspace,
    H: Float[np.ndarray, "n m"],
    classes: np.ndarray,
    weights: Float[np.ndarray, " n"],
    basis: Float[np.ndarray, "k m"],
    jacobian: Float[np.ndarray, "equations unknowns"],
    unit: float,
    seed: int = 0,
) -> Float[np.ndarray, " n"]:
    """Standard errors of the samples, first order: root mean squares of their lengths over draws of the noise.

    ``jacobian``: by the coordinates along the basis, and the logarithm of the weight, of each sample, of the relative misfit in the row
    space. ``unit``: unit roundoff of the numbers of the update. Infinite where the Jacobian is deficient. Cost O(C m n) for each draw.
    """
    n, m = H.shape
    size = float(np.linalg.norm(system.update))
    if not np.isfinite(jacobian).all():
        return np.full(n, np.inf)
    values = np.linalg.svd(jacobian, compute_uv=False)
    if not values[-1] > np.finfo(float).eps * values[0] * len(values):
        return np.full(n, np.inf)
    inverse = np.linalg.pinv(jacobian)
    P, lifted = system.probabilities(H), system.lifted(H)
    signals = weights[:, None] * signals_of(P, classes)
    eta = lifted @ space.right.T
    dual = (eta / space.values) @ space.left.T
    spread = noise_of(system.update, space, unit)
    missed = np.linalg.norm(system.update - signals.T @ lifted) / max(system.update.size - jacobian.shape[1], 1) ** 0.5
    spread = spread * max(1.0, float(missed) / float(np.sqrt(np.mean(spread**2))))  # of a descent that ended early, too
    rng = np.random.default_rng(seed)
    squares, done = np.zeros(n), 0
    while done < DRAWS:
        draws = min(DRAWS - done, max(AT_ONCE // max(system.update.size, n * m), 1))
        E = spread * rng.standard_normal((draws, *system.update.shape))
        moved = dual @ E
        if system.is_lifted:  # the point of the space whose last entry is one
            moved = moved[:, :, :m] - moved[:, :, m:] * H
        outputs = moved @ system.weights.T
        bent = -weights[:, None] * P * (outputs - (P * outputs).sum(axis=2, keepdims=True))
        off = bent.transpose(0, 2, 1) @ eta + signals.T @ (moved @ space.right[:, :m].T)
        off = (off - E @ space.right.T) / size
        steps = -(off.reshape(draws, -1) @ inverse.T).reshape(draws, n, -1)
        squares += ((moved + steps[:, :, :-1] @ basis) ** 2).sum(axis=(0, 2))
        done += draws
    return np.sqrt(squares / DRAWS)


def noise_of(update: Float[np.ndarray, "C columns"], space: Subspace, unit: float) -> Float[np.ndarray, "C columns"]:
    """The standard deviation of the noise of each entry: as the number format has it, or what a solution leaves, by the likelier model."""
    sizes = np.maximum(np.abs(update), SUBNORMAL * np.abs(update).max())
    if space.relative_noise <= ABOVE_ROUNDING * unit:
        return np.broadcast_to(space.spread[:, None], update.shape) if unit < ROUNDING else ROUNDED * unit * sizes
    left, right = 1 - (space.left**2).sum(axis=1), 1 - (space.right**2).sum(axis=0)
    outside = update - (space.left * space.values) @ space.right
    share = np.sqrt(
        np.outer(np.maximum(left, LEAST), np.maximum(right, LEAST))
    )  # of the noise of an entry that lies outside of both spaces
    seen = np.outer(left > LEAST, right > LEAST)
    rows, columns = (np.linalg.norm(update, axis=axis) / np.linalg.norm(update) ** 0.5 for axis in (1, 0))
    sizes = np.maximum(np.outer(rows, columns), SUBNORMAL * np.abs(update).max())  # an entry near zero is a sum of larger ones
    weights = (share**2 * seen) / max(float((share**2 * seen).sum()), 1e-300)
    alike, relative = (weights * (outside / share) ** 2).sum() ** 0.5, (weights * (outside / share / sizes) ** 2).sum() ** 0.5
    if np.log(max(alike, 1e-300)) < np.log(max(relative, 1e-300)) + (weights * np.log(sizes)).sum():
        return np.broadcast_to(space.spread[:, None], update.shape)
    return relative * sizes
