"""Descents by products: against the matrices that they do not form, and in the search for a whole batch."""

from __future__ import annotations

import numpy as np
import pytest
from support.separation import UNKNOWNS, equations

import identify as idf
from identify.recovery.separation import membership, products, search
from identify.recovery.separation.dense import Updates
from identify.recovery.separation.forward import Chart, HiddenActivations
from identify.recovery.separation.membership import Position, normal_equations
from identify.recovery.separation.peel import Peeling
from identify.recovery.separation.products import Equations
from identify.recovery.separation.search import SAME, _distinct
from identify.recovery.separation.subspace import Subspace


class TestEquations:
    @pytest.mark.parametrize("lifted", [(True, False), (False, True)])
    def test_products_are_those_of_the_matrices(self, lifted):
        images, spaces, points, rng = equations(lifted)
        at = Position.of(images, spaces, points + 0.1 * rng.standard_normal(points.shape))
        own = Equations.of(images, [R[:, :m].astype(np.float32) for R, m in zip(spaces, (40, 30), strict=True)], at)
        matrix, gradient = normal_equations(images, spaces, at)
        moves = rng.standard_normal(points.shape)
        assert np.allclose(own.gradient, gradient, rtol=1e-4, atol=1e-5 * np.abs(gradient).max())
        expected = np.einsum("sij,sj->si", matrix, moves)
        assert np.allclose(own.times(moves.astype(np.float32)), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
        steps = own.steps(np.full(3, 1e-3))
        for H, g, step in zip(matrix, gradient, steps, strict=True):
            damped = H + 1e-3 * np.trace(H) / UNKNOWNS * np.eye(UNKNOWNS)
            assert np.linalg.norm(damped @ step - g) < 2 * products.LOOSE * np.linalg.norm(g)

    def test_both_descents_end_at_the_same_points(self):
        images, spaces, points, rng = equations((True, True), seed=1)
        points = points[:2]  # the third one is not in the subspaces
        starts = points + 0.02 * rng.standard_normal(points.shape)
        own = products.descend(images, spaces, starts, steps=60, enough=1e-24)
        other = membership.descend(images, spaces, starts, steps=60, enough=1e-24)
        assert np.abs(other.points - points).max() < 1e-8
        assert np.abs(own.points - points).max() < 1e-8

    def test_costs_never_rise_and_a_spent_budget_leaves_the_starts(self):
        images, spaces, points, rng = equations((True, True), seed=2)
        starts = points + rng.standard_normal(points.shape)
        before = Position.of(images, spaces, starts).costs
        assert (products.descend(images, spaces, starts, steps=5).costs <= before).all()
        assert np.array_equal(products.descend(images, spaces, starts, steps=5, go_on=lambda: False).points, starts)

    def test_points_that_nothing_moves_stay(self):
        images, spaces, points, _ = equations((True, True))
        flat = Chart(images.chart.origin, images.chart.basis, images.chart.offset, np.zeros_like(images.chart.slopes))
        own = products.descend(HiddenActivations(images.layers, flat, images.lifted), spaces, points, steps=3)
        assert np.array_equal(own.points, points)


class TestSearch:
    def recovered(self, monkeypatch, by_products, by_matrices):
        """Errors of a batch, and how often each kind of descent was asked for."""
        calls = {"products": 0, "matrices": 0}

        def counted(name, descent):
            def count(*args, **options):
                calls[name] += 1
                return descent(*args, **options)

            return count

        monkeypatch.setattr(products, "descend", counted("products", by_products))
        monkeypatch.setattr(search, "descend", counted("matrices", by_matrices))
        monkeypatch.setattr(search, "MANY", 1)
        system, truth = idf.Configuration(activation="relu", inputs=30, samples=12, width=(64, 48), outputs=4, bias=True).plant(0)
        return idf.recover(system).match(truth.X, truth.c).errors.max(), calls

    def test_a_batch_is_found_by_products(self, monkeypatch):
        error, calls = self.recovered(monkeypatch, products.descend, membership.descend)
        assert error < 1e-10 and calls["products"] and not calls["matrices"]

    def test_a_round_without_hits_falls_back_on_matrices(self, monkeypatch):
        def stays(images, spaces, starts, **_):
            return Position.of(images, spaces, np.array(starts))

        error, calls = self.recovered(monkeypatch, stays, membership.descend)
        assert error < 1e-10 and calls["products"] and calls["matrices"]

    def test_neurons_that_failed_come_after_all_others(self):
        system, _ = idf.Configuration(activation="relu", inputs=30, samples=12, width=(64, 48), outputs=4, bias=True).plant(0)
        updates = Updates.of(system)
        own = Peeling(updates.stack, 1, [Subspace.of(matrix, 12) for matrix in updates.matrices[:2]], updates.lifted[:2])
        rows = np.arange(64)
        first = own._fresh(rows, rows, 0)[:10]
        own._note(rows[first], np.array([0, 3]), 0)
        assert np.array_equal(own._fresh(rows, rows, 0), rows[10:])  # no start is tried twice with the same samples known
        failed = np.delete(first, [0, 3])
        assert np.array_equal(own._fresh(rows, rows, 1), [*np.delete(rows, failed), *failed])


def test_large_jacobians_are_formed_a_few_at_a_time(monkeypatch):
    images, spaces, points, rng = equations((True, False))
    starts, sizes = points[np.array([0, 1, 2, 0, 1])] + 0.1 * rng.standard_normal((5, UNKNOWNS)), []
    expected = membership.descend(images, spaces, starts, steps=4)
    whole = membership.normal_equations
    monkeypatch.setattr(membership, "normal_equations", lambda i, s, at: (sizes.append(len(at.points)), whole(i, s, at))[1])
    monkeypatch.setattr(membership, "AT_ONCE", 2 * UNKNOWNS * 71)
    assert np.allclose(membership.descend(images, spaces, starts, steps=4).points, expected.points, rtol=1e-9)
    assert max(sizes) == 2


def test_distinct_points_are_the_first_of_each_group():
    rng = np.random.default_rng(0)
    for _ in range(40):
        base = rng.standard_normal((int(rng.integers(1, 30)), int(rng.integers(1, 6))))
        points = base[rng.integers(0, len(base), int(rng.integers(0, 150)))]
        points = points + rng.choice([0, 0.3, 0.9, 1.2, 3]) * SAME * rng.standard_normal(points.shape)
        chosen = []
        for point in points:
            if all(np.linalg.norm(other - point) > SAME * np.linalg.norm(point) for other in chosen):
                chosen.append(point)
        assert np.array_equal(_distinct(points), np.array(chosen).reshape(-1, points.shape[1]))
