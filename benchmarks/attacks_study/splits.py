"""Splitting as its paper does it beside ours, from the same starts, with as many iterations; reweighting; variants of Loo's attack.

``python benchmarks/attacks.py --splitting`` prints a markdown table of ten digits of 64 pixels. *L2*, *SSIM* and *PSNR* are the field's:
means of the ten best over the images, each with its nearest candidate, which may serve several images; *chance* puts 2n other digits in
place of the candidates.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist

import identify
from attacks_study.problems import MAKERS, Problem, drawn, images
from identify.attacks import Attack, loo, random_network, train
from identify.attacks.objectives import decaying, reweighted
from identify.attacks.ssim import ImageShape, paired_ssim

STEPS, EVERY, SEED, N = 4000, 1000, 0, 10
FOUND, BEST, WEIGHT, LAST = 0.1, 10, 20.0, 0.01
DRAWN = "n, split, ours"
SETTINGS = {
    "multiclass, ReLU": {"start_scale": 1e-3, "rate": 3e-4, "multiplier_rate": 0.1, "bound": 0.05, "sharpness": 40.0},
    "change of training, ReLU": {},
}
"""Set by hand within the published ranges, the same for all arms of a network."""


def ten_best(candidates: np.ndarray, problem: Problem) -> tuple[float, float, float]:
    """Means of the ten best L2 errors, SSIM and PSNR of images and their nearest candidates."""
    distances = cdist(problem.X, candidates)
    near = candidates[distances.argmin(axis=1)]
    errors = np.sort(distances.min(axis=1))[:BEST]
    likeness = paired_ssim(near + problem.mean, problem.X + problem.mean, ImageShape.read(problem.shape, problem.X.shape[1]), 3, 1.0)
    signal = 10 * np.log10(problem.X.shape[1] / np.maximum(distances.min(axis=1) ** 2, 1e-20))
    return float(errors.mean()), float(np.sort(likeness)[-BEST:].mean()), float(np.sort(signal)[-BEST:].mean())


def moved(n: int, seed: int) -> Problem:
    """A ReLU network after some training on the square loss, its parameters before and after known."""
    X, classes, mean, rest = drawn("digits", n, seed, False)
    start = random_network((X.shape[1], 200, 1), biases="all", seed=seed)
    y = np.where(classes % 2, 1.0, -1.0)
    final = train(start, X, y, loss="square", rate=0.02, momentum=0.9, steps=3000, enough=1e-10).final
    make = partial(loo, start, final, low=-mean, high=1 - mean)
    return Problem(make, {}, X, y, mean, rest, images("digits")[2], True)


def arms(name: str, problem: Problem) -> dict[str, tuple[Attack, int, identify.Splitting | None]]:
    """By name: the attack, how many candidates it begins with, for each image, and when it splits."""
    plain = problem.make(**SETTINGS[name])
    ours = identify.Splitting(every=EVERY, most=4, cap=2)
    paper = identify.Splitting(every=EVERY, cap=2, rule="published")
    both = [("n", plain)]
    if name == "change of training, ReLU":
        both += [(f"n, weight {WEIGHT:g}", reweighted(plain, WEIGHT)), ("n, rate decays", decaying(plain, LAST, STEPS))]
        both += [(f"n, weight {WEIGHT:g}, rate decays", decaying(reweighted(plain, WEIGHT), LAST, STEPS))]
        both += [("n, both kernels", problem.make(both_kernels=True)), ("n, mean kernel", problem.make(mean_kernel=True))]
    found = {label: (attack, 1, None) for label, attack in both}
    return found | {DRAWN: (plain, 1, ours), "n, split, published": (plain, 1, paper), "2n": (plain, 2, None)}


def compared(quick: bool = False, picture: Path | None = None) -> None:
    """Print the table; the lineage of our splits on the first network is drawn into ``picture``."""
    steps = 2 * EVERY if quick else STEPS
    print("| network | arm | objective | found | L2 | SSIM | PSNR | splits | lower after | CPU seconds |\n|" + "---|" * 10, flush=True)
    makers: dict[str, Callable[[], Problem]] = {
        "multiclass, ReLU": lambda: MAKERS["multiclass, ReLU"]("digits", N, SEED),
        "change of training, ReLU": lambda: moved(N, SEED),
    }
    for name, make in list(makers.items())[1 if quick else 0 :]:
        problem = make()
        for label, (attack, factor, splitting) in arms(name, problem).items():
            began = time.process_time()
            try:
                run = identify.reconstruct(
                    attack, candidates=factor * len(problem.X), steps=steps, seed=SEED, splitting=splitting, precision="float32"
                ).trials[0]
            except FloatingPointError:
                print(f"| {name} | {label} | diverged |" + " |" * 7, flush=True)
                continue
            seconds = time.process_time() - began
            if picture is not None and label == DRAWN:
                picture.write_bytes(run.lineage(problem.X, mean=problem.mean, shape=problem.shape))
                picture = None
            row = [f"{run.value:.2g}", f"{found(run.X, problem)}/{len(problem.X)}", *(f"{each:.2f}" for each in ten_best(run.X, problem))]
            row += [str(len(run.splits)), f"{sum(each.after < each.before for each in run.splits)}", f"{seconds:.0f}"]
            print(f"| {name} | {label} | {' | '.join(row)} |", flush=True)
        chance = problem.held_out[: 2 * len(problem.X)]
        row = ["", f"{found(chance, problem)}/{len(problem.X)}", *(f"{each:.2f}" for each in ten_best(chance, problem)), "", "", ""]
        print(f"| {name} | chance | {' | '.join(row)} |", flush=True)


def found(candidates: np.ndarray, problem: Problem) -> int:
    near = cdist(problem.X, candidates).min(axis=1) / np.linalg.norm(problem.X, axis=1)
    return int((near < FOUND).sum())
