"""Error bars of features behind a softmax loss, against the errors of many recoveries, by the format of the update."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ml_dtypes import bfloat16
from scipy.special import softmax
from support.marks import slow_unless

import identify as idf
from identify.recovery.separation.head_bars import noise_of
from identify.recovery.separation.subspace import Subspace

FEW, MANY = (20, 10, 2, True), (40, 40, 6, False)


def scaled_half(part: np.ndarray) -> np.ndarray:
    """Half precision by the largest entry: the values themselves are in no short format."""
    scale = np.abs(part).max()
    return (part / scale).astype(np.float16).astype(float) * scale


def noisy(part: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(np.frombuffer(part.tobytes(), np.uint32)[:64])
    return part + 1e-6 * np.sqrt(np.mean(part**2)) * rng.standard_normal(part.shape)


FORMATS = {
    "exact": lambda part: part,
    "float32": lambda part: part.astype(np.float32).astype(float),
    "bfloat16": lambda part: part.astype(bfloat16).astype(float),
    "float16 in other units": scaled_half,
    "noise": noisy,
}


def planted(features, classes, n, lifted, seed, change):
    rng = np.random.default_rng([seed, features, classes])
    A, b = rng.standard_normal((classes, features)) / features**0.5, 0.1 * rng.standard_normal(classes)
    H, y = rng.random((n, features)) * 2 - 1, rng.integers(classes, size=n)
    c = (np.eye(classes)[y] - softmax(H @ A.T + b, axis=1)) / n
    if change is noisy:
        G = noisy(c.T @ np.hstack([H, np.ones((n, 1))]))
        W, bias = G[:, :-1], G[:, -1]
    else:
        W, bias = change(c.T @ H), change(c.sum(axis=0))
    return idf.KKTSystem.linear_head(A, b, W=W, bias=bias if lifted else None), H, c


@pytest.mark.parametrize(("size", "change"), slow_unless(lambda size, name: size is FEW, itertools.product((FEW, MANY), FORMATS)), ids=str)
def test_bars_are_those_of_the_errors(size, change):
    ratios, change = [], FORMATS[change]
    for seed in range(4):
        system, H, c = planted(*size, seed, change)
        try:
            found = idf.recover(system, samples=size[2])
        except idf.RecoveryError:  # eight bits may be too few
            continue
        match = found.match(H, c)
        if match.errors.max() < 0.5:
            ratios += list(match.errors / found.relative_error_bars[match.order])
    assert len(ratios) >= size[2]
    assert 0.5 < np.sqrt(np.mean(np.square(ratios))) < 2


def test_noise_that_is_relative_is_told_from_noise_that_is_alike():
    for change, is_relative in ((scaled_half, True), (noisy, False)):
        system, _, _ = planted(40, 40, 6, True, 0, change)
        spread = noise_of(system.update, Subspace.of(system.update, 6), 2.0**-53)
        assert bool(spread.max() > 3 * spread.min()) is is_relative


@pytest.mark.once
@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16 in other units"])
def test_one_sample_of_two_classes(name):
    """The rows are opposite, so rounding leaves a target of rank one: only the format says how few digits there are."""
    ratios = []
    for seed in range(20):
        system, H, c = planted(6, 2, 1, True, seed, FORMATS[name])
        found = idf.recover(system, samples=1)
        ratios += list(found.match(H, c).errors / found.relative_error_bars)
    assert np.mean(np.array(ratios) < 12) > 0.8 and 0.1 < np.median(ratios) < 4
