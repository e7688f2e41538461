r"""One curve of data with the same target, followed from given data in floating point.

Where the Jacobian has constant rank, the data with the same target form a manifold whose tangent space is its kernel.
The curve leaves the data in one direction of that kernel (modulo free scales, which a linear form for each sample
fixes). Each step goes along the kernel and returns by Gauss-Newton corrections of least norm; the rank is known
exactly, so no numerical rank is decided. (A damped search would end anywhere on the manifold; these corrections end at the point next to
the step, with the factors of the point before.) The proof is the constant rank; the curve shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.base.norms import row_sizes
from identify.conditions.setting import Setting
from identify.conditions.witnesses.equations import Equations, Frame
from identify.conditions.witnesses.families import change_of_target, numbers
from identify.conditions.witnesses.scaled import Scaled
from identify.planting.configuration import Configuration
from identify.problem.ambiguity import Ambiguity
from identify.problem.system import KKTSystem

WORK_LIMIT = 3e8
"""Largest rows · columns^2 of a Jacobian along whose kernel a curve is followed."""
REACH = 1.0
STEP, SMALLEST_STEP, MOST_STEPS = 0.1, 0.1 / 2**8, 100
CORRECTIONS = 30
ROUNDING = 1e-12
EXAMPLES = (0.3, -0.3, 0.1, -0.1, 0.03, -0.03)
FAR = 1e-2


class NoCurve(StrEnum):
    """Why no curve was followed, as the end of a description."""

    TOO_LARGE = "no curve was followed: the Jacobian is too large"
    BADLY_SCALED = "no curve was followed: the data are too badly scaled for floating point"
    NOT_CONVERGED = "no curve was followed: corrections in floating point did not reach rounding level"


@dataclass(frozen=True, eq=False)
class _Node:
    """A point of the curve, the direction in which it goes on, and the factors of the Jacobian there."""

    s: float
    u: np.ndarray
    direction: np.ndarray
    left: np.ndarray
    values: np.ndarray
    right: np.ndarray


class Curve:
    """Call it with s for a data set (X, c) with the same target; 0 gives the data themselves.

    ``|s|`` is the length of the way along the curve, relative to the size of the data (dimensionless, at most 1). The
    same s gives the same data, whatever was asked before.
    """

    def __init__(
        self, system: KKTSystem, frame: Frame, X: np.ndarray, c: np.ndarray, *, dimension: int, scales_are_free: bool, seed: int
    ) -> None:
        self.original = X, c
        self.frame = frame.orthonormal()
        Z = self.frame.coordinates(X)
        gauge = Z / np.maximum((Z**2).sum(axis=1, keepdims=True), 1e-300) if scales_are_free else None
        self.equations = Scaled(Equations.floats(system, self.frame), np.hstack([Z, c]), gauge)
        self.rank = self.equations.start.size - dimension
        draw = np.random.default_rng(seed).standard_normal(self.equations.start.size)
        first = self._node(0.0, self.equations.start, draw, 0.0)
        self.nodes = {1.0: [first], -1.0: [first]}

    def __call__(self, s: float) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]]:
        """Cost: one singular value decomposition of the Jacobian for each step not taken before.

        Raises
        ------
        ValueError
            For s beyond 1 in size, or beyond a point where the corrections stop converging.
        """
        if not abs(s) <= REACH:
            raise InputError(f"s: received {s}, expected a number between -{REACH:g} and {REACH:g}")
        if s == 0:
            return self.original
        sign = float(np.sign(s))
        with np.errstate(all="ignore"):  # what overflows has an infinite error, and is not accepted
            while abs(self.nodes[sign][-1].s) < abs(s):
                self._extend(sign)
            node = [each for each in self.nodes[sign] if abs(each.s) < abs(s)][-1]
            u = self._step(node, s - node.s)
        if u is None:
            raise InputError(f"s: received {s}, where the corrections do not converge; choose another value near it")
        point, k = self.equations.point(u), self.frame.directions.shape[0]
        return self.frame.points(point[:, :k]), point[:, k:]

    def _extend(self, sign: float) -> None:
        """One more point: the longest step that converges, at most twice as long as the one before."""
        nodes = self.nodes[sign]
        last = nodes[-1]
        step = min(STEP, 2 * abs(last.s - nodes[-2].s)) if len(nodes) > 1 else STEP
        while step >= SMALLEST_STEP and len(nodes) <= MOST_STEPS:
            u = self._step(last, sign * step)
            if u is not None:
                nodes.append(self._node(last.s + sign * step, u, last.direction, 0.5))
                return
            step /= 2
        raise InputError(f"s: the curve could be followed only to {last.s:.3g}; choose a smaller value")

    def _node(self, s: float, u: np.ndarray, towards: np.ndarray, least: float) -> _Node:
        """The factors at u, and the direction of the kernel nearest to ``towards``, of which a share ``least`` must be left."""
        J = self.equations.jacobian(u)
        left, values, right = np.linalg.svd(J, full_matrices=len(J) < J.shape[1])
        kernel = right[self.rank :]
        direction = kernel.T @ (kernel @ towards)
        size = np.linalg.norm(direction)
        if not size > least * np.linalg.norm(towards):
            raise InputError(f"s: the curve turns too sharply beyond {s:.3g}; choose a smaller value")
        return _Node(s, u, direction * (np.sqrt(u.size) / size), left[:, : self.rank], values[: self.rank], right[: self.rank])

    def _step(self, node: _Node, length: float) -> np.ndarray | None:
        """A step along the direction at the node, corrected; None when that does not converge near it."""
        start = u = node.u + length * node.direction
        best, error = u, self.equations.error(u)
        for _ in range(CORRECTIONS):
            u = u - node.right.T @ ((node.left.T @ self.equations.value(u)) / node.values)
            now = self.equations.error(u)
            if now < error:
                best, error = u, now
            elif not now < np.inf or error <= ROUNDING:
                break
        near = np.linalg.norm(best - start) <= 0.5 * abs(length) * np.linalg.norm(node.direction)
        return best if error <= ROUNDING and near else None


def follow(setting: Setting, dimension: int) -> tuple[Curve, tuple, tuple, float] | NoCurve:
    """A curve through the data of the setting, its first point, another one and the residual; or why there is none."""
    instance = setting.instance
    rows, columns = instance.width * (instance.coordinates + 1 + instance.n_outputs), instance.n_unknowns
    if rows * columns**2 > WORK_LIMIT:
        return NoCurve.TOO_LARGE
    system, X, c = _shown(setting)
    scales_are_free = bool(setting.scales_per_sample)
    with np.errstate(all="ignore"):  # what overflows has an infinite error, and is not accepted
        try:
            curve = Curve(system, Frame.of_data(setting, X), X, c, dimension=dimension, scales_are_free=scales_are_free, seed=setting.seed)
        except (ValueError, np.linalg.LinAlgError):
            return NoCurve.BADLY_SCALED
        for s in EXAMPLES:
            try:
                example = curve(s)
            except (ValueError, np.linalg.LinAlgError):
                continue
            residual = change_of_target(system, example, (X, c))
            if residual is None or residual > ROUNDING or not np.abs(example[1]).max(axis=1).all():
                continue
            if distance(setting.ambiguity, example, (X, c)) >= FAR:
                return curve, (X, c), example, residual
    return NoCurve.NOT_CONVERGED


def distance(ambiguity: Ambiguity, data: tuple, reference: tuple) -> float:
    """The largest relative change of a sample or of its multipliers, modulo the ambiguity (dimensionless)."""
    matched = ambiguity.match(*data, *reference)
    changes = row_sizes(matched.c - reference[1]) / row_sizes(reference[1])
    return float(max(matched.errors.max(), changes.max()))


def _shown(setting: Setting) -> tuple[KKTSystem, np.ndarray, np.ndarray]:
    """The system and data to start from: those given, or the instance that ``Configuration.plant`` draws from the seed."""
    if setting.system is not None:
        return setting.system, *numbers(setting)
    instance, seen = setting.instance, setting.instance.observed
    config = Configuration(
        inputs=instance.n_inputs,
        samples=instance.n_samples,
        width=instance.width,
        activation=instance.activation,
        outputs=instance.n_outputs,
        bias=instance.has_bias,
        layers="both" if seen.W and seen.a else "first" if seen.W else "second",
    )
    system, truth = config.plant(setting.seed)
    return system, truth.X, truth.c.reshape(len(truth.X), -1)
