"""Searches: closed forms against automatic differentiation, solutions against planted data, clocks, interrupts and checkpoints."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy
from scipy.optimize import least_squares
from support.compiling import devices_of_the_host
from support.marks import alone, slow

import identify as idf
from identify.base.limits import Stopped
from identify.problem.ambiguity import Ambiguity
from identify.recovery import least_squares as batched
from identify.recovery import projection as vp
from identify.recovery.birth import birth
from identify.recovery.count import counted
from identify.recovery.least_squares import _attempts, minimise
from identify.recovery.least_squares import _batch as least_squares_batch
from identify.recovery.multistart import Search, Tally, unseen
from identify.recovery.polynomials import AUTO, SEARCHES, _samples
from identify.recovery.reduce import Reduced
from identify.recovery.separation import cliques as sep
from identify.recovery.separation.membership import Position, normal_equations
from identify.recovery.solution import Failure, InapplicableError, RecoveryError
from identify.recovery.starts import random_points
from identify.recovery.work import Work

CUBIC = "z + z^2/2 + z^3"


def size(d: int, n: int, m: int, activation: str = CUBIC, **options) -> idf.Configuration:
    return idf.Configuration(inputs=d, samples=n, width=m, activation=activation, **options)


KINDS = [
    {"activation": CUBIC},
    {"activation": CUBIC, "bias": True},
    {"activation": "z + z^3", "outputs": 2},
    {"activation": "z^3", "layers": "first"},
    {"activation": "1 + z^2 + z^4", "layers": "second", "bias": True},
    {"activation": "z + z^2", "outputs": 3, "bias": True},
]


class TestProjection:
    @pytest.mark.once
    @pytest.mark.parametrize("kind", [*map(slow, KINDS[:4]), *KINDS[4:]])
    @pytest.mark.parametrize("penalty", [slow(0.0), 0.3])
    def test_gradient_and_matrix(self, kind, penalty):
        """The gradient of the cost by automatic differentiation; the matrix is that of Kaufman's Jacobian, by differences of columns."""
        system, _ = size(3, 2, 5, **kind).plant(0)
        problem = vp.Projected.of(Reduced.of(system, 4))
        rng = np.random.default_rng(1)
        N, d = 3, problem.network.n_inputs
        point, own = rng.standard_normal(N * d) * 0.7, penalty * rng.uniform(0.5, 1, N + 1)
        with jax.enable_x64(True):
            arrays = problem.arrays()
            at = (arrays, jax.device_put(point), jax.device_put(own))
            value, gradient, matrix = jax.jit(vp.normal)(*at)
            exact_value, exact = jax.jit(jax.value_and_grad(_cost, argnums=1))(*at)
            assert value == pytest.approx(float(exact_value), rel=1e-12)
            assert np.allclose(2 * gradient, exact, rtol=1e-6, atol=1e-9 * np.abs(exact).max())
            assert np.allclose(matrix, jax.jit(_kaufman)(*at), rtol=1e-6, atol=1e-8 * np.abs(matrix).max())

    @pytest.mark.parametrize("kind", KINDS)
    def test_cost_is_the_residual_of_the_best_multipliers(self, kind):
        system, _ = size(3, 2, 5, **kind).plant(0)
        reduced = Reduced.of(system, 4)
        problem, X = vp.Projected.of(reduced), np.random.default_rng(2).standard_normal((1, 2, 3))
        c, sizes = problem.multipliers(X)
        ones = np.eye(2 * system.network.n_outputs).reshape(-1, 2, system.network.n_outputs)
        columns = np.array([system.right_hand_side(X[0], one) for one in ones]).T
        assert np.allclose(c[0].ravel(), np.linalg.lstsq(columns, system.target, rcond=None)[0], rtol=1e-6)
        residual = _smallest_residual(system, X[0]) / np.linalg.norm(system.target)
        with jax.enable_x64(True):
            assert float(jax.jit(_cost)(problem.arrays(), jax.device_put(X.ravel()), jnp.zeros(3))) == pytest.approx(residual**2, rel=1e-6)
        assert (sizes > 0).all()

    @pytest.mark.once
    @pytest.mark.parametrize("seed", [0, slow(1), slow(2)])
    def test_narrow_networks(self, seed):
        """(5, 4, 6): fewer equations than moments, and too few neurons to look at samples one by one."""
        system, truth = size(5, 4, 6).plant(seed)
        found = idf.recover(system, samples=4)
        assert found.method == "birth" and found.match(truth.X, truth.c).errors.max() < 1e-10
        assert "interpolation" in found.evidence["tried"]["algebraic"] and "4 unknowns" in found.evidence["tried"]["separate"]

    @pytest.mark.once
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_sample_that_costs_least_goes_first(self, kind):
        system, _ = size(3, 2, 5, **kind).plant(0)
        problem, X = vp.Projected.of(Reduced.of(system, 4)), np.random.default_rng(3).standard_normal((5, 4, 3))
        for before, after in zip(X, problem.thinned(X, 1), strict=True):
            residuals = [_smallest_residual(system, np.delete(before, i, axis=0)) for i in range(4)]
            assert np.array_equal(after, np.delete(before, int(np.argmin(residuals)), axis=0))

    @pytest.mark.slow
    def test_penalties_keep_samples_from_infinity(self):
        system, _ = size(6, 7, 12).plant(0)
        problem = vp.Projected.of(Reduced.of(system, 7))
        X = random_points(problem.network, np.random.default_rng(0), 32 * 7).reshape(32, 7, 6)
        free, _ = problem.minimised(X, Search(0, 32, 1e-6), steps=100)
        held, _ = problem.minimised(X, Search(0, 32, 1e-6), weights=1e-5, decay=1e-5, steps=100)
        largest = [np.median(np.linalg.norm(each, axis=2).max(axis=1)) / problem.scale for each in (free, held)]
        assert largest[0] > 1e3 and largest[1] < 1e2

    def test_slices_make_no_difference_and_a_clock_ends_the_descent_within_a_block(self, monkeypatch):
        system, _ = size(4, 3, 8).plant(0)
        problem = vp.Projected.of(Reduced.of(system, 3))
        with jax.enable_x64(True):
            arrays = problem.arrays()
        X = random_points(problem.network, np.random.default_rng(0), 8 * 3).reshape(8, -1)
        options = {"own": np.zeros((8, 4)), "steps": 50, "rest": vp.REST}
        whole = minimise(vp.normal, arrays, X, **options)
        monkeypatch.setattr("identify.recovery.least_squares.SLICE", 0.0)  # every step is a slice
        looks = []
        sliced = minimise(vp.normal, arrays, X, **options, go_on=lambda: not looks.append(1))
        assert np.array_equal(whole[0], sliced[0]) and np.array_equal(whole[1], sliced[1]) and len(looks) >= 25
        few = minimise(vp.normal, arrays, X, **options, go_on=lambda: False)
        assert (few[1] >= whole[1]).all() and (few[1] > whole[1]).any()

    def test_one_program_for_all_starts_and_small_batches_where_steps_are_dear(self):
        """What is filled up costs next to nothing, and a second size of the batch would be compiled anew."""
        assert least_squares_batch(1e5) == 64 and least_squares_batch(5e7) == 20 and least_squares_batch(1e9) == 8
        system, _ = size(3, 2, 6).plant(0)
        problem = vp.Projected.of(Reduced.of(system, 2))
        before = _attempts._cache_size()
        problem.minimised(np.random.default_rng(0).standard_normal((100, 2, problem.network.n_inputs)), Search(0, 100, 1e-6), steps=60)
        assert _attempts._cache_size() == before + 1

    def test_a_start_agrees_with_scipy(self):
        """From the same point both end at the same local minimum, or at the same solution."""
        system, truth = size(2, 2, 4).plant(0)
        problem = vp.Projected.of(Reduced.of(system, 2))
        start = truth.X + 0.05 * np.random.default_rng(0).standard_normal((2, 2))
        with jax.enable_x64(True):
            arrays = problem.arrays()
        ours, costs = minimise(vp.normal, arrays, start.reshape(1, -1), own=np.zeros((1, 3)), steps=100, rest=vp.REST)
        c = problem.multipliers(start[None])[0][0]

        def residual(v):
            return system.right_hand_side(v[:4].reshape(2, 2), v[4:].reshape(2, 1)) - system.target

        other = least_squares(residual, np.concatenate([start.ravel(), c.ravel()]), xtol=1e-15, ftol=1e-15, gtol=1e-15)
        assert costs[0] < 1e-18 and np.allclose(ours[0], other.x[:4], atol=1e-7) and np.allclose(ours[0], truth.X.ravel(), atol=1e-7)


