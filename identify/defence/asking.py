"""The question to ``defences``: the problem with its data, and the levels of each defence, checked or chosen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import numpy as np

from identify.base.errors import InputError, WrongTypeError
from identify.base.limits import LEAST, seconds_left
from identify.base.options import choice, positive, whole
from identify.conditions.check import INCONSISTENT, InconsistentDataError
from identify.conditions.generic_global import Secant
from identify.conditions.question import setting_of
from identify.conditions.thresholds import largest_identifiable
from identify.defence import sending
from identify.defence.levels import Level, Owner, exact_system
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.ambiguity import normal_form
from identify.problem.arrays import ShapeError
from identify.problem.data import check_data
from identify.problem.refusals import is_polynomial
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.recovery.recover import recover

BATCHES = 6
"""Default number of batch sizes, besides the given one and the two at which counting begins to exclude uniqueness."""
PLANTED = "one instance of the configuration was planted: random weights, samples and labels"


def share_of_time(share: float = 0.1) -> float | None:
    """Seconds for one check or one recovery, of those that are left; None without a limit."""
    left = seconds_left()
    return None if left is None else max(share * left, LEAST)


def given_problem(system: Any, X: Any, c: Any, seed: int) -> tuple[KKTSystem, np.ndarray, np.ndarray, tuple[str, ...]]:
    """The system and its data: given, planted, or recovered."""
    if isinstance(system, Configuration):
        if X is not None or c is not None:
            raise InputError("data: received X or c beside a Configuration, which plants its own; expected a KKTSystem with them")
        made, truth = system.plant(seed)
        if is_polynomial(made.network) or system.regime in SELF_TRAINED:
            return made, truth.X, truth.c, (PLANTED,)
        labels = np.random.default_rng([seed, 5]).integers(0, max(system.outputs, 2), system.samples)
        signals = sending.loss_signals(made.network, truth.X, 2.0 * labels - 1 if system.outputs == 1 else labels.astype(float))
        return exact_system(made.network, made.updates, made.regime, truth.X, signals), truth.X, signals, (PLANTED,)
    if not isinstance(system, KKTSystem):
        raise WrongTypeError(f"defences: received {type(system).__name__}, expected a KKTSystem or a Configuration")
    if (X is None) != (c is None):
        raise InputError("data: received X or c alone, expected both samples and multipliers, or neither to recover them")
    if X is not None:
        return system, X, c, ()
    recovery = recover(system, seed=seed, budget=share_of_time(0.5), judge=False)  # nothing goes on without it
    return (
        system,
        recovery.X,
        recovery.c,
        (f"no data were given: these are the {len(recovery.X)} samples that recover found, which need not be the data",),
    )


def owner_of(system: KKTSystem, X: Any, c: Any, precision: int, seed: int) -> tuple[Owner, tuple[str, ...]]:
    """The exact problem of these data, and the changes that made it exact."""
    net = system.network
    X, c, dropped, merged = normal_form(*check_data(X, c, net.n_inputs, net.n_outputs))
    if not len(X):
        raise ShapeError("c: every multiplier is zero, so no sample enters the equations; expected at least one that is not")
    residual = system.residual(X, c)
    if not residual <= INCONSISTENT:
        raise InconsistentDataError(residual)
    notes = [f"{system!r}, {len(X)} samples; the given target differs from that of the data by {residual:.1e} relative"]
    if dropped or merged:
        notes.append(f"{dropped} samples with zero multiplier were left out, and {merged} merged with samples that they coincide with")
    if system.regime not in SELF_TRAINED:
        system = exact_system(net, system.updates, system.regime, X, c)
        notes.append(
            f"if the defence is not about the target, it is seen with {precision} significant bits; multipliers are kept at every level"
        )
    return Owner(system, X, c, precision, seed), tuple(notes)


def numbers(name: str, values: Sequence[Any], low: int, most: int | None, *, falling: bool = False) -> tuple[Level, ...]:
    """Distinct levels from weak to strong; integers unless everything above 0 is allowed."""
    words = "positive numbers" if low == 0 else f"integers from {low} on" if most is None else f"integers from {low} to {most}"
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise InputError(f"{name}: received {values!r}, expected a sequence of {words}")
    read = partial(whole, name, least=low, most=most) if low else partial(positive, name)
    return tuple(sorted({read(value) for value in values}, reverse=falling))


def format_names(name: str, values: Sequence[Any]) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise InputError(f"{name}: received {values!r}, expected a sequence of {', '.join(sending.FORMATS)}")
    return tuple(dict.fromkeys(choice(name, value, sending.FORMATS) for value in values))


def layer_sets(values: Sequence[Collection[int]], known: set[int]) -> tuple[tuple[int, ...], ...]:
    """Sets of layers, with something left to send."""
    read = []
    for value in values:
        if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
            raise InputError(f"withheld: received {value!r}, expected sets of layers, such as [(), (1,), (2, 3)]")
        layers = tuple(sorted({whole("withheld", layer, most=max(known)) for layer in value}))
        if not known - set(layers):
            raise InputError(f"withheld: received {layers}, all layers that were observed; expected to leave one")
        read.append(layers)
    return tuple(dict.fromkeys(read))


def usual_sets(known: set[int]) -> list[tuple[int, ...]]:
    """Nothing, each layer, all but the first, all but the last."""
    layers = sorted(known)
    sets = [(), *((layer,) for layer in layers), tuple(layers[1:]), tuple(layers[:-1])]
    return [layers for layers in sets if known - set(layers)]


def usual_widths(owner: Owner) -> tuple[int, ...]:
    m = owner.system.network.widths[0]
    return tuple(max(round(m * 2.0**k), 1) for k in range(-4, 2))


def truncations(system: KKTSystem) -> tuple[Activation, ...]:
    sigma = system.network.activation
    return tuple(Activation(sigma.coefficients[: k + 1]) for k in reversed(sigma.support) if k >= 2)


def activations_of(values: Sequence[Activation | str]) -> tuple[Activation, ...]:
    if isinstance(values, (str, Activation)):
        raise InputError(f"degree: received {values!r}, expected a sequence of activations, such as ('z + z^2', 'z + z^3')")
    return tuple(value if isinstance(value, Activation) else Activation.parse(value) for value in values)


def usual_batches(owner: Owner) -> tuple[int, ...]:
    """Numbers from one sample to the first that counting excludes, in constant ratios, and the given number."""
    if not is_polynomial(owner.system.network):
        n, most = len(owner.X), largest_identifiable(owner.system, seed=owner.seed)
        further = {
            most.unique_by_separation,
            min(owner.system.network.widths),
            *([] if most.not_identifiable is None else [most.not_identifiable]),
        }
        return (*(k for k in (1, n // 4, n // 2, n) if k), *(k for k in further if k > n))
    secant = Secant.of(setting_of(owner.system, 1, owner.seed))
    first = secant.available // secant.tangent + 1
    return (*(round(level) for level in np.geomspace(1, first, BATCHES)), max(first - 1, 1), len(owner.X))
