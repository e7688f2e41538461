"""The statement of a certificate about a network of any activation and depth, and what its sizes imply.

Part of the checker: imports the standard library, and the checker's own reading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from identify.checker.networks.activations import Piecewise, product_of_degrees, read
from identify.checker.reading import MAX_SIZE, canonical_hash, choice, integer, integers, keys, need

CLAIM = ("verdict", "network", "data", "regime", "sizes", "samples", "biases", "observed", "activations", "loss", "multipliers", "ranks",
         "ambiguity")  # fmt: skip
WEIGHTS, DATA = ("weights", "biases"), ("X", "c")
NUMBERS = WEIGHTS + DATA
REGIMES = ("gradient", "lazy", "weight-decay", "max-margin")
SELF_TRAINED = ("weight-decay", "max-margin")
GENERIC, THIS, PATTERN = "generic network", "this network", "almost every network with this activation pattern"
GENERIC_DATA, THIS_DATA, CELL = "generic data", "this data", "all data in this activation cell"
OFF_KINKS, CELL_OFF_KINKS = "this data, among all data on no kink", "all data in this activation cell, among all data on no kink"
RANK, RANK_APART = "all data of this rank", "all data of this rank, no sample zero or the opposite of another"
SCOPES: dict[tuple[str, str], tuple[tuple[str, ...], bool, bool]] = {
    (GENERIC, GENERIC_DATA): (("LOCALLY_UNIQUE", "NOT_UNIQUE"), False, False),
    (THIS, GENERIC_DATA): (("LOCALLY_UNIQUE", "NOT_UNIQUE"), True, False),
    (THIS, THIS_DATA): (("UNIQUE", "LOCALLY_UNIQUE", "NOT_UNIQUE"), True, True),
    (THIS, OFF_KINKS): (("UNIQUE",), True, True),
    (THIS, CELL): (("UNIQUE",), True, True),
    (THIS, CELL_OFF_KINKS): (("UNIQUE",), True, True),
    (PATTERN, THIS_DATA): (("UNIQUE",), True, True),
    (GENERIC, THIS_DATA): (("UNIQUE",), True, True),
    (GENERIC, RANK): (("UNIQUE",), False, False),
    (GENERIC, RANK_APART): (("UNIQUE",), False, False),
}
"""For each scope: the verdicts that can have it, whether it needs the numbers of the network, and of the data."""
NAMED = ((GENERIC, RANK), (GENERIC, RANK_APART))
"""Scopes of all networks whose certificate may still name the network about which it was asked."""
MAX_DEPTH = 200
ANY, BEFOREHAND = "any", "given beforehand"
"""Whether multipliers may depend on the network, as those of a loss do."""
MEANING = {
    "UNIQUE": "no other data set of at most {n} distinct samples with non-zero multipliers gives the same update",
    "LOCALLY_UNIQUE": "no other data set of {n} samples near these gives the same update",
    "NOT_UNIQUE": "other data sets of {n} samples give exactly the same update",
}
GROUPS = {
    "none": "",
    "sign": " and the sign of each",
    "scaling": " and the scale of each",
    "positive scaling": " and the positive scale of each",
    "even scaling": " and the scale of each",
}


class NetworkClaim:
    """What is claimed, and what follows from the sizes alone."""

    def __init__(self, data: Any):
        keys("claim", data, CLAIM)
        scope = (data["network"], data["data"])
        need(all(type(part) is str for part in scope) and scope in SCOPES, "network, data: no such scope")
        self.network, self.data = scope
        verdicts, self.needs_network, self.needs_data = SCOPES[scope]
        self.verdict = choice("verdict", data["verdict"], verdicts)
        self.regime = choice("regime", data["regime"], REGIMES)
        self.is_self_trained = self.regime in SELF_TRAINED
        need(not self.is_self_trained or self.network == THIS, "network: one that was trained on its own data is not generic for them")
        need(not self.is_self_trained or self.data != GENERIC_DATA, "data: those that a network was trained on are not generic for it")
        sizes = data["sizes"]
        need(type(sizes) is list and 3 <= len(sizes) <= MAX_DEPTH, "sizes: expected inputs, hidden layers and outputs")
        self.sizes = [integer("sizes", size, 1, MAX_SIZE) for size in sizes]
        self.depth = len(sizes) - 1
        self.d, self.m, self.C = self.sizes[0], self.sizes[1], self.sizes[-1]
        self.n = integer("samples", data["samples"], 1, MAX_SIZE)
        self.biases = _flags("biases", data["biases"], self.depth)
        need(type(data["observed"]) is list and len(data["observed"]) == self.depth, "observed: expected a pair for each layer")
        self.observed = [_flags("observed", pair, 2) for pair in data["observed"]]
        need(any(seen for pair in self.observed for seen in pair), "observed: no update is")
        need(all(has or not pair[1] for has, pair in zip(self.biases, self.observed, strict=True)), "observed: a bias that does not exist")
        need(type(data["activations"]) is list and len(data["activations"]) == self.depth - 1, "activations: expected one for each layer")
        self.activations = [read(value) for value in data["activations"]]
        self.loss = choice("loss", data["loss"], (None, "logistic", "square"))
        need(self.loss is None or self.regime == "weight-decay", "loss: closures are for weight decay")
        self.multipliers = choice("multipliers", data["multipliers"], (ANY, BEFOREHAND))
        self.ranks = integers("ranks", data["ranks"], self.depth + 1)
        keys("ambiguity", data["ambiguity"], ("group", "degree"))
        self.signs_are_fixed = self.scales_are_fixed = self.images_are_known = False
        behind = self.depth == 3 and self.biases[1] and not self.scales and self.group in ("positive scaling", "even scaling")
        self.scales_are_fixed = behind and data["ambiguity"]["group"] in ("none", "sign")
        need(not self.scales_are_fixed or self.needs_data, "ambiguity: scales can be known of given data only")
        self.signs_are_fixed = self.group == "sign" and self.activations[0].parity == -1 and data["ambiguity"]["group"] == "none"
        need(not self.signs_are_fixed or self.needs_data, "ambiguity: signs can be known of given data only")
        choice("ambiguity", data["ambiguity"]["group"], [self.group])
        choice("ambiguity", data["ambiguity"]["degree"], [self.degree])

    @property
    def affine(self) -> tuple[int, int]:
        """1 or 0: whether coefficients of a sample, and of its features, have the sum 1, as the updates of the biases say."""
        first, second = self.observed[:2]
        return int(all(first)), int(all(second))

    @property
    def rows_can_count(self) -> bool:
        """Whether the first update can have rank n."""
        return self.observed[0][0] and self.n <= min(self.m, self.d + self.affine[0])

    @property
    def features_can_count(self) -> bool:
        """Whether the second update can have rank n."""
        return self.observed[1][0] and self.n <= min(self.sizes[2], self.m + self.affine[1])

    def can_count(self, layer: int) -> bool:
        """Whether the update of a layer, from 1, was observed and can have rank n."""
        weights, bias = self.observed[layer - 1]
        return weights and self.n <= min(self.sizes[layer], self.sizes[layer - 1] + int(bias))

    @property
    def equations(self) -> int:
        shapes = zip(self.sizes, self.sizes[1:], self.observed, strict=False)
        return sum(out * (inside * W + bias) for inside, out, (W, bias) in shapes)

    @property
    def scales(self) -> int:
        """1 if (S) leaves the scale of each sample free: nothing but weights, and every activation homogeneous."""
        whole = not any(self.biases[:-1]) and not self.observed[-1][1]
        return int(whole and product_of_degrees(self.activations) > 0)

    @property
    def group(self) -> str:
        """What the equations of single samples leave open besides the order of the samples, at most."""
        sigma = self.activations[0]
        if self.biases[0]:
            return "none"
        if self.scales and all(each.kind == "polynomial" for each in self.activations):
            return "scaling"
        seen = self.scales_are_fixed or (self.affine[1] and self.features_can_count)
        first = isinstance(sigma, Piecewise) and sigma.is_homogeneous and not seen
        if self.scales or first:
            return "even scaling" if sigma.parity == 1 else "positive scaling"
        return "sign" if sigma.parity and not self.signs_are_fixed else "none"

    @property
    def degree(self) -> int:
        """k in (t x, t^-k c), modulo 2 for a sign."""
        if self.group == "sign":
            return 2 if self.activations[0].parity == 1 else 1
        return product_of_degrees(self.activations) if self.scales else 1

    @property
    def has_free_scale(self) -> bool:
        return self.group not in ("none", "sign")

    @property
    def orbits_are_whole(self) -> bool:
        """Whether the deeper layers see the images of a sample under the group as they see the sample, up to a factor."""
        deeper = self.activations[1:]
        if self.group == "none" or self.depth == 2 or (self.group == "sign" and self.activations[0].parity == 1):
            return True
        if any(self.biases[1:-1]):
            return self.images_are_known
        if self.group == "sign":
            return self.activations[0].is_odd and all(sigma.is_odd for sigma in deeper)
        return all(isinstance(sigma, Piecewise) and sigma.is_homogeneous for sigma in deeper)

    @property
    def is_complete(self) -> bool:
        """Whether nothing beyond (S) is in force."""
        return self.loss is None and self.regime != "max-margin"

    @property
    def is_exact(self) -> bool:
        """Whether residues modulo a prime represent all values; balls otherwise."""
        return {sigma.kind for sigma in self.activations} in ({"polynomial"}, {"piecewise-linear"})

    @property
    def sentence(self) -> str:
        biases = " ".join(str(k) for k, has in enumerate(self.biases, 1) if has) or "none"
        kinds = ", ".join(dict.fromkeys(map(str, self.activations)))[:200]
        seen = " ".join(
            f"{name}{k}" for k, pair in enumerate(self.observed, 1) for name, is_seen in zip("Wb", pair, strict=True) if is_seen
        )
        sizes = "-".join(map(str, self.sizes))
        scope = f"{self.network}, {self.data} ({self.regime}, {sizes}, biases {biases}, {kinds}, update of {seen})"
        with_rank = ""
        if self.ranks:
            with_rank = f", where the update of layer{'s' * (len(self.ranks) > 1)} {' and '.join(map(str, self.ranks))} has rank {self.n}"
        if self.data in (CELL, CELL_OFF_KINKS):
            with_rank = ", of independent samples"
        fixed = ", multipliers given before the network" if self.multipliers == BEFOREHAND else ""
        truth = MEANING[self.verdict].format(n=self.n)
        return f"{self.verdict} for {scope}{with_rank}{fixed}: {truth}, up to the order of the samples{GROUPS[self.group]}"

    def numbers(self, name: str, content: Any, leaf: Callable, network: bool | None, data: bool) -> dict[str, Any]:
        """Weights, biases, samples and multipliers in the right shapes, every leaf read by ``leaf``; ``network`` None: it may be there."""
        keys(name, content, NUMBERS)
        if network is None:
            network = content["weights"] is not None
        found: dict[str, Any] = dict.fromkeys(NUMBERS)
        if network:
            shapes = list(zip(self.sizes[1:], self.sizes, strict=False))
            for part in WEIGHTS:
                need(type(content[part]) is list and len(content[part]) == self.depth, f"{part}: expected one for each layer")
            found["weights"] = [_matrix("weights", W, *shape, leaf) for W, shape in zip(content["weights"], shapes, strict=True)]
            for b, has in zip(content["biases"], self.biases, strict=True):
                need(has or b is None, "biases: a layer without a bias has one; expected null")
            found["biases"] = [
                _vector("biases", b, shape[0], leaf) if has else None
                for b, shape, has in zip(content["biases"], shapes, self.biases, strict=True)
            ]
        if data:
            found["X"], found["c"] = _matrix("X", content["X"], self.n, self.d, leaf), _matrix("c", content["c"], self.n, self.C, leaf)
        for part in WEIGHTS * (not network) + DATA * (not data):
            _absent(part, content[part])
        return found


def named_hashes(claim: dict[str, Any], numbers: dict[str, Any]) -> dict[str, str | None]:
    """SHA-256 of the network, with its activations, and of the data."""
    network = {name: numbers[name] for name in WEIGHTS} | {"activations": claim["activations"]}
    return {
        "network": None if numbers["weights"] is None else canonical_hash(network),
        "data": None if numbers["X"] is None else canonical_hash({name: numbers[name] for name in DATA}),
    }


def _flags(name: str, value: Any, count: int) -> list[bool]:
    need(
        type(value) is list and len(value) == count and all(type(flag) is bool for flag in value), f"{name}: expected {count} of yes or no"
    )
    return value


def _absent(name: str, value: Any) -> None:
    need(value is None, f"{name}: has no place in this statement; expected null")


def _vector(name: str, value: Any, size: int, leaf: Callable) -> list[Any]:
    need(type(value) is list and len(value) == size, f"{name}: expected {size} numbers")
    return [leaf(name, item) for item in value]


def _matrix(name: str, value: Any, rows: int, columns: int, leaf: Callable) -> list[list[Any]]:
    need(type(value) is list and len(value) == rows, f"{name}: expected {rows} rows")
    return [_vector(name, row, columns, leaf) for row in value]
