"""``kkt_equations``: from sizes, or from a network and its updates, to the symbolic system of that kind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import overload

from identify.base.errors import InputError, WrongTypeError
from identify.base.limits import refuse_above
from identify.base.options import whole
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation, PiecewiseLinear
from identify.problem.gradients import Observed
from identify.problem.refusals import refuse_recovery_only
from identify.problem.system import KKTSystem
from identify.problem.updates import layer_numbers
from identify.symbolic.layered import LayeredSystem, Layers
from identify.symbolic.names import LayerNames, Names
from identify.symbolic.system import SymbolicSystem
from identify.symbolic.two_layers import PolynomialSystem

BYTES_PER_SYMBOL = 1000


@overload
def kkt_equations(problem: Configuration) -> SymbolicSystem: ...
@overload
def kkt_equations(problem: KKTSystem, *, samples: int) -> SymbolicSystem: ...
def kkt_equations(problem: Configuration | KKTSystem, *, samples: int | None = None) -> SymbolicSystem:
    """The KKT system of a configuration with symbols for weights and data, or of a system with its exact numbers.

    Parameters
    ----------
    problem
        A :class:`Configuration`, or a :class:`KKTSystem`, whose floats are taken as the exact rationals that they are. Any activation, any
        number of layers.
    samples
        n, for a KKTSystem.

    Returns
    -------
    SymbolicSystem
        Two layers with a polynomial activation: polynomials in the data and the multipliers. Piecewise-linear activations: with their
        slopes as unknowns, constraints on these, and sign inequalities (:mod:`identify.symbolic.pieces`). Analytic ones: with SymPy's
        functions, or functions of the activation's name (:mod:`identify.symbolic.functions`). More than two layers: layer by layer, with
        pre-activations z, values h and signals u of the hidden layers as unknowns that have equations of their own.

    Raises
    ------
    InputError
        For a number of samples that is missing, or not that of the labels.
    UnsupportedError
        For a system behind a feature map.
    TooLargeError
        For more symbols than memory has room for.

    Examples
    --------
    >>> eqs = kkt_equations(Configuration(inputs=2, samples=1, width=1, activation="z^3", layers="first", regime="max-margin"))
    >>> eqs.equations[0]
    3*a_1*lambda_1*x_1_1*y_1*(w_1_1*x_1_1 + w_1_2*x_1_2)**2 - w_1_1
    >>> eqs = kkt_equations(Configuration(inputs=2, samples=1, width=1, activation="relu", layers="first"))
    >>> eqs.equations[0], eqs.equations[2], eqs.inequalities[0]
    (a_1*lambda_1*s_1_1*x_1_1*y_1 - tw_1_1, s_1_1**2 - s_1_1, s_1_1*(w_1_1*x_1_1 + w_1_2*x_1_2) >= 0)
    """
    if isinstance(problem, Configuration):
        if samples is not None:
            raise InputError("samples: a Configuration already says how many samples there are; leave it out")
        observed = layer_numbers(problem.layers, problem.depth)
        biases = (problem.bias,) * (problem.depth - 1) + (False,)
        seen = tuple((k in observed, k in observed and has) for k, has in enumerate(biases, 1))
        sizes = (problem.inputs, *problem.widths, problem.outputs)
        return _system(problem.activations, sizes, biases, seen, problem.samples, problem.regime, None)
    refuse_recovery_only("kkt_equations", problem)
    if not isinstance(problem, KKTSystem):
        raise WrongTypeError(
            f"kkt_equations: received {type(problem).__name__}, expected a Configuration or a KKTSystem, such as "
            "KKTSystem.gradient(net, layers=…), KKTSystem.weight_decay(net, decay=…) or KKTSystem.max_margin(net), "
            "with net = Network.of(model)"
        )
    samples = whole("samples", samples)
    if problem.labels is not None and len(problem.labels) != samples:
        raise InputError(f"samples: received {samples}, but the system has {len(problem.labels)} labels; expected one for each sample")
    net = problem.network
    seen = tuple((update.W is not None, update.bias is not None) for update in problem.updates)
    return _system(net.activations, net.sizes, tuple(b is not None for b in net.biases), seen, samples, problem.regime, problem)


def _system(
    activations: Sequence[Activation],
    sizes: tuple[int, ...],
    biases: tuple[bool, ...],
    seen: tuple[tuple[bool, bool], ...],
    samples: int,
    regime: str,
    numbers: KKTSystem | None,
) -> SymbolicSystem:
    """The kind of system that these layers have."""
    d, *widths, C = sizes
    deep = len(biases) > 2
    refuse_many(sizes, samples, [len(sigma.breakpoints) if isinstance(sigma, PiecewiseLinear) else 0 for sigma in activations])
    signed = numbers is not None and numbers.labels is None and regime != "max-margin"
    if not deep and not biases[1] and activations[0].kind == "polynomial":
        names = Names(inputs=d, samples=samples, outputs=C, signed=signed, width=widths[0], bias=biases[0])
        return PolynomialSystem(activations[0], names, Observed(*seen[0], seen[1][0]), regime, numbers)
    layers = LayerNames(inputs=d, samples=samples, outputs=C, signed=signed, widths=tuple(widths), biases=biases)
    return LayeredSystem(Layers(tuple(activations), seen), layers, regime, numbers)


def refuse_many(sizes: Sequence[int], samples: int, indicators: Sequence[int]) -> None:
    """Raise TooLargeError for more symbols than memory has room for: data, network and target, and what hidden layers have."""
    weights = 2 * sum(out * (inside + 1) for inside, out in pairwise(sizes))
    hidden = sum(m * ((3 if len(sizes) > 3 else 0) + k) for m, k in zip(sizes[1:-1], indicators, strict=True))
    count = samples * (sizes[0] + 2 * sizes[-1] + hidden) + weights
    refuse_above(BYTES_PER_SYMBOL * count, f"a system with {count} symbols")
