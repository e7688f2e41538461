"""Networks of one to three neurons and inputs, with zeros of every kind: ranks against python-flint, and nothing of a caller is changed."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identify import Configuration, KKTSystem, TwoLayerNetwork, check, largest_identifiable
from identify.exact import elimination, modular, slices
from identify.exact.elimination import Elimination, centred, leading_columns, to_flint, to_numpy
from identify.exact.instance import Instance, Residues
from identify.exact.kernel import Kernel, tall_rank
from identify.exact.secant import FORMS, n_scales, second_fundamental_rank
from identify.exact.slices import slice_rank
from identify.problem.activation import Activation
from identify.problem.gradients import Observed

PRIMES = (101, 4194301, 2**31 - 1)
ACTIVATIONS = ("z^2", "z^3", "1 + z^3", "z + z^2/2 + z^3", "1 + z + z^2", "z^2 + z^4", "z + z^3")


def frozen(point: Residues) -> Residues:
    """The same point, none of whose arrays can be written to."""
    for each in fields(point):
        value = getattr(point, each.name)
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return point


@st.composite
def points(draw) -> Residues:
    """A network and data modulo a prime, with zero and equal rows and columns."""
    m, d, n, C = (draw(st.integers(1, most)) for most in (3, 3, 2, 2))
    bias = draw(st.booleans())
    observed = Observed(*draw(st.sampled_from([(1, 0, 0), (0, 0, 1), (1, 0, 1)] + [(0, 1, 0), (1, 1, 0), (1, 1, 1)] * bias)))
    instance = Instance(Activation.parse(draw(st.sampled_from(ACTIVATIONS))), d, n, m, C, bias, observed)
    point = instance.at(draw(st.sampled_from(PRIMES)), np.random.default_rng(draw(st.integers(0, 10**6))))
    parts = {name: getattr(point, name).copy() for name in ("W", "A", "offsets", "X", "c")}
    for name in draw(st.sets(st.sampled_from(sorted(parts)), max_size=2)):
        part = parts[name]
        for axis in draw(st.sets(st.integers(0, part.ndim - 1), min_size=1)):
            some = np.moveaxis(part, axis, 0)[draw(st.integers(0, part.shape[axis] - 1)) :]
            some[...] = draw(st.sampled_from([0, 0, 1]))
    return frozen(replace(point, **parts))


@pytest.mark.once
@given(points())
@settings(max_examples=150, deadline=None)
def test_slices_agree_with_flint(point):
    assert slice_rank(point) == to_flint(point.interpolation(), point.q).rank()


@pytest.mark.once
@given(points())
@settings(max_examples=50, deadline=None)
def test_eliminations_agree_with_flint(point):
    for matrix in (point.jacobian(), point.interpolation(), point.X, point.W, point.slopes()):
        matrix.setflags(write=False)
        form, expected = to_flint(matrix, point.q).rref()
        assert elimination.rank(matrix, point.q) == elimination.rank(matrix.T, point.q) == tall_rank(matrix, point.q) == expected
        assert modular.rank(matrix, point.q) == expected == len(modular.pivots(matrix, point.q)[0])
        leading = leading_columns(matrix, point.q)
        assert leading.dtype == np.int64
        assert leading.tolist() == [np.flatnonzero(row)[0] for row in to_numpy(form)[:expected]]


@pytest.mark.once
@given(points())
@settings(max_examples=50, deadline=None)
def test_kernels_agree_with_flint(point):
    """Equations one by one, the widest case for the elimination of a single row."""
    matrix = centred(point.interpolation(), point.q)
    matrix.setflags(write=False)
    kernel = Kernel(matrix.shape[1], point.q)
    for k, row in enumerate(matrix, start=1):
        kernel.add(np.arange(matrix.shape[1]), row[None])
        assert kernel.rank == to_flint(matrix[:k], point.q).rank()


@pytest.mark.once
@given(points())
@settings(max_examples=50, deadline=None)
def test_second_fundamental_forms_agree_with_flint(point):
    """Bounded by the dimensions, and of the tangent space exactly; the scales of a sample are settled or not, but never an error."""
    point = point.at_random_point(np.random.default_rng(0), 1)
    gauss, dimension = second_fundamental_rank(point, np.random.default_rng(1))
    tangent = to_flint(point.jacobian(), point.q)
    assert dimension == tangent.rank() and 0 <= gauss <= min(dimension, FORMS * dimension)
    assert n_scales(point) is None or n_scales(point) >= 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (3, 4), (0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("transposed", [False, True])
def test_elimination_leaves_what_it_is_given(shape, transposed):
    """Also a view that is contiguous both ways, and sizes at which there is nothing to eliminate."""
    q = 2**31 - 1
    matrix = centred(np.random.default_rng(0).integers(0, q, shape), q)
    before, given_ = matrix.copy(), matrix.T if transposed else matrix
    pivots = Elimination(given_, q).run()
    assert np.array_equal(matrix, before) and pivots.dtype == np.int64 and len(pivots) == min(shape)
    assert given_[:, pivots].shape == (given_.shape[0], len(pivots))


def silent(m: int = 60, d: int = 12) -> KKTSystem:
    """A network whose outputs do not depend on its first layer: only the second-layer rows say something."""
    rng = np.random.default_rng(0)
    net = TwoLayerNetwork(rng.standard_normal((m, d)), np.zeros(m), "z + z^2/2 + z^3")
    return KKTSystem.gradient(net, W=np.zeros((m, d)), a=rng.standard_normal(m))


def test_a_network_without_second_layer_weights():
    """N = 454 moments, rank 60: the interpolation matrix is examined slice by slice, and no first-layer slice has an equation."""
    system = silent()
    report = check(system, samples=5, conditions=("interpolation",))
    assert report["interpolation"].holds is False and report["interpolation"].evidence["rank"] == 60
    assert largest_identifiable(system).unique == 0


@pytest.mark.parametrize("change", ["no second layer", "no first layer", "one neuron", "no bias"])
def test_silent_networks_slice_by_slice(monkeypatch, change):
    """The code for large matrices says the same as that for small ones."""
    system, _ = Configuration(inputs=3, samples=2, width=8, activation="z + z^3", bias=True).plant(0)
    net = system.network
    W, a, b = net.W.copy(), net.a.copy(), net.offsets.copy()
    if change == "no second layer":
        a[:] = 0
    elif change == "no first layer":
        W[:] = 0
    elif change == "no bias":
        b[:] = 0
    else:
        W[1:], a[1:], b[1:] = W[0], a[0], b[0]
    system = replace(system, network=TwoLayerNetwork(W, a, net.activation, bias=b))
    instance = Instance(net.activation, 3, 2, 8, 1, True, system.observed, W=W, A=a[None], offsets=b)
    small, thresholds = slices.interpolation_rank(instance, seed=0), largest_identifiable(system)
    monkeypatch.setattr(slices, "LARGE", 1)
    assert slices.interpolation_rank(instance, seed=0).rank == small.rank
    assert replace(largest_identifiable(system), versions={}) == replace(thresholds, versions={})
