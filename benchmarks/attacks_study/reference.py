"""Iterations per CPU second beside PyTorch with automatic differentiation, as the published code works; and trained networks from files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import machine, significant

import identify
from identify.attacks import HAIM_PRESETS, MLP, RandomSearch, corners, diagnose, haim, in_row_space, random_network, score
from identify.attacks.published import HAIM_RANGES, HINGE, MOMENTUM

CASES = {
    "64-500-1, ReLU, 40 candidates": ((64, 500, 1), "relu", "first", 40),
    "64-300-300-1, ReLU, 80 candidates": ((64, 300, 300, 1), "relu", "first", 80),
    "64-300-1, polynomial, 20 candidates": ((64, 300, 1), "z + z^2/2 + z^3/6", "none", 20),
}
ITERATIONS = 2000
RATES = {"rate": 1e-3, "multiplier_rate": 1e-3}
SETTINGS = HAIM_PRESETS["cifar-2"] | RATES


def speed() -> None:
    """One core for both, double precision for both, the same objective, optimiser and start."""
    try:
        import torch
    except ImportError:
        raise SystemExit("--speed: PyTorch is needed for the comparison; pip install torch") from None
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    print(
        "| network | PyTorch, s per iteration | identify, float64 | identify, float32 | ratio | ratio, float32 |\n|---|---|---|---|---|---|"
    )
    for name, (sizes, activation, biases, k) in CASES.items():
        network = random_network(sizes, activation, biases=biases)
        theirs, end = _seconds(lambda count, net=network, k=k: published(net, k, count))
        both, ends = zip(
            *(_seconds(lambda count, net=network, k=k, p=p: ours(net, k, count, p)) for p in ("float64", "float32")), strict=True
        )
        if not np.isclose(ends[0], end, rtol=1e-6):
            raise SystemExit(f"{name}: the objectives differ, {end} and {ends[0]}: nothing is compared")
        cells = [theirs, *both, theirs / both[0], theirs / both[1]]
        print(f"| {name} | " + " | ".join(significant(value) if value >= 1 else f"{value:.1e}" for value in cells) + " |")
    print(machine("torch", "jax"))


def _seconds(run: Callable[[int], float]) -> tuple[float, float]:
    """CPU seconds for an iteration, without what only the first ones take; and the objective at the end."""
    run(ITERATIONS // 10)
    started = time.process_time()
    end = run(ITERATIONS)
    return (time.process_time() - started) / ITERATIONS, end


def ours(network: MLP, k: int, count: int, precision: str) -> float:
    return identify.reconstruct(haim(network, **SETTINGS), candidates=k, steps=count, precision=precision).trials[0].value


def published(network: MLP, k: int, count: int) -> float:
    """The objective of Haim et al. as its formulas say, with gradients of gradients by PyTorch."""
    import torch

    class SmoothedReLU(torch.autograd.Function):
        @staticmethod
        def forward(context, z):
            context.save_for_backward(z)
            return z.clamp(min=0)

        @staticmethod
        def backward(context, gradient):
            (z,) = context.saved_tensors
            return gradient * torch.sigmoid(SETTINGS["sharpness"] * z)

    parameters = {name: torch.tensor(np.array(value), requires_grad=True) for name, value in network.parameters.items()}
    relu = isinstance(network.activation, str)
    coefficients = [] if relu else list(network.activation.floats())

    def activation(z):
        return SmoothedReLU.apply(z) if relu else sum(s * z**i for i, s in enumerate(coefficients) if s)

    def outputs(x):
        for layer in range(1, network.depth + 1):
            x = x @ parameters[f"W{layer}"].T
            if f"b{layer}" in parameters:
                x = x + parameters[f"b{layer}"]
            if layer < network.depth:
                x = activation(x)
        return x

    X, c = (torch.tensor(part) for part in haim(network, **SETTINGS).start(np.random.default_rng(0), k))
    labels = torch.where(torch.arange(k) < k // 2, -1.0, 1.0).double()[:, None]
    X.requires_grad_(), c.requires_grad_()
    optimisers = [torch.optim.SGD([part], lr=rate, momentum=MOMENTUM) for part, rate in zip((X, c), RATES.values(), strict=True)]

    def objective():
        found = torch.autograd.grad((c * labels * outputs(X)).sum() / k, list(parameters.values()), create_graph=True)
        distance = sum(((p.detach() - g) ** 2).sum() for p, g in zip(parameters.values(), found, strict=True))
        box = ((X - 1).clamp(min=0) ** 2).sum() + ((-1 - X).clamp(min=0) ** 2).sum()
        return distance + box + HINGE * ((SETTINGS["bound"] - c).clamp(min=0) ** 2).sum()

    for _ in range(count):
        for optimiser in optimisers:
            optimiser.zero_grad()
        objective().backward()
        for optimiser in optimisers:
            optimiser.step()
    return objective().item()


def trained_networks(paths: list[Path], activation: str, noise: float, seconds: float) -> None:
    """For each file: what stands between the attack and the data; the published attack, and in the row space; corners."""
    for path in paths:
        with np.load(path, allow_pickle=False) as f:
            network = MLP({name: f[name] for name in f.files if name[0] in "Wb" and name[1:].isdigit()}, activation)
            X, y, mean = f["X"], f["y"], f["mean"]
        print(f"\n{path.name}: {network!r}, {len(X)} images\n")
        print(diagnose(haim(network, sharpness=1e9, bound=0.0), X, y, noise=noise), "\n")
        rows = {
            "published": lambda net, **chosen: haim(net, **chosen),
            "in the row space": lambda net, **chosen: in_row_space(haim(net, **chosen), noise=noise),
        }
        ranges = HAIM_RANGES | {"rate": (1e-4, 1e-1), "multiplier_rate": (1e-3, 1e-1)}
        print("| candidates | number | relative L2 < 0.1 | < 0.2 | correlation > 0.9 | stationarity |\n|---|---|---|---|---|---|")
        for name, make in rows.items():
            search = RandomSearch(lambda make=make, net=network, **chosen: make(net, **chosen), ranges)
            found = identify.reconstruct(search, candidates=2 * len(X), steps=10_000, trials=24, precision="float32", budget=seconds)
            _print(f"{name}, {len(found.trials)} runs together", found.pooled, X, f"{found.trials[0].distance:.2g}")
        if str(network.activation) == "relu":
            points = corners(network, -mean, 1 - mean, noise=noise)
            _print("corners", points.X, X, "")
            _print("corners, the first 2n", points.X[: 2 * len(X)], X, "")


def _print(name: str, candidates: np.ndarray, X: np.ndarray, last: str) -> None:
    judged = score(candidates, X)
    low, high = (round(judged.recall(bound) * len(X)) for bound in (0.1, 0.2))
    print(f"| {name} | {len(candidates)} | {low} | {high} | {judged.n_correlated()} | {last} |", flush=True)
