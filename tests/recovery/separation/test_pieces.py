"""The parts of separation against definitions and other code: subspaces, normal equations, hidden activations, signals."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import identify as idf
from identify.recovery.separation import membership
from identify.recovery.separation.forward import Chart, HiddenActivations, Layer, Stack, signals
from identify.recovery.separation.membership import Linearised, Position, descend, normal_equations
from identify.recovery.separation.subspace import Subspace, complement

SIGMA = idf.Activation.parse("gelu")


def product(rng, m, columns, n):
    U, H = rng.standard_normal((m, n)), rng.standard_normal((n, columns))
    return U, H, U.T.T @ H


class TestSubspace:
    def test_duals_leave_exactly_the_other_samples(self):
        rng = np.random.default_rng(0)
        U, H, G = product(rng, 12, 15, 5)
        space = Subspace.of(G, 5)
        for i in range(4):
            eta, y = space.right @ H[i], space.left.T @ U[:, i]
            assert eta @ (y / space.values) == pytest.approx(1)
            space = space.without(y)
            rest = complement(space.avoid) @ space.right
            others = H[i + 1 :]
            assert np.abs(others - others @ rest.T @ rest).max() < 1e-12
            assert np.abs(H[i] - H[i] @ rest.T @ rest).max() > 1e-3
        assert space.n_unknown == 1

    @pytest.mark.parametrize("scale", [1.0, 1e-9])
    def test_uncertainty_bounds_how_far_a_sample_lies_off_and_deviation_is_its_size(self, scale):
        rng = np.random.default_rng(1)
        U, H, G = product(rng, 60, 80, 4)
        U[:, 3] *= 1e-3  # a small signal lies off farther
        seen = []
        for _ in range(30):
            space = Subspace.of(scale * (U @ H + 1e-6 * rng.standard_normal(G.shape)), 4)
            c = H @ space.right.T
            outside = H - c @ space.right
            assert (np.linalg.norm(outside, axis=1) <= 1.1 * space.uncertainty(c)).all()
            seen.append(outside / space.deviation(c)[:, None])
        rms = np.sqrt(np.mean(np.square(seen), axis=(0, 2)) * 80 / 76)
        assert np.allclose(rms, 1, atol=0.1)
        assert space.uncertainty(c)[3] > 100 * space.uncertainty(c)[:3].max()


def images(rng, sizes, unknowns, lifted):
    layers = [Layer(rng.standard_normal((o, i)) / i**0.5, rng.standard_normal(o), SIGMA) for i, o in itertools.pairwise(sizes)]
    first = layers[0]
    chart = Chart.of(first.W, first.bias, rng.standard_normal(sizes[0]), rng.standard_normal((sizes[0], unknowns)))
    return layers, chart, HiddenActivations(layers, chart, lifted)


class TestMembership:
    def test_values_and_jacobians_are_those_of_the_network(self):
        rng = np.random.default_rng(2)
        layers, chart, own = images(rng, [5, 9, 8], 4, [True, False])
        points = rng.standard_normal((3, 4))
        net = idf.Network(
            [*(layer.W for layer in layers), np.ones((1, 8))], biases=[*(layer.bias for layer in layers), None], activation=SIGMA
        )
        passed = net.forward(chart.coordinates(points))
        first, second = own.values(points)
        assert np.allclose(first, np.hstack([passed.entering[1], np.ones((3, 1))])) and np.allclose(second, passed.entering[2])
        for k, J in enumerate(own.jacobians(points)):
            step = 1e-6
            moved = [(own.values(points + step * e)[k] - own.values(points - step * e)[k]) / (2 * step) for e in np.eye(4)]
            assert np.allclose(np.moveaxis(moved, 0, 2)[:, : J.shape[1]], J, atol=1e-8)

    def test_normal_equations_are_those_of_the_cost(self):
        """Against JAX: the residuals are P v / |v|, whose Jacobian is never formed here."""
        rng = np.random.default_rng(3)
        layers, chart, own = images(rng, [5, 9, 8], 4, [True, False])
        spaces = [np.linalg.qr(rng.standard_normal((10, 3)))[0].T, np.linalg.qr(rng.standard_normal((8, 2)))[0].T]
        points = rng.standard_normal((2, 4))

        def residuals(t):
            z, out = chart.offset + chart.slopes @ t, []
            for k, layer in enumerate(layers):
                z = z if k == 0 else layer.W @ h + layer.bias
                h = jax.nn.gelu(z, approximate=False)
                v = jnp.append(h, 1.0) if k == 0 else h
                out.append((v - spaces[k].T @ (spaces[k] @ v)) / jnp.linalg.norm(v))
            return jnp.concatenate(out)

        at = Position.of(own, spaces, points)
        matrix, gradient = normal_equations(own, spaces, at)
        of_one, jacobian = jax.jit(residuals), jax.jit(jax.jacfwd(residuals))
        with jax.enable_x64(True):
            for k, t in enumerate(points):
                r, J = np.asarray(of_one(jax.device_put(t))), np.asarray(jacobian(jax.device_put(t)))
                assert at.costs[k] == pytest.approx(r @ r)
                assert np.allclose(gradient[k], J.T @ r) and np.allclose(matrix[k], J.T @ J)

    def test_costs_never_rise_and_singular_equations_do_no_harm(self):
        rng = np.random.default_rng(4)
        layers, chart, _ = images(rng, [5, 9], 4, [True])
        flat = Chart(chart.origin, chart.basis, chart.offset, np.zeros_like(chart.slopes))  # nothing depends on the unknowns
        space = [np.linalg.qr(rng.standard_normal((10, 3)))[0].T]
        points = rng.standard_normal((6, 4))
        for one in (chart, flat):
            own = HiddenActivations(layers, one, [True])
            before = Position.of(own, space, points).costs
            assert (descend(own, space, points, steps=10).costs <= before).all()
        stopped = descend(own, space, points, steps=10, go_on=lambda: False)
        assert np.array_equal(stopped.points, points)

    def test_groups_of_starts_end_where_all_of_them_together_do(self, monkeypatch):
        """And no array has the normal equations of more starts than the limit allows."""
        rng, sizes = np.random.default_rng(11), []
        _, _, own = images(rng, [5, 9, 8], 4, [True, False])
        spaces = [np.linalg.qr(rng.standard_normal((m, 3)))[0].T for m in (10, 8)]
        points = rng.standard_normal((7, 4))
        at_once = descend(own, spaces, points, steps=20)
        monkeypatch.setattr(membership, "AT_ONCE", 3 * 4**2)
        solve = membership.damped_steps
        monkeypatch.setattr(membership, "damped_steps", lambda matrices, *rest: sizes.append(len(matrices)) or solve(matrices, *rest))
        grouped = descend(own, spaces, points, steps=20)
        assert max(sizes) == 3
        assert np.allclose(grouped.points, at_once.points) and np.allclose(grouped.costs, at_once.costs)
        for name in ("vectors", "coordinates", "outside"):
            for one, other in zip(getattr(grouped, name), getattr(at_once, name), strict=True):
                assert np.allclose(one, other)


class TestLinearised:
    def planted(self):
        """Equations that a known point solves, and others with the same solution up to noise."""
        rng = np.random.default_rng(7)
        _, _, own = images(rng, [5, 30, 20], 4, [True, False])
        point = rng.standard_normal((1, 4))
        spaces = [np.linalg.qr(np.vstack([v, rng.standard_normal((2, v.shape[1]))]).T)[0].T for v in own.values(point)]
        return rng, own, spaces, point

    def test_steps_solve_what_normal_equations_would_square(self):
        _rng, own, spaces, point = self.planted()
        at = Position.of(own, spaces, point + 1e-5)
        for _ in range(3):
            at = Position.of(own, spaces, at.points - Linearised.of(own, spaces, at).step())
        assert np.abs(at.points - point).max() < 1e-13

    def test_deviation_is_that_of_repetitions(self):
        rng, own, spaces, point = self.planted()
        at = Position.of(own, spaces, point)
        line, sizes = Linearised.of(own, spaces, at), [np.linalg.norm(v) for v in at.vectors]
        shares, moves = [1e-6, 3e-6], []
        for _ in range(300):
            noise = [s * rng.standard_normal(v.shape) * size for s, v, size in zip(shares, at.vectors, sizes, strict=True)]
            outside = [n - n @ R.T @ R for n, R in zip(noise, spaces, strict=True)]
            moved = Position(at.points, at.vectors, at.coordinates, outside, at.costs)
            moves.append(Linearised.of(own, spaces, moved).step())
        assert line.deviation(shares) == pytest.approx(np.sqrt(np.mean(np.sum(np.square(moves), axis=1))), rel=0.1)

    def test_a_direction_without_influence_is_infinite_unless_it_is_free(self):
        _rng, own, spaces, point = self.planted()
        flat = Chart(own.chart.origin, own.chart.basis, own.chart.offset, own.chart.slopes @ np.diag([1.0, 1, 1, 0]))
        other = HiddenActivations(own.layers, flat, own.lifted)
        at = Position.of(other, spaces, point)
        assert Linearised.of(other, spaces, at).deviation([1e-6, 1e-6]) == np.inf
        free = Linearised.of(other, spaces, at, np.array([0.0, 0, 0, 1]))
        assert np.isfinite(free.deviation([1e-6, 1e-6]))

    def test_normal_equations_serve_if_they_are_well_conditioned(self, monkeypatch):
        """They give the same step and the same deviation; of alike neurons the orthogonal factors are taken."""
        rng = np.random.default_rng(3)
        _, _, own = images(rng, [5, 40], 4, [True])
        point = rng.standard_normal((1, 4))
        (v,) = own.values(point)
        spaces = [np.linalg.qr(np.vstack([v, rng.standard_normal((2, v.shape[1]))]).T)[0].T]
        flat = Chart(own.chart.origin, own.chart.basis, own.chart.offset, own.chart.slopes @ np.diag([1.0, 1, 1, 1e-7]))
        for asked, formed in ((own, 0), (HiddenActivations(own.layers, flat, own.lifted), 1)):
            at = Position.of(asked, spaces, point + 1e-5)
            monkeypatch.setattr(membership, "BY_GRAM", 1)
            quick = Linearised.of(asked, spaces, at)
            monkeypatch.setattr(membership, "BY_GRAM", 99)
            slow = Linearised.of(asked, spaces, at)
            assert len(quick.blocks) == formed and len(slow.blocks) == 1
            assert quick.step() == pytest.approx(slow.step(), rel=1e-9) and quick.deviation([1e-6]) == pytest.approx(slow.deviation([1e-6]))

    def test_the_weakest_direction(self):
        _rng, own, spaces, point = self.planted()
        line = Linearised.of(own, spaces, Position.of(own, spaces, point))
        size = np.linalg.norm(line.triangle @ line.weakest())
        assert size == pytest.approx(np.linalg.svd(line.triangle, compute_uv=False)[-1], rel=0.1)


class TestSignals:
    def planted(self, seed=0, samples=6):
        system, truth = idf.Configuration(inputs=20, samples=samples, width=(40, 30), activation="relu", outputs=4, bias=True).plant(seed)
        net = system.network
        lifted = [np.hstack([update.W, update.bias[:, None]]) for update in system.updates[:2]]
        layers = [Layer(W, b, sigma) for W, b, sigma in zip(net.weights, net.biases, net.activations, strict=False)]
        slopes = [sigma(z, order=1) for sigma, z in zip(net.activations, net.forward(truth.X).before, strict=False)]
        return net, truth, Stack(layers, net.weights[-1]), [Subspace.of(G, samples) for G in lifted], slopes

    @pytest.mark.parametrize("samples", [6, 3], ids=["fewer outputs than samples", "more"])
    def test_signals_are_those_of_the_backward_pass(self, samples):
        net, truth, stack, spaces, slopes = self.planted(samples=samples)
        true = net.signals(truth.X, truth.c)
        for i in range(len(truth.X)):
            found = signals(stack, [own[i] for own in slopes], spaces, [True, True])
            assert found.kernel[0] < 1e-13 < 1e-4 < found.kernel[1] and found.misfits.max() < 1e-13
            pairs = [(space.left @ y, u[i]) for space, y, u in zip(spaces, found.coordinates, true, strict=False)]
            for own, u in [*pairs, (found.multipliers, truth.c[i])]:
                assert abs(own @ u) == pytest.approx(np.linalg.norm(own) * np.linalg.norm(u), rel=1e-10)

    def test_a_sample_that_is_not_there_has_no_signals(self):
        net, truth, stack, spaces, _slopes = self.planted()
        before = net.forward(truth.X[:1] + 3.0).before
        absent = [sigma(z[0], order=1) for sigma, z in zip(net.activations, before, strict=False)]
        found = signals(stack, absent, spaces, [True, True])
        assert found.kernel[0] > 1e-4 and found.misfits.max() > 1e-4

    def test_a_network_that_passes_nothing_on(self):
        _net, _truth, stack, spaces, slopes = self.planted()
        found = signals(stack, [np.zeros_like(own[0]) for own in slopes], spaces, [True, True])
        assert found.kernel == (0.0, 0.0)
