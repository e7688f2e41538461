"""Samples by the neurons that never saw them: in audits of several steps whose batch was not recovered, and only of ReLU networks."""

import numpy as np
import pytest
from support.clients import client, drawn

import identify as idf
from identify.auditing import trained
from identify.auditing.findings import Basis

SIZES = (14, 80, 4)


@pytest.fixture(autouse=True)
def without_recovery(monkeypatch):
    """Audits in which the batch is not recovered, as after many steps of unknown batches."""
    kept = ("equations", "verdict", "unseen", "")
    monkeypatch.setattr(trained, "STEPS", tuple(step for step in trained.STEPS if step.finding in kept))


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((5, 14)), rng.integers(4, size=5)


def audited(net, final, **options):
    system = idf.KKTSystem.steps(net, final, steps=6, learning_rate=0.05, loss="softmax")
    return idf.audit(system, samples=5, budget=100.0, **options)


def test_samples_are_shown_as_evidence(batch, tmp_path):
    net, (X, y) = drawn(0, "relu", SIZES), batch
    final = client(net, X, y, [np.array([0, 1, 2]), np.array([3, 4])] * 3, 0.05)
    found = audited(net, final, data=X)
    shown = found["unseen"]
    assert shown.basis is Basis.OBSERVED and found.standing == "NOT DECIDED"
    assert shown.values["credible"] == 5 and shown.values["errors"].max() < 1e-9
    assert "5 of 5 given samples are among them" in shown.answer and shown.answer in found.headline
    assert "evidence, and no proof" in shown.details[-1]
    assert "unseen.png" in {path.name for path in found.save(tmp_path)}
    alone = audited(net, final)["unseen"]
    np.testing.assert_array_equal(alone.values["X"], shown.values["X"])
    assert "given samples" not in alone.answer


def test_after_weight_decay_nothing_is_shown(batch):
    """Negative control: every neuron moves."""
    net, (X, y) = drawn(0, "relu", SIZES), batch
    shown = audited(net, client(net, X, y, [np.arange(5)] * 6, 0.05, decay=0.1))["unseen"]
    assert shown.basis is Basis.NONE or shown.values["credible"] == 0


def test_a_smooth_network_is_not_asked(batch):
    net, (X, y) = drawn(0, "gelu", SIZES), batch
    assert "unseen" not in audited(net, client(net, X, y, [np.arange(5)] * 6, 0.05))
