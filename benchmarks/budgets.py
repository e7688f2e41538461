"""How well audits keep to their budget: ``identify audit`` on several networks, each in a new process.

``python benchmarks/budgets.py`` prints one markdown table. *Besides* is loading, reading and writing, *over* the time
of the steps beyond the budget (compiling, mostly).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from measuring import machine, significant

CASES = {
    "3 digits, width 40": (3, 64, 40, "z + z^2/2 + z^3"),
    "20 digits, width 150": (20, 64, 150, "z + z^2/2 + z^3"),
    "20 inputs of dimension 200, width 100": (20, 200, 100, "z + z^2/2 + z^3"),
    "40 digits, width 400 (12,341 moments)": (40, 64, 400, "z + z^2/2 + z^3"),
    "8 digits, width 100, tanh": (8, 64, 100, "tanh"),
    "20 digits, width 200, ReLU": (20, 64, 200, "relu"),
}
"""Samples, inputs, width, activation; the gradient of the logistic loss at random weights, and for ReLU the weights."""


def write(folder: Path, n: int, d: int, m: int, activation: str) -> list[str]:
    """The files of a case, and the arguments that name them."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(0)
    digits = load_digits()
    X = digits.data[:n] / 16 if d == 64 else 3 / d**0.5 * rng.standard_normal((n, d))
    y = np.where(digits.target[:n] % 2, 1.0, -1.0)
    W, a = rng.standard_normal((m, d)) / d**0.5, rng.standard_normal(m) / m**0.5
    Z = X @ W.T
    values, slopes = (np.tanh(Z), 1 / np.cosh(Z) ** 2) if activation == "tanh" else (Z + Z**2 / 2 + Z**3, 1 + Z + 3 * Z**2)
    c = y / (1 + np.exp(y * (values @ a))) / n
    np.savez(folder / "model.npz", W1=W, W2=a[None])
    np.savez(folder / "data.npz", X=X, y=y)
    np.savez(folder / "update.npz", W1=-a[:, None] * ((c[:, None] * slopes).T @ X), W2=-(c @ values)[None])
    told = ["--regime", "max-margin"] if activation == "relu" else ["--gradient", str(folder / "update.npz")]
    return [str(folder / "model.npz"), "--data", str(folder / "data.npz"), "--activation", activation, *told]


def measured(case: tuple[int, int, int, str], budget: float) -> tuple[float, float, int]:
    """Seconds outside the steps, and of the steps beyond the budget; and how many steps were left out."""
    with TemporaryDirectory() as name:
        arguments = [*write(Path(name), *case), "--budget", str(budget), "--out", name, "--json"]
        began = perf_counter()
        command = [sys.executable, "-m", "identify", "audit", *arguments]
        out = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}).stdout
        whole, times = perf_counter() - began, json.loads(out)["times"]
    steps = times["seconds"]["all"] - times["seconds"]["reading"]
    return whole - steps, max(steps - budget, 0.0), len(times["left_out"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budgets", type=float, nargs="+", default=[2.0, 20.0], help="seconds")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options = parser.parse_args(arguments)
    print(machine("numpy", "jax"), end="\n\n")
    print("| case | budget s | besides s | over s | steps left out |\n|---|---|---|---|---|")
    for name in options.cases:
        for budget in options.budgets:
            *seconds, left_out = measured(CASES[name], budget)
            row = " | ".join(significant(value) if value else "0" for value in seconds)
            print(f"| {name} | {budget:g} | {row} | {left_out} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
