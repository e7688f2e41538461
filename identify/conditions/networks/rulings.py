r"""Families along straight lines, for piecewise-linear networks: what the update sees of a sample is linear in it, or in its multipliers.

With the states of all neurons at a sample fixed, its contribution to every layer is bilinear in :math:`\gamma_i` and
:math:`(x_i, 1)`. So it is linear in :math:`M_i = t_i (x_i, 1)` if the multipliers keep their direction,
:math:`\gamma_i' = t_i \gamma_i`, and linear in :math:`\gamma_i` if x_i stays. Choose one of the two for each sample. Each vector in the
kernel of this linear map, over the rationals, is a line of data sets with the same update, as long as no state changes. None does for a
small step, if pre-activations that lie exactly on a kink stay there, or move to the side whose slope is stated there. Zero, parallel and
collinear samples, more samples than inputs, neurons with weights of zero: all of them lead to such lines if there are any.

A member of the line is computed in fractions and its update compared with the given one, by definition. The line between two such data
sets consists of data with the same update, because the states allowed at a sample form a convex set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from flint import fmpq, fmpq_mat

from identify.base.norms import relative_size
from identify.conditions.networks.question import NetworkQuestion
from identify.exact.rational_kernel import kernel_vectors, rank_modulo_prime
from identify.exact.updates import Rationals, exact_updates, rational, rationals
from identify.problem.verdict import Arithmetic, Condition, Witness

REFERENCE = "bilinear in multipliers and samples, with the states of all neurons fixed (docs, theory)"
MOST_ENTRIES = 200_000
"""Of the matrix of the linear map, in fractions."""
MOST_RESIDUES = 600_000
"""Entries, for all choices of what moves together; if there are more, all samples move alike."""
ENTRY_SECONDS = 1.5e-6
"""Of one entry, with its residue (measured)."""
COMBINATIONS = 12
"""Of kernel vectors that are tried where a sample on a kink may move to one side only."""
SMALLEST = 40
"""The smallest step that is tried is 2^-40."""
MOVES, TURNS = "moves", "turns"
"""The sample moves, and its multipliers keep their direction; or the multipliers change, and the sample stays."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample with its states: what its contribution is linear in."""

    moving: list[list[fmpq]]
    """For each coordinate of M: the change of all observed updates, flattened."""
    turning: list[list[fmpq]]
    """For each multiplier."""
    kinks: list[list[fmpq]]
    """For each pre-activation on a kink: its distance from it, as a form of M."""


def rulings(question: NetworkQuestion) -> tuple[Condition | None, Witness | None]:
    """A line of data sets through the given ones; None if none was found, or the sizes are too large to look for one."""
    if question.data is None or question.pieces is None or not question.equations_are_complete or _entries(question) > MOST_ENTRIES:
        return None, None
    samples = [_sample(question, i) for i in range(question.samples)]
    for i, each in enumerate(samples):
        if question.samples > 1 and not any(map(any, each.turning)):
            return _unseen(question, i)
    for modes in _modes(question):
        for keeps_kinks in (True, False):
            if keeps_kinks or any(each.kinks for each in samples):
                found = _along(question, samples, modes, keeps_kinks)
                if found is not None:
                    return found
    return None, None


def rulings_seconds(question: NetworkQuestion) -> float:
    """An estimate of :func:`rulings`."""
    entries = _entries(question)
    more = min(MOST_RESIDUES, 2 ** min(question.samples, MOST_RESIDUES.bit_length()) * entries) if question.outputs > 1 else 0.0
    return 0.0 if entries > MOST_ENTRIES else ENTRY_SECONDS * (2 * entries + more)


def _entries(question: NetworkQuestion) -> int:
    return question.equations * question.samples * max(question.inputs + 1, question.outputs)


