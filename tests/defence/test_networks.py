"""Defences of networks of any depth: estimates against recoveries, verdicts against what theorems say, and every kind of level."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy
from numpy.linalg import norm
from support.marks import alone

import identify as idf
from identify.defence import sending
from identify.defence.advise import NO_LOSS
from identify.defence.asking import given_problem, owner_of
from identify.defence.findings import Advised, Calibration, Prediction
from identify.defence.information import information
from identify.defence.levels import Tried, exact_system
from identify.defence.sending import Clipped, median_size, sizes

CONFIG = idf.Configuration(inputs=20, samples=4, width=(40, 30), activation="relu", outputs=5, bias=True)
DEEP = ("weights", "width", "batch", "formats", "clipping", "dp_sgd", "steps", "withheld")
NONE: dict = dict.fromkeys(("noise", *DEEP), ())


def asked(problem, *data, **options) -> idf.Defences:
    return idf.defences(problem, *data, **{**NONE, "spot_checks": 0, **options})


@pytest.fixture(scope="module")
def owner():
    system, X, c, _ = given_problem(CONFIG, None, None, 0)
    return owner_of(system, X, c, 24, 0)[0]


@pytest.fixture(scope="module")
def tried() -> idf.Defences:
    """With recoveries: one small network, at few levels."""
    levels: dict = {"noise": (1e-8, 1e-4), "formats": ("float32", "float16"), "dp_sgd": (1e-5, 1e-3, 1.0), "clipping": (1.0, 0.01)}
    return asked(CONFIG, **levels, spot_checks=2)


@pytest.fixture(scope="module")
def judged() -> idf.Defences:
    """What changes the problem and not the target, without recoveries."""
    return asked(CONFIG, withheld=[(), (3,), (1,), (1, 2)], width=(40, 2), batch=(2, 4, 30, 200))


class TestEstimates:
    @alone
    def test_are_confirmed_by_recoveries(self, tried):
        """Observed errors of all samples beside their typical ones, wherever the estimate promises anything."""
        for name in ("noise", "formats", "clipping"):
            assert tried[name].calibration().kind is Prediction.CONFIRMED, tried[name]
        ratios = tried["dp_sgd"].observed[0] / tried["dp_sgd"].typical[0]
        assert (ratios < 3).all() and (ratios > 1 / 3).all()
        assert tried["noise"].observed.shape == (2, 4) and np.isfinite(tried["noise"].observed).all()

    @pytest.mark.slow
    def test_are_proportional_to_gaussian_noise(self, tried):
        curve = tried["dp_sgd"]
        np.testing.assert_allclose(curve.typical[1] / curve.typical[0], 100, rtol=1e-6)
        np.testing.assert_allclose(curve.informed[2] / curve.informed[1], 1000, rtol=1e-6)

    def test_stand_above_what_no_estimator_can_reach(self, tried):
        for name in ("noise", "dp_sgd"):
            assert (tried[name].informed < tried[name].typical).all() and (tried[name].typical < tried[name].bound).all()
        assert np.isnan(tried["formats"].informed).all()  # rounding is no noise

    def test_noise_hides_from_the_level_that_is_advised(self, tried):
        """The stated level, tried: the best sample's typical error is the one asked for."""
        advice = tried["dp_sgd"].advice(0.05)
        assert advice.kind is Advised.FROM and advice.error == 0.05
        at = asked(CONFIG, dp_sgd=(float(advice.level),))["dp_sgd"]
        np.testing.assert_allclose(at.typical.min(), 0.05, rtol=1e-6)
        assert "no sample is determined better than 0.05" in str(advice)

    def test_differential_privacy_excludes_more_noise_than_hides_from_this_attack(self, tried):
        curve = tried["dp_sgd"]
        np.testing.assert_allclose(curve.rho, 1 / (2 * np.array(curve.levels) ** 2))
        assert curve.chance[:2].tolist() == [1.0, 1.0] and curve.chance[2] < 0.01 and curve.levels[1] < curve.excluded < curve.levels[2]
        assert curve.excluded > tried["dp_sgd"].advice().level

    def test_gaussian_noise_seldom_exceeds_the_largest_error(self, owner):
        """To first order, by draws."""
        system, X, c = owner.system, owner.X, owner.c
        rng, unit = np.random.default_rng(0), dict.fromkeys(owner.system.parts, 1.0)
        bound = asked(system, X, c, noise=(1e-6,))["noise"].bound[0] * norm(X, axis=1)
        size = 1e-6 * norm(system.target) / system.n_equations**0.5
        draws = [
            size * information(system, X, c, unit, {key: rng.standard_normal(part.shape) for key, part in system.parts.items()}).shift
            for _ in range(60)
        ]
        assert (np.array(draws) < bound).all() and (np.max(draws, axis=0) > bound / 2).all()


