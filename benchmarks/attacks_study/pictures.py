"""One picture of what the arms found on the first network of some groups, each candidate below the image it stands for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from attacks_study.arms import ARMS
from attacks_study.problems import images
from identify.attacks import score

SHOWN = 10
TITLES = {
    "n": "n candidates",
    "n, split": "n, split up to 2n",
    "2n": "2n candidates",
    "2n, row space": "2n, in the row space",
    "corners": "kinks and limits",
    "recover": "recover",
}


def picture(groups: Iterable[Any], store: Path, file: Path) -> None:
    """Rows: the true images, and for each arm the candidates that are assigned to them, framed where the error is below 0.1."""
    chosen = [group for group in groups if group.n <= SHOWN and (group.network.startswith("max margin, ReLU") or "lazy" in group.network)]
    for kind in {group.kind for group in chosen}:
        here = [group for group in chosen if group.kind == kind]
        found = [(group, {arm: store / f"{group.key}-0-{arm}.npz" for arm in ARMS}) for group in here]
        rows = sum(1 + sum(path.exists() for path in paths.values()) for _, paths in found)
        figure, axes = plt.subplots(rows, SHOWN, figsize=(SHOWN * 0.75, rows * 0.78), squeeze=False, layout="constrained")
        row = 0
        for group, paths in found:
            for arm, path in paths.items():
                if not path.exists():
                    continue
                with np.load(path, allow_pickle=False) as f:
                    X, Y, mean = f["X"], f["found"], f["mean"]
                if arm == next(a for a, p in paths.items() if p.exists()):
                    _strip(axes[row], X + mean, f"{group.network}\nthe data", images(kind)[2], np.ones(len(X), bool), bold=True)
                    row += 1
                judged = score(Y[np.isfinite(Y).all(axis=1)], X)
                order = judged.order
                shown = np.where(order[:, None] >= 0, Y[order], 0) + mean
                _strip(axes[row], shown, TITLES[arm], images(kind)[2], judged.errors < 0.1)
                row += 1
        figure.savefig(file.with_name(f"{file.stem}-{kind}{file.suffix}"), dpi=110)
        plt.close(figure)


def _strip(axes: Any, pixels: np.ndarray, title: str, shape: tuple[int, ...], found: np.ndarray, *, bold: bool = False) -> None:
    for k, ax in enumerate(axes):
        ax.set(xticks=[], yticks=[])
        for side in ax.spines.values():
            side.set(color="#1b7f3b" if k < len(found) and found[k] and not bold else "#cccccc", linewidth=2.5)
        if k < len(pixels):
            image = np.clip(pixels[k].reshape(shape), 0, 1)
            ax.imshow(image, cmap=None if image.ndim == 3 else "gray", vmin=0, vmax=1)
        else:
            ax.axis("off")
    axes[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=7, fontweight="bold" if bold else "normal")
