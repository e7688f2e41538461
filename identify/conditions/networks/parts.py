r"""Which samples do some layers of an update determine? Theorem A for any subset of layers, and the families that exclude it.

Let :math:`h^k` leave the hidden layer k, :math:`h^0 = x`, and let :math:`G_l` have rank n, so that :math:`\tilde h^{l-1}` of every
sample of every solution is a combination of those of the samples. *Forward*, from a base layer k that says in how many dimensions the point
:math:`h^{k-1}` of a competitor can vary (d by x itself, or n coordinates in the row space of :math:`G_k`), to l > k: the neurons between
give equations that are analytic in their own weights. Those of layer l - 1 tell a competitor from the samples if they outnumber the
dimensions of the point and its coefficients; those of each layer before tell points apart, if they outnumber the dimensions of the point.
*Below the base*, the same count with d dimensions says that no other x has these features. *Backward* from a base is Theorem A for the
network that begins there. *Jointly*, a sum over all samples is a network in the weights of one neuron, with the samples as its neurons.

Two layers, or layer 1 to l = 2, are the counts of :mod:`~identify.conditions.networks.separation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from identify.problem.activation import Activation, PiecewiseLinear
from identify.problem.exposure import Exposed, ExposedBy, Finding, Method

YES, MAYBE, NO = Exposed.PROVED_GENERIC, Exposed.POSSIBLE, Exposed.NO


@dataclass(frozen=True)
class Need:
    """A theorem that applies, with the layer whose neurons decide and how many of them are enough."""

    reason: ExposedBy
    layer: int
    """Of the update that is used."""
    neurons: int
    """The hidden layer whose neurons are counted last."""
    needed: int
    base: int
    """The layer that is entered by what is determined: 1 if these are the samples."""
    ranks: tuple[int, ...]
    """The layers whose updates must have rank n."""

    def neurons_counted(self, parts: Parts) -> int:
        """How many give equations: those whose column, or whose row, is known."""
        return parts.rows(self.neurons) if self.layer == self.neurons else parts.columns(self.layer)


@dataclass(frozen=True)
class Parts:
    """Sizes of a network and the observed parts of its layers.

    Attributes
    ----------
    sizes
        d, the numbers of neurons of the hidden layers, and C.
    biases
        Whether each layer has a bias.
    seen
        For each observed layer, by number from 1, whether the updates of its weights and of its bias are known.
    is_softmax
        Whether multipliers are those of a softmax loss, whose sum is zero for each sample.
    sent
        For each layer of whose weights' update some rows or columns are not known, how many rows and how many columns are.
    """

    sizes: tuple[int, ...]
    activations: tuple[Activation, ...]
    biases: tuple[bool, ...]
    seen: Mapping[int, tuple[bool, bool]]
    samples: int
    is_softmax: bool
    sent: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        return len(self.sizes) - 1

    @property
    def inputs(self) -> int:
        return self.sizes[0]

    def at(self, samples: int) -> Parts:
        """The same for another number of samples."""
        return replace(self, samples=samples)

    def sees_weights(self, layer: int) -> bool:
        return self.seen.get(layer, (False, False))[0]

    def sees_bias(self, layer: int) -> bool:
        return self.seen.get(layer, (False, False))[1]

    @property
    def weighted(self) -> list[int]:
        """The layers whose weights' update is known."""
        return [layer for layer in range(1, self.depth + 1) if self.sees_weights(layer)]

    def affine(self, layer: int) -> int:
        """1 if combinations of what enters this layer are known to have coefficients with the sum 1."""
        return int(self.sees_weights(layer) and self.sees_bias(layer))

    def rows(self, layer: int) -> int:
        """The dimension of the space of all signals of a layer, as far as its neurons' updates are known."""
        known = self.sent[layer][0] if layer in self.sent else self.sizes[layer]
        return known - int(layer == self.depth and self.is_softmax and known == self.sizes[layer])

    def columns(self, layer: int) -> int:
        """How many of the numbers that enter a layer have a known column in its update."""
        return self.sent[layer][1] if layer in self.sent else self.sizes[layer - 1]

    def lacks(self, layer: int) -> int:
        """How many have not."""
        return self.sizes[layer - 1] - self.columns(layer)

    def cap(self, layer: int) -> int:
        """The largest rank that the update of a layer's weights can have."""
        return min(self.rows(layer), self.columns(layer) + self.affine(layer))

    def counts(self, layer: int) -> bool:
        """Whether the update of a layer's weights is known and can have rank n."""
        return self.sees_weights(layer) and self.samples <= self.cap(layer)

    def signals(self, layer: int) -> int:
        """Numbers in the signal that arrives behind a hidden layer."""
        return self.sizes[layer + 1]

    def is_analytic(self, layer: int) -> bool:
        """Whether the proofs about almost all weights of a hidden layer apply: analytic, not a polynomial, with a bias."""
        return self.activations[layer - 1].kind == "analytic" and self.biases[layer - 1]

    def is_injective(self, first: int, last: int, dimensions: int) -> bool:
        """Whether almost all weights of these hidden layers tell every point of so many dimensions from the samples."""
        return all(self.is_analytic(k) and self.sizes[k] > dimensions for k in range(first, last + 1))

    @property
    def equations(self) -> int:
        """Independent numbers in updates of rank at most n, at most."""
        n, total = self.samples, 0
        for layer, (weights, bias) in self.seen.items():
            rows, columns = self.rows(layer), self.columns(layer) + self.affine(layer)
            if weights:
                total += n * (rows + columns - n) if n <= min(rows, columns) else rows * columns
            total += rows if bias and not weights else 0
        return total