class TestLevels:
    def test_clipping_changes_only_the_multipliers(self, owner):
        """The data with clipped multipliers solve the clipped system, and no sample's gradient is longer than the norm."""
        cut = sending.Clipped.of(owner, 0.5)
        assert cut.system.network is owner.system.network and cut.system.residual(owner.X, cut.c) < 1e-15
        assert np.all(sending.sizes(cut.system, owner.X, cut.c) <= 0.5 * (1 + 1e-12))
        np.testing.assert_allclose(np.abs(np.sum(cut.c * owner.c, axis=1)), norm(cut.c, axis=1) * norm(owner.c, axis=1))

    def test_norms_are_those_of_single_gradients(self, owner):
        system = owner.system
        for i, size in enumerate(sending.sizes(system, owner.X, owner.c)):
            alone = exact_system(system.network, system.updates, system.regime, owner.X[i : i + 1], owner.c[i : i + 1])
            np.testing.assert_allclose(size, len(owner.X) * norm(alone.target))

    def test_clipping_hides_nothing(self, tried):
        curve = tried["clipping"]
        assert set(curve.verdicts) == {idf.Verdict.UNIQUE} and curve.advice().kind is Advised.NEVER
        assert curve.typical.max() < 1e-6

    def test_formats(self):
        values = np.array([1.0, 1e-9, -3.3e38, 0.4])
        assert sending.as_format(values, "float16").tolist() == [1.0, 0.0, -65504.0, float(np.float16(0.4))]
        assert sending.as_format(values, "float32")[1] == np.float32(1e-9)
        assert sending.as_format(np.array([1.0, 2.0**-7, 2.0**-9 + 1]), "bfloat16").tolist() == [1.0, 2.0**-7, 1.0]
        assert sending.as_format(np.array([127.0, 0.4, -3.6]), "int8").tolist() == [127.0, 0.0, -4.0]
        assert sending.as_format(np.zeros(2), "int8").tolist() == [0.0, 0.0]

    @pytest.mark.slow
    def test_layers_kept_back(self, judged):
        curve = judged["withheld"]
        assert curve.levels == ("all layers sent", "layer 3", "layer 1", "layers 1, 2")
        assert curve.verdicts[0] is idf.Verdict.UNIQUE and curve.verdicts[3] is idf.Verdict.NOT_UNIQUE
        assert np.isinf(curve.typical[3]).any() and np.isfinite(curve.typical[:2]).all()
        advice = curve.advice()
        assert advice.kind in (Advised.AT, Advised.NEVER) and set(advice.levels) <= {"layer 1", "layers 1, 2"}

    @pytest.mark.slow
    def test_narrow_networks_and_large_batches_determine_nothing(self, judged):
        assert judged["width"].verdicts == (idf.Verdict.UNIQUE, idf.Verdict.NOT_UNIQUE)
        assert judged["batch"].generic[-1] is idf.Verdict.NOT_UNIQUE and judged["batch"].verdicts[2:] == (None, None)
        assert (~np.isnan(judged["batch"].typical)).sum(axis=1).tolist() == [2, 4, 0, 0]

    def test_batches_by_default_reach_the_thresholds(self):
        config = idf.Configuration(inputs=4, samples=2, width=(9, 6), activation="gelu", outputs=2, bias=True)
        curve = asked(config, batch=None)["batch"]
        most = idf.largest_identifiable(config)
        assert {most.unique_by_separation, most.not_identifiable} <= set(curve.levels)
        for n, verdict in zip(curve.levels, curve.generic, strict=True):
            assert (verdict is idf.Verdict.UNIQUE) == (n <= most.unique_by_separation)
            assert (verdict is idf.Verdict.NOT_UNIQUE) == (n >= most.not_identifiable)

    def test_widths_of_all_hidden_layers_are_nested(self, owner):
        wide, same, narrow = (owner.width((80, 40, 10)).problem(m).system.network for m in (80, 40, 10))
        assert [net.widths for net in (wide, same, narrow)] == [(80, 60), (40, 30), (10, 8)]
        assert all((a == b).all() for a, b in zip(same.parameters.values(), owner.system.network.parameters.values(), strict=True))
        assert (wide.weights[1][:30, :40] == same.weights[1]).all() and (wide.biases[1][:30] == same.biases[1]).all()
        assert {row.tobytes() for row in narrow.weights[0]} < {row.tobytes() for row in same.weights[0]}


