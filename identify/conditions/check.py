"""``check``: is the training data determined? From what was asked to a judged question."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from identify.base.errors import InputError, OutOfTimeError, WrongTypeError
from identify.base.limits import OPERATIONS_PER_SECOND, TooLargeError, check_limits, is_affordable, limit_memory, limit_time
from identify.base.options import CONDITIONS, choice, valid_seed, whole
from identify.conditions.heads import check_head
from identify.conditions.judgement import judge
from identify.conditions.networks.judge import count, judge_network
from identify.conditions.networks.known import Known
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.separation import separation
from identify.conditions.networks.some_layers import decided_by_sizes
from identify.conditions.plan import Plan
from identify.conditions.question import ambiguity_of, configuration_subject, instance_of, is_complete, setting_of, system_subject
from identify.conditions.setting import Setting
from identify.conditions.witnesses.witness import SHOWN
from identify.planting.configuration import Configuration
from identify.planting.eigenvectors import PlantingError
from identify.problem.ambiguity import normal_form
from identify.problem.arrays import ShapeError
from identify.problem.data import check_data, check_pair
from identify.problem.heads import HeadSystem
from identify.problem.precision import Precision
from identify.problem.rank import Spectrum
from identify.problem.refusals import is_polynomial, refuse_recovery_only
from identify.problem.signals import Forward, forward
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.verdict import Report, Scope, Verdict

INCONSISTENT = 1e-2
"""Relative residual above which data are not taken as a solution of the system they are given for."""
LARGE, ESTIMATED = 2**22, 4.0
"""Numbers of a target beyond which the residual is estimated, and by what factor it must be below the one that rounding explains."""
UNKNOWN_DATA = "the statement is about all data that produce this target; whether any do, with this many samples, is not part of it"
TARGET_NOT_USED = (
    "the verdict does not use the numbers of the target: it is about generic data of this network; check(system, data=(X, c)) with data "
    "that identify.recover found is about this very target"
)
SELF_TRAINED_CAVEAT = (
    "the network depends on its own training data, so statements about generic data do not apply; what is proved here holds "
    "for this network"
)


class InconsistentDataError(InputError):
    """Data that do not satisfy the equations of the system; ``residual`` says by how much."""

    def __init__(self, residual: float):
        super().__init__(
            f"data=(X, c): Σ c_i ∇f(x_i) differs from the target by {residual:.2g} relative, expected below {INCONSISTENT:g}; the "
            "target belongs to another network or to other data, or is a gradient with the wrong sign (pass minus the gradient)"
        )
        self.residual = residual


def check(
    problem: Configuration | KKTSystem | HeadSystem,
    *,
    samples: int | None = None,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    seed: int = 0,
    budget: float | None = None,
    memory: int | None = None,
    conditions: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    r"""Decide whether the target of (S) determines the training data.

    Parameters
    ----------
    problem
        A :class:`Configuration`: a generic network and generic data of these sizes (for the self-trained regimes one
        instance is planted, and judged). Or a :class:`KKTSystem`: this network; also without some rows and columns of its updates. Or
        one dense layer behind a softmax loss, from :meth:`KKTSystem.linear_head`: then the data are features.
    samples
        n, for a system without data: at least 1. For ``gradient`` and ``lazy`` the statement is then about generic
        data; for the self-trained regimes about all data that produce this target.
    data
        ``(X, c)``: these data, taken as the exact numbers that they are, of shapes (n, d) and (n,) or (n, C). Samples
        with zero multiplier are dropped and coincident ones merged, because (S) does not see them apart.
    seed
        Of the random primes and points, from 0 to 2^53 - 1; the same seed gives the same report.
    budget
        Seconds of wall-clock time, above 0. Conditions whose estimated cost exceeds what is left are reported as not evaluated.
    memory
        Bytes that one matrix may take; by default IDENTIFY_MEMORY (in GiB), or half of the machine's memory.
    conditions
        Names of conditions to evaluate even where the question is decided without them. By default conditions run
        cheapest first; those that cost more than half a second are left out once they are not needed.
    progress
        Called with the name and the estimated cost of each condition that takes more than half a second, before it is evaluated.

    Returns
    -------
    Report
        ``UNIQUE``, ``LOCALLY_UNIQUE`` and ``NOT_UNIQUE`` are proofs for the scope that the report states, up to the
        ambiguity that it lists, among data sets of at most n distinct samples. Everything else is ``UNDECIDED``: a
        sufficient condition that fails proves nothing.

    Raises
    ------
    ValueError
        For missing or contradicting arguments.
    InconsistentDataError
        When the data do not produce the observed gradient.

    Notes
    -----
    Cost: at most one rank modulo a prime of a matrix with N columns, the number of moments in coordinates on the span of the
    samples, without that matrix (:func:`identify.exact.slices.expected_work`), and two of Jacobians with (n + 1)(d + C) columns. A
    matrix that would not fit in memory is never built: its condition is reported as not evaluated.

    Examples
    --------
    >>> report = check(Configuration(inputs=4, samples=3, width=12, activation="z + z^3"))
    >>> report.verdict, str(report.scope)
    (<Verdict.UNIQUE: 'UNIQUE'>, 'generic network, generic data')
    """
    seed, plan = valid_seed(seed), _plan(budget, memory, conditions, progress)
    with limit_memory(memory), limit_time(budget), _silent():
        return _check(problem, samples, data, seed, plan)


def decide(
    problem: Configuration | KKTSystem,
    *,
    samples: int | None = None,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    seed: int = 0,
    budget: float | None = None,
    known: Known | None = None,
) -> Report:
    """What :func:`check` says, without the diagnostics: for callers that need the verdict, its scope and conditions, and no more.

    The diagnostics decide nothing, and their cost O(equations · unknowns^2) is most of that of a check of large images. ``known``: what
    the caller has computed of these data already.
    """
    seed, plan = valid_seed(seed), replace(_plan(budget, None, None, None), diagnosed=False)
    with limit_time(budget), _silent():
        return _check(problem, samples, data, seed, plan, known)


def _silent() -> np.errstate:
    """What overflows on the way proves nothing, because only finite numbers do: no warning tells the caller of it."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def _plan(budget: float | None, memory: int | None, conditions: Sequence[str] | None, progress: Callable[[str], None] | None) -> Plan:
    check_limits(budget, memory)
    demanded = () if conditions is None else (conditions,) if isinstance(conditions, str) else tuple(conditions)
    for name in demanded:
        choice("conditions", name, CONDITIONS)
    return Plan(demanded, progress)


