"""Audits of smooth networks at a stationary point of weight decay: the samples behind the weights."""

from __future__ import annotations

import numpy as np
import pytest
from support.decayed import DECAY, stationary_network

import identify as idf
from identify.auditing.findings import Basis

SIZES = {"n": 4, "d": 6, "classes": 3, "width": 14, "first_only": True}


@pytest.fixture
def trained():
    net, X, *_ = stationary_network(**SIZES)
    return idf.KKTSystem.weight_decay(net, decay=DECAY, layers="first"), X


def test_the_samples_behind_the_weights(trained):
    system, X = trained
    found = idf.audit(system, budget=3)
    assert found["recovery"].basis is Basis.OBSERVED
    assert found["recovery"].answer.startswith("4 of 4 samples behind the weights were recovered, by closed separation")
    assert "the rank of the first layer is 4: no fewer samples" in found["recovery"].details
    assert np.linalg.norm(X[:, None] - found.recovery.X, axis=2).min(axis=1).max() < 1e-9
    assert found["verdict"].basis is not Basis.PROOF and not found.certificates


def test_other_weights_give_none(trained):
    system, _ = trained
    net = system.network
    other = idf.Network([net.weights[0], net.weights[1][:, ::-1]], biases=[net.biases[0], None], activation="tanh")
    found = idf.audit(idf.KKTSystem.weight_decay(other, decay=DECAY, layers="first"), budget=3)
    assert found.recovery is None and "a search that finds nothing proves nothing" in found["recovery"].details
    assert found["recovery"].answer == "not recovered: separation of the stationary weights did not find any sample"


def test_without_the_decay_nothing_is_tried(trained):
    net = trained[0].network
    found = idf.audit(net.parameters, activation="tanh", regime="weight-decay", budget=2)
    assert found.recovery is None and all(each.name != "recovery" for each in found.findings)
