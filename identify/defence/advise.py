"""``defences``: the effect on the verdict and on the error bars of measures that an owner could take against recovery."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from identify.base.errors import InputError, OutOfTimeError
from identify.base.limits import Stopped, TooLargeError, check_limits, is_affordable, limit_time
from identify.base.options import positive, valid_seed, whole
from identify.conditions.check import decide
from identify.conditions.diagnostics.error_bars import error_bars, times
from identify.conditions.judgement import versions
from identify.conditions.question import ambiguity_of
from identify.defence import sending
from identify.defence.asking import (
    activations_of,
    format_names,
    given_problem,
    layer_sets,
    numbers,
    owner_of,
    share_of_time,
    truncations,
    usual_batches,
    usual_sets,
    usual_widths,
)
from identify.defence.curves import DefenceCurve, Defences
from identify.defence.estimates import network_bars
from identify.defence.levels import Defence, Level, Problem, Tried
from identify.defence.privacy import chance, missing_information
from identify.defence.sending import labels_of
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.precision import LARGEST, SLACK
from identify.problem.refusals import is_polynomial, refuse_recovery_only, require_polynomial
from identify.problem.steps import StepsSystem
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.verdict import Verdict
from identify.recovery.recover import TOLERANCE, recover
from identify.recovery.solution import RecoveryError

NOISE = tuple(float(f"1e{k}") for k in range(-12, 0))
TARGET_BITS = (24, 11, 8, 4)
"""Significant bits of float32, float16, bfloat16 and the eight-bit format e4m3; exponents do not overflow."""
WEIGHT_BITS = (24, 8, 4, 2)
MOST_BITS = 53
CLIPS = (1.0, 0.1, 0.01)
MULTIPLIERS = tuple(float(f"1e{k}") for k in range(-6, 2))
STEPS = (1, 2, 5, 10, 20)
MOST_UNROLLED = 5
"""Steps up to which training is unrolled to check the curve of several steps."""
NO_LOSS = "steps: left out, because the multipliers are not those of a mean softmax or logistic loss, so training cannot go on"
DIVERGES = "steps: levels from {first} on were left out, because gradient descent at rate {rate:g} diverges or ends without gradients"
LITTLE = 0.1
"""Share of the longest level so far that a level of a defence about the target takes: network and data are the same."""
UNCHECKED = "recoveries to check the estimate with were left out for lack of time"
TRAINED_ANEW = "weights, width, degree, batch: left out, because a network trained on its data would have to be trained anew for each level"


def defences(
    system: KKTSystem | Configuration,
    X: ArrayLike | None = None,
    c: ArrayLike | None = None,
    *,
    noise: Sequence[float] = NOISE,
    rounding: Sequence[int] | None = None,
    weights: Sequence[int] | None = None,
    width: Sequence[int] | None = None,
    degree: Sequence[Activation | str] | None = None,
    batch: Sequence[int] | None = None,
    formats: Sequence[str] | None = None,
    clipping: Sequence[float] | None = None,
    dp_sgd: Sequence[float] | None = None,
    steps: Sequence[int] | None = None,
    withheld: Sequence[Collection[int]] | None = None,
    clip: float | None = None,
    learning_rate: float = 0.1,
    precision: int = 24,
    spot_checks: int = 4,
    seed: int = 0,
    budget: float | None = 60.0,
    progress: Callable[[str], None] = lambda step: None,
) -> Defences:
    """The effect of noise, precision, clipping, local steps, width, batch size and more on the verdict and on the error bars.

    Each defence maps a level to a changed problem, whose exact verdict is that of :func:`identify.check`, whose error bars are first-order
    estimates, and which :func:`identify.recover` tries at some levels. Two layers and a polynomial activation: the error bars of
    :func:`~identify.conditions.diagnostics.error_bars.error_bars`. Any other network: the inverse of the Fisher information of all samples
    in all observed layers. An empty sequence leaves a defence out.

    Parameters
    ----------
    system
        The equations, for a network of any depth and activation; or a :class:`Configuration`, of which one instance is planted.
    X, c
        The data that solve them, as for ``check(system, data=(X, c))``. For ``gradient`` and ``lazy`` the target is replaced by the exact
        one of these data. None: those that :func:`identify.recover` finds. A configuration brings its own.
    noise
        Standard deviations of Gaussian noise on the published numbers (the gradient, the change of the weights, or the weights of a
        network trained on its data), relative to their root mean square: positive, dimensionless.
    rounding
        Significant bits of the published numbers, 1 to 53. By default 24, 11, 8, 4; for other than polynomial networks none.
    weights
        Significant bits of the weights at which gradients are taken, 1 to 53; the analyst knows the rounded weights. By default 24, 8,
        4, 2; for other than polynomial networks none.
    width
        Numbers of neurons (of the first hidden layer; the others in proportion). Neurons are dropped in a random order; added ones are
        Gaussian, of the root mean square size of the others.
        By default from a sixteenth of the width to twice the width.
    degree
        Activations in place of the given one, which is a polynomial. By default its truncations, at every degree from 2 on.
    batch
        Numbers of samples: the first of X, and generic ones beyond. By default up to the one from which on counting excludes uniqueness.
    formats
        Number formats of the update: float32, float16, bfloat16, int8 (one scale for each tensor). This and the following ones by
        default for other than polynomial networks only.
    clipping
        Norms to which the gradient of each sample is clipped, without noise, relative to the median one: above 0, dimensionless.
    dp_sgd
        Noise multipliers of DP-SGD, above 0, dimensionless: Gaussian noise of that many times ``clip`` is added to the sum of the clipped
        gradients.
    steps
        Numbers of full-batch local steps, at least 1, of gradient descent on the mean softmax (one output: logistic) loss, to which the
        multipliers must belong. The estimate is for an attack that takes the change for a single step at the mean of the path, which is an
        approximation for more than one. One recovery unrolls the training (:meth:`KKTSystem.steps`), at the most steps up to 5.
    withheld
        Sets of layers, by number from 1, whose update is not sent.
    clip
        The clipping norm of ``dp_sgd``, above 0, in the unit of the gradient of one sample's loss: n times its part of a mean. None:
        the median over the samples.
    learning_rate
        Of ``steps``, above 0.
    precision
        Significant bits, 1 to 53, of the observed targets if the defence itself is not about them: 24, as in float32.
    spot_checks
        Levels of each defence, evenly spread, at which :func:`identify.recover` is run; at least 0. For polynomial networks of noise and
        of rounding only, for others if some typical error is below 1 (``steps``: at one level, which takes long).
    seed
        Seed of all random numbers, from 0 to 2^53 - 1; the same seed gives the same result.
    budget
        Seconds, above 0, for everything; None for no limit. One check, or the searches of one recovery, get a tenth of the time that is
        left. Levels for which there is no time are left out, and the curve says so.
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
    Polynomial networks: on planted instances with relative noise up to 1e-6 the worst error of ``recover`` lies between a sixth and three
    times the worst ``typical`` one, and below ``bound`` (tested). Cost: for each level that changes the network or the data, two checks
    and one Jacobian of O(equations · unknowns^2). Other networks: see :func:`identify.defence.information.information`.

    References
    ----------
    Golub & Van Loan 2013, section 5.3 (first-order perturbation of a least-squares solution); Hannun, Guo & van der Maaten 2021, Guo,
    Karrer, Chaudhuri & van der Maaten 2022 (Fisher information and reconstruction); Balle, Cherubin & Hayes 2022 (differential privacy and
    reconstruction); the verdicts as in :func:`identify.check`.

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
    bits = numbers("precision", (precision,), 1, MOST_BITS)[0]
    spot_checks, seed = whole("spot_checks", spot_checks, least=0), valid_seed(seed)
    check_limits(budget)
    rate, clip = positive("learning_rate", learning_rate), None if clip is None else positive("clip", clip)
    with limit_time(budget):
        given, X, c, notes = given_problem(system, X, c, seed)
        owner, more = owner_of(given, X, c, int(bits), seed)
        deep, notes = not is_polynomial(given.network), notes + more
        trained = given.regime in SELF_TRAINED
        others: dict[str, Any] = {"weights": weights, "width": width, "degree": degree, "batch": batch, "formats": formats}
        others |= {"clipping": clipping, "dp_sgd": dp_sgd, "steps": steps, "withheld": withheld}
        for name, asked in others.items():
            if trained and asked is not None and len(asked):
                raise InputError(
                    f"{name}: the network of regime {given.regime} depends on its data and would have to be trained anew; "
                    "leave it out, or audit each network by itself"
                )
        if deep and degree is not None and len(degree):
            require_polynomial("degree", given.network)

        def levels(name: str, usual: Callable[[], Sequence[Any]]) -> Sequence[Any]:
            return others[name] if others[name] is not None else () if trained else usual()

        net, everything = given.network, set(given.layers)
        bits_of_targets = rounding if rounding is not None else () if deep else TARGET_BITS
        can_train = labels_of(net, owner.X, owner.c) is not None and not trained
        chosen = [
            owner.noise(numbers("noise", noise, 0, None)),
            owner.rounding(numbers("rounding", bits_of_targets, 1, MOST_BITS, falling=True)),
            owner.weights(numbers("weights", levels("weights", lambda: () if deep else WEIGHT_BITS), 1, MOST_BITS, falling=True)),
            owner.width(numbers("width", levels("width", lambda: usual_widths(owner)), 1, None, falling=True)),
            owner.batch(numbers("batch", levels("batch", lambda: usual_batches(owner)), 1, None)),
        ]
        if not deep and not trained:
            chosen.insert(4, owner.degree(truncations(given) if degree is None else activations_of(degree)))
        if not trained:
            chosen += [
                sending.formats(owner, format_names("formats", levels("formats", lambda: sending.FORMATS if deep else ()))),
                sending.clipping(owner, numbers("clipping", levels("clipping", lambda: CLIPS if deep else ()), 0, None, falling=True)),
                sending.dp_sgd(owner, numbers("dp_sgd", levels("dp_sgd", lambda: MULTIPLIERS if deep else ()), 0, None), clip),
                sending.withheld(owner, layer_sets(levels("withheld", lambda: usual_sets(everything) if deep else ()), everything)),
            ]
            counts = numbers("steps", levels("steps", lambda: STEPS if deep and can_train else ()), 1, None)
            if counts:
                chosen.append(sending.steps(owner, counts, rate))
                left_out = counts[len(chosen[-1].levels) :]
                if not any(defence.levels for defence in chosen):
                    raise InputError(f"learning_rate: gradient descent at rate {rate:g} diverges at once; expected a smaller one")
                notes += (DIVERGES.format(first=left_out[0], rate=rate),) if left_out else ()
            notes += (NO_LOSS,) if deep and not can_train and steps is None else ()
        else:
            notes += (TRAINED_ANEW,)
        chosen = [defence for defence in chosen if defence.levels]
        if not chosen:
            raise InputError(
                "noise, rounding, weights, width, degree, batch: received no level of any, expected at least one; leave out fewer"
            )
        audit = _Audit(int(spot_checks), seed, progress, deep, (owner.X, owner.c))
        return Defences(tuple(audit.curve(defence, len(owner.X)) for defence in chosen), notes, seed, versions())