def forward(parts: Parts) -> Iterator[Need]:
    """Every forward count that holds, from every base to every layer that counts the samples."""
    n, d = parts.samples, parts.inputs
    for layer in parts.weighted:
        if layer == 1 or not parts.counts(layer):
            continue
        for base in range(layer):  # 0: the point is parametrised by x
            if base and not parts.counts(base):
                continue
            point = _point(parts, base) if base else d
            start, needed = max(base, 1), point + n - parts.affine(layer) + 1
            if parts.is_analytic(layer - 1) and parts.columns(layer) >= needed and parts.is_injective(start, layer - 2, point):
                yield Need(ExposedBy.FORWARD, layer, layer - 1, needed, start, (*([base] if base else []), layer))


def backward(parts: Parts) -> Iterator[Need]:
    """Every backward count that holds for all multipliers, as those of a loss depend on the network."""
    for layer in parts.weighted:
        if layer < parts.depth and parts.counts(layer) and parts.is_analytic(layer):
            needed = _point(parts, layer) + parts.signals(layer) * (parts.samples + 1)
            if parts.rows(layer) >= needed:
                yield Need(ExposedBy.BACKWARD, layer, layer, needed, layer, (layer,))


def joint(parts: Parts) -> Iterator[Need]:
    """Counts for all samples together, for which no rank is needed; the multipliers, true and other ones, are unknowns too."""
    n, d = parts.samples, parts.inputs
    if parts.sees_bias(1) and parts.is_analytic(1):
        if n == 1 and parts.sees_bias(2) and 2 not in parts.sent and parts.rows(1) >= d + parts.signals(1):
            yield Need(ExposedBy.ONE_SIGNAL, 1, 1, d + parts.signals(1), 1, ())
        needed = n * (d + 2 * parts.signals(1)) + 1
        if parts.rows(1) >= needed:
            yield Need(ExposedBy.JOINT, 1, 1, needed, 1, ())
    for layer in parts.weighted:
        needed = n * (d + 2 * parts.sizes[layer]) + 1
        enough = layer > 1 and parts.is_analytic(layer - 1) and parts.columns(layer) >= needed
        if enough and parts.is_injective(1, layer - 2, d):
            yield Need(ExposedBy.JOINT, layer, layer - 1, needed, 1, ())


def _point(parts: Parts, base: int) -> int:
    """In how many dimensions a competitor can vary: in the row space of the base, and freely where columns are not known."""
    return min(parts.samples - parts.affine(base) + parts.lacks(base), parts.sizes[base - 1])


def features_needs(parts: Parts, base: int) -> Iterator[Need]:
    """What proves that the vectors which enter layer ``base`` are determined."""
    yield from (need for need in (*forward(parts), *backward(parts)) if need.base == base)


