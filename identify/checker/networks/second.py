r"""The step for a second solution of an analytic network: Krawczyk's test in balls, repeated from a box.

*joint*, two layers: samples :math:`x'_k = \sum_i T_{ki} x_i` with sums :math:`\sum_i T_{ki} = 1` if the first bias' update is known
(``in_span``; else T are the samples themselves), and multipliers γ'. The first update is the given one if
:math:`\sum_k T_{ki} u'_k = u_i` for every i; the second update is added as it is.

*exchange*: only the last layer was observed, of a network of any depth; h are the features that enter it. If
:math:`\tilde h(x') = \sum_i \eta_i \tilde h_i` with :math:`\eta_k \ne 0`, x' with multipliers :math:`\gamma_k / \eta_k` can take the
place of :math:`x_k`, and the others' become :math:`\gamma_i - \gamma_k \eta_i / \eta_k`.

For a box Y with midpoint y, an enclosure J of the derivatives on Y and any matrix C, a zero lies in Y if
:math:`y - C f(y) + (I - C J)(Y - y)` lies in the interior of Y (Krawczyk 1969). Unknowns that are not free stay at their values.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flint import arb, arb_mat

from identify.checker.networks.activations import Piecewise
from identify.checker.networks.claim import THIS, THIS_DATA
from identify.checker.networks.examination import NetworkExamination
from identify.checker.reading import choice, double, integer, integers, need, need_small
from identify.checker.watch import watch

MAX_UNKNOWNS = 100


@dataclass
class Dual:
    """A ball, and the balls of its derivatives in the free unknowns."""

    value: Any
    slopes: list[Any]

    def __add__(self, other: Dual) -> Dual:
        return Dual(self.value + other.value, [u + v for u, v in zip(self.slopes, other.slopes, strict=True)])

    def __sub__(self, other: Any) -> Dual:
        return Dual(self.value - other, self.slopes)

    def __mul__(self, other: Dual) -> Dual:
        return Dual(self.value * other.value, [u * other.value + self.value * v for u, v in zip(self.slopes, other.slopes, strict=True)])

    def scaled(self, factor: Any) -> Dual:
        return Dual(self.value * factor, [v * factor for v in self.slopes])


def second(e: NetworkExamination, system: Any, in_span: Any, free: Any, centre: Any, radii: Any, sample: Any) -> str:
    """Other data lie in the box, and have the same update; ``sample``: the one that is not given."""
    c = e.claim
    need(c.verdict == "NOT_UNIQUE" and c.is_complete, "proves that other data have the same update, if nothing else is in force")
    e.need_scope((THIS, THIS_DATA))
    need(not any(isinstance(sigma, Piecewise) for sigma in c.activations) and not c.is_exact, "needs analytic activations")
    choice("system", system, ("joint", "exchange") if c.depth == 2 else ("exchange",))
    choice("in_span", in_span, (True, False) if system == "joint" else (False,))
    asked = _Joint(e, in_span) if system == "joint" else _Exchange(e)
    need_small(asked.unknowns <= MAX_UNKNOWNS, f"{asked.unknowns} unknowns are too many")
    chosen = integers("free", free, asked.unknowns)
    need(chosen == sorted(set(chosen)), "free: expected increasing numbers")
    need(type(centre) is list and len(centre) == asked.unknowns, f"centre: expected {asked.unknowns} numbers")
    need(type(radii) is list and len(radii) == len(chosen), "radii: expected one for each free unknown")
    middle, sizes = [arb(double("centre", v)) for v in centre], [double("radii", v) for v in radii]
    need(all(size > 0 for size in sizes), "radii: expected positive numbers")
    box = list(middle)
    for k, size in zip(chosen, sizes, strict=True):
        box[k] = arb(middle[k], size)
    _need_zero(asked, chosen, middle, box)
    asked.need_another(box, integer("sample", sample, 0, c.n - 1))
    e.facts.add("witness")
    return f"{len(chosen)} equations have a zero within {max(sizes):.1e} of other data, whose sample {sample} is not a given one"


def _need_zero(asked: _Joint | _Exchange, chosen: list[int], middle: list[Any], box: list[Any]) -> None:
    """Krawczyk's test."""
    U = len(chosen)

    def duals(values: list[Any]) -> list[Dual]:
        at = {k: j for j, k in enumerate(chosen)}
        return [Dual(v, [arb(int(at.get(k, -1) == j)) for j in range(U)]) for k, v in enumerate(values)]

    watch().look()
    here = asked.equations(duals(middle))
    need(len(here) == U, f"{len(here)} equations for {U} free unknowns: expected as many")
    try:
        inverse = arb_mat([equation.slopes for equation in here]).inv()
    except ZeroDivisionError:
        need(False, "the derivatives at the centre are singular")
    inverse = arb_mat(U, U, [v.mid() for v in inverse.entries()])
    watch().look()
    enclosure = arb_mat([equation.slopes for equation in asked.equations(duals(box))])
    rest = arb_mat([[arb(int(i == j)) for j in range(U)] for i in range(U)]) - inverse * enclosure
    step = inverse * arb_mat(U, 1, [equation.value for equation in here])
    image = arb_mat(U, 1, [middle[k] for k in chosen]) - step + rest * arb_mat(U, 1, [box[k] - middle[k] for k in chosen])
    need(all(box[k].contains_interior(image[j, 0]) for j, k in enumerate(chosen)), "Krawczyk's test does not hold in this box")


