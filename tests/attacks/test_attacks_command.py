"""Attacks from files and from the command line, and how well the equation holds before them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.command_line import run

import identify as idf
from identify.attacks import MLP, buzaglo, haim, loo, stationarity
from identify.checkpoints.problems import ProblemFileError, load_network
from identify.problem.arrays import ShapeError


def gradients_at(net: MLP, X, c):
    """sum_i c_i grad f(x_i) of a two-layer network with first-layer biases, written out."""
    W, b, A = (net.parameters[name] for name in ("W1", "b1", "W2"))
    Z = X @ W.T + b
    slopes = (c[:, None] * A) * net.activation(Z, 1)
    return {"W1": slopes.T @ X, "b1": slopes.sum(axis=0), "W2": (c @ net.activation(Z))[None]}


@pytest.fixture
def lazy():
    """A network before and after a step along gradients of three samples, and these."""
    rng = np.random.default_rng(0)
    parts = {"W1": rng.standard_normal((30, 4)), "b1": rng.standard_normal(30), "W2": rng.standard_normal((1, 30))}
    start = MLP(parts, "z + z^2/2 + z^3")
    X, c = rng.uniform(-1, 1, (3, 4)), np.array([0.3, -0.2, 0.4])
    end = start.with_parameters({name: value + gradients_at(start, X, c)[name] for name, value in start.parameters.items()})
    return start, end, X, c


class TestStationarity:
    def test_exact_equations_leave_nothing(self, lazy):
        start, end, X, c = lazy
        found = stationarity(loo(start, end, linearised=True), X, signed=True)
        assert found.residual < 1e-12 and np.allclose(found.multipliers[:, 0], c)
        assert "3 of 3 samples have a multiplier" in str(found)

    def test_the_residual_is_that_of_least_squares(self, lazy):
        _, end, X, _ = lazy
        columns = [np.concatenate([part.ravel() for part in gradients_at(end, x[None], np.ones(1)).values()]) for x in X]
        target = np.concatenate([end.parameters[name].ravel() for name in ("W1", "b1", "W2")])
        expected = np.linalg.lstsq(np.array(columns).T, target, rcond=None)[0]
        found = stationarity(buzaglo(end, kind="weight-decay"), X, signed=True)
        assert np.allclose(found.multipliers[:, 0], expected)
        assert found.residual == pytest.approx(np.linalg.norm(target - np.array(columns).T @ expected) / np.linalg.norm(target))
        assert sum(found.by_parameter.values()) == pytest.approx(1)

    def test_multipliers_that_are_not_negative(self, lazy):
        _, end, X, _ = lazy
        labels = np.array([1.0, -1.0, 1.0])
        found = stationarity(haim(end), X, labels)
        assert (found.multipliers >= 0).all() and found.residual >= stationarity(haim(end), X, labels, signed=True).residual
        with pytest.raises(ShapeError, match="labels: received shape"):
            stationarity(haim(end), X, labels[:2])
        with pytest.raises(ShapeError, match="X: received shape"):
            stationarity(haim(end), X[:, :2])


class TestFiles:
    def test_names_as_in_published_checkpoints(self, tmp_path, lazy):
        start, _, X, _ = lazy
        np.savez(tmp_path / "net.npz", **start.parameters, activation="z + z^2/2 + z^3", X=X, y=[1, -1, 1])
        net, rest = load_network(tmp_path / "net.npz")
        assert repr(net) == repr(start) and set(rest) == {"X", "y"}
        np.savez(tmp_path / "relu.npz", **start.parameters)
        assert str(load_network(tmp_path / "relu.npz")[0].activation) == "relu"

    @pytest.mark.parametrize(
        ("contents", "message"),
        [
            ({"weight": np.ones((2, 2))}, r"holds weight \(2, 2\); expected W1, W2"),
            ({"W1": np.ones((2, 2)), "W2": np.ones((1, 3))}, r"W2: received shape \(1, 3\)"),
            ({"W1": np.ones((2, 2)), "W2": np.ones(2), "activation": np.ones(2)}, "key activation is float64"),
            ({"W1": np.array([{}])}, "cannot be read"),
        ],
    )
    def test_bad_files(self, tmp_path, contents, message):
        np.savez(tmp_path / "net.npz", **contents)
        with pytest.raises((ProblemFileError, ShapeError), match=message):
            load_network(tmp_path / "net.npz")

    def test_no_file_and_no_archive(self, tmp_path):
        with pytest.raises(ProblemFileError, match="no such file"):
            load_network(tmp_path / "none.npz")
        (tmp_path / "text.npz").write_text("weights")
        with pytest.raises(ProblemFileError, match="not an .npz archive"):
            load_network(tmp_path / "text.npz")


class TestCommand:
    @pytest.fixture
    def files(self, tmp_path, lazy):
        start, end, X, _ = lazy
        for name, net, more in (("start", start, {}), ("end", end, {"X": X})):
            np.savez(tmp_path / f"{name}.npz", **net.parameters, activation="z + z^2/2 + z^3", **more)
        return tmp_path

    def test_loo_with_its_data(self, monkeypatch, capsys, files):
        command = [
            "attack",
            files / "end.npz",
            "--method",
            "loo",
            "--initial",
            files / "start.npz",
            "--steps",
            1500,
            "--set",
            "linearised=1",
        ]
        status, out, err = run(monkeypatch, capsys, *command, "--trials", 2, "--out", files / "found.npz")
        assert status == 0 and "Reconstruction(loo: 6 candidates" in out and "best of 2 runs" in out and "recall, relative L2 < 0.1" in out
        assert "iterations, objective" in err
        with np.load(files / "found.npz") as content:
            assert content["X"].shape == (6, 4) and content["pooled"].shape == (12, 4)
        status, out, _ = run(monkeypatch, capsys, *command, "--json")
        content = json.loads(out)
        assert status == 0 and content["runs"][0]["settings"]["linearised"] and content["runs"][0]["candidates"] == 6
        assert len(content["errors"]) == 3 and content["diverged"] == 0

    def test_a_page_with_pictures(self, monkeypatch, capsys, files, lazy):
        """The data from a file of their own; candidates in the row space; the page says what stands before the attack."""
        pytest.importorskip("matplotlib"), pytest.importorskip("jinja2")
        _start, end, X, _ = lazy
        np.savez(files / "data.npz", X=X, mean=np.full(4, 0.5))
        np.savez(files / "weights.npz", **end.parameters)
        command = ["attack", files / "weights.npz", "-a", "z + z^2/2 + z^3", "--data", files / "data.npz", "--method", "loo"]
        command += ["--initial", files / "start.npz", "--set", "linearised=1", "--steps", 300, "--row-space", "--html", files / "page.html"]
        status, out, _ = run(monkeypatch, capsys, *command)
        page = (files / "page.html").read_text(encoding="utf-8")
        assert status == 0 and "Before the attack: stationarity residual" in out and "'row_space': 3" in out
        assert "Against the data" in page and "data:image/png;base64" in page and "Nothing here is proved" in page
        command = ["attack", files / "start.npz", "-k", 2, "--steps", 20, "--set", "rate=1e-6", "--html", files / "alone.html"]
        status, out, _ = run(monkeypatch, capsys, *command)
        assert status == 0 and "Against" not in (files / "alone.html").read_text(encoding="utf-8") and "Written" in out

    def test_data_that_do_not_fit(self, monkeypatch, capsys, files):
        np.savez(files / "data.npz", X=np.ones((2, 5)))
        status, _, err = run(monkeypatch, capsys, "attack", files / "start.npz", "--data", files / "data.npz")
        assert status == 2 and "X: received shape (2, 5), expected (any, 4)" in err

    def test_presets_and_splits(self, monkeypatch, capsys, files):
        """One candidate for three samples splits; a setting overrides that of the preset."""
        command = [
            "attack",
            files / "end.npz",
            "--method",
            "loo",
            "--initial",
            files / "start.npz",
            "-k",
            1,
            "--steps",
            2100,
            "--split",
            "--json",
        ]
        status, out, _ = run(monkeypatch, capsys, *command, "--set", "linearised=1")
        (one,) = json.loads(out)["runs"]
        assert status == 0 and one["splits"] >= 1 and one["candidates"] == 1 + one["splits"]
        command = [
            "attack",
            files / "start.npz",
            "--method",
            "weight-decay",
            "-k",
            3,
            "--steps",
            50,
            "--preset",
            "weight-decay-1",
            "--json",
        ]
        status, out, _ = run(monkeypatch, capsys, *command, "--set", "rate=1e-6", "--set", "multiplier_rate=1e-6")
        content = json.loads(out)
        settings = content["runs"][0]["settings"]
        assert status == 0 and settings["rate"] == 1e-6 and settings["start_scale"] == 0.0197 and "recall" not in content

    def test_search(self, monkeypatch, capsys, files):
        command = ["attack", files / "start.npz", "-k", 3, "--steps", 50, "--trials", 3, "--search", "--set", "rate=1e-6", "--json"]
        status, out, _ = run(monkeypatch, capsys, *command)
        runs = json.loads(out)["runs"]
        assert status == 0 and len({one["settings"]["bound"] for one in runs}) == 3 and {one["settings"]["rate"] for one in runs} == {1e-6}
        assert [one["stationarity"] for one in runs] == sorted(one["stationarity"] for one in runs)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--search", "--method", "weight-decay"], "--search: applies to --method haim"),
            (["--search", "--set", "speed=1"], "--set: received 'speed', expected one of start_scale"),
            (["--method", "magic"], "--method: received 'magic'"),
            (["--method", "loo"], "--initial: the network before training is needed for --method loo"),
            (["--preset", "cifar-9"], "--preset: received 'cifar-9', expected one of cifar-1"),
            (["--set", "rate"], "--set: received 'rate', expected a name and a number"),
            (["--set", "speed=1"], "--set: received 'speed', expected one of start_scale"),
            ([], "--candidates: missing, and the file has no X"),
        ],
    )
    def test_bad_options(self, monkeypatch, capsys, files, options, message):
        status, _, err = run(monkeypatch, capsys, "attack", files / "start.npz", *options)
        assert status == 2 and message in err

    def test_divergence_is_no_bad_input(self, monkeypatch, capsys, files):
        status, _, err = run(monkeypatch, capsys, "attack", files / "start.npz", "-k", 3, "--steps", 300, "--set", "rate=1e6")
        assert status == 1 and "diverged; try smaller learning rates" in err


def test_public_names():
    assert idf.attacks.haim is haim and idf.reconstruct.__doc__ and idf.Splitting().every == 1000
