"""Two-layer networks: the weights whose gradients are observed. Shapes are checked here, once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.problem.activation import Activation, ActivationError


class ShapeError(InputError):
    """An array of the wrong shape, or with values that are not finite real numbers."""


def finite_array(name: str, value, shape: tuple[int | None, ...], meaning: str) -> np.ndarray:
    """``value`` as a read-only float64 array of the given shape (``None``: any positive size).

    The conversion is exact: integers and floats of at most 64 bits only. Raises :class:`ShapeError` otherwise.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
            raise TypeError(f"dtype {array.dtype}")
        with np.errstate(invalid="ignore"):  # a signalling NaN; it is refused below
            rounded = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name}: received {type(value).__name__} ({error}); expected {meaning}") from None
    if array.dtype.kind in "iu" and any(int(r) != int(v) for r, v in zip(rounded.ravel(), array.ravel(), strict=True)):
        raise ShapeError(f"{name}: has integers that doubles do not hold exactly; expected {meaning}")
    wanted = "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
    if array.ndim != len(shape) or any(
        got == 0 or (want is not None and got != want) for got, want in zip(array.shape, shape, strict=False)
    ):
        raise ShapeError(f"{name}: received shape {array.shape}, expected {wanted} with positive sizes: {meaning}")
    if not np.isfinite(rounded).all():
        bad = int(np.size(rounded) - np.isfinite(rounded).sum())
        raise ShapeError(f"{name}: {bad} of {rounded.size} values are NaN or infinite; expected finite numbers: {meaning}")
    rounded.setflags(write=False)
    return rounded


def _ndim(value) -> int:
    """Number of dimensions; 1 for what is no array, for :func:`finite_array` to refuse."""
    try:
        return np.ndim(value)
    except ValueError:
        return 1


@dataclass(frozen=True, eq=False)
class TwoLayerNetwork:
    r"""The network :math:`f(\theta; x) = \sum_j a_j\, \sigma(w_j \cdot x + \beta_j)`, with C outputs when ``a`` has C rows.

    Parameters
    ----------
    W
        First-layer weights, one neuron per row (dimensionless).
    a
        Second-layer weights: shape ``(m,)`` for one output, ``(C, m)`` for C outputs.
    activation
        An :class:`Activation`, or a text for :meth:`Activation.parse`.
    bias
        First-layer biases, or None for a network without.

    Raises
    ------
    ShapeError
        If shapes do not match, a size is zero, or a value is not finite.

    Examples
    --------
    >>> TwoLayerNetwork([[1.0, 2.0], [0.0, 1.0], [3.0, 1.0]], [1.0, -1.0, 2.0], "z^3")
    TwoLayerNetwork(2-3-1, sigma = z^3, no bias)
    """

    W: Float[np.ndarray, "m d"]
    a: Float[np.ndarray, " m"] | Float[np.ndarray, "C m"]
    activation: Activation
    bias: Float[np.ndarray, " m"] | None = None

    def __post_init__(self) -> None:
        activation = self.activation
        if isinstance(activation, str):
            activation = Activation.parse(activation)
        if not isinstance(activation, Activation):
            raise ActivationError(f"activation: received {type(activation).__name__}, expected an Activation or a text such as 'z + z^3'")
        W = finite_array("W", self.W, (None, None), "first-layer weights, shape (m neurons, d inputs)")
        m = W.shape[0]
        rank = _ndim(self.a)
        a = finite_array("a", self.a, (m,) if rank < 2 else (None, m), f"second-layer weights, shape ({m},) or (C outputs, {m})")
        bias = None
        if self.bias is not None:
            bias = finite_array("bias", self.bias, (m,), f"first-layer biases, one for each of the {m} neurons")
        for name, value in (("activation", activation), ("W", W), ("a", a), ("bias", bias)):
            object.__setattr__(self, name, value)

    @property
    def n_inputs(self) -> int:
        """d."""
        return self.W.shape[1]

    @property
    def width(self) -> int:
        """m, counting every neuron."""
        return self.W.shape[0]

    @property
    def n_outputs(self) -> int:
        """C."""
        return 1 if self.a.ndim == 1 else self.a.shape[0]

    @property
    def has_bias(self) -> bool:
        return self.bias is not None

    @property
    def A(self) -> Float[np.ndarray, "C m"]:
        """Second-layer weights as a matrix, whatever the number of outputs."""
        return self.a.reshape(self.n_outputs, self.width)

    @property
    def offsets(self) -> Float[np.ndarray, " m"]:
        """First-layer biases, zero where the network has none."""
        return np.zeros(self.width) if self.bias is None else self.bias

    def __call__(self, X: Float[np.ndarray, "n d"]) -> np.ndarray:
        """Outputs at each sample: shape ``(n,)`` for one output, ``(n, C)`` for more."""
        X = finite_array("X", X, (None, self.n_inputs), "samples, one per row")
        out = self.activation(X @ self.W.T + self.offsets) @ self.A.T
        return out[:, 0] if self.a.ndim == 1 else out

    def distinct_directions(self, tolerance: float = 1e-8) -> int:
        """Effective width: the number of pairwise non-parallel neurons (w_j, beta_j), dead ones left out.

        Two directions count as one when the sine of their angle is below ``tolerance``. Floating point: evidence,
        not a proof. Cost O(m^2 d).
        """
        lifted = self.W if self.bias is None else np.hstack([self.W, self.bias[:, None]])
        norms = np.linalg.norm(lifted, axis=1)
        alive = (norms > tolerance * max(norms.max(), 1e-300)) & (np.abs(self.A).max(axis=0) > 0)
        kept: list[np.ndarray] = []
        for u in lifted[alive] / norms[alive, None]:
            if not kept or np.min([np.linalg.norm(u - (u @ v) * v) for v in kept]) > tolerance:
                kept.append(u)
        return len(kept)

    def __repr__(self) -> str:
        bias = "bias" if self.has_bias else "no bias"
        return f"TwoLayerNetwork({self.n_inputs}-{self.width}-{self.n_outputs}, sigma = {self.activation}, {bias})"