@dataclass(eq=False)
class _Audit:
    """Evaluates problems; a system that several levels share is judged once."""

    spot_checks: int
    seed: int
    progress: Callable[[str], None]
    is_deep: bool
    """Whether the network is none of two layers with a polynomial activation."""
    known: tuple[np.ndarray, np.ndarray]
    """The data of the owner."""
    judged: dict[tuple[int, int], tuple[KKTSystem, Verdict | None, Verdict | None]] = field(default_factory=dict)
    measured: dict[Any, Any] = field(default_factory=dict)

    def curve(self, defence: Defence, known: int) -> DefenceCurve:
        """Levels from weak to strong. With a time limit, a step does not begin if the last one took longer than the time left."""
        count = len(defence.levels)
        spots = _spread(range(count), self.spot_checks * defence.hides * (not self.is_deep))
        verdicts: list[Verdict | None] = []
        generic: list[Verdict | None] = []
        stopped: dict[int, str] = {}
        change, rho, odds = (np.full(count, np.nan) for _ in range(3))
        bound, typical, observed, informed = (np.full((count, known), np.nan) for _ in range(4))
        approximate = np.zeros(count, bool)
        missing, longest, cut = None, 0.0, ""
        for k, level in enumerate(defence.levels):
            is_late = k > 0 and not (is_affordable(longest) and is_affordable(0.0))
            if is_late and not (defence.hides and is_affordable(LITTLE * longest)):  # another target costs little more
                count, cut = k, f"levels from {level} on were left out for lack of time"
                break
            began = time.monotonic()
            self.progress(f"{defence.name} {level}")
            problem = defence.problem(level)
            these, others = self.judge(problem)
            verdicts.append(these)
            generic.append(others)
            change[k], approximate[k] = problem.change, problem.approximate
            if problem.data is not None:
                try:
                    bars = self.bars(problem)
                except (OutOfTimeError, TooLargeError) as error:
                    cut = f"no error bars at {level}: {error}"
                else:
                    bound[k, : problem.samples], typical[k, : problem.samples], informed[k, : problem.samples] = bars
                if not np.isnan(problem.rho):
                    missing = missing_information(problem.system.network.n_inputs)
                    rho[k], odds[k] = problem.rho, chance(problem.rho, missing)
            if k in spots and is_late:
                cut = UNCHECKED
            elif k in spots:
                cut = self.spot(problem, level, k, observed, stopped) or cut
            longest = max(longest, time.monotonic() - began)
        if self.is_deep:
            promising = [k for k, row in enumerate(typical) if (row[~np.isnan(row)] < 1).any()]  # there the estimate promises something
            if defence.tried is Tried.UNROLLED:  # one, because it takes long: the most steps that are still few
                promising = [k for k, level in enumerate(defence.levels) if 1 < int(level) <= MOST_UNROLLED][-1:]
            for k in sorted(_spread(promising, self.spot_checks)):
                if not is_affordable(0.0):
                    cut = UNCHECKED
                    break
                self.progress(f"{defence.name} {defence.levels[k]}: recovery")
                cut = self.spot(defence.problem(defence.levels[k]), defence.levels[k], k, observed, stopped) or cut
        change, bound, typical, observed, informed, rho, odds, approximate = (
            part[:count] for part in (change, bound, typical, observed, informed, rho, odds, approximate)
        )
        return DefenceCurve(
            defence.name,
            defence.axis,
            defence.levels[:count],
            defence.hides,
            tuple(verdicts),
            tuple(generic),
            change,
            bound,
            typical,
            observed,
            stopped,
            cut,
            informed=informed if self.is_deep else None,
            rho=None if missing is None else rho,
            chance=None if missing is None else odds,
            missing=missing,
            approximate=tuple(map(bool, approximate)) if approximate.any() else (),
            tried=defence.tried,
        )

    def judge(self, problem: Problem) -> tuple[Verdict | None, Verdict | None]:
        """The verdicts for these data and for generic data."""
        system = problem.system if problem.judged is None else problem.judged
        key = (id(system), problem.samples)
        if key not in self.judged:
            free = system.regime not in SELF_TRAINED
            data = problem.data if problem.judged is None else self.known
            these = None if data is None else decide(system, data=data, seed=self.seed, budget=share_of_time()).verdict
            generic = decide(system, samples=problem.samples, seed=self.seed, budget=share_of_time()).verdict if free else None
            self.judged[key] = (system, these, generic)  # with the system, so that its id stays taken
        return self.judged[key][1:]

    def bars(self, problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Largest, typical and, for Gaussian noise, informed errors of each sample, relative to its norm."""
        assert problem.data is not None and problem.seen is not None
        if not self.is_deep:
            key = (id(problem.system), problem.samples)
            if key not in self.measured:
                self.measured[key] = (problem.system, error_bars(problem.system, *problem.data, perturbations={"unit": 1.0}))
            bars = self.measured[key][1]
            bound, typical = (times(errors / bars.scale, problem.change) for errors in (bars.per_sample, bars.typical))
            return bound, typical, np.full_like(typical, np.nan)
        return network_bars(problem, self.measured)

    def spot(self, problem: Problem, level: Level, k: int, observed: np.ndarray, stopped: dict[int, str]) -> str:
        """Adds what recover finds at the level at position k; returns the part for which there was no time, in words."""
        observed[k, : problem.samples], why, late = self.recovered(problem)
        if why:
            stopped[k] = why
        return f"the recovery at {level} was cut short for lack of time: {late}" if late else ""

    def recovered(self, problem: Problem) -> tuple[Float[np.ndarray, " n"], str, str]:
        """Relative errors of ``recover`` on the observed system, the reason if it did not succeed, and the part it had no time for."""
        assert problem.seen is not None and problem.data is not None
        if problem.unrolled is not None:
            return self.unrolled(problem.unrolled, problem)
        tolerance = max(TOLERANCE, 3 * problem.change) if problem.change else None
        if tolerance is not None:  # a refusal by the residual alone would say nothing of the samples, which are compared with the truth
            tolerance = SLACK * problem.change if self.is_deep else min(tolerance, LARGEST)
        try:
            recovery = recover(
                problem.seen, samples=problem.samples, tolerance=tolerance, seed=self.seed, budget=share_of_time(), judge=False
            )
        except (RecoveryError, TooLargeError) as error:
            late = _late(getattr(error, "evidence", {}))
            return np.full(problem.samples, np.inf), str(error), late
        late = _late(recovery.evidence)
        # errors along a scale that (S) leaves free are not what bars are about
        group = recovery.ambiguity if self.is_deep else ambiguity_of(replace(problem.seen, labels=None))
        return group.match(recovery.X, recovery.c, *problem.data).errors, "", late

    def unrolled(self, system: StepsSystem, problem: Problem) -> tuple[Float[np.ndarray, " n"], str, str]:
        """The same by training unrolled."""
        assert problem.data is not None
        try:
            recovery = recover(system, samples=problem.samples, seed=self.seed, budget=share_of_time(), judge=False)
        except (RecoveryError, TooLargeError) as error:
            evidence = getattr(error, "evidence", {})
            late = _late(evidence)
            if evidence.get("interrupted") is not None:  # a search that had no time says nothing
                return np.full(problem.samples, np.nan), "", "training unrolled"
            return np.full(problem.samples, np.inf), str(error), late
        return recovery.match(*problem.data).errors, "", _late(recovery.evidence)


def _spread(choices: Sequence[int], count: int) -> set[int]:
    """So many of these, evenly spread."""
    at = np.linspace(0, len(choices) - 1, min(count, len(choices))).round().astype(int)
    return {int(choices[k]) for k in at}


def _late(evidence: Mapping[str, Any]) -> str:
    """The part of a recovery for which there was no time. Raises KeyboardInterrupt if one ended its search, to end the caller, too."""
    if evidence.get("interrupted") is Stopped.INTERRUPTED:
        raise KeyboardInterrupt
    return ", ".join(evidence.get("left_out", ()))
