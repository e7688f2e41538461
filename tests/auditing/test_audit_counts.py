"""Audits of updates that do not show how many samples they have: whatever is recovered, nothing is called proved or recovered then."""

from __future__ import annotations

import numpy as np
import pytest
from support.marks import alone, slow

import identify as idf
from identify.auditing.reading import OUTPUT_BIAS
from identify.auditing.result import Standing

LEAST = "it may be that of more samples: give it (--samples)"


def narrow(n: int):
    """A ReLU network with one neuron that every sample activates, and a dead one: whatever the batch is, its update has rank one."""
    rng = np.random.default_rng(0)
    net = idf.Network([rng.random((2, 6)), rng.standard_normal((3, 2))], biases=[np.array([1.0, -100.0]), None], activation="relu")
    X, c = rng.random((n, 6)), rng.standard_normal((n, 3))
    observed = idf.KKTSystem.gradient(net, layers={1: (np.ones((2, 6)), np.ones(2)), 2: np.ones((3, 2))})
    return observed.with_target(observed.right_hand_side(X, c)), X


def polynomial(n: int):
    system, truth = idf.Configuration(inputs=4, samples=n, width=60, activation="z + z^2/2 + z^3").plant(0)
    return system, truth.X


@pytest.mark.parametrize(("made", "n"), [(narrow, 1), (narrow, 3), (polynomial, 4), slow(polynomial, 7)])
def test_of_full_rank_without_a_number(made, n):
    system, _ = made(n)
    audit = idf.audit(system, budget=8)
    assert audit.is_lower_bound and audit.standing in (Standing.NOT_DECIDED, Standing.NOT_DETERMINED)
    assert audit.standing is Standing.NOT_DETERMINED or LEAST in audit.headline
    assert audit.report is None or "at most this many samples" not in audit.headline or audit.report.scope.data == "generic data"


@pytest.mark.parametrize(("made", "n"), [(narrow, 1), (polynomial, 4)])
def test_with_their_number(made, n):
    system, X = made(n)
    audit = idf.audit(system, samples=n, budget=8)
    assert not audit.is_lower_bound and audit.standing in (Standing.PROVED_UNIQUE, Standing.RECOVERED) and LEAST not in audit.headline
    assert audit.recovery.match(X, np.ones(n)).errors.max() < 1e-6


@alone
def test_fewer_than_the_update_shows_are_doubted():
    """Two of three samples were asked for: what stands out of the third one is a mixture."""
    config = idf.Configuration(inputs=8, samples=3, width=(9, 8), activation="softplus", outputs=1, bias=True)
    doubted = 0
    for seed in range(4):
        system, truth = config.plant(seed)
        audit = idf.audit(system, samples=2, budget=6)
        if audit.recovery is None:
            continue
        wrong = audit.recovery.match(truth.X, truth.c).errors.min() > 1e-6
        assert not wrong or (audit.standing is Standing.NOT_DECIDED and "these need not be the data: the updates show 3" in audit.headline)
        doubted += wrong
    assert doubted


def test_fewer_samples_than_the_rank_allows_show_their_number():
    """The negative control: the rank is smaller than the update admits, so that it counts."""
    system, truth = idf.Configuration(inputs=6, samples=3, width=60, activation="z + z^2/2 + z^3").plant(0)
    audit = idf.audit(system, budget=8)
    assert not audit.is_lower_bound and audit.standing is Standing.PROVED_UNIQUE
    assert audit.recovery.match(truth.X, truth.c).errors.max() < 1e-6


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_update_of_an_output_bias_is_left_out_of_a_polynomial_network(outputs):
    rng = np.random.default_rng(1)
    net = idf.Network(
        [rng.standard_normal((40, 6)), rng.standard_normal((outputs, 40))],
        biases=[rng.standard_normal(40), rng.standard_normal(outputs)],
        activation="z + z^2/2 + z^3",
    )
    X, c = rng.standard_normal((3, 6)), rng.standard_normal((3, outputs))
    ones = {1: (np.ones((40, 6)), np.ones(40)), 2: (np.ones((outputs, 40)), np.ones(outputs))}
    observed = idf.KKTSystem.gradient(net, layers=ones)
    audit = idf.audit(observed.with_target(observed.right_hand_side(X, c if outputs > 1 else c[:, 0])), budget=8)
    assert audit.standing is Standing.PROVED_UNIQUE and OUTPUT_BIAS in audit["equations"].details
    assert audit.recovery.match(X, c if outputs > 1 else c[:, 0]).errors.max() < 1e-9


@pytest.mark.parametrize("form", ["system", "file"])
def test_rows_that_were_not_sent_of_a_polynomial_network(form, tmp_path):
    """They are audited as updates of other networks are: the theorems on polynomials take whole updates."""
    system, truth = idf.Configuration(inputs=6, samples=2, width=40, activation="z + z^2/2 + z^3", outputs=5).plant(0)
    W, net = system.updates[0].W.copy(), system.network
    W[::4] = np.nan
    if form == "system":
        audit = idf.audit(idf.KKTSystem.gradient(net, layers={1: W, 2: system.updates[1].W}), budget=8)
    else:
        np.savez(tmp_path / "net.npz", **net.parameters)
        np.savez(tmp_path / "gradient.npz", W1=-W, W2=-system.updates[1].W)
        audit = idf.audit(tmp_path / "net.npz", gradient=tmp_path / "gradient.npz", activation="z + z^2/2 + z^3", budget=8)
    assert audit.standing in (Standing.RECOVERED, Standing.PROVED_UNIQUE)
    assert audit.recovery.match(truth.X, truth.c).errors.max() < 1e-9
