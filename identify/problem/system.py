r"""The stationarity equation (S), its four regimes, and the one definition of its right-hand side.

Every regime says that a *target* known to the analyst is a weighted sum of per-sample parameter gradients,

.. math:: t = \sum_{i=1}^n c_i\, \nabla_\theta f(\theta; x_i), \qquad c_i = \lambda_i y_i,

for unknown data :math:`x_i` and signed multipliers :math:`c_i`. :func:`weighted_gradients` evaluates the right-hand
side with + and * only, so the numeric, the modular and the symbolic view all pass through it; every faster form in
the package is tested against it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.base.options import REGIMES, choice
from identify.problem.gradients import Observed, flatten, visible_degrees, weighted_gradients
from identify.problem.network import ShapeError, TwoLayerNetwork, finite_array

SELF_TRAINED = ("weight-decay", "max-margin")
LOSSES = ("logistic", "square")


@dataclass(frozen=True, eq=False)
class KKTSystem:
    """Equation (S) with numbers: a network, a target for each observed layer, and what else the analyst may add.

    Use the four constructors :meth:`gradient`, :meth:`lazy`, :meth:`weight_decay`, :meth:`max_margin`.
    """

    network: TwoLayerNetwork
    target_W: Float[np.ndarray, "m d"] | None
    target_bias: Float[np.ndarray, " m"] | None
    target_a: Float[np.ndarray, " m"] | Float[np.ndarray, "C m"] | None
    regime: str
    labels: Float[np.ndarray, " n"] | None = None
    loss: str | None = None
    decay: float | None = None

    def __post_init__(self) -> None:
        choice("regime", self.regime, REGIMES)
        net = self.network
        check_network("network", net)
        if self.target_bias is not None and not net.has_bias:
            raise ShapeError("bias: a target for the biases, but the network has none; pass bias=None, or give the network its bias")
        if self.target_W is None and self.target_bias is None and self.target_a is None:
            raise ShapeError("target: no layer was observed; pass W, a or both (minus the gradient for each trained layer)")
        for name, shape, meaning in (
            ("target_W", net.W.shape, "one row for each neuron of the network"),
            ("target_bias", (net.width,), "one number for each neuron"),
            ("target_a", net.a.shape, "the shape of the network's second layer"),
        ):
            value = getattr(self, name)
            if value is not None:
                array = finite_array(name.removeprefix("target_"), value, shape, f"a target with {meaning}")
                object.__setattr__(self, name, array)
        if not any(np.any(part) for part in (self.target_W, self.target_bias, self.target_a) if part is not None):
            raise ShapeError("target: every number is zero, so there is no equation to solve; expected a non-zero gradient or change")
        if self.labels is not None:
            object.__setattr__(self, "labels", check_labels(self.labels))

    @classmethod
    def gradient(cls, network: TwoLayerNetwork, *, W=None, a=None, bias=None) -> KKTSystem:
        r"""One observed gradient (Wang, Lee & Lei 2023): :math:`t = -\nabla_\theta \mathrm{loss}`, :math:`c_i = -\ell'(f(x_i), y_i)/n`.

        Parameters
        ----------
        network
            The network at which the gradient was taken.
        W, a, bias
            *Minus* the gradient for each trained group of parameters; None for one that was not observed.

        Raises
        ------
        ShapeError
            For shapes that are not the network's, values that are not finite, or a bias the network does not have.
        """
        return cls(network, W, bias, a, "gradient")

    @classmethod
    def lazy(cls, initial: TwoLayerNetwork, final: TwoLayerNetwork) -> KKTSystem:
        r"""Lazy (NTK) training (Loo et al. 2024): :math:`t = \theta_T - \theta_0`, gradients at :math:`\theta_0`.

        A layer that did not move at all is taken as not trained, and its rows are dropped.
        """
        check_network("initial", initial)
        check_network("final", final)
        if initial.W.shape != final.W.shape or initial.a.shape != final.a.shape or initial.has_bias != final.has_bias:
            raise ShapeError(f"final: {final!r} has not the architecture of initial: {initial!r}")
        if initial.activation != final.activation:
            raise ShapeError(f"final: its activation {final.activation} is not that of initial: {initial.activation}")
        moved = [final.W - initial.W, final.offsets - initial.offsets, final.a - initial.a]
        W, bias, a = (part if part.any() else None for part in moved)
        return cls(initial, W, bias if initial.has_bias else None, a, "lazy")

    @classmethod
    def weight_decay(cls, network: TwoLayerNetwork, *, decay: float, loss: str | None = None, layers: str = "both") -> KKTSystem:
        r"""Stationary point of mean loss + (decay/2)·‖θ‖² (Buzaglo et al. 2023): :math:`t = \mathrm{decay}\cdot\theta`.

        Parameters
        ----------
        decay
            Weight decay, positive, dimensionless.
        loss
            ``"logistic"`` adds the closure equations :math:`c_i = y_i / (n (1 + e^{y_i f(x_i)}))` for labels
            :math:`y_i = \mathrm{sign}\, c_i`, ``"square"`` adds :math:`c_i = -2 (f(x_i) - y_i)/n` for responses :math:`y_i`;
            None leaves the multipliers free.
        layers
            Which layers were trained, and so are stationary: ``"both"``, ``"first"`` or ``"second"``.
        """
        check_network("network", network)
        if isinstance(decay, bool) or not isinstance(decay, (Real, np.floating)) or not 0 < decay < np.inf:
            raise InputError(f"decay: received {decay!r}, expected a positive number")
        if loss is not None:
            choice("loss", loss, LOSSES)
            if network.n_outputs > 1:
                raise InputError(f"loss: {loss!r} is for one output, the network has {network.n_outputs}; pass loss=None")
        return cls._of_parameters(network, float(decay), layers, regime="weight-decay", loss=loss, decay=float(decay))

    @classmethod
    def max_margin(cls, network: TwoLayerNetwork, *, labels=None, layers: str = "both") -> KKTSystem:
        r"""KKT point of the max-margin problem (Lyu & Li 2020; Haim et al. 2022): :math:`t = \theta`, :math:`\lambda_i \ge 0`.

        The parameters must be scaled so that the smallest margin is 1. ``labels`` (each +1 or -1, one for each support
        sample, in any order) add the margin equations :math:`y_i f(x_i) = 1`. Training on the logistic loss converges
        in direction to such a point only for networks homogeneous in their parameters (sigma = z^p); for other
        polynomials the system can be posed, but training does not imply it.
        """
        check_network("network", network)
        if labels is not None:
            labels = check_labels(labels)
            if network.n_outputs > 1:
                raise InputError(f"labels: +1/-1 labels are for one output, the network has {network.n_outputs}; pass labels=None")
        return cls._of_parameters(network, 1.0, layers, regime="max-margin", labels=labels)

    @classmethod
    def _of_parameters(cls, network: TwoLayerNetwork, factor: float, layers: str, **options) -> KKTSystem:
        rows = Observed.of(layers, network.has_bias)
        return cls(
            network,
            factor * network.W if rows.W else None,
            factor * network.offsets if rows.bias else None,
            factor * network.a if rows.a else None,
            **options,
        )

    @property
    def observed(self) -> Observed:
        return Observed(self.target_W is not None, self.target_bias is not None, self.target_a is not None)

    @property
    def degrees(self) -> tuple[int, ...]:
        """Degrees of the moments that the target sees."""
        return visible_degrees(self.network.activation, self.network.has_bias, self.observed)

    @property
    def n_equations(self) -> int:
        """Number of scalar stationarity equations (margins and closures apart)."""
        return self.target.size

    def n_unknowns(self, samples: int) -> int:
        """Number of scalar unknowns (x_i, c_i) for that many samples."""
        return samples * (self.network.n_inputs + self.network.n_outputs)

    @property
    def target(self) -> Float[np.ndarray, " equations"]:
        """All targets in one vector: first-layer weights by neuron, biases, second layer."""
        return flatten((self.target_W, self.target_bias, self.target_a), self.observed)

    def right_hand_side(self, X: Float[np.ndarray, "n d"], c) -> Float[np.ndarray, " equations"]:
        """Right-hand side of (S) at the given data, in the order of :attr:`target`, in double precision."""
        net = self.network
        X, c = check_data(X, c, net.n_inputs, net.n_outputs)
        sigma = net.activation
        parts = weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c)
        return flatten(parts, self.observed)

    def residual(self, X: Float[np.ndarray, "n d"], c) -> float:
        """Relative residual ‖t - sum_i c_i grad f(x_i)‖ / ‖t‖ (dimensionless; 0 for an exact solution, not finite on overflow)."""
        t = self.target
        with np.errstate(over="ignore", invalid="ignore"):  # data too large for doubles: the result is inf or nan, and says so
            return float(np.linalg.norm(t - self.right_hand_side(X, c)) / np.linalg.norm(t))

    def with_target(self, target: Float[np.ndarray, " equations"]) -> KKTSystem:
        """The same system with another target vector, given in the order of :attr:`target` (what-if noise, rounding)."""
        target = finite_array("target", target, (self.n_equations,), "one number for each equation")
        parts: list[np.ndarray | None] = []
        start = 0
        for part in (self.target_W, self.target_bias, self.target_a):
            if part is None:
                parts.append(None)
                continue
            parts.append(target[start : start + part.size].reshape(part.shape))
            start += part.size
        return replace(self, target_W=parts[0], target_bias=parts[1], target_a=parts[2])

    def describe(self) -> tuple[str, ...]:
        """The equations in words and formulas, one line each, as reports and the command line print them."""
        return equations_in_words(
            self.regime, self.observed, self.network.has_bias, self.network.n_outputs, self.labels is not None, self.loss is not None
        )

    def __repr__(self) -> str:
        rows = [name for name, seen in zip(("W", "bias", "a"), self.observed, strict=True) if seen]
        return f"KKTSystem({self.regime}: {self.n_equations} equations from {', '.join(rows)} of {self.network!r})"


def check_network(name: str, value) -> None:
    """Raise :class:`ShapeError` for what is no TwoLayerNetwork."""
    if not isinstance(value, TwoLayerNetwork):
        raise ShapeError(f"{name}: received {type(value).__name__}, expected a TwoLayerNetwork")


def check_data(X, c, n_inputs: int, n_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Data and multipliers as float64 arrays of shapes (n, d) and (n, C). Raises :class:`ShapeError`."""
    X = finite_array("X", X, (None, n_inputs), "samples, one per row")
    meaning = "signed multipliers, one for each sample" if n_outputs == 1 else "signed multipliers, one row per sample"
    flat = n_outputs == 1 and not _is_matrix(c)
    return X, finite_array("c", c, (len(X),) if flat else (len(X), n_outputs), meaning).reshape(len(X), n_outputs)


