"""Verdicts about layers beyond the second: counts as in the table of exposed, features, and samples that move along a kernel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

import identify as idf
from identify.problem.exposure import Exposed
from identify.problem.verdict import Verdict

CONFIG = idf.Configuration(inputs=3, samples=2, width=(5, 6), activation="tanh", outputs=3, bias=True, layers=(3,))


@pytest.mark.parametrize(("layers", "needed"), [((3,), 6), ((1, 3), 4)])
def test_the_threshold_is_that_of_the_theorem(layers, needed):
    """n + d neurons and one for the bias whose update the last layer lacks; 2n - 1 and one in the span of the samples."""
    for width, holds in ((needed, True), (needed - 1, False)):
        config = replace(CONFIG, width=(5, width), layers=layers)
        report, row = idf.check(config), idf.exposed(config, layers, loss=None).rows[0]
        assert (report.verdict is Verdict.UNIQUE) is holds is (row.samples.status is Exposed.PROVED_GENERIC)
        if holds:
            assert (report.scope.network, report.scope.data) == ("generic network", "all data of this rank")
            assert report["some-layers"].evidence["needed"] == needed and report.certificate()
    assert idf.check(replace(CONFIG, activation=idf.Activation.parse("relu"))).verdict is not Verdict.UNIQUE


def test_one_neuron_too_few_has_competitors():
    """Why the count is not smaller: below it other points have features in the row space, found by another solver."""
    others = 0
    for seed in range(4):
        system, truth = replace(CONFIG, width=(5, 5)).plant(seed)
        net = system.network
        H = net.forward(truth.X).entering[2]
        outside = np.linalg.svd(H)[2][2:]
        for start in 2 * np.random.default_rng(seed).standard_normal((10, 3)):

            def misfit(x, net=net, outside=outside):
                h = net.forward(x[None]).entering[2][0]
                return outside @ h / np.linalg.norm(h)

            ended = least_squares(misfit, start, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=40)
            apart = np.linalg.norm(truth.X - ended.x, axis=1).min()
            others += bool(np.linalg.norm(ended.fun) < 1e-10 and apart > 1e-3 and np.linalg.norm(ended.x) < 20)
    assert others


def test_given_data_need_their_ranks_and_multipliers():
    system, truth = CONFIG.plant(0)
    report = idf.check(system, data=(truth.X, truth.c))
    assert report.verdict is Verdict.UNIQUE and report["some-layers"].evidence["rank_of_layers"] == [3]
    assert idf.verify(report.certificate())
    c = np.vstack([truth.c[0], 2 * truth.c[0]])  # negative control: parallel signals have rank one
    made = system.network.signals(truth.X, c)[2].T @ system.network.forward(truth.X).entering[2]
    report = idf.check(idf.KKTSystem.gradient(system.network, layers={3: made}), data=(truth.X, c))
    assert report.verdict is not Verdict.UNIQUE and report["some-layers"].holds is None


def test_features_are_determined_where_samples_are_not():
    config = replace(CONFIG, inputs=9, width=(4, 8), samples=2, layers=(2, 3))
    report = idf.check(config)
    assert report.verdict is Verdict.NOT_UNIQUE and report.witness.kind == "kernel" and report.witness.dimension == 2 * (9 - 4)
    statement = idf.check(config, conditions=["some-layers"])["some-layers"].statement
    assert "the features h^1 that enter layer 2 are determined" in statement
    system, truth = config.plant(1)
    X, c = idf.check(system, data=(truth.X, truth.c)).witness.example
    assert np.linalg.norm(X - truth.X) > 0.1 and system.residual(X, c) < 1e-13  # the witness, on the equations themselves
    wide = replace(config, inputs=4)
    assert idf.check(wide).witness is None  # negative control: as many neurons as inputs


def test_thresholds_agree():
    config = idf.Configuration(inputs=4, samples=1, width=(8, 16), activation="gelu", outputs=6, bias=True, layers=(3,))
    found = idf.largest_identifiable(config)
    assert found.unique == 6 == idf.exposed(config, (3,), loss=None).rows[0].proved_up_to
    assert idf.check(replace(config, samples=6)).verdict is Verdict.UNIQUE
    assert idf.check(replace(config, samples=7)).verdict is not Verdict.UNIQUE
