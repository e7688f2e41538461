"""Sweeps: grids, hashes, a store that survives whatever ends a run, executors that lose workers, tables and pictures."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from support import deadly
from support.command_line import LISTENING, run
from support.marks import alone

import identify as idf
from identify.base.options import METHODS
from identify.sweeps import measures
from identify.sweeps.drive import drive
from identify.sweeps.grid import Grid
from identify.sweeps.measures import MEASURES
from identify.sweeps.store import DamagedError, Store
from identify.sweeps.sweep import Progress, clock
from identify.sweeps.task import USED, Outcome, Task, failed
from identify.sweeps.workers import Given, Processes, run_and_forget

SMALL = {"inputs": [3, 4], "samples": [1, 2, 3], "width": [3, 8], "activation": "z + z^3"}
LONG = {"inputs": 5, "samples": {"first": 1, "last": 10}, "width": {"first": 3, "last": 7}, "activation": "z + z^2/2 + z^3"}
"""Enough tasks that a process is killed in the middle."""
TASK = Task(measure="verdict", inputs=4, samples=3, width=8, activation="z + z^3")


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def counted(monkeypatch):
    """Counts what is measured, and measures nothing much."""
    done: Counter[Task] = Counter()

    def measure(task):
        done[task] += 1
        return {"verdict": "UNIQUE", "scope": "generic network, generic data", "proved": "", "reasons": "", "notes": ""}

    monkeypatch.setitem(measures.MEASURES, "verdict", measure)
    return done


@pytest.mark.smoke
class TestGrid:
    def test_the_product_of_the_lists(self):
        tasks = list(Grid.of(SMALL | {"seeds": 2}).tasks())
        sizes = {(task.inputs, task.samples, task.width, task.seed) for task in tasks}
        assert len(tasks) == 24 and sizes == set(product([3, 4], [1, 2, 3], [3, 8], [0, 1]))
        assert {task.activation for task in tasks} == {"z + z^3"}

    def test_a_measure_gets_only_what_it_depends_on(self):
        grid = SMALL | {"measure": ["verdict", "thresholds", "recovery"], "noise": [0, 1e-3]}
        numbers = Counter(task.measure for task in Grid.of(grid).tasks())
        assert numbers == {"verdict": 12, "thresholds": 4, "recovery": 24}
        for task in Grid.of(grid).tasks():
            assert set(task.to_dict()) == {"measure", *USED[task.measure]} - {"starts"}

    def test_constraints(self):
        grid = SMALL | {"where": ["samples <= inputs - 1", "width != 2*inputs", 'layers == "both"', "bias == false"]}
        assert {(t.inputs, t.samples, t.width) for t in Grid.of(grid).tasks()} == {
            (i, n, m) for i, n, m in product([3, 4], [1, 2, 3], [3, 8]) if n < i and m != 2 * i
        }
        assert len(list(Grid.of(SMALL | {"where": "1 <= samples < inputs <= 3 + 0/width"}).tasks())) == 4

    def test_a_constraint_on_an_axis_of_another_measure(self):
        """Thresholds do not depend on the samples: a point stays if some number of samples satisfies the constraint, and counts once."""
        grid = SMALL | {"measure": ["verdict", "thresholds"], "where": "samples + 4 < width"}
        assert [task.width for task in Grid.of(grid).tasks() if task.measure == "thresholds"] == [8, 8]

    def test_one_task_however_the_activation_is_written(self):
        texts = ["z+z**3", "z + z^3", idf.Activation([0, 1, 0, 1])]
        assert len({task.key for text in texts for task in Grid.of(SMALL | {"activation": text}).tasks()}) == 12

    def test_ranges_arrays_and_toml(self, tmp_path):
        path = tmp_path / "grid.toml"
        path.write_text(
            'measure = "recovery"\ninputs = { first = 2, last = 8, step = 3 }\nsamples = 2\nwidth = [4, 6]\nactivation = "z^3"\n'
            "bias = true\n"
            'noise = [0, 1e-3]\nseeds = [5, 7]\nwhere = ["width >= inputs"]\n'
        )
        found = list(Grid.of(path).tasks())
        grid = {"measure": "recovery", "inputs": range(2, 9, 3), "samples": np.array([2]), "width": np.array([4, 6]), "bias": [True]}
        assert found == list(
            Grid.of(grid | {"activation": "z^3", "noise": (0.0, 1e-3), "seeds": [5, 7], "where": "width >= inputs"}).tasks()
        )
        assert len(found) == 12 and found[0].budget == 10.0 and found[0].tolerance == 1e-3

    def test_a_number_of_starts_takes_the_place_of_the_budget(self):
        tasks = list(Grid.of(SMALL | {"measure": "recovery", "starts": 8}).tasks())
        assert {(task.starts, task.budget) for task in tasks} == {(8, None)}

    def test_methods_are_those_of_recover(self):
        from identify.recovery.polynomials import SEARCHES

        assert ("auto", "algebraic", *SEARCHES) == METHODS

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"hidden": [3]}, r"grid: unknown hidden; expected measure, inputs, samples"),
            ({"inputs": []}, r"inputs: received no values, expected at least one"),
            ({"inputs": [3, 0]}, r"inputs: received 0, expected an integer of at least 1"),
            ({"inputs": [3, 2.5]}, r"inputs: received 2.5, expected an integer"),
            ({"inputs": [True]}, r"inputs: received True, expected an integer"),
            ({"inputs": [3, 3]}, r"inputs: received \[3, 3\], expected every value once"),
            ({"inputs": "three"}, r"inputs: received 'three', expected an integer"),
            ({"inputs": {"first": 1, "to": 3}}, r"inputs: received keys first, to, expected first, last"),
            ({"inputs": {"first": 3, "last": 1}}, r"inputs: received no values"),
            ({"activation": ["tanh(z)"]}, r"activation 'tanh\(z\)'.* is not polynomial"),
            ({"activation": 3}, r"^activation: received int, expected an Activation, a text"),
            ({"bias": ["yes"]}, r"bias: received 'yes', expected true or false"),
            ({"layers": "third"}, r"layers: received 'third', expected some of both, first, second"),
            ({"seeds": 0}, r"seeds \(how many\): received 0, expected an integer of at least 1"),
            ({"seeds": [-1]}, r"seeds: received -1, expected an integer from 0 to 9007199254740991"),
            ({"measure": "speed"}, r"measure: received 'speed', expected some of verdict, thresholds, recovery"),
            ({"measure": ["verdict", "verdict"]}, r"measure: received \['verdict', 'verdict'\], expected each once"),
            ({"noise": [0.1]}, r"noise given, but nothing of measure = \['verdict'\] depends on it"),
            ({"measure": "thresholds"}, r"samples given, but nothing of measure"),
            ({"measure": "recovery", "noise": [-1.0]}, r"noise: received -1.0, expected a number of at least 0"),
            ({"measure": "recovery", "noise": [float("nan")]}, r"noise: received nan, expected a number"),
            ({"measure": "recovery", "budget": 0}, r"budget: received 0, expected a positive number"),
            ({"measure": ["verdict", "thresholds"], "regime": "max-margin"}, r"regime: received max-margin, expected gradient or lazy"),
            ({"where": "samples = inputs"}, r"where: 'samples = inputs' cannot be read; expected a comparison such as"),
            ({"where": ["samples"]}, r"where: 'samples' is not a comparison"),
            ({"where": "samples < depth"}, r"where: 'samples < depth' names depth, expected some of inputs"),
            ({"where": "__import__('os').getpid() > 0"}, r"where: .* is not a sum or product of names and numbers"),
            ({"where": "samples in inputs"}, r"where: 'samples in inputs' is not a comparison"),
            ({"where": "layers*999999999 == 'x'"}, r"has no answer for layers = 'both' \(words cannot be added or multiplied\)"),
            ({"where": "layers < 3"}, r"where: 'layers < 3' has no answer for layers = 'both'"),
            ({"where": "width / (samples - 1) > 1"}, r"has no answer for samples = 1, width = 3 \(division by zero\)"),
            ({"where": 3}, r"where: received 3, expected a comparison"),
            ({"where": "budget < 3"}, r"where: 'budget < 3' names budget, expected some of inputs"),
            ({"where": "samples > 100"}, r"grid: no point satisfies where"),
            ({"seeds": 10**6, "width": range(1, 100)}, r"grid: 594,000,000 points for verdict, expected at most 10,000,000"),
        ],
    )
    def test_errors(self, tmp_path, change, message):
        with pytest.raises(idf.GridError, match=message):
            idf.sweep(SMALL | change, store=tmp_path / "runs")
        assert not (tmp_path / "runs").exists()

    def test_errors_of_files(self, tmp_path):
        with pytest.raises(idf.GridError, match="no such file; expected a TOML file"):
            Grid.of(tmp_path / "none.toml")
        with pytest.raises(idf.GridError, match="cannot be read"):
            Grid.of(tmp_path)
        (tmp_path / "grid.toml").write_text("inputs = 3 4")
        with pytest.raises(idf.GridError, match=r"is not TOML \(.*line 1"):
            Grid.of(tmp_path / "grid.toml")
        with pytest.raises(idf.GridError, match="received list, expected a mapping"):
            Grid.of([SMALL])
        with pytest.raises(idf.GridError, match=r"grid: samples, activation missing; .* as in samples = \[4, 6, 8\]"):
            Grid.of({"inputs": 3, "width": 4})


class TestTask:
    def test_the_hash_does_not_change(self):
        """What is in stores stays there."""
        assert TASK.key == "3b2bbb6d91de13f97913a4b1d391c80e08cc8c2a4b85ae15924db9fd2e6f9435"

    def test_the_hash_covers_everything(self):
        others = {"inputs": 5, "samples": 4, "width": 9, "activation": "z^3", "outputs": 2, "bias": True, "layers": "first"}
        others |= {"regime": "lazy", "seed": 1, "measure": "recovery", "noise": 0.0, "method": "auto", "starts": 3, "budget": 1.0}
        keys = {TASK.key, *(replace(TASK, **{name: value}).key for name, value in others.items())}
        assert len(keys) == len(others) + 1

    def test_measures_are_those_of_the_library(self):
        outcome = measures.verdict(TASK)
        assert outcome["verdict"] == idf.check(TASK.configuration).verdict and outcome["scope"] == "generic network, generic data"
        found = measures.thresholds(replace(TASK, measure="thresholds", samples=None))
        direct = idf.largest_identifiable(TASK.configuration)
        assert (found["unique"], found["locally_unique"], found["not_identifiable"]) == (
            direct.unique,
            direct.locally_unique,
            direct.not_identifiable,
        )

    def test_recovery_with_and_without_noise(self):
        options = {"measure": "recovery", "method": "algebraic", "tolerance": 1e-3, "samples": 2, "seed": 3}
        errors = []
        for noise in (0.0, 1e-9, 1e-6):
            found = measures.recovery(replace(TASK, noise=noise, **options))
            assert found["success"] and found["solved_by"] == "algebraic"
            errors.append(found["relative_error"])
        assert errors[0] < 1e-12 < errors[1] < 1e-6 < 100 * errors[2] and 100 < errors[2] / errors[1] < 1e4
        strict = measures.recovery(replace(TASK, noise=1e-6, **options | {"tolerance": 1e-9}))
        assert not strict["success"] and strict["relative_error"] == errors[2]
        none = measures.recovery(replace(TASK, noise=0.0, **options | {"samples": 9}))
        assert not none["success"] and none["relative_error"] is None and "9 samples" in none["not_recovered"]


@pytest.mark.smoke
class TestStore:
    @pytest.fixture
    def store(self, tmp_path):
        store = Store.claim(tmp_path / "runs")
        store.save(Outcome(task=TASK, state="done", result={"verdict": "UNIQUE", "proved": "count"}, seconds=0.25, versions={"a": "1"}))
        return store

    def test_what_is_saved_is_loaded(self, store):
        assert store.load(TASK.key).result == {"verdict": "UNIQUE", "proved": "count"} and list(store.keys()) == [TASK.key]
        assert store.load("0" * 64) is None

    def test_cut_short_at_any_byte(self, store):
        path = store.path(TASK.key)
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(DamagedError, match="cut short or no JSON"):
                store.load(TASK.key)
        assert not store.is_done(TASK.key)
        path.write_bytes(whole)
        assert store.is_done(TASK.key)

    def test_changed_renamed_or_foreign(self, store):
        path = store.path(TASK.key)
        whole = path.read_text()
        path.write_text(whole.replace("UNIQUE", "NOT_UNIQUE"))
        with pytest.raises(DamagedError, match="was changed after it was written"):
            store.load(TASK.key)
        path.write_text(whole)
        other = replace(TASK, seed=1).key
        store.path(other).parent.mkdir()
        store.path(other).write_text(whole)
        with pytest.raises(DamagedError, match="holds the result of another task"):
            store.load(other)
        for text in ("[]", '"text"', '{"format": 9}'):
            path.write_text(text)
            with pytest.raises(DamagedError, match="is not in format 1"):
                store.load(TASK.key)

    def test_a_failure_never_takes_the_place_of_a_result(self, store):
        store.save(failed(TASK, "memory"))
        assert store.load(TASK.key).state == "done"

    def test_folders_that_are_no_stores(self, tmp_path):
        (tmp_path / "question.txt").write_text("recovery")
        with pytest.raises(idf.StoreError, match=r"store: .* belongs to another kind of work"):
            idf.sweep(SMALL, store=tmp_path)
        with pytest.raises(idf.StoreError, match="holds no sweep"):
            idf.Sweep.load(tmp_path)
        (tmp_path / "file").write_text("")
        with pytest.raises(idf.StoreError, match="cannot be used"):
            idf.sweep(SMALL, store=tmp_path / "file")

    def test_a_disc_that_is_full(self, store, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(idf.StoreError, match="No space left on device.*; make room, then sweep again"):
            store.save(failed(replace(TASK, seed=1), "memory"))


class TestResume:
    def test_only_what_is_missing_is_run(self, tmp_path, threads, counted):
        idf.sweep(SMALL, store=tmp_path, executor=threads)
        found = idf.sweep(SMALL | {"inputs": [3, 4, 5]}, store=tmp_path, executor=threads)
        assert len(counted) == 18 and set(counted.values()) == {1} and found.counts["done"] == 18
        assert idf.Sweep.load(tmp_path).table() == found.table()

    def test_damaged_results_are_run_again(self, tmp_path, threads, counted):
        found = idf.sweep(SMALL, store=tmp_path, executor=threads)
        hurt = [found.store.path(key) for key in found.keys[:2]]
        hurt[0].write_bytes(hurt[0].read_bytes()[:-1])
        hurt[1].write_text("")
        again = idf.Sweep.load(tmp_path)
        assert again.counts == {"done": 10, "failed": 0, "missing": 0, "damaged": 2} and len(again.table()) == 10
        assert idf.sweep(SMALL, store=tmp_path, executor=threads).counts["done"] == 12 and sum(counted.values()) == 14

    def test_errors_are_kept_and_run_again_when_asked(self, tmp_path, threads, counted, monkeypatch):
        calls = []

        def measure(task):
            calls.append(task)
            raise MemoryError(f"{task.width} neurons")

        working = MEASURES["verdict"]
        monkeypatch.setitem(MEASURES, "verdict", lambda task: measure(task) if task.width == 8 else working(task))
        steps = []
        found = idf.sweep(SMALL, store=tmp_path, executor=threads, progress=steps.append)
        assert found.counts["failed"] == 6 and (steps[-1].done, steps[-1].failed) == (12, 6)
        row = next(row for row in found.table() if row["width"] == 8)
        assert row["state"] == "failed" and row["error"] == "MemoryError: 8 neurons" and row["verdict"] is None
        idf.sweep(SMALL, store=tmp_path, executor=threads)
        assert len(calls) == 6
        monkeypatch.setitem(MEASURES, "verdict", working)
        found = idf.sweep(SMALL, store=tmp_path, executor=threads, retry_failed=True)
        assert found.counts["done"] == 12 and set(counted.values()) == {1}

    def test_two_sweeps_into_one_store(self, tmp_path, threads):
        """Neither fails, and together they leave what one leaves."""
        expected = idf.sweep(SMALL, store=tmp_path / "one", executor=threads).table()
        start = threading.Barrier(2)

        def one(_):
            with ThreadPoolExecutor(2) as own:
                start.wait()
                return idf.sweep(SMALL, store=tmp_path / "two", executor=own).table()

        tables = list(threads.map(one, range(2)))
        assert results(tables[0]) == results(tables[1]) == results(expected)
        assert sorted(files(tmp_path / "two")) == sorted(files(tmp_path / "one"))

    def test_what_another_sweep_has_finished_meanwhile_is_not_run(self, tmp_path, counted):
        class Beside:
            """An executor beside which another sweep finishes everything."""

            def submit(self, function, task):
                with ThreadPoolExecutor(1) as other:
                    idf.sweep(SMALL, store=tmp_path, executor=other)
                return finished(function(task))

        steps = []
        idf.sweep(SMALL, store=tmp_path, executor=Beside(), progress=steps.append)
        assert sum(counted.values()) == 13 and steps[-1].done == 12

    def test_time_left(self, tmp_path, threads, counted):
        steps = []
        idf.sweep(SMALL, store=tmp_path, executor=threads, progress=steps.append)
        assert [step.done for step in steps] == list(range(13)) and steps[0].seconds_left is None and steps[-1].seconds_left == 0
        assert str(Progress(3, 9, 1, 130.0)) == "3 of 9 tasks, 1 failed, about 2 min left"
        assert [clock(seconds) for seconds in (5, 3000, 12_000)] == ["5 s", "50 min", "3 h 20 min"]

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"workers": 0}, ValueError, "workers: received 0, expected an integer of at least 1"),
            ({"workers": 1.5}, ValueError, "workers: received 1.5"),
            ({"workers": 2, "executor": True}, ValueError, "workers: is for processes on this machine"),
            ({"executor": "dask"}, TypeError, "executor: received str, expected a concurrent.futures.Executor"),
        ],
    )
    def test_bad_options(self, tmp_path, options, error, message):
        with pytest.raises(error, match=message):
            idf.sweep(SMALL, store=tmp_path, **options)


def finished(value, error: Exception | None = None) -> Future:
    future: Future = Future()
    future.set_exception(error) if error else future.set_result(value)
    return future


def results(rows: list[dict]) -> list[dict]:
    """A table without what differs from run to run."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def files(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


