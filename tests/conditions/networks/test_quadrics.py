"""The matrix of Theorem B against its definition: the columns that are left out change no rank."""

from itertools import combinations_with_replacement

import numpy as np
import pytest

import identify as idf
from identify.conditions.networks import quadrics as module
from identify.conditions.networks.quadrics import Equations, Quadrics, candidates, quadrics
from identify.conditions.networks.question import NetworkQuestion
from identify.exact.modular import rank, residue

CASES = {
    "one output": ({"width": 200, "layers": "first"}, Equations.BACKWARD),
    "two outputs": ({"width": 40, "outputs": 2, "layers": "first"}, Equations.BACKWARD),
    "two outputs, too narrow": ({"width": 13, "outputs": 2, "layers": "first"}, Equations.BACKWARD),
    "two layers of signals": ({"width": (60, 9), "outputs": 3}, Equations.BOTH_SIGNALS),
    "features": ({"width": (60, 9), "outputs": 3}, Equations.FORWARD),
    "features, too narrow": ({"width": (14, 9), "outputs": 3}, Equations.FORWARD),
}


def asked(**options):
    config = idf.Configuration(**({"inputs": 6, "samples": 4, "outputs": 1, "bias": True} | options))
    system, truth = config.plant(3)
    return NetworkQuestion.of_system(system, 4, 0, (truth.X, truth.c.reshape(4, -1)))


def whole(each: Quadrics, v: np.ndarray, r: np.ndarray, q: int) -> np.ndarray:
    """All products of the unknowns, term by term."""
    n, k, total, both = each.samples, each.others, residue(each.low + each.high, q), residue(each.low * each.high, q)
    own, other = (list(combinations_with_replacement(range(size), 2)) for size in (n, k))
    place = {("zz", *pair): 0 for pair in own}
    place |= {("zy", i, j): 0 for i in range(n) for j in range(k)} if total else {}
    place |= {("yy", *pair): 0 for pair in other} if both else {}
    place = {name: at for at, name in enumerate(place)}
    rows = []
    for a, b in zip(v.tolist(), r.tolist(), strict=True):
        row = [0] * len(place)
        for x, y, sign in ((a, a, 1), (a, b, -total), (b, b, both)):  # (v - low r) (v - high r)
            names = "zz" if y is a else "yy" if x is b else "zy"
            for i, s in enumerate(x):
                for j, t in enumerate(y):
                    at = place.get((names, *(sorted((i, j)) if names != "zy" else (i, j))))
                    if at is not None:
                        row[at] = (row[at] + sign * s * t) % q
        rows.append(row)
    for names, size in (("zz", n), ("yy", k)) if each.ties and total else ():
        for i in range(size) if names == "zz" or both else ():  # the sums of both kinds of unknowns are the same, times one of them
            row = [0] * len(place)
            for j in range(n):
                row[place["zz", min(i, j), max(i, j)] if names == "zz" else place["zy", j, i]] += 1
            for j in range(k):
                row[place["zy", i, j] if names == "zz" else place["yy", min(i, j), max(i, j)]] -= 1
            rows.append([value % q for value in row])
    return np.array(rows, dtype=np.int64)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(1/4)", "abs"])
@pytest.mark.parametrize("case", CASES)
def test_left_out_columns_depend_on_the_others(case, activation, monkeypatch):
    options, equations = CASES[case]
    question = asked(activation=activation, **options)
    seen = []
    original = Quadrics.matrix

    def watched(self, v, r, q):
        seen.append((self, v, r, q))
        return original(self, v, r, q)

    monkeypatch.setattr(Quadrics, "matrix", watched)
    each = next(one for one in candidates(question) if one.equations is equations)
    matrix = module._matrix_at(question, each, question.passes())
    own, v, r, q = seen[0]
    full = whole(own, v, r, q)
    assert full.shape == (own.rows, own.columns) and matrix.shape == (own.rows, own.needed)
    assert rank(matrix, q) == rank(full, q)
    assert (rank(full, q) == own.needed) == ("narrow" not in case)
    monkeypatch.setattr(module, "AT_ONCE", 1)  # neuron by neuron
    assert np.array_equal(original(own, v, r, q), matrix)


def test_a_large_matrix_is_proved_by_a_small_prime(monkeypatch):
    """From some hundred columns on, elimination ends as soon as a column depends on others: no second prime is needed."""
    monkeypatch.setattr(module, "LARGE", 1)
    monkeypatch.setattr("identify.exact.modular.LARGE", 1)
    found = quadrics(asked(activation="relu", width=200, layers="first"))
    assert found.is_proved and len(found.evidence["primes"]) == 1 and found.evidence["primes"][0] < 2**22
    assert quadrics(asked(activation="relu", width=9, layers="first")).holds is False