def _check(problem: Any, samples: int | None, data: Any, seed: int, plan: Plan, known: Known | None = None) -> Report:
    if isinstance(problem, Configuration):
        if samples is not None or data is not None:
            raise InputError("samples, data: a Configuration already says how many samples there are; pass them with a KKTSystem only")
        return _check_configuration(problem, seed, plan) if is_polynomial(problem) else _check_sizes(problem, seed, plan)
    if isinstance(problem, HeadSystem):
        return _check_head(problem, samples, data, seed, plan)
    refuse_recovery_only("check", problem, takes_parts=True)
    if not isinstance(problem, KKTSystem):
        raise WrongTypeError(f"check: received {type(problem).__name__}, expected a Configuration or a KKTSystem")
    if data is None:
        if samples is None:
            raise InputError("samples: how many training samples are sought? Pass samples=n, or data=(X, c)")
        ask = _check_system if is_polynomial(problem.network) and not problem.is_partial else _check_network
        return ask(problem, whole("samples", samples), seed, plan)
    return _check_data(problem, *check_pair("data", data, problem.network), samples, seed, plan, known=known)


def _check_head(system: HeadSystem, samples: int | None, data: Any, seed: int, plan: Plan) -> Report:
    if data is None:
        if samples is None:
            raise InputError("samples: how many training samples are sought? Pass samples=n, or data=(X, c)")
        return check_head(system, whole("samples", samples), seed, None, plan)
    H, c = check_pair("data", data, system, "a pair (X, c) of features and multipliers")
    residual = system.residual(H, c)
    if not residual <= INCONSISTENT:
        raise InconsistentDataError(residual)
    if samples is not None and whole("samples", samples) != len(H):
        raise InputError(f"samples: received {samples}, but the data have {len(H)} samples; leave samples out")
    return check_head(system, len(H), seed, (H, c), plan)


