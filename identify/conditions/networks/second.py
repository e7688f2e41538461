r"""A second solution for given data of an analytic network: found in floating point, and proved by Krawczyk's test in balls.

Interval arithmetic proves that equations have a solution only if there are no more of them than unknowns. Two systems have that form.

*Joint*, two layers: all samples :math:`x'_k = \sum_i T_{ki} x_i` in the span of the given ones (or anywhere, T = X), with multipliers γ'.
Their first update is the given one if :math:`\sum_k T_{ki} u'_k = u_i` for every i, because :math:`\sum_k u'_k \tilde x'_k{}^\top` is
:math:`\sum_i (\sum_k T_{ki} u'_k)\,\tilde x_i^\top`. Rows of T have the sum 1 if the bias' update is known. The second update is added as
it is.

*Exchange*: only the last layer was observed, of a network of any depth; h are the features that enter it. If
:math:`\tilde h(x') = \sum_i \eta_i \tilde h_i` with :math:`\eta_k \ne 0`, the data with x' in place of :math:`x_k`, multipliers
:math:`\gamma_k / \eta_k` for it and :math:`\gamma_i - \gamma_k \eta_i / \eta_k` for the others have the same update.

The right-hand sides are those of the given data, taken as the exact numbers that they are. Unknowns that are more than equations stay at
floats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from flint import arb, ctx

from identify.base.limits import is_affordable
from identify.base.norms import relative_size
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.witnesses.krawczyk import contraction, refine
from identify.problem.activation import Activation
from identify.problem.verdict import Arithmetic, Condition, Witness

REFERENCE = "Krawczyk 1969; exchange of samples (docs, theory)"
MOST_UNKNOWNS = 40
STARTS = 60
START_SECONDS = 0.015
"""Of one start (measured)."""
BITS = 160
RADII = (2.0**-30, 2.0**-45, 2.0**-20, 2.0**-60)
SOLVED = 1e-9
APART = 1e-3
"""Distance from every given sample, relative to its size, of one that is tried to be proved another one."""
FARTHEST = 30.0
"""Size of solutions, relative to that of the given data, beyond which they are left alone."""


@dataclass(eq=False)
class Box:
    """A proof: the system, the values of all unknowns, the radii of those that are free, and what it proves."""

    kind: str
    in_span: bool
    values: list[float]
    radii: list[float]
    free: list[int]
    factor: float
    sample: int
    """Which sample is not a given one; of an exchange, which one is replaced."""


class Values:
    """Activations and numbers of one arithmetic: floats, or balls."""

    def __init__(self, sigma: Activation, exact: bool):
        self.sigma, self.exact = sigma, exact

    def numbers(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values, dtype=float)
        return np.frompyfunc(lambda v: arb(float(v)), 1, 1)(values).astype(object) if self.exact else values

    def at(self, z: np.ndarray, order: int) -> np.ndarray:
        if not self.exact:
            return np.asarray(self.sigma(z, order=order))
        return np.frompyfunc(lambda v: self.sigma.ball(v, order), 1, 1)(z).astype(object)

    def zeros(self, *shape: int) -> np.ndarray:
        return self.numbers(np.zeros(shape))


class Joint:
    """Unknowns: T (n × K) and γ' (n × C)."""

    kind = "joint"

    def __init__(self, question: NetworkQuestion, values: Values):
        assert question.system is not None and question.data is not None
        net, (X, c) = question.system.network, question.data
        self.values, self.n, self.C = values, len(X), question.outputs
        (self.sees_W, self.sees_b), (self.sees_A, self.sees_output) = question.observed
        self.in_span = question.rows_can_count and question.counted[0]
        self.has_sums = self.in_span and bool(question.affine[0])
        self.base = values.numbers(X if self.in_span else np.eye(question.inputs))
        self.K = len(self.base)
        read = values.numbers
        self.Y = self.base @ read(net.weights[0]).T
        offsets = net.biases[0]
        self.offsets = read(np.zeros(question.neurons) if offsets is None else offsets)
        self.A = read(net.weights[1])
        T = np.eye(self.n) if self.in_span else X
        self.given = np.concatenate([T.ravel(), c.ravel()])
        self.target = self._left(read(self.given))
        if self.has_sums:
            self.target[self.sums] = read(np.ones(self.n))

    @property
    def unknowns(self) -> int:
        return self.n * (self.K + self.C)

    @property
    def equations(self) -> int:
        return len(self.target)

    @property
    def sums(self) -> slice:
        """Where the equations Σ_i T_ki = 1 are."""
        start = self.K * len(self.offsets)
        return slice(start, start + self.n)

    def parts(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cut = self.n * self.K
        return y[:cut].reshape(self.n, self.K), y[cut:].reshape(self.n, self.C)

    def _left(self, y: np.ndarray) -> np.ndarray:
        T, gamma = self.parts(y)
        z = T @ self.Y + self.offsets
        u = (gamma @ self.A) * self.values.at(z, 1)
        found = []
        if self.sees_W:
            found.append((T.T @ u).ravel())
        if self.has_sums:
            found.append(T.sum(axis=1))
        elif self.sees_b:
            found.append(u.sum(axis=0))
        if self.sees_A:
            found.append((gamma.T @ self.values.at(z, 0)).ravel())
        if self.sees_output:
            found.append(gamma.sum(axis=0))
        return np.concatenate(found)

    def value(self, y: np.ndarray) -> np.ndarray:
        return self._left(y) - self.target

    def jacobian(self, y: np.ndarray) -> np.ndarray:
        T, gamma = self.parts(y)
        n, K, C, m = self.n, self.K, self.C, len(self.offsets)
        z = T @ self.Y + self.offsets
        s, bent = self.values.at(z, 1), (gamma @ self.A) * self.values.at(z, 2)
        u = (gamma @ self.A) * s
        in_T = bent.T[:, :, None] * self.Y.T[:, None, :]  # of u_kj, in T_k: (m, n, K)
        in_gamma = s.T[:, :, None] * self.A.T[:, None, :]  # (m, n, C)
        rows = []
        if self.sees_W:
            by_T = T.T[:, None, :, None] * in_T[None]
            for i in range(K):
                by_T[i, :, :, i] = by_T[i, :, :, i] + u.T
            by_gamma = T.T[:, None, :, None] * in_gamma[None]
            rows.append(np.concatenate([by_T.reshape(K * m, n * K), by_gamma.reshape(K * m, n * C)], axis=1))
        if self.has_sums:
            ones = self.values.numbers(np.kron(np.eye(n), np.ones((1, K))))
            rows.append(np.concatenate([ones, self.values.zeros(n, n * C)], axis=1))
        elif self.sees_b:
            rows.append(np.concatenate([in_T.reshape(m, n * K), in_gamma.reshape(m, n * C)], axis=1))
        if self.sees_A:
            moved = gamma.T[:, None, :, None] * (s.T[:, :, None] * self.Y.T[:, None, :])[None]
            h = self.values.at(z, 0)
            turned = self.values.zeros(C, m, n, C)
            for o in range(C):
                turned[o, :, :, o] = h.T
            rows.append(np.concatenate([moved.reshape(C * m, n * K), turned.reshape(C * m, n * C)], axis=1))
        if self.sees_output:
            same = self.values.numbers(np.tile(np.eye(C), (1, n)))
            rows.append(np.concatenate([self.values.zeros(C, n * K), same], axis=1))
        return np.concatenate(rows, axis=0)

    def data_of(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        T, gamma = self.parts(y)
        return T @ self.base, gamma

    def start(self, rng: np.random.Generator) -> np.ndarray:
        T, gamma = self.parts(self.given)
        spread = float(rng.choice([0.3, 1.0, 2.0]))
        size = np.sqrt((T**2).mean())
        moved = T[rng.permutation(self.n)] + spread * size * rng.standard_normal(T.shape)
        if self.has_sums:
            moved += (1 - moved.sum(axis=1, keepdims=True)) / self.K
        other = gamma + spread * np.sqrt((gamma**2).mean()) * rng.standard_normal(gamma.shape)
        return np.concatenate([moved.ravel(), other.ravel()])


class Exchange:
    """Unknowns: x' (d) and η (n)."""

    kind, in_span = "exchange", False

    def __init__(self, question: NetworkQuestion, values: Values):
        assert question.system is not None and question.data is not None
        net, (X, c) = question.system.network, question.data
        read = values.numbers
        self.values, self.d, self.n, self.sees_output = values, question.inputs, len(X), question.observed[-1][1]
        self.layers = [
            (read(W), read(np.zeros(len(W)) if b is None else b), Values(sigma, values.exact))
            for W, b, sigma in zip(net.weights[:-1], net.biases[:-1], net.activations, strict=True)
        ]
        self.X, self.c = X, c
        self.H = np.array([self._features(x)[0] for x in read(X)])

    @property
    def unknowns(self) -> int:
        return self.d + self.n

    @property
    def equations(self) -> int:
        return self.H.shape[1] + self.sees_output

    def _features(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What enters the last layer, and its derivative."""
        h, moved = x, self.values.numbers(np.eye(self.d))
        for W, offsets, values in self.layers:
            z = W @ h + offsets
            h, moved = values.at(z, 0), values.at(z, 1)[:, None] * (W @ moved)
        return h, moved

    def value(self, y: np.ndarray) -> np.ndarray:
        x, eta = y[: self.d], y[self.d :]
        found = self._features(x)[0] - eta @ self.H
        return np.append(found, eta.sum() - 1) if self.sees_output else found

    def jacobian(self, y: np.ndarray) -> np.ndarray:
        found = np.concatenate([self._features(y[: self.d])[1], -self.H.T], axis=1)
        if self.sees_output:
            last = self.values.numbers(np.concatenate([np.zeros(self.d), np.ones(self.n)]))
            found = np.concatenate([found, last[None]], axis=0)
        return found

    def data_of(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        eta = y[self.d :]
        k = replaced(eta)
        X, c = (self.values.numbers(part).copy() for part in (self.X, self.c))
        X[k] = y[: self.d]
        own = c[k] / eta[k]
        for i in range(self.n):
            c[i] = own if i == k else c[i] - own * eta[i]
        return X, c

    def start(self, rng: np.random.Generator) -> np.ndarray:
        spread = float(rng.choice([0.5, 1.0, 2.0]))
        x = self.X[rng.integers(self.n)] + spread * np.sqrt((self.X**2).mean()) * rng.standard_normal(self.d)
        return np.concatenate([x, np.linalg.lstsq(self.H.T, self._features(x)[0], rcond=None)[0]])


def replaced(eta: np.ndarray) -> int:
    """Which sample an exchange replaces: the one with the largest coefficient."""
    return int(np.argmax([abs(float(v)) for v in eta]))


System = Joint | Exchange


def systems(question: NetworkQuestion) -> list[Callable[[Values], System]]:
    """Those with no more equations than unknowns, for this question."""
    if question.data is None or not question.equations_are_complete or not question.is_smooth or question.is_exact:
        return []
    n, moves = question.samples, min(question.samples, question.inputs)
    if min(n * (moves + question.outputs), question.inputs + n) > MOST_UNKNOWNS:
        return []
    found: list[Callable[[Values], System]] = []
    if question.observed[-1][0] and not any(map(any, question.observed[:-1])):
        found.append(lambda values: Exchange(question, values))
    if question.depth == 2:
        found.append(lambda values: Joint(question, values))
    floats = Values(question.sigma, False)
    sizes = [(each, each(floats)) for each in found]
    return [each for each, made in sizes if made.equations <= made.unknowns <= MOST_UNKNOWNS]


def second_seconds(question: NetworkQuestion) -> float:
    """An estimate of the search."""
    return STARTS * START_SECONDS * len(systems(question))


def second_solution(question: NetworkQuestion) -> tuple[Condition, Witness, Box] | None:
    """Other data with the same update, proved; None if none was found. Cost: 60 starts of least squares, and one proof in balls."""
    for make in systems(question):
        floats = make(Values(question.sigma, False))
        rng = np.random.default_rng([question.seed, 0x5EC])
        for _ in range(STARTS):
            if not is_affordable(0.0):
                return None
            found = _descended(floats, floats.start(rng))
            if found is None or not _may_be_other(question, floats, found[0]):
                continue
            with ctx.workprec(BITS):
                box = _proved(question, make(Values(question.sigma, True)), *found)
                if box is not None:
                    return _reported(question, floats, found[0], box)
    return None


def _descended(system: System, start: np.ndarray) -> tuple[np.ndarray, list[int]] | None:
    """A solution near the start, and which unknowns were free: as many as equations, the best conditioned ones there."""
    E = system.equations
    with np.errstate(all="ignore"):
        matrix = system.jacobian(start)
        if not np.isfinite(matrix).all():
            return None
        free = np.arange(system.unknowns)
        if system.unknowns > E:
            free = np.sort(scipy.linalg.qr(matrix, mode="r", pivoting=True)[1][:E])
        y = start.copy()

        def filled(values: np.ndarray) -> np.ndarray:
            y[free] = values
            return y

        result = scipy.optimize.least_squares(
            lambda v: np.nan_to_num(system.value(filled(v)), nan=1e6, posinf=1e6, neginf=-1e6),
            start[free], lambda v: np.nan_to_num(system.jacobian(filled(v))[:, free], posinf=0.0, neginf=0.0),
            method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=60,
        )  # fmt: skip
        at = filled(result.x).copy()
    return (at, free.tolist()) if np.isfinite(at).all() and np.abs(system.value(at)).max() < SOLVED else None


def _may_be_other(question: NetworkQuestion, system: System, y: np.ndarray) -> bool:
    assert question.data is not None
    X, c = question.data
    with np.errstate(all="ignore"):
        Y, e = system.data_of(y)
    if not (np.isfinite(Y).all() and np.isfinite(e).all()):
        return False
    if np.abs(Y).max() > FARTHEST * np.abs(X).max() or np.abs(e).max() > FARTHEST * np.abs(c).max():
        return False
    return any(np.linalg.norm(_apart(question, Y[k], X), axis=1).min() > APART for k in range(len(Y)) if np.abs(e[k]).max() > APART)


def _apart(question: NetworkQuestion, x: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Differences from the given samples, and from their opposites if these stand for them, relative to their size."""
    every = np.concatenate([X, -X]) if has_images(question) else X
    return (x - every) / max(float(np.abs(X).max()), 1e-300)


def has_images(question: NetworkQuestion) -> bool:
    """Whether −x may stand for x in the equations."""
    return not question.biases[0] and question.sigma.parity != 0


def _proved(question: NetworkQuestion, system: System, at: np.ndarray, free: list[int]) -> Box | None:
    held = system.values.numbers(at)

    def whole(values: list[arb]) -> np.ndarray:
        y = held.copy()
        y[free] = values
        return y

    def value(values: list[arb]) -> np.ndarray:
        return system.value(whole(values))

    def jacobian(values: list[arb]) -> np.ndarray:
        return system.jacobian(whole(values))[:, free]

    centre = refine(value, jacobian, at[free].tolist())
    if centre is None or max(abs(float(v) - u) for v, u in zip(centre, at[free], strict=True)) > SOLVED * max(1.0, np.abs(at).max()):
        return None
    for radius in RADII:
        radii = [arb(radius * max(1.0, abs(float(v)))) for v in centre]
        factor = contraction(value, jacobian, centre, radii)
        if factor is None:
            continue
        box = whole([arb(y, r) for y, r in zip(centre, radii, strict=True)])
        sample = other_sample(question, system, box)
        if sample is not None:
            values = [float(v) for v in held]
            for k, v in zip(free, centre, strict=True):
                values[k] = float(v)
            return Box(system.kind, system.in_span, values, [float(r) for r in radii], free, factor, sample)
    return None


def other_sample(question: NetworkQuestion, system: System, box: np.ndarray) -> int | None:
    """A sample that is none of the given ones anywhere in the box, nor their image, and counts; None if that is not shown."""
    assert question.data is not None
    X = system.values.numbers(question.data[0])
    if isinstance(system, Exchange):
        k = replaced(box[system.d :])
        if box[system.d + k].contains(0):
            return None
        return k if _differs(question, box[: system.d], X) else None
    Y, e = system.data_of(box)
    for k in range(len(Y)):
        counts = any(not v.contains(0) for v in e[k])
        others = np.array([Y[i] for i in range(len(Y)) if i != k], dtype=object).reshape(-1, Y.shape[1])
        if counts and _differs(question, Y[k], X) and _differs(question, Y[k], others):
            return k
    return None


def _differs(question: NetworkQuestion, x: np.ndarray, others: np.ndarray) -> bool:
    signs = (1, -1) if has_images(question) else (1,)
    return all(any(not (u - sign * v).contains(0) for u, v in zip(x, other, strict=True)) for other in others for sign in signs)


def _reported(question: NetworkQuestion, system: System, at: np.ndarray, box: Box) -> tuple[Condition, Witness, Box]:
    assert question.system is not None and question.data is not None
    Y, e = system.data_of(at)
    target = question.system.right_hand_side(*question.data)
    residual = relative_size(question.system.right_hand_side(Y, e) - target, target)
    radius = max(box.radii)
    pinned = system.unknowns - len(box.free)
    extra: dict[str, Any] = {"pinned": pinned} if pinned else {}
    description = (
        f"another data set has the same update: within {radius:.1e} of the one shown, by Krawczyk's test on {len(box.free)} equations; "
        f"its sample {box.sample} is none of the given ones"
    )
    evidence = {"kind": "second solution", "equations": len(box.free), "radius": radius, "contraction": box.factor, "system": box.kind}
    condition = Condition("witness", True, description, evidence | extra, Arithmetic.PROOF, REFERENCE)
    return condition, Witness("second solution", pinned, description, None, question.data, (Y, e), residual), box