def samples_needs(parts: Parts) -> Iterator[Need]:
    """What proves that the samples are determined."""
    yield from (need for need in (*forward(parts), *backward(parts)) if parts.is_injective(1, need.base - 1, parts.inputs))
    yield from joint(parts)


def proof(parts: Parts, need: Need) -> Finding:
    """The finding that a theorem gives."""
    vector = f"h^{need.layer - 1}"
    return Finding(
        YES,
        need.reason,
        {"layer": need.layer, "below": need.neurons, "vector": vector, "width": need.neurons_counted(parts), "needed": need.needed},
    )


def excluded(parts: Parts) -> Finding | None:
    """A proof that the samples are not determined; it holds for someone who knows the formula of the loss, too."""
    n, d, lowest = parts.samples, parts.inputs, min(parts.seen)
    if not parts.sees_weights(1) and parts.sizes[1] < d:
        return Finding(NO, ExposedBy.KERNEL, {"width": parts.sizes[1]})
    if parts.lacks(1) and parts.sizes[1] < parts.lacks(1):
        return Finding(NO, ExposedBy.COLUMNS, {"width": parts.sizes[1], "missing": parts.lacks(1)})
    narrow = [k for k in range(2, lowest) if parts.sizes[k] < d]
    if narrow:
        return Finding(NO, ExposedBy.BOTTLENECK, {"layer": narrow[0], "width": parts.sizes[narrow[0]], "inputs": d})
    pieces = all(isinstance(sigma, PiecewiseLinear) for sigma in parts.activations)
    if not parts.weighted and pieces and d > (parts.sizes[-1] - 1 if parts.is_softmax else 0):
        return Finding(NO, ExposedBy.CELL)
    # free multipliers count only where they follow from the samples; otherwise these may be fixed in a family of multipliers
    last = parts.sees_weights(parts.depth) and parts.depth not in parts.sent
    follow = last and n <= parts.sizes[-2] and all(map(parts.is_analytic, range(1, parts.depth)))
    unknowns = n * (d + (parts.sizes[-1] if follow and not parts.is_softmax else 0))
    if unknowns > parts.equations:
        return Finding(NO, ExposedBy.FEW_EQUATIONS, {"unknowns": unknowns, "equations": parts.equations})
    return None


class Way(NamedTuple):
    """What :func:`identify.recover` can do, with the numbers of equations and of unknowns that it solves at a time."""

    method: Method
    equations: int
    unknowns: int
    layer: int
    """The layer whose update is used first."""

    @property
    def finding(self) -> Finding:
        """As an entry of the table, when nothing is proved."""
        reasons = dict.fromkeys((Method.QUADRICS, Method.HEAD_QUADRICS), ExposedBy.QUADRICS)
        reasons |= dict.fromkeys((Method.ZEROS, Method.HEAD_ZEROS), ExposedBy.ZEROS)
        numbers = {"equations": self.equations, "unknowns": self.unknowns, "route": self.method}
        return Finding(MAYBE, reasons.get(self.method, ExposedBy.COUNTED), numbers, self.method)


HEADS = (Method.HEAD, Method.HEAD_QUADRICS, Method.HEAD_ZEROS)
"""Ways that begin with the inputs of the lowest observed layer."""
MOST_BY_ZEROS, SURPLUS = 10, 6
"""Samples that are told apart by zeros, at most, and zeros of a signal beyond n - 1 from which on it counts as one."""


