"""Recovery: planted data come back, with error bars that can be trusted, and failures say why."""

from itertools import product

import jax.numpy as jnp
import numpy as np
import pytest
import scipy
from support.marks import slow_unless, thinned
from support.oracles import random_network, system_of
from support.zoo import MAX_MARGIN_WIDTHS, RECOVERABLE, SMOOTH_CUBIC

from identify.base.limits import TooLargeError
from identify.base.norms import scaled
from identify.conditions.check import check
from identify.planting.configuration import Configuration, Truth
from identify.problem.ambiguity import Ambiguity
from identify.problem.system import KKTSystem
from identify.problem.verdict import Verdict
from identify.recovery.decompose import fit_multipliers, fix_scale, sample_lines
from identify.recovery.moments import solve_moments
from identify.recovery.recover import recover
from identify.recovery.side_equations import _closure_roots, fix_free_scale
from identify.recovery.solution import Recovery, RecoveryError


def size(d: int, n: int, m: int, activation: str = SMOOTH_CUBIC, **options) -> Configuration:
    return Configuration(inputs=d, samples=n, width=m, activation=activation, **options)


def worst(found, truth) -> float:
    """Largest relative error of samples and of multipliers, modulo the ambiguity."""
    match = found.match(truth.X, truth.c)
    c = truth.c.reshape(len(truth.X), -1)
    return max(match.errors.max(), (np.linalg.norm(match.c - c, axis=1) / np.linalg.norm(c, axis=1)).max())


