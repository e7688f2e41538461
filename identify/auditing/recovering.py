"""The data themselves, pictures of them, and certificates for others to check."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from identify.auditing.findings import Basis, Finding
from identify.auditing.work import Work
from identify.certificates.certify import CertificateTooLargeError
from identify.certificates.certify import certificate_seconds as estimate
from identify.certificates.certify_solution import certify
from identify.certificates.lacking import NoCertificateError
from identify.checker.solution import MAX_ENTRIES, MAX_UNKNOWNS
from identify.conditions.check import INCONSISTENT
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.witnesses.solution_box import NotCertifiedError
from identify.problem.system import SELF_TRAINED
from identify.problem.verdict import Report, Verdict
from identify.recovery.recover import TOLERANCE, recover
from identify.recovery.solution import Recovery, RecoveryError
from identify.report.html import Picture, as_sentence, show
from identify.report.plots import MAX_SAMPLES, compare, image_shape

RECOVERY = "Can the data be recovered?"
LEAST_SEARCH = 0.2
"""Least seconds for which a recovery starts."""
MAX_CERTIFIED = 600
"""Largest number of columns of a matrix in a proof of a verdict; ``Report.certificate`` makes larger proofs."""
MAX_WEIGHTS = 10**6
"""Weights of a network in a certificate: some 25 MB."""
CERTIFIED_ENTRIES_PER_SECOND = 3e4
"""Speed of the checker, for entries of the Jacobian of a solution."""
FLOAT32_ERROR = 2.0**-20
"""Relative error of a float32 target: rounding, and the error of its computation."""


def recovery_seconds(work: Work) -> float:
    """The step keeps to its part of the time by itself, except for compiling."""
    return LEAST_SEARCH


def recovery(work: Work) -> None:
    """The data, within half of the remaining budget."""
    assert work.system is not None
    system, subject = work.system, work.subject
    tolerance, budget = None, 0.5 * work.left
    if work.data is not None:  # what the given data leave is noise, or how far training was from a stationary point
        tolerance = min(max(TOLERANCE, 3 * system.residual(*work.data)), INCONSISTENT)
    scope = f"this network, at most {work.samples} samples"
    try:
        found = recover(
            system, samples=work.samples, seed=work.seed, budget=budget, tolerance=tolerance, data=work.data, progress=work.progress
        )
    except RecoveryError as error:
        work.said["recovery"] = str(error)
        work.note_interrupt(error.evidence.get("interrupted"))
        answer = "not recovered: no method found data that solve the equations"
        work.add(Finding("recovery", RECOVERY, answer, scope, Basis.OBSERVED, ("a search that finds nothing proves nothing",)))
        return
    work.found = found
    work.note_interrupt(found.evidence.get("interrupted"))
    values = {"method": found.method, "samples": len(found.X), "residual": found.residual}
    values |= {"error_bars": found.error_bars, "X": found.X, "c": found.c, "uniqueness": found.uniqueness.to_dict()}
    answer = f"{len(found.X)} samples were recovered (method: {found.method}); they solve the equations to {show(found.residual)} relative"
    if "interrupted" in found.evidence:
        work.said["recovery"] = f"cut short, {found.evidence['interrupted']}: {', '.join(found.evidence.get('left_out', ())) or 'searches'}"
    largest = float(found.error_bars.max())
    bars = f"largest error bar {show(largest)} in the units of the inputs: to first order, and no bound"
    details = [bars] * (not np.isnan(largest)) + [f"whether these are the only such data: {found.uniqueness}"]
    report = work.reports.get("verdict")
    if not (found.uniqueness.is_proved and report is not None and report.leaves_samples):  # the verdict is about multipliers then
        details.append(_standing(work))
    original, shown, errors = None, found.X, None
    if work.data is not None:
        match = found.match(*work.data)
        original, shown, errors = work.data[0], match.X, match.errors
        values["errors"] = errors
        answer += f"; beside the given data the largest relative error is {show(float(errors.max()))}"
    work.add(
        Finding(
            "recovery",
            RECOVERY,
            answer,
            f"{scope}, {symmetries(found)}",
            Basis.OBSERVED,
            tuple(details),
            values,
            draw=partial(pictures, subject.mean, original, shown, errors, "recovered"),
        )
    )


def symmetries(found: Recovery) -> str:
    """The end of the scope of a recovery."""
    lead = "up to " if found.uniqueness.is_supported else "whose equations have these symmetries: "
    return lead + "; ".join(found.ambiguity.describe())


def _standing(work: Work) -> str:
    """The meaning of the verdict for a recovered data set."""
    report = work.reports.get("verdict")
    verdict = Verdict.UNDECIDED if report is None or report.leaves_samples else report.verdict
    self_trained = work.regime in SELF_TRAINED
    if verdict is Verdict.UNIQUE:
        whom = "this target has no other data" if self_trained else "almost no data of this size have a second solution"
        return f"by the verdict {whom}, up to the ambiguity and the error bars, if there are at most {work.samples} samples"
    if verdict is Verdict.NOT_UNIQUE:
        return "by the verdict other data solve the equations as well: these need not be the ones"
    return "whether other data solve the equations as well is open: these need not be the ones"


def pictures(mean, original, found, errors, word: str, what: str = "recovered samples") -> tuple[Picture, ...]:
    """The data beside what a method gave, or this alone, as images if the size permits; ``word`` and ``what`` name it, short and long."""
    shift, n = 0.0 if mean is None else mean, min(len(found), MAX_SAMPLES)
    shape = image_shape(found.shape[1])
    first = None if original is None else original[:n] + shift
    png = compare(first, found[:n] + shift, errors=None if errors is None else errors[:n], shape=shape, titles=("given", word))
    kind = "images" if shape else "bars, one for each input"
    beside = f"the given samples above the {what}" if original is not None else f"the {what}"
    caption = ["The given samples are above them."] * (original is not None) + [f"The first {n} of {len(found)} are shown."] * (
        n < len(found)
    )
    return (Picture(as_sentence(what), png, f"{beside}, as {kind}", " ".join(caption)),)


def certificate_of(name: str, work: Work) -> None:
    """A file that proves a verdict to a separate checker."""
    report = work.reports.get(name)
    if report is None or report.verdict is Verdict.UNDECIDED:
        return
    if _is_large(work, report):
        _certified(work, remark=f"{name}: left out for its size; Report.certificate makes it, in minutes")
        return
    try:
        work.certificates[name] = report.certificate()
    except (CertificateTooLargeError, NoCertificateError) as error:
        _certified(work, remark=f"{name}: {error}")
        return
    _certified(work, f"{report.verdict} for {report.scope}")


def certificate_seconds(name: str, work: Work) -> float:
    """Seconds of the checker, for the largest matrix."""
    report = work.reports.get(name)
    if report is None or report.verdict is Verdict.UNDECIDED or _is_large(work, report):
        return 0.0
    return estimate(report)


def certificate_of_the_solution(work: Work) -> None:
    """A file that proves that data near the recovered ones solve the equations."""
    if work.found is None or work.system is None:
        return
    try:
        proof = certify(work.system, work.found, relative_error=_target_error(work))
    except (CertificateTooLargeError, NotCertifiedError) as reason:
        _certified(work, remark=f"solution: not certified, {reason}")
        return
    work.certificates["solution"] = proof
    _certified(
        work,
        f"a solution within {show(float(proof.error_bounds.max()))} of the recovered samples",
        "solution: for every target within the stated error the chosen equations have exactly one solution in a box around the "
        f"recovered samples; all equations at once: {'attained' if proof.is_attained else 'not excluded'}",
    )


def solution_certificate_seconds(work: Work) -> float:
    """Seconds, from the entries of the Jacobian; 0 if it is refused for its size."""
    if work.found is None or work.system is None:
        return 0.0
    unknowns = work.system.n_unknowns(len(work.found.X))
    entries = unknowns * work.system.n_equations
    return 0.0 if unknowns > MAX_UNKNOWNS or entries > MAX_ENTRIES else entries / CERTIFIED_ENTRIES_PER_SECOND


def _certified(work: Work, claim: str = "", remark: str = "") -> None:
    """The certificates so far."""
    work.certified += [claim] * bool(claim)
    work.remarks += [remark] * bool(remark)
    work.add(
        Finding(
            "certificates",
            "Can others check it?",
            f"certified: {'; '.join(work.certified)}" if work.certified else "no certificate was made",
            "the network and the data that each certificate names",
            Basis.PROOF if work.certified else Basis.NONE,
            (*work.remarks, *["each file is checked, from the raw numbers in it, by: identify verify"] * bool(work.certified)),
            {"certificates": sorted(work.certificates)},
        )
    )


def _is_large(work: Work, report: Report) -> bool:
    """Whether a proof is left out for its size: the largest matrix, or for a network of any activation and depth the file."""
    if isinstance(report.question, NetworkQuestion):
        return sum(out * inside for inside, out in pairwise(report.question.sizes)) > MAX_WEIGHTS
    return _size(work, report) > MAX_CERTIFIED


def _size(work: Work, report: Report) -> int:
    """Columns of the largest matrix of a proof: moments, or unknowns in coordinates on the span of the samples."""
    assert work.system is not None and work.samples is not None
    interpolation = next((c for c in report.conditions if c.name == "interpolation"), None)
    if report.verdict is Verdict.UNIQUE and interpolation is not None and interpolation.is_proved:
        return int(interpolation.evidence["needed"])
    net = work.system.network
    return work.samples * (min(work.samples, net.n_inputs) + net.n_outputs)


def _target_error(work: Work) -> float | None:
    assert work.system is not None
    numbers = work.system.target
    return FLOAT32_ERROR if np.array_equal(numbers, numbers.astype(np.float32)) else None
