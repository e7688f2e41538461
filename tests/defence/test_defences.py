"""Defences: estimates against what recovery from perturbed targets finds, and exact verdicts against what theorems say of them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from numpy.linalg import norm

import identify as idf
from identify.conditions.diagnostics.error_bars import error_bars
from identify.conditions.diagnostics.perturbations import round_to_bits
from identify.defence.levels import Owner
from identify.planting.configuration import Configuration
from identify.problem.data import check_data

CUBIC = "z + z^2/2 + z^3"
NONE: dict = {"noise": (), "rounding": (), "weights": (), "width": (), "degree": (), "batch": ()}
CONFIGS = [
    Configuration(inputs=5, samples=4, width=12, activation=CUBIC),
    Configuration(inputs=6, samples=3, width=20, activation="z + z^3", regime="lazy", bias=True),
    Configuration(inputs=4, samples=3, width=12, activation=CUBIC, outputs=2),
    Configuration(inputs=3, samples=3, width=7, activation="z^3", regime="max-margin"),
]
TRAINED = CONFIGS[3]
RANK = {idf.Verdict.NOT_UNIQUE: 0, idf.Verdict.UNDECIDED: 1, idf.Verdict.LOCALLY_UNIQUE: 2, idf.Verdict.UNIQUE: 3}


def planted(config: Configuration, **options) -> idf.Defences:
    system, truth = config.plant(0)
    trained = config.regime in ("max-margin", "weight-decay")
    left_out = {name: () for name in NONE if not trained or name in ("noise", "rounding")}
    return idf.defences(system, truth.X, truth.c, **{**left_out, **options})


@pytest.fixture(scope="module")
def cubic() -> idf.Defences:
    return planted(CONFIGS[0], noise=(1e-6, 0.3), width=None, weights=None, degree=None, batch=None, spot_checks=2)


class TestEstimates:
    @pytest.mark.parametrize("config", CONFIGS, ids=str)
    def test_tell_what_recovery_from_a_perturbed_target_finds(self, config):
        found = planted(config, noise=(1e-9, 1e-6), rounding=(24,), spot_checks=2)
        for curve in found.curves:
            assert not curve.stopped
            assert (curve.observed <= curve.bound).all()
            worst, expected = curve.observed.max(axis=1), curve.typical.max(axis=1)
            assert (worst <= 3 * expected).all() and (worst >= expected / 6).all()

    def test_are_those_of_the_error_bars(self):
        system, truth = CONFIGS[0].plant(0)
        curve = planted(CONFIGS[0], noise=(1e-4,), spot_checks=0)["noise"]
        bars = error_bars(system, truth.X, truth.c, perturbations={"it": float(curve.change[0])})
        np.testing.assert_allclose(curve.bound[0], bars.relative("it"), rtol=1e-6)
        assert curve.digits(0) == bars.digits("it")

    def test_noise_has_the_stated_size(self):
        config = Configuration(inputs=20, samples=2, width=40, activation=CUBIC)
        curve = planted(config, noise=(1e-8, 1e-2), spot_checks=0)["noise"]
        np.testing.assert_allclose(curve.change, curve.levels, rtol=0.1)

    @pytest.mark.slow
    def test_the_summary_names_the_noise_that_leaves_no_digit(self, cubic):
        """The stated level, tried: there the estimate is a tenth, for the worst sample, and for the best in a random direction."""
        worst, every = re.findall(r"from about (\S+) on", cubic["noise"].summary())
        curve = planted(CONFIGS[0], noise=(float(worst), float(every)), spot_checks=0)["noise"]
        assert 0.05 < curve.bound[0].max() < 0.2 and 0.05 < curve.typical[1].min() < 0.2
        assert cubic["noise"].summary().startswith("UNIQUE without it; to first order no digit of the worst sample is sure from about")

    def test_the_summary_of_rounding_names_a_level_that_was_tried(self):
        curve = planted(CONFIGS[0], rounding=(24, 11, 8, 4, 1), spot_checks=0)["rounding"]
        bits = int(re.search(r"from (\d+) bits on", curve.summary())[1])
        at = curve.levels.index(bits)
        assert curve.digits(at) == 0 < curve.digits(at - 1)
        fine = planted(CONFIGS[0], rounding=(24,), spot_checks=0)["rounding"]
        assert fine.summary() == "UNIQUE without it; to first order every sample keeps a digit at all these levels"

    def test_the_summary_of_other_networks_is_of_their_verdicts(self, cubic):
        assert cubic["degree"].summary() == f"UNIQUE at {CUBIC}, NOT_UNIQUE at z + z^2/2"
        levels, generic = cubic["batch"].levels, cubic["batch"].generic
        assert cubic["batch"].summary().startswith("UNIQUE at 1 to 4; generic data UNIQUE at 1 to ")
        assert cubic["batch"].summary().endswith(f"NOT_UNIQUE at {levels[generic.index(idf.Verdict.NOT_UNIQUE)]}")

    def test_large_noise_is_not_called_private(self, cubic):
        curve = cubic["noise"]
        assert np.isinf(curve.observed[1]).all() and "residual" in curve.stopped[1]
        large = planted(CONFIGS[0], noise=(1e3,), spot_checks=0)["noise"]
        assert large.statement(0).startswith("identifiable in exact arithmetic, but not recoverable by this estimate, which does not prove")
        assert large.verdicts == (idf.Verdict.UNIQUE,)

    def test_wider_networks_that_contain_a_narrower_one_have_smaller_absolute_error_bars(self):
        """Rows added to J never raise a row norm of its pseudo-inverse."""
        system, truth = CONFIGS[0].plant(0)
        owner = Owner(system, *check_data(truth.X, truth.c, 5, 1), 24, 0)
        width = owner.width((40, 20, 12, 8, 6))
        bars = []
        for level in width.levels:
            exact = width.problem(level).system
            found = error_bars(exact, truth.X, truth.c, perturbations={"unit": 1.0})
            bars.append(found.per_sample / norm(exact.target))
        assert (np.diff(bars, axis=0) >= -1e-9 * np.abs(bars[1:])).all()


class TestVerdicts:
    def test_equations_added_never_lose_uniqueness(self):
        """Solutions for a wider network that contains a narrower one are solutions for that one, too."""
        curve = planted(CONFIGS[0], width=(2, 4, 5, 6, 8, 12, 30), spot_checks=0)["width"]
        assert curve.levels == (30, 12, 8, 6, 5, 4, 2)
        for verdicts in (curve.verdicts, curve.generic):
            assert verdicts[0] is idf.Verdict.UNIQUE and verdicts[-1] is idf.Verdict.NOT_UNIQUE
            ranks = [RANK[verdict] for verdict in verdicts]
            assert ranks == sorted(ranks, reverse=True)

    @pytest.mark.smoke
    def test_are_those_of_check(self, cubic):
        system, truth = CONFIGS[0].plant(0)
        at = cubic["width"].levels.index(12)
        assert cubic["width"].verdicts[at] is idf.check(system, data=(truth.X, truth.c)).verdict
        assert cubic["width"].generic[at] is idf.check(system, samples=4).verdict

    def test_batches_agree_with_the_thresholds(self, cubic):
        system, _ = CONFIGS[0].plant(0)
        thresholds, curve = idf.largest_identifiable(system), cubic["batch"]
        assert curve.levels[-1] == thresholds.not_identifiable
        for n, verdict in zip(curve.levels, curve.generic, strict=True):
            assert (verdict is idf.Verdict.UNIQUE) == (n <= thresholds.unique)
            assert (verdict is idf.Verdict.NOT_UNIQUE) == (n >= thresholds.not_identifiable)
        assert curve.verdicts[-1] is None and np.isnan(curve.bound[-1]).all()
        assert curve.statement(len(curve.levels) - 1) == "NOT_UNIQUE for generic data, and no error bars without data"
        assert (~np.isnan(curve.bound)).sum(axis=1).tolist() == [n if n <= 4 else 0 for n in curve.levels]

    def test_degree_two_leaves_a_rotation(self, cubic):
        curve = cubic["degree"]
        assert curve.levels == (CUBIC, "z + z^2/2")
        assert curve.verdicts == (idf.Verdict.UNIQUE, idf.Verdict.NOT_UNIQUE)
        assert np.isinf(curve.bound[1]).all() and curve.digits(1) == 0
        assert "parts of the data may be determined" in curve.statement(1)

    def test_gradients_at_rounded_weights_are_exact_gradients_of_another_network(self, cubic):
        assert set(cubic["weights"].verdicts) == {idf.Verdict.UNIQUE}
        system, truth = CONFIGS[0].plant(0)
        problem = Owner(system, *check_data(truth.X, truth.c, 5, 1), 24, 0).weights((4,)).problem(4)
        np.testing.assert_array_equal(problem.system.network.W, round_to_bits(system.network.W, 4))
        assert problem.system.residual(truth.X, truth.c) < 1e-14

    def test_locally_unique_says_so(self):
        curve = planted(CONFIGS[0], width=(5,), spot_checks=0)["width"]
        assert curve.statement(0).startswith("locally identifiable, to ")


class TestProblems:
    @pytest.mark.parametrize("config", CONFIGS[1:3], ids=str)
    def test_widths_are_nested_and_the_own_width_is_the_own_network(self, config):
        system, truth = config.plant(0)
        net = system.network
        width = Owner(system, *check_data(truth.X, truth.c, net.n_inputs, net.n_outputs), 24, 0).width((30, 20, net.width, 5))
        wide, less, same, narrow = (width.problem(level).system.network for level in width.levels)
        assert all((getattr(same, part) == getattr(net, part)).all() for part in ("W", "a", "offsets"))
        assert {row.tobytes() for row in narrow.W} < {row.tobytes() for row in net.W} and narrow.width == 5
        assert (wide.W[:20] == less.W).all() and (wide.A[:, :20] == less.A).all() and (wide.offsets[:20] == less.offsets).all()

    def test_a_trained_network_is_seen_through_its_weights(self):
        found = planted(TRAINED, noise=(1e-6,), rounding=(8,), spot_checks=0)
        assert [curve.name for curve in found.curves] == ["noise", "rounding"]
        assert "trained anew" in found.notes[-1] and found["noise"].generic == (None,)
        assert "weights" in found["rounding"].axis
        system, truth = TRAINED.plant(0)
        seen = Owner(system, *check_data(truth.X, truth.c, 3, 1), 24, 0).rounding((8,)).problem(8).seen
        np.testing.assert_array_equal(seen.network.W, round_to_bits(system.network.W, 8))
        np.testing.assert_array_equal(seen.target_W, seen.network.W)

    def test_a_rounded_target_is_replaced_by_the_exact_one(self):
        system, truth = CONFIGS[0].plant(0)
        rounded = system.with_target(np.float32(system.target).astype(float))
        c = np.append(truth.c, 0.0)
        found = idf.defences(rounded, np.vstack([truth.X, truth.X[0] + 1]), c, **{**NONE, "noise": (1e-10,)}, spot_checks=1)
        assert found["noise"].observed.max() < 1e-8
        assert "differs from that of the data by 2" in found.notes[0] or "e-08" in found.notes[0]
        assert "1 samples with zero multiplier" in found.notes[1]


class TestResults:
    def test_as_json_and_text(self, cubic):
        data = json.loads(cubic.to_json())
        assert [curve["name"] for curve in data["curves"]] == ["noise", "weights", "width", "degree", "batch"]
        first, second = data["curves"][0]["rows"]
        assert first["verdict_these_data"] == "UNIQUE" and first["statement"] == cubic["noise"].statement(0)
        assert second["observed"] == [None] * 4 and "residual" in second["stopped"]
        text = cubic.explain()
        assert text == str(cubic) and "first-order estimate" in text and "1e-06" in text and "none" in text
        assert repr(cubic) == "Defences(noise: 2 levels, weights: 4 levels, width: 6 levels, degree: 2 levels, batch: 7 levels)"
        with pytest.raises(KeyError, match="expected one of noise, weights"):
            cubic["depth"]

    def test_the_same_seed_gives_the_same_text(self):
        options = {"noise": (1e-6,), "rounding": (11,), "width": (30,), "spot_checks": 1}
        assert planted(CONFIGS[0], **options).to_json() == planted(CONFIGS[0], **options).to_json()
        assert planted(CONFIGS[0], **options).to_json() != planted(CONFIGS[0], **options, seed=1).to_json()

    def test_pictures(self, cubic):
        for name in ("noise", "degree", "batch"):
            assert cubic[name].plot().startswith(b"\x89PNG")
        one = planted(CONFIGS[0], noise=(1e-3,), spot_checks=0)["noise"]
        assert one.plot() != cubic["noise"].plot()


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"noise": (0.0,)}, "noise: received 0.0, expected a positive number"),
            ({"noise": (np.inf,)}, "noise: received inf"),
            ({"noise": 0.1}, "noise: received 0.1, expected a sequence"),
            ({"rounding": (0,)}, "rounding: received 0, expected an integer from 1 to 53"),
            ({"rounding": (8.5,)}, "rounding: received 8.5"),
            ({"weights": (54,)}, "weights: received 54"),
            ({"width": (True,)}, "width: received True, expected an integer of at least 1"),
            ({"degree": "z^3"}, "degree: received 'z\\^3', expected a sequence of activations"),
            ({"degree": ("z",)}, "activation of degree 1"),
            ({"batch": (-1,)}, "batch: received -1"),
            ({"precision": 60}, "precision: received 60"),
            ({"spot_checks": -1}, "spot_checks: received -1"),
            ({"budget": 0}, "budget: received 0"),
            ({}, "received no level of any"),
        ],
    )
    def test_of_levels(self, options, message):
        with pytest.raises(ValueError, match=message):
            planted(CONFIGS[0], **options)

    def test_of_networks_that_would_be_trained_anew(self):
        with pytest.raises(ValueError, match="width: the network of regime max-margin depends on its data"):
            planted(TRAINED, width=(3,))

    def test_of_data(self):
        system, truth = CONFIGS[0].plant(0)
        with pytest.raises(idf.InconsistentDataError, match="differs from the target"):
            idf.defences(system, truth.X + 1, truth.c)
        with pytest.raises(idf.ShapeError, match="every multiplier is zero"):
            idf.defences(system, truth.X, 0 * truth.c)
        with pytest.raises(idf.InputError, match="received X or c beside a Configuration"):
            idf.defences(CONFIGS[0], truth.X, truth.c)
        with pytest.raises(idf.InputError, match="received X or c alone"):
            idf.defences(system, truth.X)
        with pytest.raises(TypeError, match="received ndarray, expected a KKTSystem or a Configuration"):
            idf.defences(truth.X, truth.X, truth.c)
