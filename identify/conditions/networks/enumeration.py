r"""Theorem B without products: every choice of slopes is tried, so that no other sample can be missed.

The equations of a single sample are :math:`F_j(\zeta) = s_j\, G_j(\gamma)` for every neuron j, with linear forms F and G and a slope
:math:`s_j` of the activation. Backward: its column :math:`\sum_i \zeta_i u_i^1` and :math:`a_j\cdot\gamma`, or for deeper networks
:math:`W_2^\top` times a column of :math:`G_2`. Forward: its features and its pre-activations. Once the slopes are chosen, this is linear. A
search takes one neuron after the other. Each one that the present subspace does not satisfy yet costs it a dimension, whatever its slope,
so there are at most (number of slopes)^(unknowns - 1) lines, however wide the network is. The samples are among them. If there is no
other, the data are the only ones.

It is done modulo a prime. A subspace has no more dimensions over the rationals than there. So a line found modulo the prime is at most one
line over the rationals. If it is that of a sample, its slopes are those of the sample, unless a signal (or pre-activation) that is not zero
vanishes modulo the prime, which is checked. A subspace in which :math:`\zeta` vanishes modulo the prime is left out only if n of its
neurons have slope zero: their forms are of :math:`\zeta` alone, and independent, so that it vanishes over the rationals, too.

Slopes are those of the pieces and those stated at kinks, so that samples on kinks are included. A line is left out if it needs more neurons
on kinks than a point in the span of the samples can have there.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import log10
from operator import mul

import numpy as np
from jaxtyping import Int

from identify.base.limits import refuse_when_spent
from identify.conditions.networks.quadrics import Equations
from identify.conditions.networks.question import NetworkQuestion
from identify.exact.modular import multiply, random_prime, rank, residue, residues
from identify.exact.rings import Modular, passes
from identify.problem.activation import PiecewiseLinear
from identify.problem.verdict import Arithmetic, Condition

REFERENCE = "Theorem B by enumeration (docs, theory); slopes of columns as in Dimitrov et al. 2024 (SPEAR)"
NODE_SECONDS = 1e-5
"""Of one subspace (measured)."""
MOST_NODES = 2**20
COUNTLESS = 1e300
"""Stands for every larger number of subspaces."""


@dataclass(frozen=True)
class Choice:
    """Which equations, their numbers of unknowns in F and in G, and the slopes that a neuron may have."""

    equations: Equations
    samples: int
    others: int
    slopes: tuple[Fraction, ...]
    ranks: tuple[int, ...]
    tied: bool = False

    @property
    def unknowns(self) -> int:
        return self.samples + self.others - self.tied

    @property
    def nodes(self) -> float:
        """Subspaces, at most; :data:`COUNTLESS` for any larger number, which need not be a double."""
        slopes, power = len(self.slopes), self.unknowns - 1
        return 2.0 * float(slopes) ** power if power * log10(slopes) < log10(COUNTLESS) - 1 else COUNTLESS


def choices(question: NetworkQuestion) -> list[Choice]:
    """What the observed layers allow, the fewest subspaces first."""
    sigma = question.sigma
    if not isinstance(sigma, PiecewiseLinear):
        return []
    n, (rows, features) = question.samples, question.affine
    every = tuple(sorted({*sigma.slopes, *sigma.kinks}))
    settled = rows or (not question.biases[0] and sigma.is_homogeneous)
    found = []
    if question.rows_can_count and question.depth == 2 and settled:
        fixes = features and not rows and question.features_can_count
        found.append(Choice(Equations.BACKWARD, n, question.outputs, every, (1, 2) if fixes else (1,)))
    if question.rows_can_count and question.features_can_count and question.depth > 2:
        if settled:
            found.append(Choice(Equations.BOTH_SIGNALS, n, n, every, (1, 2)))
        if sigma.is_homogeneous:
            extra = bool(question.biases[0] and not rows)
            found.append(Choice(Equations.FORWARD, n, n + extra, tuple(sorted(set(sigma.slopes))), (1, 2), bool(rows and features)))
    return sorted(found, key=lambda each: each.nodes)


def enumeration_seconds(question: NetworkQuestion) -> float:
    """Of the search with the fewest subspaces, if all of them are met; 0 if they are too many, so that it is not tried."""
    every = choices(question)
    tried = every and question.data is not None and every[0].nodes <= MOST_NODES
    return NODE_SECONDS * every[0].nodes if tried else 0.0


def enumeration(question: NetworkQuestion) -> Condition:
    """Try every choice of slopes at given data. Cost exponential in n + C, linear in m."""
    every = choices(question)
    if question.data is None:
        return _condition(None, "the data are needed: pass data=(X, c)", {}, Arithmetic.NONE)
    if not question.is_exact or not every:
        statement = "is about piecewise-linear networks and the update of the first layer, with its bias if it has one"
        return _condition(None, statement, {}, Arithmetic.NONE)
    each = every[0]
    evidence: dict = {"equations": each.equations.name.lower(), "unknowns": each.unknowns, "slopes": len(each.slopes)}
    if each.nodes > MOST_NODES:
        return _condition(None, f"not tried: up to {each.nodes:.1g} subspaces", evidence, Arithmetic.NONE)
    if not all(question.counted[layer - 1] for layer in each.ranks):
        return _condition(None, "the ranks of the updates are not proved to be n at these data", evidence, Arithmetic.NONE)
    if each.equations is not Equations.BACKWARD and not question.multipliers_are_determined:
        return _condition(None, "the signals of these samples are not proved to determine their multipliers", evidence, Arithmetic.NONE)
    q = _prime(question, each)
    forms = _forms(question, each, q)
    if forms is None:
        return _condition(None, "a signal of a sample vanishes at a neuron, at least modulo the prime", evidence, Arithmetic.NONE)
    F, G, known = forms
    found = lines_of(F, G, each, q)
    if found is not None and len(each.slopes) > len(set(question.sigma.slopes)):
        found = {line for line in found if line in known or not _needs_kinks(question, each, line, F, G, q)}
    evidence |= {"prime": q, "rank_of_layers": list(each.ranks)}
    if found is None:
        statement = "a choice of slopes leaves more than a line of columns: other data may have these updates"
        return _condition(False, statement, evidence, Arithmetic.EVIDENCE)
    extra = found - known
    evidence |= {"lines": len(found), "subspaces_at_most": each.nodes}
    if extra:
        statement = f"{len(extra)} choices of slopes give columns that are not those of samples: other data may have these updates"
        return _condition(False, statement, evidence, Arithmetic.EVIDENCE)
    statement = f"every choice of slopes was tried: only the n = {question.samples} samples solve the equations of a single sample"
    return _condition(True, statement, evidence, Arithmetic.PROOF)


def _prime(question: NetworkQuestion, each: Choice) -> int:
    """Modulo which the slopes are different, and zero only if they are."""
    rng = np.random.default_rng([question.seed, 0xE9])
    while True:
        q = random_prime(rng)
        if all(s.denominator % q for s in each.slopes) and len({residue(s, q) for s in (*each.slopes, Fraction(0))}) == len(
            {*each.slopes, 0}
        ):
            return q


Line = tuple[int, ...]


def _forms(question: NetworkQuestion, each: Choice, q: int) -> tuple[np.ndarray, np.ndarray, set[Line]] | None:
    """F and G modulo q, one row for each neuron, and the lines of the samples (with both signs for an even activation).

    None if G vanishes modulo q at a sample and a neuron, other than by output weights of zero.
    """
    system, data = question.system, question.data
    assert system is not None and data is not None
    net, n = system.network, question.samples
    at = passes(Modular(q, question.activations, question.pieces), net, *data)
    unit = np.eye(n, dtype=np.int64)
    if each.equations is Equations.BACKWARD:
        F, G, other = at.signals[0].T, residues(np.ascontiguousarray(net.weights[1].T), q), residues(data[1], q)
    elif each.equations is Equations.BOTH_SIGNALS:
        F, G, other = at.signals[0].T, at.weighted[0].T, unit
    else:
        F, G, other = at.entering[1].T, at.before[0].T, unit
        bias = net.biases[0]
        if bias is not None and not question.affine[0]:
            offsets = residues(bias[:, None], q)
            G, other = np.hstack([(G - offsets) % q, offsets]), np.hstack([unit, np.ones((n, 1), np.int64)])
    heard = ~_silent(question, each)
    if (multiply(G, np.ascontiguousarray(other.T), q)[heard] == 0).any():
        return None
    signs = (1, -1) if question.sigma.parity == 1 else (1,)
    known = {_normal(np.concatenate([unit[k], sign * other[k] % q]), q) for k in range(n) for sign in signs}
    return F[heard], G[heard], known


def _silent(question: NetworkQuestion, each: Choice) -> np.ndarray:
    """The neurons whose equation is 0 = 0 whatever their slope: exactly, not only modulo the prime."""
    assert question.system is not None and question.data is not None and question.pieces is not None
    net, pieces = question.system.network, question.pieces
    if each.equations is Equations.FORWARD:
        bias = net.biases[0]
        own = net.weights[0] if bias is None else np.hstack([net.weights[0], bias[:, None]])
        return np.asarray(~own.any(axis=1))
    if each.equations is Equations.BACKWARD:
        return np.asarray(~net.weights[1].any(axis=0))
    heard = question.data[1] != 0  # by sample and neuron: where a signal may arrive that is not zero
    for layer in range(net.depth - 2, 0, -1):
        heard = heard @ (net.weights[layer + 1] != 0) & (np.array(pieces.table(layer)) != 0)[pieces.codes(layer)]
    return np.asarray(~(heard @ (net.weights[1] != 0)).any(axis=0))


def _needs_kinks(question: NetworkQuestion, each: Choice, line: Line, F: np.ndarray, G: np.ndarray, q: int) -> bool:
    """Whether so many neurons are on a kink, with a slope of no piece, that no point in the span of the samples has them all there."""
    system, data = question.system, question.data
    assert system is not None and data is not None
    vector = np.array(line, dtype=np.int64)[:, None]
    f, g = multiply(F, vector[: F.shape[1]], q)[:, 0], multiply(G, vector[F.shape[1] :], q)[:, 0]
    slopes = np.array([residue(s, q) for s in sorted(set(question.sigma.slopes))], dtype=np.int64)
    of_pieces = ((f - slopes[:, None] * g) % q == 0).any(axis=0)
    on_kink = np.flatnonzero(~_silent(question, each))[~of_pieces]
    if question.sigma.breakpoints != (0,):
        return False
    net = system.network
    z = multiply(residues(net.weights[0][on_kink], q), residues(np.ascontiguousarray(data[0].T), q), q)
    z = z if net.biases[0] is None else (z + residues(net.biases[0][on_kink], q)[:, None]) % q
    return len(on_kink) >= question.samples and rank(z, q) == question.samples


def lines_of(F: Int[np.ndarray, "m n"], G: Int[np.ndarray, "m k"], each: Choice, q: int) -> set[Line] | None:
    """All lines with F = s G for some choice of slopes, F not zero; None if a choice leaves more than a line.

    In Python's integers: a subspace costs the forms of the first neuron that it does not satisfy, and most of them are small.
    """
    n, k = F.shape[1], G.shape[1]
    slopes = [(s != 0, residue(s, q)) for s in each.slopes]
    forms = np.hstack([F, G]).tolist()
    basis: list[list[int]] = np.eye(n + k, dtype=np.int64).tolist()
    if each.tied:  # the coefficients of both parts have the same sum
        basis = _restricted(basis, [1] * n + [q - 1] * k, q)
    stack, found, seen = [(basis, 0, 0)], set[Line](), 0
    while stack:
        basis, start, zeros = stack.pop()
        seen += 1
        if seen % 512 == 0:
            refuse_when_spent("the choices of slopes")
        if not any(any(vector[:n]) for vector in basis):
            if zeros < n:
                return None
            continue
        for j in range(start, len(forms)):
            row = forms[j]
            f, g = zip(*(_values(row, vector, n) for vector in basis), strict=True)
            if not any(all((u - s * v) % q == 0 for u, v in zip(f, g, strict=True)) for _, s in slopes):
                break
        else:
            if len(basis) > 1:
                return None
            found.add(_normal(np.array(basis[0]), q))
            continue
        if len(basis) > 1:
            is_plane = len(basis) == 2 and j + 1 < len(forms)
            ahead = [_values(forms[j + 1], vector, n) for vector in basis] if is_plane else []
            for is_sloped, s in slopes:
                form = [(u - s * v) % q for u, v in zip(f, g, strict=True)]
                if not (is_plane and _is_left_out(form, ahead, slopes, q)):
                    stack.append((_restricted(basis, form, q), j + 1, zeros + (not is_sloped)))
    return found


def _values(row: list[int], vector: list[int], n: int) -> tuple[int, int]:
    """Of F and of G at a neuron."""
    return sum(map(mul, row, vector[:n])), sum(map(mul, row[n:], vector[n:]))


def _is_left_out(form: list[int], ahead: list[tuple[int, int]], slopes: list[tuple[bool, int]], q: int) -> bool:
    """Whether the line of a plane in which a form vanishes is lost at the next neuron: most lines are, and none of these is made."""
    (a, b), ((f, g), (other_f, other_g)) = form, ahead
    u, v = (b * f - a * other_f) % q, (b * g - a * other_g) % q
    return u != 0 and all((u - s * v) % q for _, s in slopes)  # a line on which F vanishes is left to the other rule


def _restricted(basis: list[list[int]], form: list[int], q: int) -> list[list[int]]:
    """A basis of the kernel of a form that is not zero, which is given by its values."""
    at = next(i for i in range(len(form) - 1, -1, -1) if form[i])
    pivot, inverse = basis[at], pow(form[at], -1, q)
    factors = [value * inverse % q for value in form]
    return [
        [(u - factor * v) % q for u, v in zip(own, pivot, strict=True)]
        for i, (own, factor) in enumerate(zip(basis, factors, strict=True))
        if i != at
    ]


def _normal(vector: np.ndarray, q: int) -> Line:
    """The multiple with a first entry of 1."""
    lead = int(vector[np.flatnonzero(vector)[0]])
    return tuple((vector * pow(lead, -1, q) % q).tolist())


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("enumeration", holds, statement, evidence, arithmetic, REFERENCE)
