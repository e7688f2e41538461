"""``audit``: from a checkpoint to a report, step by step within a budget; an interrupt keeps the finished steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from identify.auditing.reading import read
from identify.auditing.regime import unknown_regime
from identify.auditing.result import Audit
from identify.auditing.work import Step, Work
from identify.base.compiled import dropping
from identify.base.interrupts import Interrupts, listening
from identify.base.limits import Stopped
from identify.base.options import positive, valid_seed, whole
from identify.base.steps import Ended, Outcome, attempt
from identify.conditions.judgement import versions
from identify.problem.activation import Activation
from identify.report.html import as_sentence

BUDGET = 60.0


@dropping()
def audit(
    model: Any,
    *,
    initial: Any = None,
    gradient: Any = None,
    data: Any = None,
    activation: Activation | str | None = None,
    regime: str | None = None,
    weights: Sequence[str] | None = None,
    trust: bool = False,
    training: Mapping[str, Any] | None = None,
    samples: int | None = None,
    budget: float = BUDGET,
    seed: int = 0,
    progress: Callable[[str], None] = lambda step: None,
) -> Audit:
    """Report how much a network, or one gradient of it, reveals about its training data, by every method that applies.

    Two layers and a polynomial activation: stationarity at known data, verdicts, thresholds, recovery, certificates, and the effect of
    defences. Any other network: the reason why nothing is proved; for a gradient, or the change of a linearised network, the batch
    behind it and the ranks that count it, with a certificate of each verdict, and the effect of defences if all of it was recovered;
    polynomials close to the activation; and, if that batch was not recovered, images in the first layer, and the published attack for
    the regime. For several steps of training: the batch behind them, and how precise it would be if the network had been sent in
    shorter number formats.

    Parameters
    ----------
    model
        A path (.npz with ``W1``, ``b1``, ``W2``, ... or a problem file, .safetensors, a state_dict), arrays by name, a model with
        ``state_dict``, a :class:`TwoLayerNetwork`, a :class:`Network`, a :class:`KKTSystem`, what :meth:`KKTSystem.steps` returns, or a
        :class:`Problem`.
    initial, gradient
        The network before training (regime ``lazy``), or one gradient of the loss (regime ``gradient``; not minus it), like ``model``.
    data
        X (n, d), a pair (X, y), or a path or arrays by name with ``X``, and ``y``, ``c``, ``mean`` (which was subtracted), ``low`` and
        ``high`` (limits of the inputs before that: a number or (d,)) if known; the last three also without ``X``.
    activation
        A polynomial in z, or relu, tanh, sigmoid, softplus, silu, gelu. Required unless the file names it.
    regime
        ``"gradient"``, ``"lazy"``, ``"weight-decay"`` or ``"max-margin"``. None: from the other arguments, or from the data.
    weights
        Names of the weight arrays, from the first layer to the last, if names and shapes are ambiguous.
    trust
        Whether the files are known to be harmless, as for :func:`identify.load_problem`.
    training
        How the network was trained from ``initial``, if in several steps: the arguments of :meth:`KKTSystem.steps` by name, such as
        ``{"steps": 5, "learning_rate": 0.01}``.
    samples
        n, at least 1. None: as many as the data, or the numerical rank of the target.
    budget
        Seconds, above 0, divided among the steps. Steps without time are left out, and the report says so. Loading the
        package, reading, and compiling (some seconds) are not included.
    seed
        Seed of all random numbers, from 0 to 2^53 - 1.
    progress
        Called with the name of each step.

    Returns
    -------
    Audit
        ``.save(folder)`` writes the page, the JSON and the pictures. After a keyboard interrupt it has the finished steps; a
        second one is raised.

    Raises
    ------
    ValueError
        For files that cannot be read or do not fit together, an activation or a regime that nothing determines, or numbers out of range.

    Notes
    -----
    Cost: that of :func:`identify.check`, :func:`identify.recover` and :func:`identify.defences`, or of :func:`identify.reconstruct`.

    References
    ----------
    As for these functions; the regimes are those of :class:`KKTSystem`.

    Examples
    --------
    >>> from identify.planting.configuration import Configuration
    >>> system, truth = Configuration(inputs=4, samples=3, width=12, activation="z + z^2 + z^3").plant(seed=1)
    >>> found = audit(system)
    >>> str(found.report.verdict), bool(found.recovery.match(truth.X, truth.c).errors.max() < 1e-9)
    ('UNIQUE', True)
    """
    budget = positive("budget", budget, unit="seconds")
    samples = None if samples is None else whole("samples", samples, advice=", or None to estimate it")
    seed = valid_seed(seed)
    began = time.monotonic()
    with listening() as heard:
        with heard.deferring(False):
            progress("reading")
            given = {"initial": initial, "gradient": gradient, "data": data, "activation": activation, "regime": regime}
            subject = read(model, **given, weights=weights, trust=trust, training=training)
            if subject.regime is None and subject.X is None and subject.system is None:
                raise unknown_regime(subject.name)  # before anything heavy loads
            which = "trained" if subject.steps is not None else "proofs" if subject.is_provable else "attacking"
            steps = import_module(f"identify.auditing.{which}").STEPS  # these load JAX
        work = Work(subject, samples, budget, seed, progress, time.monotonic() + budget)
        seconds = {"reading": time.monotonic() - began}
        with heard.deferring():
            stopped = _run_all(steps, work, heard, seconds)
    times = {"seconds": seconds | {"all": time.monotonic() - began}, "said": work.said, "left_out": work.left_out}
    return Audit(subject.name, tuple(work.findings), work.certificates, work.found, seed, budget, versions(), times, stopped)


def _run_all(steps: Sequence[Step], work: Work, heard: Interrupts, seconds: dict[str, float]) -> str:
    """One step after the other, until a keyboard interrupt; the second one is raised. Adds the time of each to ``seconds``.

    Returns why it stopped, and where; empty if it did not.
    """

    def run_now(step: Step) -> Ended:
        return attempt(
            step,
            work,
            left=work.left,
            tell=lambda name, seconds: work.progress(name),
            forgiven=() if step.decisive else (FloatingPointError, ValueError),
            keeps_interrupts=True,
            running=lambda: heard.deferring(False),
        )

    for number, step in enumerate(steps):
        ended = run_now(step)
        if ended.outcome in (Outcome.TOO_LONG, Outcome.OUT_OF_TIME):
            work.left_out[step.name] = ended.why
            if step.finding:
                work.not_evaluated(step.finding, step.question, f"{ended.why}; a larger budget makes room for it")
        elif ended.outcome in (Outcome.TOO_LARGE, Outcome.FAILED):
            if step.decisive and ended.error is not None:
                raise ended.error
            work.not_evaluated(step.finding or step.name, step.question or as_sentence(step.name), ended.why)
        if ended.outcome is not Outcome.TOO_LONG:
            seconds[step.name] = ended.took
        if heard.count > 1:
            raise KeyboardInterrupt
        if ended.outcome is Outcome.INTERRUPTED or work.is_interrupted or heard.count:
            rest = ", ".join(step.name for step in steps[number + 1 :])
            return f"{Stopped.INTERRUPTED}, in the step: {step.name}" + f"; left out: {rest}" * bool(rest)
    return ""
