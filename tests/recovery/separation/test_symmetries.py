"""What a recovery lists as open is what the updates leave open: no less, or a proof would be false; no more, or a scale would be lost."""

from itertools import pairwise

import numpy as np
import pytest

import identify as idf
from identify.problem.ambiguity import NO_AMBIGUITY
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.judging import doubted
from identify.recovery.separation.feature_batch import _in_one_region
from identify.recovery.solution import Family, NotDeterminedError, Recovery

FIRST, LATER, NONE = (True, True, True), (False, True, True), (False, False, False)
CASES = [
    # activation, widths, which layers have biases, group of a single sample
    ("abs", (24, 14), LATER, "sign"),
    ("abs", (24, 14), NONE, "even scaling"),
    ("cos", (24, 14), LATER, "sign"),
    ("z^2 + z^4", (24, 14), LATER, "sign"),
    ("z^2", (24, 14), NONE, "scaling"),
    ("relu", (24, 14), (False, True, False), "none"),
    ("tanh", (24, 14), LATER, "none"),
    ("abs", (24,), LATER[:2], "sign"),
    ("abs", (24,), FIRST[:2], "none"),
    ("cos", (24,), NONE[:2], "sign"),
]


def instance(activation, widths, biases, outputs=4, samples=3, inputs=7):
    rng = np.random.default_rng(8)
    sizes = (inputs, *widths, outputs)
    weights = [rng.standard_normal((out, into)) / np.sqrt(into) for into, out in pairwise(sizes)]
    given = [0.3 * rng.standard_normal(len(W)) if has else None for W, has in zip(weights, biases, strict=True)]
    net = idf.Network(weights, biases=given, activation=activation)
    X, c = rng.standard_normal((samples, inputs)), rng.standard_normal((samples, outputs))
    c = c[:, 0] if outputs == 1 else c
    ones = {k: (np.ones_like(W), None if b is None else np.ones_like(b)) for k, (W, b) in enumerate(zip(weights, given, strict=True), 1)}
    system = idf.KKTSystem.gradient(net, layers=ones)
    return system.with_target(system.right_hand_side(X, c)), X, c


class TestSymmetries:
    @pytest.mark.parametrize(("activation", "widths", "biases", "group"), CASES)
    def test_a_recovery_lists_what_check_lists(self, activation, widths, biases, group):
        system, X, c = instance(activation, widths, biases)
        found = idf.recover(system)
        assert found.ambiguity.group == group and found.match(X, c).errors.max() < 1e-9
        if found.uniqueness.status is UniquenessStatus.PROVED:
            assert found.ambiguity.describe() == idf.check(system, data=(X, c)).ambiguity
        if group == "sign":  # and the update is really the same
            assert system.residual(-X, c) < 1e-14

    def test_quadratic_forms_of_one_output_are_refused_with_an_output_bias_too(self):
        system, X, c = instance("z^2", (24,), FIRST[:2], outputs=1)
        assert idf.check(system, data=(X, c)).verdict is idf.Verdict.NOT_UNIQUE
        for samples in (None, 2, 3):
            with pytest.raises(NotDeterminedError) as caught:
                idf.recover(system, samples=samples)
            assert caught.value.family is Family.ROTATION


class TestDoubts:
    @pytest.mark.parametrize(("distance", "bar", "is_supported"), [(1e-6, 1e-4, False), (1e-6, 1e-9, True), (0.0, 1e-16, False)])
    @pytest.mark.parametrize("size", [1.0, 1e-250, 1e250])
    def test_samples_nearer_each_other_than_their_bars_have_no_support(self, distance, bar, is_supported, size):
        X = np.array([[1.0, 2.0], [1.0, 2.0 + distance], [-3.0, 1.0]]) * size
        known = Uniqueness(UniquenessStatus.EVIDENCE, UniquenessReason.SEPARATED)
        found = Recovery(X, np.ones(3), 0.0, np.full(3, bar * size), "", NO_AMBIGUITY, 0, uniqueness=known)
        judged = doubted(found, is_counted=True).uniqueness
        assert judged.is_supported is is_supported
        assert is_supported or (judged.reason is UniquenessReason.CLOSE and judged.numbers == {"samples": 3, "close": 2})

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("outputs", [1, 4])
    def test_a_blank_image_is_recovered_without_a_warning(self, outputs):
        system, X, c = instance("gelu", (24,), FIRST[:2], outputs=outputs)
        X[0] = 0
        found = idf.recover(system.with_target(system.right_hand_side(X, c)))
        assert np.linalg.norm(found.X, axis=1).min() < 1e-12 and found.residual < 1e-12

    @pytest.mark.parametrize(("step", "bar", "alike"), [(0.3, 1e-15, 2), (1.5, 1e-15, 0), (1.0 + 1e-9, 1e-15, 0), (1.0 + 1e-9, 1e-8, 2)])
    def test_two_samples_between_which_a_known_map_is_affine(self, step, bar, alike):
        """Their line is determined, not where on it they are; a weak signal, with its large error bar, sees no kink just before its end."""
        X = np.array([[0.0, 0.2], [step, 0.2], [40.0, -30.0]])
        assert _in_one_region(X, np.full(3, bar), lambda points: np.clip(points, -1, 1), 1e-16) == alike
        assert _in_one_region(X[:1], np.full(1, bar), lambda points: np.clip(points, -1, 1), 1e-16) == 0
