"""Coranks against dense Macaulay matrices built from their definition, and the equations of a single sample at the samples."""

from itertools import combinations_with_replacement
from math import comb

import numpy as np
import pytest
from flint import nmod_mat

import identify as idf
from identify.base.limits import OutOfTimeError, TooLargeError, limit_memory, limit_time
from identify.conditions.macaulay import Shape, generators, point_of
from identify.conditions.reduction import reduce
from identify.exact.completion import determinants, flattenings, minors
from identify.exact.macaulay import Generators, Module, coranks
from identify.exact.univariate import a_real_root, real_roots, without_roots_of
from identify.problem.interpolation import Monomials
from identify.theory.cases import draw

Q = 2**31 - 1


def exponents(variables, size):
    return [tuple(np.bincount(row, minlength=variables)) for row in map(list, combinations_with_replacement(range(variables), size))]


def dense_corank(module, parts, degree, q):
    """The corank of the Macaulay matrix, with dictionaries: every monomial times every generator."""
    columns = [(o, e) for size in module.sizes(degree) for e in exponents(module.variables, size) for o in range(module.outputs)]
    place = {key: k for k, key in enumerate(columns)}
    rows = []
    for part in parts:
        extra = degree - part.degree
        for size in range(extra + 1):
            if size < module.lowest - part.least or ((extra - size) % module.weight if module.weight else extra - size):
                continue
            for multiplier in exponents(module.variables, size):
                for number in range(len(part)):
                    row = [0] * len(columns)
                    for block, values in part.blocks.items():
                        keys = [(o, e) for o in range(module.outputs) for e in exponents(module.variables, block)]
                        for (o, e), value in zip(keys, values[number], strict=True):
                            key = (o, tuple(a + b for a, b in zip(e, multiplier, strict=True)))
                            row[place[key]] = int(value) % q
                    rows.append(row)
    return len(columns) - (nmod_mat(rows, q).rank() if rows else 0)


def some_generators(module, degree, forms, sizes, seed=0):
    rng = np.random.default_rng(seed)
    count = {k: module.outputs * comb(module.variables + k - 1, k) for k in sizes}
    return Generators(degree, {k: rng.integers(-1000, 1000, (forms, size)).astype(np.int32) for k, size in count.items()})


@pytest.mark.parametrize(
    ("module", "degree", "forms", "sizes"),
    [
        (Module(3), 2, 4, (0, 1, 2)),
        (Module(2, outputs=2), 2, 5, (0, 1, 2)),
        (Module(3, weight=2), 2, 4, (0, 2)),
        (Module(3, weight=0), 2, 3, (2,)),
        (Module(2, weight=1, lowest=1), 2, 3, (1, 2)),
        (Module(2, weight=2, lowest=1), 3, 3, (1, 3)),
        (Module(2, weight=1, lowest=3), 3, 3, (2, 3)),
        (Module(2, weight=3, lowest=2), 4, 2, (1, 4)),
    ],
)
def test_general_equations_have_the_coranks_of_the_dense_matrix(module, degree, forms, sizes):
    parts = [some_generators(module, degree, forms, sizes)]
    for step, _ in zip(coranks(module, parts, Q), range(4), strict=False):
        assert step.corank == dense_corank(module, parts, step.degree, Q)


def test_generators_of_two_degrees():
    module = Module(3)
    parts = [some_generators(module, 2, 2, (0, 1, 2)), some_generators(module, 3, 3, (0, 1, 2, 3), seed=1)]
    found = [step.corank for step, _ in zip(coranks(module, parts, Q), range(4), strict=False)]
    assert found == [dense_corank(module, parts, degree, Q) for degree in range(3, 7)]


def test_special_equations_too():
    """Squares of the variables and their differences: multiple points, where bases are far from general ones."""
    module = Module(2)
    parts = [Generators(2, {0: np.zeros((2, 1), np.int32), 1: np.zeros((2, 2), np.int32), 2: np.array([[1, 0, 0], [0, 0, 1]], np.int32)})]
    found = [step.corank for step, _ in zip(coranks(module, parts, Q), range(5), strict=False)]
    assert found == [dense_corank(module, parts, degree, Q) for degree in range(2, 7)] == [4, 4, 4, 4, 4]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("activation", "outputs", "layers"), [("z + z^3", 1, "first"), ("z^2 + z^3", 2, "both"), ("1 + z^2 + z^4", 2, "second")]
)
def test_the_equations_vanish_at_the_samples(activation, outputs, layers, bias):
    n, q, rng = 2, Q, np.random.default_rng(1)
    case = draw(idf.Configuration(inputs=3, samples=n, width=7, activation=activation, outputs=outputs, layers=layers, bias=bias), 0)
    setting = reduce(case.of_these_data)[1]
    point = point_of(setting.instance, rng)
    q = point.q
    module, parts = generators(setting.instance, point, Shape.of(setting))
    for part in parts:
        for x, gamma in zip(point.X, point.c, strict=True):
            gamma = gamma if module.outputs > 1 else np.ones(1, dtype=np.int64)
            total = 0
            for size, values in part.blocks.items():
                powers = Monomials.of(module.variables, size).values(x[None], lambda v: v % q)[0]
                total = total + (values.astype(object) @ np.outer(gamma, powers).ravel().astype(object))
            assert not (total % q).any()


def test_limits_are_kept():
    parts = [some_generators(Module(12), 2, 13, (0, 1, 2))]
    with limit_memory(2**20), pytest.raises(TooLargeError):
        list(coranks(Module(12), parts, Q))
    with limit_time(1e-9), pytest.raises(OutOfTimeError):
        list(coranks(Module(12), parts, Q))
    with pytest.raises(TooLargeError):
        Module(40).codes(2)


def test_determinants():
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, Q, (5, 4, 4))
    assert determinants(matrices, Q).tolist() == [int(nmod_mat(m.tolist(), Q).det()) for m in matrices]


def test_minors_of_completion_vanish_at_the_data_only_to_first_order():
    case = draw(idf.Configuration(inputs=2, samples=2, width=4, activation="z^4 + z", outputs=2, bias=True, layers="first"), 3)
    setting = reduce(case.of_these_data)[1]
    rng = np.random.default_rng(2)
    point = point_of(setting.instance, rng)
    parts = flattenings(setting.instance.degrees, 1, 2, 2)
    module, forms = minors(point, parts, rng, largest=100)
    assert module.variables == 10 - 8 and forms.degree == 3
    assert not forms.blocks[0].any() and forms.blocks[1].any()


def test_real_roots_by_sturm():
    from flint import fmpq_poly

    f = fmpq_poly([-2, 0, 1]) * fmpq_poly([1, 0, 1]) * fmpq_poly([-3, 1]) ** 2
    assert real_roots(f) == 3 and real_roots(fmpq_poly([1, 0, 1])) == 0 and real_roots(fmpq_poly([5])) == 0
    assert real_roots(without_roots_of(f, fmpq_poly([-3, 1]))) == 2
    assert abs(a_real_root(fmpq_poly([-2, 0, 0, 1])) - 2 ** (1 / 3)) < 1e-15
