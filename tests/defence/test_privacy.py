"""What differential privacy excludes: the bound against the best attack on candidates, and where it turns."""

from __future__ import annotations

import numpy as np
import pytest

from identify.defence.privacy import chance, concentrated, excluding_multiplier, missing_information


class TestChance:
    @pytest.mark.parametrize("multiplier", [0.25, 0.5, 1.0, 2.0])
    def test_is_never_below_that_of_the_best_attack(self, multiplier):
        """64 candidates with orthogonal gradients of norm 1: the most likely one is the largest entry of the noisy gradient."""
        rng = np.random.default_rng(0)
        seen = multiplier * rng.standard_normal((20_000, 64))
        seen[:, 0] += 1.0
        success = np.mean(seen.argmax(axis=1) == 0)
        assert success > 1 / 64 - 0.01
        assert success <= chance(concentrated(multiplier), np.log(64)) + 0.01

    def test_turns_where_rho_meets_the_missing_information(self):
        missing = missing_information(784)
        assert chance(concentrated(excluding_multiplier(missing) / 2), missing) == 1.0
        assert chance(concentrated(2 * excluding_multiplier(missing)), missing) < 1e-9
        assert chance(concentrated(excluding_multiplier(missing)), missing) == pytest.approx(0.01)

    def test_many_steps_need_more_noise(self):
        assert excluding_multiplier(100.0, steps=25) == pytest.approx(5 * excluding_multiplier(100.0))
        assert concentrated(2.0, steps=8) == 8 * concentrated(2.0)

    def test_no_noise_excludes_what_can_be_guessed(self):
        assert excluding_multiplier(np.log(50)) == np.inf
