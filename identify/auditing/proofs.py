"""The steps of an audit of a two-layer polynomial network, one after the other."""

from __future__ import annotations

from functools import partial

from identify.auditing.protecting import ADVICE, DEFENCES, advice, without_data
from identify.auditing.recovering import (
    RECOVERY,
    certificate_of,
    certificate_of_the_solution,
    certificate_seconds,
    recovery,
    recovery_seconds,
    solution_certificate_seconds,
)
from identify.auditing.verdicts import (
    RECOVERED,
    THRESHOLDS,
    count_samples,
    equations,
    hidden,
    stationarity,
    thresholds,
    thresholds_seconds,
    verdict,
    verdict_for_data,
    verdict_for_recovered,
)
from identify.auditing.work import Step

CERTIFIED = {
    "verdict": "certificate of the verdict",
    "verdict-data": "certificate of the verdict for the data",
    "recovered": "certificate of the verdict for the recovered samples",
}

STEPS: tuple[Step, ...] = (
    Step("equations", equations, decisive=True),
    Step("stationarity", stationarity),
    Step("number of samples", count_samples, decisive=True),
    Step("verdict", verdict, finding="verdict"),
    Step("verdict for the data", verdict_for_data, finding="verdict-data"),
    Step("hidden parts", hidden),
    Step("thresholds", thresholds, thresholds_seconds, "thresholds", THRESHOLDS),
    Step("recovery", recovery, recovery_seconds, "recovery", RECOVERY),
    Step("verdict for the recovered samples", verdict_for_recovered, finding="recovered", question=RECOVERED),
    *(Step(words, partial(certificate_of, name), partial(certificate_seconds, name)) for name, words in CERTIFIED.items()),
    Step("certificate of the solution", certificate_of_the_solution, solution_certificate_seconds),
    Step("data for the defences", without_data, finding="defences", question=ADVICE),
    *(Step(f"defence: {name}", partial(advice, name), seconds) for name, seconds in DEFENCES.items()),
)