def ways(parts: Parts) -> list[Way]:
    """Every way for which the equations are not too few, those with more to spare first."""
    n, d = parts.samples, parts.inputs
    weighted, point = parts.weighted, _point(parts, 1) if parts.counts(1) else d
    if not weighted:
        smooth = not isinstance(parts.activations[0], PiecewiseLinear)
        reads = n == 1 and smooth and parts.sees_bias(1) and parts.sees_bias(2) and parts.sizes[1] >= d
        return [Way(Method.SIGNALS, parts.sizes[1], d, 1)] if reads else []
    if weighted[:2] == [1, 2] and parts.counts(2) and not parts.sent:
        return _enough(Way(Method.FORWARD, _row_equations(parts, 2), point, 2))
    if n == 1 and parts.affine(1) and parts.depth > 2 and not parts.sees_weights(2) and not parts.lacks(1):
        return [Way(Method.ROW, d + 1, d, 1)]
    base, found = weighted[0], []
    behind = [layer for layer in weighted if layer > 1 and parts.counts(layer) and min(parts.sizes[1:layer]) >= point]
    if behind:
        best = max(behind, key=lambda layer: _row_equations(parts, layer))
        found += _enough(Way(Method.FEATURES, _row_equations(parts, best), point, best))
    if parts.counts(base) and base < parts.depth and min(parts.sizes[1:base], default=d) >= d:
        if base > 1 and base + 1 in weighted and parts.counts(base + 1):
            found += _enough(Way(Method.HEAD, _row_equations(parts, base + 1), _point(parts, base), base))
        elif not parts.lacks(base):
            found += _enough(_alone(parts, base))
    return sorted(found, key=lambda way: -way.equations / max(way.unknowns, 1))


def _alone(parts: Parts, base: int) -> Way:
    """By the signals of one layer."""
    n, sigma, signals, width = parts.samples, parts.activations[base - 1], parts.signals(base), parts.rows(base)
    if not isinstance(sigma, PiecewiseLinear):
        return Way(Method.BACKWARD if base == 1 else Method.HEAD, width - n, _point(parts, base) + signals - 1, base)
    unknowns = n * (n + 1) // 2 + n * signals
    if width >= unknowns or not (has_zeros(parts, base) and parts.affine(base) and n <= MOST_BY_ZEROS):
        two = len(set(sigma.slopes)) == 2
        return Way(Method.QUADRICS if base == 1 else Method.HEAD_QUADRICS, width if two else 0, unknowns, base)
    return Way(Method.ZEROS if base == 1 else Method.HEAD_ZEROS, width // 4, n + SURPLUS, base)


def _row_equations(parts: Parts, layer: int) -> int:
    return parts.columns(layer) + parts.affine(layer) - parts.samples


def _enough(way: Way) -> list[Way]:
    return [way] if way.equations >= way.unknowns else []


def samples_finding(parts: Parts) -> Finding:
    """Whether the samples are determined."""
    no = excluded(parts)
    if no is not None:
        return no
    if parts.depth == 2 and parts.activations[0].kind == "polynomial":
        return Finding(MAYBE, ExposedBy.POLYNOMIAL)
    found = ways(parts)
    way = found[0].method if found else None
    if parts.samples == 1 and parts.affine(1) and not parts.lacks(1):
        return Finding(YES, ExposedBy.ONE_ROW, {"layer": 1, "vector": "x"}, way)
    needs = list(samples_needs(parts))
    if needs:
        return replace(proof(parts, needs[0]), method=way)
    if found:
        best, entries = found[0], _point(parts, 1) if parts.counts(1) else parts.inputs
        through = range(1, best.layer) if best.method in (Method.FEATURES, *HEADS) else ()
        narrow = [k for k in through if is_halved(parts.activations[k - 1]) and parts.sizes[k] < 2 * entries + 2 * parts.sizes[k] ** 0.5]
        if not narrow:
            return best.finding
        return Finding(MAYBE, ExposedBy.HALF, {**best.finding.numbers, "width": parts.sizes[narrow[0]], "inputs": entries}, way)
    if parts.is_softmax and parts.samples * (parts.inputs + parts.rows(parts.depth)) > parts.equations:
        return Finding(MAYBE, ExposedBy.NEEDS_LOSS)
    return Finding(MAYBE, ExposedBy.ZEROS if has_zeros(parts, 1) else ExposedBy.OPEN)


def has_zeros(parts: Parts, layer: int) -> bool:
    """Whether signals of a layer that counts the samples are zero at inactive neurons."""
    return layer < parts.depth and parts.counts(layer) and is_halved(parts.activations[layer - 1])


def is_halved(sigma: Activation) -> bool:
    """Whether inactive neurons have the slope zero."""
    return isinstance(sigma, PiecewiseLinear) and 0 in sigma.slopes
