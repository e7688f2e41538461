"""Each condition on an instance that meets it, and on one that just fails it."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.marks import slow
from support.oracles import fractions, random_network, system_of
from support.zoo import INTERPOLATION_RANKS

from identify.conditions.check import check
from identify.conditions.decomposition import decomposition, kruskal_rank
from identify.conditions.interpolation import generic_width
from identify.planting.configuration import Configuration
from identify.problem.gradients import Observed, jacobian, weighted_gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Arithmetic, Verdict

CUBIC = "z + z^2/2 + z^3"


def size(d: int, n: int, m: int, activation: str = CUBIC, **options) -> Configuration:
    return Configuration(inputs=d, samples=n, width=m, activation=activation, **options)


class TestInterpolation:
    @pytest.mark.parametrize(("p", "D", "m"), INTERPOLATION_RANKS)
    def test_named_ranks(self, p, D, m):
        rank, N = INTERPOLATION_RANKS[p, D, m], generic_size(p, D)
        condition = check(size(D, D + 1, m, f"z^{p}", layers="first"))["interpolation"]
        assert (condition.evidence["rank"], condition.evidence["needed"]) == (rank, N)
        assert condition.is_proved == (rank == N) and condition.holds == (rank == N)
        if rank < N:
            assert condition.evidence["width_needed"] == generic_width(p, D)
            assert f"width {generic_width(p, D)} (Alexander-Hirschowitz theorem)" in condition.statement

    @pytest.mark.parametrize(
        ("options", "width"),
        [
            ({"activation": CUBIC}, 5),
            ({"activation": CUBIC, "layers": "second"}, 19),
            ({"activation": CUBIC, "layers": "first"}, 7),
            ({"activation": "z + z^3", "bias": True}, 4),
            ({"activation": "z^3", "bias": True}, 5),
            ({"activation": "z + z^2", "outputs": 2}, 4),
        ],
    )
    def test_one_neuron_below_the_threshold(self, options, width):
        """The width that the evidence names is the least that works: found again by trying."""
        options = {"d": 3, "n": 4} | options
        below, at = (check(size(m=m, **options))["interpolation"] for m in (width - 1, width))
        assert at.is_proved and below.holds is False and below.evidence["width_needed"] == width

    @pytest.mark.parametrize(("d", "bias"), [(3, False), (2, True)])
    def test_a_given_network_is_judged_by_its_distinct_neurons(self, d, bias):
        """Ten moments need four distinct neurons; five that point in three directions are not enough."""
        net = random_network(np.random.default_rng(0), "z^3", inputs=d, width=5, bias=bias)
        rows, t = [0, 1, 2, 2, 2], np.array([1.0, 1, 1, -2, 4])
        poor = TwoLayerNetwork(t[:, None] * net.W[rows], net.a, "z^3", t * net.bias[rows] if bias else None)
        for given_net, rank, effective in ((net, 10, 5), (poor, 9, 3)):
            system = KKTSystem.gradient(given_net, W=np.ones((5, d)), bias=np.ones(5) if bias else None)
            condition = check(system, samples=4)["interpolation"]
            assert (condition.evidence["rank"], condition.evidence["needed"]) == (rank, 10)
            assert (condition.evidence["effective_width"], condition.evidence["width"]) == (effective, 5)
            assert condition.holds is (rank == 10) and (rank == 10 or condition.evidence["width_needed"] == 4)

    def test_directions_a_network_does_not_see_are_missing_whatever_its_width(self):
        rng = np.random.default_rng(0)
        W = rng.standard_normal((40, 3)) * [1, 1, 0]
        condition = check(KKTSystem.gradient(TwoLayerNetwork(W, rng.standard_normal(40), "z^3"), W=np.ones((40, 3))), samples=4)
        evidence = condition["interpolation"].evidence
        assert (evidence["rank"], evidence["needed"]) == (4 + 3, 10) and evidence["width_needed"] == 4

    def test_rows_that_never_suffice(self):
        net = random_network(np.random.default_rng(0), "z^3", inputs=2, width=30, bias=True)
        condition = check(KKTSystem.gradient(net, bias=np.ones(30)), samples=2)["interpolation"]
        assert condition.holds is False and "no larger width was found to help" in condition.statement

    def test_large_problems_count_equations_instead_of_searching(self):
        condition = check(size(30, 30, 10))["interpolation"]
        assert condition.evidence["width_needed_by"] == "count of equations, a lower bound"
        assert condition.evidence["width_needed"] == -(-condition.evidence["needed"] // 31)


def generic_size(p: int, D: int) -> int:
    return max(rank for (degree, inputs, _), rank in INTERPOLATION_RANKS.items() if (degree, inputs) == (p, D))


class TestDecomposition:
    def test_independent_samples(self):
        condition = check(size(4, 4, 20))["decomposition"]
        assert condition.is_proved and condition.evidence["criterion"] == "independent samples"

    @pytest.mark.parametrize(
        ("config", "left", "right"),
        [
            (size(3, 4, 30, "z^4"), 3 + 3 + 4, 10),
            (size(3, 5, 30, "z^4"), 3 + 3 + 5, 12),
            (size(4, 5, 30, "z^3"), 4 + 4 + 4, 12),
            (size(4, 6, 30, "z^3"), 4 + 4 + 4, 14),
            (size(3, 4, 30, "z^3", bias=True), 4 + 4 + 4, 10),
            (size(3, 3, 30, "z^2", outputs=2), 2 + 3 + 3, 8),
            (size(3, 3, 30, "z^2", outputs=2, layers="second"), 2 + 3 + 3, 8),
            (size(3, 4, 30, "z^2", outputs=3), 3 + 3 + 3, 10),
            (size(3, 4, 30, "z^2", outputs=4), 4 + 3 + 3, 10),
            (size(3, 4, 30, "z^2", outputs=5), 4 + 3 + 3, 10),
            (size(3, 7, 60, "z^6"), 6 + 6 + 6, 16),
            (size(2, 3, 30, "z + z^2 + z^3"), 3 + 3 + 2, 8),
            (size(2, 3, 30, "z^2 + z^3"), 2 + 2 + 2, 8),
            (size(3, 4, 30, "z + z^2 + z^3"), 4 + 4 + 3, 10),
        ],
    )
    def test_kruskal(self, config, left, right):
        """Kruskal ranks of three groups of degrees, (x, 1) where moments of neighbouring degrees are taken jointly."""
        condition = check(config)["decomposition"]
        if condition.holds and condition.evidence["criterion"] == "Kruskal":
            assert condition.evidence["left"] >= right == condition.evidence["right"]
        assert condition.holds == (left >= right) and condition.is_proved == (left >= right)

    @pytest.mark.parametrize(
        ("config", "holds"),
        [
            (size(8, 10, 30, "z^3"), True),  # below 120/8, beyond Kruskal
            (size(8, 14, 30, "z^3"), True),
            (size(8, 15, 30, "z^3"), False),
            (size(6, 9, 30, "z^3"), False),  # two decompositions
            (size(4, 8, 30, "z^4"), False),
            (size(2, 3, 30, "z^5"), True),  # perfect: a binary quintic
            slow(size(3, 7, 30, "z^5"), True),
            (size(5, 9, 30, "z^3", bias=True), False),  # the lifted samples are generic, too
        ],
    )
    def test_generic_tensors(self, config, holds):
        condition = check(config)["decomposition"]
        assert condition.is_proved is holds
        system, truth = config.plant(0)
        given_data = check(system, data=(truth.X, truth.c))["decomposition"]
        assert given_data.evidence.get("criterion") != "generic decomposition theorem"

    @pytest.mark.parametrize(("outputs", "holds"), [(1, False), (2, True)])
    def test_degree_two_needs_two_outputs(self, outputs, holds):
        condition = check(size(3, 3, 30, "z + z^2", outputs=outputs))["decomposition"]
        assert condition.holds is holds
        if not holds:
            assert condition.evidence["dimension"] == 3

    def test_degree_two_needs_multipliers_that_are_not_parallel(self):
        net = random_network(np.random.default_rng(0), "z + z^2", inputs=3, width=30, outputs=2)
        X, c = np.eye(3), np.array([[1.0, 2], [2, 4], [1, 0]])
        for given_c, holds in ((c, False), (c + np.array([[0, 0], [0, 1e-9], [0, 0]]), True)):
            condition = check(system_of(net, X, given_c), data=(X, given_c))["decomposition"]
            assert condition.holds is holds and condition.evidence["kruskal_ranks"][0] == 1 + holds

    def test_a_single_sample(self):
        assert check(size(3, 1, 30, "z^2"))["decomposition"].is_proved

    def test_unknown_data_in_an_unknown_span_stay_open(self):
        system, _ = Configuration(inputs=2, samples=2, width=3, activation="z^3", regime="max-margin", layers="second").plant(0)
        assert check(system, samples=2)["decomposition"].holds is None

    @pytest.mark.parametrize(
        ("X", "expected"),
        [
            ([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], 3),
            ([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], 2),
            ([[1, 0, 0], [0, 1, 0], [2, 0, 0], [1, 1, 0]], 1),
            ([[1, 2, 0]], 1),
            ([[1, 2, 0], [0, 0, 0]], 0),
        ],
    )
    def test_kruskal_rank_of_given_vectors(self, X, expected):
        X = np.array(X)
        assert kruskal_rank(X, 2**31 - 1, 3) == expected
        assert expected == max((k for k in range(1, 4) if all_independent(X, k)), default=0)

    def test_lifted_independence_says_nothing_of_even_powers(self):
        """(2, 1) and (-2, 1) are independent, their squares are not."""
        net = random_network(np.random.default_rng(0), CUBIC, inputs=1, width=9, bias=True)
        X, c = np.array([[2.0], [-2.0]]), np.array([1.0, 2.0])
        condition = check(system_of(net, X, c), data=(X, c))["decomposition"]
        assert condition.is_proved
        for degrees, rank in zip(condition.evidence["degree_sets"], condition.evidence["kruskal_ranks"], strict=True):
            vectors = np.hstack([X**k for k in degrees])
            assert rank <= np.linalg.matrix_rank(vectors)

    @pytest.mark.parametrize(("activation", "shows"), [("1 + z + z^3", True), ("z + z^3", False)])
    def test_a_zero_sample_shows_in_the_moment_of_degree_zero_only(self, activation, shows):
        net = random_network(np.random.default_rng(0), activation, inputs=2, width=5)
        X, c = np.ones((1, 2)), np.ones((1, 1))
        setting = check(system_of(net, X, c), data=(X, c)).question
        zero = replace(setting, instance=replace(setting.instance, X=0 * X), data=(0 * X, c))
        assert decomposition(zero).holds is shows and decomposition(setting).holds


def all_independent(X: np.ndarray, k: int) -> bool:
    return k <= len(X) and all(np.linalg.matrix_rank(X[list(rows)]) == k for rows in combinations(range(len(X)), k))


class TestScale:
    @pytest.mark.parametrize(
        ("config", "holds"),
        [
            (size(2, 2, 30, "z + z^3"), True),
            (size(2, 3, 30, "z + z^3"), False),
            (size(2, 3, 30, "z^2 + z^4"), True),
            (size(2, 4, 30, "z^2 + z^4"), False),
            (size(2, 4, 30, "z^2 + z^4", outputs=2), True),
            (size(2, 7, 30, "z^2 + z^4", outputs=2), False),
            (size(3, 1, 30, "1 + z^3"), True),
            (size(3, 2, 30, "1 + z^3"), False),
            (size(3, 2, 30, "1 + z^3", outputs=2), True),
            (size(2, 9, 30, "z^3"), True),
            (size(2, 9, 30, "z^3", bias=True), True),
        ],
    )
    def test_as_many_samples_as_lower_moments_can_tell_apart(self, config, holds):
        condition = check(config)["scale"]
        assert condition.holds is holds and condition.is_proved == holds

    def test_the_degrees_that_fix_must_generate_the_whole_group(self):
        """With 3 samples in 2 dimensions, M_2 tells every term apart and M_1 does not."""
        # for z + z^3 + z^4 the degrees 3 and 4 leave nothing, for z + z^2 + z^4 the degrees 2 and 4 leave a sign
        assert check(size(2, 3, 30, "z + z^3 + z^4"))["scale"].is_proved
        condition = check(size(2, 3, 30, "z + z^2 + z^4"))["scale"]
        assert condition.holds is False and condition.evidence["fixing_degrees"] == [2, 4]

    def test_moments_taken_jointly_fix_the_scale(self):
        """Of z + z^2 + z^3 with 3 samples in 2 dimensions: the terms of all three moments are found at once."""
        condition = check(size(2, 3, 30))["scale"]
        assert condition.is_proved and condition.evidence["fixing_degrees"] == [1, 2, 3]

    def test_given_data_with_dependent_powers(self):
        net = random_network(np.random.default_rng(0), "z^2 + z^4", inputs=2, width=30)
        X = np.array([[1.0, 0], [0, 1], [1, 1]])
        for data, holds in ((X, True), (np.array([[1.0, 0], [0, 1], [0, 2]]), False)):
            assert check(system_of(net, data, [1, 2, -1]), data=(data, [1, 2, -1]))["scale"].holds is holds


class TestLocal:
    @pytest.mark.parametrize(
        ("config", "needed"),
        [(size(2, 2, 2), 6), (size(3, 3, 3, "z + z^3"), 12), (size(3, 3, 3, "z^3", layers="first"), 9), (size(4, 2, 2, bias=True), 4)],
    )
    def test_isolated(self, config, needed):
        condition = check(config)["local"]
        assert condition.is_proved and condition.evidence["rank"] == condition.evidence["needed"] == needed

    @pytest.mark.parametrize(("m", "rank"), [(3, 12), (2, 10), (1, 5)])
    def test_one_neuron_fewer_than_equations_allow(self, m, rank):
        """Three samples in four inputs have 15 unknowns, of which 12 in their span."""
        condition = check(size(4, 3, m))["local"]
        assert condition.holds is (m == 3) and condition.evidence["rank"] == rank

    def test_a_deficient_rank_prints_its_error_bound(self):
        condition = check(size(2, 3, 6, "z + z^3", outputs=2))["local"]
        assert condition.holds is False and condition.arithmetic is Arithmetic.MONTE_CARLO
        assert condition.evidence["error_bound"] < 1e-12 and condition.evidence["rank"] == 11

    @pytest.mark.parametrize(
        ("config", "rank"), [(size(2, 3, 4, "z + z^3"), 6), (size(12, 80, 31, "z + z^3"), 376), (size(12, 80, 34), 442)]
    )
    def test_a_rank_that_counting_allows_at_most_is_exact(self, config, rank):
        """No error bound: the rank modulo one prime is a lower bound, and the count an upper one."""
        condition = check(config, conditions=["local"])["local"]
        assert condition.holds is False and condition.arithmetic is Arithmetic.PROOF and len(condition.evidence["primes"]) == 1
        assert condition.evidence["rank"] == rank

    def test_free_scales_are_divided_out(self):
        condition = check(size(3, 2, 9, "z^3"))["local"]
        assert condition.evidence["scale_freedom"] == 2 and condition.evidence["needed"] == condition.evidence["unknowns"] - 2

    def test_parallel_samples_are_singular_although_generic_ones_are_not(self):
        net = random_network(np.random.default_rng(0), "z^3", inputs=2, width=9)
        X = np.array([[1.0, 2], [2, 4]])
        report = check(system_of(net, X, [1, 1]), data=(X, [1, 1]))
        assert report["local"].holds is False and report["local"].arithmetic is Arithmetic.EVIDENCE
        assert report.verdict is Verdict.NOT_UNIQUE and report.witness.kind == "multipliers"


class TestCount:
    @pytest.mark.parametrize(
        ("config", "parameters", "bound"),
        [
            (size(2, 2, 2), 6, 6),
            (size(2, 3, 2), 9, 6),
            (size(2, 2, 9, "z + z^3"), 6, 6),
            (size(2, 3, 9, "z + z^3"), 9, 6),
            (size(2, 2, 9, "z^3"), 4, 4),
            (size(2, 3, 9, "z^3"), 6, 4),
            (size(2, 3, 2, bias=True), 9, 8),
        ],
    )
    def test_parameters_against_independent_numbers(self, config, parameters, bound):
        report = check(config)
        condition = report["count"]
        assert condition.evidence["parameters"] == parameters
        assert min(condition.evidence["moments"], condition.evidence["equations"]) == bound
        assert condition.holds is (parameters <= bound) and condition.evidence["excess"] == max(parameters - bound, 0)
        assert condition.holds or report.verdict is Verdict.NOT_UNIQUE

    @given(d=st.integers(1, 3), n=st.integers(1, 4), m=st.integers(1, 6), activation=st.sampled_from(["z^3", "z + z^2", CUBIC]))
    @settings(max_examples=25)
    def test_no_rank_exceeds_the_count(self, d, n, m, activation):
        report = check(size(d, n, m, activation))
        count = report["count"].evidence
        assert report["local"].evidence["rank"] <= min(count["moments"], count["equations"])
        assert report["interpolation"].evidence["rank"] <= min(count["moments"], count["equations"])


class TestWitness:
    """A witness is another data set with the same target; its absence is checked on a neighbour that has none."""

    @pytest.mark.parametrize(
        ("config", "kind", "dimension"),
        [
            (size(3, 2, 9, "z + z^2"), "rotation", 1),
            (size(3, 3, 9, "z^2"), "rotation", 3),
            (size(2, 4, 9, "z^2", bias=True), "rotation", 6),
            (size(1, 4, 9, "1 + z + z^2"), "rotation", 5),
            (size(2, 3, 9, "z + z^3"), "scaling", 1),
            (size(2, 4, 9, "z^2 + z^4"), "scaling", 1),
            (size(2, 5, 9, "1 + z^3", outputs=2), "scaling", 3),
        ],
    )
    def test_families(self, config, kind, dimension):
        report = check(config, seed=3)
        found = report.witness
        assert report.verdict is Verdict.NOT_UNIQUE and report["witness"].is_proved
        assert (found.kind, found.dimension) == (kind, dimension)
        system, _ = config.plant(3)
        (X, c), (Y, e) = found.original, found.example
        target = system.right_hand_side(X, c)
        for s in (0.3, -0.2, 0.05):
            assert np.allclose(system.right_hand_side(*found.family(s)), target, rtol=0, atol=1e-11 * np.abs(target).max())
        assert found.residual < 1e-12 and np.array_equal(found.family(0)[0], X)
        matched = config.ambiguity.match(Y, e, X, c)
        multipliers = np.linalg.norm(matched.c - c, axis=1) / np.linalg.norm(c, axis=1)
        assert max(matched.errors.max(), multipliers.max()) > 1e-2

    @pytest.mark.parametrize(
        "config",
        [
            size(3, 1, 9, "z + z^2"),
            size(3, 2, 9, "z + z^2", outputs=2),
            size(2, 2, 9, "z + z^3"),
            size(2, 2, 9, "z^2 + z^4"),
            size(2, 2, 9, "1 + z^3", outputs=2),
            size(2, 3, 3, bias=True),
        ],
    )
    def test_no_family_one_sample_or_output_away(self, config):
        report = check(config)
        assert report.witness is None and report["witness"].holds is False and report.verdict is not Verdict.NOT_UNIQUE

    def test_rotation_in_exact_fractions(self):
        """The Cayley transform of exact data is another exact data set with exactly the same target."""
        net = random_network(np.random.default_rng(0), "1/2 + z + z^2", inputs=2, width=4, bias=True, integers=True)
        X, c = fractions([[1, 2], [3, -1], [0, 1]]), fractions([[2], [-1], [4]])
        K = fractions([[0, 1, 2], [-1, 0, -1], [-2, 1, 0]]) * fractions(1 / 8)
        S = K / c
        P = solve_exactly(np.eye(3, dtype=int) - S, np.eye(3, dtype=int) + S)
        rho = P.sum(axis=1, keepdims=True)
        Y, e = P @ X / rho, c * rho**2
        observed = Observed.of("both", True)
        assert target_in_fractions(net, observed, Y, e) == target_in_fractions(net, observed, X, c)
        assert not any((x == Y).all(axis=1).any() for x in X)
        config = size(2, 3, 4, "1/2 + z + z^2", bias=True)
        assert check(config).witness.description.startswith("X' = P X / ρ, c' = c ρ²")

    def test_scaling_in_exact_fractions(self):
        """t_i = q_i^(-1/2) is rational for q = (4, 1/4, ...); M_1 and M_3 stay as they are."""
        net = random_network(np.random.default_rng(0), "z + 3*z^3", inputs=1, width=4, integers=True)
        q = fractions([4, 1 / 4])
        X = fractions([[1], [4]])  # sum (q_i - 1) c_i x_i = 3 c_1 - 3 c_2 = 0
        c = fractions([[2], [2]])
        t = fractions([1 / 2, 2])[:, None]
        assert (t**2 * q[:, None] == 1).all()
        Y, e = t * X, c / t**3
        observed = Observed.of("both", False)
        assert target_in_fractions(net, observed, Y, e) == target_in_fractions(net, observed, X, c)
        report = check(system_of(net, X.astype(float), c.astype(float)), data=(X.astype(float), c.astype(float)))
        assert report.verdict is Verdict.NOT_UNIQUE and report.witness.kind == "scaling"

    @pytest.mark.parametrize(
        ("config", "dimension"),
        [(size(2, 3, 4, "z^3", layers="first"), 2), (size(3, 3, 2), 4), (size(2, 3, 2, bias=True), 1), (size(3, 2, 1, outputs=2), 5)],
    )
    def test_fibres_are_followed_by_newtons_method(self, config, dimension):
        """A step along the kernel of the Jacobian, corrected to the same target, ends outside the orbit."""
        report = check(config, seed=1)
        assert report.verdict is Verdict.NOT_UNIQUE and (report.witness.kind, report.witness.dimension) == ("fibre", dimension)
        system, truth = config.plant(1)
        again = check(system, data=(truth.X, truth.c))
        assert again.verdict is Verdict.NOT_UNIQUE and again.witness.dimension == dimension
        Y, e = follow_kernel(system, truth)
        assert system.residual(Y, e) < 1e-11
        assert config.ambiguity.match(Y, e, truth.X, truth.c).errors.max() > 1e-3

    def test_a_rank_below_the_generic_one_proves_no_fibre(self):
        """A double root: -2 times a sample is the only solution beside it, and here it is the other sample."""
        net = TwoLayerNetwork([[1.0], [2], [3], [-1]], [[1, 2, -1, 3], [2, -1, 1, 1]], "z + z^2 + z^4")
        X, c = np.array([[1.0], [-2]]), np.array([[1.0, 2], [1, -1]])
        report = check(system_of(net, X, c), data=(X, c))
        assert report["local"].evidence["rank"] == 5 and report["witness"].evidence["largest_possible"] == 6
        assert "a deficient rank at one point proves nothing" in report["witness"].statement
        assert report["witness"].holds is None
        assert report.verdict is Verdict.UNIQUE and report["macaulay"].evidence["multiplicities"] == [2, 1]  # a count of all solutions

    def test_other_equations_in_force_stop_the_search(self):
        system, truth = Configuration(inputs=2, samples=2, width=1, activation="z^3", regime="weight-decay").plant(0)
        report = check(system, data=(truth.X, truth.c))
        assert report["witness"].holds is None and "equations beyond (S) are in force" in report["witness"].statement
        free = KKTSystem.weight_decay(system.network, decay=system.decay)
        assert check(free, data=(truth.X, truth.c)).verdict is Verdict.NOT_UNIQUE


def target_in_fractions(net, observed, X, c):
    """As ``exact_target``, for data that are fractions already."""
    W, A, b = (fractions(part) for part in (net.W, net.A, net.offsets))
    parts = weighted_gradients(W, A, b, net.activation.coefficients, net.activation.derivative(), X, c)
    return [value for part, seen in zip(parts, observed, strict=True) if seen for value in part.flat]


def solve_exactly(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """A^-1 B by elimination in fractions."""
    A, B = A.copy(), B.copy()
    for k in range(len(A)):
        B[k], A[k] = B[k] / A[k, k], A[k] / A[k, k]
        for i in range(len(A)):
            if i != k:
                B[i], A[i] = B[i] - A[i, k] * B[k], A[i] - A[i, k] * A[k]
    return B


def follow_kernel(system, truth):
    """Another solution near the data, by Gauss-Newton steps of least norm from a point along the kernel."""
    net, (n, d) = system.network, truth.X.shape
    derivatives = [net.activation.floats(order) for order in range(3)]
    point = np.hstack([truth.X, truth.c.reshape(n, -1)])

    def J(point):
        return jacobian(net.W, net.A, net.offsets, derivatives, system.observed, point[:, :d], point[:, d:])

    kernel = np.linalg.svd(J(point))[2][np.linalg.matrix_rank(J(point)) :]
    direction = kernel.T @ np.random.default_rng(0).standard_normal(len(kernel))
    point = point + 0.1 * (direction / np.linalg.norm(direction)).reshape(point.shape)
    for _ in range(30):
        r = system.target - system.right_hand_side(point[:, :d], point[:, d:])
        point = point + np.linalg.lstsq(J(point), r, rcond=1e-9)[0].reshape(point.shape)
    return point[:, :d], point[:, d:]
