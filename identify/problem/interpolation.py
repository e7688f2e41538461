r"""The interpolation matrix: (S) written linearly in the moments of the data.

Expanding the polynomial activation around the bias, with :math:`k = |e|` for an exponent vector e,

.. math:: \sigma(w\cdot x + b) = \sum_e \frac{\sigma^{(|e|)}(b)}{e!}\, w^e x^e ,

so every equation of (S) is linear in the moments :math:`y_e = \sum_i c_i x_i^e`. The matrix of that linear map depends
on the network only. Its full column rank means that the target determines every visible moment, whatever the data
(condition C1). One formula covers networks with and without bias: without, b = 0 and only the degrees of the
activation's support remain. The code is generic over the ring: floats, or residues modulo a prime with ``reduce``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb, factorial

import numpy as np
from jaxtyping import Float, Int, Shaped

from identify.problem.activation import horner
from identify.problem.gradients import Observed


def moment_count(inputs: int, degrees: Sequence[int], outputs: int = 1) -> int:
    """N: the number of monomials of the given degrees in that many variables, times the number of outputs."""
    return outputs * sum(comb(inputs + k - 1, k) if inputs else int(k == 0) for k in degrees)


def rows_per_neuron(inputs: int, observed: Observed, outputs: int, homogeneous: bool) -> int:
    """An upper bound on the number of independent equations that one neuron contributes.

    ``homogeneous``: sigma = z^p with every first-layer parameter observed; then Euler's identity
    :math:`w_j \\cdot t_j = p \\sum_c A_{cj} t_{cj}` makes one second-layer row redundant.
    """
    rows = inputs * observed.W + observed.bias + outputs * observed.a
    return rows - 1 if homogeneous and observed.W and observed.a else rows


@dataclass(frozen=True)
class Monomials:
    """All monomials of one degree k in d variables: ``index[r]`` lists the variables of monomial r in increasing order."""

    degree: int
    index: Int[np.ndarray, "N k"]

    @classmethod
    def of(cls, inputs: int, degree: int) -> Monomials:
        rows = list(combinations_with_replacement(range(inputs), degree))
        return cls(degree, np.array(rows, dtype=np.int64).reshape(len(rows), degree))

    def __len__(self) -> int:
        return len(self.index)

    def values(self, points: np.ndarray, reduce: Callable) -> np.ndarray:
        """Every monomial at every point: shape (points, N)."""
        out = np.ones((len(points), len(self)), dtype=points.dtype)
        for position in range(self.degree):
            out = reduce(out * points[:, self.index[:, position]])
        return out

    def codes(self, variables: int) -> Int[np.ndarray, " N"]:
        """Each monomial as one integer, its variables as digits."""
        return digits(self.index.T, variables)

    def raised(self, above: Monomials, variable: int) -> Int[np.ndarray, " N"]:
        """The place of each monomial times a variable among those of the next degree."""
        base = int(above.index.max(initial=0)) + 1
        index = np.sort(np.hstack([self.index, np.full((len(self), 1), variable)]), axis=1)
        return np.searchsorted(above.codes(base), digits(index.T, base))

    def factorials(self) -> Float[np.ndarray, " N"]:
        """e! of every monomial: a product of the places that equal variables have in their runs."""
        out, place = np.ones(len(self)), np.ones(len(self))
        for position in range(1, self.degree):
            place = np.where(self.index[:, position] == self.index[:, position - 1], place + 1, 1)
            out *= place
        return out

    def weights(self) -> Float[np.ndarray, " N"]:
        r"""The column scale :math:`1/\sqrt{k!\, e!}` that makes moments orthonormal coordinates of symmetric tensors."""
        return 1 / np.sqrt(factorial(self.degree) * self.factorials())


def digits(index: Int[np.ndarray, "k N"], base: int) -> Int[np.ndarray, " N"]:
    """Each column as one integer, its entries as digits."""
    code = np.zeros(index.shape[1], dtype=np.int64)
    for row in index:
        code = code * base + row
    return code


def interpolation_matrix(
    W: Shaped[np.ndarray, "m d"],
    A: Shaped[np.ndarray, "C m"],
    offsets: Shaped[np.ndarray, " m"],
    derivatives: Sequence[Sequence],
    observed: Observed,
    degrees: Sequence[int],
    reduce: Callable = lambda value: value,
) -> Shaped[np.ndarray, "equations coefficients"]:
    """The interpolation matrix, rows in the order of ``KKTSystem.target``, columns by output, degree, monomial.

    Parameters
    ----------
    W, A, offsets
        Weights (m, d), (C, m), (m,): floats, or residues as 64-bit integers.
    derivatives
        ``derivatives[k]``: the coefficients of the k-th derivative of the activation, in the same ring, k = 0..p+1.
    observed, degrees
        Which rows, and the degrees of the visible moments.
    reduce
        Applied after every product (the remainder modulo the prime).

    Returns
    -------
    array of shape (equations, N)
        The unknown of column e is y_e / e!. Multiply the columns by :meth:`Monomials.weights` for orthonormal
        coordinates. Cost O(m d N) products; memory 8 m (d + 1 + C) N bytes.
    """
    m, d = W.shape
    outputs = len(A)
    first, biases, second = [], [], []
    for k in degrees:
        monomials = Monomials.of(d, k)
        at_bias = [horner(derivatives[order], offsets, reduce)[:, None] for order in (k, k + 1)]
        values = monomials.values(W, reduce)
        if observed.W:
            block = np.zeros((m, d, len(monomials)), dtype=W.dtype)
            columns = np.arange(len(monomials))
            for position in range(k):
                rest = Monomials(k - 1, np.delete(monomials.index, position, axis=1))
                block[:, monomials.index[:, position], columns] += reduce(at_bias[0] * rest.values(W, reduce))
            first.append(reduce(block))
        biases.append(reduce(at_bias[1] * values))
        second.append(reduce(at_bias[0] * values))
    per_output = sum(part.shape[1] for part in second)
    rows = []
    if observed.W:
        base = np.concatenate(first, axis=2)
        rows.append(
            np.concatenate([reduce(A[o][:, None, None] * base) for o in range(outputs)], axis=2).reshape(m * d, outputs * per_output)
        )
    if observed.bias:
        base = np.concatenate(biases, axis=1)
        rows.append(np.concatenate([reduce(A[o][:, None] * base) for o in range(outputs)], axis=1))
    if observed.a:
        base = np.concatenate(second, axis=1)
        block = np.zeros((outputs, m, outputs, per_output), dtype=W.dtype)
        for o in range(outputs):
            block[o, :, o] = base
        rows.append(block.reshape(outputs * m, outputs * per_output))
    return np.concatenate(rows)
