"""Structure: planted duplicates, silent neurons, unseen samples, blocks and hidden numbers are found, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identify.conditions.check import check
from identify.conditions.diagnostics import neurons
from identify.conditions.diagnostics.directions import blocks, near_parallel, primitive
from identify.conditions.diagnostics.samples import activity
from identify.conditions.diagnostics.structure import structure
from identify.conditions.question import ambiguity_of, instance_of
from identify.conditions.setting import Setting
from identify.planting.configuration import Configuration
from identify.problem.ambiguity import normal_form
from identify.problem.arrays import ShapeError
from identify.problem.gradients import weighted_gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Arithmetic, Condition, Scope

CUBIC = "z + z^2/2 + z^3"


def seen(W, a, activation: str = CUBIC, *, bias=None, X=None, c=None, layers: str = "both", seed: int = 0) -> Condition:
    """The structure of a network and of data (random ones, unless given) that solve its equations."""
    rng = np.random.default_rng(seed)
    net = TwoLayerNetwork(W, a, activation, bias=bias)
    X = rng.standard_normal((3, net.n_inputs)) if X is None else np.array(X, dtype=float)
    c = rng.uniform(0.5, 1.5, (len(X), net.n_outputs)) if c is None else np.array(c, dtype=float).reshape(len(X), -1)
    sigma = net.activation
    first, bias_rows, second = weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c)
    both = layers == "both"
    system = KKTSystem.gradient(
        net,
        W=first if both or layers == "first" else None,
        bias=bias_rows if net.has_bias and layers != "second" else None,
        a=second.reshape(net.a.shape) if both or layers == "second" else None,
    )
    X, c, *_ = normal_form(X, c)
    given = instance_of(system, len(X), X, c)
    return structure(Setting(given, Scope("this network", "this data"), ambiguity_of(system), True, seed, system, (X, c)))


def test_the_structure_is_part_of_a_report():
    config = Configuration(inputs=3, samples=2, width=8, activation=CUBIC)
    system, truth = config.plant(0)
    found = check(system, data=(truth.X, truth.c))["structure"]
    assert found.holds and found.evidence["distinct_directions"] == 8


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


class TestNeurons:
    def test_nothing_to_report(self):
        found = seen(normal(8, 3), normal(8))
        assert found.holds and found.arithmetic is Arithmetic.PROOF and "every neuron has equations of its own" in found.statement
        assert found.evidence["distinct_directions"] == 8 and found.evidence["rank_W"] == 3 and "hidden_dimension" not in found.evidence

    def test_duplicates(self):
        W = normal(8, 3)
        W[5], W[6] = W[1], W[1]
        found = seen(W, normal(8))
        assert found.holds is False and found.evidence["duplicate_neurons"] == [[1, 5, 6]]
        assert found.evidence["redundant_neurons"] == 2 and found.evidence["distinct_directions"] == 6
        assert "only repeat the equations of others: 2 of 8" in found.statement

    @pytest.mark.parametrize(
        ("activation", "factor", "redundant"),
        [
            (CUBIC, -1.0, 0),
            (CUBIC, 2.0, 0),
            ("z^3", 2.0, 1),
            ("z^3", -1.0, 1),
            ("z + z^3", -1.0, 1),
            ("z + z^3", 2.0, 0),
            ("z^2 + z^4", -1.0, 1),
        ],
    )
    def test_parallel_neurons_repeat_equations_only_under_the_ambiguity(self, activation, factor, redundant):
        W, a = normal(8, 3), normal(8)
        W[4] = factor * W[2]
        found = seen(W, a, activation)
        assert found.evidence["parallel_neurons"] == [[2, 4]] and found.evidence["redundant_neurons"] == redundant
        assert found.holds is (redundant == 0)
        # Oracle: rows of the interpolation matrix that a neuron adds.
        with_it, without = (rank_of_moments(activation, W[keep], a[keep]) for keep in (np.arange(8), np.delete(np.arange(8), 4)))
        assert redundant == 0 or with_it == without

    def test_several_outputs_tell_parallel_neurons_apart(self):
        W, A = normal(6, 3), normal(2, 6)
        W[3] = W[1]
        assert seen(W, A).evidence["redundant_neurons"] == 0
        A[:, 3] = -2 * A[:, 1]
        assert seen(W, A).evidence["redundant_neurons"] == 1
        assert seen(W, normal(2, 6), layers="second").evidence["redundant_neurons"] == 1

    def test_biases_tell_neurons_apart(self):
        W, b = normal(6, 3), normal(6)
        W[3] = W[1]
        assert seen(W, normal(6), bias=b).evidence["distinct_directions"] == 6
        b[3] = b[1]
        assert seen(W, normal(6), bias=b).evidence["duplicate_neurons"] == [[1, 3]]

    def test_silent_neurons(self):
        W, a = normal(6, 3), normal(6)
        W[2], a[2], a[4] = 0, 0, 0
        found = seen(W, a, layers="first")
        assert found.evidence["silent_neurons"] == [2, 4] and "neurons without any equation, whatever the data: 2 of 6" in found.statement
        both = seen(W, a)
        assert both.evidence["silent_neurons"] == [2] and both.evidence["partly_silent_neurons"] == {4: "first-layer rows vanish: a_j = 0"}

    def test_a_neuron_without_input_that_the_bias_keeps_alive(self):
        W, b = normal(6, 3), np.zeros(6)
        W[2] = 0
        assert seen(W, normal(6), "z^3", bias=b).evidence["silent_neurons"] == [2]
        b[2] = 1.0
        assert seen(W, normal(6), "z^3", bias=b).evidence["silent_neurons"] == []

    @pytest.mark.parametrize(("size", "defect"), [(1e-9, True), (1e-3, False), (0.5, False)])
    def test_neurons_that_died_in_training(self, size, defect):
        W, a = normal(6, 3), normal(6)
        W[:2] *= size
        a[:2] *= size
        found = seen(W, a)
        assert ("neurons that died" in found.statement) is defect and found.holds is not defect
        assert found.evidence["dead_neurons_to_precision"] == {"1e-08": 2 * defect, "0.01": 2 * (size < 0.1)}

    def test_too_many_to_compare(self, monkeypatch):
        monkeypatch.setattr(neurons, "MAX_PAIRS", 10)
        W = normal(8, 3)
        W[5], W[6] = W[1], 2 * W[1]
        found = seen(W, normal(8))
        assert found.evidence["duplicate_neurons"] == [[1, 5]] and "parallel_neurons" not in found.evidence
        assert "8 neurons are too many to compare all directions" in found.statement


def rank_of_moments(activation: str, W: np.ndarray, a: np.ndarray) -> int:
    net = TwoLayerNetwork(W, a, activation)
    rng = np.random.default_rng(5)
    data = [(rng.standard_normal((1, W.shape[1])), rng.standard_normal((1, 1))) for _ in range(80)]
    sigma = net.activation
    columns = [
        np.concatenate([p.ravel() for p in weighted_gradients(W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c)])
        for X, c in data
    ]
    return int(np.linalg.matrix_rank(np.array(columns).T, tol=1e-9))


class TestSamples:
    def test_opposite_samples(self):
        X = normal(3, 3)
        X[2] = -X[0]
        free = seen(normal(8, 3), normal(8), CUBIC, X=X)
        assert free.holds and "opposite samples, which these equations see apart: 2 of 3" in free.statement
        odd = seen(normal(8, 3), normal(8), "z + z^3", X=X)
        assert odd.holds is False and "act as fewer: 2 of 3" in odd.statement

    def test_parallel_samples(self):
        X = normal(3, 3)
        X[1] = 4 * X[0]
        assert seen(normal(8, 3), normal(8), "z^3", X=X).holds is False
        assert seen(normal(8, 3), normal(8), CUBIC, X=X).holds is True

    def test_a_sample_that_no_neuron_sees(self):
        W = np.hstack([normal(6, 2), np.zeros((6, 1))])
        found = seen(W, normal(6), "z^2", X=[[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]])
        assert found.evidence["unseen_samples"] == [1] and "samples that no neuron sees: [1]" in found.statement
        assert found.holds is False and found.arithmetic is Arithmetic.EVIDENCE
        assert seen(W, normal(6), "z + z^2", X=[[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]]).evidence["unseen_samples"] == []

    def test_blocks(self):
        W = np.zeros((6, 4))
        W[:2, :2], W[2:, 2:] = normal(2, 2), normal(4, 2, seed=2)
        X = np.zeros((3, 4))
        X[:1, :2], X[1:, 2:] = normal(1, 2, seed=3), normal(2, 2, seed=4)
        found = seen(W, normal(6), "z^3", X=X, c=np.ones(3))
        assert [(block["neurons"], block["samples"]) for block in found.evidence["blocks"]] == [(2, [0]), (4, [1, 2])]
        assert "split into 2 blocks (1 by 2, 2 by 4)" in found.statement
        shares = activity(KKTSystem.max_margin(TwoLayerNetwork(W, normal(6), "z^3")), X, np.ones(3))
        expected = {f"X[{i}]": np.flatnonzero(column > 0.01 * column.max()).tolist() for i, column in enumerate(shares.T)}
        assert expected["X[0]"] == [0, 1] and expected["X[1]"] and found.evidence["active_on"] == expected


class TestHidden:
    def test_outside_the_row_space_of_second_layer_rows(self):
        W = normal(6, 2) @ normal(2, 5, seed=2)
        W = np.round(W * 64) / 64
        W[:, 4] = 0
        found = seen(W, normal(6), layers="second", X=normal(3, 5))
        rank = np.linalg.matrix_rank(W)
        assert found.evidence["rank_W"] == rank and found.evidence["hidden_dimension"] == 3 * (5 - rank) and found.holds is False

    @pytest.mark.parametrize(("width", "samples"), [(2, 4), (5, 3)])
    def test_counts_the_changes_that_leave_first_layer_rows_alone(self, width, samples):
        W = np.hstack([normal(width, 2), np.zeros((width, 2))])
        X, c, a = normal(samples, 4), np.ones(samples), normal(width)
        found = seen(W, a, X=X, c=c)
        net = TwoLayerNetwork(W, a, CUBIC)
        H = (a * net.activation(X @ W.T, 1)).T  # (neurons, samples)
        changes = np.kron(np.eye(2), H)  # of the two inputs that no weight meets
        assert found.evidence.get("hidden_dimension", 0) == changes.shape[1] - np.linalg.matrix_rank(changes)
        assert found.holds is (samples <= width)
        assert found.arithmetic is Arithmetic.PROOF

    def test_numerical_rank(self):
        W = normal(6, 3)
        W[:, 2] *= 1e-5
        assert "to precision 0.01 W has rank 2 of 3 (floating point)" in seen(W, normal(6)).statement


class TestActivity:
    @pytest.mark.parametrize("layers", ["both", "first", "second"])
    @pytest.mark.parametrize("bias", [None, np.linspace(-1, 1, 5)])
    @pytest.mark.parametrize("outputs", [1, 2])
    def test_is_the_norm_of_each_share(self, layers, bias, outputs):
        net = TwoLayerNetwork(normal(5, 3), normal(outputs, 5), CUBIC, bias=bias)
        system = KKTSystem.max_margin(net, layers=layers)
        X, c = normal(4, 3, seed=2), normal(4, outputs, seed=3)
        found = activity(system, X, c)
        for i, j in np.ndindex(4, 5):
            alone = replace(net, W=net.W[[j]], a=net.a[:, [j]], bias=None if bias is None else bias[[j]])
            share = KKTSystem.max_margin(alone, layers=layers).right_hand_side(X[[i]], c[[i]])
            assert found[j, i] == pytest.approx(np.linalg.norm(share))

    def test_wrong_shapes(self):
        system = KKTSystem.max_margin(TwoLayerNetwork(normal(5, 3), normal(5), CUBIC))
        with pytest.raises(ShapeError, match="X: received shape"):
            activity(system, normal(4, 2), np.ones(4))


class TestDirections:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(-3, 3), min_size=3, max_size=3), st.integers(-40, 40), st.sampled_from([1.0, 3.0, -5.0]))
    def test_primitive_does_not_depend_on_the_length(self, vector, power, factor):
        values = np.array(vector, dtype=float)
        assert primitive(values) == primitive(values * factor * 2.0**power)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(2, 40))
    def test_clusters_are_the_components_of_near_pairs(self, seed, count):
        rng = np.random.default_rng(seed)
        angles = rng.uniform(0, 0.02, count)
        vectors = rng.choice([-1.0, 2.0], (count, 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        labels = np.arange(count)
        for i, j in combinations(range(count), 2):
            if abs(angles[i] - angles[j]) <= 1e-3:
                labels[labels == labels[j]] = labels[i]
        expected = sorted(np.flatnonzero(labels == k).tolist() for k in np.unique(labels) if (labels == k).sum() > 1)
        assert sorted(near_parallel(vectors, 1e-3)) == expected

    def test_clusters_beyond_one_block_of_rows(self):
        angles = np.random.default_rng(0).permutation(1200) * 9e-4
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        assert [len(cluster) for cluster in near_parallel(vectors, 1e-3)] == [1200]
        assert near_parallel(vectors, 8e-4) == [] and near_parallel(np.zeros((3, 2)), 1e-3) == []

    def test_blocks_with_isolated_vertices(self):
        incidence = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=bool)
        assert sorted(blocks(incidence)) == [([], [2]), ([0], [0]), ([1], [1]), ([2], [])]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_permuting_neurons_and_samples_changes_no_count(seed):
    rng = np.random.default_rng(seed)
    W, a, X, c = normal(6, 3), normal(6), normal(3, 3, seed=2), np.array([1.0, -1.0, 2.0])
    W[3], W[4] = W[0], 0
    rows, samples = rng.permutation(6), rng.permutation(3)
    plain, moved = seen(W, a, X=X, c=c), seen(W[rows], a[rows], X=X[samples], c=c[samples])
    for name in ("distinct_directions", "redundant_neurons", "rank_W", "active_neurons", "neurons_that_meet_no_sample"):
        assert plain.evidence[name] == moved.evidence[name]
    assert plain.holds is moved.holds and plain.statement == moved.statement