class TestSteps:
    def test_one_step_is_a_gradient_and_many_keep_the_span(self, owner):
        steps = sending.steps(owner, (1, 5), 0.01)
        one, five = (steps.problem(count) for count in (1, 5))
        assert one.change < 1e-12 < 1e-6 < five.change < 0.1
        span = np.linalg.svd(five.seen.updates[0].W)[2][:4]
        assert norm(owner.X - owner.X @ span.T @ span) < 1e-12 * norm(owner.X)

    def test_the_shift_is_that_of_separation_that_takes_them_for_one_step(self):
        """The point of the span whose activations are closest to the leading right singular vectors, by SciPy from the sample."""
        config = replace(CONFIG, activation=idf.Activation.parse("gelu"))
        owner = owner_of(*given_problem(config, None, None, 0)[:3], 24, 0)[0]
        problem = sending.steps(owner, (3,), 0.002).problem(3)
        net, second, X = problem.system.network, problem.seen.updates[1], owner.X
        rows = np.linalg.svd(np.hstack([second.W, second.bias[:, None]]))[2][:4]

        def off(weights: np.ndarray, i: int) -> np.ndarray:
            h = np.append(net.forward((X[i] + weights @ (X - X[i]))[None]).entering[1][0], 1.0)
            return h - rows.T @ (rows @ h)

        found = asked(config, steps=(3,), learning_rate=0.002)["steps"]
        for i, typical in enumerate(found.typical[0]):
            weights = scipy.optimize.least_squares(off, np.zeros(4), args=(i,), xtol=1e-15, ftol=1e-15, gtol=1e-15).x
            np.testing.assert_allclose(norm(weights @ (X - X[i])) / norm(X[i]), typical, rtol=0.05)
        assert found.calibration().kind is Prediction.NOT_TRIED and (found.bound == found.typical).all()

    def test_without_the_first_layers_a_fit_of_the_others_is_off(self):
        config = replace(CONFIG, inputs=6, activation=idf.Activation.parse("tanh"), layers=(2, 3))
        found = asked(config, steps=(1, 3), learning_rate=0.01)["steps"]
        assert found.typical[0].max() < 1e-9 < found.typical[1].min() < np.inf

    def test_advice_says_for_which_attack_it_is(self):
        found = asked(CONFIG, steps=(1, 20), learning_rate=0.1)["steps"]
        error = float(found.typical[1].min()) / 2
        assert found.advice(error).kind is Advised.ONE_STEP and found.advice(error).level == 20
        assert "unrolls the training" in str(found.advice(error))

    def test_multipliers_of_no_loss_cannot_be_trained_on(self):
        system, truth = CONFIG.plant(seed=0)
        found = asked(system, truth.X, truth.c, noise=(1e-3,), steps=None)
        assert NO_LOSS in found.notes and [curve.name for curve in found.curves] == ["noise"]
        with pytest.raises(idf.InputError, match="multipliers are not those"):
            asked(system, truth.X, truth.c, steps=(2,))


