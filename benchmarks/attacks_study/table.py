"""Markdown tables of the stored results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attacks_study.arms import ARMS
from identify.attacks.intervals import Estimate

Lines = dict[str, list[dict[str, Any]]]
"""Arm -> results by seed."""


def stored(key: str, store: Path, seeds: int) -> Lines:
    found: Lines = {}
    for arm in ARMS:
        paths = [store / f"{key}-{seed}-{arm}.json" for seed in range(seeds)]
        lines = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
        if any(lines):
            found[arm] = [line for line in lines if line]
    return found


def tables(groups: Iterable[Any], store: Path, seeds: int) -> str:
    """Images found, similarity and objective by network and arm; then what splitting changed."""
    results = [(group, stored(group.key, store, seeds)) for group in groups]
    results = [(group, lines) for group, lines in results if lines]
    heading = "| images | n | network | " + " | ".join(ARMS)
    rule = "|---|---|---|" + "---|" * len(ARMS)
    return "\n".join(
        [
            "Images found (relative L2 below 0.1, one to one) of those with a multiplier, over all seeds:",
            "",
            f"{heading} | chance |",
            f"{rule}---|",
            *(_row(group, lines, _recall, _chance("chance recall")) for group, lines in results),
            "",
            "Mean SSIM of these images, ± half of its 95 % interval over seeds:",
            "",
            f"{heading} | chance |",
            f"{rule}---|",
            *(_row(group, lines, _ssim, _chance("chance ssim")) for group, lines in results),
            "",
            "Objective at the end, median over seeds, and iterations; what splitting did:",
            "",
            "| images | n | network | n | n, split | 2n | splits | lower than n | lower than 2n |",
            "|---|---|---|---|---|---|---|---|---|",
            *(_splitting(group, lines) for group, lines in results),
        ]
    )


def _row(group: Any, lines: Lines, cell, last) -> str:
    cells = [cell(lines[arm]) if arm in lines else "" for arm in ARMS]
    return f"| {group.kind} | {group.n} | {group.network} | " + " | ".join(cells) + f" | {last(lines)} |"


def _recall(lines: Sequence[dict[str, Any]]) -> str:
    return f"{sum(round(line['recall'] * line['images']) for line in lines)}/{sum(line['images'] for line in lines)}"


def _ssim(lines: Sequence[dict[str, Any]]) -> str:
    found = Estimate.of([line["ssim"] for line in lines], (-1, 1))
    return f"{found.mean:.2f} ± {max(found.high - found.mean, found.mean - found.low):.2f}"


def _chance(name: str):
    def cell(lines: Lines) -> str:
        values = [line[name] for line in lines.get("2n", [])]
        return f"{np.mean(values):.2f}" if values else ""

    return cell


def _splitting(group: Any, lines: Lines) -> str:
    plain, split, more = (lines.get(arm, []) for arm in ("n", "n, split", "2n"))

    def median(of: Sequence[dict[str, Any]]) -> str:
        return f"{np.median([line['objective'] for line in of]):.2g} in {np.median([line['iterations'] for line in of]):,.0f}"

    lower = [sum(a["objective"] < b["objective"] for a, b in zip(split, other, strict=False)) for other in (plain, more)]
    cells = [median(plain), median(split), median(more), f"{np.mean([line['splits'] for line in split]):.1f}"]
    return f"| {group.kind} | {group.n} | {group.network} | " + " | ".join([*cells, *(f"{k} of {len(split)}" for k in lower)]) + " |"
