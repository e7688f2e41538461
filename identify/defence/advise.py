"""``defences``: the effect on the verdict and on the error bars of measures that an owner could take against recovery."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from identify.base.errors import InputError, WrongTypeError
from identify.base.limits import Stopped, TooLargeError, is_affordable
from identify.base.options import positive, valid_seed, whole
from identify.conditions.check import INCONSISTENT, InconsistentDataError, check
from identify.conditions.diagnostics.error_bars import ErrorBars, error_bars, times
from identify.conditions.generic_global import Secant
from identify.conditions.judgement import versions
from identify.conditions.question import ambiguity_of, setting_of
from identify.defence.curves import DefenceCurve, Defences
from identify.defence.levels import Defence, Level, Owner, Problem, exact_system
from identify.problem.activation import Activation
from identify.problem.ambiguity import normal_form
from identify.problem.data import check_data
from identify.problem.network import ShapeError
from identify.problem.precision import LARGEST
from identify.problem.refusals import refuse_recovery_only, require_polynomial
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.verdict import Verdict
from identify.recovery.recover import TOLERANCE, recover
from identify.recovery.solution import RecoveryError

NOISE = tuple(float(f"1e{k}") for k in range(-12, 0))
TARGET_BITS = (24, 11, 8, 4)
"""Significant bits of float32, float16, bfloat16 and the eight-bit format e4m3; exponents do not overflow."""
WEIGHT_BITS = (24, 8, 4, 2)
MOST_BITS = 53
BATCHES = 6
"""Default number of batch sizes, besides the given one and the two at which counting begins to exclude uniqueness."""
TRAINED_ANEW = "weights, width, degree, batch: left out, because a network trained on its data would have to be trained anew for each level"


def defences(
    system: KKTSystem,
    X: ArrayLike,
    c: ArrayLike,
    *,
    noise: Sequence[float] = NOISE,
    rounding: Sequence[int] = TARGET_BITS,
    weights: Sequence[int] | None = None,
    width: Sequence[int] | None = None,
    degree: Sequence[Activation | str] | None = None,
    batch: Sequence[int] | None = None,
    precision: int = 24,
    spot_checks: int = 4,
    seed: int = 0,
    budget: float | None = 10.0,
    progress: Callable[[str], None] = lambda step: None,
) -> Defences:
    """The effect of noise, rounding, width, degree and batch size on the verdict and on the error bars, for owners of the data.

    Each defence maps a level to a changed problem, whose exact verdict is that of :func:`identify.check` and whose error bars are
    those of :func:`~identify.conditions.diagnostics.error_bars.error_bars`. An empty sequence leaves a defence out.

    Parameters
    ----------
    system, X, c
        The equations, and the data that solve them, as for ``check(system, data=(X, c))``. For ``gradient`` and ``lazy`` the target is
        replaced by the exact one of these data.
    noise
        Standard deviations of Gaussian noise on the published numbers (the gradient, the change of the weights, or the weights of a
        network trained on its data), relative to their root mean square: positive, dimensionless.
    rounding
        Significant bits of the published numbers, 1 to 53.
    weights
        Significant bits of the weights at which gradients are taken, 1 to 53; the analyst knows the rounded weights. By default 24, 8,
        4, 2.
    width
        Numbers of neurons. Neurons are dropped in a random order; added ones are Gaussian, of the root mean square size of the others.
        By default from a sixteenth of the width to twice the width.
    degree
        Activations in place of the given one. By default its truncations, at every degree from 2 on.
    batch
        Numbers of samples: the first of X, and generic ones beyond. By default up to where counting excludes uniqueness.
    precision
        Significant bits, 1 to 53, of the observed targets if the defence itself is not about them: 24, as in float32.
    spot_checks
        Levels of noise and of rounding, evenly spread, at which :func:`identify.recover` is run; at least 0.
    seed
        Seed of all random numbers, from 0 to 2^53 - 1; the same seed gives the same result.
    budget
        Seconds, above 0, for one check and for the searches of one recovery; None for no limit.
    progress
        Called with the defence and the level as each begins.

    Returns
    -------
    Defences
        Multipliers stay the same throughout. A defence that raises error bars does not prove privacy: the verdicts are about exact targets,
        the error bars are first-order estimates, and a recovery that does not succeed proves nothing.

    Raises
    ------
    ValueError
        For levels out of range, data of the wrong shape, defences that would need new training, or nothing to do.
    InconsistentDataError
        When the data do not solve the equations.
    TooLargeError
        When the Jacobian would not fit in memory.

    Notes
    -----
    On planted instances with relative noise up to 1e-6 the worst error of ``recover`` lies between a sixth and three times the worst
    ``typical`` one, and below ``bound`` (tested). Cost: for each level that changes the network or the data, two checks
    and one Jacobian of O(equations · unknowns^2).

    References
    ----------
    Golub & Van Loan 2013, section 5.3 (first-order perturbation of a least-squares solution); the verdicts as in :func:`identify.check`.

    Examples
    --------
    >>> from identify.planting.configuration import Configuration
    >>> system, truth = Configuration(inputs=4, samples=3, width=15, activation="z + z^2 + z^3").plant(0)
    >>> found = defences(system, truth.X, truth.c, noise=[1e-9, 1e-3], rounding=[], width=[2], batch=[], spot_checks=0)
    >>> found["noise"].statement(0)
    'identifiable, to 7 digits'
    >>> found["width"].verdicts
    (<Verdict.NOT_UNIQUE: 'NOT_UNIQUE'>,)
    """
    refuse_recovery_only("defences", system)
    if not isinstance(system, KKTSystem):
        raise WrongTypeError(f"defences: received {type(system).__name__}, expected a KKTSystem")
    require_polynomial("defences", system.network)
    bits = _numbers("precision", (precision,), 1, MOST_BITS)[0]
    spot_checks, seed = whole("spot_checks", spot_checks, least=0), valid_seed(seed)
    budget = None if budget is None else positive("budget", budget, unit="seconds", advice=", or None")
    owner, notes = _owner(system, X, c, int(bits), seed)
    chosen = [
        owner.noise(_numbers("noise", noise, 0, None)),
        owner.rounding(_numbers("rounding", rounding, 1, MOST_BITS, falling=True)),
    ]
    if system.regime in SELF_TRAINED:
        for name, levels in {"weights": weights, "width": width, "degree": degree, "batch": batch}.items():
            if levels is not None and len(levels):
                raise InputError(
                    f"{name}: regime {system.regime}, where the network depends on its data and would have to be trained anew; "
                    "leave it out, or audit each network by itself"
                )
        notes += (TRAINED_ANEW,)
    else:
        chosen += [
            owner.weights(_numbers("weights", WEIGHT_BITS if weights is None else weights, 1, MOST_BITS, falling=True)),
            owner.width(_numbers("width", _widths(owner) if width is None else width, 1, None, falling=True)),
            owner.degree(_truncations(system) if degree is None else _activations(degree)),
            owner.batch(_numbers("batch", _batches(owner) if batch is None else batch, 1, None)),
        ]
    chosen = [defence for defence in chosen if defence.levels]
    if not chosen:
        raise InputError("noise, rounding, weights, width, degree, batch: received no level of any, expected at least one; leave out fewer")
    audit = _Audit(int(spot_checks), seed, budget, progress)
    return Defences(tuple(audit.curve(defence, len(owner.X)) for defence in chosen), notes, seed, versions())


@dataclass(eq=False)
class _Audit:
    """Evaluates problems; a system that several levels share is judged once."""

    spot_checks: int
    seed: int
    budget: float | None
    progress: Callable[[str], None]
    judged: dict[tuple[int, int], tuple[KKTSystem, Verdict | None, Verdict | None, ErrorBars | None]] = field(default_factory=dict)

    def curve(self, defence: Defence, known: int) -> DefenceCurve:
        """Levels from weak to strong. With a time limit, a step does not begin if the last one took longer than the time left."""
        count = len(defence.levels)
        spots = set(np.linspace(0, count - 1, min(self.spot_checks, count) * defence.hides).round().astype(int).tolist())
        verdicts: list[Verdict | None] = []
        generic: list[Verdict | None] = []
        stopped: dict[int, str] = {}
        change = np.full(count, np.nan)
        bound, typical, observed = (np.full((count, known), np.nan) for _ in range(3))
        longest, cut = 0.0, ""
        for k, level in enumerate(defence.levels):
            is_late = k > 0 and not (is_affordable(longest) and is_affordable(0.0))
            if is_late and not defence.hides:
                count, cut = k, f"levels from {level} on were left out for lack of time"
                break
            began = time.monotonic()
            self.progress(f"{defence.name} {level}")
            problem = defence.problem(level)
            these, others, bars = self.judge(problem)
            verdicts.append(these)
            generic.append(others)
            change[k] = problem.change
            if bars is not None:
                bound[k, : problem.samples], typical[k, : problem.samples] = (
                    times(errors / bars.scale, change[k]) for errors in (bars.per_sample, bars.typical)
                )
            if k in spots and is_late:
                cut = "recoveries to check the estimate with were left out for lack of time"
            elif k in spots:
                observed[k], why, late = self.recovered(problem)
                if why:
                    stopped[k] = why
                if late:
                    cut = f"the recovery at {level} was cut short for lack of time: {late}"
            longest = max(longest, time.monotonic() - began)
        change, bound, typical, observed = (part[:count] for part in (change, bound, typical, observed))
        table = (tuple(verdicts), tuple(generic), change, bound, typical, observed, stopped, cut)
        return DefenceCurve(defence.name, defence.axis, defence.levels[:count], defence.hides, *table)

    def judge(self, problem: Problem) -> tuple[Verdict | None, Verdict | None, ErrorBars | None]:
        """The verdicts for these data and for generic data, and the error bars."""
        key = (id(problem.system), problem.samples)
        if key not in self.judged:
            system, free = problem.system, problem.system.regime not in SELF_TRAINED
            these = None if problem.data is None else check(system, data=problem.data, seed=self.seed, budget=self.budget).verdict
            generic = check(system, samples=problem.samples, seed=self.seed, budget=self.budget).verdict if free else None
            bars = None if problem.data is None else error_bars(system, *problem.data, perturbations={"unit": 1.0})
            self.judged[key] = (system, these, generic, bars)  # with the system, so that its id stays taken
        return self.judged[key][1:]

    def recovered(self, problem: Problem) -> tuple[Float[np.ndarray, " n"], str, str]:
        """Relative errors of ``recover`` on the observed system, the reason if it did not succeed, and the part it had no time for."""
        assert problem.seen is not None and problem.data is not None
        tolerance = min(max(TOLERANCE, 3 * problem.change), LARGEST) if problem.change else None
        try:
            found = recover(problem.seen, samples=problem.samples, tolerance=tolerance, seed=self.seed, budget=self.budget, judge=False)
        except (RecoveryError, TooLargeError) as error:
            late = _late(getattr(error, "evidence", {}))
            return np.full(problem.samples, np.inf), str(error), late
        late = _late(found.evidence)
        group = ambiguity_of(replace(problem.seen, labels=None))  # errors along a scale that (S) leaves free are not what bars are about
        return group.match(found.X, found.c, *problem.data).errors, "", late


def _late(evidence: Mapping[str, Any]) -> str:
    """The part of a recovery for which there was no time. Raises KeyboardInterrupt if one ended its search, to end the caller, too."""
    if evidence.get("interrupted") is Stopped.INTERRUPTED:
        raise KeyboardInterrupt
    return ", ".join(evidence.get("left_out", ()))


def _owner(system: KKTSystem, X: Any, c: Any, precision: int, seed: int) -> tuple[Owner, tuple[str, ...]]:
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
        system = exact_system(net, system.observed, system.regime, X, c)
        notes.append(
            f"where the defence is not about the target, it is seen with {precision} significant bits; multipliers are kept at every level"
        )
    return Owner(system, X, c, precision, seed), tuple(notes)


def _numbers(name: str, values: Sequence[Any], low: int, most: int | None, *, falling: bool = False) -> tuple[Level, ...]:
    """Distinct levels from weak to strong; integers unless everything above 0 is allowed."""
    words = "positive numbers" if low == 0 else f"integers from {low} on" if most is None else f"integers from {low} to {most}"
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise InputError(f"{name}: received {values!r}, expected a sequence of {words}")
    read = partial(whole, name, least=low, most=most) if low else partial(positive, name)
    return tuple(sorted({read(value) for value in values}, reverse=falling))


def _widths(owner: Owner) -> tuple[int, ...]:
    m = owner.system.network.width
    return tuple(max(round(m * 2.0**k), 1) for k in range(-4, 2))


def _truncations(system: KKTSystem) -> tuple[Activation, ...]:
    sigma = system.network.activation
    return tuple(Activation(sigma.coefficients[: k + 1]) for k in reversed(sigma.support) if k >= 2)


def _activations(values: Sequence[Activation | str]) -> tuple[Activation, ...]:
    if isinstance(values, (str, Activation)):
        raise InputError(f"degree: received {values!r}, expected a sequence of activations, such as ('z + z^2', 'z + z^3')")
    return tuple(value if isinstance(value, Activation) else Activation.parse(value) for value in values)


def _batches(owner: Owner) -> tuple[int, ...]:
    """Numbers from one sample to the first that counting excludes, in constant ratios, and the given number."""
    secant = Secant.of(setting_of(owner.system, 1, owner.seed))
    first = secant.available // secant.tangent + 1
    return (*(round(level) for level in np.geomspace(1, first, BATCHES)), max(first - 1, 1), len(owner.X))
