"""Budgets and interrupts of training and of diagnoses: what is finished is kept, and where they end changes nothing before."""

from __future__ import annotations

import numpy as np
import pytest
from support.command_line import run

from identify.attacks import diagnose, haim, passes, random_network, score, stationarity, stationary, train
from identify.attacks import diagnosis as diagnosing
from identify.attacks.similarity import relative_errors
from identify.base.errors import InputError, OutOfTimeError
from identify.base.limits import Stopped, TooLargeError

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 4)), np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
NET = random_network((4, 5, 1))


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    seconds = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    return seconds


class Interrupt:
    """A progress that interrupts at its k-th line."""

    def __init__(self, at: int) -> None:
        self.at, self.lines = at, []

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if len(self.lines) == self.at:
            raise KeyboardInterrupt


def same(one, other):
    return all(np.array_equal(part, other.parameters[name]) for name, part in one.parameters.items())


class TestTraining:
    def test_where_it_is_looked_at_changes_no_bit(self, clock, monkeypatch):
        whole = train(NET, X, Y, steps=50)
        real = passes._descend

        def slow(*arguments):
            clock[0] += 0.1 * arguments[-1]
            return real(*arguments)

        monkeypatch.setattr(passes, "_descend", slow)
        pieces = train(NET, X, Y, steps=50, budget=100.0)
        assert same(whole.final, pieces.final) and pieces.interrupted is None
        short = train(NET, X, Y, steps=10**6, budget=5.0)
        assert short.interrupted is Stopped.OUT_OF_TIME and 50 <= short.steps < 60 and "budget" in repr(short)
        assert same(short.final, train(NET, X, Y, steps=short.steps).final)
        assert short.loss == pytest.approx(np.log1p(np.exp(-short.margins)).mean())

    def test_an_interrupt_keeps_the_steps_so_far(self):
        found = train(NET, X, Y, steps=10**6, progress=Interrupt(2))
        assert found.interrupted is Stopped.INTERRUPTED and found.steps == 1000
        assert same(found.final, train(NET, X, Y, steps=1000).final)

    @pytest.mark.parametrize(("loss", "decay", "linearised"), [("square", 0.0, True), ("cross-entropy", 0.1, False)])
    def test_samples_that_pass_some_at_a_time(self, monkeypatch, loss, decay, linearised):
        sizes, y = ((4, 5, 3), np.arange(6.0) % 3) if loss == "cross-entropy" else ((4, 5, 1), Y)
        asked = {"loss": loss, "decay": decay, "linearised": linearised, "steps": 20, "momentum": 0.5}
        whole = train(random_network(sizes), X, y, **asked)
        monkeypatch.setattr(passes, "WORK", 130.0)  # four samples, and two
        found = train(random_network(sizes), X, y, **asked)
        for name, part in whole.final.parameters.items():
            assert np.allclose(part, found.final.parameters[name], rtol=1e-12, atol=1e-14)
        assert found.loss == pytest.approx(whole.loss) and found.gradient == pytest.approx(whole.gradient)
        assert np.allclose(found.margins, whole.margins) and found.steps == 20

    def test_a_long_step_that_is_stopped_is_none(self, clock, monkeypatch):
        real = passes._added

        def slow(*arguments):
            clock[0] += 1.0
            return real(*arguments)

        monkeypatch.setattr(passes, "WORK", 130.0)
        whole = train(NET, X, Y, steps=2)
        monkeypatch.setattr(passes, "_added", slow)
        found = train(NET, X, Y, steps=10**6, budget=6.5)  # three passes of two parts, and the first part of a fourth
        assert found.interrupted is Stopped.OUT_OF_TIME and found.steps == 2 and same(found.final, whole.final)
        with pytest.raises(OutOfTimeError, match="once"):
            train(NET, X, Y, budget=0.5)

    @pytest.mark.parametrize("budget", [0, -1.0, np.nan, "1"])
    def test_budgets_that_are_none(self, budget):
        for work in (lambda: train(NET, X, Y, budget=budget), lambda: diagnose(haim(NET), X, Y, budget=budget)):
            with pytest.raises(InputError, match="budget"):
                work()


