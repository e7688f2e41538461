"""The equations with the path held still, against derivatives by finite differences; starts and orders by themselves."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
from support.clients import batch_of, client, drawn
from support.marks import alone, slow

import identify as idf
from identify.recovery.steps.along import Along, effects
from identify.recovery.steps.batches import drawn as drawn_batches
from identify.recovery.steps.batches import equal, shares_of, swapped
from identify.recovery.steps.frozen import Frozen
from identify.recovery.steps.orders import Orders
from identify.recovery.steps.recovered import Search
from identify.recovery.steps.training import FREE, Training, along_path

BATCHES = [[0, 1], [2, 3], [1, 2], [0, 3]]


def posed(loss, *, rate=0.05, learning_rate=0.05):
    """A planted training with its unknowns at the truth."""
    net, (X, y) = drawn(0, sizes=(10, 16, 12, 3)), batch_of(0, 4, sizes=(10, 16, 12, 3))
    targets = np.random.default_rng(0).standard_normal((4, 3)) if loss == "square" else y
    final = client(net, X, targets, [np.array(batch) for batch in BATCHES], rate, loss="softmax" if loss == FREE else loss)
    system = idf.KKTSystem.steps(net, final, learning_rate=learning_rate, epochs=2, batch_size=2, loss=None if loss == FREE else loss)
    search = Search(system, 0, {}, lambda: True, lambda step: None)
    n, changes, rows = search.counted(None)
    training = Training.of(system, changes, rows, n, loss, shares_of(BATCHES, n))
    eta = np.hstack([X, np.ones((4, 1))]) @ rows.T
    others = {"targets": targets, "rate": np.log(rate), "multipliers": np.zeros((4, 4, 3))}
    labels = np.eye(3)[y] if loss == "softmax" else np.zeros((4, 3))
    return training, training.joined(eta, others), labels


@pytest.mark.parametrize(("loss", "learning_rate"), [slow("softmax", None), alone("square", 0.05), slow(FREE, 0.05)])
def test_derivatives_with_the_path_held_still(loss, learning_rate):
    training, point, labels = posed(loss, learning_rate=learning_rate)
    frozen = Frozen.of(training, len(point), np.random.default_rng(0))
    if loss != FREE:
        assert np.linalg.norm(frozen.missing(point, labels)) < 1e-12
    else:
        point = point + 0.1 * np.random.default_rng(1).standard_normal(len(point))
    at = frozen._at(point, labels)

    def made(p):
        with jax.enable_x64(True):
            entering, signals, effect = along_path(training.plan, training.arrays, frozen._effects, at.path, p, labels)
        weights = np.asarray(effect)[:, None] * training.shares
        return np.concatenate(
            [np.einsum("ti,tia,tib->ab", weights, u, h).ravel() * s for u, h, s in zip(signals, entering, training.scales, strict=True)]
        )

    J = frozen.jacobian(point, labels)
    for k in [*np.random.default_rng(2).choice(len(point), 6, replace=False).tolist(), len(point) - 1]:
        step = np.zeros(len(point))
        step[k] = 1e-5
        assert J[:, k] == pytest.approx((made(point + step) - made(point - step)) / 2e-5, abs=1e-8)


def test_the_true_order_is_told_although_samples_are_not_known_precisely():
    training, point, labels = posed("softmax")
    blurred = point + 1e-3 * np.random.default_rng(3).standard_normal(len(point))
    orders = Orders.of(replace(training, shares=equal(training.system, 4)), blurred, labels, np.random.default_rng(0))
    truth = float(orders.costs([BATCHES])[0])
    neighbours = list(swapped(training.system, BATCHES, 4))
    assert neighbours
    assert all(truth < 0.5 * cost for cost in orders.costs(neighbours))
    found, cost = orders.descend(drawn_batches(training.system, 4, np.random.default_rng(1)), lambda: True)
    assert cost <= truth * (1 + 1e-12)
    assert found == BATCHES


def test_drawn_orders_take_each_sample_once_in_a_pass():
    training, _, _ = posed("softmax")
    batches = drawn_batches(training.system, 4, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [2, 2, 2, 2]
    assert sorted(batches[0] + batches[1]) == sorted(batches[2] + batches[3]) == [0, 1, 2, 3]


@pytest.mark.parametrize("options", [{"dampening": 0.3}, {"nesterov": True}])
def test_momentum_is_that_of_pytorch(options):
    torch = pytest.importorskip("torch")
    net, (X, y) = drawn(0, sizes=(10, 16, 12, 3)), batch_of(0, 4, sizes=(10, 16, 12, 3))
    layers = [torch.nn.Linear(W.shape[1], W.shape[0]).double() for W in net.weights]
    with torch.no_grad():
        for layer, W, b in zip(layers, net.weights, net.biases, strict=True):
            layer.weight.copy_(torch.tensor(W))
            layer.bias.copy_(torch.tensor(b))
    model = torch.nn.Sequential(layers[0], torch.nn.GELU(), layers[1], torch.nn.GELU(), layers[2])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.8, weight_decay=1e-2, **options)
    for _ in range(4):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.tensor(X)), torch.tensor(y)).backward()
        optimiser.step()
    final = idf.Network(
        [layer.weight.detach().numpy() for layer in layers], biases=[layer.bias.detach().numpy() for layer in layers], activation="gelu"
    )
    system = idf.KKTSystem.steps(net, final, learning_rate=0.05, steps=4, momentum=0.8, weight_decay=1e-2, **options)
    n, changes, rows = Search(system, 0, {}, lambda: True, lambda step: None).counted(None)
    assert n == 4
    training = Training.of(system, changes, rows, n, "softmax", equal(system, n))
    point = training.joined(np.hstack([X, np.ones((4, 1))]) @ rows.T, {})
    assert np.linalg.norm(training.missing(point, np.eye(3)[y])) < 1e-11
    frozen = Frozen.of(training, len(point), np.random.default_rng(0))
    assert np.linalg.norm(frozen.missing(point, np.eye(3)[y])) < 1e-11


@pytest.mark.parametrize("far", [1.0, 0.0, -1e8, 1e80, 1e300, np.inf, np.nan])
def test_a_path_that_runs_away_gives_no_step_and_no_warning(far):
    """Warnings are errors here. Of samples far off every weight overflows, and of zeros with ReLU nothing may pass at all."""
    net, (X, y) = drawn(0, "relu"), batch_of(0, 4)
    system = idf.KKTSystem.steps(net, client(net, X, y, [np.arange(4)] * 3, 0.02), learning_rate=0.02, steps=3)
    search = Search(system, 0, {}, lambda: True, lambda step: None)
    n, changes, rows = search.counted(None)
    training = Training.of(system, changes, rows, n, "softmax", equal(system, n))
    eta, labels = X @ rows[:, :14].T + rows[:, 14], np.eye(4)[y]
    path, _ = training.path(training.joined(eta, {}), labels)
    with np.errstate(over="ignore", invalid="ignore"):
        away = far * eta
        moved_path = replace(path, first=far * path.first)
    along = Along.of(training, path, effects(training), np.random.default_rng(0))
    finite = np.isfinite(along.solve(away)).all()
    assert finite if abs(far) < 1e10 else abs(far) < 1e100 or not finite
    replace(along, path=moved_path).solve(eta)
    before, after = ([part[0], part[1][:, :-1], *part[2:]] for part in (training.before, training.after))
    without = replace(training, lifted=[True, False, True], before=before, after=after)
    silent = replace(along, path=replace(path, first=np.zeros_like(path.first)), training=without)
    silent.solve(eta)
