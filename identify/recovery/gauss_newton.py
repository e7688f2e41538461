r"""Gauss-Newton steps on (S) without the matrix of its Jacobian: products with it, and a triangular factor as preconditioner.

With :math:`v_{ij} = g_{ij}\sigma'(z_{ij})` and :math:`u_{ij} = g_{ij}\sigma''(z_{ij})` the first-layer rows change by
:math:`v^\top \delta X + (u \circ \delta Z + \sigma' \circ \delta g)^\top X`, where :math:`\delta Z = \delta X W^\top` and
:math:`\delta g = \delta c A`: three products of small matrices, whatever the number of equations.

A factor R with :math:`J R^{-1}` nearly orthogonal comes from a sketch: few random signed sums of the rows keep all lengths in the
range of J up to a constant, so the R of their QR factorisation serves (Rokhlin & Tygert 2008; Avron, Maymounkov & Toledo 2010). LSMR
then needs some dozens of iterations, however ill-conditioned J is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr, solve_triangular
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, lsmr

from identify.base.limits import OPERATIONS_PER_SECOND, is_affordable, refuse_above
from identify.problem.gradients import jacobian
from identify.recovery.equations import Equations

OVERSAMPLING = 3
"""Rows of the sketch for each unknown."""
SIGNS = 4
"""Sums to which every row of J is added."""
BLOCK = 2**23
"""Entries of the blocks of rows that are formed at a time."""
SINGULAR = 1e-7
"""Relative to the columns of J. In directions that change the equations less the iteration is slow; along a free scale it stands still."""
ACCURACY = 1e-10
ITERATIONS = 400
MAX_STEPS, HALVINGS = 20, 8
CONVERGED = 1e-3
"""Relative decrease of the squared residual below which the iteration stops."""


class Linearised:
    """J of the weighted residual in (X, c), unknowns as rows (x_i, gamma_i)."""

    def __init__(self, equations: Equations, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> None:
        net = equations.network
        self.equations, self.X, self.c = equations, X, c
        Z = X @ net.W.T + net.offsets
        self.values, self.slopes, curvatures = (net.activation(Z, order) for order in range(3))
        g = c @ net.A
        self.v, self.u = g * self.slopes, g * curvatures
        self.shape = (len(equations.target), X.size + c.size)

    def times(self, change: Float[np.ndarray, "n D"]) -> Float[np.ndarray, " equations"]:
        """J times a change of the samples and multipliers. Cost O(n m d)."""
        net = self.equations.network
        dX, dc = change[:, : net.n_inputs], change[:, net.n_inputs :]
        return self.moved(dX @ net.W.T, dc, self.v.T @ dX)

    def moved(self, dZ: Float[np.ndarray, "n m"], dc: Float[np.ndarray, "n C"], first: Float[np.ndarray, "m d"]) -> np.ndarray:
        """Weighted rows for changes of the pre-activations and of the multipliers; ``first``: what the first layer has besides."""
        seen = self.equations.observed
        bent = self.u * dZ + self.slopes * (dc @ self.equations.network.A)
        rows = (first + bent.T @ self.X, bent.sum(axis=0), dc.T @ self.values + self.c.T @ (self.slopes * dZ))
        return np.concatenate([part.reshape(-1) for part, wanted in zip(rows, seen, strict=True) if wanted]) * self.equations.weights

    def transposed(self, rows: Float[np.ndarray, " equations"]) -> Float[np.ndarray, "n D"]:
        """J^T times rows. Cost O(n m d)."""
        net = self.equations.network
        first, biases, second = self.equations.parts(rows * self.equations.weights)
        along = self.X @ first.T + biases
        bent = self.u * along + (self.c @ second) * self.slopes
        in_X = self.v @ first + bent @ net.W
        in_c = (self.slopes * along) @ net.A.T + self.values @ second.T
        return np.concatenate([in_X, in_c], axis=1)

    def blocks(self) -> Iterator[Float[np.ndarray, "rows unknowns"]]:
        """The rows of J, some neurons at a time."""
        net, seen = self.equations.network, self.equations.observed
        derivatives = [net.activation.floats(order) for order in range(3)]
        each = max(self.shape[0] // len(net.W), 1) * self.shape[1]
        step = max(BLOCK // each, 1)
        for start in range(0, len(net.W), step):
            own = slice(start, start + step)
            block = jacobian(net.W[own], net.A[:, own], net.offsets[own], derivatives, seen, self.X, self.c)
            yield block * self.equations.weights[self.equations.rows_of(np.arange(len(net.W))[own])][:, None]

    def sketch(self, rng: np.random.Generator) -> Float[np.ndarray, "rows unknowns"]:
        """Random signed sums of the rows of J, three for each unknown. Cost O(equations · unknowns)."""
        height = OVERSAMPLING * self.shape[1]
        refuse_above(3 * 8 * height * self.shape[1], f"a sketch of the Jacobian ({height} by {self.shape[1]})")
        out = np.zeros((height, self.shape[1]))
        for block in self.blocks():
            places = rng.integers(height, size=SIGNS * len(block))
            signs = rng.choice([-1.0, 1.0], len(places)) / np.sqrt(SIGNS)
            out += csr_array((signs, (places, np.tile(np.arange(len(block)), SIGNS))), shape=(height, len(block))) @ block
        return out

    def factor(self, rng: np.random.Generator) -> Float[np.ndarray, "unknowns unknowns"]:
        """R of a sketch: J R^-1 has singular values within a factor of about four, and as many zeros as J."""
        rows = self.sketch(rng)
        norms = np.linalg.norm(rows, axis=0)
        held = np.diag(SINGULAR * np.where(norms > 0, norms, norms.max(initial=0) or 1.0))
        return np.asarray(qr(np.concatenate([rows, held]), mode="r", overwrite_a=True, check_finite=False)[0][: self.shape[1]])

    def step(self, r: Float[np.ndarray, " equations"], R: Float[np.ndarray, "unknowns unknowns"]) -> Float[np.ndarray, "n D"]:
        """The change that minimises the linearised residual, by LSMR on J R^-1."""

        def undo(y: np.ndarray, trans: int = 0) -> np.ndarray:
            return solve_triangular(R, y, trans=trans, check_finite=False)

        operator = LinearOperator(
            self.shape,
            matvec=lambda y: self.times(undo(y).reshape(len(self.X), -1)),
            rmatvec=lambda rows: undo(self.transposed(rows).reshape(-1), 1),
            dtype=float,
        )
        return undo(lsmr(operator, -r, atol=ACCURACY, btol=ACCURACY, conlim=0, maxiter=ITERATIONS)[0]).reshape(len(self.X), -1)


def gauss_newton(
    equations: Equations, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"], int]:
    """From (X, c), with steps halved until they gain something; returns the best point and the number of steps.

    One factor, of a sketch at the first point, serves all steps. Stops when a step promises to gain less than a thousandth of the
    squared residual, or gains nothing, where only rounding is left, and where :func:`identify.base.limits.limit_time` leaves no time.
    """

    def at(point: np.ndarray) -> tuple[np.ndarray, float]:
        r = equations.residual(point[:, :d], point[:, d:]) * equations.weights
        return r, float(r @ r)

    d, point = X.shape[1], np.hstack([X, c])
    r, cost = at(point)
    R, steps = None, 0
    factoring = 3 * OVERSAMPLING * point.size**3 / OPERATIONS_PER_SECOND
    while steps < MAX_STEPS and cost > equations.rounding and is_affordable(factoring if R is None else 0.0):
        here = Linearised(equations, point[:, :d], point[:, d:])
        R = here.factor(np.random.default_rng(0)) if R is None else R
        change = here.step(r, R)
        promised = r + here.times(change)
        steps += 1
        if promised @ promised > (1 - CONVERGED) * cost:
            break
        for halved in range(HALVINGS):
            trial = point + 0.5**halved * change
            new, new_cost = at(trial)
            if new_cost < cost:
                break
        else:
            break
        gain = 1 - new_cost / cost
        point, r, cost = trial, new, new_cost
        if gain < CONVERGED:
            break
    return point[:, :d], point[:, d:], steps
