"""What stands between an attack and known data; and candidates from kinks and limits, without multipliers."""

from __future__ import annotations

import numpy as np
import pytest
from support.marks import alone

from identify.attacks import MLP, corners, diagnose, haim, in_row_space, kinks, loo, random_network, score, train
from identify.problem.arrays import ShapeError


@pytest.fixture(scope="module")
def digits():
    """Six digits, a max-margin network for them from a small start, their mean, and other digits."""
    sklearn = pytest.importorskip("sklearn.datasets")
    data = sklearn.load_digits()
    mean = data.data[:6].mean(axis=0) / 16
    X, y = data.data[:6] / 16 - mean, np.where(data.target[:6] % 2, 1.0, -1.0)
    start = random_network((64, 100, 1), first_scale=1e-4)
    return train(start, X, y, rate=0.1, momentum=0.9, steps=10_000, enough=1e-5).final, X, y, mean, data.data[100:] / 16 - mean


class TestDiagnosis:
    def test_free_subgradients(self):
        """f(x) = |x| is exactly stationary for samples at 0, 1 and -2, with the subgradients 1/2 and 1/4 of the two neurons at 0."""
        network = MLP({"W1": np.array([[1.0], [-1.0]]), "b1": np.zeros(2), "W2": np.ones((1, 2))})
        X, y = np.array([[0.0], [1.0], [-2.0]]), np.array([-1.0, 1.0, 1.0])
        found = diagnose(haim(network, sharpness=1e9, bound=0.0), X, y)
        assert found.kinks == pytest.approx(1 / 3) and found.free < 1e-6 and found.stationarity.residual > 0.1
        assert "33% of the pairs" in str(found) and "chosen freely" in str(found)

    def test_a_stationary_network_has_no_residual(self):
        """A step of lazy training is exact: nothing is hidden, and the objective at the data is zero."""
        rng = np.random.default_rng(0)
        before, X, c = random_network((6, 30, 1), biases="first"), rng.uniform(-0.5, 0.5, (3, 6)), np.array([0.3, -0.2, 0.5])
        W, b, A = (before.parameters[name] for name in ("W1", "b1", "W2"))
        Z = X @ W.T + b
        slopes = c[:, None] * A * (Z > 0)
        after = before.with_parameters({"W1": W + slopes.T @ X, "b1": b + slopes.sum(axis=0), "W2": A + c @ np.maximum(Z, 0)})
        attack = loo(before, after, linearised=True)
        found = diagnose(attack, X, signed=True)
        assert found.dimension == 3 and found.hidden.max() < 1e-12 and found.free <= found.stationarity.residual
        inside = diagnose(in_row_space(attack), X, signed=True)
        assert inside.objective == pytest.approx(found.objective, rel=1e-6) and inside.free == pytest.approx(found.free, rel=1e-6)

    def test_the_best_subgradients_are_no_worse_than_the_smoothed(self, digits):
        network, X, y, *_ = digits
        found = diagnose(haim(network, sharpness=1e9), X, y, noise=1e-4)
        assert 0.05 < found.kinks < 0.9 and found.free < found.stationarity.residual
        assert found.dimension <= 12 and (found.hidden < 1).all()

    def test_without_kinks(self):
        network = random_network((4, 6, 2), "z + z^2/2")
        from identify.attacks import buzaglo

        found = diagnose(buzaglo(network, kind="weight-decay"), np.random.default_rng(0).standard_normal((3, 4)), signed=True)
        assert found.kinks is None and found.free is None and "kink" not in str(found)
        deep = diagnose(haim(random_network((4, 6, 5, 1))), np.ones((2, 4)), np.array([1.0, -1.0]))
        assert deep.kinks is not None and deep.free is None

    def test_bad_labels(self, digits):
        network, X, *_ = digits
        with pytest.raises(ShapeError, match="labels"):
            diagnose(haim(network), X, np.ones(3))


class TestCorners:
    @alone
    def test_images_that_descent_does_not_find(self, digits):
        """From the weights alone; chance finds none, and the order of the candidates knows nothing of the data."""
        network, X, _, mean, others = digits
        found = corners(network, -mean, 1 - mean, noise=1e-4, starts=2000)
        judged = score(found.X[:12], X, mean=mean, held_out=others, trials=5)
        assert judged.recall() * 6 >= 2 and judged.chance.recall().mean == 0
        assert (np.diff(found.cost) >= 0).all() and found.starts == 2000 and "candidates in" in repr(found)
        again = corners(network, -mean, 1 - mean, noise=1e-4, starts=2000)
        assert np.array_equal(found.X, again.X)

    def test_candidates_lie_in_the_row_space_and_are_distinct(self, digits):
        network, _, _, mean, _ = digits
        found = corners(network, -mean, 1 - mean, dimension=4, starts=300, seed=1)
        _, _, rows = np.linalg.svd(network.parameters["W1"])
        assert found.dimension == 4 and np.abs(found.X @ rows[4:].T).max() < 1e-9
        apart = np.linalg.norm(found.X[:, None] - found.X, axis=2) / np.linalg.norm(found.X, axis=1)
        assert (apart + np.eye(len(apart)) > 0.05).all()

    def test_limits_and_kinks_that_meet_in_one_point(self):
        """Rows of full rank: two inputs at a limit and two kinks leave one point."""
        x = np.array([0.0, 0.0, 0.7, 0.4])
        W = np.random.default_rng(0).standard_normal((4, 4))
        found = corners(MLP({"W1": W, "b1": -W @ x, "W2": np.ones((1, 4))}), 0, 1, starts=200)
        assert np.linalg.norm(found.X[0] - x) < 0.01  # half of the last width

    def test_budget(self, digits, monkeypatch):
        """The clock is looked at between two blocks of starts."""
        monkeypatch.setattr(kinks, "CHUNK", 50)
        monkeypatch.setattr(kinks, "GRACE", 60.0)  # for a busy machine
        network, _, _, mean, _ = digits
        lines: list[str] = []
        found = corners(network, -mean, 1 - mean, starts=10**9, budget=0.01, progress=lines.append)
        assert found.starts == 50 and lines == ["corners: 50 of 1000000000 starts"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"low": 1, "high": 0}, "each low below its high"),
            ({"starts": 0}, "starts: received 0"),
            ({"kinks": -1.0}, "kinks: received -1.0"),
            ({"noise": 100.0}, "no direction"),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            corners(random_network((4, 6, 1)), **({"low": 0, "high": 1} | options))

    def test_kinks_are_those_of_relu(self):
        with pytest.raises(ValueError, match="expected a ReLU network"):
            corners(random_network((4, 6, 1), "z^3"), 0, 1)