def _smallest_residual(system, X):
    """With the best multipliers."""
    C = system.network.n_outputs
    ones = np.eye(len(X) * C).reshape(-1, len(X), C)
    columns = np.array([system.right_hand_side(X, one) for one in ones]).T
    return np.linalg.norm(columns @ np.linalg.lstsq(columns, system.target, rcond=1e-13)[0] - system.target)


def _cost(arrays, point, own):
    """Squared residual relative to the target with the best multipliers, and the penalties."""
    weights, decay = own[:-1], own[-1]
    X = point.reshape(len(weights), -1)
    b, lengths, _, (s0, s1, _) = vp._solve(arrays, X, weights)
    return vp._value(vp._residual(arrays, X, b / lengths, s0, s1), b, X, weights, decay)


def _kaufman(arrays, point, own):
    """J^T J with J = (I - P) dPhi b for unit columns Phi and penalty rows, by automatic differentiation."""
    weights, decay = own[:-1], own[-1]
    N = len(weights)
    b = vp._solve(arrays, point.reshape(N, -1), weights)[0]

    def columns(x):
        X = x.reshape(N, -1)
        _, lengths, _, (s0, s1, _) = vp._solve(arrays, X, weights)
        C = lengths.shape[1]
        units = jnp.eye(N * C).reshape(N * C, N, C) / lengths
        rows = jax.vmap(lambda c: jnp.concatenate([part.ravel() for part in _columns(arrays, X, c, s0, s1)]))(units)
        return rows.T

    Phi = columns(point)
    J = jax.jacfwd(lambda x: columns(x) @ b.ravel())(point)
    C = b.shape[1]
    tall = jnp.concatenate([Phi, jnp.diag(jnp.sqrt(vp.RIDGE + jnp.repeat(weights, C)))])
    J = jnp.concatenate([J, jnp.zeros((N * C, J.shape[1]))])
    Q = jnp.linalg.qr(tall)[0]
    J = J - Q @ (Q.T @ J)
    return J.T @ J + decay * jnp.eye(J.shape[1])