class TestDrive:
    """Executors that lose workers, or are gone."""

    def test_a_task_that_kills_its_process_is_found_and_the_others_finish(self):
        class Pool(Processes):
            renewals = 0

            def submit(self, task):
                return self._pool.submit(deadly.run, task)

            def renew(self):
                self.renewals += 1
                super().renew()

        ended = []
        with Pool(1) as pool:
            drive([replace(TASK, seed=seed) for seed in range(8)], pool, ended.append)
        states = {outcome.task.seed: outcome for outcome in ended}
        assert len(ended) == len(states) == 8 and pool.renewals == 3
        assert [seed for seed, one in states.items() if one.state == "failed"] == [deadly.POISON]
        assert "its process died while it was run alone" in states[deadly.POISON].error

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (BrokenProcessPool("gone"), "it broke; finished tasks are in the store"),
            (CancelledError(), "it was shut down; finished tasks are in the store"),
            (ModuleNotFoundError("No module named 'identify'"), "it cannot run tasks .*No module named 'identify'.*same version"),
        ],
    )
    def test_an_executor_that_cannot_go_on(self, error, message):
        class Broken:
            def submit(self, function, task):
                return finished(None, error)

        with pytest.raises(idf.SweepError, match=message):
            drive([TASK], Given(Broken()), [].append)

    def test_a_task_that_dask_gives_up_has_failed(self):
        KilledWorker = type("KilledWorker", (Exception,), {})

        class Dask:
            def submit(self, function, task):
                return finished(None, KilledWorker("4 workers died"))

        ended = []
        drive([TASK], Given(Dask()), ended.append)
        assert ended == [failed(TASK, "KilledWorker: 4 workers died")]

    def test_an_executor_that_was_shut_down(self, tmp_path):
        executor = ThreadPoolExecutor(1)
        executor.shutdown()
        with pytest.raises(idf.SweepError, match="it takes no tasks .*after shutdown"):
            idf.sweep(SMALL, store=tmp_path, executor=executor)

    def test_few_tasks_are_ahead(self):
        taken, ended = [], []

        def tasks():
            for seed in range(40):
                taken.append(seed)
                assert len(taken) - len(ended) <= Few.ahead + 1
                yield replace(TASK, seed=seed)

        class Few(Given):
            ahead = 5

        with ThreadPoolExecutor(2) as executor:
            drive(tasks(), Few(executor), ended.append)
        assert len(ended) == 40


