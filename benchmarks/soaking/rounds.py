"""What one round does: commands and calls as a notebook or a service would make them, one after the other in one process.

Each round has a seed of its own, so that numbers differ; ``grown`` makes every size differ as well, so that everything is compiled anew.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import identify
from identify import attacks, cli

CUBIC = "z + z^2/2 + z^3"


@dataclass(frozen=True)
class Round:
    """The seed, by how much sizes are larger than those of the first round, and a fresh folder."""

    seed: int
    grown: int
    folder: Path

    @property
    def returning(self) -> int:
        """A seed that comes again after five rounds, for what has sizes that depend on the data."""
        return self.seed % 5


def command(*arguments: object) -> str:
    """A command line in this process, as the entry point runs it; what it prints."""
    out, errors = io.StringIO(), io.StringIO()
    before, sys.argv, status = sys.argv, ["identify", *map(str, arguments)], 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            cli.main()
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        sys.argv = before
    _expect(f"exit status of {arguments[0]}: {errors.getvalue()[-300:]}", 0, status)
    return out.getvalue()


def demo(now: Round) -> None:
    """Both acts, in a new folder. The first act's network has as many neurons as its data have eigenvectors."""
    command("demo", "--out", now.folder / "demo", "--seed", now.returning, "--width", 150 + now.grown)


def checks(now: Round) -> None:
    """One of each verdict, and given data, with page and certificate."""
    sizes: dict = {"inputs": 4, "samples": 3, "width": 10 + now.grown, "activation": CUBIC}
    system, truth = identify.Configuration(**sizes).plant(seed=now.seed)
    given = identify.check(system, data=(truth.X, truth.c), seed=now.seed)
    _expect("verdict on given data", "UNIQUE", given.verdict)
    given.to_html(now.folder / "check.html")
    proof = given.certificate()
    proof.save(now.folder / "check.json")
    _expect("certificate", True, bool(identify.verify(now.folder / "check.json")))
    config = identify.Configuration(inputs=8, samples=3, width=32 + now.grown, activation=CUBIC)
    limits = identify.largest_identifiable(config, seed=now.seed)
    for samples in {limits.unique, limits.locally_unique, limits.locally_unique + 1}:
        verdict = "UNIQUE" if samples <= limits.unique else "LOCALLY_UNIQUE" if samples <= limits.locally_unique else "NOT_UNIQUE"
        report = identify.check(replace(config, samples=samples), seed=now.seed)
        _expect(f"verdict for {samples} samples", verdict, report.verdict)
        report.to_json()
    command("check", "--inputs", 4, "--samples", 3, "--width", 12 + now.grown, "--activation", CUBIC, "--seed", now.seed, "--json")


def audit_gradient(now: Round) -> None:
    """Proofs, recovery, certificates, defences; from files, by the command."""
    system, truth = identify.Configuration(inputs=9, samples=3, width=15 + now.grown, activation=CUBIC).plant(seed=now.seed)
    net = system.network
    np.savez(now.folder / "model.npz", W1=net.W, W2=net.A)
    np.savez(now.folder / "gradient.npz", W1=-system.target_W, W2=-system.target_a.reshape(net.A.shape))
    np.savez(now.folder / "data.npz", X=truth.X)
    arguments = ["audit", now.folder / "model.npz", "--gradient", now.folder / "gradient.npz", "--data", now.folder / "data.npz"]
    command(*arguments, "--activation", CUBIC, "--out", now.folder / "audit", "--seed", now.seed)
    for path in (now.folder / "audit").glob("*.certificate.json"):
        _expect(path.name, True, bool(identify.verify(path)))


def audit_network(activation: str, now: Round) -> None:
    """Training, then what an audit makes of a network about which nothing is proved: with an attack."""
    rng = np.random.default_rng(now.seed)
    X, y = rng.standard_normal((6, 5)), np.repeat([-1.0, 1.0], 3)
    net = attacks.random_network((5, 20 + now.grown, 1), "z + z^2/8" if activation != "relu" else "relu", seed=now.seed)
    trained = attacks.train(net, X, y, decay=1e-3, rate=0.05, steps=1000).final
    layers = dict(trained.parameters)
    found = identify.audit(layers, data=(X, y), activation=activation, regime="weight-decay", seed=now.seed, budget=3.0)
    _expect("finding", True, "attack" in found)
    found.save(now.folder / activation)