def _columns(arrays, X, c, s0, s1):
    (W, A, offsets), parts, derivatives, seen = arrays
    zero = tuple(jnp.zeros_like(part) for part in parts)
    return vp._residual(((W, A, offsets), zero, derivatives, seen), X, c, s0, s1)


class TestSeparate:
    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.get("layers") != "second"])
    def test_derivatives(self, kind):
        system, _ = size(3, 3, 9, **kind).plant(0)
        try:
            columns = sep.Columns.of(Reduced.of(system, 3 + bool(kind.get("bias"))), 3 + bool(kind.get("bias")))
        except InapplicableError:
            columns = sep.Columns.of(Reduced.of(system, 3), 3)
        point = np.random.default_rng(1).standard_normal((1, columns.unknowns()))
        at = Position.of(columns.images, [columns.space], point)
        matrix, gradient = normal_equations(columns.images, [columns.space], at)
        net, sigma = columns.network, columns.network.activation
        complement = scipy.linalg.null_space(columns.space)
        with jax.enable_x64(True):

            def residual(v):
                z = net.W @ v[: net.n_inputs] + net.offsets
                mixed = v[net.n_inputs :] @ net.A if net.n_outputs > 1 else net.A[0]
                psi = mixed * sigma.jax(z, order=1)
                return complement.T @ psi / jnp.linalg.norm(psi)

            J, r = (np.asarray(jax.jit(f)(jax.device_put(point[0]))) for f in (jax.jacfwd(residual), residual))
        gauge = columns.images.gauge(point)[0]  # its weight is added to the normal equations
        held = np.outer(gauge, gauge) * np.trace(J.T @ J) / max(gauge @ gauge, 1e-300)
        assert at.costs[0] == pytest.approx(float(r @ r))
        assert np.allclose(gradient[0], J.T @ r) and np.allclose(matrix[0], J.T @ J + held)

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.get("layers") != "second"])
    def test_planted_samples_solve_their_equations(self, kind):
        """Every sample by itself, in all coordinates that the reduction may choose; and a sample that is not one of them does not."""
        system, truth = size(5, 3, 12, **kind).plant(0)
        reduced = Reduced.of(system, 3)
        columns = sep.Columns.of(reduced, 3)
        Z = reduced.project(truth.X)
        c = truth.c.reshape(3, -1)
        points = np.hstack([Z, c]) if c.shape[1] > 1 else Z
        costs = Position.of(columns.images, [columns.space], np.vstack([points, points[:1] + 0.1])).costs
        assert max(costs[:3]) < 1e-20 < 1e-6 < costs[3]

    @pytest.mark.once
    @pytest.mark.parametrize(
        ("config", "seed"),
        [
            (size(8, 8, 16), 1),
            slow(size(20, 6, 13), 0),
            slow(size(6, 6, 13, bias=True), 0),
            (size(5, 5, 12, "z + z^3"), 0),
            slow(size(6, 5, 11, "z^3", layers="first"), 0),
            (size(6, 4, 12, "z + z^2 + z^3", outputs=2), 0),
            slow(size(7, 6, 12, "z + z^4", bias=True), 3),
        ],
    )
    def test_recovery(self, config, seed):
        system, truth = config.plant(seed)
        found = idf.recover(system, samples=config.samples, method="separate")
        assert found.method == "separate" and found.match(truth.X, truth.c).errors.max() < 1e-9
        assert found.evidence["uniqueness"]["solutions"] == 1

    def test_all_starts_are_run_where_their_number_is_given(self):
        system, _ = size(4, 4, 12).plant(0)
        evidence = idf.recover(system, samples=4, method="separate", starts=600).evidence["uniqueness"]
        assert evidence["starts"] == 600 and evidence["converged"] >= 100 and evidence["unseen_share"] < 0.05
        assert evidence["candidates_estimated"] == pytest.approx(4, abs=1)

    def test_rounded_targets(self):
        """A gradient in single precision: errors within ten error bars."""
        system, truth = size(8, 6, 16).plant(0)
        W, a = (part.astype(np.float32).astype(float) for part in (system.target_W, system.target_a))
        found = idf.recover(idf.KKTSystem.gradient(system.network, W=W, a=a), samples=6, method="separate")
        match = found.match(truth.X, truth.c)
        assert 1e-8 < match.errors.max() < 1e-3
        assert (match.errors * np.linalg.norm(truth.X, axis=1) < 10 * found.error_bars.max()).all()

    @pytest.mark.parametrize(
        ("config", "n", "kind", "numbers"),
        [
            (size(5, 4, 7), 4, Failure.FEW_NEURONS, {"neurons": 7, "equations": 3, "unknowns": 4}),
            (size(3, 4, 20), 4, Failure.FEW_COORDINATES, {"samples": 4, "coordinates": 3}),
            (size(3, 2, 20, layers="second"), 2, Failure.FIRST_LAYER, {}),
            (size(4, 2, 20), 3, Failure.RANK, {}),
        ],
    )
    def test_where_it_does_not_apply(self, config, n, kind, numbers):
        system, _ = config.plant(0)
        with pytest.raises(RecoveryError, match="no method found a data set") as caught:
            idf.recover(system, samples=n, method="separate")
        obstacle = caught.value.tried["separate"]
        assert obstacle.kind is kind and dict(obstacle.numbers) == numbers
        assert caught.value.evidence["tried"]["separate"] == str(obstacle) and str(obstacle) in str(caught.value)


