"""The first steps of an audit of a two-layer polynomial network: its equations, verdicts, hidden parts, thresholds."""

from __future__ import annotations

from functools import partial

import numpy as np

from identify.auditing.findings import Basis, Finding
from identify.auditing.reading import OUTPUT_BIAS
from identify.auditing.regime import best_multipliers, how_told, system_of, told, unknown_regime
from identify.auditing.work import Work
from identify.base.errors import InputError
from identify.base.limits import limit_time
from identify.conditions.check import check
from identify.conditions.diagnostics.quality import stationarity_quality
from identify.conditions.question import setting_of
from identify.conditions.thresholds import largest_identifiable
from identify.exact.modular import rank_seconds
from identify.problem.rank import Spectrum
from identify.problem.system import SELF_TRAINED
from identify.problem.verdict import Arithmetic, Report, Verdict
from identify.report.html import show
from identify.report.plots import image_shape, witness_pictures

WHY_SHARED = (
    "at an exact stationary point all neurons solve the same equations, w = a·∇P(w) and a = P(w) for a polynomial P that the data define, "
    "so they share the directions that do"
)
NO_CLOSURE = "the loss is not known, so its equations for the multipliers are not used: they stay free"
PRECISION = 1e-4
"""Relative size of directions of a trained first layer below which they count as noise."""
RECOVERED = "Do other data have the target of the recovered samples?"
THRESHOLDS = "For how many samples is the answer yes?"
VERDICT_SHARE, VERDICT_LEAST = 0.3, 1.0
"""Fraction of the remaining time for each verdict, and the seconds that it has in any case."""
WORDS = {
    "gradient": "one observed gradient of the loss",
    "lazy": "the change of the parameters in training, with gradients at the first ones: exact for one step, or linearised training",
    "weight-decay": "parameters stationary for mean loss + decay/2 · ‖θ‖²",
    "max-margin": "parameters at a KKT point of the max-margin problem; training leads there, in direction, for σ = s·z^p only",
}


def equations(work: Work) -> None:
    """The regime, the system, and the multipliers of known data."""
    subject = work.subject
    numbers: dict = {}
    how = subject.how
    if subject.system is not None:
        work.system, work.regime = subject.system, subject.system.regime
    else:
        work.regime = subject.regime or ""
        if not work.regime:
            if subject.X is None:
                raise unknown_regime(subject.name)
            trial = system_of(subject, "weight-decay", subject.activation)
            c = best_multipliers(trial, subject.X, subject.y, work.budget)
            work.regime, how = "weight-decay", "assumed for several outputs, because the multipliers do not determine it"
            if subject.n_outputs == 1:
                work.regime, numbers = told(c, trial.network(subject.X))
                how = how_told(numbers)
            numbers["residual"] = trial.residual(subject.X, c)
        work.system = system_of(subject, work.regime, subject.activation)
    assert work.system is not None
    if subject.X is not None:
        c = best_multipliers(work.system, subject.X, subject.y, work.budget) if subject.c is None else subject.c
        work.data = subject.X, c
    details = [f"weights do not tell the activation: all here is about σ = {subject.activation}", *subject.notes]
    details += [f"regime {work.regime}, {how}: {WORDS[work.regime]}"]
    if numbers:
        details.append("misfits of the regimes, and residual: " + ", ".join(f"{name} {show(value)}" for name, value in numbers.items()))
    if work.regime == "weight-decay" and work.system.loss is None:
        details.append(NO_CLOSURE)
    if work.regime == "weight-decay" and subject.decay is None and subject.system is None:
        details.append("the decay is not known: multipliers are those of decay 1")
    details += [OUTPUT_BIAS] * subject.has_output_bias
    work.add(
        Finding(
            "equations",
            "What is the network, and which equation?",
            f"{subject.describe()}; {work.system.n_equations} equations",
            "this network",
            Basis.GIVEN,
            tuple(details),
            {"regime": work.regime, "how": how, "takes_one_step": subject.takes_one_step, "misfits": numbers}
            | {"equations": work.system.n_equations, "unnamed": subject.unnamed}
            | _lines(work),
        )
    )


def _lines(work: Work) -> dict:
    assert work.system is not None
    return {"system": list(work.system.describe())}


def stationarity(work: Work) -> None:
    """How well the equation holds at known data."""
    if work.data is None or work.system is None:
        return
    found = stationarity_quality(work.system, *work.data)
    multipliers = "multipliers as given" if work.subject.c is not None else "the best multipliers"
    work.add(
        Finding(
            "stationarity",
            "Does the equation hold at the known data?",
            ("yes: " if found.holds else "no: ") + found.statement,
            f"this network, the given data, {multipliers}",
            Basis.FLOAT,
            (),
            {"holds": bool(found.holds)} | {name: value for name, value in found.evidence.items() if name != "best_multipliers"},
        )
    )
    if not found.holds:
        work.data = None


def count_samples(work: Work) -> None:
    """n, for the verdicts: given, that of the data, or a numerical rank."""
    assert work.system is not None
    if work.samples is not None:
        return
    if work.subject.X is not None:
        work.samples = len(work.subject.X)
        return
    if work.system.labels is not None:
        work.samples = len(work.system.labels)
        return
    if work.system.target_W is None:
        raise InputError("samples: the first layer was not observed, so their number cannot be estimated; give samples")
    spectrum = Spectrum.of(work.system)
    work.samples, gap, full = spectrum.rank, spectrum.gap, spectrum.is_full
    work.add(
        Finding(
            "samples",
            "How many samples?",
            f"{'at least ' * full}{work.samples}, the numerical rank of the first-layer target"
            + ("; it is full, so there may be more" if full else f" (gap {show(gap)})"),
            "this target, if its samples are linearly independent",
            Basis.FLOAT,
            ("every verdict below is for this number; give the true one if you know it",),
            {"samples": work.samples, "gap": gap, "is_full": full},
        )
    )


