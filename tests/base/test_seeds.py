"""Every public verb that takes a seed takes the same ones, and keeps it as a Python integer."""

import inspect

import numpy as np
import pytest
from support.public import PAGES, listed, resolved

import identify as idf
from identify.base.options import LARGEST_SEED, valid_seed
from identify.sweeps.grid import Grid
from identify.symbolic.solve import gauge_equations

CONFIG = idf.Configuration(inputs=2, samples=1, width=3, activation="z + z^2")
DEEP = idf.Configuration(inputs=4, samples=2, width=(8, 8), activation="relu")
SIZES = {"measure": "verdict", "inputs": 2, "samples": 1, "width": 3, "activation": "z + z^2"}
ONE_LEVEL = dict.fromkeys(("rounding", "weights", "width", "batch", "degree"), ()) | {"noise": [1e-6], "spot_checks": 0}


def planted(config: idf.Configuration = CONFIG):
    return config.plant(seed=0)


def trained() -> idf.Network:
    return idf.attacks.random_network((2, 3, 1), seed=0)


VERBS = {
    "identify.check": lambda seed: idf.check(CONFIG, seed=seed),
    "identify.largest_identifiable": lambda seed: idf.largest_identifiable(CONFIG, seed=seed),
    "identify.recover": lambda seed: idf.recover(planted()[0], seed=seed),
    "identify.recover, any depth": lambda seed: idf.recover(planted(DEEP)[0], seed=seed),
    "identify.audit": lambda seed: idf.audit(planted()[0], seed=seed),
    "identify.defences": lambda seed: idf.defences(planted()[0], planted()[1].X, planted()[1].c, **ONE_LEVEL, seed=seed),
    "identify.reconstruct": lambda seed: idf.reconstruct(idf.attacks.haim(trained()), candidates=1, steps=1, seed=seed),
    "identify.attacks.corners": lambda seed: idf.attacks.corners(trained(), 0, 1, starts=1, seed=seed),
    "identify.attacks.vertices": lambda seed: idf.attacks.vertices(trained(), 0, 1, starts=1, seed=seed),
    "identify.attacks.patterns": lambda seed: idf.attacks.patterns(trained(), starts=1, seed=seed),
    "identify.attacks.random_network": lambda seed: idf.attacks.random_network((2, 3, 1), seed=seed),
    "identify.attacks.RandomSearch.draw": lambda seed: idf.attacks.RandomSearch(dict, {"rate": (0.1, 1.0)}).draw(seed),
    "identify.attacks.score": lambda seed: idf.attacks.score(np.eye(2), np.eye(2), seed=seed),
    "identify.Configuration.plant": lambda seed: CONFIG.plant(seed),
    "identify.Theorem.verify": lambda seed: idf.theorems["count"].verify(trials=1, seed=seed),
    "identify.symbolic.solve.gauge_equations": lambda seed: gauge_equations(idf.kkt_equations(CONFIG), seed=seed),
    "identify.sweep": lambda seed: Grid.of(SIZES | {"seeds": [seed]}),
    "identify.complete": lambda seed: idf.complete(np.where(np.eye(6) > 0, np.nan, 1.0), seed=seed),
    "identify.sweep_updates": lambda seed: idf.sweep_updates("no folder", store="no store", seed=seed),
}
"""Name of a verb, with a remark after a comma if it has two ways -> a call that costs little."""
KEEP = ("identify.check", "identify.largest_identifiable", "identify.recover", "identify.defences", "identify.Theorem.verify")
"""Verbs whose result has the seed as a field."""
NO_SEEDS = (-1, LARGEST_SEED + 1, 10**400, 0.0, 1.5, np.float64(3), True, np.True_, None, "0", [0], np.array([1, 2]), float("nan"))


@pytest.mark.parametrize("seed", NO_SEEDS, ids=lambda seed: repr(seed)[:20])
@pytest.mark.parametrize("name", VERBS)
def test_what_is_not_a_seed_is_refused(name, seed):
    with pytest.raises(idf.InputError, match=f"^seeds?: received .*, expected an integer from 0 to {LARGEST_SEED}$"):
        VERBS[name](seed)


@pytest.mark.parametrize("name", KEEP)
def test_any_integer_type_serves_and_the_result_keeps_an_integer(name):
    largest = VERBS[name](np.uint64(LARGEST_SEED))
    assert type(largest.seed) is int and largest.seed == LARGEST_SEED


def test_the_seeds_of_all_runs_are_in_range():
    assert valid_seed(LARGEST_SEED - 2, runs=3) == LARGEST_SEED - 2
    for verb in (
        lambda: idf.reconstruct(idf.attacks.haim(trained()), candidates=1, steps=1, trials=2, seed=LARGEST_SEED),
        lambda: idf.theorems["count"].verify(trials=2, seed=LARGEST_SEED),
    ):
        with pytest.raises(idf.InputError, match=f"^seed: received {LARGEST_SEED}, expected an integer from 0 to {LARGEST_SEED - 1}$"):
            verb()


@pytest.mark.skipif(not PAGES.exists(), reason="the documentation is part of the repository, not of the package")
def test_the_table_has_every_public_verb_with_a_seed():
    found = {path for name in listed() for path in verbs_with_seed(name)}
    assert found == {name.split(",")[0] for name in VERBS} - {"identify.sweep"}


def verbs_with_seed(name: str) -> list[str]:
    """The function, or the methods of the class, of that name."""
    value = resolved(name)
    methods = {f"{name}.{method}": one for method, one in inspect.getmembers(value, inspect.isfunction)}
    verbs = methods if inspect.isclass(value) else {name: value} if inspect.isfunction(value) else {}
    return [path for path, one in verbs.items() if "._" not in path and "seed" in inspect.signature(one).parameters]