class TestBirth:
    @pytest.mark.once
    @pytest.mark.parametrize("method", ["birth", "splitting"])
    def test_minima_are_left_through_more_samples(self, method):
        system, truth = size(5, 4, 6).plant(1)
        found = idf.recover(system, samples=4, method=method)
        assert found.match(truth.X, truth.c).errors.max() < 1e-9 and found.method == method

    def test_splitting_that_finds_nothing_says_so(self):
        system, _ = size(3, 3, 7).plant(0)
        with pytest.raises(idf.RecoveryError, match="splitting: no solution from 1 starts"):
            idf.recover(system, samples=3, method="splitting", starts=1, seed=1)

    @pytest.mark.parametrize(("inputs", "samples", "width"), [alone(6, 7, 12), slow(10, 12, 20)])
    def test_more_samples_than_inputs(self, inputs, samples, width):
        """No factorisation of the target to start from, and hundreds of starts of variable projection find nothing."""
        system, truth = size(inputs, samples, width).plant(2)
        found = idf.recover(system, samples=samples)
        assert found.match(truth.X, truth.c).errors.max() < 1e-9 and found.method == "birth"

    @alone
    def test_costs_never_rise(self, monkeypatch):
        """More cycles from the same starts: smaller residuals, and more successes than plain starts have."""
        system, _ = size(5, 4, 6).plant(0)
        reduced, successes, smallest = Reduced.of(system, 4), [], []
        for cycles in (0, 6):
            monkeypatch.setattr("identify.recovery.birth.CYCLES", cycles)
            search = Search(0, 64, 1e-6)
            successes.append(len(list(birth(reduced, 4, search))))
            smallest.append(search.evidence["birth"]["smallest_residual"])
        assert successes[1] > successes[0] and smallest[1] <= smallest[0]


