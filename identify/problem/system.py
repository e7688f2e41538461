r"""The stationarity equation (S), its four regimes, and the one definition of its right-hand side.

Every regime says that a *target* known to the analyst is a weighted sum of per-sample parameter gradients,

.. math:: t = \sum_{i=1}^n c_i\, \nabla_\theta f(\theta; x_i), \qquad c_i = \lambda_i y_i,

for unknown data :math:`x_i` and signed multipliers :math:`c_i`, layer by layer :math:`G_l = \sum_i u_i^l (h_i^{l-1})^\top`.
:mod:`identify.problem.signals` evaluates the right-hand side with + and * only, so the numeric, the modular and the symbolic view all
pass through it; every faster form in the package is tested against it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from identify.base.errors import InputError
from identify.base.norms import relative_size, scaled, size
from identify.base.options import REGIMES, choice, positive
from identify.base.options import SELF_TRAINED as SELF_TRAINED
from identify.problem.arrays import ShapeError, finite_array
from identify.problem.data import check_data, check_labels
from identify.problem.gradients import Observed, flatten, unflatten, visible_degrees
from identify.problem.network import Network, TwoLayerNetwork, check_network, check_same_architecture
from identify.problem.one_layer import OneLayer
from identify.problem.partial import Received, known_of
from identify.problem.refusals import Unsupported, refusal
from identify.problem.signals import Forward, backward, forward, updates_from
from identify.problem.steps import StepsSystem
from identify.problem.updates import Update, checked_updates, completed, layer_numbers, names_of, of_two_layers
from identify.problem.words import equations_in_words, layers_in_words

LOSSES = ("logistic", "square")
AT_ONCE = 256
"""Rows of an update that are compared at once."""
DIRECTIONS = 32
"""Random directions in which a large difference is measured."""


@dataclass(frozen=True, eq=False, init=False)
class KKTSystem(Received, OneLayer):
    """Equation (S) with numbers: a network, a target for each observed layer, and what else the analyst may add.

    Use the constructors :meth:`gradient`, :meth:`lazy`, :meth:`weight_decay`, :meth:`max_margin`.
    """

    network: Network
    updates: tuple[Update, ...]
    """One for each layer of weights; the constructor completes a mapping from layer numbers, as :meth:`gradient` takes it."""
    regime: str
    labels: Float[np.ndarray, " n"] | None = None
    loss: str | None = None
    decay: float | None = None

    def __init__(
        self,
        network: Network,
        updates: Mapping[int, Any] | Sequence[Any],
        regime: str,
        labels: Any = None,
        loss: str | None = None,
        decay: float | None = None,
    ) -> None:
        choice("regime", regime, REGIMES)
        check_network("network", network)
        if loss is not None:
            choice("loss", loss, LOSSES)
            if network.n_outputs > 1:
                raise InputError(f"loss: {loss!r} is for one output, the network has {network.n_outputs}; pass loss=None")
        if labels is not None and network.n_outputs > 1:
            raise InputError(f"labels: +1/-1 labels are for one output, the network has {network.n_outputs}; pass labels=None")
        network, given = of_two_layers(network, completed(network, updates), regime)
        values = {
            "network": network,
            "updates": checked_updates(network, given),
            "regime": regime,
            "labels": None if labels is None else check_labels(labels),
            "loss": loss,
            "decay": None if decay is None else positive("decay", decay),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def gradient(
        cls,
        network: Network,
        *,
        W: ArrayLike | None = None,
        a: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        layers: Mapping[int, Any] | None = None,
    ) -> KKTSystem:
        r"""One observed gradient (Wang, Lee & Lei 2023): :math:`t = -\nabla_\theta \mathrm{loss}`, :math:`c_i = -\ell'(f(x_i), y_i)/n`.

        Parameters
        ----------
        network
            The network at which the gradient was taken, of any depth.
        W, a, bias
            For two layers: *minus* the gradient for each trained group of parameters; None for one that was not observed.
        layers
            For any depth, in place of these: *minus* the gradient by the number of the layer, from 1 to ``network.depth``. A value is
            an array for the weights alone, or a tuple (weights, bias), None for what was not observed. ``identify.gradients_of``
            reads it from a model of PyTorch. Rows (neurons) and columns (what enters) that were not sent are NaN or masked.

        Raises
        ------
        ShapeError
            For shapes that are not the network's, values that are infinite, or a bias the network does not have.
        UnsupportedError
            For entries that are NaN here and there: :func:`identify.complete` may fill them in.

        Notes
        -----
        The gradient by an output bias is :math:`\sum_i c_i`. When it is not observed, the output bias changes no equation, and a network
        of two layers is held without it.

        Examples
        --------
        >>> net = Network([np.eye(2), np.ones((3, 2)), np.ones((1, 3))], activation="tanh")
        >>> KKTSystem.gradient(net, layers={1: np.ones((2, 2)), 3: np.ones((1, 3))})
        KKTSystem(gradient: 7 equations from W1, W3 of Network(2-2-3-1, tanh, no biases))
        """
        if layers is None:
            check_network("network", network)
            if network.depth != 2:
                raise ShapeError(f"layers: received None for {network!r}, expected a mapping such as {{1: (dW1, db1), 2: (dW2, db2)}}")
            return cls(network, {1: (W, bias), 2: (a, None)}, "gradient")
        if not (W is None and a is None and bias is None):
            raise InputError("layers: received layers beside W, a or bias; expected layers alone, or the others (two layers)")
        return cls(network, layers, "gradient")

    @classmethod
    def lazy(cls, initial: Network, final: Network) -> KKTSystem:
        r"""Lazy (NTK) training (Loo et al. 2024): :math:`t = \theta_T - \theta_0`, gradients at :math:`\theta_0`.

        A layer that did not move at all is taken as not trained, and its rows are dropped.
        """
        check_same_architecture(initial, final)
        before, after = initial.parameters, final.parameters
        moved = {name: after[name] - before[name] for name in before if np.any(after[name] != before[name])}
        return cls(initial, {k: (moved.get(f"W{k}"), moved.get(f"b{k}")) for k in range(1, initial.depth + 1)}, "lazy")

    @staticmethod
    def steps(
        initial: Network,
        final: Network,
        *,
        learning_rate: float | None = None,
        steps: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        loss: str | None = None,
        order: Sequence[Sequence[int]] | None = None,
        shuffled: bool = True,
        dampening: float = 0.0,
        nesterov: bool = False,
    ) -> StepsSystem:
        r"""Several steps of gradient descent from one network to another: a round of federated averaging, two checkpoints of one run.

        Adam and other methods that divide by the size of each gradient entry are not covered: they change the row space of the first
        layer's change, which then shows neither how many samples there were nor where they lie.

        Parameters
        ----------
        initial, final
            The networks before and after. Parameters that did not move at all are taken as frozen.
        learning_rate
            Of every step, positive; None if it is not known: with a named loss it is fitted.
        steps, epochs
            How many steps were taken, or how many passes through the data; one of the two.
        batch_size
            Samples in one step; None for all of them in every step.
        momentum, weight_decay, dampening, nesterov
            From 0 (momentum to below 1), as in ``torch.optim.SGD``; Nesterov's variant needs momentum, and no dampening.
        loss
            ``"softmax"`` (cross-entropy of classes), ``"logistic"`` (one output, labels -1 and 1), ``"square"`` (mean over samples and
            outputs); None if it is not known: then the multipliers of every step are fitted, after the usual loss was tried.
        order
            For each step the numbers, from 0, of the samples in its batch; None if it is not known.
        shuffled
            Whether different passes have different batches; False: the same ones, in the same order.

        Returns
        -------
        StepsSystem
            For :func:`identify.recover` only: the other verbs refuse it with :class:`UnsupportedError`.

        Raises
        ------
        ShapeError
            For networks of different architectures, a final network equal to the initial one, or an order that is none.
        InputError
            For numbers out of range, neither or both of ``steps`` and ``epochs``, or weight decay without the learning rate.

        Examples
        --------
        >>> before = Network([np.eye(2), np.ones((1, 2))], biases=[np.zeros(2), None], activation="tanh")
        >>> after = Network([np.eye(2) + 0.1, np.ones((1, 2))], biases=[np.ones(2), None], activation="tanh")
        >>> KKTSystem.steps(before, after, learning_rate=0.1, steps=5)
        StepsSystem(5 steps of gradient descent on all samples, with learning rate 0.1, Network(2-2-1, tanh, biases in layer 1))
        """
        return StepsSystem.of(
            initial,
            final,
            learning_rate=learning_rate,
            steps=steps,
            epochs=epochs,
            batch_size=batch_size,
            momentum=momentum,
            weight_decay=weight_decay,
            loss=loss,
            order=order,
            shuffled=shuffled,
            dampening=dampening,
            nesterov=nesterov,
        )

    @classmethod
    def weight_decay(cls, network: Network, *, decay: float, loss: str | None = None, layers: str | Collection[int] = "both") -> KKTSystem:
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
            Which layers were trained, and so are stationary: ``"both"`` (all of them), ``"first"``, ``"second"``, or their numbers.
        """
        check_network("network", network)
        decay = positive("decay", decay)
        return cls._of_parameters(network, decay, layers, regime="weight-decay", loss=loss, decay=decay)

    @classmethod
    def max_margin(cls, network: Network, *, labels: ArrayLike | None = None, layers: str | Collection[int] = "both") -> KKTSystem:
        r"""KKT point of the max-margin problem (Lyu & Li 2020; Haim et al. 2022): :math:`t = \theta`, :math:`\lambda_i \ge 0`.

        The parameters must be scaled so that the smallest margin is 1. ``labels`` (each +1 or -1, one for each support
        sample, in any order) add the margin equations :math:`y_i f(x_i) = 1`. Training on the logistic loss converges
        in direction to such a point only for networks homogeneous in their parameters (sigma = z^p, ReLU and its like);
        for others the system can be posed, but training does not imply it. ``layers`` as for :meth:`weight_decay`.
        """
        check_network("network", network)
        return cls._of_parameters(network, 1.0, layers, regime="max-margin", labels=labels)

    @classmethod
    def _of_parameters(cls, network: Network, factor: float, layers: str | Collection[int], **options: Any) -> KKTSystem:
        updates = {
            k: (factor * network.weights[k - 1], None if (b := network.biases[k - 1]) is None else factor * b)
            for k in layer_numbers(layers, network.depth)
        }
        return cls(network, updates, **options)

    @property
    def layers(self) -> dict[int, Update]:
        """The targets of the observed layers, by number from 1; what :meth:`gradient` takes."""
        return {k: update for k, update in enumerate(self.updates, 1) if any(part is not None for part in update)}

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The observed targets by name, in the order of :attr:`target`: W, bias and a for two layers, else W1, b1, W2, ..."""
        return {
            name: part
            for k, update in enumerate(self.updates, 1)
            for name, part in zip(names_of(self.network, k), update, strict=True)
            if part is not None
        }

    @property
    def target_W(self) -> Float[np.ndarray, "m d"] | None:
        """The target for the first-layer weights of a two-layer network; None when it was not observed."""
        return self._two_layers("target_W").updates[0].W

    @property
    def target_bias(self) -> Float[np.ndarray, " m"] | None:
        """The target for the first-layer biases of a two-layer network; None when it was not observed."""
        return self._two_layers("target_bias").updates[0].bias

    @property
    def target_a(self) -> Float[np.ndarray, " m"] | Float[np.ndarray, "C m"] | None:
        """The target for the second layer of a two-layer network, in the shape of its ``a``; None when it was not observed."""
        return self._two_layers("target_a").updates[1].W

    @property
    def observed(self) -> Observed:
        """Which groups of parameters of a two-layer network have a target."""
        first, second = self._two_layers("observed").updates
        return Observed(first.W is not None, first.bias is not None, second.W is not None)

    def _two_layers(self, asked: str) -> KKTSystem:
        """This system, if it is one of two layers; what it says of W, bias and a would be less than the whole for another."""
        if not isinstance(self.network, TwoLayerNetwork):
            raise refusal(asked, Unsupported.DEPTH if self.network.depth != 2 else Unsupported.OUTPUT_BIAS, self.network)
        return self

    @property
    def degrees(self) -> tuple[int, ...]:
        """Degrees of the moments that the target sees (two layers, polynomial activation)."""
        return visible_degrees(self.network.activation, self.network.has_bias, self.observed)

    @property
    def n_equations(self) -> int:
        """Number of scalar stationarity equations (margins and closures apart)."""
        return sum(int(np.sum(~np.isnan(part))) for part in self.parts.values())

    def n_unknowns(self, samples: int) -> int:
        """Number of scalar unknowns (x_i, c_i) for that many samples."""
        return samples * (self.network.n_inputs + self.network.n_outputs)

    @property
    def target(self) -> Float[np.ndarray, " equations"]:
        """All targets in one vector, layer by layer, weights before biases: for two layers first-layer weights, biases, second layer."""
        return flatten(self.parts.values(), [True] * len(self.parts))[self._known]

    @property
    def _seen(self) -> list[bool]:
        return [part is not None for update in self.updates for part in update]

    def right_hand_side(self, X: ArrayLike, c: ArrayLike) -> Float[np.ndarray, " equations"]:
        """Right-hand side of (S) at the given data, in the order of :attr:`target`, in double precision."""
        return flatten([part for update in updates_from(*self._passes(X, c)) for part in update], self._seen)[self._known]

    def _passes(self, X: ArrayLike, c: ArrayLike, passed: Forward | None = None) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """For each layer the values that enter it, and its signals."""
        net = self.network
        X, c = check_data(X, c, net.n_inputs, net.n_outputs)
        entering, before = forward(net.weights, net.biases, net.activations, X) if passed is None else passed
        return entering, backward(net.weights, net.activations, before, c)

    def residual(self, X: ArrayLike, c: ArrayLike, *, passed: Forward | None = None) -> float:
        """Relative residual ‖t - sum_i c_i grad f(x_i)‖ / ‖t‖ (dimensionless; 0 for an exact solution, not finite on overflow).

        ``passed``: the forward pass at these samples, if it is known.
        """
        return self._relative(X, c, passed, self._missed)

    def about_residual(self, X: ArrayLike, c: ArrayLike, *, passed: Forward | None = None) -> float:
        """An estimate of :meth:`residual` for large updates, without the products of n columns that the updates are.

        ‖E R‖² for 32 random directions R has the mean ‖E‖², and ‖E R‖ deviates from ‖E‖ by about an eighth at most (standard deviation),
        whatever the difference E is. Cost: a pass, and 64 operations for each number of the target.
        """
        rng = np.random.default_rng(DIRECTIONS)
        return self._relative(X, c, passed, self._missed if self.is_partial else partial(self._sampled, rng))

    def _relative(
        self,
        X: ArrayLike,
        c: ArrayLike,
        passed: Forward | None,
        missed: Callable[[Update, np.ndarray, np.ndarray], Iterator[tuple[float, float]]],
    ) -> float:
        with np.errstate(over="ignore", invalid="ignore"):  # data too large for doubles: the result is inf or nan, and says so
            sizes = [each for layer in zip(self.updates, *reversed(self._passes(X, c, passed)), strict=True) for each in missed(*layer)]
            return relative_size(*(np.array(each) for each in zip(*sizes, strict=True)))

    def _missed(self, update: Update, u: np.ndarray, h: np.ndarray) -> Iterator[tuple[float, float]]:
        """‖target - u^T h‖ and ‖target‖ for some rows of a layer at a time, which stay in the processor's cache."""
        if update.bias is not None:
            yield self._sizes(update.bias, u.sum(axis=0))
        if update.W is not None:
            W = update.W.reshape(u.shape[1], h.shape[1])  # of one output, targets are vectors
            for start in range(0, len(W), AT_ONCE):
                rows = slice(start, start + AT_ONCE)
                yield self._sizes(W[rows], u[:, rows].T @ h)

    def _sampled(self, rng: np.random.Generator, update: Update, u: np.ndarray, h: np.ndarray) -> Iterator[tuple[float, float]]:
        """The same for whole layers, in random directions."""
        if update.bias is not None:
            yield self._sizes(update.bias, u.sum(axis=0))
        if update.W is not None:
            W, R = update.W.reshape(u.shape[1], h.shape[1]), rng.standard_normal((h.shape[1], DIRECTIONS)) / DIRECTIONS**0.5
            yield size(W @ R - u.T @ (h @ R)), size(W)

    def _sizes(self, given: np.ndarray, found: np.ndarray) -> tuple[float, float]:
        given, found = given.ravel(), found.ravel()
        if self.is_partial:
            given, found = known_of(given, found)
        return size(np.subtract(given, found, out=found)), size(given)

    def with_target(self, target: Float[np.ndarray, " equations"]) -> KKTSystem:
        """The same system with another target vector, given in the order of :attr:`target` (what-if noise, rounding)."""
        target, known = finite_array("target", target, (self.n_equations,), "one number for each equation"), self._known
        values = np.full(len(known), np.nan)
        values[known] = target
        shapes = [() if part is None else part.shape for update in self.updates for part in update]
        parts = unflatten(values, shapes, self._seen)
        return replace(self, updates=tuple(map(Update, parts[::2], parts[1::2])))

    def rescaled(self, k: int) -> KKTSystem:
        """The same system in other units: target and multipliers times 2^k, exactly if none of them over- or underflows."""
        return self.with_target(scaled(self.target, k))

    def describe(self) -> tuple[str, ...]:
        """The equations in words and formulas, one line each, as reports and the command line print them."""
        net, extra = self.network, (self.labels is not None, self.loss is not None)
        if isinstance(net, TwoLayerNetwork):
            return equations_in_words(self.regime, self.observed, net.has_bias, net.n_outputs, *extra)
        seen = [(update.W is not None, update.bias is not None) for update in self.updates]
        return layers_in_words(self.regime, seen, [b is not None for b in net.biases], net.n_outputs, *extra)

    def __repr__(self) -> str:
        return f"KKTSystem({self.regime}: {self.n_equations} equations from {', '.join(self.named_parts)} of {self.network!r})"
