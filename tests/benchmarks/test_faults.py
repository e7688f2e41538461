"""Faults: what a benchmark of them finds right, what it has to see, and that it ends at any load."""

import importlib
import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmarks are part of the repository, not of the package")
UNSAFE = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from faulting import damage, disk, kills
from faulting.things import Thing, states

def write(folder, k):  # in place
    (folder / "file").write_text(f"{k}" * 10**6)

folder = Path(sys.argv[2])
thing = Thing(write, "file", read=lambda path: path.read_text()[:1])  # which believes everything
whole = states(thing, folder / "lone")
(place := folder / "place").mkdir()
assert disk.judged(thing, place, whole, disk.largest_file(10**5)) == "damaged"
outcomes = set()
for _ in range(20):
    kills.one_kill(thing, place, 0.002, aimed=False)
    outcomes.add(kills.judged(thing, place, whole))
assert "damaged" in outcomes
for content in (b"1", b""):
    assert damage.judged(thing, place / "file", content, "0") == "wrong"
"""


@pytest.mark.slow
def test_faults(tmp_path, monkeypatch):
    """A slice; kills in a process without threads, which can fork."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from faulting import damage, disk

    command = [sys.executable, BENCHMARKS / "faults.py", "--quick", "--part", "kills"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    for part, work in (("damage", damage.damaged), ("disk", disk.full)):
        (folder := tmp_path / part).mkdir()
        rows += work(folder, 0, True)
    assert {row[0] for row in rows} >= {"kill -9", "cut short", "one bit", "file too large"}
    assert all(row[2] == row[3] + row[4] > 0 == row[5] for row in rows), rows


@pytest.mark.slow
def test_work_that_is_killed_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from faulting import resumed

    rows = list(resumed.resumed(tmp_path, 1, quick=True))
    assert [row.number for row in rows] == [row.right for row in rows] == [1, 1]


class TestWaits:
    """Work is followed by its processor seconds, so that the part ends at any load."""

    @pytest.fixture
    def resumed(self, monkeypatch):
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        module = importlib.import_module("faulting.resumed")
        monkeypatch.setattr(module, "PREPARE", "import hashlib, time; import numpy as np; print('begin', flush=True); parts = []\n")
        return module

    def test_what_takes_long_on_the_clock_only_is_waited_for(self, resumed, monkeypatch, tmp_path):
        """Others have the processor most of the time: sleep in place of them."""
        monkeypatch.setattr(resumed, "MOST", 0.5)
        monkeypatch.setattr(resumed, "STILL", 10.0)
        turn = "    time.sleep(0.15)\n    began = time.process_time()\n    while time.process_time() - began < 0.03: pass\n"
        digest, took = resumed.ended("for _ in range(4):\n" + turn, tmp_path, 0)
        assert len(digest) == 64 and took < 0.5

    @pytest.mark.parametrize("work", ["while True: pass\n", "time.sleep(10**6)\n"])
    def test_what_does_not_end_is_ended_and_counted(self, resumed, monkeypatch, tmp_path, work):
        monkeypatch.setattr(resumed, "MOST", 0.4)
        monkeypatch.setattr(resumed, "STILL", 0.3)
        monkeypatch.setattr(resumed, "WORK", {"work": work})
        rows = list(resumed.resumed(tmp_path, 0, quick=True))
        assert [(row.right, row.harm) for row in rows] == [(0, 1), (0, 1)] and "did not end" in rows[0].note

    def test_kills_come_at_a_part_of_the_work(self, resumed, tmp_path):
        child = resumed.begun("while True: pass\n", tmp_path, 0)
        before = resumed.worked(child)
        assert 0.1 <= resumed.follow(child, before + 0.1) - before < 0.5 and child.poll() is None
        resumed.killed(child)

    def test_rows_come_as_they_are_made(self, monkeypatch):
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        faults = runpy.run_path(str(BENCHMARKS / "faults.py"))
        script = "import json, sys; print(json.dumps(['a', 'b', 1, 1, 0, 0, '']), flush=True); sys.exit(3)"
        monkeypatch.setitem(faults["in_a_process"].__globals__, "__file__", "-c")
        real = subprocess.Popen
        monkeypatch.setattr(subprocess, "Popen", lambda command, **options: real([sys.executable, "-c", script], **options))
        rows = list(faults["in_a_process"]("resumed", SimpleNamespace(seed=0, quick=True)))
        assert [row.harm for row in rows] == [0, 1] and rows[1].note == "it failed"


@pytest.mark.slow
@pytest.mark.smoke
def test_faults_are_seen(tmp_path):
    """In a process without threads, which can fork."""
    subprocess.run([sys.executable, "-c", UNSAFE, BENCHMARKS, tmp_path], check=True, timeout=300)
