"""Curves of data with the same target, and second solutions proved in a box; on neighbours that have none, nothing is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flint import arb, ctx
from support.integer_systems import SYSTEMS
from support.oracles import exact_jacobian, exact_target, system_of

from identify.conditions.check import check
from identify.conditions.local import local
from identify.conditions.question import ambiguity_of, instance_of
from identify.conditions.reduction import reduce
from identify.conditions.setting import Setting
from identify.conditions.witnesses.box import certify
from identify.conditions.witnesses.curve import FAR, Curve, NoCurve, distance, follow
from identify.conditions.witnesses.equations import Equations, Frame, balls, rational, rationals
from identify.conditions.witnesses.krawczyk import contraction, refine
from identify.conditions.witnesses.second import _Search, second_solution, square_rows
from identify.conditions.witnesses.witness import witness
from identify.planting.configuration import Configuration
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Arithmetic, Scope, Verdict

CUBIC, ODD = "z + z^2 + z^3", "z + z^3"


def size(d: int, n: int, m: int, activation: str = CUBIC, **options) -> Configuration:
    return Configuration(inputs=d, samples=n, width=m, activation=activation, **options)


def question(system: KKTSystem, X, c, *, reduced: bool = True) -> Setting:
    """The setting in which ``check`` looks for witnesses, for given data."""
    X, c = np.array(X, float), np.array(c, float).reshape(len(X), -1)
    setting = Setting(instance_of(system, len(X), X, c), Scope("this network", "this data"), ambiguity_of(system), True, 0, system, (X, c))
    return reduce(setting)[1] if reduced else setting


def planted(config: Configuration, seed: int = 0, **options) -> Setting:
    system, truth = config.plant(seed)
    return question(system, truth.X, truth.c, **options)


def integer(name: str) -> Setting:
    """An instance in integers, from the table."""
    each = SYSTEMS[name]
    net = TwoLayerNetwork(np.array(each.W, float), np.array(each.a, float), each.activation)
    return question(system_of(net, each.X, each.c, each.layers), each.X, each.c)


class TestCurve:
    @pytest.mark.parametrize(
        ("config", "dimension"),
        [
            (size(2, 3, 4, "z^3", layers="first"), 2),
            (size(3, 3, 2), 4),
            (size(2, 3, 2, bias=True), 1),
            (size(5, 3, 2, "z^3", bias=True, layers="first"), 6),
            (size(3, 2, 1, outputs=2), 5),
            (size(5, 3, 2, "z^3", bias=True, layers="second"), 16),
            (size(6, 3, 3, "z^2", outputs=2, layers="first"), 3),
        ],
    )
    def test_every_point_has_the_same_target_and_leaves_the_orbit(self, config, dimension):
        report = check(config, seed=1)
        found, (system, truth) = report.witness, config.plant(1)
        assert report.verdict is Verdict.NOT_UNIQUE and (found.kind, found.dimension) == ("fibre", dimension)
        original = truth.X, truth.c.reshape(len(truth.X), -1)
        assert all(np.array_equal(u, v) for u, v in zip(found.family(0.0), original, strict=True))
        assert found.residual <= 1e-12 and distance(config.ambiguity, found.example, original) >= FAR
        away = []
        for s in (1e-6, 1e-3, 0.05, 0.1, 0.2, 0.3):
            try:
                data = found.family(s)
            except ValueError as error:
                assert "could be followed only to" in str(error) and s > 0.1
                break
            assert system.residual(*data) <= 1e-11
            away.append(distance(config.ambiguity, data, original))
        assert len(away) > 3 and (np.diff(away) > 0).all() and away[0] < 1e-4

    def test_what_was_asked_before_does_not_matter(self):
        setting = planted(size(3, 3, 2))
        (first, *_), (second, *_) = follow(setting, 4), follow(setting, 4)
        first(0.9), first(-0.4)
        assert all(np.array_equal(u, v) for s in (0.25, -0.25, 0.1) for u, v in zip(first(s), second(s), strict=True))

    def test_it_is_continuous_across_its_steps(self):
        curve, *_ = follow(planted(size(3, 3, 2)), 4)
        curve(0.5)
        for node in curve.nodes[1.0][1:4]:
            before, after = curve(node.s - 1e-9), curve(node.s + 1e-9)
            assert np.abs(before[0] - after[0]).max() < 1e-7

    def test_free_scales_are_no_change(self):
        """The curve fixes a linear form of each sample, so it does not move along the group."""
        setting = planted(size(2, 3, 4, "z^3", layers="first"))
        curve, (X, _), *_ = follow(setting, 2)
        assert np.allclose((curve(0.2)[0] * X).sum(axis=1), (X**2).sum(axis=1), rtol=1e-12)

    @pytest.mark.parametrize("factor", [1e-6, 1e6])
    def test_scale_of_the_data_does_not_matter(self, factor):
        system, truth = size(2, 3, 4, "z^3", layers="first").plant(0)
        moved = system_of(system.network, factor * truth.X, truth.c / factor, "first")
        report = check(moved, data=(factor * truth.X, truth.c / factor))
        assert report.witness.family is not None and report.witness.residual <= 1e-12

    def test_data_beyond_floating_point_have_a_proof_and_no_curve(self):
        _system, truth = size(2, 3, 4, "z^3", layers="first").plant(0)
        setting = planted(size(2, 3, 4, "z^3", layers="first"))
        setting = replace(setting, data=(1e120 * truth.X, truth.c))
        assert follow(setting, 2) is NoCurve.BADLY_SCALED

    def test_a_wrong_dimension_yields_no_curve_away_from_the_orbit(self):
        """Negative control: isolated data, called a curve, never give other data."""
        assert follow(planted(size(2, 2, 3)), 1) is NoCurve.NOT_CONVERGED

    def test_large_jacobians_are_left_alone(self, monkeypatch):
        monkeypatch.setattr("identify.conditions.witnesses.curve.WORK_LIMIT", 100)
        report = check(size(3, 3, 2))
        assert report.verdict is Verdict.NOT_UNIQUE and report.witness.family is None and report.witness.example is None
        assert "no curve was followed: the Jacobian" in report.witness.description

    def test_beyond_its_reach(self):
        curve, *_ = follow(planted(size(3, 3, 2)), 4)
        for s in (1.5, float("nan")):
            with pytest.raises(ValueError, match="s: received .*, expected a number between -1 and 1"):
                curve(s)

    def test_the_odd_activation_has_three_dimensions(self):
        """(2, 3, 4): the closed form is one curve; the fibre has dimension 3, and can be followed too."""
        setting = planted(size(2, 3, 4, ODD))
        isolated = local(setting)
        assert isolated.evidence["needed"] - isolated.evidence["rank"] == 3
        curve, original, example, residual = follow(setting, 3)
        assert isinstance(curve, Curve) and residual <= 1e-12 and distance(setting.ambiguity, example, original) >= FAR


class TestEquations:
    @pytest.mark.parametrize(
        ("config", "reduced"), [(size(3, 2, 2), True), (size(3, 2, 3, bias=True, layers="first"), True), (size(2, 2, 3, outputs=2), False)]
    )
    def test_rings_agree_with_exact_fractions(self, config, reduced):
        """In full coordinates the values are the target; in a frame, the rows that the frame maps to it."""
        setting = planted(config, reduced=reduced)
        X, c = setting.data
        k, (m, _) = setting.instance.coordinates, setting.system.network.W.shape
        frame = Frame.of_data(setting, rationals(X))
        own = np.eye(len(X), k, dtype=int) if reduced else rationals(X)
        value = Equations.rationals(setting.system, frame).value(np.hstack([own, rationals(c)]))
        rows, rest = value[: m * k].reshape(m, k), value[m * k :]
        full = rows @ frame.directions + (rest[:m, None] * frame.origin if setting.instance.observed.bias else 0)
        exact = exact_target(setting.system.network, setting.system.observed, X, c)
        assert [*full.ravel(), *rest] == [rational(v) for v in exact]
        with ctx.workprec(200):
            in_balls = Equations.balls(setting.system, Frame.of_data(setting, balls(X)))
            enclosed = in_balls.value(np.hstack([own if reduced else balls(X), balls(c)]))
            assert all(ball.overlaps(arb(v)) and ball.rad() < 1e-40 for ball, v in zip(enclosed, value, strict=True))

    def test_derivatives_in_balls(self):
        setting = planted(size(2, 2, 3, outputs=2), reduced=False)
        X, c = setting.data
        with ctx.workprec(200):
            J = Equations.balls(setting.system, Frame.of_data(setting, balls(X))).jacobian(np.hstack([balls(X), balls(c)]))
            exact = exact_jacobian(setting.system.network, setting.system.observed, X, c)
            assert J.shape == exact.shape
            assert all(u.overlaps(arb(rational(v))) and u.rad() < 1e-40 for u, v in zip(J.flat, exact.flat, strict=True))


class TestKrawczyk:
    """x^2 + y^2 = 5, x y = 2, with the zeros (1, 2), (2, 1) and their negatives."""

    @staticmethod
    def value(v):
        return np.array([v[0] ** 2 + v[1] ** 2 - 5, v[0] * v[1] - 2], dtype=object)

    @staticmethod
    def jacobian(v):
        return np.array([[2 * v[0], 2 * v[1]], [v[1], v[0]]], dtype=object)

    @pytest.mark.parametrize(
        ("centre", "holds"), [((1, 2), True), ((1.01, 2), True), ((1.2, 2), False), ((1.5, 1.5), False), ((0, 0), False)]
    )
    def test_boxes_with_a_zero_and_without(self, centre, holds):
        factor = contraction(self.value, self.jacobian, [arb(v) for v in centre], [arb(0.1)] * 2)
        assert (factor is not None) is holds and (not holds or factor < 1)

    def test_a_box_with_two_zeros_is_refused(self):
        assert contraction(self.value, self.jacobian, [arb(1.5), arb(1.5 + 1e-3)], [arb(0.6)] * 2) is None

    def test_a_double_zero_is_never_proved(self):
        """(x - 1)^2 has a zero of multiplicity two at the centre of the box."""
        square = (lambda v: np.array([(v[0] - 1) ** 2], dtype=object), lambda v: np.array([[2 * (v[0] - 1)]], dtype=object))
        assert contraction(*square, [arb(1)], [arb(0.1)]) is None and contraction(*square, [arb(1.001)], [arb(0.1)]) is None

    def test_refinement(self):
        with ctx.workprec(300):
            y = refine(self.value, self.jacobian, [1.1, 1.9])
            assert abs(y[0] - 1) < 1e-60 and abs(y[1] - 2) < 1e-60 and refine(self.value, self.jacobian, [1.0, 1.0]) is None


class TestSecondSolution:
    def test_the_real_orbits_of_an_integer_instance(self):
        """Its Groebner basis has three: the data, one that the search finds, and one far away that is proved from its digits."""
        setting = integer("z+z^2+z^3-both-2x2x2")
        near = np.array([[2.5664259763, -2.3627951747], [0.154308267, -0.7289638652]]), np.array([[-0.4804942187], [-8.9942616433]])
        far = np.array([[-0.5493483243, 0.2006884522], [0.5116139097, -0.0426767597]]), np.array([[281.0145144], [82.1985412662]])
        found = second_solution(setting)[1].example
        assert distance(setting.ambiguity, found, near) < 1e-8
        proof = certify(setting, square_rows(setting).rows, *far)
        assert distance(setting.ambiguity, (proof.X, proof.c), far) < 1e-6

    @pytest.mark.parametrize(
        ("config", "seed"),
        [
            (size(2, 2, 2), 0),
            (size(3, 2, 2), 1),
            (size(3, 3, 3, ODD), 4),
            (size(3, 3, 3, "z^3", layers="first"), 0),
            (size(4, 2, 3, layers="first", outputs=2, bias=True), 3),
            (size(3, 3, 3, layers="first", bias=True), 4),
            (size(2, 2, 2, outputs=2), 2),
        ],
    )
    def test_truth_table_and_more_outputs_and_biases(self, config, seed):
        setting = planted(config, seed)
        condition, found = second_solution(setting)
        assert condition.is_proved and condition.arithmetic is Arithmetic.PROOF and condition.name == "witness"
        assert (found.kind, found.dimension, found.family) == ("second solution", 0, None)
        assert found.residual < 1e-12 and distance(config.ambiguity, found.example, setting.data) > 1e-3
        first, second = (exact_target(setting.system.network, setting.system.observed, *data) for data in (setting.data, found.example))
        scale = max(abs(v) for v in first)
        assert max(abs(u - v) for u, v in zip(first, second, strict=True)) < 1e-12 * scale
        assert len(condition.evidence["equations"]) == local(setting).evidence["needed"]
        assert condition.evidence["contraction"] < 1 and np.abs(found.example[1]).max(axis=1).all()
        assert witness(setting, local(setting))[1] is None

    @pytest.mark.parametrize("name", [name for name, each in SYSTEMS.items() if each.orbits == 1])
    def test_unique_instances_have_none(self, name):
        assert second_solution(integer(name), starts=12) is None

    @pytest.mark.parametrize("config", [size(2, 2, 3), size(3, 3, 4), size(3, 3, 4, ODD), size(3, 2, 3)])
    def test_more_equations_than_unknowns_are_left_alone(self, config):
        setting = planted(config)
        assert square_rows(setting) is None and second_solution(setting) is None

    @pytest.mark.parametrize("config", [size(2, 2, 2, "z^3", layers="first"), size(2, 2, 3, ODD)])
    def test_square_systems_with_one_orbit_yield_none(self, config):
        setting = planted(config)
        assert square_rows(setting) is not None and second_solution(setting, starts=24) is None

    def test_the_search_finds_the_data_again_and_does_not_call_them_others(self):
        setting = planted(size(2, 2, 2, "z^3", layers="first"))
        rng = np.random.default_rng(0)
        search = _Search(setting)
        found = [data for _, data in search.descend(rng, 24)]
        assert found and min(distance(setting.ambiguity, data, setting.data) for data in found) < 1e-6
        rows = square_rows(setting).rows
        assert all(certify(setting, rows, *data) is None for data in found)

    @pytest.mark.parametrize("config", [size(2, 2, 2), size(3, 3, 3, "z^3", layers="first"), size(3, 3, 3, ODD)])
    def test_images_of_the_data_are_refused(self, config):
        setting = planted(config)
        X, c = setting.data
        order, rows = [*range(1, len(X)), 0], square_rows(setting).rows
        t = {"none": 1.0, "sign": -1.0, "scaling": 1.7}[setting.ambiguity.group]
        image = setting.ambiguity.act(X, c, np.full(len(X), t)) if t != 1 else (X, c)
        assert certify(setting, rows, image[0][order], image[1][order]) is None

    def test_corrupted_solutions_are_refused(self):
        setting = integer("z+z^2+z^3-both-2x2x2")
        X, c = second_solution(setting)[1].example
        rows = square_rows(setting).rows
        assert certify(setting, rows, X, c) is not None
        for wrong in ((X + 0.3, c), (X, -c), (2 * X, c), (X[[0, 0]], c)):
            proof = certify(setting, rows, *wrong)
            assert proof is None or distance(setting.ambiguity, (proof.X, proof.c), setting.data) > 1e-2
        assert certify(setting, (*rows[:-1], rows[0]), X, c) is None
        assert certify(setting, rows, np.zeros_like(X), np.zeros_like(c)) is None

    def test_repeated_neurons_add_equations_that_follow(self):
        """Nine equations for six unknowns, of rank six over the rationals; a neuron that shows more makes them too many."""
        each = SYSTEMS["z+z^2+z^3-both-2x2x2"]
        W, a = np.array(each.W, float), np.array(each.a, float)
        dead = np.zeros((1, 2))
        for w, b, square in ((W[:1], 3.0, True), (W[:1] + np.array([[1, 0]]), 3.0, False), (dead, 0.0, True), (dead, 3.0, False)):
            net = TwoLayerNetwork(np.vstack([W, w]), np.append(a, b), each.activation)
            setting = question(system_of(net, each.X, each.c), each.X, each.c)
            assert (square_rows(setting) is not None) is square and (second_solution(setting) is not None) is square

    def test_only_for_given_data_and_nothing_else_in_force(self):
        setting = integer("z+z^2+z^3-both-2x2x2")
        others = (
            replace(setting, scope=Scope("this network", "generic data")),
            replace(setting, equations_are_complete=False),
            replace(setting, data=None),
            replace(setting, system=None),
            replace(setting, system=replace(setting.system, regime="max-margin")),
        )
        assert all(second_solution(other) is None for other in others)

    def test_bounded_work(self):
        setting = integer("z+z^2+z^3-both-2x2x2")
        assert second_solution(setting, seconds=-1) is None and second_solution(setting, starts=1) is None
        assert square_rows(planted(size(8, 8, 8))) is None

    def test_one_seed_one_answer(self):
        setting = integer("z+z^2+z^3-both-2x2x2")
        (first, one), (second, other) = second_solution(setting), second_solution(setting)
        assert first == second and np.array_equal(one.example[0], other.example[0])

    @pytest.mark.parametrize("factor", [1e-5, 1e5])
    def test_scale_of_the_data_does_not_matter(self, factor):
        """(x, c) and w scaled against each other: the same question, and the same answer."""
        each = SYSTEMS["z+z^2+z^3-both-2x2x2"]
        X = factor * np.array(each.X, float)
        net = TwoLayerNetwork(np.array(each.W) / factor, np.array(each.a, float), each.activation)
        assert second_solution(question(system_of(net, X, each.c), X, each.c)) is not None
