"""The published attacks with and without sample splitting, on real images, with the same wall-clock time for all arms.

``python benchmarks/attacks.py --store DIR`` trains networks (five seeds each), runs every arm on them and prints markdown tables; each
result is a file of its own, and a store that exists is continued. ``--images`` and ``--most`` choose networks, ``--quick`` does a slice in
a few minutes, ``--picture FILE`` draws what was found. ``--splitting`` compares ways to split, with equal iterations. ``--speed``
compares iterations per second with PyTorch, and ``--network FILE`` diagnoses a trained network with its data (``W1 b1 W2 ... X y mean``)
and tries to recover them. ``--cost`` measures a check for splits in iterations, and ``--slice DIR`` runs a part of the papers' scale.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from attacks_study.arms import ARMS, fits, scored, settings
from attacks_study.problems import MAKERS, PLAIN
from attacks_study.table import tables
from measuring import machine

from identify.base.files import claim_folder, replacing

SEEDS = 5
TUNED_ON = 1000
"""The seed of the network on which settings are searched: not one of the study."""
KINDS = ("digits", "patches")
SIZES = {"digits": (100, 10), "patches": (100, 30, 10)}
SECONDS = 6.0
"""For every arm."""
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class Group(NamedTuple):
    """Networks of one kind, on which all arms run in one process: what is compiled is compiled once."""

    network: str
    kind: str
    n: int

    @property
    def key(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in f"{self.kind}-{self.n}-{self.network}")


TRAINED = [name for name in MAKERS if "ReLU" in name and name != PLAIN]
EXACT = [name for name in MAKERS if "exact" in name]
FULL = [
    Group(name, kind, n)
    for kind in KINDS
    for name, sizes in [(name, SIZES[kind]) for name in TRAINED] + [(name, (10 if "lazy" in name else 5,)) for name in EXACT]
    for n in sizes
] + [Group(PLAIN, "digits", 10)]
QUICK = [Group("max margin, ReLU", "digits", 10), Group("lazy, polynomial (exact)", "digits", 10)]


def examine(group: Group, store: Path, seeds: int, seconds: float) -> str:
    """All arms on all networks of a group, but for those that the store has."""
    missing = [(seed, arm) for seed in range(seeds) for arm in ARMS if not (store / f"{group.key}-{seed}-{arm}.json").exists()]
    if not missing:
        return f"{group.key}: done before"
    chosen = _settings(group, store, seconds)
    warm: set[str] = set()
    for seed in range(seeds):
        arms = [arm for number, arm in missing if number == seed]
        if not arms:
            continue
        problem = MAKERS[group.network](group.kind, group.n, seed)
        for arm in arms:
            path = store / f"{group.key}-{seed}-{arm}.json"
            line = None
            if fits(arm, problem):
                if arm not in warm:  # what is compiled is not counted
                    ARMS[arm](problem, chosen, seed + TUNED_ON, seconds / 2)
                    warm.add(arm)
                found = ARMS[arm](problem, chosen, seed, seconds)
                line = scored(problem, found, chance=arm in ("2n", "corners"))
                if seed == 0:
                    with replacing(path.with_suffix(".npz")) as temporary, temporary.open("wb") as file:
                        np.savez(file, found=found.X, X=problem.X, mean=problem.mean)
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(line), encoding="utf-8")
    return f"{group.key}: done"


def _settings(group: Group, store: Path, seconds: float) -> dict[str, float]:
    path = store / f"{group.key}-settings.json"
    if not path.exists():
        chosen = settings(MAKERS[group.network](group.kind, group.n, TUNED_ON), seconds)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(chosen), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def study(groups: Sequence[Group], store: Path, seeds: int, faster: float) -> None:
    os.environ["XLA_FLAGS"] = ONE_THREAD
    with ProcessPoolExecutor(os.cpu_count() or 1, get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting = [pool.submit(examine, group, store, seeds, SECONDS / faster) for group in groups]
        try:
            for number, done in enumerate(as_completed(waiting), 1):
                print(f"{number} of {len(waiting)}: {done.result()}", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise SystemExit(f"interrupted; run again with --store {store} to go on") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="folder for results; one that exists is continued")
    parser.add_argument("--quick", action="store_true", help="two kinds of networks, two seeds, a second for each arm")
    parser.add_argument("--images", nargs="+", choices=KINDS, default=list(KINDS), help="images of these kinds alone")
    parser.add_argument("--most", type=int, default=max(max(sizes) for sizes in SIZES.values()), help="images of a network at most")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="networks of each kind")
    parser.add_argument("--picture", type=Path, help="draw what was found; with --splitting, what was split when")
    parser.add_argument("--speed", action="store_true", help="iterations per CPU second, against PyTorch")
    parser.add_argument("--network", type=Path, nargs="+", help=".npz of trained networks with their data")
    parser.add_argument("--activation", default="relu", help="of these networks")
    parser.add_argument("--noise", type=float, default=1e-4, help="standard deviation of their first layer at the start of training")
    parser.add_argument("--seconds", type=float, default=120, help="for each attack on them")
    parser.add_argument("--splitting", action="store_true", help="the published rule of splitting beside ours, reweighting, Loo's variants")
    parser.add_argument("--cost", type=int, nargs="*", help="what a check for splits costs, for these numbers of candidates")
    parser.add_argument("--slice", type=Path, help="a folder: 784-1000-1 on digits of MNIST, continued at every call")
    parser.add_argument("--per-class", type=int, default=50, help="digits of each of the two classes of this slice")
    parser.add_argument("--matching", type=int, nargs="*", help="splitting on gradient matching, for batches of these sizes")
    given = parser.parse_args()
    if given.cost is not None:
        os.environ["XLA_FLAGS"] = ONE_THREAD
        from attacks_study.costs import SIZES as CANDIDATES
        from attacks_study.costs import cost

        cost(given.cost or CANDIDATES)
        print(f"\n{machine('jax')}")
        return
    if given.slice is not None:
        os.environ["XLA_FLAGS"] = ONE_THREAD
        from attacks_study.slice import run

        run(given.slice, given.per_class, given.seconds)
        print(f"\n{machine('jax')}")
        return
    if given.matching is not None:
        os.environ["XLA_FLAGS"] = ONE_THREAD
        from attacks_study.matching import SIZES as BATCHES
        from attacks_study.matching import compared as matched

        matched(given.matching or BATCHES, given.quick)
        print(f"\n{machine('jax')}")
        return
    if given.splitting:
        from attacks_study.splits import compared

        compared(given.quick, given.picture)
        print(f"\n{machine('jax')}")
        return
    if given.speed or given.network:
        from attacks_study.reference import speed, trained_networks

        trained_networks(given.network, given.activation, given.noise, given.seconds) if given.network else speed()
        return
    if given.store is None:
        parser.error("--store: a folder for the results is needed")
    groups, seeds, faster = (QUICK, 2, 6.0) if given.quick else (FULL, given.seeds, 1.0)
    groups = [group for group in groups if group.kind in given.images and group.n <= given.most]
    claim_folder(given.store, f"attacks {'quick' if given.quick else 'full'}", "study")
    study(groups, given.store, seeds, faster)
    print(tables(groups, given.store, seeds))
    print(machine("jax", "numpy"))
    if given.picture:
        from attacks_study.pictures import picture

        picture(groups, given.store, given.picture)


if __name__ == "__main__":
    main()
