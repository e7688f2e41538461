"""Reading a certificate: what is not exactly as expected is refused. :class:`Claim` is the statement, and what its sizes imply.

Part of the checker: imports the standard library only.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import gcd, isfinite
from typing import Any

FORMAT, VERSION = "identify-certificate", 1
MAX_SIZE, MAX_DEGREE, MAX_BYTES, MAX_BLANK = 10**6, 20, 2**27, 2**12
KEYS = ("format", "version", "kind", "claim", "numbers", "point", "steps", "sha256")
SIZES = ("inputs", "samples", "width", "outputs")
KINDS = ("verdict", "solution", "network")
CLAIM = ("verdict", "network", "data", "regime", *SIZES, "bias", "observed", "activation", "loss", "labels", "ambiguity")
NETWORK, DATA, TARGET = ("W", "A", "bias"), ("X", "c"), ("target_W", "target_bias", "target_a")
GIVEN: dict[tuple[str, str], tuple[str, ...]] = {
    ("generic network", "generic data"): (),
    ("this network", "generic data"): NETWORK,
    ("this network", "this data"): NETWORK + DATA,
    ("this network", "this target"): NETWORK + TARGET,
    ("any network", "any data"): (),
    ("this network", "this data and target"): NETWORK + DATA + TARGET,
}
"""For each scope the numbers that the statement is about; whatever else is needed is drawn at random modulo the prime."""
MEANING = {
    "UNIQUE": "no other data set of at most {n} distinct samples with non-zero multipliers gives the same target",
    "LOCALLY_UNIQUE": "no other data set of {n} samples near these gives the same target",
    "NOT_UNIQUE": "other data sets of {n} samples give exactly the same target",
    "SOLUTION": "in a box of data that holds these, as many equations as unknowns have exactly one solution for every right-hand "
    "side within {error} of the target, relative to the largest number of its part, and no other equation excludes these solutions",
}
GROUPS = {"none": "", "sign": " and the sign of each", "scaling": " and the scale of each"}


class Rejected(Exception):
    """Why a certificate does not prove its claim."""


class Unclear(Rejected):
    """A certificate that may be right, but balls do not decide it."""


class TooLarge(Rejected):
    """A certificate that may be right, but is beyond what the checker computes."""


def canonical_hash(content: Any) -> str:
    """SHA-256 of the JSON text with sorted keys, without spaces, in ASCII."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def hashes(claim: dict, numbers: dict, given: Sequence[str]) -> dict[str, str | None]:
    """SHA-256 of the network, with its activation, and of the data or the target that the claim is about."""
    network = {name: numbers[name] for name in NETWORK} | {"activation": claim["activation"]}
    data = {name: numbers[name] for name in DATA + TARGET}
    return {
        "network": canonical_hash(network) if "W" in given else None,
        "data": canonical_hash(data) if len(given) > len(set(given) & set(NETWORK)) else None,
    }


def need(condition: Any, reason: str) -> None:
    if not condition:
        raise Rejected(reason)


def need_small(condition: Any, reason: str) -> None:
    if not condition:
        raise TooLarge(f"{reason} for this checker")