def verdict(work: Work) -> None:
    """The verdict for generic data, or for this target."""
    assert work.system is not None and work.samples is not None
    report = check(work.system, samples=work.samples, seed=work.seed, budget=_share(work), progress=work.progress)
    self_trained = work.system.regime in SELF_TRAINED
    judged(work, "verdict", "Does this target determine its data?" if self_trained else "Are generic data determined?", report)


def verdict_for_data(work: Work) -> None:
    """The verdict for the given data."""
    if work.data is None:
        return
    assert work.system is not None
    report = check(work.system, data=work.data, seed=work.seed, budget=_share(work), progress=work.progress)
    judged(work, "verdict-data", "Are the given data determined?", report)


def verdict_for_recovered(work: Work) -> None:
    """The exact verdict for the recovered samples, if there are no given data: without an assumption on the data."""
    if work.found is None or work.data is not None:
        return
    assert work.system is not None
    found = work.found
    report = check(work.system, data=(found.X, found.c), seed=work.seed, budget=_share(work), progress=work.progress)
    about = (
        f"about the target of exactly these samples; the observed one differs from it by {show(found.residual)} relative",
        "whether they are the training data is another question",
    )
    judged(work, "recovered", RECOVERED, report, about)


def _share(work: Work) -> float:
    """Seconds for one verdict."""
    return max(VERDICT_SHARE * work.left, VERDICT_LEAST)


def judged(work: Work, name: str, question: str, report: Report, about: tuple[str, ...] = ()) -> None:
    """The finding that a report is."""
    work.reports[name] = report
    shape = image_shape(work.subject.n_inputs)
    precision = [] if report.precision is None else [report.precision]
    work.add(
        Finding(
            name,
            question,
            f"{report.verdict}: {report.meaning}",
            f"{report.scope}, up to {'; '.join(report.ambiguity)}",
            Basis.OPEN if report.verdict is Verdict.UNDECIDED else Basis.PROOF,
            (*about, *precision, *report.reasons),
            report=report,
            draw=partial(witness_pictures, report.witness, shape=shape),
        )
    )


def hidden(work: Work) -> None:
    """The parts of the data that a trained network hides, and the reason."""
    report = work.reports.get("verdict-data", work.reports.get("verdict"))
    if work.regime not in SELF_TRAINED or report is None:
        return
    known = {condition.name: condition for condition in report.diagnostics}
    undetermined, structure = known.get("undetermined"), known.get("structure")
    said = [c for c in (undetermined, structure) if c is not None and c.arithmetic is not Arithmetic.NONE]
    if not said:
        return
    assert work.system is not None
    rank, d, counted = _seen_directions(work), work.subject.n_inputs, "samples" not in {f.name for f in work.findings}
    work.add(
        Finding(
            "hidden",
            "What stays hidden, and why?",
            _in_words(rank, d, work.samples or 1, counted),
            str(report.scope),
            Basis.FLOAT,
            (*(f"{c.name}: {c.statement} ({c.arithmetic})" for c in said), *[WHY_SHARED] * all(work.system.observed[::2])),
            {"rank_W": rank, "inputs": d, "hides": rank < min(work.samples or 1, d)} | {c.name: c.evidence for c in said},
        )
    )


def _in_words(rank: int, d: int, n: int, counted: bool) -> str:
    seen = f"to a precision of {PRECISION:g} the first layer has rank {rank} of {d}"
    outside = f"projecting every sample on these {rank} directions changes no equation by more, so their parts outside stay hidden"
    if rank == d:
        return f"{seen}: no direction of the inputs is hidden as a whole"
    if rank < n:
        return f"{seen}, for {n} samples: {outside}"
    if counted:
        return f"{seen}, for {n} samples: nothing outside these directions, if the samples are linearly independent"
    return f"{seen}: if there are more than {rank} samples, {outside}"


def _seen_directions(work: Work) -> int:
    values = np.linalg.svd(work.subject.layers["W1"], compute_uv=False)
    return int((values > PRECISION * values[0]).sum())


def thresholds_seconds(work: Work) -> float:
    """Seconds of four ranks of the largest Jacobian that may be needed."""
    assert work.system is not None
    if work.system.regime in SELF_TRAINED:
        return 0.0
    instance = setting_of(work.system, 1, work.seed).instance
    return 4 * rank_seconds(instance.n_rows, min(instance.n_rows, instance.n_moments))


def thresholds(work: Work) -> None:
    """The numbers of generic samples that this network determines."""
    assert work.system is not None
    if work.system.regime in SELF_TRAINED:
        return
    with limit_time(work.left):
        found = largest_identifiable(work.system, seed=work.seed, progress=work.progress)
    beyond = "not established" if found.not_identifiable is None else f"from {found.not_identifiable} samples on"
    work.add(
        Finding(
            "thresholds",
            THRESHOLDS,
            f"unique up to {found.unique} samples, isolated up to {found.locally_unique}, not determined: {beyond}",
            f"{found.scope}, up to {'; '.join(found.ambiguity.describe())}",
            Basis.PROOF,
            tuple(line.strip() for line in found.explain().splitlines()[1:]),
            found.to_dict(),
        )
    )
