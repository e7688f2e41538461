"""Sweeps over the updates of a folder: what each reveals, from problem files and from gradients beside a model, whatever ends the run."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from support.clients import batch_of, client, drawn
from support.command_line import run

import identify as idf
from identify.checkpoints.problems import save_arrays
from identify.sweeps.exposures import Kind, kind_of
from identify.sweeps.measures import MEASURES
from identify.sweeps.store import Store
from identify.sweeps.task import Outcome, UpdateTask, failed
from identify.sweeps.updates import tasks_of
from identify.sweeps.workers import Given

SIZES = {"inputs": 10, "width": (24, 20), "activation": "relu", "outputs": 3, "bias": True}
TASK = UpdateTask(update="client1.npz", content="0" * 64)
RESULT = {"counted": 2, "recovered": 2, "status": "PROVED", "error_bar": 1e-9, "residual": 0.0, "solved_by": "", "not_recovered": ""}


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def federated(tmp_path_factory):
    """A model, a folder of gradients of three clients (client 2, 3 and 10 with as many samples), and another of problem files."""
    place = tmp_path_factory.mktemp("federated")
    for folder in ("round", "problems"):
        (place / folder).mkdir()
    for n in (2, 3, 10):
        system, truth = idf.Configuration(samples=n, **SIZES).plant(seed=n)
        net = system.network if n == 2 else net
        moved = idf.KKTSystem.gradient(net, layers=updates(net, truth.X))
        save_arrays(place / "round" / f"client{n}.npz", {name: -part for name, part in moved.parts.items()})
        idf.save_problem(place / "problems" / f"client{n}.npz", moved)
    save_arrays(place / "model.npz", net.parameters | {"activation": "relu"})
    return place


def updates(net, X):
    """Minus the gradient of the sum of outputs with signs, by definition."""
    entering, slopes = [X], []
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        z = entering[-1] @ W.T + (0 if b is None else b)
        if k + 1 < net.depth:
            entering.append(np.maximum(z, 0))
            slopes.append(z > 0)
    signal, out = np.random.default_rng(len(X)).standard_normal(z.shape), {}
    for k in range(net.depth, 0, -1):
        out[k] = (signal.T @ entering[k - 1], None if net.biases[k - 1] is None else signal.sum(axis=0))
        if k > 1:
            signal = slopes[k - 2] * (signal @ net.weights[k - 1])
    return out


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """A model, and the networks that two clients made of it in three steps; a third did not train."""
    place, net = tmp_path_factory.mktemp("clients"), drawn(0)
    (place / "round").mkdir()
    save_arrays(place / "model.npz", net.parameters | {"activation": "gelu"})
    for number in (2, 3):
        X, y = batch_of(number, 2)
        save_arrays(place / "round" / f"client{number}.npz", client(net, X, y, [np.arange(2)] * 3, 0.02).parameters)
    save_arrays(place / "round" / "idle.npz", net.parameters)
    return place


@pytest.mark.smoke
def test_both_kinds_of_files_and_only_what_is_missing_is_run(federated, tmp_path, threads):
    found = idf.sweep_updates(federated / "round", model=federated / "model.npz", store=tmp_path / "runs", executor=threads)
    rows = [(row["update"], row["counted"], row["recovered"], row["state"]) for row in found.table()]
    assert rows == [("client2.npz", 2, 2, "done"), ("client3.npz", 3, 3, "done"), ("client10.npz", 10, 10, "done")]
    assert all(row["residual"] < 1e-10 and row["error_bar"] < 1e-6 and row["solved_by"] for row in found.table())
    assert [row["update"] for row in found.table(where='update == "client3.npz"')] == ["client3.npz"]
    other = idf.sweep_updates(federated / "problems", store=tmp_path / "others", executor=threads)
    assert [row["recovered"] for row in other.table()] == [2, 3, 10]

    steps = []
    (federated / "round" / ".hidden").write_text("")
    again = idf.sweep_updates(
        federated / "round", model=federated / "model.npz", store=tmp_path / "runs", executor=threads, progress=steps.append
    )
    assert [step.done for step in steps] == [3] and again.table() == found.table()


def test_the_hash_covers_contents_and_options_but_no_places(federated, tmp_path):
    options = {"model": federated / "model.npz", "activation": None, "samples": None, "seed": 0, "budget": 60.0, "trust": False}
    tasks = tasks_of(federated / "round", **options)
    assert len({task.key for task in tasks}) == len(tasks) == 3
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in (federated / "round").glob("*.npz"):
        (moved / path.name).write_bytes(path.read_bytes())
    assert [task.key for task in tasks_of(moved, **options)] == [task.key for task in tasks]
    for name, value in (("samples", 2), ("seed", 1), ("budget", 5.0), ("activation", "tanh")):
        assert not {task.key for task in tasks_of(moved, **options | {name: value})} & {task.key for task in tasks}
    (moved / "client3.npz").write_bytes((moved / "client2.npz").read_bytes())
    assert len({task.key for task in tasks_of(moved, **options)} - {task.key for task in tasks}) == 1


def test_a_store_keeps_tasks_of_both_kinds(tmp_path):
    store = Store.claim(tmp_path)
    store.save(Outcome(task=TASK, state="done", result=RESULT))
    assert store.load(TASK.key) == Outcome(task=TASK, state="done", result=RESULT)
    assert replace(TASK, update="client2.npz").key != TASK.key == replace(TASK, file=tmp_path, trust=True).key


def test_what_is_no_update_has_failed_and_the_others_are_done(federated, tmp_path, threads):
    place = tmp_path / "round"
    place.mkdir()
    (place / "a.npz").write_bytes((federated / "round" / "client2.npz").read_bytes())
    (place / "b.npz").write_bytes(b"not an archive")
    save_arrays(place / "c.npz", {"W1": np.ones((3, 3))})
    system, _ = idf.Configuration(samples=2, **SIZES).plant(seed=0)
    save_arrays(place / "d.npz", {name: -part for name, part in system.parts.items()})  # of another network
    found = idf.sweep_updates(place, model=federated / "model.npz", store=tmp_path / "runs", executor=threads, budget=5)
    states = {row["update"]: (row["state"], row["error"].split(":")[0], row["recovered"]) for row in found.table()}
    assert states["a.npz"] == ("done", "", 2) and states["b.npz"][:2] == ("failed", "ProblemFileError")
    assert states["c.npz"][:2] == ("failed", "ShapeError") and states["d.npz"] == ("done", "", 0)
    assert next(row for row in found.table() if row["update"] == "d.npz")["not_recovered"]


def test_a_file_that_changes_meanwhile_is_not_taken_for_the_other(federated, tmp_path):
    options = {"model": None, "activation": None, "samples": None, "seed": 0, "budget": 60.0, "trust": False}
    task = next(iter(tasks_of(federated / "problems", **options)))
    changed = tmp_path / "changed.npz"
    changed.write_bytes(b"0")
    with pytest.raises(idf.UpdatesError, match="was changed after the sweep began"):
        MEASURES["update"](replace(task, file=changed))


@pytest.mark.parametrize(
    ("folder", "options", "message"),
    [
        ("none", {}, "updates: .*none is not a folder"),
        ("empty", {}, "updates: .*empty has no files"),
        ("problems", {"activation": "relu"}, "activation: received one without a model"),
        ("round", {"model": "none.npz"}, "model: .*none.npz: no such file"),
        ("round", {"model": "bare.npz"}, "activation: bare.npz does not name it"),
        ("round", {"training": {"steps": 5}}, "training: received it without a model"),
    ],
)
def test_what_cannot_be_swept(federated, tmp_path, monkeypatch, folder, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    save_arrays(tmp_path / "bare.npz", {"W1": np.ones((3, 2)), "W2": np.ones((1, 3))})
    place = federated / folder if folder in ("problems", "round") else tmp_path / folder
    with pytest.raises(idf.UpdatesError, match=message):
        idf.sweep_updates(place, store=tmp_path / "runs", **options)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_worker_is_killed(federated, tmp_path):
    """By kill -9 in the middle of a round: nothing is lost, nothing has failed."""
    import multiprocessing

    place, killed = tmp_path / "round", []
    place.mkdir()
    for k in range(12):
        (place / f"client{k}.npz").write_bytes((federated / "problems" / f"client{(2, 3)[k % 2]}.npz").read_bytes())

    def step(progress):
        if progress.done == 3 and not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    found = idf.sweep_updates(place, store=tmp_path / "runs", workers=2, progress=step)
    assert killed and found.counts == {"done": 12, "failed": 0, "missing": 0, "damaged": 0}
    assert [row["recovered"] for row in found.table()] == [2, 3] * 6


def test_picture_and_summary(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    store = Store.claim(tmp_path)
    results = [RESULT, {"status": "EVIDENCE"}, {"counted": 40, "status": "UNKNOWN"}, {"recovered": 0, "not_recovered": "too narrow"}]
    kinds = [Kind.PROVED, Kind.ALL, Kind.SOME, Kind.NONE]
    for k, change in enumerate(results * 10):
        result = RESULT | change
        store.save(Outcome(task=replace(TASK, update=f"client{k}.npz"), state="done", result=result))
        assert kind_of(result) is kinds[k % 4]
    store.save(failed(replace(TASK, update="other.npz"), "ShapeError: no"))
    (path,) = idf.Sweep.load(tmp_path).plot(form="svg")
    text = path.read_text()
    assert path.name == "update.svg" and "<!-- What 40 updates reveal -->" in text and "<!-- 40 -->" in text
    assert all(f"<!-- {kind.value} -->" in text for kind in kinds)
    from identify.sweeps.summary import summary

    said = summary(idf.Sweep.load(tmp_path))
    assert "10 all samples, proved unique, 10 all samples, 10 some samples, 10 no sample" in said and "samples: 60 of 460" in said


class TestClientsOfSeveralSteps:
    """Each sends its network after some steps: its batch comes back by training unrolled."""

    @pytest.mark.slow
    def test_a_round(self, clients, tmp_path, threads):
        options = {"model": clients / "model.npz", "training": {"steps": 3, "learning_rate": 0.02}, "store": tmp_path / "runs"}
        found = idf.sweep_updates(clients / "round", executor=threads, **options)
        rows = {row["update"]: row for row in found.table()}
        for number in (2, 3):
            row = rows[f"client{number}.npz"]
            assert (row["counted"], row["recovered"], row["status"], row["solved_by"]) == (2, 2, "EVIDENCE", "training unrolled")
            assert row["error_bar"] < 1e-9
        assert rows["idle.npz"]["state"] == "failed" and "every number is that of initial" in rows["idle.npz"]["error"]
        assert found.counts["done"] == 2

    def test_the_hash_covers_the_training(self, clients):
        common = {"model": clients / "model.npz", "activation": None, "samples": None, "seed": 0, "budget": 60.0, "trust": False}
        keys = [
            {task.key for task in tasks_of(clients / "round", **common, training=training)}
            for training in (None, {"steps": 3}, {"steps": 4}, {"steps": 3, "learning_rate": 0.1})
        ]
        assert len(set.union(*keys)) == 4 * len(keys[0])

    @pytest.mark.parametrize(
        ("training", "said"),
        [
            ({"learning_rate": 0.1}, "steps, epochs: received None and None"),
            ({"rate": 0.1}, "training: received 'rate'"),
            ({"steps": 3, "loss": "logistic"}, "loss: 'logistic' is for one output"),
            (5, "training: received int"),
        ],
    )
    def test_what_no_file_makes_right_is_refused_before_anything_runs(self, clients, tmp_path, training, said):
        with pytest.raises((ValueError, TypeError), match=said):
            idf.sweep_updates(clients / "round", model=clients / "model.npz", training=training, store=tmp_path / "runs")
        assert not (tmp_path / "runs").exists()


class TestCommand:
    @pytest.fixture(autouse=True)
    def here(self, monkeypatch, threads):
        monkeypatch.setattr("identify.sweeps.sweep.Processes", lambda workers: Given(threads))

    def test_a_round(self, federated, tmp_path, monkeypatch, capsys):
        arguments = ["sweep", federated / "round", "--model", federated / "model.npz", "--store", tmp_path, "--budget", "30"]
        status, out, err = run(monkeypatch, capsys, *arguments)
        assert status == 0 and "samples: 15 of 15 that the ranks show" in out and "3 of 3 tasks" in err
        status, out, _ = run(monkeypatch, capsys, *arguments, "--json")
        assert status == 0 and [row["recovered"] for row in json.loads(out)["rows"]] == [2, 3, 10]

    def test_options_of_updates_beside_a_grid(self, tmp_path, monkeypatch, capsys):
        status, _, err = run(monkeypatch, capsys, "sweep", tmp_path / "grid.toml", "--budget", "3", "--samples", "2")
        assert status == 2 and "--budget, --samples: is about updates" in " ".join(err.split())
        status, _, err = run(monkeypatch, capsys, "sweep", tmp_path / "grid.toml", "--learning-rate", "0.1")
        assert status == 2 and "--learning-rate: is about updates" in " ".join(err.split())
