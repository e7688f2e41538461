"""One statement about a network under examination: its numbers, the ring in which ranks are taken, and what is proved so far.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from flint import fmpz

from identify.checker.networks.activations import Piecewise
from identify.checker.networks.claim import NAMED, NUMBERS, NetworkClaim
from identify.checker.networks.pieces import Place, places
from identify.checker.networks.rings import Balls, Passes, Residues, Ring, passes, times, transposed
from identify.checker.reading import double, integer, integers, keys, need, need_small
from identify.checker.watch import watch

BITS = 192
MAX_PRODUCTS = {True: 10**10, False: 2 * 10**9}
"""Products of a pass, or of a Jacobian, at most: modulo a prime (true), and in balls."""
RESIDUES_PER_SECOND, BALLS_PER_SECOND = 1e8, 2e7
"""Products in python-flint, on one core (measured)."""
ENTRIES_PER_SECOND = 2e5
"""Values of activations."""


class NetworkExamination:
    """What the steps share; they add to ``facts``."""

    def __init__(self, claim: NetworkClaim, numbers: Any, point: Any):
        self.claim = claim
        self.facts: set[str] = set()
        self.ranks: set[int] = set()
        """Layers, from 1, whose update is proved to have rank n."""
        named = None if (claim.network, claim.data) in NAMED else claim.needs_network
        self.numbers = claim.numbers("numbers", numbers, double, named, claim.needs_data)
        self.proved: Any = None
        self.prime: int | None = None
        self.drawn: dict[str, Any] = dict.fromkeys(NUMBERS)
        if point is not None:
            self._read(point)
        if claim.needs_data:
            need(len({tuple(v + 0.0 for v in x) for x in self.numbers["X"]}) == claim.n, "X: two samples coincide")
            need(all(any(row) for row in self.numbers["c"]), "c: a multiplier is zero")

    def _read(self, content: Any) -> None:
        """The prime for residues, and for what is generic the numbers at which ranks are taken."""
        keys("point", content, ("prime", *NUMBERS))
        if content["prime"] is not None:
            q = self.prime = integer("prime", content["prime"], 2**20, 2**63)
            need(q % 2 and fmpz(q).is_prime(), f"point: {q} is not an odd prime")
        numbers = {name: content[name] for name in NUMBERS}
        self.drawn = self.claim.numbers("point", numbers, double, *(numbers[name] is not None for name in ("weights", "X")))
        for name in NUMBERS:
            need(self.drawn[name] is None or self.numbers[name] is None, f"point: {name} are given already")

    def part(self, name: str) -> Any:
        """Given numbers, or those drawn in their place."""
        found = self.numbers[name] if self.numbers[name] is not None else self.drawn[name]
        need(found is not None, f"needs {name}")
        return found

    @property
    def net(self) -> tuple[Any, Any]:
        return self.part("weights"), self.part("biases")

    @cached_property
    def places(self) -> list[list[list[Place]]]:
        """The pieces in every hidden layer; all are piecewise-linear."""
        return places(self.net, self.piecewise(self.claim.depth - 1), self.part("X"))

    @cached_property
    def first_places(self) -> list[list[Place]]:
        return self.places[0] if "places" in self.__dict__ else places(self.net, self.piecewise(1), self.part("X"))[0]

    def piecewise(self, layers: int) -> list[Piecewise]:
        chosen = self.claim.activations[:layers]
        need(all(isinstance(sigma, Piecewise) for sigma in chosen), "needs piecewise-linear activations")
        return [sigma for sigma in chosen if isinstance(sigma, Piecewise)]

    @cached_property
    def passes(self) -> Passes:
        """At the data, or at the numbers drawn in their place."""
        c = self.claim
        products = 2 * c.n * sum(u * v for u, v in zip(c.sizes, c.sizes[1:], strict=False))
        self.need_products(products, "two passes through the network", c.n * sum(c.sizes[1:-1]) / ENTRIES_PER_SECOND)
        return passes(self.ring, *self.net, self.part("X"), self.part("c"))

    @property
    def ring(self) -> Ring:
        """Residues if the prime represents every value; balls otherwise."""
        if not self.claim.is_exact:
            return Balls(self.claim.activations)
        need(self.prime is not None, "point: needs a prime")
        assert self.prime is not None
        located = isinstance(self.claim.activations[0], Piecewise)
        return Residues(self.prime, self.claim.activations, self.places if located else None)

    def need_products(self, products: int, name: str, more: float = 0.0) -> None:
        """Refuse beyond the limit, or tell how long it takes."""
        need_small(products <= MAX_PRODUCTS[self.claim.is_exact], f"{name}: {products:.1e} products are too much")
        rate = RESIDUES_PER_SECOND if self.claim.is_exact else BALLS_PER_SECOND
        watch().begin(name, products / rate + more)

    def lifted(self, layer: int) -> list[list[Any]]:
        """What enters a layer (from 0), with a 1 if the update of its bias is known: a column for each sample."""
        rows = self.passes.entering[layer]
        if self.claim.observed[layer][1]:
            rows = [[*row, self.passes.ring.number(1.0)] for row in rows]
        return transposed(rows)

    def need_data(self) -> None:
        need(self.claim.needs_data, "needs data")

    def need_apart(self) -> None:
        """No sample is zero, or the opposite of another."""
        X = [tuple(v + 0.0 for v in x) for x in self.part("X")]
        need(all(any(x) for x in X), "a sample is zero")
        known = set(X)
        need(not any(tuple(0.0 - v for v in x) in known for x in X), "a sample is the opposite of another")

    def need_multipliers(self) -> None:
        """Multipliers follow from the samples: by the last update, if what enters that layer is independent; or at each sample by its
        signal of the second layer, which is linear in them and injective."""
        c, at = self.claim, self.passes
        need(c.orbits_are_whole, "deeper layers see images of a sample otherwise, so that their multipliers are not known")
        if c.depth == 2 or (c.observed[-1][0] and at.ring.is_full(self.lifted(c.depth - 1))):
            return
        for i in range(c.n):
            rows = [[at.ring.number(float(o == k)) for k in range(c.C)] for o in range(c.C)]
            for layer in range(c.depth - 2, 0, -1):
                rows = (at.ring.matrix(rows) * at.weights[layer + 1]).table()
                rows = times(rows, [at.slopes[layer][i]] * c.C)
            need(at.ring.is_full(transposed(rows)), f"the signals of sample {i} do not determine its multipliers")

    def need_scope(self, *scopes: tuple[str, str]) -> None:
        need((self.claim.network, self.claim.data) in scopes, "proves nothing of this scope")

    def need_no_kinks(self) -> None:
        """For piecewise-linear networks; balls that touch a kink are refused where they are evaluated."""
        if isinstance(self.ring, Residues) and self.ring.places is not None:
            weights = self.part("weights")
            on = (
                any(W[j]) for W, layer in zip(weights, self.places, strict=False) for row in layer for j, at in enumerate(row) if at.on_kink
            )  # a neuron without weights stays where it is
            need(not any(on), "a sample lies on a kink")


def ranks(e: NetworkExamination, layers: Any, seed: Any) -> str:
    """Updates of some layers have rank n: what enters, and what leaves, are n independent vectors each."""
    c = e.claim
    need(type(layers) is list and len(layers) > 0, "layers: expected their numbers")
    integers("layers", layers, c.depth + 1)
    integer("seed", seed, 0, 2**32)
    for layer in layers:
        need(layer > 0, "layers: expected numbers from 1")
        need(c.can_count(layer), f"the update of layer {layer} was not observed, or cannot have rank {c.n}")
        at = e.passes
        need(at.ring.is_full(e.lifted(layer - 1), seed), f"the inputs of layer {layer} are not proved to be independent")
        need(at.ring.is_full(transposed(at.signals[layer - 1]), seed), f"the signals of layer {layer} are not proved to be independent")
        e.ranks.add(layer)
    how = f"modulo {e.prime}" if c.is_exact else "in balls"
    where = "the data" if c.needs_data else "one point"
    return f"the update of layer{'s' * (len(layers) > 1)} {' and '.join(map(str, layers))} has rank {c.n} at {where}, {how}"
