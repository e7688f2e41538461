"""The picture of splits: where its lines are, against counts by hand and by another way round the tree, and what it refuses."""

import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.image import imread

from identify.attacks.runs import Trial
from identify.base.errors import InputError
from identify.report.lineage import tree
from identify.splitting.minimise import Split


def trial(k, splits, d=4, seed=0):
    """A run of 500 iterations whose candidates ``splits`` (iteration, candidate) were split."""
    rng = np.random.default_rng(seed)
    made = tuple(Split(j, -1.0, 0.1, 2.0, 1.0, 1.0, at) for at, j in splits)
    n = k + len(splits)
    return Trial(seed, rng.standard_normal((n, d)), rng.standard_normal((n, 1)), 1.0, 1.0, np.array([[500.0, 1.0]]), made)


def drawn(seed):
    """Splits at random, several of them in one check."""
    rng, splits, k = np.random.default_rng(seed), [], 3
    for at in range(100, 500, 100):
        here = 3 + len(splits)
        splits += [(at, int(j)) for j in rng.choice(here, rng.integers(0, 3), replace=False)]
    return trial(k, splits)


def pixels(png):
    return imread(io.BytesIO(png))


def test_a_tree_by_hand():
    run = trial(2, [(100, 1), (200, 1), (300, 2)])
    found = tree(run.parents, run.born, 500)
    assert found.order == [0, 1, 3, 2, 4]
    assert sorted(found.splits) == [(100, 1.5, 3.5), (200, 1.0, 2.0), (300, 3.0, 4.0)]
    assert {(each.candidate, each.since, each.until, each.height) for each in found.branches if not each.is_last} == {
        (1, 0, 100, 2.5),
        (1, 100, 200, 1.5),
        (2, 100, 300, 3.5),
    }


@pytest.mark.parametrize("seed", range(6))
def test_no_line_crosses_another_and_every_candidate_is_alive_from_its_split_to_the_end(seed):
    run = drawn(seed)
    found = tree(run.parents, run.born, 500)
    for at, low, high in found.splits:
        crossed = [each for each in found.branches if low < each.height < high and each.since < at < each.until]
        assert not crossed and low < high
    for j, born in enumerate(run.born):
        own = sorted((each for each in found.branches if each.candidate == j), key=lambda each: each.since)
        assert own[0].since == born and own[-1].until == 500
        assert [each.is_last for each in own] == [False] * (len(own) - 1) + [True]
        assert all(one.until == two.since for one, two in pairwise(own))
    ancestors = run.ancestors[found.order]
    assert (np.diff(ancestors) >= 0).all(), "descendants of one candidate of the start are next to each other"


def test_without_splits_there_are_parallel_lines():
    run = trial(3, [])
    found = tree(run.parents, run.born, 500)
    assert not found.splits and [each.height for each in found.branches] == [0, 1, 2]


def test_a_candidate_at_a_sample_is_drawn_in_another_colour_than_one_far_away():
    run = trial(2, [(100, 0)])
    near, far = run.lineage(run.X), run.lineage(100 * run.X)
    assert pixels(near).shape == pixels(far).shape and not np.array_equal(pixels(near), pixels(far))
    assert run.lineage(run.X) == near and pixels(run.lineage()).shape == pixels(near).shape
    assert pixels(run.lineage(run.X, shape=(2, 2), mean=np.zeros(4))).shape[0] > 0


@pytest.mark.slow
def test_a_diverged_candidate_and_many_are_drawn():
    run = trial(2, [(100, 0)])
    run.c[1] = np.nan
    assert pixels(run.lineage()).ndim == 3
    assert pixels(trial(700, [(100, 3)]).lineage()).shape[1] == pixels(run.lineage()).shape[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (3, 3)}, "shape: received"),
        ({"X": np.ones((2, 5))}, "X: received"),
        ({"mean": np.ones(3)}, "mean: received"),
    ],
)
def test_wrong_sizes_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        trial(2, []).lineage(**options)


def test_too_many_pictures_are_refused():
    with pytest.raises(InputError, match="at most 60; leave out the shape"):
        trial(61, []).lineage(shape=(2, 2))
