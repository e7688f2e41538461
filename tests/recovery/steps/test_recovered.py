"""The batch behind several steps of training: clients of their own in JAX, planted batches, and what must be refused."""

from __future__ import annotations

import numpy as np
import pytest
from support.clients import batch_of, client, drawn
from support.marks import alone, slow

import identify as idf
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.problem.steps import StepsSystem
from identify.problem.uniqueness import UniquenessReason, UniquenessStatus
from identify.recovery.solution import Failure, InapplicableError, ResidualError


def errors(found, X):
    return found.match(X, np.ones((len(X), found.c.shape[1]) if found.c.ndim > 1 else len(X))).errors


EVERYTHING = [np.arange(4)] * 5


@pytest.mark.parametrize("activation", [slow("gelu"), "relu"])
def test_five_steps_are_undone(activation):
    net, (X, y) = drawn(0, activation), batch_of(0, 4)
    system = idf.KKTSystem.steps(net, client(net, X, y, EVERYTHING, 0.02), learning_rate=0.02, steps=5)
    found = idf.recover(system, data=(X, np.zeros((4, 4))))
    assert found.n_samples == 4
    assert max(found.evidence["errors"]) < 1e-10
    assert (found.uniqueness.status, found.uniqueness.reason) == (UniquenessStatus.EVIDENCE, UniquenessReason.TRAINED)
    matched = [int(np.argmin(np.linalg.norm(found.X - x, axis=1))) for x in X]
    assert sorted(matched) == [0, 1, 2, 3]
    assert (found.labels[matched] == y).all()
    assert found.evidence["loss"] == "softmax"


@alone
def test_momentum_weight_decay_frozen_parts_and_a_rate_that_is_fitted():
    net, (X, y) = drawn(1), batch_of(1, 4)
    final = client(net, X, y, EVERYTHING, 0.02, momentum=0.8, decay=1e-2)
    system = idf.KKTSystem.steps(net, final, learning_rate=0.02, steps=5, momentum=0.8, weight_decay=1e-2)
    assert max(errors(idf.recover(system), X)) < 1e-10
    final = client(net, X, y, EVERYTHING, 0.03, frozen=("b2",))
    found = idf.recover(idf.KKTSystem.steps(net, final, steps=5, loss="softmax"))
    assert max(errors(found, X)) < 1e-9
    assert found.evidence["learning_rate"] == pytest.approx(0.03, rel=1e-9)


@pytest.mark.parametrize("loss", [slow("square"), alone(None)])
def test_a_loss_that_is_named_or_not_known(loss):
    net, (X, _) = drawn(2), batch_of(2, 3)
    targets = np.random.default_rng(2).standard_normal((3, 4))
    final = client(net, X, targets, [np.arange(3)] * 3, 0.02, loss="square")
    found = idf.recover(idf.KKTSystem.steps(net, final, learning_rate=0.02, steps=3, loss=loss))
    assert max(errors(found, X)) < 1e-9
    assert found.evidence["loss"] == (loss or "free")


@pytest.mark.slow
def test_which_sample_was_in_which_batch():
    net, (X, y) = drawn(3), batch_of(3, 4)
    rng = np.random.default_rng(3)
    batches = [part for _ in range(2) for part in rng.permutation(4).reshape(2, 2)]
    system = idf.KKTSystem.steps(net, client(net, X, y, batches, 0.05), learning_rate=0.05, epochs=2, batch_size=2)
    found = idf.recover(system)
    assert max(errors(found, X)) < 1e-10
    number = [int(np.argmin(np.linalg.norm(found.X - x, axis=1))) for x in X]
    assert found.evidence["batches"] == [sorted(number[i] for i in batch) for batch in batches]
    known = idf.KKTSystem.steps(net, system.final, learning_rate=0.05, epochs=2, batch_size=2, order=[b.tolist() for b in batches])
    again = idf.recover(known)
    assert max(errors(again, X)) < 1e-10


