"""Configurations: the sizes of a problem, without numbers, and seeded generic instances of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.base.limits import refuse_above
from identify.base.options import LAYERS, REGIMES, choice
from identify.planting.eigenvectors import PlantingError
from identify.planting.kkt_points import generic_point
from identify.problem.activation import Activation, ActivationError
from identify.problem.ambiguity import Ambiguity
from identify.problem.gradients import Observed, visible_degrees, weighted_gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import SELF_TRAINED, KKTSystem, equations_in_words

LARGEST = {"inputs": 10**6, "outputs": 10**6}
MANY = 10**9
"""Of any other size."""


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
    """Sizes of a two-layer network, of its training data, and what is observed.

    Parameters
    ----------
    inputs, samples, width, outputs
        d, n, m and C, each at least 1.
    activation
        An :class:`Activation` or a text for :meth:`Activation.parse`.
    bias
        Whether the first layer has biases.
    layers
        Which layers are observed: ``"both"``, ``"first"`` or ``"second"``.
    regime
        ``"gradient"``, ``"lazy"``, ``"weight-decay"`` or ``"max-margin"``.

    Raises
    ------
    ValueError
        For a size that is no positive integer, or too large for estimates, or an unknown option; the message lists the valid ones.

    Examples
    --------
    >>> config = Configuration(inputs=3, samples=2, width=4, activation="z + z^3")
    >>> system, truth = config.plant(seed=0)
    >>> system.residual(truth.X, truth.c) < 1e-15
    True
    """

    inputs: int
    samples: int
    width: int
    activation: Activation
    outputs: int = 1
    bias: bool = False
    layers: str = "both"
    regime: str = "gradient"

    def __post_init__(self) -> None:
        for name in ("inputs", "samples", "width", "outputs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise InputError(f"{name}: received {value!r}, expected an integer of at least 1")
            most = LARGEST.get(name, MANY)
            if value > most:
                raise InputError(f"{name}: received {value}, expected at most {most}; larger work is not even estimated")
            object.__setattr__(self, name, int(value))
        if isinstance(self.activation, str):
            object.__setattr__(self, "activation", Activation.parse(self.activation))
        if not isinstance(self.activation, Activation):
            raise ActivationError(
                f"activation: received {type(self.activation).__name__}, expected an Activation or a text such as 'z + z^3'"
            )
        if not isinstance(self.bias, (bool, np.bool_)):
            raise InputError(f"bias: received {self.bias!r}, expected True or False")
        choice("layers", self.layers, LAYERS)
        choice("regime", self.regime, REGIMES)

    @property
    def observed(self) -> Observed:
        return Observed.of(self.layers, self.bias)

    @property
    def degrees(self) -> tuple[int, ...]:
        """Degrees of the moments that the target sees."""
        return visible_degrees(self.activation, self.bias, self.observed)

    @property
    def ambiguity(self) -> Ambiguity:
        """The group up to which data can be determined from (S) alone."""
        return Ambiguity.of(self.degrees, is_lifted(self.degrees))

    @property
    def n_equations(self) -> int:
        """Number of scalar stationarity equations."""
        rows = self.observed
        return self.width * (self.inputs * rows.W + rows.bias + self.outputs * rows.a)

    @property
    def n_unknowns(self) -> int:
        """Number of scalar unknowns (x_i, c_i)."""
        return self.samples * (self.inputs + self.outputs)

    def describe(self) -> tuple[str, ...]:
        """The equations in words and formulas."""
        return equations_in_words(self.regime, self.observed, self.bias, self.outputs, False, False)

    def plant(self, seed: int = 0, *, integers: bool = False) -> tuple[KKTSystem, Truth]:
        """A generic instance with known data.

        For ``gradient`` and ``lazy``: weights, data and multipliers are random (weights normal with variance 1/d, data
        standard normal, multipliers of random sign with size between 1/2 and 3/2), and the target is computed from
        them in double precision. For ``max-margin`` and ``weight-decay`` the network must be stationary for its own
        data: such points are constructed for sigma = z^p, p >= 3 (see :mod:`identify.planting.kkt_points`).

        With ``integers`` the numbers are random integers from -5 to 5 (multipliers not 0), so that the target is exact.

        Raises
        ------
        ValueError
            For integers in a self-trained regime, or with activation coefficients that are not integers.
        PlantingError
            For a self-trained regime beyond that construction: another activation, more samples than inputs, or more
            neurons than such a point has.
        TooLargeError
            When the arrays would not fit in memory; nothing is allocated.
        """
        refuse_above(
            8 * (2 * self.width * (self.inputs + self.outputs + 1) + self.samples * (self.inputs + 2 * self.width)),
            f"an instance with {self.width} neurons, {self.inputs} inputs and {self.samples} samples",
        )
        rng = np.random.default_rng(seed)
        if integers and (self.regime in SELF_TRAINED or any(s.denominator > 1 for s in self.activation.coefficients)):
            raise InputError(
                f"integers: received regime {self.regime} and activation {self.activation}; "
                "expected gradient or lazy, and integer coefficients"
            )
        if self.regime in SELF_TRAINED:
            return self._plant_self_trained(rng)
        m, d, n, C = self.width, self.inputs, self.samples, self.outputs

        def draw(*shape: int) -> np.ndarray:
            return rng.integers(-5, 6, shape).astype(float) if integers else rng.standard_normal(shape)

        W, a = draw(m, d) * (1 if integers else 1 / np.sqrt(d)), draw(C, m)
        b = draw(m) if self.bias else None
        X = draw(n, d)
        sign = rng.choice([-1.0, 1.0], (n, C))
        c = sign * (rng.integers(1, 6, (n, C)) if integers else rng.uniform(0.5, 1.5, (n, C)))
        net = TwoLayerNetwork(W, a[0] if C == 1 else a, self.activation, bias=b)
        sigma = self.activation
        tW, tb, ta = weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c)
        rows = self.observed
        system = KKTSystem(net, tW if rows.W else None, tb if rows.bias else None, ta.reshape(net.a.shape) if rows.a else None, self.regime)
        return system, Truth(X, c[:, 0] if C == 1 else c)

    def _plant_self_trained(self, rng: np.random.Generator) -> tuple[KKTSystem, Truth]:
        if self.outputs > 1:
            raise PlantingError(
                f"regime {self.regime} with {self.outputs} outputs: instances are constructed for one output only; use outputs=1"
            )
        point, decay = generic_point(
            rng,
            inputs=self.inputs,
            samples=self.samples,
            width=self.width,
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


def is_lifted(degrees: tuple[int, ...]) -> bool:
    """Whether every degree 0..p is visible, so that the moments are one symmetric tensor in the lifted inputs (x, 1)."""
    return degrees == tuple(range(degrees[-1] + 1))
