"""C5: it proves what the table says, and the nearest instance that violates one hypothesis is not proved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flint import nmod_mat
from support.oracles import random_network

from identify.conditions.check import check
from identify.conditions.generic_global import Secant, generic_global
from identify.conditions.question import setting_of
from identify.conditions.reduction import reduce
from identify.exact.modular import Arithmetic
from identify.planting.configuration import Configuration
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Verdict

CUBIC, ODD = "z + z^2 + z^3", "z + z^3"


def size(d: int, n: int, m: int, activation: str = CUBIC, **options) -> Configuration:
    return Configuration(inputs=d, samples=n, width=m, activation=activation, **options)


def evaluated(config: Configuration, system: KKTSystem | None = None, samples: int = 0):
    setting = setting_of(system or config, samples or config.samples, 0)
    return generic_global(setting, reduce(setting)[1])


class TestCount:
    """(n + 1)(v + 1) independent numbers are needed: one sample or one neuron too many or too few."""

    @pytest.mark.parametrize(
        ("config", "just"),
        [
            (size(3, 3, 4), {"width": 3}),
            (size(3, 3, 4), {"samples": 4}),
            (size(3, 2, 3, "z^3", layers="first"), {"width": 2}),
            (size(5, 6, 6, bias=True), {"samples": 7}),
            (size(4, 3, 4, outputs=2), {"samples": 4}),
        ],
    )
    def test_nearest_instance_that_fails(self, config, just):
        assert evaluated(config).is_proved
        near = evaluated(replace(config, **just))
        assert near.holds is False and not near.is_proved

    def test_fewest_neurons(self):
        """From the width at which the count allows it, it is proved; below, it is refused by the count, without a rank."""
        for m in range(2, 9):
            config = size(4, 4, m)
            condition = evaluated(config)
            assert condition.holds is (condition.evidence["needed"] <= condition.evidence["available"])
            assert ("rank" in condition.evidence) is bool(condition.holds)

    def test_parameters_of_one_sample_leave_out_a_free_scale(self):
        assert Secant.of(setting_of(size(5, 3, 4, "z^3", layers="first"), 3, 0)) == Secant(5, 20, 20)
        assert Secant.of(setting_of(size(5, 3, 4, outputs=2), 3, 0)) == Secant(7, 28, 28)


class TestRank:
    @pytest.mark.parametrize(
        ("config", "rank", "needed"),
        [
            (size(3, 1, 6, "z + z^2", layers="first"), 7, 8),  # two samples make a symmetric matrix of rank two: a rotation is free
            (size(2, 2, 6, "z + z^3", outputs=2), 11, 12),
        ],
    )
    def test_defective_secants(self, config, rank, needed):
        """Enough independent numbers, and yet the tangent spaces of n + 1 samples meet."""
        condition = evaluated(config)
        assert condition.holds is False and condition.evidence["available"] >= needed
        assert (condition.evidence["rank"], condition.evidence["needed"]) == (rank, needed)

    @pytest.mark.parametrize("config", [size(3, 2, 4), size(2, 3, 6, bias=True), size(3, 2, 5, "z^3", bias=True), size(2, 2, 5, outputs=2)])
    def test_agrees_with_plain_elimination(self, config):
        setting = setting_of(config, config.samples, 0)
        condition = generic_global(setting, setting)
        q, rng = 2**31 - 1, np.random.default_rng(1)
        J = setting.instance.at(q, rng).at_random_point(rng, config.samples + 1).jacobian()
        assert condition.holds is (nmod_mat(*J.shape, J.ravel().tolist(), q).rank() == condition.evidence["needed"])


class TestOneSample:
    @pytest.mark.parametrize("m", range(6, 12))
    def test_second_layer_alone_needs_visible_moments(self, m):
        """Without first-layer rows nothing is said of single samples, unless all nine moments are visible."""
        condition = evaluated(size(2, 1, m, layers="second"))
        assert condition.holds is (m >= 9) and condition.evidence["rank"] == condition.evidence["needed"] == 6
        assert (condition.evidence["scales"] == "all moments are visible") is (m >= 9)

    def test_scales_must_be_those_of_the_group(self, monkeypatch):
        """More scales than the group has would be other data with the same target."""
        monkeypatch.setattr("identify.conditions.generic_global.n_scales", lambda point: 2)
        assert evaluated(size(3, 3, 4)).holds is False and "their scales are not determined" in evaluated(size(3, 3, 4)).statement
        assert evaluated(size(3, 2, 3, "z + z^3")).is_proved  # here the group has two

    @pytest.mark.parametrize("found", [(2, 4), (3, 3)])
    def test_the_gauss_map_must_be_non_degenerate(self, found, monkeypatch):
        monkeypatch.setattr("identify.conditions.generic_global.second_fundamental_rank", lambda point, rng: found)
        condition = evaluated(size(3, 3, 4))
        assert condition.holds is False and "the Gauss map may be degenerate" in condition.statement


class TestThisNetwork:
    def test_degenerate_networks_are_judged_by_their_own_ranks(self):
        """Duplicated neurons add no equations: as many distinct ones as generic networks need."""
        config = size(3, 3, 4)
        net = random_network(np.random.default_rng(0), CUBIC, inputs=3, width=4)
        assert evaluated(config, KKTSystem.gradient(net, W=np.ones((4, 3)), a=np.ones(4)), 3).is_proved
        W = net.W[[0, 1, 2, 2]]
        copied = TwoLayerNetwork(W, net.a, CUBIC)
        condition = evaluated(config, KKTSystem.gradient(copied, W=np.ones((4, 3)), a=np.ones(4)), 3)
        assert condition.holds is False and not condition.is_proved

    def test_dead_directions(self):
        """No neuron looks along the third coordinate; the target still holds it, once for each neuron."""
        W = random_network(np.random.default_rng(0), CUBIC, inputs=3, width=9).W * [1, 1, 0]
        for layers, observed in (("both", {"W": np.ones((9, 3)), "a": np.ones(9)}), ("second", {"a": np.ones(9)})):
            system = KKTSystem.gradient(TwoLayerNetwork(W, np.ones(9), CUBIC), **observed)
            assert evaluated(size(3, 1, 9, layers=layers), system, 1).is_proved is (layers == "both")

    @pytest.mark.parametrize("bias", [False, True])
    def test_a_second_layer_of_zeros_hides_the_first(self, bias):
        """The first-layer rows vanish: x and -x have the same gradient if the activation is even, although biases are observed."""
        net = TwoLayerNetwork(np.arange(1.0, 7.0)[:, None], np.zeros(6), "z^2 + z^4 + z^6 + z^8", np.zeros(6) if bias else None)
        system = KKTSystem.gradient(net, W=np.zeros((6, 1)), a=np.ones(6), **({"bias": np.zeros(6)} if bias else {}))
        assert system.residual([[2.0]], [1.0]) == system.residual([[-2.0]], [1.0])
        assert (check(system, samples=1).verdict is Verdict.UNIQUE) is not bias  # without biases the sign is in the group

    def test_self_trained_networks_are_left_out(self):
        config = size(3, 3, 7, "z^3", regime="max-margin")
        system, truth = config.plant(0)
        condition = check(system, data=(truth.X, truth.c))["generic-global"]
        assert condition.holds is None and condition.arithmetic is Arithmetic.NONE and "generic data only" in condition.statement
        assert check(system, samples=3)["generic-global"].holds is None


class TestVerdict:
    def test_unique_where_moments_are_hidden(self):
        report = check(size(8, 8, 16))
        assert report.verdict is Verdict.UNIQUE and not report["interpolation"].is_proved
        assert report.reasons[0].startswith("generic-global: ") and str(report.scope) == "generic network, generic data"

    @pytest.mark.parametrize("seed", range(3))
    def test_one_network_and_generic_data(self, seed):
        system, truth = size(5, 4, 6).plant(seed)
        assert check(system, samples=4).verdict is Verdict.UNIQUE
        given = check(system, data=(truth.X, truth.c))
        assert given["generic-global"].holds is None and not given["interpolation"].is_proved
        assert given.verdict is Verdict.UNIQUE and given["completion"].is_proved  # of these data, by another theorem