class TestPlanted:
    @pytest.mark.smoke
    @pytest.mark.parametrize("sizes", [*RECOVERABLE, pytest.param((20, 20, 110), marks=pytest.mark.slow)])
    def test_smooth_cubic(self, sizes):
        system, truth = size(*sizes).plant(0)
        found = recover(system, data=(truth.X, truth.c))
        assert worst(found, truth) < 1e-9 and found.residual < 1e-13
        assert found.n_samples == sizes[1] == found.evidence["samples_estimated"]
        assert max(found.evidence["errors"]) == found.match(truth.X, truth.c).errors.max()

    @pytest.mark.parametrize(
        "config",
        [
            size(4, 4, 15, bias=True),
            size(4, 4, 15, "z^3", bias=True),
            size(5, 4, 15, "z^2 + z^4", bias=True, layers="first"),
            size(5, 4, 8, "z + z^3"),
            size(4, 4, 15, "z^2 + z^4"),
            size(4, 3, 20, "1 + z^2 - z^3/3"),
            size(5, 4, 12, "z + z^2", outputs=2),
            size(5, 4, 12, "z + z^2", outputs=3),
            size(3, 3, 9, "z^2 + z^3", outputs=2, bias=True),
            size(5, 4, 12, layers="first"),
            size(3, 3, 30, layers="second"),
            size(64, 10, 60),
            size(4, 3, 9, regime="lazy"),
            size(3, 4, 40, bias=True),
        ],
        ids=str,
    )
    def test_variants(self, config):
        system, truth = config.plant(0)
        assert check(system, data=(truth.X, truth.c)).verdict is Verdict.UNIQUE
        found = recover(system, samples=config.samples)
        assert worst(found, truth) < 1e-9 and found.residual < 1e-12

    @pytest.mark.once
    @pytest.mark.parametrize(
        "config",
        [
            size(3, 1, 12, "1 + z^3"),
            size(3, 1, 12, "z + z^3"),
            size(3, 2, 12, "1 + z^3", outputs=2),
            size(3, 1, 3, bias=True),
            size(3, 1, 1, "z^4"),
            size(4, 2, 3, "z^3", bias=True),
            size(3, 3, 8, "z + z^4", bias=True),
            size(4, 2, 3, "z^3", bias=True, regime="max-margin"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("seed", [0, 1])
    def test_what_is_proved_unique_by_independent_samples_is_recovered(self, config, seed):
        system, truth = config.plant(seed)
        report = check(system, data=(truth.X, truth.c))
        assert report.verdict is Verdict.UNIQUE and report["decomposition"].holds
        assert worst(recover(system, samples=config.samples), truth) < 1e-8

    def test_sign_is_fixed_only_up_to_the_group(self):
        system, truth = size(5, 4, 8, "z + z^3").plant(0)
        found = recover(system)
        assert found.ambiguity.group == "sign" and (found.c > 0).all() and (truth.c < 0).any()
        assert found.labels.tolist() == [1, 1, 1, 1] and np.array_equal(found.multipliers, found.c)

    def test_one_output_as_a_matrix_row(self):
        system, truth = size(4, 3, 9).plant(0)
        net = type(system.network)(system.network.W, system.network.a[None], SMOOTH_CUBIC)
        again = KKTSystem.gradient(net, W=system.target_W, a=system.target_a[None])
        assert np.allclose(recover(again).X, recover(system).X, rtol=1e-9) and worst(recover(again), truth) < 1e-9

    def test_one_seed_one_result(self):
        system, _ = size(5, 4, 12).plant(0)
        first, second, other = (recover(system, seed=seed, judge=False) for seed in (3, 3, 4))
        assert np.array_equal(first.X, second.X) and np.array_equal(first.c, second.c) and first.seed == 3
        assert np.allclose(other.X[other.ambiguity.match(other.X, other.c, first.X, first.c).order], first.X, rtol=1e-9)

    def test_steps_are_announced_and_shown(self):
        system, _ = size(5, 4, 12).plant(0)
        steps = []
        found = recover(system, progress=steps.append)
        assert steps[:3] == ["estimating the number of samples", "solving for the moments", "decomposing the moment tensor"]
        assert "refining" in steps and steps[-2:] == ["error bars", "judging the data exactly"]
        assert repr(found).startswith("Recovery(4 samples, residual ") and found.method == "algebraic"
        assert found.evidence["coordinates"] == 4 and found.evidence["numerical_rank"] == found.evidence["moments"] == 34


class TestNoise:
    @pytest.mark.parametrize("config", [*(size(*sizes) for sizes in RECOVERABLE), size(4, 4, 15, bias=True), size(64, 10, 60)], ids=str)
    def test_error_is_what_the_error_bars_say(self, config):
        system, truth = config.plant(0)
        found = recover(noisy(system, 1e-8, 1), judge=False)
        match = found.match(truth.X, truth.c)
        errors = match.errors * np.linalg.norm(truth.X, axis=1)
        assert (errors < 10 * found.error_bars[match.order]).all() and errors.max() > found.error_bars.min() / 10
        assert 1e-10 < match.errors.max() < 1e-5 and found.residual == pytest.approx(1e-8, rel=0.5)

    @pytest.mark.once
    @pytest.mark.parametrize(
        ("config", "everywhere"),
        slow_unless(
            lambda config, everywhere: everywhere is (config.outputs == 1) or config.inputs == 40,
            product([size(5, 4, 12), size(40, 4, 12), size(20, 4, 30, bias=True), size(20, 4, 30, "z + z^2", outputs=2)], [True, False]),
        ),
        ids=str,
    )
    def test_error_bars_are_standard_deviations(self, config, everywhere, monkeypatch):
        """Root mean square error over repetitions of the noise, against the average bar, sample by sample.

        By least squares in all coordinates, and as for large images: on the span of the samples, and off it.
        """
        if not everywhere:
            monkeypatch.setattr("identify.recovery.work.FINAL_FLOPS", 0)
        system, truth = config.plant(0)
        errors, bars = [], []
        for seed in range(16):
            found = recover(noisy(system, 1e-6, seed), samples=4, judge=False)
            match = found.match(truth.X, truth.c)
            errors.append(match.errors * np.linalg.norm(truth.X, axis=1))
            bars.append(found.error_bars[match.order])
        ratio = np.sqrt(np.mean(np.square(errors), axis=0)) / np.sqrt(np.mean(np.square(bars), axis=0))
        assert ((ratio > 0.65) & (ratio < 1.4)).all()

    @pytest.mark.once
    def test_the_last_polish_is_in_all_coordinates(self, monkeypatch):
        system, truth = size(40, 4, 12).plant(0)
        targets = [noisy(system, 1e-6, seed) for seed in range(10)]
        everywhere = [worst(recover(target, samples=4, judge=False), truth) for target in targets]
        monkeypatch.setattr("identify.recovery.work.FINAL_FLOPS", 0)
        on_the_span = [worst(recover(target, samples=4, judge=False), truth) for target in targets]
        assert np.mean(np.square(everywhere)) < 0.7 * np.mean(np.square(on_the_span))

    def test_single_precision_targets(self):
        system, truth = size(8, 5, 30).plant(0)
        found = recover(system.with_target(system.target.astype(np.float32)))
        assert found.n_samples == 5 and worst(found, truth) < 1e-4

    def test_free_scales_have_error_bars_across_their_line(self):
        system, truth = size(4, 3, 15, "z^3").plant(0)
        found = recover(noisy(system, 1e-8, 0), samples=3)
        assert np.isfinite(found.error_bars).all() and np.allclose(np.linalg.norm(found.X, axis=1), 1)
        assert found.match(truth.X, truth.c).errors.max() < 1e-6


def noisy(system: KKTSystem, level: float, seed: int) -> KKTSystem:
    """The target with uniform noise of the given relative norm."""
    noise = np.random.default_rng(seed).standard_normal(system.n_equations)
    return system.with_target(system.target + level * np.linalg.norm(system.target) * noise / np.linalg.norm(noise))


class TestSelfTrained:
    @pytest.mark.once
    @pytest.mark.smoke
    @pytest.mark.parametrize(("n", "d"), thinned(product(MAX_MARGIN_WIDTHS, [None, 20, 64]), 2))
    def test_max_margin_from_weights_and_labels_alone(self, n, d):
        system, truth = size(d or n, n, MAX_MARGIN_WIDTHS[n], "z^3", regime="max-margin").plant(0)
        assert check(system, data=(truth.X, truth.c)).verdict is Verdict.UNIQUE
        found = recover(system)
        assert worst(found, truth) < 1e-8 and found.residual < 1e-12
        assert sorted(found.labels) == sorted(truth.labels)
        assert np.allclose(found.labels * system.network(found.X), 1, rtol=1e-8)

    def test_labels_of_one_class_leave_no_sign(self):
        """(-x, -c) solves the same equations, so the data can be made one class; then each sign is determined."""
        system, truth = size(4, 2, 3, "z^3", regime="max-margin").plant(0)
        assert (truth.c < 0).any()
        one_class = Truth(truth.X * np.sign(truth.c)[:, None], np.abs(truth.c))
        found = recover(KKTSystem.max_margin(system.network, labels=[1, 1]))
        assert found.ambiguity.group == "none" and worst(found, one_class) < 1e-8

    def test_without_labels_the_scale_stays_free(self):
        system, truth = size(4, 4, 15, "z^3", regime="max-margin").plant(0)
        found = recover(KKTSystem.max_margin(system.network))
        assert found.ambiguity.group == "scaling" and worst(found, truth) < 1e-8
        assert np.allclose(np.linalg.norm(found.X, axis=1), 1)

    @pytest.mark.parametrize(("d", "n", "m"), [(3, 3, 7), (20, 4, 15)])
    def test_weight_decay_with_the_closure(self, d, n, m):
        """The closure fixes each scale: compared up to sign only, although (S) alone leaves scales free."""
        system, truth = size(d, n, m, "z^3", regime="weight-decay").plant(0)
        found = recover(system)
        order = found.match(truth.X, truth.c).order
        signs = np.sign((found.X[order] * truth.X).sum(axis=1))
        assert np.allclose(signs[:, None] * found.X[order], truth.X, rtol=1e-8, atol=1e-8)
        assert np.allclose(signs * found.c[order], truth.c, rtol=1e-8)
        margins = found.labels * system.network(found.X)
        assert np.allclose(found.multipliers, 1 / (n * (1 + np.exp(margins))), rtol=1e-8)

    def test_too_narrow_for_the_moments(self):
        system, _ = size(3, 3, 3, "z^3", regime="max-margin").plant(0)
        with pytest.raises(RecoveryError, match="interpolation: numerical rank 9 of 10"):
            recover(system, method="algebraic")

    def test_too_few_samples_do_not_pass_as_a_solution(self):
        system, _ = size(4, 4, 15, "z^3", regime="max-margin").plant(0)
        with pytest.raises(RecoveryError, match="recovery: the best 3 samples leave a relative residual"):
            recover(KKTSystem.max_margin(system.network), samples=3)


class TestSteps:
    """Each step on exact input, without those before it."""

    def test_moments_are_those_of_the_data(self):
        system, truth = size(3, 4, 12, "1 + z + z^2 + z^3", outputs=2).plant(0)
        moments, evidence = solve_moments(system.network, system.observed, system.degrees, system.target)
        assert moments.degrees == (0, 1, 2, 3) and evidence["numerical_rank"] == evidence["moments"] == 2 * 20
        tensor = moments.top_tensor()
        lifted = np.hstack([truth.X, np.ones((4, 1))])
        assert np.allclose(tensor, np.einsum("no,ni,nj,nk->oijk", truth.c, lifted, lifted, lifted), rtol=1e-9, atol=1e-10)
        assert np.allclose(fit_multipliers(moments, truth.X), truth.c, rtol=1e-9)

    def test_top_tensor_without_a_lift(self):
        system, truth = size(3, 2, 12, "z^2 + z^4").plant(0)
        moments, _ = solve_moments(system.network, system.observed, system.degrees, system.target)
        expected = np.einsum("n,ni,nj,nk,nl->ijkl", truth.c, *[truth.X] * 4)
        assert np.allclose(moments.top_tensor()[0], expected, rtol=1e-9, atol=1e-10)

    @pytest.mark.parametrize(
        ("activation", "outputs"), [("z^3", 1), ("z + z^2", 2), ("1 + z + z^2 + z^3", 1), ("z^2 + z^4", 1), ("1 + z^3", 3)]
    )
    def test_lines_and_scales(self, activation, outputs):
        system, truth = size(3, 3, 30, activation, outputs=outputs).plant(2)
        moments, _ = solve_moments(system.network, system.observed, system.degrees, system.target)
        lines, evidence = sample_lines(moments, 3, np.random.default_rng(0))
        assert evidence["separation"] > 0 and np.allclose(np.linalg.norm(lines, axis=1), 1)
        X, c = fix_scale(moments, lines)
        config = size(3, 3, 30, activation, outputs=outputs)
        found = config.ambiguity.match(X, c, truth.X, truth.c)
        assert found.errors.max() < 1e-8 and np.allclose(found.c, truth.c.reshape(3, -1), rtol=1e-7)

    @pytest.mark.parametrize(("weight", "margin"), [(0.1, 0.5), (0.01, 1.0), (0.3, -2.0), (0.2, 0.0)])
    def test_closure_roots(self, weight, margin):
        roots = _closure_roots(weight, margin, 3)
        assert roots and all(u == pytest.approx(3 * weight * (1 + np.exp(u * margin)), rel=1e-9) for u in roots)
        u = np.geomspace(1e-4, 1e3, 200_001)
        signs = np.sign(u - 3 * weight * (1 + np.exp(np.minimum(u * margin, 600))))
        assert len(roots) == np.count_nonzero(np.diff(signs))

    def test_closure_without_a_root(self):
        assert _closure_roots(10.0, 1.0, 3) == [] == _closure_roots(0.0, 1.0, 3) == _closure_roots(1e-300, -1.0, 3)


class TestFailures:
    @pytest.mark.parametrize(
        ("config", "samples", "message"),
        [
            (size(3, 3, 4), 3, "interpolation: 16 equations for 19 moments; .* needs a wider network"),
            (size(2, 3, 12, "z^3"), 3, "decomposition: 3 samples in dimension 2; simultaneous diagonalisation needs at most 2"),
            (size(2, 2, 12, "z + z^2"), 2, "decomposition: degree 2 with one output; .* only up to a rotation"),
            (size(4, 3, 20), 4, "decomposition: the top moment has numerical rank below 4"),
            (size(4, 4, 20), 3, "recovery: the best 3 samples leave a relative residual of"),
        ],
    )
    def test_messages(self, config, samples, message):
        system, _ = config.plant(0)
        with pytest.raises(RecoveryError, match=message) as caught:
            recover(system, samples=samples, method="algebraic")
        assert isinstance(caught.value.evidence, dict)

    def test_evidence_of_a_failure(self):
        system, _ = size(4, 4, 20).plant(0)
        with pytest.raises(RecoveryError) as caught:
            recover(system, samples=2)
        assert caught.value.evidence["residual"] > 1e-2 and caught.value.evidence["coordinates"] == 2

    def test_target_of_another_network(self):
        system, _ = size(4, 3, 20).plant(0)
        other, _ = size(4, 3, 20).plant(1)
        with pytest.raises(RecoveryError, match="recovery: the best 3 samples.*another network"):
            recover(KKTSystem.gradient(other.network, W=system.target_W, a=system.target_a), samples=3)

    def test_parallel_neurons_do_not_determine_moments(self):
        net = random_network(np.random.default_rng(0), "z^3", inputs=3, width=12)
        poor = type(net)(net.W[np.arange(12) % 3], net.a, "z^3")
        with pytest.raises(RecoveryError, match="interpolation: numerical rank 9 of 10"):
            recover(system_of(poor, np.eye(3), [1, 1, 1]), method="algebraic")

    def test_contractions_that_are_all_singular(self):
        class Zeros(np.random.Generator):
            def standard_normal(self, size):
                return np.zeros(size)

        system, _ = size(3, 3, 20, "z^3").plant(0)
        moments, _ = solve_moments(system.network, system.observed, system.degrees, system.target)
        with pytest.raises(RecoveryError, match="decomposition: every random contraction was singular") as caught:
            sample_lines(moments, 3, Zeros(np.random.PCG64(0)))
        assert len(caught.value.evidence["flattening_spectrum"]) == 3

    def test_parameters_that_are_not_stationary(self):
        net = random_network(np.random.default_rng(0), "z^3", inputs=3, width=12)
        with pytest.raises(RecoveryError, match="recovery: the best 3 samples leave .* not stationary"):
            recover(KKTSystem.max_margin(net))

    def test_samples_at_infinity(self):
        system, _ = size(2, 2, 12, bias=True).plant(0)
        moments, _ = solve_moments(system.network, system.observed, system.degrees, system.target)
        with pytest.raises(RecoveryError, match="decomposition: a sample lies at infinity"):
            fix_scale(moments, np.array([[1.0, 0, 0], [0, 1, 1]]))

    def test_margins_that_cannot_be_met(self):
        system, truth = size(3, 2, 3, "z^3", regime="max-margin").plant(0)
        outside = np.linalg.svd(system.network.W)[2][-1:]
        with pytest.raises(RecoveryError, match="margins: a sample has output zero"):
            fix_free_scale(system, np.vstack([truth.X[:1], outside]), truth.c[:, None])

    def test_closures_that_cannot_be_met(self):
        system, truth = size(3, 2, 3, "z^3", regime="weight-decay").plant(0)
        with pytest.raises(RecoveryError, match="closure: a sample cannot satisfy"):
            fix_free_scale(system, truth.X, 1e6 * truth.c[:, None])

    def test_number_of_samples_is_needed_without_the_first_layer(self):
        system, _ = size(3, 3, 30, layers="second").plant(0)
        with pytest.raises(ValueError, match="samples: the first layer was not observed"):
            recover(system)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"samples": 0}, "samples: received 0, expected an integer of at least 1, or None"),
            ({"samples": True}, "samples: received True"),
            ({"method": "magic"}, "method: received 'magic', expected one of auto, algebraic"),
            ({"data": (np.eye(2), [1, 1])}, r"X: received shape \(2, 2\), expected \(any, 4\)"),
            ({"data": 5}, "data: received int, expected a pair"),
        ],
    )
    def test_arguments_refused(self, arguments, message):
        system, _ = size(4, 3, 20).plant(0)
        with pytest.raises(ValueError, match=message):
            recover(system, **arguments)

    def test_only_systems_can_be_recovered(self):
        with pytest.raises(TypeError, match="recover: received Configuration, expected a KKTSystem"):
            recover(size(2, 2, 2))

    def test_labels_say_how_many_samples_there_are(self):
        system, _ = size(3, 3, 7, "z^3", regime="max-margin").plant(0)
        with pytest.raises(ValueError, match="samples: received 2, but the system has 3 labels"):
            recover(system, samples=2)

    def test_labels_and_multipliers_are_for_one_output(self):
        system, _ = size(5, 4, 12, "z + z^2", outputs=2).plant(0)
        found = recover(system)
        with pytest.raises(ValueError, match="multipliers: this network has 2 outputs"):
            _ = found.multipliers
        with pytest.raises(ValueError, match="labels: these multipliers are not those of a softmax loss"):
            _ = found.labels

    @pytest.mark.parametrize(
        ("smallest", "bar", "is_told"), [(-1e-9, 0.0, True), (3e-6, 1e-6, True), (3e-6, 1e-8, False), (0.1, 1.0, False)]
    )
    def test_classes_are_told_as_far_as_error_bars_show_signs(self, smallest, bar, is_told):
        """Multipliers of a softmax loss have one positive sign; those within rounding of zero have none."""
        c = np.array([[0.5, -0.5, smallest], [-0.1, -0.2, 0.3]])
        found = Recovery(np.eye(2), c, 0.0, np.full(2, bar), "by hand", Ambiguity("none", 1), 0)
        if is_told:
            assert found.labels.tolist() == [0, 2]
        else:
            with pytest.raises(ValueError, match="labels: these multipliers are not those of a softmax loss"):
                _ = found.labels
        with pytest.raises(ValueError, match="labels: these multipliers"):
            _ = Recovery(np.eye(2), -np.abs(c), 0.0, np.full(2, bar), "by hand", Ambiguity("none", 1), 0).labels

    def test_what_does_not_fit_in_memory_is_refused(self, monkeypatch):
        system, _ = size(8, 8, 30).plant(0)
        monkeypatch.setenv("IDENTIFY_MEMORY", "0.00001")
        with pytest.raises(TooLargeError, match="the monomials of the neurons needs about"):
            recover(system)

    def test_targets_of_zero_in_the_first_layer(self):
        net = random_network(np.random.default_rng(0), "1 + z^3", inputs=2, width=12)
        with pytest.raises(ValueError, match="samples"):
            recover(KKTSystem.gradient(net, W=np.zeros((12, 2)), a=np.ones(12)))

    def test_biases_whose_target_is_zero(self):
        """Rows of rank two in which no combination is of the form (x, 1): a residual says so, and nothing is divided by zero."""
        rng = np.random.default_rng(0)
        net = random_network(rng, SMOOTH_CUBIC, inputs=4, width=12, bias=True)
        rows = rng.standard_normal((12, 2)) @ rng.standard_normal((2, 4))
        with pytest.raises(RecoveryError, match="residual"):
            recover(KKTSystem.gradient(net, W=rows, bias=np.zeros(12)), samples=2)


