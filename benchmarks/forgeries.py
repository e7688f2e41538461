"""Does the checker refuse what is false? Forged certificates that data are unique, with every hash right, when they are not.

``python benchmarks/forgeries.py --forgeries 5000`` takes instances that were arranged so that other data have exactly the same update (see
``soundness_study/hidden.py``), and claims for each that its data are unique. The proof is put together from steps that are valid
elsewhere: for other data of the same network, for the verdict that is true, for other instances; with primes, ranks, rows, bounds and
scopes changed at random. The genuine certificates must be accepted, the forged ones refused.

Exit status: 0, or 1 if a forged certificate is accepted, a genuine one refused, or the checker fails with an error of its own.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from measuring import machine
from rich.console import Console
from rich.progress import track
from soundness_study import hidden

import identify as idf
from identify.base.errors import IdentifyError
from identify.checker.networks.claim import named_hashes
from identify.checker.reading import canonical_hash, hashes

SCOPES = ("this data", "all data in this activation cell")
PRIMES = (2, 3, 4, 65537, 2147483647, 2147483629, 2**61 - 1)
SECONDS = 5.0
"""For one certificate."""
MANY = 25
"""Forgeries of each instance."""
Body = dict[str, Any]


@dataclass
class Tally:
    """What became of the certificates."""

    genuine: int = 0
    refused: int = 0
    late: int = 0
    """Forged certificates that were not refused within the limit; nothing is said of them."""
    accepted: list[str] = field(default_factory=list)
    turned_away: list[str] = field(default_factory=list)
    """Genuine certificates that were not accepted."""
    failed: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    """Kinds of steps in the forgeries."""


def certificates(index: int, seed: int) -> list[Body]:
    """Genuine certificates about one network: of the arranged data first, then of random data. Empty if the first have none."""
    instance = hidden.draw(seed, index)
    rng = np.random.default_rng([seed, index, 0xF0])
    found, (X, c) = [], instance.data
    for k in range(4):
        system, data = instance.system, (X, c)
        if k:
            data = rng.integers(-4, 5, X.shape).astype(float), rng.integers(1, 4, c.shape).astype(float)
            if not system.right_hand_side(*data).any():
                continue
            system = system.with_target(system.right_hand_side(*data))
        try:
            found.append(idf.check(system, data=data, seed=index).certificate().to_dict())
        except IdentifyError:
            if not k:
                return []
    return found


def forged(target: Body, donors: Sequence[Body], rng: np.random.Generator) -> Body:
    """The claim that the data of ``target`` are unique, with steps from everywhere."""
    body = copy.deepcopy(target)
    donor = donors[int(rng.integers(len(donors)))]
    own, others = copy.deepcopy(target["steps"]), copy.deepcopy(donor["steps"])
    steps = [others, own + others, others + own][int(rng.integers(3))]
    if len(steps) > 1 and rng.random() < 0.2:
        steps.pop(int(rng.integers(len(steps))))
    body["claim"] |= {"verdict": "UNIQUE", "network": "this network", "data": str(rng.choice(SCOPES))}
    for name in ("ranks", "multipliers"):
        if name in donor["claim"] and name in body["claim"]:
            body["claim"][name] = copy.deepcopy(donor["claim"][name])
    body["steps"] = steps
    if "point" in donor and rng.random() < 0.3:
        body["point"] = copy.deepcopy(donor["point"])
    for _ in range(int(rng.integers(4))):
        _change(body["steps"], rng)
    return rehashed(body)


def _change(steps: list, rng: np.random.Generator) -> None:
    """One number, or one list, made another."""
    places = list(_leaves(steps))
    if not places:
        return
    holder, key = places[int(rng.integers(len(places)))]
    value = holder[key]
    if isinstance(value, list):
        holder[key] = [value[::-1], value[:-1], value + value[-1:], []][int(rng.integers(4))]
    elif isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, int):
        holder[key] = [value + 1, value - 1, 0, -value, 2 * value, int(rng.choice(PRIMES))][int(rng.integers(6))]


def _leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where numbers and lists stand, each as a holder and a key."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        if isinstance(each, (dict, list)):
            yield from _leaves(each)
        if isinstance(each, (list, int)):
            yield value, key


def rehashed(body: Body) -> Body:
    """With every hash set right."""
    numbers = body["numbers"]
    if "sizes" in body["claim"]:
        named = named_hashes(body["claim"], numbers)
    else:
        named = hashes(body["claim"], numbers, [name for name, value in numbers.items() if value is not None])
    body["sha256"] = {**body["sha256"], **named}
    body["sha256"]["content"] = canonical_hash({name: value for name, value in body.items() if name != "sha256"})
    return body


def study(seed: int, wanted: int) -> Tally:
    """Forge so many certificates, :data:`MANY` for each instance."""
    tally, pool = Tally(), dict[bool, list[Body]]()
    index = 0
    for at in track(range(0, wanted, MANY), "forging", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        made: list[Body] = []
        while not made:
            made, index = certificates(index, seed), index + 1
        for body in made:
            tally.genuine += 1
            if not idf.verify(body, budget=60):
                tally.turned_away.append(json.dumps(body))
        target, is_network = made[0], "sizes" in made[0]["claim"]
        shared = pool.setdefault(is_network, [])
        shared += made[1:]
        rng = np.random.default_rng([seed, index, 0xF1])
        for _ in range(min(MANY, wanted - at)):
            near = made if rng.random() < 0.7 or not shared else shared
            body = forged(target, near, rng)
            tally.kinds.update(step["kind"] for step in body["steps"])
            try:
                if idf.verify(body, budget=SECONDS):
                    tally.accepted.append(json.dumps(body))
                else:
                    tally.refused += 1
            except idf.OutOfTimeError:
                tally.late += 1
            except Exception as error:  # whatever it is, the study goes on and lists it
                tally.failed.append(f"{type(error).__name__}: {error}: {json.dumps(body)}")
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forgeries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    tally = study(options.seed, options.forgeries)
    print(machine("python-flint"), end="\n\n")
    print("| forged | refused | accepted | not refused in time | the checker failed | genuine | accepted |\n|---|---|---|---|---|---|---|")
    counts = (tally.refused, len(tally.accepted), tally.late, len(tally.failed), tally.genuine, tally.genuine - len(tally.turned_away))
    print(f"| {options.forgeries} | {' | '.join(map(str, counts))} |\n")
    print("Steps in the forgeries:", ", ".join(f"{kind} {count}" for kind, count in sorted(tally.kinds.items())))
    bad = [*tally.accepted, *tally.turned_away, *tally.failed]
    print(*bad, sep="\n")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
