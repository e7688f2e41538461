r"""Reasons why an attack can or cannot find known data: a diagnosis before any attack, for an auditor who has the data.

Four causes of failure, each with a number: the parameters are not stationary; neurons have samples on their kinks, where gradients are
intervals; the row space of the first layer does not contain the data; the objective is not small at the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from identify.attacks.objectives import Attack, Objective, require_attack, sum_of_gradients
from identify.attacks.rows import row_space
from identify.attacks.smoothing import sigmoid_relu, softplus_relu
from identify.attacks.stationary import Stationarity, labelled, stationarity
from identify.base.algebra import largest_eigenvalue, least_squares, nonnegative, reduced
from identify.base.compiled import dropping
from identify.base.errors import InputError, OutOfTimeError
from identify.base.limits import Stopped, check_limits, is_affordable, limit_time, refuse_when_spent
from identify.base.norms import row_sizes
from identify.splitting.inner import value

KINK = 1e-3
"""Distance within which a sample counts as on the kink of a neuron, relative to the sizes of both."""
ALIVE = 0.1
"""Norm, relative to the largest, below which neurons do not count in the share of kinks."""
LEAST_SHARE = 0.005
"""A share of the norms that counts as none: it is printed as 0 %."""
SWEEPS, STEPS_PER_SWEEP = 100, 50
SUBGRADIENTS = "choosing subgradients at the kinks"


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The residual of an attack's equation at the true data, and its causes.

    Attributes
    ----------
    stationarity
        The residual at the best multipliers, with the attack's smoothing.
    objective
        The attack's objective there; a run that ends below it has found candidates that fit better than the data.
    kinks
        Share of the pairs (neuron, sample) on a kink, from 0 to 1, among neurons that are not small; None without ReLU.
    free
        The residual with the best subgradients found at these kinks, from 0 to 1: an upper bound of the least. None without ReLU, for
        more than two layers or outputs, for gradients at two networks, and if time was over before the first were found.
    dimension, hidden
        Dimension of the row space of the target's first layer, and for each sample the share of its norm outside, from 0 to 1.
    interrupted
        What ended the search for subgradients before its last sweep, if anything did.
    """

    stationarity: Stationarity
    objective: float
    kinks: float | None
    free: float | None
    dimension: int
    hidden: Float[np.ndarray, " n"]
    interrupted: Stopped | None = None

    def __str__(self) -> str:
        lines = [str(self.stationarity)]
        if self.kinks is not None:
            lines.append(f"{self.kinks:.0%} of the pairs of a neuron and a sample are on the kink of ReLU")
        if self.free is not None:
            stopped = f", when {self.interrupted}" if self.interrupted else ""
            lines.append(f"with subgradients chosen freely there the residual is {self.free:.2g}{stopped}")
        lines.append(f"the first layer has rank {self.dimension} above its noise; {self._outside()}")
        lines.append(f"the objective at the true data is {self.objective:.3g}: lower values are not a sign of them")
        return "\n".join(lines)

    def _outside(self) -> str:
        """How much of the samples lies outside the rows of the first layer."""
        least, most = (f"{share:.0%}" for share in (self.hidden.min(), self.hidden.max()))
        if self.hidden.max() < LEAST_SHARE:
            return f"its rows hold all samples, to {LEAST_SHARE:.1%} of their norms"
        return f"outside its rows {'lies' if least == most else 'lie'} {least}{f' to {most}' * (least != most)} of the samples' norms"