def _modes(question: NetworkQuestion) -> Iterator[tuple[str, ...]]:
    """What moves of each sample; with one output, multipliers turn whenever samples move."""
    n = question.samples
    if question.outputs == 1:
        yield (MOVES,) * n
    elif 2**n * _entries(question) <= MOST_RESIDUES:
        yield from product((TURNS, MOVES), repeat=n)
    else:
        yield from ((TURNS,) * n, (MOVES,) * n)


def _sample(question: NetworkQuestion, i: int) -> Sample:
    system, data, pieces = question.system, question.data, question.pieces
    assert system is not None and data is not None and pieces is not None
    net, (X, c), d = system.network, data, question.inputs
    affine = [fmpq_mat([[fmpq(int(row == column)) for column in range(d + 1)] for row in range(d)])]
    slopes, kinks = [], []
    for layer, W in enumerate(net.weights[:-1]):
        b, sigma, k = net.biases[layer], pieces.activations[layer], pieces.index[layer][i]
        Z = (fmpq_mat(rationals(W)) * affine[-1]).tolist()
        if b is not None:
            Z = [[*row[:-1], row[-1] + rational(float(offset))] for row, offset in zip(Z, b, strict=True)]
        kinks += [[*Z[j][:-1], Z[j][-1] - rational(sigma.breakpoints[k[j]])] for j in np.flatnonzero(pieces.on_kink[layer][i])]
        lines = [(rational(sigma.slopes[p]), rational(sigma.intercepts[p])) for p in k]
        H = [[s * v for v in row[:-1]] + [s * row[-1] + t] for row, (s, t) in zip(Z, lines, strict=True)]
        affine.append(fmpq_mat(H))
        slopes.append([rational(pieces.table(layer)[code]) for code in pieces.codes(layer)[i]])
    x = fmpq_mat([[v] for v in (*rationals(X[[i]])[0], fmpq(1))])
    features = [P * x for P in affine]
    eye = np.eye(question.outputs)
    own = _signals(net.weights, slopes, rationals(c[[i]]))
    turned = _signals(net.weights, slopes, rationals(eye))
    moving = []
    for k in range(d + 1):
        unit = fmpq_mat([[fmpq(int(row == k))] for row in range(d + 1)])
        moving.append(_flat(question, [u[0] for u in own], [P * unit for P in affine], fmpq(int(k == d))))
    turning = [_flat(question, [u[o] for u in turned], features, fmpq(1)) for o in range(question.outputs)]
    return Sample(moving, turning, [row for row in kinks if any(row)])


def _signals(weights: Sequence[np.ndarray], slopes: list[list[fmpq]], gamma: Rationals) -> list[Rationals]:
    """Of all layers, from the first: a row for each row of multipliers."""
    found = [gamma]
    for W, slope in zip(reversed(weights[1:]), reversed(slopes), strict=True):
        weighted = (fmpq_mat(found[-1]) * fmpq_mat(rationals(W))).tolist()
        found.append([[v * s for v, s in zip(row, slope, strict=True)] for row in weighted])
    return found[::-1]


def _flat(question: NetworkQuestion, signals: list[list[fmpq]], entering: list[fmpq_mat], one: fmpq) -> list[fmpq]:
    """All observed updates of one signal and what enters, layer by layer; ``one`` is what enters with the bias."""
    found: list[fmpq] = []
    for u, h, (W, bias) in zip(signals, entering, question.observed, strict=True):
        if W:
            inner = h.entries()
            found += [a * b for a in u for b in inner]
        if bias:
            found += [a * one for a in u]
    return found