def _check_configuration(config: Configuration, seed: int, plan: Plan) -> Report:
    subject = configuration_subject(config, config.n_equations, config.n_unknowns)
    setting = setting_of(config, config.samples, seed)
    if config.regime not in SELF_TRAINED:
        system, truth = _illustration(config, seed)
        return judge(replace(setting, system=system, data=truth), subject, config.describe(), (), plan)
    try:
        system, truth = config.plant(seed)
    except (PlantingError, TooLargeError, OutOfTimeError) as error:
        notes = (SELF_TRAINED_CAVEAT, f"no instance could be planted: {error}")
        return judge(setting, subject, config.describe(), notes, plan, instance_known=False)
    note = f"one instance of this configuration was planted (seed {seed}); the verdict is about that network and its data"
    return _check_data(system, truth.X, truth.c, None, seed, plan, (note,))


def _illustration(config: Configuration, seed: int) -> Any:
    """A planted instance to show witnesses with; only the families of degree 2 and of constant terms need one."""
    if (config.activation.degree > 2 and len(config.degrees) != 2) or config.samples > SHOWN:
        return None, None
    try:
        system, truth = config.plant(seed)
    except (TooLargeError, OutOfTimeError):
        return None, None
    return system, (truth.X, truth.c.reshape(config.samples, config.outputs))


def _check_sizes(config: Configuration, seed: int, plan: Plan) -> Report:
    """A network of any activation and depth: generic if the theorems about generic networks decide, else one planted instance.

    Where every activation is analytic, what holds to first order at that instance holds for almost all networks and data.
    """
    question = NetworkQuestion.of_configuration(config, seed)
    subject = question.subject(config.layers)
    if config.regime in SELF_TRAINED:
        note = "no instance is planted for a self-trained regime of such a network: pass a system with data"
        return judge_network(question, subject, config.describe(), (SELF_TRAINED_CAVEAT, note), plan)
    if separation(question).is_proved or count(question).holds is False or decided_by_sizes(question):
        return judge_network(question, subject, config.describe(), (), plan)
    try:
        system, truth = config.plant(seed)
    except (TooLargeError, OutOfTimeError, ShapeError) as error:
        return judge_network(question, subject, config.describe(), (f"no instance could be planted: {error}",), plan)
    if question.is_smooth:
        at = NetworkQuestion.of_system(system, len(truth.X), seed, (truth.X, truth.c.reshape(len(truth.X), -1)))
        return judge_network(question, subject, config.describe(), (), plan, at)
    note = f"one instance of this configuration was planted (seed {seed}); the verdict is about that network and its data"
    return _check_data(system, truth.X, truth.c, None, seed, plan, (note,))


def _check_network(system: KKTSystem, samples: int, seed: int, plan: Plan) -> Report:
    question = NetworkQuestion.of_system(system, samples, seed)
    notes: tuple[str, ...] = (SELF_TRAINED_CAVEAT, UNKNOWN_DATA) if question.is_self_trained else (TARGET_NOT_USED,)
    at = None
    if question.is_smooth and not question.is_self_trained:
        rng = np.random.default_rng([seed, 0xA7])
        X, c = (rng.standard_normal((samples, size)) for size in (question.inputs, question.outputs))
        at = NetworkQuestion.of_system(system, samples, seed, (X, c))
    return judge_network(question, question.subject(), system.describe(), notes, plan, at)


def _check_system(system: KKTSystem, samples: int, seed: int, plan: Plan) -> Report:
    self_trained = system.regime in SELF_TRAINED
    if system.labels is not None and len(system.labels) != samples:
        raise InputError(f"samples: received {samples}, but the system has {len(system.labels)} labels; expected one for each sample")
    setting = setting_of(system, samples, seed)
    notes = (SELF_TRAINED_CAVEAT, UNKNOWN_DATA) if self_trained else (TARGET_NOT_USED,)
    return judge(setting, system_subject(system, samples), system.describe(), notes, plan)