class TestProblems:
    @pytest.mark.parametrize(
        "config",
        [
            replace(CONFIG, outputs=1, activation=idf.Activation.parse("tanh")),
            replace(CONFIG, width=60, bias=False),
            replace(CONFIG, activation=idf.Activation.parse("silu"), regime="lazy", layers=(1, 2)),
        ],
        ids=["one output", "two layers without biases", "lazy, two of three layers"],
    )
    def test_every_kind_of_network(self, config):
        found = asked(config, noise=(1e-6,), formats=("float16",), withheld=[()], width=(50,), weights=(8,), dp_sgd=(1e-4,), steps=(1,))
        assert len(found.curves) == 7
        for curve in found.curves:
            assert np.isfinite(curve.typical).all() and (curve.typical > 0).all() and (curve.typical < 1).all()

    def test_without_data_they_are_recovered(self, owner):
        found = asked(owner.system, noise=(1e-6,))
        given = asked(owner.system, owner.X, owner.c, noise=(1e-6,))
        np.testing.assert_allclose(np.sort(found["noise"].typical[0]), np.sort(given["noise"].typical[0]), rtol=1e-6)
        assert "need not be the data" in found.notes[0]

    def test_a_polynomial_network_takes_the_new_defences_too(self):
        config = idf.Configuration(inputs=5, samples=3, width=12, activation="z + z^2/2 + z^3", outputs=2)
        found = asked(config, rounding=(), degree=(), formats=("float16",), dp_sgd=(1e-6,), withheld=[(2,)])
        assert [curve.name for curve in found.curves] == ["formats", "dp_sgd", "withheld"]
        assert all(np.isfinite(curve.bound).all() for curve in found.curves) and found["dp_sgd"].rho == pytest.approx(5e11)


class TestResults:
    def test_as_json_text_and_picture(self, tried):
        data = {curve["name"]: curve for curve in json.loads(tried.to_json())["curves"]}
        assert data["dp_sgd"]["advice"]["kind"] == "FROM" and data["noise"]["calibration"]["kind"] == "CONFIRMED"
        assert data["dp_sgd"]["rows"][0]["rho"] == pytest.approx(5e9) and data["formats"]["rows"][0]["informed"] == [None] * 4
        text = str(tried)
        assert text.count("Fisher") > 2 and "no unbiased" not in text and "chance" in text
        for curve in tried.curves:
            assert curve.plot().startswith(b"\x89PNG")
        assert tried.advice(0.2) == tuple(curve.advice(0.2) for curve in tried.curves)

    def test_calibration(self):
        assert Calibration.of([0.5, 2.0]).kind is Prediction.CONFIRMED
        assert Calibration.of([0.1, 2.0]).kind is Prediction.BETTER
        assert Calibration.of([0.5, 20.0]).kind is Prediction.WORSE
        assert Calibration.of([0.5, 1.0], 3).kind is Calibration.of([], 3).kind is Prediction.MISSED
        assert Calibration.of([]).kind is Prediction.NOTHING_RECOVERED

    @pytest.mark.slow
    def test_the_same_seed_gives_the_same_text(self):
        options: dict = {"noise": (1e-6,), "dp_sgd": (1e-4,), "formats": ("int8",)}
        assert asked(CONFIG, **options).to_json() == asked(CONFIG, **options).to_json()
        assert asked(CONFIG, **options).to_json() != asked(CONFIG, **options, seed=1).to_json()


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"formats": ("float8",)}, "formats: received 'float8'"),
            ({"formats": "int8"}, "formats: received 'int8', expected a sequence"),
            ({"clipping": (0.0,)}, "clipping: received 0.0"),
            ({"dp_sgd": (-1.0,)}, "dp_sgd: received -1.0"),
            ({"steps": (0,)}, "steps: received 0"),
            ({"withheld": [(4,)]}, "withheld: received 4, expected an integer from 1 to 3"),
            ({"withheld": [(1, 2, 3)]}, "all layers that were observed"),
            ({"withheld": ["1"]}, "expected sets of layers"),
            ({"clip": 0.0, "dp_sgd": (1.0,)}, "clip: received 0.0"),
            ({"learning_rate": -0.1}, "learning_rate: received -0.1"),
        ],
    )
    def test_of_levels(self, options, message):
        with pytest.raises(idf.InputError, match=message):
            asked(CONFIG, **options)

    def test_of_degrees_of_what_is_no_polynomial(self):
        with pytest.raises(idf.UnsupportedError):
            asked(CONFIG, degree=("z^2",))

    def test_of_trained_networks(self):
        config = idf.Configuration(inputs=3, samples=3, width=7, activation="z^3", regime="max-margin")
        with pytest.raises(idf.InputError, match="dp_sgd: the network of regime max-margin"):
            idf.defences(config, dp_sgd=(1.0,))