class TestCount:
    """How many samples, where the rank of the target is full."""

    @pytest.mark.parametrize(("sizes", "seed"), [alone((5, 5, 8), 1), slow((5, 6, 12), 0), slow((5, 8, 24), 0)])
    def test_the_smallest_number_that_solves(self, sizes, seed):
        system, truth = size(*sizes).plant(seed)
        found = idf.recover(system)
        assert found.match(truth.X, truth.c).errors.max() < 1e-9
        path = found.evidence["residual_by_samples"]
        assert found.evidence["samples_estimated"] == sizes[1] == max(path) and path[sizes[1]] < 1e-12
        assert list(path) == sorted(path) and all(residual > 1e-6 for n, residual in path.items() if n < sizes[1])

    @pytest.mark.slow
    @pytest.mark.once
    def test_too_many_candidates_are_pruned(self):
        system, truth = size(5, 4, 8).plant(0)
        work, found = counted(lambda n: Work(system, n, 0, {}, print), 5, lambda starts: Search(1, starts, 1e-6, one_is_enough=True))
        X, c, _ = work.polished(found)
        assert work.samples == 4 and idf.Ambiguity("none", 3).match(X, c, truth.X, truth.c).errors.max() < 1e-9

    @alone
    def test_no_number_serves(self):
        system, _ = size(3, 3, 8).plant(0)
        wrong = system.with_target(np.random.default_rng(0).standard_normal(system.n_equations))
        with pytest.raises(RecoveryError, match="none of 3 to . samples solves"):
            idf.recover(wrong, method="birth", starts=8)
        with pytest.raises(RecoveryError, match="samples: the budget was spent before 3 to . samples solved"):
            idf.recover(wrong, method="birth", budget=0.3)

    @alone
    def test_noise_is_not_fitted_by_more_samples(self):
        system, _ = size(4, 4, 8).plant(0)
        noise = np.random.default_rng(0).standard_normal(system.n_equations)
        noisy = system.with_target(system.target + 1e-3 * np.linalg.norm(system.target) * noise / np.linalg.norm(noise))
        with pytest.raises(RecoveryError, match="none of 4 to . samples solves"):
            idf.recover(noisy, method="birth")

    def test_labels_say_it(self):
        network = size(3, 3, 8, "z^3").plant(0)[0].network
        assert _samples(idf.KKTSystem.max_margin(network, labels=[1, -1, 1]), None, {}, print)[0] == 3


