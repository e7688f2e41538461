"""What intervals around recovered data prove of them: the same as residues do, and nothing if it is not so."""

import numpy as np
import pytest
from support.marks import slow

import identify as idf
from identify.conditions.check import decide
from identify.conditions.networks.known import Known
from identify.conditions.networks.quadrics import _rank_in_intervals, candidates, quadrics
from identify.conditions.networks.question import NetworkQuestion
from identify.problem.symmetry import symmetry_of
from identify.problem.uniqueness import UniquenessStatus
from identify.recovery import judging
from identify.recovery.robust import Neighbourhood
from identify.recovery.solution import Recovery


def recovered(seed, activation="relu", samples=4, width=(40, 30), bar=1e-12, X=None):
    """A recovery of planted data without a search."""
    config = idf.Configuration(inputs=12, samples=samples, width=width, activation=activation, outputs=3, bias=True)
    system, truth = config.plant(seed)
    if X is not None:
        system = idf.KKTSystem.gradient(system.network, layers=system.network.update(X, truth.c))
    X = truth.X if X is None else X
    bars = np.full(samples, bar)
    return system, Recovery(X, truth.c, system.residual(X, truth.c), bars, "planted", symmetry_of(system), 0)


@pytest.mark.parametrize("seed", [0, 1, *map(slow, range(2, 6))])
@pytest.mark.parametrize("activation", ["relu", slow("leaky_relu(1/4)"), "abs", "gelu", slow("tanh")])
def test_verdicts_are_the_same_with_and_without_intervals(activation, seed):
    width = [(40, 30), (14, 12), (9, 8)][seed % 3]
    system, found = recovered(seed, activation, width=width)
    near = Neighbourhood.of(system, found)
    with_them = decide(system, data=(found.X, found.c), known=Known(found.residual, near.at))
    without = decide(system, data=(found.X, found.c))
    assert (with_them.verdict, with_them.scope) == (without.verdict, without.scope)
    proved = [{each.name for each in report.conditions if each.is_proved} for report in (with_them, without)]
    assert proved[0] == proved[1]


def test_intervals_decide_without_residues(monkeypatch):
    system, found = recovered(0)
    near = Neighbourhood.of(system, found)
    monkeypatch.setattr(NetworkQuestion, "ring", lambda self, attempt=0: pytest.fail("residues were needed"))
    report = decide(system, data=(found.X, found.c), known=Known(found.residual, near.at))
    assert {"pattern", "quadrics"} <= {each.name for each in report.conditions if each.is_proved}


def test_samples_of_one_region_are_not_proved_by_intervals():
    system, found = recovered(1, samples=4)
    X = found.X.copy()
    X[1] = X[0] * (1 + 1e-9)  # the same slopes everywhere
    system, found = recovered(1, X=X)
    near = Neighbourhood.of(system, found)
    question = NetworkQuestion.of_system(system, 4, 0, (found.X, found.c), None, Known(None, near.at))
    assert near.known.pieces(system.network.activations) is not None
    assert all(_rank_in_intervals(question, each) is None for each in candidates(question))
    assert not quadrics(question).is_proved
    report = decide(system, data=(found.X, found.c), known=Known(found.residual, near.at))
    assert report.verdict is not idf.Verdict.UNIQUE


def test_dependent_samples_are_not_counted():
    system, found = recovered(2)
    X = found.X.copy()
    X[3] = X[0] + X[1] - X[2]  # an affine combination
    system, found = recovered(2, X=X)
    near = Neighbourhood.of(system, found)
    assert not near.known.counts(near.question, 0)


def test_wide_error_bars_prove_nothing():
    system, found = recovered(3, bar=0.3)
    near = Neighbourhood.of(system, found)
    assert near.known.pieces(system.network.activations) is None
    assert not near.known.counts(near.question, 0) and not near.known.counts(near.question, 1)
    assert Neighbourhood.of(system, recovered(3, bar=np.inf)[1]) is None
    assert Neighbourhood.of(system, found, seconds=0.0) is None


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_recoveries_say_the_same_without_intervals(activation, monkeypatch):
    system, _ = idf.Configuration(inputs=12, samples=4, width=(40, 30), activation=activation, outputs=3, bias=True).plant(7)
    found = idf.recover(system)
    monkeypatch.setattr(judging, "decide", lambda system, known, **asked: decide(system, **asked))
    again = idf.recover(system)
    assert found.uniqueness == again.uniqueness and found.uniqueness.status is UniquenessStatus.PROVED
