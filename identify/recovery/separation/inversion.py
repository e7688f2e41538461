"""One sample from what it gives in front of a layer: nonlinear least squares through the layers below, from several starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from identify.base.least_squares import Rest, State, by_attempts, damped_steps, descend
from identify.problem.activation import Activation
from identify.problem.network import Network

INVERSIONS = 24
"""Starts, at most."""
ENOUGH = 3
"""Of these, so many must end at a solution, and at the same one, before anything is said of others: beside it all other samples of the
batch tell whether the map is easy to invert."""
INVERTED, SAME = 1e-9, 1e-6
"""Relative misfit at which a descent has converged, and relative distance of two samples that are one."""
GRID, FLAT = np.linspace(-20.0, 20.0, 4001), 1e-9
"""Pre-activations among which those of a value are sought, and the difference of two values below which a function is flat there."""
ATTEMPTS, REST = 500, Rest(enough=1e-31, window=20)
"""Of one descent, at most, and when it rests: at a relative misfit of rounding, or when a tenth of the cost takes twenty steps."""
SPREADS = (1.0, 0.3, 3.0)
"""Standard deviations of the entries of starts, in turn."""


class Inverted(NamedTuple):
    """A sample, found from its features."""

    x: Float[np.ndarray, " d"]
    factor: float
    """From the error of the features to that of the sample; infinite if they do not fix it."""
    is_ambiguous: bool
    """Whether other samples have the same features, as far as the starts tell."""
    starts: int
    converged: int
    """Starts that ended at a sample with these features."""

    @property
    def is_settled(self) -> bool:
        """Whether enough starts converged to speak of others."""
        return self.converged >= ENOUGH


def backwards(below: list[tuple[np.ndarray, np.ndarray | None, Activation]], h: np.ndarray) -> np.ndarray:
    """A start: layer by layer, pre-activations of the neurons whose value has only one, and least squares with these."""
    for W, b, sigma in reversed(below):
        above = np.subtract.outer(h, sigma(GRID)) >= 0
        turns = above[:, 1:] != above[:, :-1]
        at = turns.argmax(axis=1)
        low, high = sigma(GRID[at]), sigma(GRID[at + 1])
        known = (turns.sum(axis=1) == 1) & (np.abs(high - low) > FLAT)
        share = np.divide(h - low, high - low, out=np.zeros(len(h)), where=known)
        z = GRID[at] + share * (GRID[1] - GRID[0]) - (0.0 if b is None else b)
        h = np.linalg.lstsq(W[known], z[known], rcond=None)[0] if known.any() else np.zeros(W.shape[1])
    return h


def inverted_through(
    net: Network, layer: int, h: Float[np.ndarray, " features"], rng: np.random.Generator, go_on: Callable[[], bool] = lambda: True
) -> Inverted | None:
    """A sample for which h enters that layer, from 2 on; None if no start ends at one, or none did as long as ``go_on()`` held.

    Cost: O(weights below · d) for each step.
    """
    below = list(zip(net.weights, net.biases, net.activations, strict=False))[: layer - 1]
    size = max(float(np.linalg.norm(h)), np.finfo(float).tiny)

    def misfit(x: np.ndarray) -> np.ndarray:
        for W, b, sigma in below:
            x = sigma(W @ x if b is None else W @ x + b)
        return (x - h) / size

    def derivative(x: np.ndarray) -> np.ndarray:
        J = np.eye(len(x)) / size
        for W, b, sigma in below:
            z = W @ x if b is None else W @ x + b
            x, J = sigma(z), sigma(z, order=1)[:, None] * (W @ J)
        return J

    solutions: list[np.ndarray] = []
    starts = 0
    while starts < INVERSIONS and len(solutions) < ENOUGH and go_on():
        start = SPREADS[starts % len(SPREADS)] * rng.standard_normal(net.n_inputs) if starts else backwards(below, h)
        starts += 1
        x = descended(misfit, derivative, start, go_on)
        if np.linalg.norm(misfit(x)) <= INVERTED:
            solutions.append(x)
    if not solutions:
        return None
    x = solutions[0]
    values = np.linalg.svd(size * derivative(x), compute_uv=False)
    is_fixed = values[-1] > np.finfo(float).eps * values[0] * len(x)
    factor = float(1 / values[-1]) if is_fixed else np.inf
    others = any(np.linalg.norm(other - x) > SAME * max(float(np.linalg.norm(x)), 1.0) for other in solutions[1:])
    return Inverted(x, factor, others or not is_fixed, starts, len(solutions))


def descended(
    misfit: Callable[[np.ndarray], np.ndarray], derivative: Callable[[np.ndarray], np.ndarray], x: np.ndarray, go_on: Callable[[], bool]
) -> np.ndarray:
    """Where Levenberg and Marquardt's method ends. Normal equations: at a solution the misfit vanishes, and they lose no digits."""
    at, new = x, x
    matrix = gradient = np.empty(0)

    def move() -> None:
        nonlocal matrix, gradient
        J = derivative(at)
        matrix, gradient = J.T @ J, J.T @ misfit(at)

    def attempt(rows: np.ndarray, damping: np.ndarray) -> np.ndarray:
        nonlocal new
        new = at - damped_steps(matrix[None], gradient[None], damping)[0]
        return np.array([misfit(new) @ misfit(new)])

    def take(rows: np.ndarray, better: np.ndarray) -> None:
        nonlocal at
        if better[0]:
            at = new
            move()

    move()
    descend(by_attempts(attempt, take, REST), State.first(np.array([misfit(at) @ misfit(at)])), rounds=ATTEMPTS, go_on=go_on)
    return at
