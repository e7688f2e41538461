"""The ambiguity group: what it does to data, and comparison of data modulo it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracles import random_network, system_of

from identify.conditions.check import check
from identify.planting.configuration import Configuration, is_lifted
from identify.problem.ambiguity import Ambiguity, normal_form

PLUS_MINUS = np.array([1.0, 1.0, -1.0])
SCALING, SIGN_ODD, SIGN_EVEN, NONE = (Ambiguity.of(k, False) for k in ((3,), (1, 3), (2, 4), (1, 2, 3)))


@pytest.mark.parametrize(
    ("degrees", "labels", "group", "counts"),
    [
        ((3,), None, "scaling", None),
        ((1, 3), None, "sign", None),
        ((2, 4), None, "sign", None),
        ((1, 2), None, "none", None),
        ((0, 1, 2, 3), None, "none", None),
        ((3,), PLUS_MINUS, "sign", (2, 1)),
        ((3,), np.ones(3), "none", (3, 0)),
        ((3,), -np.ones(3), "none", (0, 3)),
        ((4,), np.ones(3), "sign", (3, 0)),
        ((1, 3), PLUS_MINUS, "sign", (2, 1)),
        ((1, 2), PLUS_MINUS, "none", None),
    ],
)
def test_group(degrees, labels, group, counts):
    ambiguity = Ambiguity.of(degrees, is_lifted(degrees), labels, homogeneous=True)
    assert (ambiguity.group, ambiguity.degree, ambiguity.label_counts) == (group, degrees[-1], counts)
    assert ambiguity.dimension_per_sample == (group == "scaling")


def test_margins_fix_no_scale_where_outputs_do_not_scale():
    """f(t x) is not t^3 f(x) for sigma = 1 + z^3, whose first layer sees degree 3 only."""
    assert Ambiguity.of((3,), False, PLUS_MINUS, homogeneous=False).group == "scaling"
    net = random_network(np.random.default_rng(0), "1 + z^3", inputs=2, width=5)
    system = replace(system_of(net, np.eye(2), [1, -1], "first"), regime="max-margin", labels=np.array([1.0, -1.0]))
    assert system.degrees == (3,) and "for every real t ≠ 0" in check(system, samples=2).ambiguity[1]


def test_lifted_means_every_degree_down_to_zero():
    assert is_lifted((0, 1, 2, 3)) and not is_lifted((1, 2, 3)) and not is_lifted((0, 2))


def test_words():
    assert NONE.describe() == ("permutation of the samples",)
    assert "(t x_i, t^−3 c_i) for every real t ≠ 0" in SCALING.describe()[1]
    assert "(−x_i, −c_i)" in SIGN_ODD.describe()[1] and "(−x_i, c_i)" in SIGN_EVEN.describe()[1]
    labelled = Ambiguity.of((3,), False, PLUS_MINUS, homogeneous=True)
    assert labelled.describe()[2] == "the labels allow only sign patterns with 2 positive and 1 negative multipliers"


@pytest.mark.parametrize("activation", ["z^3", "z^4", "z + z^3", "z^2 + z^4", "1 + z^2", "z + z^2 + z^3"])
@given(t=st.lists(st.floats(0.2, 5) | st.floats(-5, -0.2), min_size=3, max_size=3), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_the_group_and_nothing_else_keeps_the_target(activation, t, seed):
    rng = np.random.default_rng(seed)
    net = random_network(rng, activation, inputs=2, width=8, outputs=2)
    X, c, t = rng.standard_normal((3, 2)), rng.uniform(0.5, 1.5, (3, 2)), np.array(t)
    system = system_of(net, X, c)
    ambiguity = Ambiguity.of(system.degrees, False)
    element = {"scaling": t, "sign": np.sign(t), "none": np.ones(3)}[ambiguity.group]
    assert system.residual(*ambiguity.act(X, c, element)) < 1e-12
    order = rng.permutation(3)
    assert system.residual(X[order], c[order]) < 1e-12
    outside = {"scaling": None, "sign": 1.1, "none": -1.0}[ambiguity.group]
    if outside is not None:
        moved = outside * X, outside ** -float(ambiguity.degree) * c
        assert system.residual(*moved) > 1e-6


@pytest.mark.parametrize("ambiguity", [SCALING, SIGN_ODD, SIGN_EVEN, NONE, Ambiguity.of((4,), False)])
def test_canonical_is_one_representative_of_each_orbit(ambiguity):
    rng = np.random.default_rng(1)
    X, c = rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
    t = {"scaling": rng.standard_normal(4), "sign": np.array([1, -1, -1, 1]), "none": np.ones(4)}[ambiguity.group]
    chosen = ambiguity.canonical(X, c)
    for first, second, third in zip(chosen, ambiguity.canonical(*ambiguity.act(X, c, t)), ambiguity.canonical(*chosen), strict=True):
        assert np.allclose(first, second) and np.allclose(first, third)
    if ambiguity.group == "scaling":
        assert np.allclose(np.linalg.norm(chosen[0], axis=1), 1)
    if ambiguity.flips_multiplier:
        assert (chosen[1][np.arange(4), np.abs(chosen[1]).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("ambiguity", [SCALING, SIGN_ODD, SIGN_EVEN, NONE])
def test_match_undoes_permutation_and_group(ambiguity):
    rng = np.random.default_rng(2)
    X, c = rng.standard_normal((5, 3)), rng.standard_normal((5, 1))
    order = rng.permutation(5)
    t = {"scaling": rng.standard_normal(5), "sign": np.array([1, -1, -1, 1, 1]), "none": np.ones(5)}[ambiguity.group]
    moved_X, moved_c = ambiguity.act(X[order], c[order], t)
    found = ambiguity.match(moved_X, moved_c, X, c)
    assert np.array_equal(order[found.order], np.arange(5))
    assert np.allclose(found.X, X) and np.allclose(found.c, c) and found.errors.max() < 1e-14
    noise = 1e-3 * rng.standard_normal((5, 3))
    errors = ambiguity.match(moved_X, moved_c, X + noise, c).errors
    assert (errors > 1e-6).all() and (errors <= np.linalg.norm(noise, axis=1) / np.linalg.norm(X + noise, axis=1) * (1 + 1e-9)).all()


def test_match_with_other_numbers_of_samples():
    X, c = np.array([[1.0, 0], [0, 2], [3, 3]]), np.array([1.0, 2, 3])
    fewer = NONE.match(X[[2, 0]], c[[2, 0]], X, c)
    assert fewer.order.tolist() == [1, -1, 0] and fewer.errors.tolist() == [0, np.inf, 0]
    assert np.isnan(fewer.X[1]).all() and np.isnan(fewer.c[1]).all()
    more = NONE.match(X, c, X[1:2], c[1:2])
    assert more.order.tolist() == [1] and more.errors.tolist() == [0]


def test_outside_the_group_is_an_error_not_an_alignment():
    X, c = np.array([[1.0, 2.0]]), np.array([1.0])
    assert SIGN_ODD.match(-2 * X, c, X, c).errors[0] == pytest.approx(1)
    assert NONE.match(-X, c, X, c).errors[0] == pytest.approx(2)


def test_normal_form_merges_and_drops():
    X = np.array([[1.0, 2], [3, 4], [1, 2], [5, 6], [7, 8], [7, 8], [0.0, 1], [-0.0, 1]])
    c = np.array([[1.0], [2], [3], [0], [4], [-4], [1], [1]])
    atoms, summed, dropped, merged = normal_form(X, c)
    assert atoms.tolist() == [[1, 2], [3, 4], [0, 1]] and summed.tolist() == [[4], [2], [2]]
    assert (dropped, merged) == (2, 3)


def test_normal_form_adds_exactly_or_refuses():
    X = np.array([[1.0], [2], [1]])
    assert normal_form(X, np.array([[1.0], [5], [-(2.0**-52)]]))[1].tolist() == [[1 - 2.0**-52], [5]]
    with pytest.raises(ValueError, match=r"c: the multipliers of the coincident samples \[0, 2\] have a sum that is not a float64"):
        normal_form(X, np.array([[1.0], [5], [2.0**-54]]))


def test_normal_form_keeps_data_that_are_in_it():
    _system, truth = Configuration(inputs=3, samples=4, width=5, activation="z^3", outputs=2).plant(0)
    atoms, summed, dropped, merged = normal_form(truth.X, truth.c)
    assert np.array_equal(atoms, truth.X) and np.array_equal(summed, truth.c) and dropped == merged == 0


@pytest.mark.parametrize("group", ["none", "sign", "scaling", "positive scaling", "even scaling"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_nothing_is_matched_with_no_candidate(group, outputs):
    match = Ambiguity(group, 1).match(np.zeros((0, 3)), np.zeros((0, outputs)), np.ones((2, 3)), np.ones((2, outputs)))
    assert match.order.tolist() == [-1, -1] and np.isinf(match.errors).all() and match.c.shape == (2, outputs)
