"""Tables of activations: what they enclose contains the values in high precision, tightly, and nothing is said elsewhere."""

from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx, fmpq

from identify.exact.enclosures import Enclosure
from identify.exact.tables import FARTHEST, Table, table_of
from identify.problem.activation import Activation
from identify.problem.functions import FORMULAS, HIGHEST_ORDER

WHERE = (Fraction(-1), Fraction(-1, 3), Fraction(0), Fraction(1))
"""Points of an interval, in radii from its centre."""


def intervals(seed, size=3.0, number=1500):
    rng = np.random.default_rng(seed)
    rad = 10 ** rng.uniform(-17, -1.6, number) * rng.integers(0, 2, number)
    return rng.standard_normal(number) * size, rad


def exactly(value):
    return arb(fmpq(value.numerator, value.denominator))


def contains(mid, rad, value) -> bool:
    """Whether a ball of high precision lies in the interval."""
    return bool(abs(value - arb(mid)) <= arb(rad))


@pytest.mark.parametrize("order", range(HIGHEST_ORDER + 1))
@pytest.mark.parametrize("name", FORMULAS)
def test_every_point_of_an_interval_has_its_value_in_the_enclosure(name, order):
    sigma, (mid, rad) = Activation.parse(name), intervals(order)
    found, bound, known = table_of(name).enclose(mid, rad, order)
    assert known.mean() > 0.5
    with ctx.workprec(200):
        for k in np.flatnonzero(known)[::30]:
            for place in WHERE:
                point = exactly(Fraction(mid[k]) + place * Fraction(rad[k]))
                assert contains(found[k], bound[k], sigma.ball(point, order)), (mid[k], rad[k], place)


@pytest.mark.parametrize("name", ["gelu", "tanh", "silu", "softplus"])
def test_enclosures_are_about_as_narrow_as_balls(name):
    sigma, (mid, rad) = Activation.parse(name), intervals(9, size=1.5)
    _, bound, known = table_of(name).enclose(mid, rad, 0)
    balls = [sigma.ball(arb(mid[k], rad[k]), 0) for k in np.flatnonzero(known)]
    widths = np.array([float(ball.rad()) + 2.0**-53 * (1 + abs(float(ball.mid()))) for ball in balls])
    assert np.median(bound[known] / widths) < 1.5


def test_a_coefficient_that_is_off_by_more_than_the_error_would_be_seen():
    table, (mid, _) = Table("gelu"), intervals(1)
    table.enclose(mid, np.zeros_like(mid), 0)
    table.coefficients[:, 0, 0] += 8 * table.errors[:, 0]
    found, bound, known = table.enclose(mid, np.zeros_like(mid), 0)
    with ctx.workprec(200):
        sigma = Activation.parse("gelu")
        assert not any(contains(found[k], bound[k], sigma.ball(arb(mid[k]), 0)) for k in np.flatnonzero(known)[:50])


def test_the_borders_of_cells_belong_to_both():
    z = np.repeat(np.arange(-40, 41) / 32, 8)
    z = np.concatenate([z, np.nextafter(z, np.inf), np.nextafter(z, -np.inf)])
    found, bound, known = Table("tanh").enclose(z, np.full_like(z, 1e-9), 1)
    assert known.all()
    with ctx.workprec(200):
        sigma = Activation.parse("tanh")
        for k in range(len(z)):
            assert contains(found[k], bound[k], sigma.ball(arb(z[k]), 1))


def test_nothing_is_said_far_away_of_wide_intervals_or_for_few_numbers():
    table = Table("gelu")
    mid = np.array([0.1, FARTHEST + 1.0, np.inf, np.nan, 0.1, 0.1, *np.full(40, 0.1)])
    rad = np.array([0.0, 0.0, 0.0, 0.0, 0.1, np.inf, *np.zeros(40)])
    assert table.enclose(mid, rad, 0)[2].tolist() == [True, False, False, False, False, False, *[True] * 40]
    assert not table.enclose(np.array([7.3]), np.zeros(1), 0)[2].any()  # a ball is cheaper than a cell
    assert table.enclose(np.array([0.1]), np.zeros(1), 0)[2].all()  # which is there already


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "mish"])
def test_entries_that_no_table_has_are_enclosed_by_balls(name):
    mid, rad = intervals(4, size=30.0, number=300)
    rad[::5] = 0.3
    found = Enclosure(mid.reshape(10, 30), rad.reshape(10, 30)).apply(Activation.parse(name), 1)
    assert found.mid.shape == (10, 30) and np.isfinite(found.rad).all()
    with ctx.workprec(200):
        for k in range(0, 300, 5):
            value = Activation.parse(name).ball(arb(mid[k]), 1)
            assert contains(found.mid.reshape(-1)[k], found.rad.reshape(-1)[k], value)