class TestFailure:
    @alone
    def test_the_error_says_what_was_tried(self, monkeypatch):
        monkeypatch.setattr("identify.recovery.polynomials.MOST_STARTS", dict.fromkeys(SEARCHES, 16))
        system, _ = size(4, 4, 6).plant(0)
        noise = np.random.default_rng(0).standard_normal(system.target_W.shape)
        wrong = idf.KKTSystem.gradient(system.network, W=noise, a=system.target_a)
        message = "no method found a data set.*separate: 6 neurons.*birth: no solution from 16 starts; projection: no solution"
        with pytest.raises(RecoveryError, match=message) as caught:
            idf.recover(wrong, samples=4)
        assert set(caught.value.evidence["tried"]) == {"algebraic", *AUTO}
        assert caught.value.evidence["projection"]["smallest_residual"] > 1e-3

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            (size(2, 3, 12, "z^3"), "count: 3 samples have 6 unknowns, and the target at most 4 independent numbers"),
            (size(6, 4, 12, "z + z^2"), "degree 2 with one output"),
            (size(4, 4, 3), "count: 4 samples have 20 unknowns, and the target at most 15"),
        ],
    )
    @pytest.mark.parametrize("method", ["auto", "projection"])
    def test_what_is_not_determined_is_not_searched_for(self, config, message, method):
        system, _ = config.plant(0)
        with pytest.raises(RecoveryError, match=message):
            idf.recover(system, samples=config.samples, method=method)

    def test_wrong_numbers_of_samples_are_not_searched_for(self):
        """Where the moments are determined, algebra has the last word."""
        system, _ = size(4, 4, 20).plant(0)
        with pytest.raises(RecoveryError, match="the best 3 samples leave a relative residual"):
            idf.recover(system, samples=3)

    def test_large_searches_are_left_out(self):
        system, _ = size(30, 30, 40).plant(0)
        with pytest.raises(RecoveryError, match="projection: too large: .* starts would take a minute"):
            idf.recover(system, samples=30)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"starts": 0}, "starts: received 0, expected an integer of at least 1"),
            ({"starts": True}, "starts: received True"),
            ({"budget": -1.0}, "budget: received -1.0, expected a positive number"),
            ({"tolerance": 0.0}, "tolerance: received 0.0, expected a positive number"),
            ({"tolerance": float("inf")}, "tolerance: received inf"),
            ({"method": "magic"}, "method: received 'magic', expected one of auto, algebraic, separate, projection, birth, splitting"),
        ],
    )
    def test_arguments(self, arguments, message):
        system, _ = size(2, 2, 4).plant(0)
        with pytest.raises(ValueError, match=message):
            idf.recover(system, samples=2, **arguments)


class TestSearch:
    def chunk(self, rng, count):
        return {"values": rng.random(count)}

    def run(self, **options):
        search = Search(3, 10, 1e-6, **options)
        return [outcome["values"] for outcome in search.chunks("name", self.chunk, 4)], search

    def test_chunks_are_independent_of_each_other(self):
        values, search = self.run()
        assert [len(part) for part in values] == [4, 4, 2] and search.starts_done == 10
        again, _ = self.run()
        assert all(np.array_equal(u, v) for u, v in zip(values, again, strict=True)) and not np.array_equal(values[0], values[1])
        other = [o["values"] for o in Search(4, 10, 1e-6).chunks("name", self.chunk, 4)]
        assert not np.array_equal(values[0], other[0])

    def test_a_spent_budget_ends_the_search(self):
        values, search = self.run(deadline=time.monotonic() - 1)
        assert len(values) == 1 and search.interrupted == "the budget was spent"

    def test_an_interrupt_ends_the_search_and_keeps_what_was_found(self):
        def chunk(rng, count):
            if search.starts_done:
                raise KeyboardInterrupt
            return self.chunk(rng, count)

        search = Search(3, 10, 1e-6)
        assert len(list(search.chunks("name", chunk, 4))) == 1 and search.interrupted == "interrupted from the keyboard"

    def test_checkpoints_are_used_and_belong_to_a_question(self, tmp_path):
        first = Search(3, 10, 1e-6)
        first.open_checkpoint(tmp_path / "folder", "a question")
        values = [o["values"] for o in first.chunks("name", self.chunk, 4)]

        def never(rng, count):
            raise AssertionError

        second = Search(3, 10, 1e-6)
        second.open_checkpoint(tmp_path / "folder", "a question")
        again = [o["values"] for o in second.chunks("name", never, 4)]
        assert all(np.array_equal(u, v) for u, v in zip(values, again, strict=True))
        with pytest.raises(ValueError, match="checkpoint: .* belongs to another system or to other options"):
            Search(3, 10, 1e-6).open_checkpoint(tmp_path / "folder", "another question")
        (tmp_path / "file").write_text("")
        with pytest.raises(ValueError, match="checkpoint: .* cannot be used"):
            Search(3, 10, 1e-6).open_checkpoint(tmp_path / "file", "a question")

    def test_an_interrupted_recovery_returns_its_best(self, monkeypatch):
        system, truth = size(4, 4, 12).plant(0)
        calls = []
        whole = sep.descend

        def interrupting(*arguments, **options):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return whole(*arguments, **options)

        monkeypatch.setattr(sep, "descend", interrupting)
        found = idf.recover(system, samples=4, method="separate", starts=5000)
        assert found.evidence["interrupted"] == "interrupted from the keyboard" and found.evidence["uniqueness"]["starts"] == 1024
        assert found.match(truth.X, truth.c).errors.max() < 1e-9

    def test_budget(self):
        system, _ = size(8, 8, 10).plant(0)
        started = time.monotonic()
        with pytest.raises(RecoveryError, match="birth: no solution from"):
            idf.recover(system, samples=8, budget=0.5)
        assert time.monotonic() - started < 60

    @alone
    def test_killed_and_resumed_bit_for_bit(self, tmp_path):
        """A process is killed in the middle of its starts; the next one goes on, to the bits of one that was never stopped."""
        script = tmp_path / "run.py"
        script.write_text(
            "import sys, numpy as np, identify as idf\n"
            "system, _ = idf.Configuration(inputs=4, samples=4, width=12, activation='z + z^2/2 + z^3').plant(0)\n"
            "found = idf.recover(system, samples=4, method='separate', starts=4096, checkpoint=sys.argv[1])\n"
            "np.savez(sys.argv[2], X=found.X, c=found.c, times=found.evidence['uniqueness']['times'])\n"
        )
        command = [sys.executable, str(script)]
        environment = os.environ | {"PYTHONPATH": str(Path(idf.__file__).parent.parent)}
        subprocess.run([*command, tmp_path / "whole", tmp_path / "whole.npz"], check=True, env=environment)
        process = subprocess.Popen([*command, tmp_path / "cut", tmp_path / "cut.npz"], env=environment)
        while process.poll() is None and len(list((tmp_path / "cut").glob("separate-*.npz"))) < 2:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "cut.npz").exists()
        assert 2 <= len(list((tmp_path / "cut").glob("separate-*.npz"))) < 8
        subprocess.run([*command, tmp_path / "cut", tmp_path / "cut.npz"], check=True, env=environment)
        with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "cut.npz") as cut:
            assert all(np.array_equal(whole[key], cut[key]) for key in ("X", "c", "times"))


