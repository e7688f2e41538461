"""Questions about given data of networks beyond polynomials: what is asked of the checker, and its answer held against the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import numpy as np

from identify.conditions.check import check
from identify.problem.activation import Activation
from identify.problem.network import TwoLayerNetwork
from identify.problem.refusals import UnsupportedError
from identify.problem.system import KKTSystem
from identify.problem.verdict import Report, Verdict
from soundness_study.verdicts import FAILED, GROUPS

REFUSED = "refused"
"""Stands for the verdict if the checker refuses such a network."""
GENERIC = "UNIQUE, generic network"
"""Column of UNIQUE with a scope that may exclude this network: true of almost every one."""
ORDER = ("none", "sign", "scaling")
"""Groups that act on each sample, the smallest first: a report may list one that is too large, not one that is too small."""
Line = dict[str, Any]


class Truth(StrEnum):
    """What is true of the given data: modulo order, and scales and signs that change no update."""

    UNIQUE = "unique"
    IN_BOX = "unique in a box"
    OTHERS = "finitely many"
    FAMILY = "positive-dimensional"
    OPEN = "open"

    @property
    def is_not_unique(self) -> bool:
        return self in (Truth.OTHERS, Truth.FAMILY)


@dataclass(frozen=True, eq=False)
class Instance:
    """A two-layer network with data, in exact numbers; ``kinds``: what was arranged; ``other``: a known second solution."""

    index: int
    activation: str
    W: np.ndarray
    b: np.ndarray | None
    A: np.ndarray
    X: np.ndarray
    c: np.ndarray
    layers: str
    kinds: tuple[str, ...] = ()
    other: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def sigma(self) -> Activation:
        return Activation.parse(self.activation)

    def describe(self) -> Line:
        """Sizes and numbers, as JSON values; fractions as text."""
        (n, d), (m, C) = self.X.shape, self.A.T.shape
        numbers = {name: None if part is None else _texts(part) for name, part in zip("WbAXc", self._parts, strict=True)}
        if self.other is not None:
            numbers["other"] = [_texts(part) for part in self.other]
        sizes = {"inputs": d, "samples": n, "width": m, "outputs": C, "bias": self.b is not None, "layers": self.layers}
        return {"index": self.index, "activation": self.activation, **sizes, "kinds": list(self.kinds), "numbers": numbers}

    @property
    def _parts(self) -> tuple[np.ndarray | None, ...]:
        return self.W, self.b, self.A, self.X, self.c

    def updates(self, X: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of weights, biases and the second layer, exactly, from their definition (not for analytic activations)."""
        X, c = _exact(X), _exact(c)
        Z = X @ _exact(self.W).T + (0 if self.b is None else _exact(self.b))
        signals = (c @ _exact(self.A)) * self.sigma.exact(Z, 1)
        return signals.T @ X, signals.sum(axis=0), c.T @ self.sigma.exact(Z)

    def observed(self, X: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
        """The updates of the layers that are seen."""
        return list(self._seen(*self.updates(X, c)).values())

    @property
    def system(self) -> KKTSystem:
        """The instance for the checker: targets of polynomial and piecewise-linear networks are exact, if float64 can hold them."""
        A = floats(self.A)
        net = TwoLayerNetwork(
            floats(self.W), A[0] if len(A) == 1 else A, self.sigma, bias=None if self.b is None else floats(self.b[None])[0]
        )
        if self.sigma.kind == "analytic":
            blank = KKTSystem.gradient(net, **self._seen(np.ones(self.W.shape), np.ones(len(self.W)), np.ones(self.A.shape)))
            return blank.with_target(blank.right_hand_side(*self.data))
        return KKTSystem.gradient(net, **self._seen(*(floats(part) for part in self.updates(self.X, self.c))))

    def _seen(self, of_W: np.ndarray, of_b: np.ndarray, of_A: np.ndarray) -> dict[str, np.ndarray]:
        """The updates of the observed layers, by their names in a system."""
        seen = {} if self.layers == "second" else {"W": of_W} if self.b is None else {"W": of_W, "bias": of_b}
        return seen if self.layers == "first" else seen | {"a": of_A[0] if len(of_A) == 1 else of_A}

    @property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        c = floats(self.c)
        return floats(self.X), c[:, 0] if c.shape[1] == 1 else c


def floats(values: np.ndarray) -> np.ndarray:
    """As float64; ValueError unless all numbers are."""
    out = np.array(values, dtype=object).astype(float)
    if any(Fraction(v) != Fraction(w) for v, w in zip(out.ravel().tolist(), np.ravel(values).tolist(), strict=True)):
        raise ValueError("the instance has a number that float64 does not hold")
    return out


def _exact(values: np.ndarray) -> np.ndarray:
    return np.frompyfunc(Fraction, 1, 1)(np.array(values, dtype=object))


def _texts(values: np.ndarray) -> list:
    return np.frompyfunc(lambda v: str(Fraction(v)), 1, 1)(np.array(values, dtype=object)).tolist()


# --- the checker -----------------------------------------------------------------------------------------------------------


def ask(instance: Instance) -> dict[str, Any]:
    """The checker's answer about the given data, as JSON values."""
    try:
        report = check(instance.system, data=instance.data, seed=instance.index)
    except UnsupportedError:
        return {"verdict": REFUSED}
    except Exception as error:  # whatever it is, the study goes on and lists it
        return {"verdict": FAILED, "error": f"{type(error).__name__}: {error}"}
    return answer_of(report)


def answer_of(report: Report) -> dict[str, Any]:
    """What the study keeps of a report."""
    groups = [GROUPS[line.partition(":")[0]] for line in report.ambiguity if line.partition(":")[0] in GROUPS]
    return {
        "verdict": report.verdict.value,
        "network": report.scope.network,
        "data": report.scope.data,
        "group": groups[0] if groups else "none",
        "conditions": {c.name: c.holds for c in report.conditions},
    }


def contradiction(answer: dict[str, Any], truth: dict[str, Any]) -> str | None:
    """Why the answer is wrong; None if it is right, undecided, or beyond what the oracle can tell."""
    verdict, category = answer["verdict"], Truth(truth["category"])
    if verdict == FAILED:
        return answer["error"]
    if verdict == Verdict.UNIQUE and category.is_not_unique and not is_about_generic(answer):
        return f"UNIQUE for {answer['network']}, {answer['data']}, but the data are not: {truth['how']}"
    if verdict == Verdict.LOCALLY_UNIQUE and truth["local"]:
        return f"LOCALLY_UNIQUE, but the data lie in a family of dimension {truth['local']}"
    if verdict == Verdict.NOT_UNIQUE and category is Truth.UNIQUE:
        return "NOT_UNIQUE, but there is no other solution"
    if verdict == Verdict.UNIQUE and ORDER.index(answer["group"]) < ORDER.index(truth["group"]):
        return f"the ambiguity is {truth['group']}, more than {answer['group']}"
    return None


def is_about_generic(answer: dict[str, Any]) -> bool:
    """Whether the statement is about almost every network, and so perhaps not about one that was arranged."""
    return answer.get("network") == "generic network"


# --- tables ----------------------------------------------------------------------------------------------------------------


def contradictions(lines: Iterable[Line]) -> list[str]:
    """One line for every wrong answer."""
    found = [(line, contradiction(line["answer"], line["truth"])) for line in lines]
    return [f"instance {line['index']}: {why}; {sizes(line)}" for line, why in found if why]


def verdict_table(lines: Sequence[Line]) -> str:
    """By truth and verdict, with the share of UNIQUE or NOT_UNIQUE among the questions that have this answer."""
    verdicts = ["UNIQUE", GENERIC, "LOCALLY_UNIQUE", "NOT_UNIQUE", "UNDECIDED", REFUSED]
    verdicts += [FAILED] * any(line["answer"]["verdict"] == FAILED for line in lines)
    counts = Counter((line["truth"]["category"], _column(line["answer"])) for line in lines)
    out = ["| truth | " + " | ".join(verdicts) + " | all | decided |", "|---" * (len(verdicts) + 3) + "|"]
    for category in Truth:
        row = [counts[category, v] for v in verdicts]
        if any(row):
            out.append(f"| {category} | " + " | ".join(map(str, row)) + f" | {sum(row)} | {_share(category, counts)} |")
    return "\n".join(out)


def class_table(lines: Sequence[Line]) -> str:
    """The same share by activation, outputs, layers, and whether something was arranged; exceptional networks in a column of their own."""
    rows: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        kind = "arranged" if line["kinds"] else "random"
        name = "polynomial" if Activation.parse(line["activation"]).kind == "polynomial" else line["activation"]
        key = (name, str(line["outputs"]), line["layers"], kind)
        for name in (
            ("all",) * 4,
            (key[0], *["all"] * 3),
            ("all", key[1], "all", "all"),
            ("all", "all", key[2], "all"),
            (*["all"] * 3, kind),
        ):
            rows.setdefault(name, []).append(line)
    out = [
        "| activation | outputs | layers | instances | unique: decided | not unique: decided | open | exceptional networks called unique |",
        "|---" * 8 + "|",
    ]
    for key, members in sorted(rows.items(), key=lambda item: (-item[0].count("all"), item[0])):
        counts = Counter((line["truth"]["category"], _column(line["answer"])) for line in members)
        unique = f"{_decided(counts, Truth.UNIQUE)} of {_total(counts, Truth.UNIQUE)}"
        if _total(counts, Truth.IN_BOX):
            unique = f"{_decided(counts, Truth.IN_BOX)} of {_total(counts, Truth.IN_BOX)}"
        known = [sum(count(counts, category) for category in (Truth.OTHERS, Truth.FAMILY)) for count in (_decided, _total)]
        exceptional = sum(counts[category, GENERIC] for category in (Truth.OTHERS, Truth.FAMILY))
        names = [key[0] if key[3] == "all" else key[3], key[1], key[2]]
        open_ = _total(counts, Truth.OPEN)
        out.append(f"| {' | '.join(names)} | {len(members)} | {unique} | {known[0]} of {known[1]} | {open_} | {exceptional} |")
    return "\n".join(out)


def _column(answer: dict[str, Any]) -> str:
    return GENERIC if answer["verdict"] == Verdict.UNIQUE and is_about_generic(answer) else answer["verdict"]


def _total(counts: Counter, category: Truth) -> int:
    return sum(k for (found, _), k in counts.items() if found == category)


def _decided(counts: Counter, category: Truth) -> int:
    right = ["NOT_UNIQUE"] if category.is_not_unique else ["UNIQUE", GENERIC]
    return sum(counts[category, verdict] for verdict in right)


def _share(category: Truth, counts: Counter) -> str:
    return "" if category is Truth.OPEN else f"{_decided(counts, category) / _total(counts, category):.1%}"


def sizes(line: Line) -> str:
    """An instance in words."""
    numbers = f"({line['inputs']}, {line['samples']}, {line['width']}, {line['outputs']})" + ", bias" * line["bias"]
    return f"{line['activation']}, (d, n, m, C) = {numbers}, {line['layers']}, {', '.join(line['kinds']) or 'random'}"
