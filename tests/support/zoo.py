"""Named instances with known truth, and where the truth comes from. Tests, benchmarks and notebooks share them."""

from __future__ import annotations

from dataclasses import dataclass

from identify.planting.configuration import Configuration

UNIQUE = "unique"
NOT_IDENTIFIABLE = "not identifiable"
ISOLATED = "isolated, not unique"


@dataclass(frozen=True)
class Known:
    """A generic instance whose solutions were counted.

    ``solutions``: complex solutions with all multipliers non-zero, None when there are infinitely many. ``orbit``: how many
    of them are the planted data under the ambiguity group, n! times the size of the sign group to the power n.
    """

    activation: str
    layers: str
    size: tuple[int, int, int]
    truth: str
    solutions: int | None
    orbit: int
    generic_global: bool = False
    """Whether condition C5 holds."""

    @property
    def configuration(self) -> Configuration:
        d, n, m = self.size
        return Configuration(inputs=d, samples=n, width=m, activation=self.activation, layers=self.layers)

    def __str__(self) -> str:
        return f"{self.activation.replace(' ', '')}-{self.layers}-{'x'.join(map(str, self.size))}"


CUBIC, ODD, CUBE = "z + z^2 + z^3", "z + z^3", "z^3"

# Source of every row: Groebner bases modulo a prime, random instance. Sizes are (inputs, samples, width). For z^3 the scale of
# each sample was fixed by one random linear form, so its orbit counts permutations only.
TRUTH_TABLE = (
    Known(CUBIC, "both", (2, 2, 2), ISOLATED, 16, 2),
    Known(CUBIC, "both", (2, 2, 3), UNIQUE, 2, 2, True),
    Known(CUBIC, "both", (2, 2, 4), UNIQUE, 2, 2, True),
    Known(CUBIC, "both", (3, 2, 3), UNIQUE, 2, 2, True),
    Known(CUBIC, "both", (2, 3, 3), UNIQUE, 6, 6),  # by M_1, M_2, M_3 jointly; M_3 alone is not enough
    Known(CUBIC, "both", (2, 3, 5), UNIQUE, 6, 6),
    Known(CUBIC, "both", (3, 2, 2), ISOLATED, 16, 2),
    Known(CUBIC, "both", (3, 3, 4), UNIQUE, 6, 6, True),
    Known(ODD, "both", (2, 2, 3), UNIQUE, 8, 8),
    Known(ODD, "both", (3, 2, 3), UNIQUE, 8, 8, True),
    Known(ODD, "both", (2, 3, 4), NOT_IDENTIFIABLE, None, 48),  # a family of dimension 3
    Known(ODD, "both", (3, 3, 3), ISOLATED, 192, 48),
    Known(ODD, "both", (3, 3, 4), UNIQUE, 48, 48),
    Known(CUBE, "first", (2, 2, 2), UNIQUE, 2, 2),
    Known(CUBE, "first", (3, 2, 3), UNIQUE, 2, 2, True),
    Known(CUBE, "first", (2, 3, 4), NOT_IDENTIFIABLE, None, 6),  # a family of dimension 2
    Known(CUBE, "first", (3, 3, 3), ISOLATED, 24, 6),
)

# (p, D, m): rank of the first-layer interpolation matrix of sigma = z^p without bias, random network.
# Source: ranks of random instances modulo primes. (3,5,7), (4,3,5), (4,4,9) and (4,5,14) are one below the expected
# min(m D, N): the exceptions of the Alexander-Hirschowitz theorem.
INTERPOLATION_RANKS = {
    (3, 5, 6): 30,
    (3, 5, 7): 34,
    (3, 5, 8): 35,
    (3, 4, 5): 20,
    (4, 3, 5): 14,
    (4, 3, 6): 15,
    (4, 4, 9): 34,
    (4, 4, 10): 35,
    (4, 5, 14): 69,
    (4, 5, 15): 70,
}

# Sizes at which data are recovered from exact double-precision targets, sigma = z + z^2/2 + z^3, both layers:
# (inputs, samples, width). Source: planted instances.
SMOOTH_CUBIC = "z + z^2/2 + z^3"
RECOVERABLE = ((5, 4, 12), (8, 8, 30), (12, 12, 60))

# (samples: neurons): max-margin points for sigma = z^3 with the largest number of pairwise non-parallel neurons, 2^n - 1: the
# number of real eigenvectors of an orthogonally decomposable cubic form in n variables (Robeva 2016).
MAX_MARGIN_WIDTHS = {3: 7, 4: 15, 5: 31}
