"""The residual of an attack's equation at the true data: a diagnosis before any attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identify.attacks.objectives import Attack, Objective, require_attack, sum_of_gradients
from identify.base.algebra import least_squares, nonnegative, reduced
from identify.base.compiled import bounded, dropping
from identify.base.errors import InputError
from identify.base.limits import check_limits, limit_time, refuse_above, refuse_when_spent
from identify.base.norms import exponent, scaled
from identify.problem.arrays import ShapeError, finite_array

BEST = "finding the best multipliers of the samples"
PIECE = 2e7
"""Numbers on the way to the gradients of the samples that are computed at once: a fraction of a second."""


@dataclass(frozen=True, eq=False)
class Stationarity:
    """The best multipliers for known data, and their residual.

    Attributes
    ----------
    residual
        ‖target − Σ c_i ∇s(x_i)‖ / ‖target‖, from 0 to 1.
    by_parameter
        The share of each group of parameters in the squared residual; their sum is 1.
    multipliers
        c, without the factor 1/M of the objectives.
    """

    residual: float
    by_parameter: dict[str, float]
    multipliers: Float[np.ndarray, "n q"]

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {share:.0%}" for name, share in self.by_parameter.items())
        support = int((np.abs(self.multipliers).max(axis=1) > 1e-3 * np.abs(self.multipliers).max()).sum())
        held = f"{support} of {len(self.multipliers)} samples have a multiplier"
        return f"stationarity residual at the true data {self.residual:.2g} ({parts}); {held}"


@dropping()
def stationarity(
    attack: Attack,
    X: Float[np.ndarray, "n d"],
    labels: Float[np.ndarray, " n"] | None = None,
    *,
    signed: bool = False,
    budget: float | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Stationarity:
    """The smallest residual of an attack's equation at known data, over all multipliers.

    Parameters
    ----------
    attack
        Its objective is used, with its smoothed activation; the prior and the bounds are not.
    X
        The data.
    labels
        As the objective takes them: ±1 for :func:`haim`, classes from 0 for multiclass. None for objectives without labels.
    signed
        Multipliers of any sign; otherwise they are not negative.
    budget
        Seconds of wall-clock time, above 0; None for no limit.
    progress
        Called with a line of text now and then.

    Raises
    ------
    ShapeError
        For data or labels that do not fit.
    InputError
        For data at which the gradients, or the best multipliers, are not doubles.
    TooLargeError
        Before the gradients of all samples would not fit in memory.
    OutOfTimeError
        If the budget ends before the multipliers are found. A keyboard interrupt ends the work as well.

    Notes
    -----
    Cost O(n^2 q^2 P) for P parameters, memory 16 n q P bytes.
    """
    require_attack(attack)
    check_limits(budget)
    with limit_time(budget):
        return _stationarity(attack, X, labels, signed, progress)


def _stationarity(attack: Attack, X, labels, signed: bool, progress: Callable[[str], None]) -> Stationarity:
    X = finite_array("X", X, (None, attack.n_inputs), "samples, one per row")
    n, q = len(X), attack.start(np.random.default_rng(0), 1)[1].shape[1]
    made = sum_of_gradients(attack.objective(n), "stationarity")
    size = sum(value.size for value in made.target.values())
    refuse_above(16 * n * q * size, f"gradients of {n} samples")
    made = labelled(made, labels)
    J = _gradients(made, attack.coordinates(X), q, progress)
    with jax.enable_x64(True):
        target = np.concatenate([np.asarray(value).ravel() for value in made.target.values()])
    if not np.isfinite(J).all():
        raise InputError("X: gradients of the network at these samples are not doubles; expected samples and a network in other units")
    k = exponent(J)
    with np.errstate(under="ignore"):
        np.ldexp(J, -k, out=J)  # exactly, so that squares in the decompositions do not overflow
    progress(f"stationarity: the best multipliers of {n} samples")
    R, right = reduced(J, target, BEST)  # the same least squares with as many rows as columns
    c = least_squares(R, right, BEST) if signed else nonnegative(R, right, BEST)
    if c is None:
        raise InputError("X: the best multipliers that are not negative were not found; expected samples that differ more, or signed=True")
    left, outside = (target - J @ c) ** 2, float(made.outside)
    sums = np.add.reduceat(left, np.cumsum([0] + [value.size for value in made.target.values()])[:-1])
    parts = {name: part + (outside if name == "W1" else 0.0) for name, part in zip(made.target, sums, strict=True)}
    total = sum(parts.values())
    shares = {name: float(part / total) if total else 0.0 for name, part in parts.items()}
    multipliers = scaled(c, -k)
    if not np.isfinite(multipliers).all():
        raise InputError("X: the best multipliers of these samples are not doubles; expected samples and a network in other units")
    return Stationarity(float(np.sqrt(total / (target @ target + outside))), shares, multipliers.reshape(n, q))


def _gradients(made: Objective, X: np.ndarray, q: int, progress: Callable[[str], None]) -> Float[np.ndarray, "parameters columns"]:
    """The gradient of each scalar of each sample, without the factor 1/M; some samples at a time, between which time may be over."""
    n, size = len(X), sum(value.size for value in made.target.values())
    inside = sum(value.shape[0] for name, value in made.target.items() if name.startswith("W"))
    at_once = int(
        np.clip(min(PIECE / (q * size), (PIECE / (q * inside)) ** 0.5), 1, n)
    )  # each column passes through all samples of a piece
    J, count = np.empty((size, n * q)), float(made.count)
    with jax.enable_x64(True):
        labels = np.asarray(made.labels)
        for first in range(0, n, at_once):
            refuse_when_spent("stationarity: gradients of the samples")
            part = slice(first, min(first + at_once, n))
            here = made if at_once == n else replace(made, labels=jax.device_put(labels[part]))
            columns = _columns(here, jax.device_put(X[part]), jax.device_put(np.zeros((part.stop - first, q))))
            found = [np.asarray(columns[name]).reshape(-1, (part.stop - first) * q) for name in made.target]
            J[:, first * q : part.stop * q] = np.concatenate(found)
            if at_once < n:
                progress(f"stationarity: gradients of {part.stop} of {n} samples")
    J *= count
    return J


@bounded
@jax.jit
def _columns(made: Objective, X: Array, c: Array) -> dict[str, Array]:
    """The gradients of all samples: derivatives of the weighted gradients by the multipliers."""
    return jax.jacfwd(lambda c: made.gradients(X, c))(c)


def labelled(objective: Objective, labels: Float[np.ndarray, " n"] | None) -> Objective:
    """The objective with these labels; None: its own. Raises ShapeError for another number of them."""
    if labels is None:
        return objective
    if np.shape(labels) != objective.labels.shape:
        raise ShapeError(f"labels: received shape {np.shape(labels)}, expected {objective.labels.shape}: one for each sample")
    with jax.enable_x64(True):
        return replace(objective, labels=jnp.asarray(labels, float))
