"""How precisely a target is known: number formats, and noise behind the rank."""

from __future__ import annotations

import numpy as np
import pytest

import identify as idf
from identify.problem.precision import Precision, Source, format_of, roundoff
from identify.problem.rank import Spectrum


def to_bits(values, bits):
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)


class TestFormats:
    @pytest.mark.parametrize("bits", [8, 11, 14, 24, 40])
    def test_bits_of_rounded_numbers(self, bits):
        assert format_of(to_bits(np.random.default_rng(0).standard_normal(300), bits)) == 2.0**-bits

    def test_doubles_integers_and_nothing(self):
        rng = np.random.default_rng(1)
        assert format_of(rng.standard_normal(300)) == 2.0**-53
        assert format_of(rng.integers(-500, 500, 300).astype(float)) == 2.0**-53
        assert format_of(np.zeros(5)) == 2.0**-53
        assert format_of(to_bits(rng.standard_normal(9), 24), to_bits(rng.standard_normal((200, 400)), 24)) == 2.0**-24
        assert format_of(to_bits(rng.standard_normal((200, 400)), 24), rng.standard_normal(9)) == 2.0**-53

    @pytest.mark.parametrize("bits", [11, 24])
    def test_of_few_numbers(self, bits):
        """Of ten numbers two may use the last bit, or eight: bars of a batch of one would be those of doubles."""
        rng = np.random.default_rng(2)
        seen = [format_of(to_bits(rng.standard_normal(10), bits)) for _ in range(100)]
        assert sum(unit == 2.0**-bits for unit in seen) > 90

    @pytest.mark.parametrize("most", [300, 10_000])
    def test_few_integers(self, most):
        rng = np.random.default_rng(3)
        assert sum(format_of(rng.integers(-most, most, 20) / 8.0) < 2.0**-52.5 for _ in range(100)) > 75

    @pytest.mark.parametrize("size", [8, 40])
    def test_relative_to_the_largest_number_of_each_part(self, size):
        rng = np.random.default_rng(4)

        def sent(values, bits):
            largest = np.abs(values).max()
            return to_bits(values / largest, bits) * largest

        parts = [[sent(rng.standard_normal(shape), 11) for shape in ((size, 3), (size,))] for _ in range(20)]
        assert all(format_of(*each) == 2.0**-11 for each in parts)
        assert all(format_of(each[0], rng.standard_normal(size)) == 2.0**-53 for each in parts)
        levels = [np.round(127 * rng.uniform(-1, 1, (size, 3))) / 127 * 0.3 for _ in range(20)]
        assert all(format_of(each) == 2.0**-53 for each in levels)


@pytest.mark.parametrize("k", [-590, 490])
def test_lazy_targets_of_any_size_carry_the_rounding_of_the_parameters(k):
    rng = np.random.default_rng(0)
    nets = [idf.Network([rng.standard_normal((5, 3)), rng.standard_normal((1, 5))], activation="z + z^2") for _ in range(2)]
    scaled = [idf.Network([np.ldexp(W, k) for W in net.weights], activation="z + z^2") for net in nets]
    usual, moved = (roundoff(idf.KKTSystem.lazy(*pair)) for pair in (nets, scaled))
    assert 2.0**-53 < usual < 1e-14 and moved == pytest.approx(usual, rel=1e-12)


class TestNoise:
    def blank(self, bits):
        """A target whose samples have a blank border: inputs that are zero in every sample."""
        system, truth = idf.Configuration(inputs=12, samples=4, width=30, activation="z + z^2/2 + z^3").plant(0)
        X = truth.X.copy()
        X[:, 8:] = 0
        target = system.right_hand_side(X, truth.c)
        return system.with_target(to_bits(target, bits) if bits else target), X, truth.c

    @pytest.mark.parametrize("bits", [16, 24])
    def test_silent_inputs_do_not_hide_the_noise(self, bits):
        rounded, X, c = self.blank(bits)
        spectrum = Spectrum.of(rounded, directions=True)
        assert spectrum.rank == 4 and spectrum.shape == (30, 8) and 0.1 < spectrum.noise * 2**bits < 10
        assert np.abs(spectrum.directions[:, 8:]).max() == 0
        found = idf.recover(rounded)
        assert found.match(X, c).errors.max() < 1e4 * 2.0**-bits

    def test_a_known_number_of_samples_says_where_noise_begins(self):
        rounded, *_ = self.blank(8)
        spectrum = Spectrum.of(rounded)
        assert spectrum.rank != 4  # a gap of less than a hundred
        precision = Precision.of(rounded, spectrum, 4)
        assert precision.source is Source.GAP and 2.0**-11 < precision.noise < 2.0**-6
        assert Precision.of(rounded, spectrum, 2).noise == Precision.of(rounded, spectrum).noise
