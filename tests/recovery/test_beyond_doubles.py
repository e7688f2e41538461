"""Sizes at which numbers on the way overflow, underflow or lose what tells samples: typed answers, no warning, no claim without ground."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
import scipy
from support.marks import slow

import identify as idf
from identify.base.errors import IdentifyError
from identify.problem.ambiguity import NO_AMBIGUITY
from identify.problem.uniqueness import UniquenessReason
from identify.recovery.open_scales import scales_are_open


def planted(sizes, n, activation, inputs=1.0, weights=1.0, multipliers=1.0, bias=True, layers=None, seed=0):
    rng = np.random.default_rng(seed)
    W = [weights * rng.standard_normal((out, into)) / into**0.5 for into, out in pairwise(sizes)]
    b = [weights * rng.standard_normal(len(part)) for part in W] if bias else None
    net = idf.Network(W, biases=b, activation=activation)
    X, c = inputs * rng.standard_normal((n, sizes[0])), multipliers * rng.standard_normal((n, sizes[-1]))
    c = c[:, 0] if sizes[-1] == 1 else c
    ones = {k: (np.ones_like(W[k - 1]), np.ones(sizes[k]) if bias else None) for k in layers or range(1, len(sizes))}
    with np.errstate(all="ignore"):
        system = idf.KKTSystem.gradient(net, layers=ones)
        return system.with_target(system.right_hand_side(X, c)), X, c


EXTREMES = [
    ((3, 4, 3), 4, "mish", {"inputs": 1e200, "weights": 1e-6}),
    ((4, 8, 12, 2), 4, "silu", {"inputs": 1e200, "weights": 300.0}),
    ((4, 10, 2), 4, "softplus", {"inputs": 1e-300, "weights": 300.0, "bias": False}),
    ((1, 2, 13, 2), 1, "sin", {"inputs": 1e50, "weights": 1e-150, "bias": False}),
    ((6, 11, 13, 1), 2, "mish", {"inputs": 1e-3, "weights": 1e150, "multipliers": 1e-150}),
    ((3, 3, 5, 2), 2, "sigmoid", {"inputs": 1e300, "weights": 1e100, "multipliers": 1e-150, "bias": False}),
    ((7, 4, 8, 3), 4, "silu", {"weights": 1e-150, "multipliers": 1e-300}),
    ((1, 12, 9, 2), 4, "z + z^3", {"inputs": 1e8, "multipliers": 1e-300, "bias": False}),
    ((3, 4, 3), 1, "z^2", {"inputs": 1e8, "weights": 1e-150, "bias": False}),
    ((2, 9, 1), 4, "softplus", {"weights": 300.0, "multipliers": 1e300, "layers": [1]}),
]


@pytest.mark.parametrize(("sizes", "n", "activation", "options"), EXTREMES)
def test_extremes_end_in_an_answer_or_a_typed_error(sizes, n, activation, options):
    system, X, c = planted(sizes, n, activation, **options)
    for ask in (
        lambda: idf.check(system, samples=n, budget=1.0),
        lambda: idf.check(system, data=(X, c), budget=1.0),
        lambda: idf.exposed(system, samples=n),
    ):
        with suppress(IdentifyError):
            ask()
    with suppress(IdentifyError):
        found = idf.recover(system, samples=n, budget=1.0)
        match = found.match(X, c)
        right = match.errors <= np.maximum(15 * found.relative_error_bars[match.order], 1e-9)
        assert right.all() or not found.uniqueness.is_supported


def test_a_softmax_head_of_huge_features():
    rng = np.random.default_rng(3)
    A, H = 1e-6 * rng.standard_normal((6, 1)), 1e200 * rng.standard_normal((3, 1))
    c = np.eye(6)[[0, 1, 2]] - np.eye(6)[[3, 3, 4]]
    with suppress(IdentifyError):
        idf.recover(idf.KKTSystem.linear_head(A, None, W=c.T @ H, bias=c.sum(axis=0)), samples=3, budget=1.0)


def test_completion_of_rows_that_are_zero_or_tiny():
    rng = np.random.default_rng(0)
    W = np.outer(rng.standard_normal(12), rng.standard_normal(10))
    W[3], W[:, 4] = 0, 1e-300
    W[rng.random(W.shape) < 0.2] = np.nan
    with suppress(IdentifyError):
        found = idf.complete(W, samples=1)
        assert np.isfinite(found.W[3]).all() or np.isnan(found.W[3]).all()


def test_distances_beyond_doubles_are_matched():
    match = NO_AMBIGUITY.match([[1e300, -1e300], [1.0, 0.0]], [1.0, 1.0], [[1.0, 0.0], [0.0, 1e-300]], [1.0, 1.0])
    assert match.order.tolist() == [1, 0] and match.errors[0] == 0


class TestOpenScales:
    """Without biases, activations that are linear for large arguments leave scales open to working precision."""

    sizes = (6, 20, 12, 3)

    def recovered(self, activation, **options):
        system, X, c = planted(self.sizes, 2, activation, **options)
        found = idf.recover(system, samples=2, budget=2.0)
        return system, found, found.match(X, c)

    @pytest.mark.parametrize("seed", [1, slow(2)])
    @pytest.mark.parametrize(("activation", "inputs"), [("mish", 1e3), ("softplus", 1e3), ("silu", 1e-12)])
    def test_no_support_where_scales_are_open(self, activation, inputs, seed):
        try:
            _, found, match = self.recovered(activation, inputs=inputs, bias=False, seed=seed)
        except IdentifyError:
            return
        right = match.errors <= np.maximum(12 * found.relative_error_bars[match.order], 1e-9)
        assert right.all() or not found.uniqueness.is_supported

    def test_a_valley_is_seen(self):
        system, X, c = planted(self.sizes, 2, "softplus", inputs=1e4, bias=False)
        found = idf.recover(planted(self.sizes, 2, "softplus", bias=False)[0], samples=2)
        here = type(found)(X, c, 1e-16, np.full(2, 1e-9), "planted", found.ambiguity, 0, {"precision": {"noise": 1e-16}}, found.uniqueness)
        assert scales_are_open(system, here).all()

    @pytest.mark.parametrize("options", [{"bias": False}, {"inputs": 1e3}, {}])
    def test_usual_sizes_and_biases_fix_them(self, options):
        system, found, match = self.recovered("softplus", **options)
        assert not scales_are_open(system, found).any() and match.errors.max() < 1e-6
        assert found.uniqueness.is_supported and found.uniqueness.reason is not UniquenessReason.FREE

    @pytest.mark.parametrize("level", [1e-3, 3e-3])
    def test_noise_fixes_what_one_direction_of_it_cannot_move(self, level):
        """Doubled samples change less than all of the noise together, and much more than its part in their direction."""
        rng, sizes = np.random.default_rng(0), (40, 60, 40, 8)
        net = idf.Network([rng.uniform(-1, 1, (out, into)) / into**0.5 for into, out in pairwise(sizes)], activation="tanh")
        X, y = 0.2 * rng.standard_normal((3, 40)), np.arange(3)
        c = (np.eye(8)[y] - scipy.special.softmax(net(X), axis=1)) / 3
        exact = {k: W for k, (W, _) in net.update(X, c).items()}
        size = level * np.sqrt(sum((W**2).sum() for W in exact.values()) / sum(W.size for W in exact.values()))
        noisy = {k: W + size * rng.standard_normal(W.shape) for k, W in exact.items()}
        found = idf.recover(idf.KKTSystem.gradient(net, layers=noisy))
        match = found.match(X, c)
        ratio = match.errors / found.relative_error_bars[match.order]
        assert found.uniqueness.is_supported and (ratio > 0.5).all() and (ratio < 2).all()
