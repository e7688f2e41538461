"""Families through degenerate data: dependent gradients and parts that move on their own; on neighbours that have none, nothing."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from flint import fmpq_mat
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracles import exact_target, random_network, system_of

from identify.conditions.check import check
from identify.conditions.question import ambiguity_of, instance_of
from identify.conditions.reduction import reduce
from identify.conditions.setting import Setting
from identify.conditions.witnesses.dependent import dependent_gradients
from identify.conditions.witnesses.equations import rational
from identify.conditions.witnesses.parts import _in_basis, moving_part
from identify.problem.gradients import Observed
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Arithmetic, Scope, Verdict, Witness

CUBIC, ODD, CUBE = "z + z^2 + z^3", "z + z^3", "z^3"
WEIGHTS = np.array([[1, 2, 1], [3, -1, 2], [1, 1, -2], [2, -3, 1], [-1, 4, 3], [0, 1, 2], [2, 2, -1], [1, -3, -2]], float)
SECOND = np.array([[1, -2, 1, 3, -1, 2, 1, -1], [2, 1, 1, -1, 3, 1, -2, 1]], float)


def network(activation: str, inputs: int, *, outputs: int = 1, width: int = 8, bias: bool = False) -> TwoLayerNetwork:
    a = SECOND[0, :width] if outputs == 1 else SECOND[:, :width]
    return TwoLayerNetwork(WEIGHTS[:width, :inputs], a, activation, np.arange(width) - 2.0 if bias else None)


def question(net: TwoLayerNetwork, X, c, layers: str = "both", *, complete: bool = True) -> Setting:
    X, c = np.array(X, float), np.array(c, float).reshape(len(X), -1)
    system = system_of(net, X, c, layers)
    return Setting(instance_of(system, len(X), X, c), Scope("this network", "this data"), ambiguity_of(system), complete, 0, system, (X, c))


def nullity(setting: Setting) -> int:
    """Dependences of the gradients, from their exact values."""
    X, c = setting.data
    columns = [exact_target(setting.system.network, setting.system.observed, X, unit) for unit in np.eye(c.size).reshape(-1, *c.shape)]
    return c.size - fmpq_mat([[rational(v) for v in column] for column in columns]).rank()


DEPENDENT = {
    "zero sample": (network(ODD, 2), [[1, 2], [0, 0]], [1, 2], 1),
    "zero sample, two outputs": (network(CUBIC, 2, outputs=2), [[1, 2], [0, 0]], [[1, 2], [2, 1]], 2),
    "opposite samples, odd": (network(ODD, 2), [[1, 2], [-1, -2], [1, -1]], [1, 2, 1], 1),
    "opposite samples, even": (network("z^2 + z^4", 2), [[1, 2], [-1, -2]], [1, 3], 1),
    "parallel samples, one degree": (network(CUBE, 2), [[1, 2], [3, 6]], [1, 2], 1),
    "parallel samples, one degree, in thirds": (network("z^3/3", 3), [[3, 6, 9], [1, 2, 3], [1, 0, 2]], [0.1, 0.7, -2], 1),
    "more samples than equations": (network(CUBIC, 2, width=1), [[1, 2], [2, 1], [1, 1], [3, -1]], [1, 2, 3, 4], 1),
    "dead second output": (
        TwoLayerNetwork(WEIGHTS[:, :2], SECOND * [[1], [0]], CUBIC),
        [[1, 2], [2, 1]],
        [[1, 2], [2, 1]],
        2,
    ),
}


class TestDependentGradients:
    @pytest.mark.parametrize("name", DEPENDENT)
    @pytest.mark.parametrize("reduced", [False, True])
    def test_dimension_and_every_point_of_the_family(self, name, reduced):
        net, X, c, dimension = DEPENDENT[name]
        setting = question(net, X, c, "first" if "output" in name and "zero" not in name else "both")
        found = dependent_gradients(reduce(setting)[1] if reduced else setting)
        assert (found.kind, found.dimension) == ("multipliers", dimension) and nullity(setting) == dimension
        for s in (-0.99, -0.3, 1e-3, 0.3, 0.99):
            Y, k = found.family(s)
            assert setting.system.residual(Y, k) <= 1e-15
            assert np.array_equal(Y, setting.data[0]) and not np.array_equal(k, setting.data[1])
            assert np.abs(k).max(axis=1).all() and (k.shape[1] > 1 or (k * setting.data[1] > 0).all())
        assert all(np.array_equal(u, v) for u, v in zip(found.family(0), setting.data, strict=True))
        assert found.residual <= 1e-15 and "Σ k_i ∇f(x_i) = 0 exactly" in found.description

    @pytest.mark.parametrize(
        ("net", "X", "c"),
        [
            (network("1 + z + z^3", 2), [[1, 2], [0, 0]], [1, 2]),
            (network(CUBIC, 2), [[1, 2], [-1, -2]], [1, 2]),
            (network(ODD, 2, bias=True), [[1, 2], [-1, -2]], [1, 2]),
            (network(ODD, 2), [[1, 2], [-1, -2 - 2.0**-50]], [1, 2]),
            (network(ODD, 2), [[1, 2], [-1, -2 + 1e-9]], [1, 2]),
            (network(CUBE, 2), [[0.1, 0.3], [0.1 / 3, 0.3 / 3]], [1, 2]),
        ],
    )
    def test_nearest_cases_without(self, net, X, c):
        """Samples parallel only up to rounding have independent gradients: the numbers are taken as they are."""
        setting = question(net, X, c)
        assert nullity(setting) == 0 and dependent_gradients(setting) is None

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10**6), st.sampled_from([ODD, CUBIC, "z^2", "1 + z^2 - z^3"]), st.integers(1, 2), st.booleans())
    def test_dimension_is_the_exact_nullity(self, seed, activation, outputs, bias):
        rng = np.random.default_rng(seed)
        net = random_network(rng, activation, inputs=2, width=int(rng.integers(1, 5)), outputs=outputs, bias=bias, integers=True)
        X, c = rng.integers(-1, 2, (3, 2)).astype(float), rng.choice([-2.0, 1.0, 3.0], (3, outputs))
        layers = str(rng.choice(["both", "first", "second"]))
        X = np.unique(X, axis=0)
        if not np.any([value != 0 for value in exact_target(net, Observed.of(layers, net.has_bias), X, c[: len(X)])]):
            return
        setting = question(net, X, c[: len(X)], layers)
        free = int((~X.any(axis=1)).sum()) if setting.instance.degrees == (2,) and not bias else 0
        found = dependent_gradients(setting)
        assert (0 if found is None else found.dimension) == nullity(setting) - free
        if found is not None:
            assert exactly_dependent(setting, found)

    def test_scale_of_a_zero_sample_is_no_change(self):
        """For one degree (0, c) and (0, t^-3 c) are the same: with one output nothing is left, with two one direction."""
        assert dependent_gradients(question(network(CUBE, 2), [[1, 2], [0, 0]], [1, 2])) is None
        found = dependent_gradients(question(network(CUBE, 2, outputs=2), [[1, 2], [0, 0]], [[1, 2], [3, 0]]))
        assert found.dimension == 1
        assert np.linalg.matrix_rank(np.stack([found.family(0.5)[1][1], found.family(0)[1][1]])) == 2

    def test_only_for_given_data_and_complete_equations(self):
        net, X, c, _ = DEPENDENT["opposite samples, odd"]
        assert dependent_gradients(question(net, X, c, complete=False)) is None
        system = system_of(net, X, c)
        generic = Setting(instance_of(system, 3), Scope("this network", "generic data"), ambiguity_of(system), True, 0, system)
        assert dependent_gradients(generic) is None
        closed = KKTSystem.weight_decay(net, decay=1.0, loss="square")
        report = check(closed, data=(np.array(X, float), np.array(c, float)))
        assert report.verdict is Verdict.UNDECIDED and report.witness is None

    @pytest.mark.parametrize("factor", [2.0**-200, 2.0**200, 2.0**330])
    def test_scale_of_the_data(self, factor):
        found = dependent_gradients(question(network(ODD, 2), [[factor, 2 * factor], [-factor, -2 * factor]], [1, 2]))
        assert found.dimension == 1 and found.residual < 1e-14

    def test_long_dependences_and_large_matrices_are_left_alone(self, monkeypatch):
        setting = question(*DEPENDENT["opposite samples, odd"][:3])
        monkeypatch.setattr("identify.conditions.witnesses.dependent.LONGEST", 1)
        assert dependent_gradients(setting) is None
        monkeypatch.setattr("identify.conditions.witnesses.dependent.LONGEST", 40)
        monkeypatch.setenv("IDENTIFY_MEMORY", "0.0000001")
        assert dependent_gradients(setting) is None

    def test_verdict(self):
        net, X, c, _ = DEPENDENT["zero sample, two outputs"]
        report = check(system_of(net, X, c), data=(np.array(X, float), np.array(c, float)))
        assert report.verdict is Verdict.NOT_UNIQUE and report.witness.kind == "multipliers"
        assert report["witness"].arithmetic is Arithmetic.PROOF


def exactly_dependent(setting: Setting, found: Witness) -> bool:
    """The change of the multipliers, in exact arithmetic, against the rounding of its own entries."""
    (X, c), (net, rows) = setting.data, (setting.system.network, setting.system.observed)
    change = found.family(1.0)[1] - c
    terms = [exact_target(net, rows, X, np.where(np.arange(c.size).reshape(c.shape) == k, change, 0)) for k in range(c.size)]
    size = max(abs(value) for term in terms for value in term)
    return max(abs(sum(values)) for values in zip(*terms, strict=True)) <= 1e-15 * c.size * size


DOUBLE = TwoLayerNetwork([[1.0], [2], [3], [-1]], [[1, 2, -1, 3], [2, -1, 1, 1]], "z + z^2 + z^4")
PARTS = {
    "parallel multipliers": (network("-1 + z + z^2", 3, outputs=2), [[1, 2, 0], [2, -1, 1]], [[1, 2], [2, 4]], "both", 1),
    "two of three on a line": (network(CUBIC, 2), [[1, 2], [2, 4], [1, -1]], [1, 2, 3], "both", 1),
    "two of five on a line": (network(CUBIC, 3), [[1, 2, 0], [2, 4, 0], [1, -1, 1], [0, 1, 2], [1, 1, 3]], [1, 2, 3, 1, 2], "both", 1),
    "on a line that misses zero": (network(CUBIC, 3, bias=True), [[1, 2, 0], [2, 3, 1], [3, 4, 2]], [1, 2, 3], "both", 2),
    "zero sample of a monomial": (network(CUBE, 2), [[1, 2], [0, 0]], [1, 2], "both", 1),
}


def part_of(name: str) -> tuple[Setting, int]:
    net, X, c, layers, dimension = PARTS[name]
    return question(net, X, c, layers), dimension


class TestMovingPart:
    @pytest.mark.parametrize("name", PARTS)
    @pytest.mark.parametrize("reduced", [False, True])
    def test_dimension(self, name, reduced):
        setting, dimension = part_of(name)
        found, evidence, arithmetic = moving_part(reduce(setting)[1] if reduced else setting)
        assert (found.kind, found.dimension) == ("fibre", dimension) and arithmetic.is_rigorous
        assert evidence["rank"] == evidence["largest_possible"] == evidence["needed"] - dimension

    @pytest.mark.parametrize("name", PARTS)
    def test_verdict(self, name):
        net, X, c, layers, _ = PARTS[name]
        report = check(system_of(net, X, c, layers), data=(np.array(X, float), np.array(c, float)))
        assert report.verdict is Verdict.NOT_UNIQUE

    def test_parallel_multipliers_move_as_one_output(self):
        """The curve of the network with one output gives data for the whole network."""
        setting, _ = part_of("parallel multipliers")
        (X, c), net = setting.data, setting.system.network
        one = TwoLayerNetwork(net.W, (c[:1] @ net.A)[0], net.activation)
        curve = check(system_of(one, X, c[:, 0] / c[0, 0]), data=(X, c[:, 0] / c[0, 0])).witness.family
        Y, factors = curve(0.3)
        assert np.abs(Y - X).max() > 0.1 and setting.system.residual(Y, factors.reshape(-1, 1) * c[:1]) <= 1e-12

    def test_two_on_a_line_move_there(self):
        setting, _ = part_of("two of three on a line")
        (X, c), net = setting.data, setting.system.network
        line = TwoLayerNetwork(net.W @ X[:1].T, net.a, net.activation)
        z = np.array([[1.0], [2.0]])
        curve = check(system_of(line, z, c[:2]), data=(z, c[:2, 0])).witness.family
        Z, factors = curve(0.3)
        Y, k = X.copy(), c.copy()
        Y[:2], k[:2] = Z @ X[:1], factors.reshape(-1, 1)
        assert np.abs(Y - X).max() > 0.1 and setting.system.residual(Y, k) <= 1e-12

    @pytest.mark.parametrize(
        ("net", "X", "c", "layers"),
        [
            (network("-1 + z + z^2", 3, outputs=2), [[1, 2, 0], [2, -1, 1]], [[1, 2], [2, 5]], "both"),
            (network(CUBIC, 2), [[1, 2], [2, 4.5], [1, -1]], [1, 2, 3], "both"),
            (network("z + z^2 + z^3 + z^4", 2), [[1, 2], [2, 4], [1, -1]], [1, 2, 3], "both"),
            (DOUBLE, [[1], [-2]], [[1, 2], [1, -1]], "both"),
        ],
    )
    def test_nearest_cases_without(self, net, X, c, layers):
        """The last one is a double root: the Jacobian is deficient, and the data are isolated all the same."""
        assert moving_part(question(net, X, c, layers)) is None
        report = check(system_of(net, X, c, layers), data=(np.array(X, float), np.array(c, float)))
        assert report.verdict is not Verdict.NOT_UNIQUE

    def test_order_of_the_samples_does_not_matter(self):
        net, X, c, layers, dimension = PARTS["two of three on a line"]
        for order in permutations(range(3)):
            found, evidence, _ = moving_part(question(net, np.array(X)[list(order)], np.array(c)[list(order)], layers))
            assert found.dimension == dimension
            assert evidence["samples"] == sorted(order.index(i) + 1 for i in (0, 1))

    def test_only_for_given_data_and_complete_equations(self):
        net, X, c, layers, _ = PARTS["two of three on a line"]
        assert moving_part(question(net, X, c, layers, complete=False)) is None
        system = system_of(net, X, c, layers)
        generic = Setting(instance_of(system, 3), Scope("this network", "generic data"), ambiguity_of(system), True, 0, system)
        assert moving_part(generic) is None

    def test_large_problems_are_left_alone(self, monkeypatch):
        setting, _ = part_of("two of three on a line")
        monkeypatch.setattr("identify.conditions.witnesses.parts.MAX_UNKNOWNS", 5)
        assert moving_part(setting) is None

    def test_a_prime_modulo_which_the_samples_are_nearer_is_not_used(self):
        rows = np.array([[1, 2], [4, 2]])
        with pytest.raises(ZeroDivisionError, match="rank over the rationals is 2, modulo 3 it is 1"):
            _in_basis(rows % 3, 3, 2)
        directions, coordinates = _in_basis(rows, 7, 2)
        assert ((coordinates @ directions - rows) % 7 == 0).all()
