"""Scores of attacks: one candidate for one image, modulo the ambiguity, against slow definitions and against chance."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from identify.attacks.scores import ImageShape, confidence, correlations, relative_errors, score, ssim, wilson
from identify.base.errors import InputError
from identify.problem.arrays import ShapeError

pytestmark = pytest.mark.smoke

seeds = st.integers(0, 2**32 - 1)
GROUPS = ("none", "sign", "scaling")


def pictures(seed=0, count=6, d=16):
    return np.random.default_rng(seed).standard_normal((count, d))


def slow_error(x_hat, x, group):
    if group == "scaling":
        x_hat = np.linalg.lstsq(x_hat[:, None], x, rcond=None)[0][0] * x_hat
    signs = (1, -1) if group == "sign" else (1,)
    return min(np.linalg.norm(s * x_hat - x) for s in signs) / np.linalg.norm(x)


def slow_ssim(x, y, window, data_range=1.0):
    """The published formula, place by place, for two pictures (height, width, channels)."""
    half, total = window // 2, []
    kernel = np.array([[np.exp(-(i**2 + j**2) / 4.5) for j in range(-half, half + 1)] for i in range(-half, half + 1)])
    kernel /= kernel.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    for i, j, channel in product(range(x.shape[0] - window + 1), range(x.shape[1] - window + 1), range(x.shape[2])):
        a, b = x[i : i + window, j : j + window, channel], y[i : i + window, j : j + window, channel]
        ma, mb = (kernel * a).sum(), (kernel * b).sum()
        va, vb, cov = (kernel * (a - ma) ** 2).sum(), (kernel * (b - mb) ** 2).sum(), (kernel * (a - ma) * (b - mb)).sum()
        total.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return np.mean(total)


# Pairs


@pytest.mark.parametrize("group", GROUPS)
def test_relative_errors_are_their_definition_from_far_to_very_near(group):
    rng = np.random.default_rng(1)
    Y = rng.standard_normal((4, 9))
    noise = rng.standard_normal((4, 9))
    X = np.concatenate([rng.standard_normal((3, 9)), -2 * Y, Y] + [Y + 10.0**-k * noise for k in (1, 3, 5, 9, 12)])
    got = relative_errors(X, Y, group=group)
    want = [[slow_error(x_hat, x, group) for x in Y] for x_hat in X]
    assert np.allclose(got, want, rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
@pytest.mark.parametrize("group", GROUPS)
def test_relative_errors_do_not_depend_on_the_unit(scale, group):
    X, Y = pictures(2), pictures(3)
    X[0] = Y[0] * (1 + 1e-6)
    assert np.allclose(relative_errors(scale * X, scale * Y, group=group), relative_errors(X, Y, group=group), rtol=1e-9, atol=1e-15)


def test_zero_candidates_and_zero_images_have_an_error():
    got = relative_errors([[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 2.0]])
    assert np.array_equal(got, [[0, 1], [np.inf, np.sqrt(1.25)]])


def test_correlations_are_pearsons_and_zero_for_constant_pictures():
    X, Y = pictures(4, 3, 11), pictures(5, 2, 11)
    X[2] = 0.1
    want = [[np.corrcoef(x, y)[0, 1] for y in Y] for x in X[:2]]
    assert np.allclose(correlations(X, Y)[:2], want, rtol=1e-12)
    assert np.array_equal(correlations(X, Y)[2], [0, 0])


@given(seeds, st.floats(0.1, 50), st.floats(-3, 3))
@settings(max_examples=25, deadline=None)
def test_correlations_ignore_brightness_and_contrast(seed, contrast, brightness):
    X, Y = pictures(seed, 3), pictures(seed + 1, 2)
    assert np.allclose(correlations(contrast * X + brightness, Y), correlations(X, Y), atol=1e-9)
    assert np.allclose(correlations(-X, Y), -correlations(X, Y), atol=1e-12)


# Structural similarity


@pytest.mark.parametrize("window", [3, 5, 7])
@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 9, 3)])
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_is_the_published_formula(window, shape, data_range):
    rng = np.random.default_rng(6)
    X, Y = rng.random((3, np.prod(shape))) * data_range, rng.random((2, np.prod(shape))) * data_range
    X[0] = Y[0] + 0.1 * data_range * rng.standard_normal(Y[0].size)
    got = ssim(X, Y, shape=shape, window=window, data_range=data_range)
    want = [[slow_ssim(x.reshape(shape), y.reshape(shape), window, data_range) for y in Y] for x in X]
    assert np.allclose(got, want, rtol=1e-9)


def test_ssim_of_two_flat_pictures_is_the_luminance_term_by_hand():
    assert ssim([[0.2] * 9], [[0.6] * 9])[0, 0] == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4))


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_ssim_is_one_for_the_same_picture_symmetric_and_bounded(seed):
    X = pictures(seed, 4, 27) * 10.0 ** np.random.default_rng(seed).integers(-3, 4)
    got = ssim(X, X)
    assert np.allclose(np.diag(got), 1) and np.allclose(got, got.T)
    assert np.all(np.abs(got) <= 1 + 1e-12)
    assert np.all(got[~np.eye(4, dtype=bool)] < 0.999)


@pytest.mark.parametrize("value", [1e8, 1e15, 1e200, -1e308])
def test_ssim_of_a_diverged_candidate_is_a_number_in_range(value):
    flat, mixed = np.full(9, value), np.where(np.arange(9) % 2, value, -value)
    assert np.all(np.abs(ssim([flat, mixed], np.random.default_rng(0).random((2, 9)))) < 0.01)


def test_ssim_stays_in_range_for_pixels_far_outside_the_data_range():
    bright = 1e9 * (1 + 1e-12 * np.random.default_rng(0).standard_normal((8, 25)))
    assert np.all(np.abs(ssim(bright, bright)) <= 1 + 1e-12)


def test_one_diverged_pixel_spoils_only_the_windows_that_hold_it():
    image = np.random.default_rng(0).random((1, 100))
    hot = image.copy()
    hot[0, 0] = 1e13
    assert ssim(hot, image)[0, 0] == pytest.approx(63 / 64, abs=1e-9)


def test_channels_first_and_last_are_the_same_picture():
    rng = np.random.default_rng(7)
    X, Y = rng.random((2, 5, 4, 3)), rng.random((2, 5, 4, 3))
    first = [np.moveaxis(Z, 3, 1).reshape(2, -1) for Z in (X, Y)]
    last = ssim(X.reshape(2, -1), Y.reshape(2, -1), shape=(5, 4, 3))
    assert np.allclose(ssim(*first, shape=ImageShape(5, 4, 3, channels_first=True)), last)
    assert not np.allclose(ssim(*first, shape=(5, 4, 3)), last)


def test_shapes_are_read_from_d():
    assert ImageShape.of(64) == ImageShape(8, 8, 1) and ImageShape.of(3072) == ImageShape(32, 32, 3)
    assert [ImageShape.of(d) for d in (0, 2, 5, 63, 3071)] == [None] * 5
    assert ImageShape.read((4, 6), 24) == ImageShape(4, 6, 1)


# Assignment


@given(seeds, st.sampled_from(GROUPS), st.integers(6, 9))
@settings(max_examples=40, deadline=None)
def test_moved_and_shuffled_images_are_all_found(seed, group, m):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((6, 16))
    t = {"none": np.ones(6), "sign": rng.choice([-1.0, 1.0], 6), "scaling": rng.choice([-1.0, 1.0], 6) * rng.uniform(0.01, 100, 6)}
    candidates = np.concatenate([t[group][:, None] * images, 5 + rng.standard_normal((m - 6, 16))])
    shuffle = rng.permutation(m)
    found = score(candidates[shuffle], images, group=group)
    assert np.array_equal(shuffle[found.order], np.arange(6))
    assert np.all(found.errors < 1e-12) and np.allclose(found.correlations, 1) and np.allclose(found.ssim, 1)
    assert found.recall() == 1 and found.n_correlated() == 6


@pytest.mark.parametrize(("group", "t"), [("none", -1), ("none", 2), ("sign", 2)])
def test_what_is_outside_the_group_is_not_found(group, t):
    assert score(t * pictures(), pictures(), group=group).recall() == 0


def test_opposite_images_are_told_apart_without_the_sign_group():
    images = np.stack([pictures()[0], -pictures()[0]])
    assert np.array_equal(score(images[::-1], images).order, [1, 0])


@given(seeds, st.sampled_from(GROUPS))
@settings(max_examples=25, deadline=None)
def test_no_other_assignment_has_a_smaller_total(seed, group):
    rng = np.random.default_rng(seed)
    candidates, images = rng.standard_normal((5, 4)), rng.standard_normal((3, 4))
    cost = relative_errors(candidates, images, group=group)
    best = min(sum(cost[c, i] for i, c in enumerate(rows)) for rows in permutations(range(5), 3))
    found = score(candidates, images, group=group)
    assert found.errors.sum() == pytest.approx(best)
    assert np.allclose(found.errors, cost[found.order, range(3)])


def test_one_candidate_cannot_serve_two_images():
    images = np.stack([pictures()[0]] * 2)
    found = score([images[0], -images[0]], images)
    assert sorted(found.order) == [0, 1] and found.recall() == 0.5
    assert score(images[:1], images).recall() == 0.5


def test_images_without_a_candidate_count_as_missed():
    images = pictures()
    found = score(images[[4, 2]], images)
    assert np.array_equal(found.order, [-1, -1, 1, -1, 0, -1])
    assert np.array_equal(np.isinf(found.errors), found.order < 0)
    assert found.recall() == pytest.approx(1 / 3) and found.mean_ssim == pytest.approx(1 / 3) and found.n_correlated() == 2


@pytest.mark.parametrize(("noise", "recall"), [(0.09, 1), (0.11, 0)])
def test_recall_changes_at_the_threshold(noise, recall):
    images, directions = pictures(8), pictures(9)
    step = directions * (np.linalg.norm(images, axis=1) / np.linalg.norm(directions, axis=1))[:, None]
    found = score(images + noise * step, images)
    assert np.allclose(found.errors, noise) and found.recall() == recall and found.recall(0.12) == 1


def test_a_diverged_candidate_does_not_disturb_the_others():
    images = pictures()
    candidates = np.concatenate([images[1:][::-1] + 1e-3, np.full((1, 16), 1e300)])
    found = score(candidates, images)
    assert found.recall() == pytest.approx(5 / 6) and np.array_equal(found.order[1:], [4, 3, 2, 1, 0])


def test_candidates_that_are_not_finite_are_dropped_and_counted():
    images = pictures()
    candidates = np.concatenate([np.full((1, 16), np.nan), images, images[:2]])
    candidates[7, 3] = np.inf
    found = score(candidates, images)
    assert found.dropped == 2 and found.n_candidates == 7 and found.recall() == 1
    assert not {0, 7} & set(found.order.tolist())


def test_an_attack_with_nothing_finite_scores_zero():
    found = score(np.full((3, 16), np.nan), pictures(), held_out=pictures(1, 20))
    assert (found.recall(), found.mean_ssim, found.n_correlated(), found.dropped) == (0, 0, 0, 3)
    assert np.all(found.order == -1) and np.all(np.isinf(found.errors))
    assert found.chance.recall().mean == 0


def test_recall_counts_support_images_only():
    images = pictures()
    candidates = images.copy()
    candidates[3:] += 1
    support = np.array([True, True, True, False, False, True])
    found = score(candidates, images, support=support)
    assert found.recall() == 0.75 and score(candidates, images).recall() == 0.5
    assert found.mean_ssim == pytest.approx(found.ssim[support].mean())
    support[:] = False
    assert found.recall() == 0.75


# Pictures within a score


def test_the_mean_is_added_before_ssim_and_nowhere_else():
    rng = np.random.default_rng(10)
    pixels, mean = rng.random((4, 27)), rng.random(27)
    candidates = pixels - mean + 0.2 * rng.standard_normal((4, 27))
    plain, shifted = score(candidates, pixels - mean), score(candidates, pixels - mean, mean=mean)
    assert np.array_equal(plain.errors, shifted.errors) and np.array_equal(plain.correlations, shifted.correlations)
    pairs = ssim(candidates + mean, pixels)
    assert np.allclose(shifted.ssim, pairs[shifted.order, range(4)]) and not np.allclose(plain.ssim, shifted.ssim)


def test_stretching_undoes_brightness_and_contrast():
    images = np.random.default_rng(11).random((3, 16))
    images[:, 0], images[:, 1] = 0, 1
    plain, stretched = (score(0.3 * images + 0.1, images, stretch=stretch) for stretch in (False, True))
    assert np.allclose(stretched.ssim, 1) and np.all(plain.ssim < 0.9)
    assert np.array_equal(plain.errors, stretched.errors)
    diverged = np.where(np.arange(16) % 3, -1.7e308, 1.7e308)
    assert abs(score([diverged], images[:1], stretch=True).ssim[0]) < 0.9
    flat = score(np.full((1, 16), 0.5), images[:1], stretch=True)
    assert flat.ssim == pytest.approx(ssim(np.zeros((1, 16)), images[:1])[0])


def test_bytes_are_scored_as_the_numbers_they_are():
    images = np.random.default_rng(12).integers(0, 256, (3, 16), dtype=np.uint8)
    candidates = 255 - images
    asbytes, asfloats = (score(candidates.astype(kind), images.astype(kind), data_range=255) for kind in (np.uint8, float))
    assert np.array_equal(asbytes.errors, asfloats.errors) and np.array_equal(asbytes.ssim, asfloats.ssim)


@pytest.mark.parametrize("d", [1, 3, 4, 5, 12])
def test_without_a_picture_ssim_is_left_out(d):
    found = score(pictures(d=d), pictures(d=d), held_out=pictures(1, 30, d))
    assert found.ssim is None and found.mean_ssim is None and found.chance.mean_ssim is None
    assert found.recall() == 1 and "SSIM" not in found.table()


# Chance


def test_chance_on_digits_correlates_now_and_then_but_recalls_nothing():
    digits = np.random.default_rng(0).permutation(load_digits().data / 16)
    images, mean = digits[:20], digits[:20].mean(axis=0)
    found = score(np.concatenate([images, images]) - mean, images - mean, mean=mean, held_out=digits[20:] - mean, trials=100)
    chance = found.chance
    assert found.recall() == 1 and chance.recall().mean < 0.01
    assert 0.05 < chance.n_correlated().low < chance.n_correlated().mean < 1.5  # measured elsewhere, for other digits: 0.54
    assert 0.3 < chance.mean_ssim.mean < 0.9


def test_chance_draws_as_many_as_candidates_without_replacement():
    images, pool = pictures(0, 4), pictures(1, 9)
    found = score(np.concatenate([pictures(2, 7), [[np.nan] * 16]]), images, held_out=pool, trials=3)
    assert [draw.n_candidates for draw in found.chance.draws] == [7] * 3
    # Four draws of four: only without replacement does each hold every image.
    whole = score(pictures(2, 4), images, held_out=images[::-1], trials=4)
    assert [draw.recall() for draw in whole.chance.draws] == [1] * 4


def test_chance_is_scored_as_the_attack_is():
    images, support = pictures(0, 3), np.array([True, False, True])
    pool = np.concatenate([-images, pictures(1, 2)])
    found = score(pictures(2, 5), images, held_out=pool, trials=2, group="sign", support=support)
    again = score(pool, images, group="sign", support=support)
    assert all(np.array_equal(np.sort(draw.errors), np.sort(again.errors)) for draw in found.chance.draws)
    assert found.chance.recall().mean == 1 and score(pictures(2, 5), images, held_out=pool).chance.recall().mean == 0


def test_the_seed_decides_the_draws():
    images, pool = pictures(0, 4), pictures(1, 50)
    first, same, other = (score(images, images, held_out=pool, seed=seed).chance.mean_ssim for seed in (0, 0, 1))
    assert first == same != other


def test_the_table_shows_the_attack_beside_chance():
    images = pictures()
    lines = str(score(images[:3], images, held_out=pictures(1, 9))).splitlines()
    assert len(lines) == 5 and {line.count("|") for line in lines} == {4}
    assert "0.5 (3 of 6) | 0 (0 to 0)" in lines[2] and "mean of 20 draws" in lines[0]
    assert repr(score(images[:3], images)) == "Score(3 of 6 images below 0.1, 3 candidates, 0 dropped)"


# Intervals


@pytest.mark.parametrize(("level", "z"), [(0.8, 1.2815515655446), (0.95, 1.9599639845401), (0.99, 2.5758293035489)])
@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (1, 1), (3, 7), (50, 50), (123, 1000)])
def test_the_ends_of_wilsons_interval_are_z_standard_errors_away(successes, trials, level, z):
    share, ends = successes / trials, wilson(successes, trials, level)
    assert all(abs(share - end) == pytest.approx(z * np.sqrt(end * (1 - end) / trials), abs=1e-12) for end in ends)
    assert 0 <= ends[0] <= share <= ends[1] <= 1 and ends[0] < ends[1]


@pytest.mark.parametrize(("count", "level", "t"), [(2, 0.8, 3.077684), (2, 0.95, 12.706205), (5, 0.95, 2.776445), (40, 0.8, 1.303639)])
def test_confidence_is_students(count, level, t):
    values = np.random.default_rng(count).standard_normal(count)
    half = t * values.std(ddof=1) / np.sqrt(count)
    assert confidence(values, level) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-5)


def test_one_value_bounds_nothing():
    assert confidence([0.3]) == (-np.inf, np.inf)
    one = score(pictures(), pictures(), held_out=pictures(1, 9), trials=1).chance
    assert (one.recall().low, one.recall().high) == (0, 1) and (one.mean_ssim.low, one.mean_ssim.high) == (-1, 1)


# Refusals


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"candidates": np.zeros((0, 16))}, "candidates: received shape"),
        ({"candidates": np.zeros((2, 15))}, "candidates: received shape"),
        ({"candidates": np.full(16, np.nan)}, "candidates: received shape"),
        ({"candidates": [["a"] * 16]}, "candidates: received"),
        ({"images": np.zeros((0, 16))}, "images: received shape"),
        ({"images": np.full((2, 16), np.nan)}, "images: 32 of 32 values"),
        ({"mean": np.zeros(3)}, "mean: received shape"),
        ({"shape": (4, 5, 1)}, "shape: received .* = 16"),
        ({"shape": (16, 1)}, "window: received 3 pixels"),
        ({"shape": (4, -4, -1)}, "shape: width: received -4"),
        ({"shape": "4x4"}, "shape: received '4x4'"),
        ({"group": "rotation"}, "expected one of none, sign, scaling"),
        ({"support": np.zeros(6, bool)}, "marks no image"),
        ({"support": [0, 1, 2]}, "support: received int"),
        ({"support": np.ones(5, bool)}, "one True or False for each of the 6 images"),
        ({"held_out": np.ones((3, 16))}, "received 3 images, expected at least as many as candidates"),
        ({"held_out": np.ones((9, 15))}, "held_out: received shape"),
        ({"held_out": np.ones((9, 16)), "trials": 0}, "trials: received 0"),
        ({"window": 4}, "expected an odd number"),
        ({"window": "3"}, "window: received '3'"),
        ({"data_range": 0}, "data_range: received 0"),
    ],
)
def test_refusals_name_the_argument(change, match):
    arguments = {"candidates": pictures(), "images": pictures()} | change
    with pytest.raises(ValueError, match=match):
        score(arguments.pop("candidates"), arguments.pop("images"), **arguments)


def test_ssim_of_what_is_no_picture_is_refused():
    with pytest.raises(ShapeError, match="5 numbers are neither a square"):
        ssim(np.ones((1, 5)), np.ones((1, 5)))


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (0, 0), (0.5, 2), (True, 2), (1, 2.0)])
def test_wilson_refuses_what_is_no_share(successes, trials):
    with pytest.raises(InputError, match="^(successes|trials): received"):
        wilson(successes, trials)


def test_levels_are_between_zero_and_one():
    for interval in (lambda: wilson(1, 2, 1.0), lambda: confidence([1.0, 2.0], 95)):
        with pytest.raises(InputError, match="level: received"):
            interval()
    with pytest.raises(ShapeError, match="values: received shape"):
        confidence([])