@pytest.mark.slow
def test_error_bars_for_networks_that_were_rounded():
    net, (X, y) = drawn(4), batch_of(4, 4)
    single = idf.Network(
        [W.astype(np.float32).astype(float) for W in net.weights], biases=[b.astype(np.float32) for b in net.biases], activation="gelu"
    )
    final = client(single, X, y, EVERYTHING, 0.02)
    rounded = idf.Network(
        [W.astype(np.float32) for W in final.weights], biases=[b.astype(np.float32) for b in final.biases], activation="gelu"
    )
    found = idf.recover(idf.KKTSystem.steps(single, rounded, learning_rate=0.02, steps=5))
    number = [int(np.argmin(np.linalg.norm(found.X - x, axis=1))) for x in X]
    ratio = errors(found, X) / found.relative_error_bars[number]
    assert 0.3 < np.sqrt(np.mean(ratio**2)) < 2.5


@pytest.mark.parametrize("activation", [slow("gelu"), "relu"])
def test_one_sample_whose_bias_moved_has_no_unknown(activation):
    """Its row of the first change is the sample, so that nothing is left to search; the rest of the training confirms it, or does not."""
    net, (X, y) = drawn(7, activation), batch_of(7, 1)
    final = client(net, X, y, [np.arange(1)] * 3, 0.02)
    found = idf.recover(idf.KKTSystem.steps(net, final, learning_rate=0.02, steps=3))
    assert max(errors(found, X)) < 1e-10 and found.uniqueness.reason is UniquenessReason.TRAINED
    assert 0 < found.error_bars[0] < 1e-9
    with pytest.raises(ResidualError) as caught:
        idf.recover(idf.KKTSystem.steps(net, final, learning_rate=0.03, steps=3, loss="softmax"))
    assert caught.value.obstacle.kind is Failure.RESIDUAL


def test_a_change_below_the_rounding_of_its_numbers():
    net, (X, y) = drawn(8), batch_of(8, 2)
    single = net.with_parameters({name: part.astype(np.float32).astype(float) for name, part in net.parameters.items()})
    final = client(single, X, y, [np.arange(2)], 1e-7)
    rounded = final.with_parameters({name: part.astype(np.float32).astype(float) for name, part in final.parameters.items()})
    with pytest.raises(InapplicableError) as caught:
        idf.recover(idf.KKTSystem.steps(single, rounded, learning_rate=1e-7, steps=1))
    assert caught.value.obstacle.kind is Failure.ROUNDED


def test_another_training_is_no_answer():
    net, (X, y) = drawn(5), batch_of(5, 4)
    final = client(net, X, y, EVERYTHING, 0.02)
    with pytest.raises(ResidualError) as caught:
        idf.recover(idf.KKTSystem.steps(net, final, learning_rate=0.06, steps=5, loss="softmax"))
    assert caught.value.obstacle.kind in (Failure.RESIDUAL, Failure.FEW_FOUND)