def _is_matrix(value) -> bool:
    try:
        return np.ndim(value) == 2
    except ValueError:
        return False


def check_labels(labels) -> np.ndarray:
    """Labels as float64, each +1 or -1. Raises :class:`ShapeError` otherwise."""
    values = finite_array("labels", labels, (None,), "one label, +1 or -1, for each sample")
    wrong = np.setdiff1d(values, [-1.0, 1.0])
    if wrong.size:
        raise ShapeError(f"labels: received {wrong[:5].tolist()}, expected only +1 and -1; map your classes to these")
    return values


def equations_in_words(regime: str, observed: Observed, bias: bool, outputs: int, margins: bool, closure: bool) -> tuple[str, ...]:
    """(S) component by component, with its side conditions (theory, section 1)."""
    z = "w_j·x_i + b_j" if bias else "w_j·x_i"
    weight = "a_j Σ_i λ_i y_i" if outputs == 1 else "Σ_i (A_·j·γ_i)"
    left = {
        "gradient": ("−∂loss/∂w_j", "−∂loss/∂b_j", "−∂loss/∂a_j"),
        "lazy": ("Δw_j", "Δb_j", "Δa_j"),
        "weight-decay": ("decay·w_j", "decay·b_j", "decay·a_j"),
        "max-margin": ("w_j", "b_j", "a_j"),
    }[regime]
    second = "Σ_i λ_i y_i" if outputs == 1 else "Σ_i γ_i"
    lines = []
    if observed.W:
        lines.append(f"{left[0]} = {weight} σ'({z}) x_i   for every neuron j")
    if observed.bias:
        lines.append(f"{left[1]} = {weight} σ'({z})")
    if observed.a:
        lines.append(f"{left[2]} = {second} σ({z})")
    if regime == "max-margin":
        lines.append("λ_i ≥ 0,  y_i f(x_i) ≥ 1,  λ_i (y_i f(x_i) − 1) = 0")
        if margins:
            lines.append("y_i f(x_i) = 1   for every support sample (labels given)")
    if closure:
        lines.append("λ_i y_i = −ℓ'(f(x_i), y_i)/n   (closure; not polynomial for the logistic loss)")
    return tuple(lines)
