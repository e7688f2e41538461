"""Multipliers that the observed layers leave open: a verdict about them is none about the samples, and no answer says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import identify as idf
from identify.auditing.result import Standing
from identify.problem.open_multipliers import kernels, open_by_sizes, with_seen_outputs
from identify.problem.verdict import MULTIPLIERS_IN_PRACTICE, Verdict

BOTTLENECK = idf.Configuration(inputs=6, samples=2, width=(40, 5), activation="relu", outputs=10, bias=True, layers=(1, 2))
DEEPER = idf.Configuration(inputs=1, samples=1, width=(10, 2, 4), activation="z + z^2/2 + z^3", outputs=3, bias=True, layers=(2,))
TWO_LAYERS = idf.Configuration(inputs=3, samples=1, width=4, activation="z + z^2/2 + z^3", outputs=6, bias=True, layers="first")
EACH = pytest.mark.parametrize("config", [BOTTLENECK, DEEPER, TWO_LAYERS], ids=["relu", "polynomial, deep", "polynomial, two layers"])


def test_sizes():
    assert open_by_sizes((6, 40, 5, 10), 2) == open_by_sizes((6, 40, 5, 10), 1) == 5
    assert open_by_sizes((6, 40, 5, 10), 3) == open_by_sizes((6, 40, 15, 10), 1) == 0


@EACH
def test_a_kernel_changes_nothing_that_is_observed(config):
    system, truth = config.plant(1)
    c = truth.c.reshape(len(truth.X), -1)
    for i, kernel in enumerate(kernels(system, truth.X)):
        assert len(kernel) >= open_by_sizes(system.network.sizes, max(system.layers)) > 0
        other = c.copy()
        other[i] += kernel[0]
        assert system.residual(truth.X, other) < 1e-13 and np.abs(other - c).max() > 0.1


@EACH
def test_the_verdict_is_about_multipliers(config):
    system, truth = config.plant(0)
    report = idf.check(system, data=(truth.X, truth.c))
    assert report.verdict is Verdict.NOT_UNIQUE and report.leaves_samples and report.witness.moves_samples is False
    assert report.in_practice == MULTIPLIERS_IN_PRACTICE and "leave multipliers open" in report.to_dict()["meaning"]
    for text in (report.explain(), report.brief(), report._repr_html_()):
        assert "leave multipliers open" in " ".join(text.split()) and "nobody can tell" not in text
    assert "only their multipliers differ" in " ".join(report.explain().split())


@EACH
def test_an_audit_does_not_call_the_data_safe(config):
    system, _ = config.plant(0)
    audit = idf.audit(system, samples=config.samples, budget=10)
    assert audit.standing in (Standing.RECOVERED, Standing.PROVED_UNIQUE) and "these need not be" not in audit.explain()
    assert "nobody can tell" not in audit.brief() and "other data solve the equations" not in audit.explain()


@EACH
def test_samples_are_recovered_without_their_multipliers(config):
    system, truth = config.plant(0)
    found = idf.recover(system, samples=config.samples, data=(truth.X, truth.c))
    assert found.match(truth.X, truth.c).errors.max() < 1e-9 and np.max(found.evidence["errors"]) < 1e-9
    assert found.uniqueness.is_supported and found.c.shape == truth.c.shape and np.isnan(found.c).any(axis=1).all()
    with pytest.raises(idf.InputError, match="do not determine the multipliers"):
        _ = found.labels


def test_samples_that_move_are_said_to():
    """The negative control: the last layer was observed, and an image of a batch has another one."""
    config = idf.Configuration(inputs=9, samples=2, width=(4, 8), activation="tanh", outputs=3, bias=True, layers=(2, 3))
    system, truth = config.plant(1)
    report = idf.check(system, data=(truth.X, truth.c))
    assert report.verdict is Verdict.NOT_UNIQUE and report.witness.moves_samples and not report.leaves_samples
    assert "nobody can tell" in report.brief() and "only their multipliers differ" not in str(report)
    mixed = idf.Configuration(inputs=3, samples=2, width=8, activation="z + z^2/2 + z^3", outputs=12, bias=True, layers="first")
    report = idf.check(mixed)  # eight numbers are any signals: two samples mix, beside open multipliers
    assert report.verdict is Verdict.NOT_UNIQUE and not report.leaves_samples


def test_too_many_samples_have_a_certificate():
    """More unknowns than equations without the open multipliers; the checker counts all unknowns, which are more still."""
    config = replace(BOTTLENECK, activation="gelu", layers=(2,), samples=30)
    report = idf.check(config)
    assert report.verdict is Verdict.NOT_UNIQUE and not report.leaves_samples
    assert idf.verify(report.certificate())
    assert idf.check(replace(config, samples=18)).verdict is not Verdict.NOT_UNIQUE  # more unknowns than equations with them only
    assert 18 * (6 + 10) > 5 * 41 > 18 * (6 + 5)


@pytest.mark.parametrize(("config", "locally", "excess"), [(TWO_LAYERS, 1, 2), (replace(BOTTLENECK, activation="gelu"), 44, 45)])
def test_thresholds_are_those_of_the_samples(config, locally, excess):
    """As many outputs as neurons below say the same; in all outputs the count would exclude samples that a recovery finds."""
    found, named = idf.largest_identifiable(config), idf.largest_identifiable(config.plant(0)[0])
    assert found.locally_unique == locally == named.locally_unique and found.not_identifiable == excess == named.not_identifiable
    seen = idf.largest_identifiable(replace(config, outputs=config.widths[-1]))
    assert (seen.locally_unique, seen.not_identifiable, seen.unique) == (locally, excess, found.unique)


@pytest.mark.parametrize("config", [TWO_LAYERS, replace(BOTTLENECK, width=(40, 20, 5), activation="gelu")], ids=["two layers", "deep"])
def test_a_system_with_seen_outputs_has_the_same_updates(config):
    system, truth = config.plant(2)
    seen, neurons = with_seen_outputs(system), config.widths[-1]
    assert seen.network.n_outputs == neurons < config.outputs and not any(map(len, kernels(seen, truth.X)))
    behind = np.linalg.solve(seen.network.weights[-1].T, system.network.weights[-1].T @ truth.c.T).T
    assert seen.residual(truth.X, behind) < 1e-13
    full = replace(config, layers=(1, 2) if len(config.widths) == 1 else (1, 4)).plant(2)[0]
    assert with_seen_outputs(full) is full  # the last layer was observed: every multiplier counts