class TestProcesses:
    def test_compiled_code_is_dropped(self, monkeypatch):
        """After a number of sizes; other seeds and other noise are no other size."""
        cleared = []
        monkeypatch.setattr("jax.clear_caches", lambda: cleared.append(len(done)))
        monkeypatch.setattr("identify.sweeps.workers.SIZES", 2)
        monkeypatch.setattr("identify.sweeps.workers._compiled", set())
        done = []
        for width, seed, noise in ((9, 0, 0.0), (9, 1, 0.0), (9, 1, 1e-9), (10, 0, 0.0), (9, 0, 0.0), (11, 0, 0.0)):
            task = replace(TASK, measure="recovery", width=width, seed=seed, noise=noise, method="auto", tolerance=1e-3, budget=1.0)
            done.append(run_and_forget(task))
        assert cleared == [3, 5] and all(outcome.state == "done" for outcome in done)

    @pytest.mark.slow
    def test_a_worker_is_killed(self, tmp_path):
        """By kill -9, in the middle: nothing is lost, nothing doubled, nothing has failed; the environment is as before."""
        before = dict(os.environ)
        killed, steps = [], []

        def step(progress):
            steps.append(progress.done)
            if progress.done == 8:
                killed.append(multiprocessing.active_children()[0].pid)
                os.kill(killed[0], signal.SIGKILL)

        found = idf.sweep(LONG, store=tmp_path, workers=2, progress=step)
        assert killed and found.counts == {"done": 50, "failed": 0, "missing": 0, "damaged": 0}
        assert steps == list(range(51)) and len(files(tmp_path)) == 51
        assert dict(os.environ) == before and not multiprocessing.active_children()

    @alone
    def test_the_sweep_is_interrupted_then_killed_then_finished(self, tmp_path, threads):
        """By Ctrl-C and by kill -9 of the process that leads: its workers end with it, and what was finished is not done again."""
        path, store = tmp_path / "grid.toml", tmp_path / "runs"
        path.write_text("\n".join(f"{name} = {toml(value)}" for name, value in LONG.items()))
        command = [sys.executable, "-c", LISTENING, "sweep", path, "--store", store, "--workers"]
        status, errors, _ = stopped([*command, "1"], store, 8, signal.SIGINT)
        assert status == 130 and "interrupted; finished tasks are in" in errors and "Traceback" not in errors
        finished_first = {name: (store / name).stat().st_mtime_ns for name in files(store) if name.endswith(".json")}
        assert len(finished_first) >= 8
        status, _, workers = stopped([*command, "2"], store, len(finished_first) + 8, signal.SIGKILL)
        assert status == -signal.SIGKILL and workers
        assert gone(workers)
        kept = {name: (store / name).stat().st_mtime_ns for name in files(store) if name.endswith(".json")}
        assert finished_first.items() <= kept.items() and 16 <= len(kept) < 50
        again = []
        found = idf.sweep(LONG, store=store, executor=threads, progress=lambda step: again.append(step.done))
        assert again[0] == len(kept) and found.counts["done"] == 50 and len(list(found.store.keys())) == 50
        after = {name: (store / name).stat().st_mtime_ns for name in kept}
        assert after == kept
        verdicts = {(row["inputs"], row["samples"], row["width"]): row["verdict"] for row in found.table()}
        config = idf.Configuration(inputs=5, samples=6, width=7, activation=LONG["activation"])
        assert verdicts[5, 6, 7] == idf.check(config).verdict

    def test_processes_that_cannot_be_started(self, tmp_path):
        """A script without the guard that spawned processes need."""
        script = tmp_path / "script.py"
        script.write_text(f"import identify\nidentify.sweep({SMALL}, store={str(tmp_path / 'runs')!r}, workers=1)\n")
        result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
        assert result.returncode == 1 and "a script that sweeps needs its calls under if __name__ == '__main__'" in result.stderr