def _along(question: NetworkQuestion, samples: list[Sample], modes: tuple[str, ...], keeps_kinks: bool) -> tuple[Condition, Witness] | None:
    """A line for this choice of what moves; pre-activations on kinks stay there, or are left free and the result is tried."""
    columns: list[list[fmpq]] = []
    kinks: list[tuple[int, list[fmpq]]] = []
    for each, mode in zip(samples, modes, strict=True):
        start = len(columns)
        columns += [list(column) for column in (each.moving if mode == MOVES else each.turning)]
        kinks += [(start, row) for row in each.kinks if mode == MOVES]
    if keeps_kinks:
        for column in columns:
            column += [fmpq(0)] * len(kinks)
        for row, (start, form) in enumerate(kinks, -len(kinks)):
            for k, v in enumerate(form, start):
                columns[k][row] = v
    elif not kinks:
        return None
    seen = set(_seen(question, modes))
    kept = [k for k, column in enumerate(columns) if k in seen or any(column)]
    kernel = []
    for part in kernel_vectors([columns[k] for k in kept], question.seed):
        vector = [fmpq(0)] * len(columns)
        for k, v in zip(kept, part, strict=True):
            vector[k] = v
        kernel.append(vector)
    essential = [[vector[k] for k in sorted(seen)] for vector in kernel]
    dimension = rank_modulo_prime(essential, question.seed) if kernel and seen else 0
    if not dimension:
        return None
    rng = np.random.default_rng([question.seed, 0x12])
    tried = [vector for vector, part in zip(kernel, essential, strict=True) if any(part)]
    if not keeps_kinks:
        more = [
            [sum((int(f) * v for f, v in zip(factors, entries, strict=True)), fmpq(0)) for entries in zip(*kernel, strict=True)]
            for factors in rng.integers(-3, 4, (COMBINATIONS, len(kernel)))
        ]
        tried = [[sign * v for v in vector] for vector in (*tried, *more) if any(vector) for sign in (1, -1)]
        dimension = 1
    for vector in tried[: 1 if keeps_kinks else None]:
        moved = _member(question, modes, vector)
        if moved is not None:
            return _found(question, modes, dimension, moved)
    return None


def _seen(question: NetworkQuestion, modes: tuple[str, ...]) -> list[int]:
    """The unknowns that tell data apart modulo the ambiguity: where the scale of a sample is free, M without its last coordinate."""
    free, at, found = question.ambiguity.has_free_scale, 0, list[int]()
    for mode in modes:
        size = question.inputs + 1 if mode == MOVES else question.outputs
        found += range(at, at + size - (free and mode == MOVES))
        at += size
    return found


def _member(question: NetworkQuestion, modes: tuple[str, ...], vector: list[fmpq]) -> tuple[Rationals, Rationals] | None:
    """Data on the line with exactly the given update, other than the given ones modulo the ambiguity."""
    assert question.system is not None and question.data is not None
    net, observed = question.system.network, question.observed
    X, c = (rationals(part) for part in question.data)
    target, given = exact_updates(net, X, c, observed), names(question, X, c)
    largest = max(abs(v) for v in vector)
    size = max(abs(v) for row in (*X, *c) for v in row)
    for k in range(0, SMALLEST, 4):
        step = size / largest / 2**k
        moved = _moved(question, modes, vector, step, X, c)
        if moved is not None and exact_updates(net, moved[0], moved[1], observed) == target:
            return moved if names(question, *moved) != given else None
    return None


def _moved(
    question: NetworkQuestion, modes: tuple[str, ...], vector: list[fmpq], step: fmpq, X: Rationals, c: Rationals
) -> tuple[Rationals, Rationals] | None:
    at, Y, e = 0, [list(x) for x in X], [list(g) for g in c]
    for i, mode in enumerate(modes):
        size = question.inputs + 1 if mode == MOVES else question.outputs
        change = [step * v for v in vector[at : at + size]]
        at += size
        if mode == MOVES:
            t = 1 + change[-1]
            if t <= 0:
                return None
            Y[i] = [(u + v) / t for u, v in zip(X[i], change, strict=False)]
            e[i] = [t * v for v in c[i]]
        else:
            e[i] = [u + v for u, v in zip(c[i], change, strict=True)]
        if not any(e[i]):
            return None
    return (Y, e) if len({tuple(map(str, x)) for x in Y}) == len(Y) else None