def test_what_cannot_be_searched_is_refused():
    net, (X, y) = drawn(6), batch_of(6, 4)
    without = idf.KKTSystem.steps(net, client(net, X, y, EVERYTHING, 0.02, frozen=("W2",)), learning_rate=0.02, steps=5)
    with pytest.raises(InapplicableError) as caught:
        idf.recover(without)
    assert caught.value.obstacle.kind is Failure.NOT_TRAINED
    bare = drawn(6, bias=False)
    with pytest.raises(InapplicableError) as caught:
        idf.recover(idf.KKTSystem.steps(bare, client(bare, X, y, EVERYTHING, 0.02), learning_rate=0.02, steps=5))
    assert caught.value.obstacle.kind is Failure.NO_BIAS
    system = idf.KKTSystem.steps(net, client(net, X, y, EVERYTHING, 0.02), learning_rate=0.02, steps=5)
    for verb in (
        idf.check,
        idf.kkt_equations,
        idf.largest_identifiable,
        lambda system: idf.defences(system, X, np.ones((4, 4))),
    ):
        with pytest.raises(UnsupportedError) as refused:
            verb(system)
        assert refused.value.reason is Unsupported.STEPS
    for name, value in (("starts", 3), ("checkpoint", "somewhere")):
        with pytest.raises(idf.InputError, match=name):
            idf.recover(system, **{name: value})


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": None}, "steps"),
        ({"epochs": 2}, "steps"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"learning_rate": None, "weight_decay": 0.1}, "learning_rate"),
        ({"momentum": 1.0}, "momentum"),
        ({"dampening": -0.1}, "dampening"),
        ({"nesterov": True}, "nesterov"),
        ({"nesterov": True, "momentum": 0.5, "dampening": 0.1}, "nesterov"),
        ({"batch_size": 0}, "batch_size"),
        ({"loss": "hinge"}, "loss"),
        ({"loss": "logistic"}, "loss"),
        ({"order": [[0], []]}, "order"),
        ({"order": [[0, 1]]}, "order"),
    ],
)
def test_what_is_wrong_is_named(options, name):
    net = drawn(7)
    other = idf.Network([W + 0.1 for W in net.weights], biases=net.biases, activation="gelu")
    with pytest.raises(idf.InputError, match=name):
        idf.KKTSystem.steps(net, other, **{"learning_rate": 0.1, "steps": 5} | options)


def test_networks_that_no_training_connects_are_refused():
    net = drawn(8)
    for final, match in ((net, "final"), (drawn(8, sizes=(14, 61, 40, 4)), "architecture"), (drawn(8, "relu"), "activation")):
        with pytest.raises(idf.ShapeError, match=match):
            idf.KKTSystem.steps(net, final, steps=5)


def test_what_steps_keep_of_weights_without_a_gradient():
    net = drawn(9)
    other = idf.Network([W + 0.1 for W in net.weights], biases=net.biases, activation="gelu")
    plain = StepsSystem.of(net, other, learning_rate=0.1, steps=3, weight_decay=0.5)
    assert plain.kept(4) == pytest.approx((1 - 0.05) ** 3)
    assert StepsSystem.of(net, other, learning_rate=0.1, epochs=2, batch_size=3).n_steps(7) == 6


def test_two_checkpoints_on_the_command_line(tmp_path, capsys, monkeypatch):
    from support.command_line import run

    net, (X, y) = drawn(0), batch_of(0, 4)
    monkeypatch.chdir(tmp_path)
    for name, each in (("before", net), ("after", client(net, X, y, EVERYTHING, 0.02))):
        np.savez(f"{name}.npz", **each.parameters, activation="gelu")
    training = ("--learning-rate", "0.02", "--steps", "5")
    status, out, _ = run(monkeypatch, capsys, "recover", "--initial", "before.npz", "--final", "after.npz", *training, "--out", "found.npz")
    assert status == 0
    assert "EVIDENCE" in out
    with np.load("found.npz") as found:
        assert all(np.linalg.norm(found["X"] - x, axis=1).min() < 1e-9 for x in X)
    for words in (
        ("--initial", "before.npz", *training),
        ("--initial", "before.npz", "--final", "after.npz"),
        ("--initial", "before.npz", "--final", "after.npz", *training, "-d", "3"),
        training,
    ):
        status, out, err = run(monkeypatch, capsys, "recover", *words)
        assert (status, out, err.count("\n")) == (2, "", 1)


def test_one_step_is_a_step_from_its_start():
    """However long it is, separation there is exact: the network halfway would be another one."""
    sizes = (14, 60, 6)
    net, (X, y) = drawn(5, "relu", sizes), batch_of(5, 5, sizes)
    system = idf.KKTSystem.steps(net, client(net, X, y, [np.arange(5)], 5.0), learning_rate=5.0, steps=1)
    found = idf.recover(system)
    assert max(errors(found, X)) < 1e-10
    np.testing.assert_allclose(np.sort(errors(idf.recover(idf.KKTSystem.lazy(system.initial, system.final)), X)), 0, atol=1e-10)
