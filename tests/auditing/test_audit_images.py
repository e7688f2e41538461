"""Images in the first layer: shown where they are, and nothing is claimed of layers that were not trained, or of images without limits."""

import numpy as np
import pytest

import identify as idf
from identify.attacks.rows import told
from identify.auditing import attacking
from identify.auditing.findings import Basis
from identify.auditing.vertices import CLEAR

D = 60


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def images(rng, n, background=0.6):
    return rng.uniform(0.2, 0.8, (n, D)) * (rng.uniform(size=(n, D)) > background)


def layers(rng, X, noise=1e-4, width=80, outputs=3):
    """Layers as training on X leaves them: combinations of the lifted samples beside small initial values."""
    lifted = rng.standard_normal((width, len(X))) @ np.column_stack([X, np.ones(len(X))]) + noise * rng.standard_normal((width, D + 1))
    return {"W1": lifted[:, :-1], "b1": lifted[:, -1], "W2": rng.standard_normal((outputs, width)) / width**0.5}


@pytest.fixture(autouse=True)
def images_only(monkeypatch):
    """Audits end with this step, which has time for all of its starts."""
    monkeypatch.setattr(
        attacking, "STEPS", tuple(step for step in attacking.STEPS if step.finding in ("equations", "verdict", "images", ""))
    )
    monkeypatch.setattr("identify.auditing.vertices.STARTS", 60)


def audited(parts, **options):
    return idf.audit(parts, **{"regime": "max-margin", "activation": "relu", "samples": 4, "budget": 200.0} | options)


def test_images_are_shown_as_evidence_with_others_possible(rng, tmp_path):
    X = images(rng, 4)
    mean = X.mean(axis=0)
    parts = layers(rng, X - mean)
    found = audited(parts, data={"mean": mean})
    shown = found["images"]
    assert shown.basis is Basis.OBSERVED and found.report is None and found.standing == "NOT DECIDED"
    assert "evidence that training images are among them, and others possibly as well" in shown.answer
    assert shown.answer in found.headline and "assumed, less the given mean" in shown.scope
    assert all(np.linalg.norm(shown.values["X"] - (x - mean), axis=1).min() < 0.02 * np.linalg.norm(x - mean) for x in X)
    assert "images.png" in {path.name for path in found.save(tmp_path)}
    beside = audited(parts, data={"X": X - mean, "mean": mean, "y": np.arange(4) % 3})["images"]
    assert "4 of 4 given samples are among them" in beside.answer and "range of the given data" in beside.scope
    assert beside.values["errors"].max() < 0.02


def test_of_the_change_of_a_trained_layer_whatever_the_initial_values(rng):
    X = images(rng, 4)
    change, start = layers(rng, X, noise=0.0), layers(rng, images(rng, 9), noise=1.0)
    final = {name: part + change[name] for name, part in start.items()}
    parts, low, high = audited(final, regime=None, initial=start, data={"low": 0, "high": 1}), 0, 1
    shown = parts["images"]
    assert "the change of the first layer" in shown.answer and shown.scope.endswith("the given limits of the inputs")
    assert all(np.linalg.norm(shown.values["X"] - x, axis=1).min() < 1e-6 for x in X)
    assert low <= shown.values["X"].min() + 1e-6 and shown.values["X"].max() <= high + 1e-6


def test_nothing_is_claimed_of_a_layer_that_was_not_trained(rng):
    """Negative control: random layers, Gaussian and uniform, wide and narrow, in single and double precision."""
    for shape in ((80, D), (12, D), (D, D), (200, 30)):
        for values in (rng.standard_normal(shape), rng.uniform(-1, 1, shape), rng.standard_normal(shape).astype(np.float32)):
            assert told(values.astype(float)) is None
    assert told(np.zeros((4, 4))) is None and told(np.linalg.qr(rng.standard_normal((80, D)))[0]) is None
    random = {"W1": rng.standard_normal((80, D)), "b1": rng.standard_normal(80), "W2": rng.standard_normal((3, 80))}
    shown = audited(random, data={"mean": np.full(D, 0.5)})["images"]
    assert shown.basis is Basis.NONE and "may be random initial ones" in shown.answer and not shown.values


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_claimed_of_gray_images(seed):
    """Negative control: a trained layer, whose samples are at no limit."""
    rng = np.random.default_rng(seed)
    shown = audited(layers(rng, rng.uniform(0.2, 0.8, (5, D))), data={"low": 0.0, "high": 1.0})["images"]
    assert shown.basis is Basis.OBSERVED and "no point" in shown.answer and "not a sign of safety" in shown.details[0]
    assert not shown.values["clear"]


@pytest.mark.parametrize("noise", [1e-4, 1e-2])
@pytest.mark.parametrize("shape", [(80, D, 5), (30, D, 4), (200, 40, 15)])
def test_noise_and_dimension_are_told_from_the_layer(rng, noise, shape):
    m, d, r = shape
    known = told(rng.standard_normal((m, r)) @ rng.standard_normal((r, d)) + noise * rng.standard_normal((m, d)))
    assert known.dimension == r and abs(known.noise / noise - 1) < 0.1


def test_rounding_is_told_from_noise(rng):
    exact = rng.standard_normal((40, 4)) @ rng.standard_normal((4, 30))
    for layer in (exact, exact.astype(np.float32).astype(float)):
        known = told(layer)
        assert known.dimension == 4 and known.noise < 1e-6


def test_a_layer_with_as_many_samples_as_neurons_is_not_told(rng):
    """The initial values are hidden by the samples, so nothing says which directions are theirs."""
    assert told(rng.standard_normal((20, 40)) @ rng.standard_normal((40, D)) + 1e-3 * rng.standard_normal((20, D))) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"low": 0.0}, "received one of them"),
        ({"low": 1.0, "high": 0.0}, "each low below its high"),
        ({"low": np.zeros(3), "high": 1.0}, "low"),
        ({"mean": np.zeros(3)}, "mean"),
        ({"y": np.ones(4), "mean": np.zeros(D)}, "expected X"),
    ],
)
def test_limits_that_do_not_fit_are_refused(rng, data, words):
    with pytest.raises(idf.InputError, match=words):
        audited(layers(rng, images(rng, 4)), data=data)


def test_the_margin_asks_for_more_than_one_limit():
    """Three searches in four are not the control, so the larger maximum is theirs as a rule."""
    assert CLEAR >= 2
