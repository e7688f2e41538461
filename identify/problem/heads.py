r"""The update of one dense layer behind a softmax cross-entropy: a linear head on embeddings, or the last layer of any network alone.

With features :math:`h_i`, classes :math:`y_i` and positive weights :math:`\omega_i` (1/n for a mean; clipping changes them), minus the
derivative of the loss by the outputs is a formula of the features,

.. math:: G = \sum_{i=1}^n \gamma_i \tilde h_i^\top, \qquad \gamma_i = \omega_i\,(e_{y_i} - \operatorname{softmax}(A h_i + b)),

so this one update is a system for the features and classes. Nothing is known of what computes the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from identify.base.errors import InputError
from identify.base.norms import relative_size, scaled
from identify.problem.arrays import ShapeError, finite_array
from identify.problem.refusals import Unsupported


@dataclass(frozen=True, eq=False, init=False)
class HeadSystem:
    """The update of a dense layer behind a softmax cross-entropy. Use :meth:`identify.KKTSystem.linear_head`.

    Attributes
    ----------
    weights, offsets
        A and b of the layer; zeros if it has no bias.
    W, bias
        Minus the gradient of the loss by them.
    """

    recovery_only: ClassVar[Unsupported] = Unsupported.HEAD
    """Why verbs other than ``recover`` and ``check`` refuse it."""

    weights: Float[np.ndarray, "C m"]
    offsets: Float[np.ndarray, " C"]
    W: Float[np.ndarray, "C m"]
    bias: Float[np.ndarray, " C"] | None

    def __init__(self, weights: ArrayLike, offsets: ArrayLike | None, W: ArrayLike, bias: ArrayLike | None = None) -> None:
        A = finite_array("weights", weights, (None, None), "one row for each class, one column for each feature")
        if len(A) < 2:
            raise InputError("weights: received one row, expected one for each of two classes or more, whose softmax is taken")
        b = np.zeros(len(A)) if offsets is None else finite_array("biases", offsets, (len(A),), "one number for each class")
        update = finite_array("W", W, A.shape, "minus the gradient by the weights, in their shape")
        if bias is not None:
            if offsets is None:
                raise ShapeError("bias: received a gradient, but the layer does not have biases; give them as offsets, or leave this out")
            bias = finite_array("bias", bias, (len(A),), "minus the gradient by the biases, one number for each class")
        if not np.any(update):
            raise ShapeError("W: every number is zero; expected a non-zero gradient")
        for name, value in {"weights": A, "offsets": b, "W": update, "bias": bias}.items():
            object.__setattr__(self, name, value)

    @property
    def n_inputs(self) -> int:
        """m, the number of features."""
        return self.W.shape[1]

    @property
    def n_outputs(self) -> int:
        """C, the number of classes."""
        return self.W.shape[0]

    @property
    def is_lifted(self) -> bool:
        """Whether the update of the bias was observed, so that coefficients of features have the sum 1."""
        return self.bias is not None

    @property
    def update(self) -> Float[np.ndarray, "C columns"]:
        """W, with the bias as a last column if that was observed."""
        return self.W if self.bias is None else np.hstack([self.W, self.bias[:, None]])

    @property
    def n_equations(self) -> int:
        """Independent ones: signals of a softmax have the sum zero."""
        return (self.n_outputs - 1) * self.update.shape[1]

    def n_unknowns(self, samples: int) -> int:
        """Entries of the features, and one weight for each sample; classes are beside them."""
        return samples * (self.n_inputs + 1)

    def probabilities(self, H: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n C"]:
        """The softmax of the outputs."""
        from scipy.special import softmax  # not needed to read a system

        return softmax(H @ self.weights.T + self.offsets, axis=1)

    def lifted(self, H: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n columns"]:
        """Features, with a 1 for the bias if its update was observed."""
        return np.hstack([H, np.ones((len(H), 1))]) if self.is_lifted else H

    def residual(self, X: ArrayLike, c: ArrayLike) -> float:
        """Relative residual ‖G - Σ γ_i h̃_iᵀ‖ / ‖G‖ for features X and multipliers c, one per row (dimensionless)."""
        H = finite_array("X", X, (None, self.n_inputs), "features, one sample per row")
        c = finite_array("c", c, (len(H), self.n_outputs), "multipliers, one row per sample")
        return relative_size(self.update - c.T @ self.lifted(H), self.update)

    def rescaled(self, k: int) -> HeadSystem:
        """The same system in other units: update and multipliers times 2^k, exactly if none of them over- or underflows."""
        return HeadSystem(self.weights, self.offsets, scaled(self.W, k), None if self.bias is None else scaled(self.bias, k))

    def describe(self) -> tuple[str, ...]:
        """The equation in words."""
        return ("G = Σ γ_i h̃_iᵀ with γ_i = ω_i (e_y − softmax(A h_i + b)): the update of one dense layer behind a softmax loss",)

    def __repr__(self) -> str:
        bias = " and bias" if self.is_lifted else ""
        return (
            f"HeadSystem({self.update.size} equations from W{bias} of a dense layer {self.n_inputs}-{self.n_outputs} behind a softmax loss)"
        )


def softmax_of(z: np.ndarray) -> np.ndarray:
    """Of the outputs of one sample."""
    e = np.exp(z - z.max())
    return e / e.sum()


def signals_of(P: Float[np.ndarray, "n C"], classes: Sequence[int] | np.ndarray) -> Float[np.ndarray, "n C"]:
    """e_y - p, where the entry of the class is the sum of the others: 1 - p loses all digits of a sample that is classified surely."""
    at, others = np.arange(len(P)), P.copy()
    others[at, classes] = 0.0
    out = -others
    out[at, classes] = others.sum(axis=1)
    return out
