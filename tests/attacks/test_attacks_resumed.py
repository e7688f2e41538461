"""Runs that are interrupted in their middle and continued: the same bits as without a break, whatever breaks them and wherever."""

import itertools
import shutil
import sys
import time

import numpy as np
import pytest
from support.marks import slow_unless

from identify import InputError, Network, Splitting, reconstruct
from identify.attacks import buzaglo, haim, loo, random_network
from identify.attacks.objectives import decaying
from identify.attacks.running import BLOCK

OURS, PAPER = Splitting(every=300, most=1, cap=2), Splitting(every=300, cap=2, rule="published")
STEPS = 1000
SPLITTING = {"float64": OURS, "float32": PAPER}
"""Both rules and both precisions, one of each in one run."""


def attack(kind):
    if kind == "momentum":
        rng = np.random.default_rng(3)
        made = Network([rng.standard_normal((12, 5)), rng.standard_normal((1, 12))], activation="z + z^2/2 + z^3")
        return buzaglo(made, kind="weight-decay", rate=3e-5, multiplier_rate=3e-4, start_scale=0.3)
    if kind == "adam, sharpness that grows":
        start, end = (random_network((4, 7, 2), biases="all", seed=seed) for seed in (0, 1))
        return loo(start, end)
    return decaying(haim(random_network((4, 7, 1), seed=0)), 0.1, STEPS)


KINDS = ["momentum", "adam, sharpness that grows", "rates that decay"]


def same(one, other):
    assert np.array_equal(one.X, other.X) and np.array_equal(one.c, other.c) and one.value == other.value
    assert one.splits == other.splits and one.distance == other.distance


def stopping(at):
    """Progress that interrupts at the line of this number, counted from 1."""
    lines = []

    def progress(line):
        lines.append(line)
        if len(lines) == at:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize(
    ("kind", "precision"),
    slow_unless(lambda kind, precision: (precision == "float64") is not (kind == "momentum"), itertools.product(KINDS, SPLITTING)),
)
def test_interrupted_and_continued_is_uninterrupted(kind, precision, tmp_path):
    made, options = attack(kind), {"candidates": 3, "steps": STEPS, "splitting": SPLITTING[precision], "precision": precision}
    whole = reconstruct(made, **options).trials[0]
    for at in (1, 2, 5):  # the second line is that of an iteration after which a check comes
        folder = tmp_path / str(at)
        with pytest.raises(KeyboardInterrupt):
            reconstruct(made, **options, checkpoint=folder, progress=stopping(at))
        assert [path.name for path in folder.glob("*.npz")] == ["00000-begun.npz"]
        lines = []
        continued = reconstruct(made, **options, checkpoint=folder, progress=lines.append).trials[0]
        same(continued, whole)
        assert np.array_equal(continued.history, whole.history) and 0 < len(lines) == len(whole.history) - at
        assert [path.name for path in folder.glob("*.npz")] == ["00000.npz"], "the state of a finished run is removed"
    if kind == "momentum":
        assert whole.splits, "there is something to continue"


def test_what_a_killed_process_leaves_is_continued(tmp_path, monkeypatch):
    """A copy of the folder in the middle of a run is what remains after a kill: nothing was told that the run ends."""
    monkeypatch.setattr(sys.modules["identify.attacks.reconstruct"], "KEPT_EVERY", 0.0)
    made, options = attack("momentum"), {"candidates": 3, "steps": STEPS, "splitting": OURS}
    lines = []

    def copied(line):
        lines.append(line)
        shutil.copytree(tmp_path / "run", tmp_path / f"copy {len(lines)}")

    whole = reconstruct(made, **options, checkpoint=tmp_path / "run", progress=copied).trials[0]
    assert len(lines) >= STEPS // BLOCK
    for at in range(1, len(lines)):
        left = []
        continued = reconstruct(made, **options, checkpoint=tmp_path / f"copy {at}", progress=left.append).trials[0]
        same(continued, whole)
        assert len(left) == len(lines) - at


def test_a_budget_ends_a_run_that_later_budgets_continue(tmp_path, monkeypatch):
    """With a clock that counts how often it is asked, so that the speed of the machine does not matter."""
    made, options = attack("momentum"), {"candidates": 3, "steps": STEPS, "splitting": OURS, "checkpoint": tmp_path}
    whole = reconstruct(made, **{**options, "checkpoint": None}).trials[0]
    ticks = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    for calls in range(1, 200):
        part = reconstruct(made, **options, budget=40.0)
        assert part.trials[0].iterations >= calls
        if part.trials[0].iterations == STEPS:
            break
    assert calls > 1 and part.trials[0].iterations == STEPS
    same(part.trials[0], whole)


def test_every_seed_has_a_state_of_its_own_and_other_options_are_refused(tmp_path):
    made, options = attack("momentum"), {"candidates": 3, "steps": STEPS}
    with pytest.raises(KeyboardInterrupt):
        reconstruct(made, **options, seed=4, checkpoint=tmp_path, progress=stopping(2))
    other = reconstruct(made, **options, seed=5, checkpoint=tmp_path).trials[0]
    same(other, reconstruct(made, **options, seed=5).trials[0])
    assert (tmp_path / "00004-begun.npz").exists()
    with pytest.raises(InputError, match="another attack"):
        reconstruct(made, **(options | {"steps": STEPS + 1}), seed=4, checkpoint=tmp_path)


@pytest.mark.parametrize("lost", ["memory_0", "at", "c"])
def test_a_damaged_state_is_refused_with_what_to_do(tmp_path, lost):
    made, options = attack("momentum"), {"candidates": 3, "steps": STEPS, "checkpoint": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        reconstruct(made, **options, progress=stopping(1))
    path = tmp_path / "00000-begun.npz"
    with np.load(path) as saved:
        kept = {name: saved[name] for name in saved.files if name != lost}
    np.savez(path, **kept)
    with pytest.raises(InputError, match=f"damaged .has no {lost}.*delete it"):
        reconstruct(made, **options)
