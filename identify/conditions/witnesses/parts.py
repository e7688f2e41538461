r"""A part of the data that moves on its own: constant rank in fewer coordinates.

At degenerate data the Jacobian of (S) may have less rank than at generic data, and then its kernel proves nothing. But some of the
samples may be moved within their own span, and their multipliers within theirs, while everything else stays. That is (S) for a
smaller problem, whose Jacobian may have at these data the largest rank that it can have anywhere, yet too small a rank. By
the constant rank theorem such a part lies in a manifold along which the target stays the same.

Few samples are tried in all combinations; of many, all together, and those together that share a vector of the kernel, which
is a direct sum over these groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from flint import fmpq_mat
from jaxtyping import Int

from identify.base.limits import TooLargeError
from identify.conditions.setting import Setting
from identify.conditions.witnesses.equations import rationals
from identify.exact.elimination import to_flint, to_numpy
from identify.exact.instance import Residues
from identify.exact.modular import Arithmetic, MinorBound, certified_rank, multiply, random_prime
from identify.problem.verdict import Witness

MAX_ENTRIES = 40_000
"""Entries of a matrix of samples or multipliers whose rank over the rationals is computed."""
FEW = 4
"""Samples of which all combinations are tried."""
MAX_UNKNOWNS = 600
"""Columns of a Jacobian whose kernel is computed."""


@dataclass(frozen=True)
class Part:
    """Some samples, with the dimensions of the spaces in which they and their multipliers move; None for all of the space."""

    samples: tuple[int, ...]
    span: int | None = None
    multipliers: int | None = None

    def setting(self, setting: Setting) -> Setting:
        """The smaller problem, as far as sizes go: without numbers."""
        instance = setting.instance
        inputs = instance.coordinates if self.span is None else self.span
        outputs = instance.n_outputs if self.multipliers is None else self.multipliers
        sizes = replace(instance, n_inputs=inputs, n_outputs=outputs, n_samples=len(self.samples), span="full")
        return replace(setting, instance=replace(sizes, W=None, A=None, offsets=None, X=None, c=None, basis=None))

    def at(self, setting: Setting, q: int, rng: np.random.Generator) -> Residues:
        """The smaller problem modulo q. Raises ZeroDivisionError for a prime modulo which one of the spaces is smaller."""
        chosen = list(self.samples)
        point = setting.instance.at(q, rng)
        point = replace(point, X=point.X[chosen], c=point.c[chosen])
        if self.span is not None:
            origin = point.X[0] if is_affine(setting) else np.zeros_like(point.X[0])
            directions, coordinates = _in_basis((point.X - origin) % q, q, self.span)
            point = point.on_span(origin, directions, coordinates)
        if self.multipliers is not None:
            directions, coordinates = _in_basis(point.c, q, self.multipliers)
            point = replace(point, A=multiply(directions, point.A, q), c=coordinates)
        return point

    def minor_bound(self, setting: Setting, size: int) -> MinorBound:
        """As for the whole instance; products of two given numbers have at most twice their bits, and the sums a few more."""
        whole = setting.instance.minor_bound(size)
        return MinorBound(whole.degree, 3 * whole.bits)

    def __str__(self) -> str:
        names = ", ".join(str(i + 1) for i in self.samples)
        text = f"sample {names}" if len(self.samples) == 1 else f"samples {names}"
        text += "" if self.span is None else f", in their {self.span}-dimensional span"
        return text + ("" if self.multipliers is None else f", with multipliers in their {self.multipliers}-dimensional span")


def moving_part(setting: Setting) -> tuple[Witness, dict, Arithmetic] | None:
    """A part of given data that lies in a family with the same target, with the evidence; None if none is found.

    Of the parts that qualify, the one with the largest family. Only for given data, and if (S) is all that constrains them. Cost:
    the kernel of the Jacobian modulo a prime, and for each combination of samples up to eight ranks of smaller Jacobians.
    """
    if setting.scope.data != "this data" or not setting.equations_are_complete or setting.data is None:
        return None
    if setting.instance.n_unknowns > MAX_UNKNOWNS or max(part.size for part in setting.data) > MAX_ENTRIES:
        return None
    try:
        found = [each for part in _parts(setting) if (each := _family(setting, part)) is not None]
    except TooLargeError:
        return None
    return max(found, key=lambda each: each[0].dimension, default=None)


def is_affine(setting: Setting) -> bool:
    """Whether samples may be moved within an affine space: first-layer rows show more than that without those of the biases."""
    observed = setting.instance.observed
    return observed.bias or (setting.instance.has_bias and not observed.W)


def _parts(setting: Setting) -> Iterator[Part]:
    assert setting.data is not None
    X, c = (rationals(part) for part in setting.data)
    d, C = setting.instance.coordinates, setting.instance.n_outputs
    n = len(X)
    few = [each for size in range(1, n + 1) for each in combinations(range(n), size)] if n <= FEW else None
    for samples in few or dict.fromkeys([tuple(range(n)), *_groups(setting)]):
        chosen = list(samples)
        span = _rank(X[chosen] - X[chosen[0]] if is_affine(setting) else X[chosen])
        line = _rank(c[chosen])
        for r in (None, span) if 0 < span < d else (None,):
            for k in (None, line) if line < C else (None,):
                if len(samples) < n or r is not None or k is not None:
                    yield Part(samples, r, k)


def _groups(setting: Setting) -> list[tuple[int, ...]]:
    """Samples that share vectors of the kernel of the Jacobian modulo a prime; those that no such vector moves are left out."""
    rng = np.random.default_rng([setting.seed, 0xFA])
    q = random_prime(rng)
    try:
        form, rank = to_flint(setting.instance.at(q, rng).jacobian(), q).rref()
    except ZeroDivisionError:
        return []
    echelon = to_numpy(form)[:rank]
    basis = (echelon != 0).argmax(axis=1)
    each = setting.instance.n_unknowns // setting.instance.n_samples
    groups: list[set[int]] = []
    for column in np.setdiff1d(np.arange(setting.instance.n_unknowns), basis).tolist():
        moved = {column // each, *(basis[echelon[:, column] != 0] // each).tolist()}
        groups = [group for group in groups if not group & moved] + [moved.union(*(group for group in groups if group & moved))]
    return sorted(tuple(sorted(group)) for group in groups)


def _family(setting: Setting, part: Part) -> tuple[Witness, dict, Arithmetic] | None:
    """The family in which a part moves, by comparing its rank at the data with an upper bound on its rank anywhere."""
    small = part.setting(setting)
    needed = small.instance.n_unknowns - len(part.samples) * small.scales_per_sample
    bound, arithmetic = small.instance.image_bound, Arithmetic.PROOF
    here = certified_rank(lambda q, rng: part.at(setting, q, rng).jacobian(), needed, seed=setting.seed + 13, most=bound)
    if here.is_full:
        return None
    evidence: dict = {"samples": [i + 1 for i in part.samples], "rank": here.rank, "needed": needed, "largest_possible": bound}
    if here.rank < bound:
        generic = certified_rank(
            lambda q, rng: part.at(setting, q, rng).at_random_point(rng).jacobian(),
            needed,
            seed=setting.seed + 17,
            minors=part.minor_bound(setting, needed),
        )
        if here.rank < generic.rank or generic.arithmetic is not Arithmetic.MONTE_CARLO:
            return None
        arithmetic = generic.arithmetic
        evidence |= {"largest_possible": generic.rank, "primes": list(generic.primes), "error_bound": generic.error_bound}
    dimension = needed - here.rank
    description = (
        f"{part} can be moved along a smooth {dimension}-dimensional family of data sets with the same target (modulo the ambiguity), "
        f"while all else stays: the target has only {here.rank} independent derivatives for {needed} parameters, at these data and "
        "anywhere in these spaces"
    )
    return Witness("fibre", dimension, description), evidence, arithmetic


def _in_basis(rows: Int[np.ndarray, "rows columns"], q: int, rank: int) -> tuple[Int[np.ndarray, "r columns"], Int[np.ndarray, "rows r"]]:
    """Independent rows, and the coordinates of all rows in them, modulo q; ``rank`` is their number over the rationals."""
    form, found = to_flint(np.ascontiguousarray(rows.T), q).rref()
    if found != rank:
        raise ZeroDivisionError(f"the rank over the rationals is {rank}, modulo {q} it is {found}")
    echelon = to_numpy(form)[:rank]
    return rows[(echelon != 0).argmax(axis=1)], np.ascontiguousarray(echelon.T)


def _rank(rows: np.ndarray) -> int:
    return fmpq_mat(rows.tolist()).rank()