def attack(now: Round) -> None:
    """Settings drawn anew for every run, splitting, and corners."""
    rng = np.random.default_rng(now.seed)
    net = attacks.random_network((5, 20 + now.grown, 1), seed=now.seed)
    X, y = rng.standard_normal((6, 5)), np.repeat([-1.0, 1.0], 3)
    final = attacks.train(net, X, y, steps=1000).final
    search = attacks.RandomSearch(partial(attacks.haim, final), attacks.HAIM_RANGES)
    identify.reconstruct(search, candidates=8, steps=200, trials=2, seed=now.seed)
    identify.reconstruct(attacks.loo(net, final), candidates=8, steps=400, seed=now.seed, splitting=identify.Splitting(every=200))
    attacks.corners(final, -3.0, 3.0, starts=50, seed=now.seed)


def recoveries(now: Round) -> None:
    """By algebra, and by searches, which run as many starts at once as are still moving."""
    for activation, method, starts in (
        (CUBIC, "auto", None),
        ("z + z^3", "projection", 8),
        (CUBIC, "splitting", 2),
        (CUBIC, "separate", 8),
    ):
        config = identify.Configuration(inputs=4, samples=3, width=12 + now.grown, activation=activation)
        system, truth = config.plant(seed=now.returning)
        with contextlib.suppress(identify.RecoveryError):  # a search may fail; what it leaves is measured all the same
            identify.recover(system, samples=3, method=method, starts=starts, seed=now.returning, data=(truth.X, truth.c))


def updates(now: Round) -> None:
    """Batches behind updates of classifiers: all layers, the first alone, a softmax head, several steps, a layer behind a known map."""
    rng = np.random.default_rng(now.seed)
    for activation, width in (("relu", (40 + now.grown, 30 + now.grown)), ("gelu", (40 + now.grown, 30)), ("tanh", 60 + now.grown)):
        config = identify.Configuration(inputs=20, samples=4, width=width, activation=activation, outputs=5, bias=True)
        system, truth = config.plant(seed=now.seed)
        _found(system, truth.X, truth.c)
        if activation == "tanh":
            _found(identify.KKTSystem.gradient(system.network, layers={1: system.layers[1]}), truth.X, truth.c)
    A, H, c = rng.standard_normal((20, 30 + now.grown)) / 5, rng.standard_normal((3, 30 + now.grown)), np.eye(20)[:3]
    exponentials = np.exp(H @ A.T)
    c = c - exponentials / exponentials.sum(axis=1, keepdims=True)
    _found(identify.KKTSystem.linear_head(A, np.zeros(20), W=c.T @ H, bias=c.sum(axis=0)), H, c)
    V, X, U = rng.standard_normal((40 + now.grown, 6)), rng.random((3, 6)), rng.standard_normal((3, 5))
    values = np.tanh(X @ V.T)
    behind = identify.KKTSystem.features(lambda x: jax.numpy.tanh(V @ x), 6, W=U.T @ values, bias=U.sum(axis=0), box=(0, 1))
    _found(behind, X, U)
    net = attacks.random_network((8, 30 + now.grown, 20, 1), "gelu", seed=now.seed)
    final = net.with_parameters({name: part + 1e-3 * rng.standard_normal(part.shape) for name, part in net.parameters.items()})
    with contextlib.suppress(identify.RecoveryError):  # no training leads there; what the search leaves is measured
        identify.recover(identify.KKTSystem.steps(net, final, learning_rate=0.01, steps=2), samples=2, budget=5.0)


def _found(system: Any, X: np.ndarray, c: np.ndarray) -> None:
    found = identify.recover(system, budget=20.0)
    _expect("samples", len(X), found.n_samples)
    _expect("found", True, bool(found.match(X, c).errors.max() < 1e-6))


def sweep(now: Round) -> None:
    """In processes of its own and in threads, with a diagram."""
    grid = {"inputs": [3, 4], "samples": [2, 6], "width": 8 + now.grown, "activation": CUBIC, "seeds": [now.returning]}
    identify.sweep(grid, store=now.folder / "processes", workers=1)
    with ThreadPoolExecutor(1) as executor:
        found = identify.sweep(grid | {"measure": ["verdict", "recovery"], "starts": 4}, store=now.folder / "threads", executor=executor)
    _expect("failed tasks", 0, found.counts["failed"])
    command("plot", now.folder / "processes")


PARTS: dict[str, Callable[[Round], None]] = {
    "demo": demo,
    "checks": checks,
    "audit of a gradient": audit_gradient,
    "audit of a ReLU network": partial(audit_network, "relu"),
    "audit of a tanh network": partial(audit_network, "tanh"),
    "attacks": attack,
    "recoveries": recoveries,
    "updates of classifiers": updates,
    "sweep": sweep,
}


def _expect(what: str, wanted: object, found: object) -> None:
    if found != wanted:
        raise RuntimeError(f"{what}: received {found}, expected {wanted}")