@pytest.mark.parametrize("k", [-590, 590])
@pytest.mark.parametrize("kind", ["deep", "features", "head"])
def test_other_networks_whose_squares_are_no_doubles(k, kind):
    """Beyond polynomials, too: the same samples, and multipliers in these units."""
    rng = np.random.default_rng(0)
    if kind == "deep":
        system, truth = Configuration(inputs=6, samples=2, width=(16, 12), activation="tanh", outputs=3, bias=True).plant(0)
        X, c = truth.X, truth.c
    else:
        M, X, c = rng.standard_normal((30, 4)), rng.standard_normal((2, 4)), rng.standard_normal((2, 8))
        system = KKTSystem.features(lambda x: jnp.tanh(M @ x), 4, W=c.T @ np.tanh(X @ M.T))
    if kind == "head":
        A, X = rng.standard_normal((10, 12)), rng.standard_normal((2, 12))
        c = (np.eye(10)[[1, 5]] - scipy.special.softmax(X @ A.T, axis=1)) / 2
        system = KKTSystem.linear_head(A, W=c.T @ X)
    found = recover(system.rescaled(k), samples=2, data=(X, scaled(c, k)))
    match = found.match(X, scaled(c, k))
    assert match.errors.max() < 1e-10 and np.allclose(scaled(match.c, -k), c, rtol=1e-8) and found.residual < 1e-13
    assert max(found.evidence["errors"]) < 1e-10 and found.uniqueness.is_supported


@pytest.mark.parametrize("k", [-590, 590])
@pytest.mark.parametrize(("activation", "method"), [(SMOOTH_CUBIC, "algebraic"), ("z^3", "auto"), (SMOOTH_CUBIC, "separate")])
def test_targets_whose_squares_are_no_doubles(k, activation, method):
    """In other units of target and multipliers: the same samples, and multipliers in these units."""
    system, truth = size(4, 3, 14, activation).plant(1)
    usual = recover(system, samples=3, method=method)
    found = recover(system.rescaled(k), samples=3, method=method, data=(truth.X, scaled(truth.c, k)))
    assert np.array_equal(found.X, usual.X) and np.array_equal(found.c, scaled(usual.c, k))
    assert found.residual == usual.residual < 1e-14 and found.uniqueness.status is usual.uniqueness.status
    assert max(found.evidence["errors"]) < 1e-9
