"""The same seed in separate processes: the same bytes of ``report.json``, its times apart, and of the certificates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import identify

from .counted import Row, row

CUBIC = "z + z^2/2 + z^3"


def audited(folder: Path, name: str, hashing: str) -> tuple[str, dict[str, bytes]]:
    """What ``identify audit`` writes."""
    environment = os.environ | {"PYTHONHASHSEED": hashing, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    arguments = ["audit", folder / "model.npz", "--gradient", folder / "gradient.npz", "--budget", "600", "--out", folder / name]
    subprocess.run([sys.executable, "-m", "identify", *arguments], check=True, env=environment, capture_output=True)
    content = json.loads((folder / name / "report.json").read_text(encoding="utf-8"))
    content.pop("times")
    return json.dumps(content), {path.name: path.read_bytes() for path in (folder / name).glob("*.certificate.json")}


def repeated(folder: Path, seed: int, quick: bool) -> Iterator[Row]:
    """An audit of a gradient, once more with another hash seed. Threads stay: with other ones floating point adds in another order."""
    system, _ = identify.Configuration(inputs=9, samples=3, width=15, activation=CUBIC).plant(seed)
    net = system.network
    np.savez(folder / "model.npz", W1=net.W, W2=net.A, activation=CUBIC)
    np.savez(folder / "gradient.npz", W1=-system.target_W, W2=-system.target_a.reshape(net.A.shape))
    first = audited(folder, "first", "0")
    yield row("run again", "`identify audit`", ["right" if audited(folder, "again", "1") == first else "other bytes"], "another hash seed")
