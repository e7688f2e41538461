"""The steps of an audit of every other network: verdicts, the batch behind an update, certificates, polynomials close to the
activation, images in the first layer, attacks."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from identify.attacks.diagnosis import diagnose
from identify.attacks.objectives import Attack
from identify.attacks.published import buzaglo, haim, loo
from identify.attacks.reconstruct import reconstruct
from identify.attacks.running import is_compiled
from identify.attacks.scores import score
from identify.attacks.stationary import stationarity as attack_stationarity
from identify.auditing.activations import DEGREES, approximations
from identify.auditing.batch import batch, batch_seconds, update_of
from identify.auditing.findings import Basis, Finding
from identify.auditing.parts import EXPOSED, FEATURES, counted_samples, differing_counts, features, features_seconds, shown
from identify.auditing.protecting import NETWORK_DEFENCES, network_advice
from identify.auditing.reading import STEPS as SEVERAL
from identify.auditing.reading import Subject
from identify.auditing.recovering import LEAST_SEARCH, RECOVERY, certificate_of, certificate_seconds, pictures
from identify.auditing.regime import best_multipliers, how_told, system_of, told, unknown_regime
from identify.auditing.verdicts import RECOVERED, VERDICT_SHARE, WORDS, judged
from identify.auditing.vertices import IMAGES, images, images_seconds
from identify.auditing.work import Step, Work
from identify.base.errors import InputError
from identify.base.limits import TooLargeError
from identify.base.norms import row_sizes
from identify.base.options import BUZAGLO_PRESETS
from identify.conditions.check import check
from identify.problem.arrays import ShapeError
from identify.problem.network import Network, from_parameters
from identify.problem.system import SELF_TRAINED
from identify.problem.verdict import Verdict
from identify.recovery.least_squares import seconds_to_compile
from identify.recovery.recover import TOLERANCE, recover
from identify.recovery.solution import RecoveryError
from identify.report.html import Cell, show

RATES = {"haim": 0.346, "buzaglo": 0.872, "loo": 0.02}
"""Published learning rates."""
SLOWER = (1.0, 0.1, 1e-2, 1e-3, 1e-4)
"""Fractions of the published learning rate, tried until a run does not diverge: the published ones are for ReLU."""
OTHER_NETWORK = "with a polynomial of Activation.approximate for the activation, verdicts are about that other network"
REGIMES_IN_WORDS = WORDS | {
    "max-margin": "parameters at a KKT point of the max-margin problem",
    "steps": "parameters before and after several steps of gradient descent",
}
STATIONARY = 1e-2
"""Largest relative residual of data that count as a solution."""
STATIONARITY, ATTACK = "Does the equation hold at the known data?", "What does a published attack find?"
POLYNOMIALS_RECOVER, POLYNOMIAL_SCOPE = "Do the polynomials recover data?", "this target, by the equations of another network"
SHARE = 0.2
"""Fraction of the remaining time for the polynomial of each degree."""
COMPILING = 2.0
"""Seconds that JAX may need before known data are examined."""
BEGUN = 0.5
"""Part of the budget from which on an attack is begun without an estimate of its compiling."""
ATTACK_COMPILING = 0.5
"""Time in which an attack is compiled, relative to that of a descent (measured)."""
SAMPLES = 20
"""Number of samples that is assumed if nothing determines it."""
OPERATIONS_PER_SECOND = 1e9
PASSES, OVERHEAD = 30, 1e5
"""Operations of one iteration: passes through the network, for each candidate, and a constant part."""
FEWEST_STEPS = 100
SPREAD = 3.0
"""Range of pre-activations that is assumed without data, in norms of a neuron: inputs of unit variance."""


def network_for(subject: Subject, layers: dict[str, np.ndarray]) -> Network:
    """The network with these layers."""
    return from_parameters(layers, subject.activation)


def interval_of(subject: Subject) -> tuple[tuple[float, float], str]:
    """The range of the pre-activations of the first layer, and its origin."""
    W, b = subject.layers["W1"], subject.layers.get("b1", 0.0)
    if subject.X is not None:
        Z = subject.X @ W.T + b
        reach = float(max(np.abs(Z).max(), 1e-3))
        return (-reach, reach), "the range of the pre-activations of the given data"
    reach = float(max((SPREAD * row_sizes(W) + np.abs(b)).max(), 1e-3))
    return (-reach, reach), f"assumed: {SPREAD:g} norms of the largest neuron, as for inputs of unit variance"


def attack_for(subject: Subject, regime: str, slower: float = 1.0) -> tuple[Attack, str]:
    """The published attack for a regime, with a fraction of its learning rate, and its name with the setting."""
    network = network_for(subject, subject.layers)
    if regime == "gradient":
        assert subject.gradient is not None
        missing = [name for name in subject.layers if name not in subject.gradient]
        if missing:
            raise ShapeError(f"gradient: lacks {', '.join(missing)}; an attack needs the gradient of every layer")
        moved = {name: part - subject.gradient[name] for name, part in subject.layers.items()}
        return loo(
            network, network.with_parameters(moved), linearised=True, rate=RATES["loo"] * slower
        ), "loo, gradients at the given parameters"
    if regime in ("lazy", SEVERAL):
        assert subject.initial is not None
        return loo(network_for(subject, subject.initial), network, rate=RATES["loo"] * slower), "loo, as published"
    if regime == "weight-decay":
        return buzaglo(network, kind="weight-decay", rate=RATES["buzaglo"] * slower), "buzaglo, preset weight-decay-2"
    preset: dict[str, Any] = BUZAGLO_PRESETS["multiclass-2"] | {"rate": BUZAGLO_PRESETS["multiclass-2"]["rate"] * slower}
    if subject.n_outputs > 1:
        return buzaglo(network, kind="multiclass", **preset), "buzaglo, preset multiclass-2"
    return haim(network, rate=RATES["haim"] * slower), "haim, preset cifar-2"


def equations(work: Work) -> None:
    """The regime: given, or inferred from the data."""
    refuse_many(work)
    subject, how = work.subject, work.subject.how
    numbers: dict[str, float] = {}
    work.regime = subject.regime or ""
    if not work.regime:
        if subject.X is None:
            raise unknown_regime(subject.name)
        work.regime, how = "weight-decay", "assumed, because neither labels nor a single output determine it"
        if subject.n_outputs == 1 and subject.y is not None and set(np.unique(subject.y)) <= {-1.0, 1.0}:
            network = network_for(subject, subject.layers)
            held = attack_stationarity(haim(network), subject.X, subject.y)
            work.regime, numbers = told(held.multipliers[:, 0] * subject.y, network.outputs(subject.X)[:, 0])
            how = how_told(numbers)
    details = [f"weights do not tell the activation: all here is about σ = {subject.activation}", *subject.notes]
    details.append(f"regime {work.regime}, {how}: {REGIMES_IN_WORDS[work.regime]}")
    details += ["misfits of the regimes: " + ", ".join(f"{name} {show(value)}" for name, value in numbers.items())] * bool(numbers)
    work.add(
        Finding(
            "equations",
            "What is the network, and which equation?",
            subject.describe(),
            "this network",
            Basis.GIVEN,
            tuple(details),
            {"regime": work.regime, "how": how, "takes_one_step": subject.takes_one_step, "misfits": numbers, "unnamed": subject.unnamed},
        )
    )


DETERMINED = "Are the data determined?"
SEVERAL_STEPS = (
    "the layers show {counts} samples, from the first on, as after several steps of training; if there were several, give their number "
    "(--steps); if one, of dependent samples, say so (--regime lazy)"
)


def verdict(work: Work) -> None:
    """What counts of neurons prove before anything is recovered; or the reason why nothing is proved from the weights alone."""
    system = update_of(work)
    if system is None:
        answer = "nothing is proved: the weights of a trained network depend on its data, and no theorem applies without these"
        advice = (
            "neither that the data are determined nor that they are not; an attack below that finds nothing is not a sign of safety",
            "identify.check(system, data=(X, c)) may decide for data that satisfy the equation, if the network is piecewise-linear",
        )
        work.add(Finding("verdict", DETERMINED, answer, "this network", Basis.REFUSED, advice))
        return
    samples = counted_samples(work, system)
    if work.subject.takes_one_step and (counts := differing_counts(system)):
        work.not_evaluated("verdict", DETERMINED, SEVERAL_STEPS.format(counts=", ".join(map(str, counts))))
        return
    if samples is None:
        work.not_evaluated("verdict", DETERMINED, "the number of samples is not known; pass samples=n")
        return
    report = check(system, samples=samples, seed=work.seed, budget=VERDICT_SHARE * work.left, progress=work.progress)
    judged(
        work,
        "verdict",
        DETERMINED,
        report,
        (f"for {samples} samples", *["the batch below says more, if it is recovered"] * (report.verdict is Verdict.UNDECIDED)),
    )


def verdict_for_the_batch(work: Work) -> None:
    """The verdict for the samples that were recovered, if they are all."""
    system, found = update_of(work), work.batch
    if system is None or found is None:
        return
    report = check(system, data=(found.X, found.c), seed=work.seed, budget=VERDICT_SHARE * work.left, progress=work.progress)
    about = (f"about the target of exactly these samples; the observed one differs from it by {show(found.residual)} relative",)
    judged(work, "recovered", RECOVERED, report, about)


def approximation(work: Work) -> None:
    """Polynomials close to the activation, and how far their equations are from the data."""
    subject = work.subject
    if subject.is_polynomial:
        return
    interval, known = interval_of(subject)
    rows: list[tuple[Cell, ...]] = [("degree", "largest deviation", "residual at the given data")]
    values, close = [], approximations(subject.activation, interval)
    for sigma, deviation in close:
        residual = None
        if subject.depth == 2 and subject.X is not None and not lacks_layers(work):
            system = system_of(subject, work.regime, sigma)
            residual = system.residual(subject.X, best_multipliers(system, subject.X, subject.y, work.budget))
        rows.append((sigma.degree, deviation, residual))
        values.append({"degree": sigma.degree, "deviation": deviation, "residual": residual, "coefficients": list(sigma.floats())})
    (best, deviation), reach = min(close, key=lambda pair: pair[1]), show(interval[1])
    kink = ["a polynomial is a poor likeness of a kink"] * (subject.activation.kind == "piecewise-linear")
    work.add(
        Finding(
            "approximation",
            "How close is a polynomial network?",
            f"{subject.activation} and a polynomial of degree {best.degree} differ by at most {show(deviation)} for |z| ≤ {reach}",
            f"the first layer, on an interval ({known}); a polynomial network is another network than this one",
            Basis.FLOAT,
            (
                *kink,
                *[OTHER_NETWORK] * (subject.depth == 2),
                *["deviations are those of the first layer; they grow from layer to layer"] * (subject.depth > 2),
            ),
            {"interval": list(interval), "interval_known": known, "approximations": values},
            table=tuple(rows),
        )
    )


def _is_approximated(work: Work) -> bool:
    subject = work.subject
    wanted = subject.depth == 2 and not lacks_layers(work) and subject.activation.kind == "analytic" and work.regime not in SELF_TRAINED
    return wanted and not is_recovered(work)


def lacks_layers(work: Work) -> bool:
    """Whether the gradient of some parameters, or some of its entries, was not given."""
    gradient = work.subject.gradient
    return gradient is not None and (set(work.subject.layers) - set(gradient) != set() or any(np.isnan(g).any() for g in gradient.values()))


def is_recovered(work: Work) -> bool:
    """Whether all samples behind an update were found."""
    return work.found is not None and work.found.uniqueness.is_supported


def approximate_recovery_seconds(degree: int, work: Work) -> float:
    """The step keeps to its part of the time by itself, except for compiling."""
    return LEAST_SEARCH * _is_approximated(work)


def approximate_recovery(degree: int, work: Work) -> None:
    """The result of algebra and searches for the target of one network with the polynomial of another: the least residual so far."""
    subject = work.subject
    if not _is_approximated(work):
        return
    sigma, _ = approximations(subject.activation, interval_of(subject)[0])[DEGREES.index(degree)]
    system = system_of(subject, work.regime, sigma)
    samples = work.samples if work.samples is not None else None if subject.X is None else len(subject.X)
    try:
        made = recover(system, samples=samples, seed=work.seed, tolerance=STATIONARY, budget=SHARE * work.left, progress=work.progress)
    except (RecoveryError, TooLargeError) as error:
        work.said["recovery"] = f"{work.said.get('recovery', '')} degree {degree}: {error}.".strip()
        work.note_interrupt(getattr(error, "evidence", {}).get("interrupted"))
        if work.found is None:
            answer = f"no polynomial in place of {subject.activation} led to data that fit to {STATIONARY:g}"
            details = (work.separation,) * bool(work.separation)
            work.add(Finding("recovery", POLYNOMIALS_RECOVER, answer, POLYNOMIAL_SCOPE, Basis.OBSERVED, details))
        return
    work.note_interrupt(made.evidence.get("interrupted"))
    if work.found is not None and work.found.residual <= made.residual:
        return
    work.found = made
    answer = f"degree {sigma.degree} in place of {subject.activation} led to {len(made.X)} samples that fit to {show(made.residual)}"
    values = {"degree": sigma.degree, "residual": made.residual, "X": made.X, "c": made.c}
    original, shown, errors = None, made.X, None
    if subject.X is not None:
        match = made.match(subject.X, best_multipliers(system, subject.X, subject.y, work.budget))
        original, shown, errors = subject.X, match.X, match.errors
        values["errors"] = errors
        answer += f"; beside the given data the relative errors are {show(float(errors.min()))} to {show(float(errors.max()))}"
    draw = partial(pictures, subject.mean, original, shown, errors, "recovered")
    details = (f"the residual is not below {show(TOLERANCE)}, so the data do not count as a solution",) * (made.residual > TOLERANCE)
    details += (work.separation,) * bool(work.separation)
    work.add(Finding("recovery", POLYNOMIALS_RECOVER, answer, POLYNOMIAL_SCOPE, Basis.OBSERVED, details, values, draw=draw))


def diagnosis_seconds(work: Work) -> float:
    """Seconds of compiling, and of least squares in the gradients of all samples."""
    if work.subject.X is None or not _is_diagnosable(work):
        return 0.0
    return COMPILING + _least_squares_seconds(work)


def diagnosis(work: Work) -> None:
    """Diagnosis: why the attack can or cannot find known data."""
    subject = work.subject
    if subject.X is None or not _is_diagnosable(work):
        return
    labelled = work.regime == "max-margin"
    try:
        made, y = attack_for(subject, work.regime)[0], subject.y if labelled else None
        found = diagnose(made, subject.X, y, signed=not labelled, budget=work.left)
    except (TooLargeError, InputError) as error:  # the latter for numbers whose squares are not doubles
        work.add(Finding("stationarity", STATIONARITY, f"not evaluated: {error}", "–", Basis.NONE))
        return
    work.note_interrupt(found.interrupted)
    residual = found.stationarity.residual
    work.add(
        Finding(
            "stationarity",
            STATIONARITY,
            ("yes: " if residual <= STATIONARY else "no: ") + str(found.stationarity),
            "this network, the given data, the best multipliers, the smoothing of the attack",
            Basis.FLOAT,
            tuple(str(found).splitlines()[1:]),
            {
                "holds": bool(residual <= STATIONARY),
                "residual": residual,
                "by_parameter": found.stationarity.by_parameter,
                "kinks": found.kinks,
                "free": found.free,
            }
            | {"dimension": found.dimension, "hidden": found.hidden, "objective": found.objective},
        )
    )


def refuse_many(work: Work) -> None:
    """Raise ValueError if the best multipliers of known data would take longer than the budget."""
    subject = work.subject
    if subject.X is None:
        return
    seconds = _least_squares_seconds(work)
    if seconds > work.budget:
        raise InputError(
            f"data: the best multipliers of {len(subject.X)} samples take about {seconds:.2g} s, more than the budget; give fewer samples, "
            "or a larger budget"
        )


def _least_squares_seconds(work: Work) -> float:
    subject = work.subject
    samples = 0 if subject.X is None else len(subject.X)
    return float(sum(part.size for part in subject.layers.values())) * (samples * subject.n_outputs) ** 2 / OPERATIONS_PER_SECOND


def _is_diagnosable(work: Work) -> bool:
    return not lacks_layers(work) and (work.regime != "max-margin" or work.subject.y is not None)


def attack_seconds(work: Work) -> float:
    """Of compiling it, which no clock ends, if this process has not and the steps before it took more than half of the budget."""
    if is_recovered(work) or lacks_layers(work) or is_compiled() or work.left > BEGUN * work.budget:
        return 0.0
    return ATTACK_COMPILING * seconds_to_compile()


def attack(work: Work) -> None:
    """The published attack for the regime, within the rest of the budget."""
    subject = work.subject
    if is_recovered(work):
        why = "not run: the recovery found all samples that the update counts"
        work.add(Finding("attack", ATTACK, why, "–", Basis.NONE))
        return
    if lacks_layers(work):
        work.add(Finding("attack", ATTACK, "not run: the published attacks need the gradient of every layer", "–", Basis.NONE))
        return
    made, name = attack_for(subject, work.regime)
    samples, counted = work.samples, "given"
    if samples is None:
        samples, counted = (SAMPLES, "assumed") if subject.X is None else (len(subject.X), "that of the data")
    k = 2 * samples
    size = sum(part.size for part in subject.layers.values())
    steps = int(np.clip(0.5 * work.budget * OPERATIONS_PER_SECOND / (PASSES * k * size + OVERHEAD), FEWEST_STEPS, made.steps))
    slowed = []
    for slower in SLOWER:
        made, name = attack_for(subject, work.regime, slower)
        try:
            found = reconstruct(made, candidates=k, steps=steps, seed=work.seed, budget=work.left, progress=work.progress)
            break
        except InputError as error:  # of numbers whose squares are not doubles
            work.add(Finding("attack", ATTACK, f"not run: {error}", "–", Basis.NONE))
            return
        except FloatingPointError:
            slowed = ["the published learning rate diverges; a part of it was used: see the settings"]
            if slower == SLOWER[-1]:
                raise
    work.note_interrupt(found.interrupted)
    run = found.trials[0]
    if found.interrupted:
        work.said["attack"] = found.interrupted
    work.candidates = found.X
    values = {"attack": name, "settings": run.settings, "candidates": k, "steps": run.iterations, "published_steps": made.steps}
    values |= {"objective": run.value, "stationarity": run.distance, "X": found.X}
    times = f"{run.iterations} iteration{'s' * (run.iterations != 1)}"
    answer = f"a published attack made {len(found.X)} candidates, in {times}, with the objective at {show(run.value)}"
    original, shown, errors = None, found.X, None
    if subject.X is not None:
        scored = score(found.X, subject.X, mean=subject.mean)
        values |= {"errors": scored.errors, "recall": scored.recall(), "correlated": scored.n_correlated()}
        answer += f"; {round(scored.recall() * len(subject.X))} of {len(subject.X)} given samples were found to a relative error below 0.1"
        order = scored.order
        original, errors = subject.X, scored.errors
        shown = np.where(order[:, None] >= 0, found.X[order], np.nan)
    work.add(
        Finding(
            "attack",
            ATTACK,
            answer,
            f"this network, one run of {name}",
            Basis.OBSERVED,
            (
                "other candidates may fit as well as the data, or better; data that are not found are not safe",
                f"for {samples} samples, {counted}; {made.steps} iterations are published",
                *slowed,
            ),
            values,
            draw=partial(pictures, subject.mean, original, shown, errors, "candidates", "candidates of the attack"),
        )
    )


STEPS: tuple[Step, ...] = (
    Step("equations", equations, decisive=True),
    Step("the layers that were sent", shown, finding="exposed", question=EXPOSED),
    Step("the verdict", verdict, finding="verdict", question=DETERMINED),
    Step("the batch behind the update", batch, batch_seconds, "recovery", RECOVERY),
    Step("the inputs of the last layer", features, features_seconds, "features", FEATURES),
    Step("verdict for the recovered samples", verdict_for_the_batch, finding="recovered", question=RECOVERED),
    Step("certificate of the verdict", partial(certificate_of, "verdict"), partial(certificate_seconds, "verdict")),
    Step(
        "certificate of the verdict for the recovered samples",
        partial(certificate_of, "recovered"),
        partial(certificate_seconds, "recovered"),
    ),
    Step("polynomials", approximation, finding="approximation", question="How close is a polynomial network?"),
    *(
        Step(
            f"recovery with degree {degree}",
            partial(approximate_recovery, degree),
            partial(approximate_recovery_seconds, degree),
        )
        for degree in DEGREES
    ),
    Step("stationarity", diagnosis, diagnosis_seconds, "stationarity", STATIONARITY),
    Step("images in the first layer", images, images_seconds, "images", IMAGES),
    Step("attack", attack, attack_seconds, "attack", ATTACK),
    *(Step(f"defence: {name}", partial(network_advice, name), seconds) for name, seconds in NETWORK_DEFENCES.items()),
)
