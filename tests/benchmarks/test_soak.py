"""Repeated calls leave nothing behind: no compiled code, descriptors, threads or files; and a slice of the soak, which sees leaks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest

import identify as idf
from identify import attacks

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CUBIC = "z + z^2/2 + z^3"
COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compiled():
    """How often XLA has compiled, counted from here on."""
    counts = Counter()

    def heard(event, seconds, **_):
        counts[event] += 1

    jax.monitoring.register_event_duration_secs_listener(heard)
    yield lambda: counts[COMPILED]
    jax.monitoring.unregister_event_duration_listener(heard)


def prove_and_recover(number: int, folder: Path) -> None:
    """A check on given data, its page and certificate, and the data."""
    system, truth = idf.Configuration(inputs=3, samples=2, width=9, activation=CUBIC).plant(seed=number)
    report = idf.check(system, data=(truth.X, truth.c), seed=number)
    report.to_html(folder / "report.html")
    report.certificate().save(folder / "certificate.json")
    assert idf.verify(folder / "certificate.json") and report.verdict == "UNIQUE"
    assert idf.recover(system, samples=2, seed=number).match(truth.X, truth.c).errors.max() < 1e-9


def attacked(number: int, activation: str | idf.Activation) -> None:
    """Training, and an attack, whose rates and penalties are other ones each time."""
    rng = np.random.default_rng(number)
    net = attacks.random_network((3, 6, 1), activation, seed=number)
    rate, X, y = 1e-3 * (1 + number), rng.standard_normal((2, 3)), np.array([-1.0, 1.0])
    final = attacks.train(net, X, y, rate=rate, momentum=0.1 * number, steps=5).final
    attack = (
        attacks.haim(final, rate=rate, multiplier_rate=rate) if activation == "relu" else attacks.loo(net, final, rate=rate, sparsity=rate)
    )
    idf.reconstruct(attack, candidates=2, steps=3, seed=number)


def test_the_third_round_leaves_and_compiles_nothing(tmp_path, monkeypatch, compiled):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, made = [], []
    for number in range(3):
        with tempfile.TemporaryDirectory() as folder:
            prove_and_recover(number, Path(folder))
        own = Path("/proc/self")
        counts = tuple(len(os.listdir(own / part)) for part in ("fd", "task")) if own.exists() else ()
        left.append((*counts, len(list(tmp_path.rglob("*")))))
        made.append(compiled())
    assert left[2] == left[1] and left[2][-1] == 0 and made[2] == made[1]


@pytest.mark.parametrize("activation", ["relu", "polynomial"])
def test_attacks_with_other_numbers_compile_nothing(compiled, activation):
    made = []
    for number in range(3):
        attacked(number, "relu" if activation == "relu" else idf.Activation([0, 1, 0.1 * (1 + number), 0.01]))
        made.append(compiled())
    assert made[2] == made[1]


def test_another_activation_of_the_same_degree_compiles_no_splitting_anew(compiled):
    made = []
    for sigma in (CUBIC, "z + z^2/3 + z^3", "z + z^2/4 + 2*z^3"):
        system, _ = idf.Configuration(inputs=2, samples=2, width=6, activation=sigma).plant(seed=0)
        idf.recover(system, samples=2, method="splitting", starts=8)
        made.append(compiled())
    assert made[2] == made[1]


@pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmarks are part of the repository, not of the package")
class TestTheBenchmark:
    @pytest.fixture
    def soak(self, monkeypatch):
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        return __import__("soak")

    @pytest.mark.slow
    def test_a_slice(self, tmp_path):
        command = [
            sys.executable,
            "-W",
            "error",
            BENCHMARKS / "soak.py",
            "--rounds",
            "2",
            "--parts",
            "checks",
            "--out",
            tmp_path / "table.md",
        ]
        out = subprocess.run([*command, "--only", "same sizes"], capture_output=True, text=True, check=True, timeout=300).stdout
        row = next(line for line in out.splitlines() if line.startswith("| same sizes | 2 |"))
        assert [cell.strip() for cell in row.split("|")[-2:-1]] == ["0, 0"] and (tmp_path / "table.md").read_text() == out

    def test_leaks_are_seen(self, soak):
        rng = np.random.default_rng(0)
        flat = [{"memory": 900 + each, "descriptors": 8, "threads": 3, "processes": 1, "files": 2} for each in rng.standard_normal(40)]
        assert soak.grown(flat) == []
        assert "memory grows: 1.0" in soak.grown([one | {"memory": one["memory"] + k} for k, one in enumerate(flat)])[0]
        for what in ("descriptors", "threads", "processes", "files"):
            said = soak.grown([one | {what: k // 5} for k, one in enumerate(flat)])
            assert len(said) == 1 and said[0].startswith(f"{what} grow")
        assert "not known" in soak.grown([one | {"memory": 50 * one["memory"]} for one in flat[:16]])[0]

    @pytest.mark.slow
    def test_a_round_that_fails_is_an_error(self, soak, monkeypatch):
        with pytest.raises(subprocess.CalledProcessError):
            soak.in_a_process("same sizes", ["no such part"], 0.0, 1)
