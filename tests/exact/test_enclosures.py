"""Intervals: every operation encloses the exact result, and a proved rank is a rank."""

from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx, fmpq, fmpq_mat

from identify.exact.enclosures import Enclosure, has_full_column_rank
from identify.exact.pieces import on_pieces
from identify.problem.activation import Activation

SIZES = [1.0, 1e-150, 1e150, 1e-308]


def fractions(values):
    return np.vectorize(Fraction, otypes=[object])(np.asarray(values, dtype=float))


def contains(enclosure, exact) -> bool:
    flat = zip(enclosure.mid.reshape(-1).tolist(), enclosure.rad.reshape(-1).tolist(), exact.reshape(-1), strict=True)
    return all(abs(Fraction(mid) - value) <= Fraction(rad) for mid, rad, value in flat)


@pytest.mark.parametrize("size", SIZES)
def test_products_and_sums_enclose_the_exact_ones(size):
    rng = np.random.default_rng(3)
    A, B, C = rng.standard_normal((5, 40)) * size, rng.standard_normal((40, 6)), rng.standard_normal((5, 40))
    assert contains(Enclosure.of(A).dot(B), fractions(A) @ fractions(B))
    assert contains(Enclosure.of(A).times(Enclosure.of(C)), fractions(A) * fractions(C))
    assert contains(Enclosure.of(A).plus(Enclosure.of(C)), fractions(A) + fractions(C))


def test_radii_go_through_products_and_sums():
    rng = np.random.default_rng(4)
    mid, rad, B = rng.standard_normal((4, 7)), rng.uniform(0, 1e-3, (4, 7)), rng.standard_normal((7, 4))
    ends = [fractions(mid) + sign * fractions(rad) * fractions(np.sign(B[:, 0])) for sign in (-1, 1)]
    for end in ends:  # the corner that moves the first column most
        assert contains(Enclosure(mid, rad).dot(B), end @ fractions(B))
        assert contains(Enclosure(mid, rad).times(Enclosure(mid, rad)), end * end)
        assert contains(Enclosure(mid, rad).plus(Enclosure(mid, rad)), end + end)


@pytest.mark.parametrize("name", ["tanh", "gelu", "softplus", "relu", "z + z^3"])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_activations_are_enclosed(name, order):
    sigma = Activation.parse(name)
    z = np.array([-7.3, -0.4, 0.1, 2.0, 11.5])
    found = Enclosure(z, np.full(5, 1e-9)).apply(sigma, order)
    before, ctx.prec = ctx.prec, 200
    try:
        for k, value in enumerate(z.tolist()):
            for at in (value - 1e-9, value, value + 1e-9):
                ball = arb(found.mid[k], float(found.rad[k]))
                assert ball.overlaps(sigma.ball(arb(at), order))
    finally:
        ctx.prec = before
    assert (found.rad < 1e-6).all()


def test_what_overflows_is_not_enclosed_by_a_finite_radius():
    found = Enclosure.of(np.array([1e4])).apply(Activation.parse("exp"))
    assert found.rad[0] == np.inf and not has_full_column_rank(found.reshape(1, 1))


def test_products_that_overflow_have_an_infinite_radius_and_do_not_warn():
    huge = Enclosure(np.array([[1e200, 0.0]]), np.array([[1e300, np.inf]]))
    found = [huge.times(huge), huge.plus(Enclosure(huge.mid, np.full((1, 2), 1.7e308))), huge.dot(np.full((2, 2), 1e200))]
    found += [huge.rows_dot(np.array([[1e200, 0.0]])), on_pieces(Activation.parse("relu"), huge, np.zeros((1, 2), int), 0)]
    assert all(np.isinf(each.rad).any() and not np.isnan(each.rad).any() for each in found)
    assert not any(has_full_column_rank(each) for each in found[:2])


@pytest.mark.parametrize("seed", range(5))
def test_a_proved_rank_is_the_rank(seed):
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.integers(3, 30)), int(rng.integers(1, 12))
    scales = 2.0 ** rng.integers(-200, 200, columns)
    values = rng.integers(-4, 5, (rows, columns)) * scales
    exact = fmpq_mat(rows, columns, [fmpq(Fraction(v).numerator, Fraction(v).denominator) for v in values.reshape(-1)])
    assert has_full_column_rank(Enclosure.of(values)) == (exact.rank() == columns)


def test_a_rank_that_the_radius_hides_is_not_proved():
    values = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-6], [0.0, 0.0]])
    assert has_full_column_rank(Enclosure.of(values))
    assert not has_full_column_rank(Enclosure(values, np.full((3, 2), 1e-6)))
    assert not has_full_column_rank(Enclosure.of(np.ones((3, 2))))
    assert not has_full_column_rank(Enclosure.of(np.ones((1, 2)))) and has_full_column_rank(Enclosure.of(np.zeros((3, 0))))
