"""The batch behind a dense layer that reads a known map: planted samples, another solver, what cannot be told apart or must be refused."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares
from support.compiling import devices_of_the_host

import identify as idf
from identify.problem.arrays import ShapeError
from identify.problem.features import FeatureSystem
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.problem.uniqueness import UniquenessReason, UniquenessStatus
from identify.recovery.separation.feature_batch import search_for
from identify.recovery.separation.feature_map import FeatureMap, FeatureVectors
from identify.recovery.separation.features import ENOUGH, STARTS, WIDER
from identify.recovery.separation.membership import Position, normal_equations
from identify.recovery.solution import Failure, InapplicableError, ResidualError

SIDE = 5


def pooled(h, kind):
    start, join = (-jnp.inf, jax.lax.max) if kind == "max" else (0.0, jax.lax.add)
    return jax.lax.reduce_window(h, start, join, (1, 2, 2), (1, 1, 1), "VALID") / (1 if kind == "max" else 4)


def convolutions(seed=0, activation=jnp.tanh, pooling=None, channels=(6, 12), kind=float):
    rng = np.random.default_rng(seed)
    first, bias, second = (
        rng.uniform(-1, 1, (channels[0], 1, 2, 2)),
        rng.uniform(-1, 1, (channels[0], 1, 1)),
        rng.uniform(-1, 1, (*channels[::-1], 2, 2)),
    )
    first, bias, second = (first / 2).astype(kind), (bias / 2).astype(kind), (second / (4 * channels[0]) ** 0.5).astype(kind)

    def phi(x):
        h = activation(jax.lax.conv(x[None, None], first, (1, 1), "VALID")[0] + bias)
        h = activation(jax.lax.conv(h[None], second, (1, 1), "VALID")[0])
        return h if pooling is None else pooled(h, pooling)

    return phi


def dense(seed=0, inputs=6, features=40, scale=1.0):
    """A map that compiles quickly."""
    rng = np.random.default_rng(seed)
    W, b = scale * rng.standard_normal((features, inputs)) / inputs**0.5, rng.standard_normal(features)
    return lambda x: jnp.tanh(W @ x + b)


def values(phi, X):
    with jax.enable_x64(True):
        return np.array([np.asarray(phi(jax.device_put(x))).reshape(-1) for x in X])


def planted(phi, shape, samples=4, outputs=7, seed=0, bias=True, change=lambda G, rng: G, **options):
    """The system, its samples as rows, and their signals."""
    rng = np.random.default_rng(seed)
    X = rng.random((samples, *np.atleast_1d(shape)))
    H, U = values(phi, X), rng.standard_normal((samples, outputs))
    G = change(np.column_stack([U.T @ H, U.sum(axis=0)]), rng)
    system = idf.KKTSystem.features(phi, shape, W=G[:, :-1], bias=G[:, -1] if bias else None, **({"box": (0, 1)} | options))
    return system, X.reshape(samples, -1), U


class TestPlanted:
    @pytest.mark.parametrize(
        ("activation", "pooling"), [(jax.nn.relu, None), (jnp.tanh, None), (jax.nn.gelu, "average")], ids=["relu", "tanh", "gelu, pooled"]
    )
    def test_convolutions(self, activation, pooling):
        system, X, U = planted(convolutions(activation=activation, pooling=pooling, channels=(8, 24)), (SIDE, SIDE))
        found = idf.recover(system, data=(X, U))
        match = found.match(X, U)
        assert found.method == "feature separation" and found.n_samples == 4
        assert match.errors.max() < 1e-8 and np.abs(match.c - U).max() < 1e-7 and found.residual < 1e-10
        assert found.evidence["errors"] == pytest.approx(match.errors.tolist()) and found.evidence["ranks"] == [4]
        assert found.uniqueness.status is UniquenessStatus.EVIDENCE and found.uniqueness.reason is UniquenessReason.SEPARATED
        numbers = found.uniqueness.numbers
        assert numbers["distinct"] == 4 <= numbers["converged"] <= numbers["starts"]
        with jax.enable_x64(True):
            assert system.residual(found.X, found.c) == pytest.approx(found.residual, abs=1e-13)

    def test_samples_are_those_that_scipy_finds(self):
        """An independent solver on the definition, from near each sample and from afar: the same points, and no other."""
        phi = dense()
        system, _, _ = planted(phi, 6, samples=3)
        found = idf.recover(system)
        rows = np.linalg.svd(system.update)[2][3:]
        ends = []
        with jax.enable_x64(True):
            for start in np.random.default_rng(1).random((12, 6)):
                end = least_squares(lambda x: rows @ np.append(np.asarray(phi(x)), 1.0), start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
                if end.cost < 1e-20:
                    ends.append(end.x)
        assert len(ends) >= 6
        assert all(np.linalg.norm(found.X - end, axis=1).min() < 1e-6 for end in ends)

    def test_the_last_samples_are_found_as_easily_as_the_first(self):
        system, X, U = planted(dense(features=80), 6, samples=20, outputs=24)
        found = idf.recover(system)
        assert found.match(X, U).errors.max() < 1e-9 and found.evidence["separation"]["starts"] < 100

    def test_without_a_box_and_without_the_bias(self):
        phi = dense(1)
        system, X, U = planted(phi, 6, bias=False, box=None)
        found = idf.recover(system)
        assert found.ambiguity.group == "none" and found.match(X, U).errors.max() < 1e-9

    @pytest.mark.parametrize(("group", "power"), [("positive scaling", 1), ("sign", 1), ("sign", 2)])
    def test_symmetries_of_the_map(self, group, power):
        W = np.random.default_rng(2).standard_normal((40, 6))
        sigma = {("positive scaling", 1): jax.nn.relu, ("sign", 1): jnp.tanh, ("sign", 2): jnp.cos}[group, power]
        system, X, U = planted(lambda x: sigma(W @ x / 3), 6, samples=3, bias=power == 2)
        found = idf.recover(system)
        assert (found.ambiguity.group, found.ambiguity.degree) == (group, power)
        assert found.n_samples == 3 and found.match(X, U).errors.max() < 1e-9 and np.isfinite(found.error_bars).all()

    def test_labels_of_a_softmax_loss(self):
        phi, rng = dense(), np.random.default_rng(3)
        X, labels = rng.random((4, 6)), np.array([0, 2, 1, 4])
        H = values(phi, X)
        z = np.exp(H @ rng.standard_normal((40, 5)) / 6)
        U = (np.eye(5)[labels] - z / z.sum(axis=1, keepdims=True)) / 4
        found = idf.recover(idf.KKTSystem.features(phi, (6,), W=U.T @ H, bias=U.sum(axis=0), box=(0, 1)))
        assert np.array_equal(found.labels[found.match(X, U).order], labels)

    @pytest.mark.slow
    def test_points_are_spread_over_devices(self, tmp_path):
        """Two devices (of the host) find what one finds, in blocks of twice as many points."""
        script = tmp_path / "run.py"
        script.write_text(
            "import sys, jax, numpy as np\n"
            "import test_features as own\n"
            "from identify.recovery.separation.feature_map import FeatureMap\n"
            "system, X, _ = own.planted(own.dense(), (6,), samples=3)\n"
            "found = own.idf.recover(system)\n"
            "np.savez(sys.argv[1], X=found.X, block=FeatureMap.of(system).block, devices=len(jax.devices()))\n"
        )
        results = []
        for count in (1, 2):
            paths = os.pathsep.join(map(str, (Path(idf.__file__).parents[1], Path(__file__).parent, Path(__file__).parents[2])))
            flags = {"XLA_FLAGS": devices_of_the_host(count), "PYTHONPATH": paths}
            subprocess.run([sys.executable, script, tmp_path / f"{count}.npz"], check=True, env=os.environ | flags)
            with np.load(tmp_path / f"{count}.npz") as content:
                results.append(dict(content))
        assert [(int(one["devices"]), int(one["block"])) for one in results] == [(1, 16), (2, 32)]
        assert len(results[0]["X"]) == 3 and np.allclose(results[0]["X"], results[1]["X"], rtol=1e-9)

    def test_same_seed_same_bits(self):
        system, _, _ = planted(dense(), 6)
        one, two = (idf.recover(system, seed=5) for _ in range(2))
        assert np.array_equal(one.X, two.X) and np.array_equal(one.c, two.c)

    def test_weights_in_float32_alone(self):
        """Convolutions of JAX refuse arrays of two types: the map is called with float32 then, and its rounding is counted."""
        rng = np.random.default_rng(4)
        kernel = jnp.asarray(rng.uniform(-1, 1, (24, 1, 2, 2)), jnp.float32)
        system, X, U = planted(
            lambda x: jnp.tanh(jax.lax.conv(x.astype(jnp.float32)[None, None], kernel, (1, 1), "VALID")), (SIDE, SIDE), 3
        )

        def strict(x):
            return jnp.tanh(jax.lax.conv(x[None, None], kernel, (1, 1), "VALID"))

        found = idf.recover(idf.KKTSystem.features(strict, (SIDE, SIDE), W=system.W, bias=system.bias, box=(0, 1)))
        assert found.match(X, U).errors.max() < 1e-4 and found.uniqueness.is_supported

    def test_smoothed_maps_lead_to_a_map_with_kinks(self):
        """Every descent goes through them; the answer is that of the map itself."""
        W, b = np.random.default_rng(6).standard_normal((60, 4)), np.random.default_rng(7).standard_normal(60)

        def hard(x):
            return jnp.abs(W @ x - b)

        soft = [lambda x, beta=beta: jnp.sqrt((W @ x - b) ** 2 + 1 / beta) for beta in (1e1, 1e3)]
        system, X, U = planted(hard, 4, smoothed=soft)
        assert idf.recover(system).match(X, U).errors.max() < 1e-9


class TestPrecision:
    @pytest.mark.once
    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("float32", lambda G, rng: G.astype(np.float32).astype(float)),
            ("bfloat16", lambda G, rng: np.asarray(jnp.asarray(G, jnp.bfloat16), float)),
            ("noise", lambda G, rng: G + 1e-4 * np.sqrt(np.mean(G**2)) * rng.standard_normal(G.shape)),
        ],
    )
    def test_error_bars_are_calibrated(self, name, change):
        ratios = []
        for seed in range(6):
            system, X, U = planted(dense(seed, features=80, scale=2.0), 6, seed=seed, change=change)
            found = idf.recover(system, samples=4)
            match = found.match(X, U)
            ratios.extend(match.errors * np.linalg.norm(X, axis=1) / found.error_bars[match.order])
        assert 0.5 < np.sqrt(np.mean(np.square(ratios))) < 2, name


class TestDeflation:
    def test_known_samples_are_no_zeros_any_more_and_the_others_are(self):
        phi = dense()
        system, X, _ = planted(phi, 6)
        rows = np.linalg.svd(system.update)[2][:4]
        known = np.linalg.qr(np.column_stack([values(phi, X[:2]), np.ones(2)]).T)[0].T
        images = FeatureVectors(FeatureMap.of(system), True, known)
        beside = X + 1e-4 * np.random.default_rng(0).standard_normal(X.shape)
        assert Position.of(images, [rows], beside).costs[:2].min() > 0.1
        assert Position.of(images, [rows], X).costs[2:].max() < 1e-24

    def test_normal_equations_are_those_of_the_deflated_cost(self):
        phi = dense()
        system, X, _ = planted(phi, 6)
        rows = np.linalg.svd(system.update)[2][:4]
        H = np.column_stack([values(phi, X[:2]), np.ones(2)])
        known = np.linalg.qr(H.T)[0].T
        images = FeatureVectors(FeatureMap.of(system), True, known)
        points = np.random.default_rng(1).random((2, 6))
        at = Position.of(images, [rows], points)
        matrix, gradient = normal_equations(images, [rows], at)

        def residuals(x):
            v = jnp.append(phi(x), 1.0)
            return (v - rows.T @ (rows @ v)) / jnp.linalg.norm(v - known.T @ (known @ v))

        of_one, jacobian = jax.jit(residuals), jax.jit(jax.jacfwd(residuals))
        with jax.enable_x64(True):
            for k, x in enumerate(points):
                r, J = np.asarray(of_one(jax.device_put(x))), np.asarray(jacobian(jax.device_put(x)))
                assert at.costs[k] == pytest.approx(r @ r)
                assert np.allclose(gradient[k], J.T @ r) and np.allclose(matrix[k], J.T @ J)


class TestStarts:
    def test_half_of_them_have_the_mean_and_the_directions_of_known_samples(self):
        system, X, _ = planted(dense(), 6)
        own = search_for(system)
        own.found.X = X[:ENOUGH]
        like = own._like_known(4000)
        mean, apart = X[:ENOUGH].mean(axis=0), X[:ENOUGH] - X[:ENOUGH].mean(axis=0)
        assert np.allclose((like - mean) @ np.linalg.pinv(apart) @ apart, like - mean)
        covariance = WIDER**2 * apart.T @ apart / ENOUGH
        assert np.linalg.norm(np.cov(like.T) - covariance) < 0.1 * np.linalg.norm(covariance)
        drawn = []
        own.map = dataclasses.replace(own.map, value=lambda points: (drawn.append(points), np.full((len(points), 40), np.nan))[1])
        own.round(deflated=False)
        points = drawn[0][:STARTS] - mean
        outside = np.linalg.norm(points - points @ np.linalg.pinv(apart) @ apart, axis=1)
        assert np.sum(outside < 1e-12) == STARTS // 2 == np.sum(outside > 1e-3)


class TestNotDetermined:
    def test_a_pixel_that_the_map_does_not_read(self):
        inner = dense(inputs=5)
        system, X, _ = planted(lambda x: inner(x[:5]), 6, samples=3)
        found = idf.recover(system)
        assert np.isinf(found.error_bars).all() and found.residual < 1e-10
        assert found.uniqueness.status is UniquenessStatus.UNKNOWN and found.uniqueness.reason is UniquenessReason.FREE
        nearest = [np.abs(X[:, :5] - x[:5]).max(axis=1).min() for x in found.X]
        assert max(nearest) < 1e-8

    def test_other_samples_with_the_same_features(self):
        inner = dense(inputs=3)
        system, _, _ = planted(lambda x: inner(jnp.stack([x[0] + x[1], x[0] * x[1], x[2]])), 3, samples=3, box=(0, 1))
        found = idf.recover(system)
        assert found.evidence["separation"]["others"] > 0
        assert found.uniqueness.status is UniquenessStatus.UNKNOWN and found.uniqueness.reason is UniquenessReason.OTHER_POINTS

    def test_as_many_equations_as_unknowns(self):
        system, _, _ = planted(dense(features=8), 6, samples=3)
        found = idf.recover(system, starts=40)
        assert found.uniqueness.status is UniquenessStatus.UNKNOWN

    def test_a_linear_map_tells_no_sample_from_mixtures(self):
        A = np.random.default_rng(0).standard_normal((40, 6))
        system, _, _ = planted(lambda x: jax.device_put(A) @ x, 6, samples=3)
        with pytest.raises(ResidualError) as caught:
            idf.recover(system)
        assert caught.value.obstacle.kind is Failure.NO_SAMPLE and caught.value.evidence["separation"]["mixed"] > 0

    def test_copies_count_once(self):
        phi = dense()
        X = np.random.default_rng(0).random((3, 6))[[0, 1, 2, 0]]
        H, U = values(phi, X), np.random.default_rng(1).standard_normal((4, 7))
        found = idf.recover(idf.KKTSystem.features(phi, 6, W=U.T @ H, bias=U.sum(axis=0), box=(0, 1)))
        assert found.n_samples == 3 and found.residual < 1e-10

    def test_a_spent_budget_is_called_one(self):
        system, _, _ = planted(dense(), 6)
        with pytest.raises(ResidualError, match="more time") as caught:
            idf.recover(system, budget=1e-6)
        assert caught.value.obstacle.kind is Failure.NO_SAMPLE and caught.value.evidence["interrupted"]

    def test_an_interrupt_returns_what_there_is(self):
        system, X, U = planted(dense(), 6)

        def progress(step):
            if "of 4 samples" in step:
                raise KeyboardInterrupt

        found = idf.recover(system, progress=progress)
        assert 0 < found.n_samples <= 4 and found.evidence["interrupted"]
        if found.n_samples < 4:
            assert np.isnan(found.c).all() and found.uniqueness.reason is UniquenessReason.PARTIAL
        assert np.nanmin(found.match(X, U).errors) < 1e-8


class TestRefused:
    def refused(self, system, **options):
        with pytest.raises(ResidualError) as caught:
            idf.recover(system, **({"starts": 16} | options))
        assert caught.value.obstacle.kind is Failure.NO_SAMPLE
        return caught.value

    def test_the_map_of_another_network(self):
        system, _, _ = planted(dense(0), 6)
        self.refused(idf.KKTSystem.features(dense(1), 6, W=system.W, bias=system.bias, box=(0, 1)))

    def test_columns_in_another_order(self):
        system, _, _ = planted(dense(), 6)
        self.refused(idf.KKTSystem.features(system.phi, 6, W=system.W[:, ::-1], bias=system.bias, box=(0, 1)))

    def test_batch_normalisation_in_training_mode(self):
        """It mixes the samples: the rank of the update still counts them, but no single sample has its features in the row space."""
        phi, rng = dense(), np.random.default_rng(0)
        X = rng.random((4, 6))
        H, U = values(phi, X), rng.standard_normal((4, 7))
        mixed = (H - H.mean(axis=0)) / H.std(axis=0)
        system = idf.KKTSystem.features(phi, 6, W=U.T @ mixed, bias=U.sum(axis=0), box=(0, 1))
        error = self.refused(system)
        assert error.evidence["ranks"] == [4] and "batch normalisation" in str(error)

    @pytest.mark.parametrize("samples", [3, 5])
    def test_a_wrong_number_of_samples_gives_no_wrong_data(self, samples):
        system, X, _ = planted(dense(), 6)
        try:
            found = idf.recover(system, samples=samples, starts=16)
        except ResidualError:
            return
        assert found.uniqueness.status is UniquenessStatus.UNKNOWN
        assert max(np.linalg.norm(X - x, axis=1).min() for x in found.X) < 1e-6

    def test_more_samples_than_rows(self):
        system, _, _ = planted(dense(), 6, outputs=3, samples=3)
        with pytest.raises(InapplicableError) as caught:
            idf.recover(system, samples=4)
        assert caught.value.obstacle.kind is Failure.FEW_ROWS

    def test_fewer_features_than_inputs(self):
        system, _, _ = planted(dense(inputs=10, features=9), 10)
        with pytest.raises(InapplicableError) as caught:
            idf.recover(system)
        assert caught.value.obstacle.kind is Failure.FEW_FEATURES and caught.value.evidence["equations"] == 6

    def test_a_map_that_is_not_finite(self):
        system, _, _ = planted(dense(), 6)
        broken = idf.KKTSystem.features(lambda x: jnp.sqrt(-1.0 - x[0] ** 2) * system.phi(x), 6, W=system.W)
        with pytest.raises(InapplicableError) as caught:
            idf.recover(broken)
        assert caught.value.obstacle.kind is Failure.NOT_FINITE

    def test_a_map_that_is_finite_in_places_only(self):
        inner = dense()
        system, X, U = planted(lambda x: jnp.sqrt(x[0]) * inner(x), 6)
        assert idf.recover(idf.KKTSystem.features(system.phi, 6, W=system.W, bias=system.bias)).match(X, U).errors.max() < 1e-8

    @pytest.mark.parametrize(
        "phi", [lambda x: jnp.ones(39), lambda x: 1.0, lambda x: jnp.ones((2, 40))], ids=["one less", "a number", "two samples"]
    )
    def test_a_map_with_other_sizes(self, phi):
        with pytest.raises(ShapeError, match="expected 40, as many as W has columns"):
            idf.recover(idf.KKTSystem.features(phi, 6, W=np.eye(7, 40)))

    @pytest.mark.parametrize(
        "phi",
        [lambda x: np.tanh(np.asarray(x)), lambda x: jnp.linalg.qr(x), lambda x: x > 0, lambda x: 1 / 0],
        ids=["NumPy", "another shape", "booleans", "an error"],
    )
    def test_a_map_that_jax_cannot_trace(self, phi):
        with pytest.raises(idf.InputError, match="phi: JAX cannot trace it for a sample of shape"):
            idf.recover(idf.KKTSystem.features(phi, 6, W=np.eye(7, 40)))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"W": np.ones(40)}, "W: received shape"),
            ({"W": np.full((7, 40), np.nan)}, "W: 280 of 280 values are NaN"),
            ({"W": np.zeros((7, 40))}, "W: every number is zero"),
            ({"bias": np.ones(6)}, "bias: received shape"),
            ({"shape": ()}, "shape: received none"),
            ({"shape": (0, 3)}, "shape: received 0"),
            ({"box": (1, 0)}, "box: received 1, 0"),
            ({"phi": np.ones((7, 40))}, "phi: received ndarray"),
            ({"smoothed": [3.0]}, r"smoothed\[0\]: received float"),
        ],
    )
    def test_arguments(self, change, said):
        arguments = {"phi": dense(), "shape": 6, "W": np.ones((7, 40))} | change
        with pytest.raises(idf.InputError, match=said):
            idf.KKTSystem.features(arguments.pop("phi"), arguments.pop("shape"), **arguments)

    def test_memory_is_stated_before_it_is_taken(self, monkeypatch):
        monkeypatch.setenv("IDENTIFY_MEMORY", "1e-6")
        system, _, _ = planted(dense(), 6)
        with pytest.raises(idf.TooLargeError, match="6 inputs and 40 features"):
            idf.recover(system)

    @pytest.mark.parametrize(
        ("question", "name"),
        [
            (lambda system: idf.check(system, samples=2), "check"),
            (lambda system: idf.certify(system, (np.ones((2, 6)), np.ones((2, 7)))), "certify"),
            (lambda system: idf.kkt_equations(system, samples=2), "kkt_equations"),
            (lambda system: idf.largest_identifiable(system), "largest_identifiable"),
            (lambda system: idf.defences(system, np.ones((2, 6)), np.ones((2, 7))), "defences"),
            (lambda system: idf.audit(system), "audit"),
            (lambda system: idf.save_problem("features.npz", system), "save_problem"),
        ],
    )
    def test_the_other_verbs_refuse_it(self, question, name):
        system = FeatureSystem(dense(), 6, np.eye(7, 40))
        with pytest.raises(UnsupportedError) as caught:
            question(system)
        assert caught.value.question == name and caught.value.reason is Unsupported.FEATURES

    def test_methods_of_polynomial_networks(self):
        with pytest.raises(idf.InputError, match="method: received 'algebraic', expected one of auto, separate"):
            idf.recover(FeatureSystem(dense(), 6, np.eye(7, 40)), method="algebraic")