def parse(text: bytes) -> Any:
    def number(literal: str):
        raise Rejected(f"the number {literal[:40]}: expected integers and texts only")

    def unique(pairs: list) -> dict:
        need(len(dict(pairs)) == len(pairs), "a key appears twice in one object")
        return dict(pairs)

    need(text[:MAX_BLANK].lstrip()[:1] == b"{", "not a JSON text: expected an object")
    need_small(len(text) <= MAX_BYTES, f"more than {MAX_BYTES >> 20} MiB, which is too large")
    need_small(text.count(b"[") + text.count(b"{") <= MAX_SIZE, f"more than {MAX_SIZE} lists and objects, which is too much")
    try:
        return json.loads(text.decode("utf-8"), parse_float=number, parse_constant=number, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise Rejected(f"not a JSON text: {error}"[:200]) from None


def plain(value: Any) -> None:
    """Only objects, lists, texts, integers, booleans and null: no floats, no tuples, no subclasses."""
    for item in value.values() if type(value) is dict else value if type(value) is list else ():
        plain(item)
    need(value is None or type(value) in (dict, list, str, int, bool), f"a {type(value).__name__}: expected integers and texts only")


def keys(name: str, value: Any, keys: Sequence[str]) -> None:
    need(type(value) is dict and set(value) == set(keys), f"{name}: expected exactly the keys {', '.join(keys)}")


def choice(name: str, value: Any, options: Sequence) -> Any:
    need(any(type(value) is type(option) and value == option for option in options), f"{name}: {repr(value)[:60]} is not possible here")
    return value


def integer(name: str, value: Any, low: int, high: int) -> int:
    need(type(value) is int and low <= value <= high, f"{name}: expected an integer from {low} to {high}")
    return value


def integers(name: str, value: Any, high: int) -> list[int]:
    """Distinct integers from 0 to high - 1, in increasing order."""
    need(type(value) is list, f"{name}: expected a list")
    for item in value:
        integer(name, item, 0, high - 1)
    need(all(u < v for u, v in itertools.pairwise(value)), f"{name}: expected increasing numbers")
    return value


def double(name: str, value: Any) -> float:
    need(type(value) is str and len(value) < 40, f"{name}: expected hexadecimal floats")
    number = float.fromhex(value)
    need(isfinite(number) and number.hex() == value, f"{name}: {value} is not a finite double as float.hex writes it")
    return number


def doubles(name: str, value: Any, rows: int, columns: int) -> list[list[float]]:
    right = type(value) is list and len(value) == rows and all(type(row) is list and len(row) == columns for row in value)
    need(right, f"{name}: expected {rows} rows and {columns} columns")
    return [[double(name, item) for item in row] for row in value]


def fraction(name: str, value: Any) -> Fraction:
    need(type(value) is str and re.fullmatch(r"-?\d{1,2000}(/\d{1,2000})?", value), f"{name}: expected fractions")
    number = Fraction(value)
    need(str(number) == value, f"{name}: {value[:40]} is not in lowest terms")
    return number


class Claim:
    """What is claimed, and what follows from the sizes alone."""

    def __init__(self, data: Any):
        is_solution = type(data) is dict and data.get("verdict") == "SOLUTION"
        keys("claim", data, (*CLAIM, "relative_error") if is_solution else CLAIM)
        self.verdict = choice("verdict", data["verdict"], list(MEANING))
        scope = (data["network"], data["data"])
        need(scope in GIVEN, "network, data: no such scope")
        self.network, self.data = scope
        self.regime = choice("regime", data["regime"], ("gradient", "lazy", "weight-decay", "max-margin"))
        need((self.data == "this data and target") == is_solution, "data: a solution is claimed for data and target, and only a solution")
        self.relative_error = double("relative_error", data["relative_error"]) if is_solution else 0.0
        need(0 <= self.relative_error < 1, "relative_error: expected a number from 0 to 1, below 1")
        need(self.data != "any data" or self.verdict == "NOT_UNIQUE", "any data: only non-uniqueness can be proved for all data at once")
        self_trained = self.regime in ("weight-decay", "max-margin")
        need(not (self_trained and self.data == "generic data"), "generic data: a network is not generic for the data it was trained on")
        need(self_trained or self.data not in ("this target", "any data"), f"data: {self.data} is for self-trained networks")
        self.d, self.n, self.m, self.C = (integer(name, data[name], 1, MAX_SIZE) for name in SIZES)
        self.bias = choice("bias", data["bias"], (True, False))
        seen = data["observed"]
        need(type(seen) is list and seen and seen == [name for name in ("W", "bias", "a") if name in seen], "observed: no such rows")
        self.sees_W, self.sees_bias, self.sees_a = ("W" in seen, "bias" in seen, "a" in seen)
        need(self.bias or not self.sees_bias, "observed: the network has no bias")
        need(type(data["activation"]) is list and 3 <= len(data["activation"]) <= MAX_DEGREE + 1, "activation: expected degree 2 to 20")
        self.s = [fraction("activation", value) for value in data["activation"]]
        need(self.s[-1] != 0, "activation: the last coefficient is zero")
        self.p = len(self.s) - 1
        self.loss = choice("loss", data["loss"], (None, "logistic", "square"))
        need(self.loss is None or self.regime == "weight-decay", "loss: closures are for weight decay")
        self.labels = data["labels"]
        if self.labels is not None:
            need(self.regime == "max-margin" and self.C == 1 and self.network == "this network", "labels: no margins are in force here")
            need(type(self.labels) is list and len(self.labels) == self.n, "labels: expected one for each sample")
            for label in self.labels:
                choice("labels", label, (1, -1))
        need(not is_solution or (self.loss is None and self.labels is None), "a solution is one of (S) alone: expected no loss and labels")
        self.given = tuple(name for name in GIVEN[scope] if self.exists(name))
        need(data["ambiguity"] == self.group, f"ambiguity: the degrees and labels leave {self.group!r}")

    def exists(self, name: str) -> bool:
        known = {"bias": self.bias, "target_W": self.sees_W, "target_bias": self.sees_bias, "target_a": self.sees_a}
        return known.get(name, True)

    @property
    def is_homogeneous(self) -> bool:
        """sigma = s z^p without bias: f(t x) = t^p f(x)."""
        return not any(self.s[:-1]) and not self.bias

    @property
    def degrees(self) -> list[int]:
        """Degrees of the moments sum_i c_i x_i^(tensor k) that enter the observed rows with a coefficient that is not zero."""
        if self.bias:
            return list(range(0 if self.sees_bias or self.sees_a else 1, self.p + 1))
        return [k for k, s in enumerate(self.s) if s and (k or self.sees_a)]

    @property
    def is_lifted(self) -> bool:
        """Whether degrees 0..p are visible: one symmetric tensor in (x, 1)."""
        return self.degrees == list(range(self.p + 1))

    @property
    def has_free_scale(self) -> bool:
        """One visible degree k: (t x, t^-k c) gives the same target for every t."""
        return len(self.degrees) == 1

    @property
    def group(self) -> str:
        """What no equation removes besides the order of the samples."""
        group = "none" if self.is_lifted else roots(self.degrees)
        if self.labels is not None and group == "scaling" and self.is_homogeneous:
            group = "sign"  # y f(t x) = |t|^p y f(x)
        if self.labels is not None and group == "sign" and self.p % 2 and len(set(self.labels)) == 1:
            group = "none"  # t = -1 turns c into -c, but all labels are equal
        return group

    @property
    def is_complete(self) -> bool:
        """Whether a family that solves (S) solves all that is in force; margins of homogeneous networks are met by rescaling."""
        return self.is_homogeneous if self.regime == "max-margin" else self.loss is None

    @property
    def sentence(self) -> str:
        sizes = f"{self.d}-{self.m}-{self.C}, {'bias' if self.bias else 'no bias'}, sigma coefficients {' '.join(map(str, self.s))[:200]}"
        truth = MEANING[self.verdict].format(n=self.n, error=f"{self.relative_error:.2e}")
        margins = " with margins 1" if self.labels is not None else ""
        scope = f"{self.network}, {self.data} ({self.regime}, {sizes})"
        if self.verdict == "SOLUTION":
            held = "; one coordinate of each sample is held, as its scale is free" if self.has_free_scale else ""
            return f"{self.verdict} for {scope}: {truth}{held}"
        return f"{self.verdict} for {scope}: {truth}{margins}, up to the order of the samples{GROUPS[self.group]}"

    def array(self, name: str, value: Any, wanted: bool, leaf: Callable) -> Any:
        """A list of lists of that shape, every leaf read by ``leaf``; None if it is not wanted."""
        if not wanted:
            need(value is None, f"{name}: has no place in this statement; expected null")
            return None
        rows = {"A": self.C, "target_a": self.C, "X": self.n, "c": self.n}.get(name, self.m)
        columns = {"A": self.m, "target_a": self.m, "c": self.C}.get(name, self.d)
        need(type(value) is list and len(value) == rows, f"{name}: expected {rows} rows")
        if name in ("bias", "target_bias"):
            return [leaf(name, item) for item in value]
        need(all(type(row) is list and len(row) == columns for row in value), f"{name}: expected {columns} columns")
        return [[leaf(name, item) for item in row] for row in value]


def roots(degrees: Sequence[int]) -> str:
    """The real t with t^(k-l) = 1 for all k, l."""
    step = gcd(*(k - degrees[0] for k in degrees))
    return "scaling" if step == 0 else "sign" if step % 2 == 0 else "none"