"""The command line, also where a shell that started the tests in the background has told them to ignore Ctrl-C."""


def toml(value) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {number}" for name, number in value.items()) + " }"
    return json.dumps(value)


def stopped(command: list, store: Path, results: int, sign: int) -> tuple[int, str, list[int]]:
    """Start a command, send a signal when the store has so many results; status, standard error, and its processes then."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(list(map(str, command)), start_new_session=True, **quiet) as process:
        deadline = time.monotonic() + 120
        while sum(1 for _ in store.glob("??/*.json")) < results:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = [int(number) for number in children.read_text().split()] if children.exists() else []
        if sign == signal.SIGKILL:
            process.kill()
            return process.wait(60), "", workers
        os.killpg(process.pid, sign)  # Ctrl-C goes to all processes of a terminal
        return process.wait(60), process.stderr.read(), workers


def gone(processes: list[int]) -> bool:
    """Whether all of them end within half a minute; one that has ended may wait for its parent to ask."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        states = [Path(f"/proc/{number}/stat") for number in processes]
        if not any(path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z" for path in states):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def dask():
    """Two workers in processes of their own, watched by nannies that restart them."""
    distributed = pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


class TestDask:
    @pytest.mark.slow
    def test_a_worker_is_killed(self, tmp_path, dask):
        from distributed import Client

        killed, steps = [], []
        with Client(dask) as client:

            def step(progress):
                steps.append(progress.done)
                if progress.done == 8:
                    killed.append(next(iter(client.run(os.getpid).values())))
                    os.kill(killed[0], signal.SIGKILL)

            found = idf.sweep(LONG, store=tmp_path, executor=client.get_executor(), progress=step)
        assert killed and found.counts == {"done": 50, "failed": 0, "missing": 0, "damaged": 0}
        assert steps == list(range(51)) and len(files(tmp_path)) == 51

    def test_command(self, monkeypatch, capsys, tmp_path, dask):
        (tmp_path / "grid.toml").write_text("\n".join(f"{name} = {toml(value)}" for name, value in SMALL.items()))
        command = ["sweep", tmp_path / "grid.toml", "--store", tmp_path / "runs", "--cluster", dask.scheduler_address]
        status, out, err = run(monkeypatch, capsys, *command)
        assert status == 0 and "12 done" in out and "12 of 12 tasks" in err

    def test_no_scheduler(self, monkeypatch, capsys, tmp_path):
        distributed = pytest.importorskip("distributed", reason="Dask's distributed is not installed")
        import dask as settings

        (tmp_path / "grid.toml").write_text("\n".join(f"{name} = {toml(value)}" for name, value in SMALL.items()))
        command = ["sweep", tmp_path / "grid.toml", "--store", tmp_path / "runs", "--cluster"]
        with settings.config.set({"distributed.comm.timeouts.connect": "1s"}):
            status, _, err = run(monkeypatch, capsys, *command, "tcp://127.0.0.1:1")
        assert status == 2 and "cluster: no Dask scheduler answers at tcp://127.0.0.1:1" in err and distributed
        status, _, err = run(monkeypatch, capsys, *command, tmp_path / "none.json")
        assert status == 2 and "none.json: no such file; expected a scheduler file" in err

    def test_without_dask(self, monkeypatch, capsys, tmp_path):
        monkeypatch.setitem(sys.modules, "distributed", None)
        status, _, err = run(monkeypatch, capsys, "sweep", tmp_path / "grid.toml", "--cluster", "tcp://127.0.0.1:1")
        assert status == 2 and 'not installed; pip install "kkt-identify[cluster]"' in err


def synthetic(folder: Path, rows: list[tuple[dict, dict]]) -> idf.Sweep:
    """A store with made-up results."""
    store = Store.claim(folder)
    for parameters, result in rows:
        store.save(Outcome(task=replace(TASK, **parameters), state="done", result=result, versions={"kkt-identify": "1.2"}))
    return idf.Sweep(store)


def judged(verdict: str) -> dict:
    return {"verdict": verdict, "scope": "generic network, generic data", "proved": "", "reasons": "", "notes": ""}


def recovered(error: float | None) -> dict:
    return {"success": error is not None and error < 1e-3, "relative_error": error, "residual": error, "solved_by": "", "not_recovered": ""}


class TestTable:
    def test_rows(self, tmp_path, threads):
        found = idf.sweep(SMALL | {"measure": ["verdict", "thresholds"]}, store=tmp_path, executor=threads)
        table = found.table()
        assert len(table) == 16 and len({tuple(row) for row in table}) == 1 and "noise" not in table[0]
        assert [row["measure"] for row in table] == ["thresholds"] * 4 + ["verdict"] * 12
        first = next(row for row in table if row["measure"] == "verdict")
        assert (first["inputs"], first["samples"], first["width"]) == (3, 1, 3) and first["unique"] is None and first["seconds"] > 0
        for row in table:
            if row["measure"] == "verdict":
                config = idf.Configuration(**{name: row[name] for name in ("inputs", "samples", "width", "activation")})
                assert row["verdict"] == idf.check(config).verdict
        assert [row["samples"] for row in found.table(where=["samples > 1", "width == 2*inputs + 2"])] == [2, 3]
        assert len(found.table(where="width == 8")) == 8
        with pytest.raises(idf.GridError, match="names verdict, expected some of inputs"):
            found.table(where="verdict == 'UNIQUE'")
        assert repr(found) == f"Sweep({tmp_path}: 16 done)"

    def test_pandas_and_xarray(self, tmp_path):
        pytest.importorskip("xarray")
        points = [(n, m) for n in (1, 2) for m in (3, 5, 8) if (n, m) != (2, 3)]
        found = synthetic(tmp_path, [({"samples": n, "width": m}, judged("UNIQUE")) for n, m in points])
        frame = found.to_pandas()
        assert frame.shape == (5, len(found.table()[0])) and set(frame.version) == {"1.2"}
        arrays = found.to_xarray("verdict")
        assert dict(arrays.sizes) == {"samples": 2, "width": 3} and arrays.attrs["inputs"] == 4
        assert arrays.verdict.sel(samples=2, width=8).item() == "UNIQUE" and arrays.verdict.sel(samples=2).isnull().sum() == 1
        assert found.to_xarray("verdict", where=["samples == 1", "width == 3"]).verdict.item() == "UNIQUE"
        with pytest.raises(ValueError, match="measure: no result of recovery"):
            found.to_xarray("recovery")
        with pytest.raises(ValueError, match="measure: received 'speed', expected one of verdict"):
            found.to_xarray("speed")

    def test_without_the_packages(self, tmp_path, monkeypatch):
        found = synthetic(tmp_path, [({}, judged("UNIQUE"))])
        for name, read in (("pandas", found.to_pandas), ("xarray", lambda: found.to_xarray("verdict"))):
            with (
                monkeypatch.context() as without,
                pytest.raises(ValueError, match=rf'needs {name}, .* pip install "kkt-identify\[tables\]"'),
            ):
                without.setitem(sys.modules, name, None)
                read()


class TestPictures:
    @pytest.fixture(autouse=True)
    def matplotlib(self):
        pytest.importorskip("matplotlib")

    def test_every_verdict(self, tmp_path):
        names = ["UNIQUE", "LOCALLY_UNIQUE", "UNDECIDED", "NOT_UNIQUE"]
        rows = [
            ({"samples": n, "width": m, "seed": s}, judged(names[(n + m + s * (n == 5)) % 4]))
            for n in range(1, 6)
            for m in (2, 4, 7)
            for s in (0, 1)
        ]
        found = synthetic(tmp_path, rows)
        found.store.save(failed(replace(TASK, samples=9, width=4), "MemoryError"))
        (path,) = found.plot(tmp_path / "figures", form="svg")
        text = " ".join(path.read_text().split())
        assert path.name == "verdict.svg" and text.startswith("<?xml")
        for shown in ("U UNIQUE", "L LOCALLY_UNIQUE", "? UNDECIDED", "N NOT_UNIQUE", "≠ differs by seed", "× failed"):
            assert f"<!-- {shown} -->" in text
        assert "<!-- Verdict for generic network, generic data, up to the ambiguity; inputs 4;" in text and "2 seeds -->" in text

    def test_many_cells_are_hatched(self, tmp_path):
        rows = [({"samples": n, "width": m}, judged("UNIQUE" if n < m else "NOT_UNIQUE")) for n in range(1, 36) for m in (10, 20)]
        (path,) = synthetic(tmp_path, rows).plot(form="svg")
        text = path.read_text()
        assert path.parent == tmp_path and "<pattern" in text and "<!-- NOT_UNIQUE" in text and "<!-- U  UNIQUE" not in text

    @pytest.mark.slow
    def test_rates_noise_and_thresholds(self, tmp_path):
        options = {"measure": "recovery", "method": "auto", "tolerance": 1e-3}
        rows = [
            (
                options | {"samples": n, "noise": noise, "seed": seed},
                recovered(None if n == 4 or seed == 3 else (noise + 1e-15) * n * (1 + seed)),
            )
            for n in (2, 3, 4)
            for noise in (0.0, 1e-8, 1e-4)
            for seed in range(4)
        ]
        counts = {"unique_by_moments": 1, "unique_by_generic_global": 2, "arithmetic": "exact (proof)"}
        for width, last in ((4, None), (8, 5)):
            limits = counts | {"unique": width // 2, "locally_unique": width // 2 + 1, "not_identifiable": last}
            rows.append(({"measure": "thresholds", "samples": None, "width": width}, limits))
        found = synthetic(tmp_path, rows)
        pictures = found.plot()
        assert [path.name for path in pictures] == ["thresholds.png", "recovery.png", "noise.png"]
        from matplotlib.image import imread

        for path in pictures:
            pixels = imread(path)
            assert pixels.shape[1] == 1110 and pixels.std() > 0.05
        text = found.plot(form="svg", x="noise")[1].read_text()
        assert "<!-- 75 -->" in text and "<!-- 0 -->" in text and "<!-- noise -->" in text
        assert "<!-- none recovered -->" in found.plot(form="svg", where="samples == 4")[1].read_text()

    def test_one_point_and_texts_as_axes(self, tmp_path):
        found = synthetic(
            tmp_path, [({"activation": text, "bias": bias}, judged("UNIQUE")) for text in ("z^2", "z^3") for bias in (False, True)]
        )
        assert "<!-- z^3 -->" in found.plot(x="activation", y="bias", form="svg")[0].read_text()
        assert found.plot(where=["activation == 'z^2'", "bias == true"])[0].stat().st_size > 5000

    def test_errors(self, tmp_path, monkeypatch):
        found = synthetic(
            tmp_path, [({"samples": n, "inputs": d, "width": m}, judged("UNIQUE")) for n in (1, 2) for m in (3, 4) for d in range(1, 14)]
        )
        for options, message in [
            ({"x": "samples", "y": "width"}, r"where: 13 panels, because inputs vary besides samples and width; expected at most 12"),
            ({"x": "depth"}, "x: received 'depth', expected one of inputs"),
            ({"x": "width", "y": "width"}, "y: received 'width' for both axes"),
            ({"form": "pdf"}, "form: received 'pdf', expected one of png, svg"),
            ({"where": "samples > 5"}, "store: no results to draw"),
            ({"folder": tmp_path / "question.txt"}, "out: .* cannot be written"),
        ]:
            with pytest.raises(ValueError, match=message):
                found.plot(**options)
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ValueError, match=r"kkt-identify\[demo\]"):
            found.plot()


class TestCommand:
    @pytest.fixture
    def grid(self, tmp_path, monkeypatch, threads):
        """A grid file; tasks run in this process."""
        (tmp_path / "grid.toml").write_text("\n".join(f"{name} = {toml(value)}" for name, value in SMALL.items()))
        monkeypatch.setattr("identify.sweeps.sweep.Processes", lambda workers: Given(threads))
        return tmp_path / "grid.toml"

    def test_sweep_and_plot(self, monkeypatch, capsys, tmp_path, grid):
        status, out, err = run(monkeypatch, capsys, "sweep", grid, "--store", tmp_path / "runs", "--workers", 1)
        assert status == 0 and "12 done" in out and "verdict: " in out and "12 of 12 tasks" in err
        status, out, _ = run(monkeypatch, capsys, "sweep", grid, "--store", tmp_path / "runs", "--json")
        content = json.loads(out)
        assert status == 0 and content["done"] == 12 and content["rows"] == idf.Sweep.load(tmp_path / "runs").table()
        status, out, _ = run(monkeypatch, capsys, "plot", tmp_path / "runs", "--where", "inputs == 4", "--format", "svg", "--json")
        assert status == 0 and json.loads(out) == {"files": [str(tmp_path / "runs" / "verdict.svg")]}
        status, out, _ = run(monkeypatch, capsys, "plot", tmp_path / "runs", "--out", tmp_path / "figures", "--x", "inputs", "--y", "width")
        assert status == 0 and out == f"Written: {tmp_path / 'figures' / 'verdict.png'}\n"

    def test_tasks_that_fail(self, monkeypatch, capsys, tmp_path, grid):
        def fail(task):
            raise ValueError(f"{min(task.width, 3 + task.samples)}")

        monkeypatch.setitem(MEASURES, "verdict", fail)
        status, out, _ = run(monkeypatch, capsys, "sweep", grid, "--store", tmp_path / "runs")
        assert status == 1 and "0 done, 12 failed" in out and "failed (6): ValueError: 3" in out and "and 1 other errors" in out
        monkeypatch.undo()

    def test_summary_of_all_measures(self, monkeypatch, capsys, tmp_path, grid):
        text = grid.read_text() + '\nmeasure = ["thresholds", "recovery"]\nmethod = "algebraic"\n'
        grid.write_text(text.replace("[1, 2, 3]", "[1, 5]").replace("[3, 8]", "8"))
        status, out, _ = run(monkeypatch, capsys, "sweep", grid, "--store", tmp_path / "runs")
        assert status == 0 and "thresholds: proved unique up to 3 to 4 samples" in out and "recovery: 2 of 4 within the tolerance" in out

    @pytest.mark.parametrize(
        ("arguments", "status", "message"),
        [
            (["sweep", "none.toml"], 2, "grid: none.toml: no such file"),
            (["sweep", "grid.toml", "--workers", "0"], 2, "workers: received 0"),
            (["sweep", "grid.toml", "--workers", "2", "--cluster", "tcp://h:1"], 2, "--workers: sets processes on this machine"),
            (["plot", "none"], 2, "store: none holds no sweep"),
        ],
    )
    def test_bad_input(self, monkeypatch, capsys, tmp_path, grid, arguments, status, message):
        monkeypatch.chdir(tmp_path)
        code, out, err = run(monkeypatch, capsys, *arguments)
        assert code == status and not out and message in err and "Traceback" not in err

    @pytest.mark.slow
    def test_an_executor_that_breaks_has_status_1(self, monkeypatch, capsys, tmp_path, grid, threads):
        threads.shutdown()
        status, _, err = run(monkeypatch, capsys, "sweep", grid, "--store", tmp_path / "runs")
        assert status == 1 and "it takes no tasks" in err and "Traceback" not in err
