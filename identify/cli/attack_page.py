"""The page that ``identify attack --html`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from identify.attacks.runs import SAME
from identify.report.html import Cell, Picture, Section, as_sentence, write_sections
from identify.report.plots import MAX_SAMPLES, compare, image_shape

if TYPE_CHECKING:
    from identify.attacks.diagnosis import Diagnosis
    from identify.attacks.runs import Reconstruction
    from identify.attacks.scores import Score
    from identify.base.errors import OutOfTimeError

NO_PROOF = "Nothing here is proved: other candidates may fit as well as the data, or better."
RUNS = (
    "The first run has the lowest objective or, after a search over settings, the lowest stationarity, which is "
    f"the squared residual of the equations. Agreement is the share of the candidates within {SAME:.0%} of one of another run."
)


def write_attack_page(
    path: Path,
    name: str,
    found: Reconstruction,
    *,
    diagnosis: Diagnosis | OutOfTimeError | None,
    scored: Score | None,
    known: np.ndarray | None,
    mean: np.ndarray | None,
) -> None:
    """Write the page: the result, and that it is not a proof; the diagnosis, the runs, the candidates, beside the data if known."""
    sections = [] if diagnosis is None else [Section("Before the attack", _paragraphs(diagnosis))]
    header = ("seed", "objective", "stationarity", "candidates", "splits", "agreement")
    rows = [
        (
            run.seed,
            run.value,
            run.distance,
            len(run.X),
            len(run.splits),
            run.agreement if len(found.trials) > 1 else "one run only",
        )
        for run in found.trials
    ]
    sections.append(Section("Runs", RUNS, table=(header, *rows)))
    sections.append(_beside(found.X, scored, known, mean) if scored is not None and known is not None else _alone(found, mean))
    write_sections(path, sections, title=f"Attack on {name}", lead=_lead(found, scored))


def _lead(found: Reconstruction, scored: Score | None) -> list[str]:
    """How close the candidates come, if that is known; that nothing is proved; and their origin."""
    sentences = []
    if scored is not None:
        sentences.append(f"{_recalled(scored)} of {scored.support.sum()} samples have a candidate less than 10 % of their norm away.")
    runs = f"{len(found.trials)} run" + "s" * (len(found.trials) > 1) + f", {found.diverged} more diverged" * (found.diverged > 0)
    sentences += [NO_PROOF, f"The attack {found.attack}, {runs}: {len(found.X)} candidates."]
    return [*sentences, f"Interrupted: {found.interrupted}."] if found.interrupted else sentences


def _recalled(scored: Score) -> int:
    return round(scored.recall() * int(scored.support.sum()))


def _paragraphs(diagnosis: Diagnosis | OutOfTimeError) -> str:
    return "\n\n".join(f"{as_sentence(line)}." for line in str(diagnosis).splitlines())


def _beside(X: np.ndarray, scored: Score, known: np.ndarray, mean: np.ndarray | None) -> Section:
    order = scored.order[:MAX_SAMPLES]
    matched = np.where(order[:, None] >= 0, X[order], np.nan)
    shift, errors = 0.0 if mean is None else mean, scored.errors[:MAX_SAMPLES]
    png = compare(
        known[:MAX_SAMPLES] + shift, matched + shift, errors=errors, shape=image_shape(known.shape[1]), titles=("data", "candidate")
    )
    table: tuple[tuple[Cell, ...], ...] = (
        (f"measure, {int(scored.support.sum())} samples", "value"),
        ("samples with relative L2 below 0.1", _recalled(scored)),
        ("samples with correlation above 0.9", scored.n_correlated()),
        *((("mean SSIM", scored.mean_ssim),) if scored.mean_ssim is not None else ()),
    )
    picture = Picture("Data and candidates", png, "each true sample above the candidate that is assigned to it", "Relative errors below.")
    return Section("Against the data", "Candidates are assigned one to one, with the least total error.", pictures=(picture,), table=table)


def _alone(found: Reconstruction, mean: np.ndarray | None) -> Section:
    X = found.X[:MAX_SAMPLES] + (0.0 if mean is None else mean)
    png = compare(None, X, shape=image_shape(X.shape[1]))
    picture = Picture("Candidates", png, "the candidates of the run with the lowest objective")
    return Section("Candidates", f"Candidates of the first run; {NO_PROOF.lower()}", pictures=(picture,))