def names(question: NetworkQuestion, X: Rationals, c: Rationals) -> list[tuple]:
    """What the samples are modulo the ambiguity, in order: equal lists for equal data."""
    group, found = question.ambiguity.group, []
    for x, gamma in zip(X, c, strict=True):
        if question.ambiguity.has_free_scale:
            whole = tuple(g * v for g in gamma for v in x)  # equal for all (t x, γ / t)
        else:
            whole = (*x, *gamma)
        images = [whole]
        if group in ("scaling", "even scaling"):
            images.append(tuple(-v for v in whole))
        if group == "sign":
            images.append((*(-v for v in x), *((-1) ** question.ambiguity.degree * v for v in gamma)))
        found.append(max(images))
    return sorted(found)


def _found(
    question: NetworkQuestion, modes: tuple[str, ...], dimension: int, moved: tuple[Rationals, Rationals]
) -> tuple[Condition, Witness]:
    assert question.data is not None
    X, c = question.data
    turned = [i for i, mode in enumerate(modes) if mode == TURNS]
    kind = "multipliers" if len(turned) == len(modes) else "lines"
    how = "their multipliers change" if kind == "multipliers" else "they move within their activation cells"
    if turned and kind == "lines":
        how = f"samples {', '.join(map(str, turned))} change their multipliers, the others move within their activation cells"
    description = (
        f"the update is linear in these data as long as no neuron changes its state ({how}), and does not see {dimension} "
        f"direction{'s' * (dimension > 1)}"
    )
    Y, e = (np.array([[int(v.p) / int(v.q) for v in row] for row in part]) for part in moved)

    def family(s: float) -> tuple[np.ndarray, np.ndarray]:
        ratio = ((e * c).sum(axis=1) / (c * c).sum(axis=1))[:, None]  # t of the member at s = 1
        still = np.isin(np.arange(len(X)), turned)[:, None]
        t = np.where(still, 1.0, 1 - s + s * ratio)
        return np.where(still, X, ((1 - s) * X + s * ratio * Y) / t), np.where(still, (1 - s) * c + s * e, t * c)

    evidence = {"dimension": dimension, "modes": list(modes), "other": written(*moved)}
    return _shown(question, Witness(kind, dimension, description, family), evidence)


def _unseen(question: NetworkQuestion, i: int) -> tuple[Condition, Witness]:
    """A sample whose gradients are all zero: without it the update is the same."""
    assert question.data is not None
    X, c = question.data
    others = np.arange(question.samples) != i
    dimension = question.outputs - (question.ambiguity.has_free_scale and not X[i].any())
    description = f"every gradient at sample {i} is zero: the update is the same with other multipliers, and without this sample"
    plain = Witness("unseen", int(dimension), description, None, (X, c), (X[others], c[others]))
    left = written(*([row for row, kept in zip(rationals(part), others, strict=True) if kept] for part in (X, c)))
    return _shown(question, plain, {"sample": i, "dimension": int(dimension), "other": left})


def written(X: Rationals, c: Rationals) -> dict[str, list[list[str]]]:
    """Data in fractions, as JSON values."""
    return {name: [[str(v) for v in row] for row in part] for name, part in (("X", X), ("c", c))}


def _shown(question: NetworkQuestion, witness: Witness, evidence: dict) -> tuple[Condition, Witness]:
    """With one other member in floating point, if rounding leaves the states as they are."""
    system = question.system
    assert system is not None and question.data is not None
    original = question.data if witness.family is None else witness.family(0.0)
    example = witness.example if witness.family is None else witness.family(1.0)
    assert example is not None
    target = system.right_hand_side(*original)
    residual = relative_size(system.right_hand_side(*example) - target, target)
    shown = Witness(witness.kind, witness.dimension, witness.description)
    if residual < 1e-9:
        shown = Witness(witness.kind, witness.dimension, witness.description, witness.family, original, example, residual)
    return Condition("witness", True, witness.description, evidence, Arithmetic.PROOF, REFERENCE), shown