class _Joint:
    """T row by row, then γ' row by row."""

    def __init__(self, e: NetworkExamination, in_span: bool):
        self.e, self.c, self.at = e, e.claim, e.passes
        self.in_span = in_span
        X = self.at.entering[0]
        self.base = X if in_span else [[arb(int(k == at)) for at in range(self.c.d)] for k in range(self.c.d)]
        self.K = len(self.base)
        self.unknowns = self.c.n * (self.K + self.c.C)
        b = e.net[1]
        self.along = (arb_mat(self.base) * self.at.weights[0].transpose()).table()
        self.offsets = [arb(0)] * self.c.m if b[0] is None else [arb(v) for v in b[0]]
        self.A = self.at.weights[1].table()

    def parts(self, y: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        K, C, n = self.K, self.c.C, self.c.n
        cut = n * K
        return [list(y[k * K : k * K + K]) for k in range(n)], [list(y[cut + k * C : cut + k * C + C]) for k in range(n)]

    def equations(self, y: list[Dual]) -> list[Dual]:
        c = self.c
        T, gamma = self.parts(y)
        values, signals = [], []
        for t, g in zip(T, gamma, strict=True):
            value, signal = [], []
            for j in range(c.m):
                z = _sum([v.scaled(row[j]) for v, row in zip(t, self.along, strict=True)])
                s, slope, bend = self.at.ring.derivatives(0, 0, j, z.value + self.offsets[j])
                value.append(Dual(s, [slope * v for v in z.slopes]))
                weighted = _sum([v.scaled(row[j]) for v, row in zip(g, self.A, strict=True)])
                signal.append(Dual(slope, [bend * v for v in z.slopes]) * weighted)
            values.append(value)
            signals.append(signal)
        (sees_W, sees_b), (sees_A, sees_output) = c.observed
        found = []
        own, features, given = self.at.signals[0], self.at.entering[1], self.at.signals[1]
        X = self.at.entering[0]
        if sees_W:
            for i in range(self.K):
                for j in range(c.m):
                    goal = own[i][j] if self.in_span else sum((own[k][j] * X[k][i] for k in range(c.n)), arb(0))
                    found.append(_sum([T[k][i] * signals[k][j] for k in range(c.n)]) - goal)
        if sees_W and sees_b and self.in_span:
            found += [_sum(t) - 1 for t in T]
        elif sees_b:
            for j in range(c.m):
                found.append(_sum([signals[k][j] for k in range(c.n)]) - sum((u[j] for u in own), arb(0)))
        if sees_A:
            for o in range(c.C):
                for j in range(c.m):
                    goal = sum((given[k][o] * features[k][j] for k in range(c.n)), arb(0))
                    found.append(_sum([gamma[k][o] * values[k][j] for k in range(c.n)]) - goal)
        if sees_output:
            found += [_sum([g[o] for g in gamma]) - sum((g[o] for g in given), arb(0)) for o in range(c.C)]
        return found

    def need_another(self, box: list[Any], sample: int) -> None:
        """This sample is no given one and no other one of the box, nor their image, and it has a multiplier."""
        T, gamma = self.parts(box)
        Y = (arb_mat(T) * arb_mat(self.base)).table()
        need(any(not v.contains(0) for v in gamma[sample]), "multipliers of the sample may be zero")
        _need_apart(self.e, Y[sample], [*self.at.entering[0], *(x for k, x in enumerate(Y) if k != sample)])


class _Exchange:
    """x', then η."""

    def __init__(self, e: NetworkExamination):
        self.e, self.c, self.at = e, e.claim, e.passes
        *others, (sees_last, _) = self.c.observed
        need(sees_last and not any(seen for pair in others for seen in pair), "observed: expected the last layer alone")
        self.unknowns = self.c.d + self.c.n

    def equations(self, y: list[Dual]) -> list[Dual]:
        x, eta = y[: self.c.d], y[self.c.d :]
        found, h = list[Dual](), x
        for layer in range(self.c.depth - 1):
            b, through = self.e.net[1][layer], list[Dual]()
            for j, row in enumerate(self.at.weights[layer].table()):
                z = _sum([v.scaled(w) for v, w in zip(h, row, strict=True)])
                value, slope, _ = self.at.ring.derivatives(layer, 0, j, z.value + (0 if b is None else arb(b[j])))
                through.append(Dual(value, [slope * v for v in z.slopes]))
            h = through
        for j, feature in enumerate(h):
            found.append(feature + _sum([v.scaled(-own[j]) for v, own in zip(eta, self.at.entering[-1], strict=True)]))
        if self.c.observed[-1][1]:
            found.append(_sum(eta) - 1)
        return found

    def need_another(self, box: list[Any], sample: int) -> None:
        need(not box[self.c.d + sample].contains(0), "the coefficient of the sample that is replaced may be zero")
        _need_apart(self.e, box[: self.c.d], self.at.entering[0])


def _need_apart(e: NetworkExamination, x: list[Any], others: list[list[Any]]) -> None:
    c = e.claim
    signs = (1, -1) if not c.biases[0] and c.activations[0].parity else (1,)
    apart = all(any(not (u - sign * v).contains(0) for u, v in zip(x, other, strict=True)) for other in others for sign in signs)
    need(apart, "the sample may be a given one, or another one of the box")


def _sum(terms: list[Dual]) -> Dual:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
