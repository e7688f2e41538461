"""Configurations: the sizes of a problem, without numbers, and seeded generic instances of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
from jaxtyping import Float

from identify.base.errors import InputError
from identify.base.limits import refuse_above, refuse_late
from identify.base.options import REGIMES, choice, valid_seed, whole
from identify.planting.eigenvectors import PlantingError
from identify.planting.kkt_points import generic_point
from identify.problem.activation import Activation, PiecewiseLinear, as_activation
from identify.problem.ambiguity import Ambiguity
from identify.problem.gradients import Observed, visible_degrees
from identify.problem.network import Network, TwoLayerNetwork
from identify.problem.refusals import Unsupported, refusal
from identify.problem.signals import backward, forward, layer_updates, updates_from
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.updates import Update, layer_numbers
from identify.problem.words import equations_in_words, layers_in_words

MULTIPLIERS = ("signed", "softmax")
LAYERS_OF_TWO = {(1, 2): "both", (1,): "first", (2,): "second"}
PRODUCTS_PER_SECOND = 1.5e10
"""Operations of products of large matrices on one core, for the estimate of the time of planting."""
LARGEST = {"inputs": 10**6, "outputs": 10**6}
"""Largest number of inputs and of outputs."""
TRIALS = 1000
"""Instances with integers that are drawn before planting gives up."""
MANY = 10**9
"""Largest value of every other size."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The data behind a planted system: inputs ``X`` and signed multipliers ``c`` (one column per output if C > 1)."""

    X: Float[np.ndarray, "n d"]
    c: Float[np.ndarray, " n"] | Float[np.ndarray, "n C"]

    @property
    def labels(self) -> Float[np.ndarray, " n"]:
        """y_i = sign c_i (one output)."""
        return np.sign(self.c)

    @property
    def multipliers(self) -> Float[np.ndarray, " n"]:
        """lambda_i = |c_i| (one output)."""
        return np.abs(self.c)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Sizes of a network and of its training data, and the observed layers.

    Parameters
    ----------
    inputs, samples, outputs
        d, n and C, each at least 1.
    width
        m, the number of neurons, or one for each hidden layer.
    activation
        An :class:`Activation`, a text for :meth:`Activation.parse`, coefficients, or a polynomial of NumPy or SymPy; for all hidden layers.
    bias
        Whether the hidden layers have biases. The outputs have none.
    layers
        Observed layers: ``"both"`` (all of them), ``"first"``, ``"second"``, or their numbers from 1.
    regime
        ``"gradient"``, ``"lazy"``, ``"weight-decay"`` or ``"max-margin"``.

    Raises
    ------
    ValueError
        For a size that is not a positive integer, or too large for estimates, or an unknown option; the message lists the valid ones.

    Examples
    --------
    >>> config = Configuration(inputs=3, samples=2, width=4, activation="z + z^3")
    >>> system, truth = config.plant(seed=0)
    >>> system.residual(truth.X, truth.c) < 1e-15
    True
    >>> deep = Configuration(inputs=5, samples=2, width=(8, 6), activation="relu", outputs=3, bias=True)
    >>> deep.plant(seed=0)[0]
    KKTSystem(gradient: 120 equations from W1, b1, W2, b2, W3 of Network(5-8-6-3, relu, biases in layers 1, 2))
    """

    inputs: int
    samples: int
    width: int | tuple[int, ...]
    activation: Activation
    outputs: int = 1
    bias: bool = False
    layers: str | tuple[int, ...] = "both"
    regime: str = "gradient"

    if TYPE_CHECKING:  # what the constructor takes, beside what it keeps

        def __init__(
            self,
            *,
            inputs: int,
            samples: int,
            width: int | Sequence[int],
            activation: Any,
            outputs: int = 1,
            bias: bool = False,
            layers: str | Collection[int] = "both",
            regime: str = "gradient",
        ) -> None: ...

    def __post_init__(self) -> None:
        for name in ("inputs", "samples", "outputs"):
            object.__setattr__(self, name, _size(name, getattr(self, name)))
        if isinstance(self.width, (tuple, list)):
            if not self.width:
                raise InputError("width: received none, expected one for each hidden layer, at least one")
            sizes = tuple(_size("width", value) for value in self.width)
            object.__setattr__(self, "width", sizes if len(sizes) > 1 else sizes[0])
        else:
            object.__setattr__(self, "width", _size("width", self.width))
        object.__setattr__(self, "activation", as_activation(self.activation))
        if not isinstance(self.bias, (bool, np.bool_)):
            raise InputError(f"bias: received {self.bias!r}, expected True or False")
        numbers = layer_numbers(self.layers, self.depth)
        if not isinstance(self.layers, str):
            object.__setattr__(self, "layers", LAYERS_OF_TWO[numbers] if self.depth == 2 else numbers)
        choice("regime", self.regime, REGIMES)

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers of neurons of the hidden layers."""
        return self.width if isinstance(self.width, tuple) else (self.width,)

    @property
    def neurons(self) -> int:
        """m, the number of neurons of one hidden layer. Raises :class:`UnsupportedError` for more hidden layers."""
        if isinstance(self.width, tuple):
            raise refusal("neurons", Unsupported.DEPTH, self)
        return self.width

    @property
    def depth(self) -> int:
        """L, the number of layers of weights."""
        return len(self.widths) + 1

    @property
    def activations(self) -> tuple[Activation, ...]:
        """One for each hidden layer."""
        return (self.activation,) * len(self.widths)

    @property
    def has_output_bias(self) -> bool:
        return False

    @property
    def observed(self) -> Observed:
        """Which groups of parameters of two layers are observed. Raises :class:`UnsupportedError` for more layers."""
        if self.depth != 2 or not isinstance(self.layers, str):
            raise refusal("observed", Unsupported.DEPTH, self)
        return Observed.of(self.layers, self.bias)

    @property
    def degrees(self) -> tuple[int, ...]:
        """Degrees of the moments that the target contains."""
        return visible_degrees(self.activation, self.bias, self.observed)

    @property
    def ambiguity(self) -> Ambiguity:
        """The group up to which data can be determined from (S) alone."""
        return Ambiguity.of(self.degrees, is_lifted(self.degrees))

    @property
    def n_equations(self) -> int:
        """Number of scalar stationarity equations."""
        sizes = (self.inputs, *self.widths, self.outputs)
        return sum(sizes[k] * (sizes[k - 1] + (self.bias and k < self.depth)) for k in layer_numbers(self.layers, self.depth))

    @property
    def n_unknowns(self) -> int:
        """Number of scalar unknowns (x_i, c_i)."""
        return self.samples * (self.inputs + self.outputs)

    def describe(self) -> tuple[str, ...]:
        """The equations in words and formulas."""
        if self.depth == 2:
            return equations_in_words(self.regime, self.observed, self.bias, self.outputs, False, False)
        has_bias = [self.bias] * (self.depth - 1) + [False]
        observed_layers = layer_numbers(self.layers, self.depth)
        seen = [(k in observed_layers, k in observed_layers and has) for k, has in enumerate(has_bias, 1)]
        return layers_in_words(self.regime, seen, has_bias, self.outputs, False, False)

    def plant(self, seed: int = 0, *, integers: bool = False, multipliers: str = "signed") -> tuple[KKTSystem, Truth]:
        """A generic instance with known data.

        For ``gradient`` and ``lazy``: weights, data and multipliers are random, data standard normal, and the target is computed from
        them in double precision. Two layers: first-layer weights are normal with variance 1/d, biases and second-layer weights
        standard normal. More: weights are normal with variance 1/fan-in (2/fan-in for piecewise-linear activations, which
        keeps the size of the signals), biases with variance 1/fan-in. For ``max-margin`` and ``weight-decay`` the network must be
        stationary for its own data: such points are constructed for two layers and sigma = z^p, p >= 3 (see
        :mod:`identify.planting.kkt_points`).

        Parameters
        ----------
        seed
            Of all random numbers, from 0 to 2^53 - 1.
        integers
            The numbers are random integers from -5 to 5 (multipliers not 0), and the target is exact: computed in rational arithmetic, and
            representable. With piecewise-linear activations no pre-activation is a breakpoint.
        multipliers
            ``"signed"``: of random sign with size between 1/2 and 3/2. ``"softmax"``, for two or more outputs: those of the mean
            cross-entropy, (e_y - softmax f(x))/n for random labels y, whose only positive entries are those of the labels.

        Raises
        ------
        ValueError
            For integers in a self-trained regime, with an activation that is not a polynomial of integer coefficients or
            piecewise-linear with dyadic numbers, or with a target that has no exact doubles; for multipliers of another name, or softmax
            with one output, integers, or a self-trained regime.
        PlantingError
            For a self-trained regime beyond that construction: another activation, more samples than inputs, or more
            neurons than such a point has.
        TooLargeError
            When the arrays would not fit in memory; nothing is allocated.
        OutOfTimeError
            Within a verb that has a budget, when the estimate exceeds what is left of it.
        """
        sizes = (self.inputs, *self.widths, self.outputs)
        weights = sum(out * (inside + 1) for inside, out in pairwise(sizes))
        refuse_above(
            8 * (2 * weights + self.samples * (self.inputs + 2 * sum(self.widths))),
            f"an instance with {sum(self.widths)} neurons, {self.inputs} inputs and {self.samples} samples",
        )
        refuse_late(6 * self.samples * weights / PRODUCTS_PER_SECOND, "planting an instance of these sizes")
        rng = np.random.default_rng(valid_seed(seed))
        choice("multipliers", multipliers, MULTIPLIERS)
        if integers and (self.regime in SELF_TRAINED or not self._has_integers):
            raise InputError(
                f"integers: received regime {self.regime} and activation {self.activation}; expected gradient or lazy, and a polynomial "
                "with integer coefficients, or a piecewise-linear activation with numbers that doubles hold exactly"
            )
        if multipliers == "softmax" and (self.outputs == 1 or integers or self.regime in SELF_TRAINED):
            raise InputError(
                f"multipliers: received softmax with {self.outputs} outputs, regime {self.regime} and integers={integers}; expected two "
                "or more outputs, gradient or lazy, and no integers"
            )
        if self.regime in SELF_TRAINED:
            return self._plant_self_trained(rng)
        draw = self._integer_instance if integers else self._instance
        net, X, c = draw(rng, multipliers)
        found = layer_updates(net.weights, net.biases, net.activations, X, c)
        updates = {k: Update(*found[k - 1]) for k in layer_numbers(self.layers, self.depth)}
        updates = {k: update if net.biases[k - 1] is not None else update._replace(bias=None) for k, update in updates.items()}
        return KKTSystem(net, updates, self.regime), Truth(X, c[:, 0] if self.outputs == 1 else c)

    def _instance(self, rng: np.random.Generator, multipliers: str, integers: bool = False) -> tuple[Network, np.ndarray, np.ndarray]:
        n, C = self.samples, self.outputs

        def draw(*shape: int) -> np.ndarray:
            return rng.integers(-5, 6, shape).astype(float) if integers else rng.standard_normal(shape)

        net = self._network(draw, integers)
        X = draw(n, self.inputs)
        if multipliers == "softmax":
            return net, X, (np.eye(C)[rng.integers(0, C, n)] - scipy.special.softmax(net.outputs(X), axis=1)) / n
        sign = rng.choice([-1.0, 1.0], (n, C))
        return net, X, sign * (rng.integers(1, 6, (n, C)) if integers else rng.uniform(0.5, 1.5, (n, C)))

    def _integer_instance(self, rng: np.random.Generator, multipliers: str) -> tuple[Network, np.ndarray, np.ndarray]:
        """Drawn again until some update is not zero and, with piecewise-linear activations, no pre-activation is a breakpoint."""
        sigma, observed = self.activation, layer_numbers(self.layers, self.depth)
        breakpoints = sigma.breakpoints if isinstance(sigma, PiecewiseLinear) else ()
        for _ in range(TRIALS):
            net, X, c = self._instance(rng, multipliers, integers=True)
            with np.errstate(over="ignore", invalid="ignore"):
                entering, rounded_before = forward(net.weights, net.biases, net.activations, X)
                rounded = updates_from(entering, backward(net.weights, net.activations, rounded_before, c))
            if breakpoints and any(np.isin(z, [float(t) for t in breakpoints]).any() for z in rounded_before[:-1]):
                continue
            if not any(np.any(rounded[k - 1][0]) for k in observed):  # a dead network
                continue
            before, exact = exact_passes(net, X, c)
            if not all(np.array_equal(*parts) for k in observed for parts in zip(exact[k - 1], rounded[k - 1], strict=True)):
                raise InputError(
                    f"integers: the target of an instance with activation {sigma} and {self.depth} layers has numbers that no double "
                    "is equal to; expected a lower degree, or smaller sizes"
                )
            if not any(value in breakpoints for z in before for value in z.ravel()):
                return net, X, c
        raise PlantingError(
            f"integers: none of {TRIALS} instances with {self.samples} samples and {sum(self.widths)} neurons has all pre-activations off "
            "the breakpoints and an update that is not zero; use fewer samples or neurons, or no integers"
        )

    @property
    def _has_integers(self) -> bool:
        sigma = self.activation
        if isinstance(sigma, PiecewiseLinear):
            numbers = (*sigma.breakpoints, *sigma.slopes, *sigma.kinks, *sigma.intercepts)
            return all(Fraction(float(value)) == value for value in numbers)
        return sigma.kind == "polynomial" and all(s.denominator == 1 for s in sigma.coefficients)

    def _network(self, draw: Callable[..., np.ndarray], integers: bool) -> Network:
        d, C = self.inputs, self.outputs
        if self.depth == 2:
            m = self.neurons
            W, a = draw(m, d) * (1 if integers else 1 / np.sqrt(d)), draw(C, m)
            return TwoLayerNetwork(W, a[0] if C == 1 else a, self.activation, bias=draw(m) if self.bias else None)
        gain = 2.0 if self.activation.kind == "piecewise-linear" else 1.0
        sizes, weights, biases = (d, *self.widths, C), [], []
        for k, (inside, out) in enumerate(pairwise(sizes), 1):
            weights.append(draw(out, inside) * (1 if integers else np.sqrt((gain if k < self.depth else 1.0) / inside)))
            biases.append(draw(out) / (1 if integers else np.sqrt(inside)) if self.bias and k < self.depth else None)
        return Network(weights, biases=biases, activation=self.activation)

    def _plant_self_trained(self, rng: np.random.Generator) -> tuple[KKTSystem, Truth]:
        if self.outputs > 1:
            raise PlantingError(
                f"regime {self.regime} with {self.outputs} outputs: instances are constructed for one output only; use outputs=1"
            )
        if self.depth > 2:
            raise PlantingError(
                f"regime {self.regime} with {self.depth} layers: instances are constructed for two; train a network with attacks.train"
            )
        point, decay = generic_point(
            rng,
            inputs=self.inputs,
            samples=self.samples,
            width=self.neurons,
            activation=self.activation,
            bias=self.bias,
            regime=self.regime,
        )
        if self.regime == "max-margin":
            system = KKTSystem.max_margin(point.network, labels=point.labels, layers=self.layers)
        else:
            assert decay is not None
            system = KKTSystem.weight_decay(point.network, decay=decay, loss="logistic", layers=self.layers)
        return system, Truth(point.X, point.c)


def exact_passes(net: Network, X: np.ndarray, c: np.ndarray) -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    """Pre-activations of the hidden layers and updates of all, in fractions."""
    fractions = np.frompyfunc(Fraction, 1, 1)
    weights, biases = [fractions(W) for W in net.weights], [None if b is None else fractions(b) for b in net.biases]
    sigmas = [sigma.exact for sigma in net.activations]
    entering, before = forward(weights, biases, sigmas, fractions(X))
    return before[:-1], updates_from(entering, backward(weights, sigmas, before, fractions(c)))


def _size(name: str, value: Any) -> int:
    number = whole(name, value)
    most = LARGEST.get(name, MANY)
    if number > most:
        raise InputError(f"{name}: received {number}, expected at most {most}; larger work is not even estimated")
    return number


def is_lifted(degrees: tuple[int, ...]) -> bool:
    """Whether every degree 0..p is visible, so that the moments are one symmetric tensor in the lifted inputs (x, 1)."""
    return degrees == tuple(range(degrees[-1] + 1))