class TestDevices:
    @alone
    def test_starts_are_spread_over_devices(self, tmp_path):
        """Two devices (of the host) give the solutions that one gives."""
        script = tmp_path / "run.py"
        script.write_text(
            "import sys, jax, numpy as np, identify as idf\n"
            "system, _ = idf.Configuration(inputs=5, samples=4, width=6, activation='z + z^2/2 + z^3').plant(0)\n"
            "found = idf.recover(system, samples=4, method='projection', starts=64)\n"
            "np.savez(sys.argv[1], X=found.X, devices=len(jax.devices()), times=found.evidence['uniqueness']['times'])\n"
        )
        results = []
        for count in (1, 2):
            flags = {"XLA_FLAGS": devices_of_the_host(count), "PYTHONPATH": str(Path(idf.__file__).parent.parent)}
            out = tmp_path / f"{count}.npz"
            subprocess.run([sys.executable, str(script), out], check=True, env=os.environ | flags)
            with np.load(out) as content:
                results.append(dict(content))
        assert [int(one["devices"]) for one in results] == [1, 2] and np.array_equal(results[0]["times"], results[1]["times"])
        assert np.allclose(results[0]["X"], results[1]["X"], rtol=1e-9)

    def test_chunks_shrink_with_memory(self, monkeypatch):
        assert vp.chunk_size(8, 8, 1) == vp.CHUNK
        monkeypatch.setenv("IDENTIFY_MEMORY", "0.001")
        assert 1 <= vp.chunk_size(8, 8, 1) < 8 and vp.chunk_size(400, 400, 1) == 1


