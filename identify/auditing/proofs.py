"""The steps of an audit of a two-layer polynomial network, one after the other."""

from __future__ import annotations

from identify.auditing.protecting import advice
from identify.auditing.recovering import certificates, recovery
from identify.auditing.verdicts import count_samples, equations, stationarity, thresholds, verdicts
from identify.auditing.work import Step

STEPS: tuple[tuple[str, Step], ...] = (
    ("equations", equations),
    ("stationarity", stationarity),
    ("number of samples", count_samples),
    ("verdict", verdicts),
    ("thresholds", thresholds),
    ("recovery", recovery),
    ("certificates", certificates),
    ("defences", advice),
)