@dropping()
def diagnose(
    attack: Attack,
    X: Float[np.ndarray, "n d"],
    labels: Float[np.ndarray, " n"] | None = None,
    *,
    signed: bool = False,
    noise: float = 0.0,
    budget: float | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Diagnosis:
    """Diagnose an attack on known data: why it can or cannot find them.

    Parameters
    ----------
    attack, X, labels, signed
        As for :func:`~identify.attacks.stationary.stationarity`.
    noise
        Standard deviation of the rest of the initial values in each weight: see :func:`~identify.attacks.rows.row_space`.
    budget
        Seconds of wall-clock time, above 0; None for no limit. When it is spent, or at a keyboard interrupt, the search for subgradients
        ends with the best so far.
    progress
        Called with a line of text now and then.

    Raises
    ------
    ShapeError, TooLargeError, ValueError
        As for these two, and for data at which products of inputs and weights are not doubles.
    OutOfTimeError
        If the budget ends before all but these subgradients is known. KeyboardInterrupt at an interrupt before that.

    Notes
    -----
    Cost of :func:`~identify.attacks.stationary.stationarity`, and O(m n (n + d)) for each of 100 sweeps over the subgradients.
    """
    require_attack(attack)
    check_limits(budget)
    with limit_time(budget):
        return _diagnosed(attack, X, labels, signed, noise, progress)


def _diagnosed(attack: Attack, X, labels, signed: bool, noise: float, progress: Callable[[str], None]) -> Diagnosis:
    point = stationarity(attack, X, labels, signed=signed, progress=progress)
    made = labelled(sum_of_gradients(attack.objective(len(X)), "a diagnosis"), labels)
    X = np.asarray(X, float)
    with jax.enable_x64(True):
        inside, count = jax.device_put(attack.coordinates(X)), float(made.count)
    at_data = value(made, inside, point.multipliers * count)
    relu = getattr(made.nonlinearity, "func", None) in (sigmoid_relu, softplus_relu)
    two = set(made.at[0]) <= {"W1", "b1", "W2"} and len(made.at) == 1 and point.multipliers.shape[1] == len(made.at[0]["W2"]) == 1
    W1 = attack.lifted(np.asarray(made.target["W1"]))
    basis = row_space(W1, noise=noise)
    hidden = row_sizes(X - X @ basis.T @ basis) / np.maximum(row_sizes(X), np.finfo(float).tiny)
    if not relu:
        return Diagnosis(point, at_data, None, None, len(basis), hidden)
    Z, kinked = _kinks(made, np.asarray(inside))
    free, stopped = _free(made, np.asarray(inside), Z, kinked, signed, progress) if two else (None, None)
    return Diagnosis(point, at_data, _share(made, kinked), free, len(basis), hidden, stopped)


def _first(made: Objective) -> tuple[np.ndarray, np.ndarray]:
    W = np.asarray(made.at[0]["W1"])
    return W, np.asarray(made.at[0].get("b1", np.zeros(len(W))))


def _kinks(made: Objective, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pre-activations (n, m) of the first layer, and which of them are zero."""
    W, b = _first(made)
    with np.errstate(over="ignore", invalid="ignore"):
        Z = X @ W.T + b
        sizes = np.hypot(row_sizes(X), 1)[:, None] * np.hypot(row_sizes(W), b)
    if not (np.isfinite(Z) & np.isfinite(sizes)).all():
        raise InputError("X: products of these samples and the weights are not doubles; expected samples and a network in other units")
    return Z, np.abs(Z) <= KINK * sizes


def _share(made: Objective, kinked: np.ndarray) -> float:
    W, b = _first(made)
    sizes = np.hypot(row_sizes(W), b)
    return float(kinked[:, sizes > ALIVE * sizes.max()].mean())


def _free(
    made: Objective, X: np.ndarray, Z: np.ndarray, kinked: np.ndarray, signed: bool, progress: Callable[[str], None]
) -> tuple[float | None, Stopped | None]:
    """Residual over multipliers and subgradients in turn: least squares in the ones, projected gradients in the others.

    The best one so far, and what ended the search, when time is over or at an interrupt.
    """
    a = np.asarray(made.at[0]["W2"])[0]
    target = {name: np.asarray(value) for name, value in made.target.items()}
    bias = "b1" in target
    inputs = np.column_stack([X, np.ones(len(X))]) if bias else X
    wanted = np.column_stack([target["W1"], target["b1"]]) if bias else target["W1"]
    with jax.enable_x64(True):
        scalars = np.asarray(made.scalars(jnp.ones((len(X), 1)), made.labels))[:, 0]  # the label if there is one
    relu, slopes = np.maximum(Z, 0), np.where(kinked, 0.5, Z > 0)
    goal = np.concatenate([wanted.ravel(), target["W2"][0]])
    J = np.empty((len(goal), len(X)))
    best, stopped, solve = np.inf, None, least_squares if signed else nonnegative
    try:
        for sweep in range(SWEEPS):
            if sweep and not is_affordable(0.0):
                stopped = Stopped.OUT_OF_TIME
                break
            np.multiply((scalars[:, None] * slopes * a).T[:, None], inputs.T, out=J[: a.size * inputs.shape[1]].reshape(a.size, -1, len(X)))
            J[-a.size :] = (scalars[:, None] * relu).T
            c = solve(*reduced(J, goal, SUBGRADIENTS), SUBGRADIENTS)
            if c is None:
                break
            best = min(best, float(np.linalg.norm(goal - J @ c)))
            progress(f"diagnosis: sweep {sweep + 1} of {SWEEPS} over the subgradients")
            slopes = _subgradients(slopes, kinked, a, (scalars * c)[:, None] * inputs, wanted)
    except OutOfTimeError:
        stopped = Stopped.OUT_OF_TIME
    except KeyboardInterrupt:
        stopped = Stopped.INTERRUPTED
    if not np.isfinite(best):
        return None, stopped
    outside = float(made.outside) ** 0.5
    return float(np.hypot(best, outside) / np.hypot(np.linalg.norm(goal), outside)), stopped


def _subgradients(slopes: np.ndarray, kinked: np.ndarray, a: np.ndarray, rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Slopes in [0, 1] at the kinks that bring each neuron nearer to its target row: accelerated projected gradients."""
    with np.errstate(over="ignore", invalid="ignore"):
        gram, right = rows @ rows.T, rows @ (wanted / np.where(a, a, np.inf)[:, None]).T
    if not (np.isfinite(gram).all() and np.isfinite(right).all()):
        return slopes  # any slopes give an upper bound
    rate = 1 / max(largest_eigenvalue(gram, SUBGRADIENTS), np.finfo(float).tiny)
    ahead, momentum = slopes, 1.0
    for _ in range(STEPS_PER_SWEEP):
        refuse_when_spent(SUBGRADIENTS)
        new = np.where(kinked, np.clip(ahead - rate * (gram @ ahead - right), 0, 1), slopes)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead, slopes, momentum = new + (momentum - 1) / following * (new - slopes), new, following
    return slopes
