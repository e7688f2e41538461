r"""The update of a dense layer that reads the features of a known map: one equation, for any network below and above.

Let :math:`\varphi` be any known map of *one* sample: convolutions, pooling, normalisation within a sample, residual blocks, a frozen
extractor. The dense layer that reads :math:`\varphi(x)` has the update

.. math:: G = \sum_{i=1}^n u_i\, \tilde\varphi(x_i)^\top, \qquad \tilde\varphi = (\varphi, 1) \text{ if its bias was observed,}

with one signal :math:`u_i` for each sample: minus the derivative of the loss by what the layer puts out. Nothing is known of the signals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from identify.base.errors import InputError, WrongTypeError
from identify.base.norms import relative_size, scaled
from identify.base.options import whole
from identify.problem.arrays import ShapeError, finite_array
from identify.problem.refusals import Unsupported


@dataclass(frozen=True, eq=False, init=False)
class FeatureSystem:
    """The update of a dense layer behind a known map of one sample. Use :meth:`identify.KKTSystem.features`.

    Attributes
    ----------
    phi
        The map, a function of JAX of one array of shape ``shape``.
    shape
        Of one sample.
    W, bias
        Minus the gradient of the layer that reads the flattened values of phi.
    box
        Between which two numbers all entries of all samples lie, if that is known.
    smoothed
        Smooth maps that approach phi, from far to near, if phi has too many kinks to be searched as it is.
    """

    recovery_only: ClassVar[Unsupported] = Unsupported.FEATURES
    """Why other verbs refuse it."""

    phi: Callable[[Any], Any]
    shape: tuple[int, ...]
    W: Float[np.ndarray, "m features"]
    bias: Float[np.ndarray, " m"] | None
    box: tuple[float, float] | None
    smoothed: tuple[Callable[[Any], Any], ...]

    def __init__(
        self,
        phi: Any,
        shape: int | Sequence[int],
        W: ArrayLike,
        bias: ArrayLike | None = None,
        box: Sequence[float] | None = None,
        smoothed: Any = (),
    ) -> None:
        maps = {"phi": phi} | {f"smoothed[{k}]": map for k, map in enumerate(smoothed)}
        for name, map in maps.items():
            if not callable(map):
                raise WrongTypeError(
                    f"{name}: received {type(map).__name__}, expected a function of JAX that maps one sample to its features"
                )
        sizes = tuple(whole("shape", size) for size in (shape if isinstance(shape, Sequence) else [shape]))
        if not sizes:
            raise ShapeError("shape: received none, expected the shape of one sample, such as (1, 28, 28)")
        W = finite_array("W", W, (None, None), "minus the gradient of the dense layer, one row for each of its outputs")
        if bias is not None:
            bias = finite_array("bias", bias, (len(W),), "minus the gradient of the bias of that layer, one number for each row of W")
        if not np.any(W):
            raise ShapeError("W: every number is zero; expected a non-zero gradient or change")
        values = {"phi": phi, "shape": sizes, "W": W, "bias": bias, "box": None if box is None else _checked_box(box)}
        values["smoothed"] = tuple(maps.values())[1:]
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def n_inputs(self) -> int:
        """Numbers in one sample."""
        return int(np.prod(self.shape))

    @property
    def n_features(self) -> int:
        return self.W.shape[1]

    @property
    def n_outputs(self) -> int:
        """Width of the layer: the entries of a signal."""
        return self.W.shape[0]

    @property
    def update(self) -> Float[np.ndarray, "m columns"]:
        """W, with the bias as a last column if that was observed."""
        return self.W if self.bias is None else np.hstack([self.W, self.bias[:, None]])

    @property
    def n_equations(self) -> int:
        return self.update.size

    def n_unknowns(self, samples: int) -> int:
        """Number of scalar unknowns (x_i, u_i) for that many samples."""
        return samples * (self.n_inputs + self.n_outputs)

    def features(self, X: ArrayLike) -> Float[np.ndarray, "n features"]:
        """The values of phi at samples, one per row, as JAX computes them now: in float64 if JAX is in 64-bit mode."""
        X = finite_array("X", X, (None, self.n_inputs), "samples, one per row")
        values = np.array([np.asarray(self.phi(x.reshape(self.shape)), dtype=float).reshape(-1) for x in X])
        if values.shape[1] != self.n_features:
            raise wrong_features(self, values.shape[1])
        return values

    def residual(self, X: ArrayLike, c: ArrayLike) -> float:
        """Relative residual ‖G - Σ u_i φ̃(x_i)ᵀ‖ / ‖G‖ for samples X and signals c, one per row (dimensionless)."""
        H = self.features(X)
        c = finite_array("c", c, (len(H), self.n_outputs), "signals of the layer, one row per sample")
        H = H if self.bias is None else np.hstack([H, np.ones((len(H), 1))])
        return relative_size(self.update - c.T @ H, self.update)

    def rescaled(self, k: int) -> FeatureSystem:
        """The same system in other units: update and signals times 2^k, exactly if none of them over- or underflows."""
        bias = None if self.bias is None else scaled(self.bias, k)
        return FeatureSystem(self.phi, self.shape, scaled(self.W, k), bias, self.box, self.smoothed)

    def describe(self) -> tuple[str, ...]:
        """The equation in words."""
        seen = "weights and bias" if self.bias is not None else "weights"
        return (f"G = Σ u_i φ̃(x_i)ᵀ: the update of the {seen} of a dense layer behind a known map φ of one sample",)

    def __repr__(self) -> str:
        bias = "" if self.bias is None else " and bias"
        return (
            f"FeatureSystem({self.n_equations} equations from W{bias} of a dense layer {self.n_features}-{self.n_outputs}, "
            f"behind a map of samples of shape {self.shape})"
        )


def wrong_features(system: FeatureSystem, received: int) -> ShapeError:
    """The error for a map whose values do not fit the layer."""
    return ShapeError(
        f"phi: returns {received} numbers for a sample of shape {system.shape}, expected {system.n_features}, as many as W has columns; "
        "pass the map up to the input of that layer"
    )


def _checked_box(box: Sequence[float]) -> tuple[float, float]:
    low, high = finite_array("box", box, (2,), "the smallest and the largest number that an entry of a sample can have").tolist()
    if not low < high:
        raise InputError(f"box: received {low:g}, {high:g}, expected the smaller of the two bounds first")
    return low, high