def _check_data(
    system: KKTSystem,
    X: Any,
    c: Any,
    samples: int | None,
    seed: int,
    plan: Plan,
    notes: tuple[str, ...] = (),
    known: Known | None = None,
) -> Report:
    net = system.network
    X, c, dropped, merged = normal_form(*check_data(X, c, net.n_inputs, net.n_outputs))
    if not len(X):
        raise ShapeError("c: every multiplier is zero, so no sample enters the equations; expected at least one that is not")
    if samples is not None and whole("samples", samples) != len(X):
        raise InputError(f"samples: received {samples}, but {len(X)} distinct samples of the data have non-zero multipliers; leave it out")
    if dropped:
        notes += (f"{dropped} samples with zero multiplier do not enter the equations and were left out",)
    if merged:
        notes += (f"{merged} samples coincide with others and were merged with them",)
    with np.errstate(over="ignore", invalid="ignore"):
        passed = forward(net.weights, net.biases, net.activations, X)
    precision = Precision.of(system)
    known = Known() if known is None or dropped or merged else known
    if known.residual is not None:
        residual, is_estimate = known.residual, False
    else:
        residual = system.about_residual(X, c, passed=passed) if sum(W.size for W in net.weights) > LARGE else math.inf
        is_estimate = ESTIMATED * residual <= precision.allowed  # far from where it would matter
        residual = residual if is_estimate else system.residual(X, c, passed=passed)
    consistent = residual <= INCONSISTENT
    if system.regime == "gradient" and not consistent:
        raise InconsistentDataError(residual)
    about = "about " if is_estimate else ""
    notes += (f"the target that these data give exactly differs from the given one by {about}{residual:.1e} relative",)
    if system.regime in SELF_TRAINED:
        notes += (SELF_TRAINED_CAVEAT,)
    if system.regime == "max-margin" and net.n_outputs == 1:
        margins = np.sign(c[:, 0]) * net(X).reshape(-1)
        notes += (f"margins between {margins.min():.9g} and {margins.max():.9g}",)
        if system.labels is not None:
            _compare_labels(system.labels, c)
            if not np.abs(margins - 1).max() <= INCONSISTENT:
                system = replace(system, labels=None)
                notes += ("these margins are not 1, so the margin equations were left out",)
    if residual > precision.allowed:  # the singular values can only show more noise
        precision = _precision(system)
    reproduces = residual <= precision.allowed
    judged = {"residual": residual, "reproduces_target": reproduces}
    report = _judged(system, X, c, seed, judged, notes, plan, passed, known)
    if not consistent:
        reason = (
            f"these data do not satisfy the equations: relative residual {residual:.2g}; the conditions below say nothing of this target"
        )
        return replace(report, verdict=Verdict.UNDECIDED, reasons=(reason,))
    if not reproduces:
        reason = (
            f"these data do not reproduce the given target: relative residual {residual:.2g}, expected below {precision.allowed:.2g} by "
            f"{precision.source}; all that follows is about the target that these data give. If the given target is known to so few "
            "digits only, these may still be its data"
        )
        return replace(report, reasons=(reason, *report.reasons))
    return report


def _judged(
    system: KKTSystem,
    X: Any,
    c: Any,
    seed: int,
    judged: dict[str, Any],
    notes: tuple[str, ...],
    plan: Plan,
    passed: Forward,
    known: Known,
) -> Report:
    """The report about data as the exact numbers that they are."""
    if system.is_partial or not is_polynomial(system.network):
        question = NetworkQuestion.of_system(system, len(X), seed, (X, c), passed, known)
        return judge_network(question, question.subject() | judged, system.describe(), notes, plan)
    setting = Setting(
        instance_of(system, len(X), X, c),
        Scope("this network", "this data"),
        ambiguity_of(system),
        is_complete(system.regime, system.network.activation, system.network.has_bias, system.loss),
        seed,
        system,
        (X, c),
    )
    return judge(setting, system_subject(system, len(X)) | judged, system.describe(), notes, plan)


def _precision(system: KKTSystem) -> Precision:
    """How well the target is known: its singular values are left out when there is no time for them."""
    first = system.updates[0].W
    if first is None:
        return Precision.of(system)
    rows, columns = first.shape
    seconds = 4 * rows * columns * min(rows, columns) / OPERATIONS_PER_SECOND
    return Precision.of(system, Spectrum.of(system) if is_affordable(seconds) else None)


def _compare_labels(labels: np.ndarray, c: np.ndarray) -> None:
    """Raise ValueError unless the multipliers have as many of either sign as the labels."""
    known, found = ((int((values > 0).sum()), int((values < 0).sum())) for values in (labels, c))
    if known != found:
        raise InputError(
            f"labels: {known[0]} positive and {known[1]} negative, but the multipliers c of the data have {found[0]} positive and "
            f"{found[1]} negative; expected y_i = sign c_i for every sample"
        )