class TestMemory:
    """Refused before anything is allocated."""

    def test_networks_and_scores(self, monkeypatch):
        monkeypatch.setenv("IDENTIFY_MEMORY", "0.0001")
        with pytest.raises(TooLargeError, match="a network of these sizes"):
            random_network((10**9, 10**9, 1))
        with pytest.raises(TooLargeError, match="100 candidates for 100 images"):
            score(np.eye(100), np.eye(100))
        with pytest.raises(TooLargeError, match="gradients of 1000 samples"):
            stationarity(haim(NET), np.ones((1000, 4)), np.ones(1000))

    def test_errors_in_pieces_are_the_same(self, monkeypatch):
        candidates, images = RNG.standard_normal((7, 5)), RNG.standard_normal((3, 5))
        whole = relative_errors(candidates, images)
        monkeypatch.setattr("identify.attacks.similarity.PIECE", 30.0)  # two rows at a time
        assert np.allclose(relative_errors(candidates, images), whole, rtol=1e-14)
        assert np.allclose(whole[0, 0], np.linalg.norm(candidates[0] - images[0]) / np.linalg.norm(images[0]))


class TestDiagnosis:
    def test_gradients_in_pieces_are_the_same(self, monkeypatch):
        whole = stationarity(haim(NET), X, Y)
        monkeypatch.setattr(stationary, "PIECE", 60.0)  # some samples at a time
        lines = []
        pieces = stationarity(haim(NET), X, Y, progress=lines.append)
        assert len(lines) > 2 and np.allclose(whole.multipliers, pieces.multipliers) and whole.residual == pytest.approx(pieces.residual)

    def test_an_interrupt_keeps_the_best_subgradients(self):
        whole = diagnose(haim(NET, sharpness=1e9), X, Y)
        found = diagnose(haim(NET, sharpness=1e9), X, Y, progress=Interrupt(3))
        assert found.interrupted is Stopped.INTERRUPTED and whole.interrupted is None
        assert found.stationarity.residual == whole.stationarity.residual and whole.free <= found.free <= 1
        assert "interrupted" in str(found) and "interrupted" not in str(whole)

    def test_an_interrupt_before_the_multipliers_ends_it(self):
        with pytest.raises(KeyboardInterrupt):
            diagnose(haim(NET), X, Y, progress=Interrupt(1))

    def test_the_budget_ends_the_sweeps(self, clock):
        def tick(line):
            clock[0] += 1.0

        found = diagnose(haim(NET, sharpness=1e9), X, Y, budget=4.0, progress=tick)
        assert found.interrupted is Stopped.OUT_OF_TIME and found.free is not None
        assert 0 < clock[0] < diagnosing.SWEEPS

    def test_a_budget_that_is_too_small_for_the_multipliers(self):
        with pytest.raises(OutOfTimeError):
            diagnose(haim(NET), X, Y, budget=1e-9)

    def test_multipliers_that_are_not_found_are_said(self, monkeypatch):
        def unsettled(R, t):
            raise RuntimeError("Maximum number of iterations reached.")

        monkeypatch.setattr("scipy.optimize.nnls", unsettled)
        with pytest.raises(InputError, match="signed=True"):
            diagnose(haim(NET), X, Y)

    def test_the_command_line_goes_on_without_it(self, monkeypatch, capsys, tmp_path):
        """Half of the budget is too little for the diagnosis: the attack says so, and makes its run."""
        np.savez(tmp_path / "net.npz", **NET.parameters, X=X, y=Y)
        status, out, _ = run(monkeypatch, capsys, "attack", tmp_path / "net.npz", "--steps", 2, "-k", 2, "--budget", 1e-6)
        assert status == 0 and out.startswith("Before the attack: ") and "time" in out.splitlines()[0] and "seed 0" in out
