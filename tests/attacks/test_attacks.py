"""The published attacks: objectives against formulas written out, known minima, splits, and runs that repeat and resume."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax
from support.marks import thinned

import identify as idf
from identify.attacks import MLP, published, smoothing
from identify.attacks.descent import DivergedError
from identify.attacks.objectives import Attack, in_order, objective
from identify.attacks.priors import Box, no_penalty
from identify.attacks.reconstruct import reconstruct
from identify.attacks.runs import Splitting, Trial
from identify.attacks.tuning import RandomSearch
from identify.base.options import HAIM_PRESETS
from identify.problem.arrays import ShapeError
from identify.problem.network import Network, from_parameters
from identify.problem.signals import forward
from identify.splitting.matrices import splitting_matrices

CUBIC = "z + z^2/2 + z^3"


def network(seed=0, sizes=(4, 6, 5, 1), activation="relu", biases=(1,), scale=1.0) -> Network:
    rng = np.random.default_rng(seed)
    parts = {f"W{k}": scale * rng.standard_normal((out, inside)) for k, (inside, out) in enumerate(itertools.pairwise(sizes), 1)}
    return from_parameters(parts | {f"b{k}": rng.standard_normal(sizes[k]) for k in biases}, activation)


def outputs(parameters, X, nonlinearity):
    weights, biases = in_order(parameters)
    return forward(weights, biases, [lambda z, order: nonlinearity(z)] * (len(weights) - 1), X).outputs


def per_sample_gradients(net: Network, X, nonlinearity) -> list[dict]:
    """By automatic differentiation, one sample at a time: the oracle."""
    with jax.enable_x64(True):
        parameters = {name: jax.device_put(value) for name, value in net.parameters.items()}
        of_one = jax.jit(jax.jacrev(lambda p, x: outputs(p, x[None], nonlinearity)[0]))
        return [of_one(parameters, jax.device_put(x)) for x in X]


NETWORKS = [
    {"sizes": (4, 6, 1)},
    {"sizes": (4, 6, 5, 1)},
    {"sizes": (3, 8, 1), "activation": CUBIC, "biases": ()},
    {"sizes": (3, 5, 4, 3), "biases": (1, 2, 3)},
]


class TestNetworks:
    @pytest.mark.parametrize("kind", NETWORKS)
    def test_outputs_are_layers_composed(self, kind):
        net, X = network(**kind), np.random.default_rng(1).standard_normal((7, kind["sizes"][0]))
        expected = X
        for k in range(1, net.depth + 1):
            expected = expected @ net.parameters[f"W{k}"].T + net.parameters.get(f"b{k}", 0)
            if k < net.depth:
                expected = net.activation(expected)
        assert np.allclose(net(X), expected, rtol=1e-13)
        assert repr(net).startswith(f"Network({'-'.join(map(str, kind['sizes']))}, {net.activation}, ")

    def test_two_layer_networks(self):
        two, truth = idf.Configuration(inputs=3, samples=2, width=5, activation=CUBIC, bias=True).plant(0)
        assert MLP.of(two.network) is two.network
        named = MLP(two.network.parameters, CUBIC)
        assert isinstance(named, Network) and np.array_equal(named(truth.X)[:, 0], two.network(truth.X))

    @given(st.floats(-3, 3, allow_subnormal=False), st.floats(1, 200))  # XLA may flush subnormal numbers to zero
    @settings(max_examples=30)
    def test_smoothed_relu(self, z, sharpness):
        """Values of ReLU, slope sigmoid, curvature sharpness · s(1 - s); the outer derivative is not that of the hard step."""
        with jax.enable_x64(True):
            slope = jax.grad(smoothing.sigmoid_relu)
            s = expit(sharpness * z)
            assert float(smoothing.sigmoid_relu(z, sharpness)) == max(z, 0)
            assert float(slope(z, sharpness)) == pytest.approx(s, rel=1e-9, abs=1e-12)
            assert float(jax.grad(slope)(z, sharpness)) == pytest.approx(sharpness * s * (1 - s), rel=1e-6, abs=1e-12)
            assert float(smoothing.softplus_relu(z, sharpness)) == pytest.approx(
                np.logaddexp(0, sharpness * z) / sharpness, rel=1e-9, abs=1e-12
            )

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"W1": np.ones((3, 2))}, "expected W1, W2"),
            ({"W1": np.ones((3, 2)), "W2": np.ones((1, 4))}, r"W2: received shape \(1, 4\)"),
            ({"W1": np.ones((3, 2)), "W2": np.ones(3), "b3": np.ones(1)}, "received W1, W2, b3"),
            ({"W1": np.ones((3, 2)), "W2": np.full(3, np.nan)}, "NaN"),
        ],
    )
    def test_bad_parameters(self, parameters, message):
        with pytest.raises(ShapeError, match=message):
            MLP(parameters)


def written_out(net, X, weights, scalar_gradients, nonlinearity, M, target):
    """The squared residual, from per-sample gradients."""
    total = {name: np.array(value) for name, value in target.items()}
    for gradients, weight, labels in zip(per_sample_gradients(net, X, nonlinearity), weights, scalar_gradients, strict=True):
        for name in total:
            total[name] -= np.tensordot(weight * labels, np.asarray(gradients[name]), axes=1) / M
    return sum((part**2).sum() for part in total.values())


class TestObjectives:
    @pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind["sizes"][-1] == 1])
    def test_haim(self, kind):
        net = network(**kind)
        attack = published.haim(net, bound=0.4, sharpness=7.0)
        X, c = 1.5 * np.random.default_rng(2).standard_normal((5, net.n_inputs)), np.random.default_rng(3).uniform(0, 1, (5, 1))
        labels = np.array([-1, -1, 1, 1, 1.0])
        smooth = (lambda z: smoothing.sigmoid_relu(z, 7.0)) if net.activation == smoothing.RELU else smoothing.exact(net.activation)
        kkt = written_out(net, X, c, labels[:, None], smooth, 5, net.parameters)
        prior = (np.maximum(X - 1, 0) ** 2 + np.maximum(-1 - X, 0) ** 2).sum()
        hinge = 5 * (np.maximum(0.4 - c, 0) ** 2).sum()
        assert _value(attack.objective(5), X, c) == pytest.approx(kkt + prior + hinge, rel=1e-10)
        assert _distance(attack.objective(5), X, c) == pytest.approx(kkt, rel=1e-10)

    def test_multiclass(self):
        net = network(sizes=(3, 5, 4, 3), biases=(1,))
        X, c = np.random.default_rng(2).standard_normal((6, 3)), np.random.default_rng(3).uniform(0, 1, (6, 1))
        runner_up = [
            max((o for o in range(3) if o != label), key=lambda o: f[o]) for label, f in zip(np.arange(6) // 2, net(X), strict=True)
        ]
        signs = np.eye(3)[np.arange(6) // 2] - np.eye(3)[runner_up]
        kkt = written_out(net, X, c, signs, lambda z: smoothing.sigmoid_relu(z, 9.0), 6, net.parameters)
        attack = published.buzaglo(net, kind="multiclass", bound=0.1, sharpness=9.0)
        assert _distance(attack.objective(6), X, c) == pytest.approx(kkt, rel=1e-10)

    @pytest.mark.parametrize("both", [False, True])
    @pytest.mark.parametrize("linearised", [False, True])
    def test_loo(self, both, linearised):
        start, end = network(0, (3, 5, 4, 2), biases=(1, 2, 3)), network(1, (3, 5, 4, 2), biases=(1, 2, 3))
        attack = published.loo(start, end, linearised=linearised, both_kernels=both, low=-0.5, high=np.array([0.5, 1.0, 2.0]))
        X, c = np.random.default_rng(2).standard_normal((4, 3)), np.random.default_rng(3).standard_normal((4, 2 * (1 + both)))
        change = {name: end.parameters[name] - start.parameters[name] for name in start.parameters}
        smooth = lambda z: smoothing.softplus_relu(z, 11.0)  # noqa: E731
        first = start if linearised else end
        at = [(first, c[:, :2])] + [(start, c[:, 2:])] * both
        total = {name: value.copy() for name, value in change.items()}
        for net, weights in at:
            for gradients, weight in zip(per_sample_gradients(net, X, smooth), weights, strict=True):
                for name, gradient in gradients.items():
                    total[name] -= np.tensordot(weight, np.asarray(gradient), axes=1) / (4 * 2)
        prior = 0.1 / 3 * (np.maximum(X - [0.5, 1, 2], 0) ** 2 + np.maximum(-0.5 - X, 0) ** 2).sum()
        expected = sum((part**2).sum() for part in total.values()) + prior
        assert _value(attack.objective(4), X, c) == pytest.approx(expected, rel=1e-10)

    @pytest.mark.parametrize(("kind", "k"), thinned([(kind, k) for k in (40, 3, 1) for kind in NETWORKS]))
    def test_products_of_signals_are_the_distance(self, kind, k):
        net = network(**kind)
        attack = published.buzaglo(net, kind="weight-decay", sharpness=5.0)
        X, c = attack.start(np.random.default_rng(0), k)
        with jax.enable_x64(True):
            made = attack.objective(k)
            at = (jax.device_put(X + 0.3), jax.device_put(c))
            one, by_products = jax.jit(jax.value_and_grad(lambda X, c: made.products(X, c), (0, 1)))(*at)
            other, by_distance = jax.jit(jax.value_and_grad(lambda X, c: made.distance(X, c), (0, 1)))(*at)
            assert float(one) == pytest.approx(float(other), rel=1e-11)
            for a, b in zip(by_products, by_distance, strict=True):
                assert np.allclose(a, b, rtol=1e-7, atol=1e-9 * np.abs(b).max())


_values = jax.jit(lambda made, X, c: made(X, c))
_distances = jax.jit(lambda made, X, c: made.distance(X, c))


def _value(made, X, c):
    with jax.enable_x64(True):
        return float(_values(made, jax.device_put(X), jax.device_put(c)))


def _inherited(made, parents, shares):
    with jax.enable_x64(True):
        return made.inherit(jnp.asarray(parents), jnp.asarray(shares, float))


def _distance(made, X, c):
    with jax.enable_x64(True):
        return float(_distances(made, jax.device_put(X), jax.device_put(c)))


class TestTruth:
    """Where the stationarity equation holds by construction, the true data with the multipliers that theory gives have residual zero."""

    def test_weight_decay_cross_entropy(self):
        """theta := -(1/(n decay)) sum of loss gradients, as target; multipliers (softmax - onehot)/decay up to sign."""
        net, decay, n = network(sizes=(4, 6, 3), biases=(1,)), 0.1, 5
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((n, 4)), rng.integers(0, 3, n)
        gamma = -(np.exp(log_softmax(net(X), axis=1)) - np.eye(3)[y]) / decay
        made = published.buzaglo(net, kind="weight-decay", sharpness=1e9).objective(n)
        with jax.enable_x64(True):
            parameters = {name: jax.device_put(value) for name, value in net.parameters.items()}

            def loss(p):
                return -jax.nn.log_softmax(outputs(p, jax.device_put(X), smoothing.exact(net.activation)))[jnp.arange(n), y].mean()

            target = jax.tree.map(lambda g: -g / decay, jax.jit(jax.grad(loss))(parameters))
        assert _distance(replace(made, change=target), X, gamma) < 1e-20

    def test_lazy_training_of_a_linearised_network(self):
        """Duals n C K^-1 (y - f), with K the kernel at the start, solve the equation of squared loss exactly."""
        start, n = network(3, (3, 40, 1), activation=CUBIC, biases=(1,)), 4
        rng = np.random.default_rng(1)
        X, y = rng.standard_normal((n, 3)), rng.standard_normal(n)
        of_all = per_sample_gradients(start, X, smoothing.exact(start.activation))
        J = np.array([np.concatenate([np.asarray(of_one[name])[0].ravel() for name in start.parameters]) for of_one in of_all])
        dual = np.linalg.solve(J @ J.T, y - start(X)[:, 0])
        moved, at = {}, 0
        for name, value in start.parameters.items():
            moved[name] = value + (J.T @ dual)[at : at + value.size].reshape(value.shape)
            at += value.size
        attack = published.loo(start, start.with_parameters(moved), linearised=True)
        assert _distance(attack.objective(n), X, n * dual[:, None]) < 1e-18


class TestSplits:
    def test_a_split_alone_changes_nothing(self):
        made = published.haim(network(), bound=0.5).objective(4)
        X, c = np.random.default_rng(0).standard_normal((4, 4)), np.full((4, 1), 0.3)
        parents, shares = np.array([0, 1, 2, 3, 1]), np.array([1, 0.5, 1, 1, 0.5])
        child = _inherited(made, parents, shares)
        before = _value(made, X, c)
        hinge = [5 * (0.5 - 0.3) ** 2, 2 * 5 * (0.25 - 0.15) ** 2]
        assert _value(child, X[parents], c[parents] * shares[:, None]) == pytest.approx(before - hinge[0] + hinge[1], rel=1e-12)
        free = published.buzaglo(network(), kind="weight-decay").objective(4)
        split = _value(_inherited(free, parents, shares), X[parents], c[parents] * shares[:, None])
        assert split == pytest.approx(_value(free, X, c), rel=1e-12)

    def test_splitting_matrix_is_the_curvature_against_the_residual(self):
        """S_j = -(2/M) Hess_x <R, lambda_j y_j grad f(x_j)>, and children at x ± eps v change L by eps^2/2 v S v."""
        attack = published.buzaglo(network(sizes=(3, 6, 1), activation=CUBIC), kind="weight-decay", prior=Box(-100.0, 100.0))
        made = attack.objective(3)
        X, c = np.random.default_rng(0).standard_normal((3, 3)), np.random.default_rng(1).standard_normal((3, 1))
        S = splitting_matrices(made, X, c)
        with jax.enable_x64(True):
            R = jax.jit(lambda X, c: jax.tree.map(lambda t, g: t - g, made.target, made.gradients(X, c)))(X, c)

            def against(x, own, label):
                one = replace(made, labels=label[None]).gradients(x[None], own[None])
                return sum((R[name] * one[name]).sum() for name in R)

            of_one = jax.jit(jax.hessian(against))  # one program for all three
            for j in range(3):
                curvature = of_one(X[j], c[j], made.labels[j])
                assert np.allclose(S[j], -2 * np.asarray(curvature), rtol=1e-8, atol=1e-10)
        v, eps = np.array([0.6, -0.8, 0]), 1e-3
        children = np.concatenate([X[:2], (X[2] + eps * v)[None], (X[2] - eps * v)[None]])
        parents, shares = np.array([0, 1, 2, 2]), np.array([1, 1, 0.5, 0.5])
        gained = _value(_inherited(made, parents, shares), children, c[parents] * shares[:, None]) - _value(made, X, c)
        assert gained == pytest.approx(eps**2 / 2 * v @ S[2] @ v, rel=1e-4)


def quick(seed=0, rate=1e-3) -> Attack:
    """A small polynomial network whose parameters are a sum of gradients at three samples."""
    net = network(seed, (3, 12, 1), activation=CUBIC, biases=(1,), scale=0.5)
    X = np.random.default_rng(5).uniform(-0.8, 0.8, (3, 3))
    made = published.buzaglo(net, kind="weight-decay", rate=rate, multiplier_rate=rate, start_scale=0.3)
    with jax.enable_x64(True):
        target = made.objective(3).gradients(jax.device_put(X), jnp.asarray([[3.0], [-3.0], [3.0]]))
    return replace(made, objective=lambda k, inner=made.objective: replace(inner(k), change=target))


class TestReconstruct:
    def test_runs_are_ordered_repeat_and_agree_with_the_optimiser(self):
        found = reconstruct(quick(), candidates=4, steps=600, trials=3)
        values = [trial.value for trial in found.trials]
        assert values == sorted(values) and {trial.seed for trial in found.trials} == {0, 1, 2}
        assert all(trial.history[0, 1] > trial.value and trial.iterations == 600 for trial in found.trials)
        again = reconstruct(quick(), candidates=4, steps=600, trials=3)
        assert np.array_equal(found.pooled, again.pooled) and found.pooled.shape == (12, 3)
        assert all(0 <= trial.agreement <= 1 for trial in found.trials) and "best of 3 runs" in repr(found)

    def test_splits_help_a_run_that_is_stuck(self):
        """One candidate for three samples: its minimum is a strict saddle once it may split."""
        plain = reconstruct(quick(), candidates=1, steps=3000)
        grown = reconstruct(quick(), candidates=1, steps=3000, splitting=Splitting(every=500, most=2, cap=4))
        assert len(grown.X) > 1 and grown.trials[0].value < 0.5 * plain.trials[0].value
        assert all(each.eigenvalue < 0 and each.after < each.before and np.isfinite(each.resumed) for each in grown.trials[0].splits)
        assert len(grown.X) == 1 + len(grown.trials[0].splits) <= 4

    def test_single_precision(self):
        exact, rough = (reconstruct(quick(), candidates=4, steps=300, precision=each).trials[0] for each in ("float64", "float32"))
        assert np.allclose(exact.X, rough.X, atol=1e-3) and rough.X.dtype == float and rough.value != exact.value

    def test_finished_runs_are_found_again(self, tmp_path):
        lines: list[str] = []
        first = reconstruct(
            quick(), candidates=3, steps=300, trials=2, splitting=Splitting(every=100), checkpoint=tmp_path, progress=lines.append
        )
        assert lines
        lines.clear()
        second = reconstruct(
            quick(), candidates=3, steps=300, trials=2, splitting=Splitting(every=100), checkpoint=tmp_path, progress=lines.append
        )
        assert not lines and np.array_equal(first.pooled, second.pooled)
        assert [trial.splits for trial in first.trials] == [trial.splits for trial in second.trials]
        with pytest.raises(ValueError, match="belongs to another attack"):
            reconstruct(quick(), candidates=4, steps=300, trials=2, checkpoint=tmp_path)

    def test_budget_and_interrupt(self):
        found = reconstruct(quick(), candidates=3, steps=10**9, trials=5, budget=1.0)
        assert found.interrupted == "the budget was spent" and len(found.trials) == 1

        least = reconstruct(quick(), candidates=3, steps=1000, budget=1e-9)
        assert least.interrupted and least.trials[0].iterations == 1

        def interrupt(line):
            if "seed 1" in line:
                raise KeyboardInterrupt

        found = reconstruct(quick(), candidates=3, steps=500, trials=5, progress=interrupt)
        assert found.interrupted == "interrupted from the keyboard" and [trial.seed for trial in found.trials] == [0]

    def test_divergence(self):
        with pytest.raises(DivergedError, match="all 2 runs diverged; try smaller learning rates"):
            reconstruct(quick(rate=1e3), candidates=3, steps=500, trials=2)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"candidates": 0}, "candidates: received 0"),
            ({"candidates": 2, "steps": 1.5}, "steps: received 1.5"),
            ({"candidates": 2, "trials": True}, "trials: received True"),
            ({"candidates": 2, "budget": -1}, "budget: received -1"),
            ({"candidates": 2, "precision": "half"}, "precision: received 'half', expected one of float64, float32"),
        ],
    )
    def test_bad_numbers(self, options, message):
        with pytest.raises(ValueError, match=message):
            reconstruct(quick(), **options)

    def test_bad_networks_and_settings(self):
        with pytest.raises(ShapeError, match="3 outputs, expected one"):
            published.haim(network(sizes=(3, 5, 3)))
        with pytest.raises(ValueError, match="kind: received 'svm'"):
            published.buzaglo(network(), kind="svm")
        with pytest.raises(ValueError, match="needs several outputs"):
            published.buzaglo(network(), kind="multiclass")
        with pytest.raises(ShapeError, match="does not have the same architecture"):
            published.loo(network(), network(sizes=(4, 6, 1)))
        with pytest.raises(ShapeError, match="its activation tanh is not that of initial"):
            published.loo(network(), Network(network().weights, biases=network().biases, activation="tanh"))
        with pytest.raises(ValueError, match="cap > 1"):
            Splitting(cap=1)

    @pytest.mark.parametrize("attack", ["haim", "multiclass", "weight-decay", "loo"])
    def test_every_attack_descends_from_its_start(self, attack):
        net = network(sizes=(4, 8, 3 if attack == "multiclass" else 1))
        made = {
            "haim": lambda: published.haim(net, **HAIM_PRESETS["mnist-1"]),
            "multiclass": lambda: published.buzaglo(net, kind="multiclass", start_scale=0.3, rate=1e-4, multiplier_rate=1e-2),
            "weight-decay": lambda: published.buzaglo(net, kind="weight-decay", rate=1e-3, multiplier_rate=1e-3),
            "loo": lambda: published.loo(network(1, sizes=(4, 8, 1)), network(0, sizes=(4, 8, 1))),
        }[attack]()
        trial: Trial = reconstruct(made, candidates=6, steps=500).trials[0]
        assert trial.history[-1, 1] < trial.history[0, 1]


class TestRandomSearch:
    RANGES = {"rate": (1e-5, 1e-3), "sharpness": (5.0, 50.0)}

    def test_every_run_has_settings_of_its_own(self, tmp_path):
        search = RandomSearch(partial(published.haim, network()), self.RANGES, {"bound": 0.3})
        found = reconstruct(search, candidates=4, steps=100, trials=4, checkpoint=tmp_path)
        settings = [trial.settings for trial in found.trials]
        assert len({one["rate"] for one in settings}) == 4 and {one["bound"] for one in settings} == {0.3}
        assert all(1e-5 <= one["rate"] <= 1e-3 and 5 <= one["sharpness"] <= 50 for one in settings)
        distances = [trial.distance for trial in found.trials]
        assert distances == sorted(distances)
        again = reconstruct(search, candidates=4, steps=100, trials=4, checkpoint=tmp_path)
        assert [trial.settings for trial in again.trials] == settings and np.array_equal(found.pooled, again.pooled)
        with pytest.raises(ValueError, match="belongs to another attack"):
            reconstruct(replace(search, fixed={"bound": 0.4}), candidates=4, steps=100, checkpoint=tmp_path)

    def test_half_the_draws_are_in_the_lower_half_of_the_scale(self):
        search = RandomSearch(partial(published.haim, network()), {"rate": (1e-6, 1.0), "bound": (0.0, 1.0)})
        drawn = [search.draw(seed).settings for seed in range(400)]
        assert 0.4 < np.mean([one["rate"] < 1e-3 for one in drawn]) < 0.6 and 0.4 < np.mean([one["bound"] < 0.5 for one in drawn]) < 0.6

    def test_diverged_runs_are_counted_and_left_out(self):
        search = RandomSearch(partial(published.haim, network()), {"rate": (1e-6, 1e9)})
        found = reconstruct(search, candidates=3, steps=300, trials=6)
        assert 0 < found.diverged < 6 and len(found.trials) == 6 - found.diverged

    @pytest.mark.parametrize("ranges", [{"rate": (0, 1)}, {"bound": (1, 0)}, {"bound": (0, np.nan)}])
    def test_bad_ranges(self, ranges):
        with pytest.raises(ValueError, match="ranges: received"):
            RandomSearch(partial(published.haim, network()), ranges)


def test_a_fourth_attack():
    """An objective of one's own: gradients of the squared output, any prior, multipliers in [0, 1]."""
    import optax

    net = network(sizes=(3, 10, 1), activation=CUBIC, biases=())

    def penalty(c, bounds):
        return (jnp.maximum(-c, 0) ** 2 + jnp.maximum(c - 1, 0) ** 2).sum(axis=1)

    def own(k):
        return objective(
            (net.parameters,),
            net.parameters,
            np.zeros(k),
            scalars=lambda outputs, labels: outputs**2 / 2,
            prior=lambda X: 0.01 * (X**2).sum(axis=1),
            penalty=penalty,
            nonlinearity=smoothing.Polynomial(net.activation.floats()),
        )

    attack = Attack("own", own, lambda rng, k: (rng.standard_normal((k, 3)), rng.uniform(size=(k, 1))), optax.adam(1e-2), 100)
    X, c = attack.start(np.random.default_rng(0), 2)
    expected = written_out(net, X, c, net(X), smoothing.exact(net.activation), 2, net.parameters)
    assert _distance(own(2), X, c) == pytest.approx(expected, rel=1e-10)
    assert reconstruct(attack, candidates=4).trials[0].iterations == 100
    assert no_penalty(jnp.ones((3, 1)), jnp.zeros(3)).sum() == 0