class TestEvidence:
    def test_estimates_of_the_unseen(self):
        assert unseen("things", []) == {"converged": 0, "times": [], "unseen_share": 1.0, "things_estimated": None}
        assert unseen("things", [1]) == {"converged": 1, "times": [1], "unseen_share": 1.0, "things_estimated": None}
        assert unseen("things", [8, 1])["things_estimated"] is None
        found = unseen("things", [5, 1, 1, 1, 2])
        assert found["unseen_share"] == pytest.approx(0.3) and found["things_estimated"] == 5 + 3 * 2 / (2 * 2)

    def test_on_draws_from_known_shares(self):
        """The estimated share of the unseen against the true one, over many draws."""
        rng = np.random.default_rng(0)
        shares = rng.dirichlet(np.full(40, 0.5))
        estimated, true = [], []
        for _ in range(200):
            times = np.bincount(rng.choice(40, 60, p=shares), minlength=40)
            estimated.append(unseen("things", times[times > 0].tolist())["unseen_share"])
            true.append(shares[times == 0].sum())
        assert np.mean(estimated) == pytest.approx(np.mean(true), abs=0.01)

    def test_solutions_are_counted_modulo_the_group(self):
        tally = Tally(Ambiguity("sign", 3), 1e-6)
        X, c = np.array([[1.0, 2], [3, -1]]), np.array([[1.0], [2]])
        tally.add(X, c, 1e-13)
        tally.add(-X[::-1], -c[::-1], 1e-15)
        tally.add(X + 1, c, 1e-12)
        assert tally.times == [2, 1] and tally.residuals == [1e-15, 1e-12]
        assert tally.evidence(9)["solutions"] == 2 and tally.evidence(9)["starts"] == 9 and tally.evidence(9)["unfinished"] == 0

    @alone
    def test_runs_that_have_not_ended_are_no_solutions(self):
        """Where others have a residual far smaller; not where all are as large, as with a noisy target."""
        config = idf.Configuration(inputs=3, samples=3, width=3, activation="z + z^3")
        evidence = idf.recover(config.plant(seed=0)[0], samples=3, method="projection", starts=256, tolerance=1e-6).evidence["uniqueness"]
        assert evidence["unfinished"] > 0 and evidence["solutions"] <= 4 and sum(evidence["times"]) == evidence["converged"]

    def test_noisy_runs_are_counted_beside_others_as_large(self):
        noisy = Tally(Ambiguity("sign", 3), 1e-6)
        for k, residual in enumerate((1e-6, 3e-6, 2e-6)):
            noisy.add(np.full((1, 2), 1.0 + k), np.ones((1, 1)), residual)
        assert noisy.evidence(3)["solutions"] == 3 and Tally(Ambiguity("sign", 3), 1e-6).evidence(3)["solutions"] == 0


def test_starts_have_the_scale_of_the_network():
    """Scaling all weights by 1/s scales the starting samples by s."""
    system, _ = size(4, 3, 12).plant(0)
    net = Reduced.of(system, 4).network
    points = random_points(net, np.random.default_rng(1), 500)
    scaled = random_points(replace(net, W=net.W / 100), np.random.default_rng(1), 500)
    assert np.allclose(scaled, 100 * points)
    z = points @ net.W.T
    assert 0.2 < np.sqrt((z**2).mean()) < 3


@alone
def test_only_programs_of_its_own_are_compiled(caplog):
    """Whatever JAX does with arrays outside of them would be one more program for each size."""
    system, truth = size(6, 3, 11).plant(0)  # a size that no other test has
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        found = idf.recover(system, samples=3, method="birth", starts=16)
    assert found.match(truth.X, truth.c).errors.max() < 1e-8
    names = set(re.findall(r"Compiling (?:jit\()?(\w+)", caplog.text))
    assert "_attempts" in names and names <= {"_attempts", "_multipliers", "_removal"}


def test_nothing_is_compiled_that_would_outlast_the_budget(monkeypatch, caplog):
    """Compiling cannot be stopped; a search for which there is no time says so at once."""
    system, _ = size(5, 3, 13).plant(0)  # a size that no other test has
    monkeypatch.setattr(batched, "seconds_to_compile", lambda: 1e6)
    started = time.monotonic()
    with jax.log_compiles(), caplog.at_level(logging.WARNING), pytest.raises(RecoveryError, match="birth: no solution from") as error:
        idf.recover(system, samples=3, method="birth", budget=20.0)
    assert error.value.evidence["interrupted"] is Stopped.OUT_OF_TIME and time.monotonic() - started < 10
    assert not re.findall(r"Compiling (?:jit\()?(\w+)", caplog.text)


def test_the_price_of_compiling_is_measured():
    assert 0.1 < batched.seconds_to_compile() == batched.seconds_to_compile() < 300