class TestUnrolled:
    """The curve of several steps is checked by an attack that unrolls them, and says where its own model is an approximation."""

    @pytest.mark.slow
    def test_few_steps_are_undone_beyond_the_estimate(self):
        config = replace(CONFIG, samples=2, inputs=8, activation=idf.Activation.parse("gelu"))
        found = asked(config, steps=(1, 3, 30), learning_rate=0.05, spot_checks=1, budget=None)["steps"]
        assert np.isnan(found.observed[[0, 2]]).all() and found.observed[1].max() < 1e-6 < 0.01 * found.typical[1].min()
        assert found.calibration().kind is Prediction.BETTER and found.tried is Tried.UNROLLED

    def test_rows_say_which_model_is_near(self):
        found = asked(CONFIG, steps=(1, 3), learning_rate=0.01)["steps"]
        assert found.approximate == (False, True) and [row["approximate"] for row in found.to_dict()["rows"]] == [False, True]
        assert "model near: " in found.explain() and found.to_dict()["observed_by"] == Tried.UNROLLED.value
        exact = asked(CONFIG, steps=(1,), learning_rate=0.01)["steps"]
        assert exact.approximate == () and "model" not in exact.explain()
        other = asked(CONFIG, noise=(1e-6,))["noise"]
        assert other.approximate == () and other.tried is Tried.PROMISING and "observed_by" not in other.to_dict()

    def test_the_steps_are_those_of_gradient_descent(self, owner):
        """The unrolled problem is the owner's training, by the one definition of an update."""
        problem = sending.steps(owner, (2,), 0.03).problem(2)
        net = owner.system.network
        for _ in range(2):
            c = sending.loss_signals(net, owner.X, sending.labels_of(owner.system.network, owner.X, owner.c))
            made = net.signals(owner.X, c), net.forward(owner.X).entering
            weights = [W + 0.03 * u.T @ h for W, u, h in zip(net.weights, *made, strict=True)]
            biases = [None if b is None else b + 0.03 * u.sum(axis=0) for b, u in zip(net.biases, made[0], strict=True)]
            net = idf.Network(weights, biases=biases, activation=net.activations)
        for name, part in problem.unrolled.final.parameters.items():
            if any(name == f"W{k}" for k in (1, 2, 3)):
                np.testing.assert_allclose(part, net.parameters[name], rtol=1e-12)
        assert problem.unrolled.steps == 2 and problem.unrolled.learning_rate == 0.03 and problem.approximate


def test_a_sample_that_activates_no_neuron_is_not_clipped():
    """Its gradient in the observed layer is zero: there is nothing to scale, and no division by its norm."""
    rng = np.random.default_rng(0)
    net = idf.Network([np.abs(rng.standard_normal((8, 4))), rng.standard_normal((3, 8)), rng.standard_normal((2, 3))], activation="relu")
    X, c = np.vstack([-np.ones(4), np.abs(rng.standard_normal((2, 4)))]), rng.standard_normal((3, 2))
    owner, _ = owner_of(idf.KKTSystem.gradient(net, layers={2: net.update(X, c)[2]}), X, c, 24, 0)
    norms = sizes(owner.system, X, owner.c)
    assert norms[0] == 0 < norms[1:].min() and median_size(owner) == np.median(norms[1:])
    assert np.array_equal(Clipped.of(owner, norms[1:].min() / 2).c[0], c[0]) and np.abs(Clipped.of(owner, 1e-3).c[1:]).max() < 1e-2
