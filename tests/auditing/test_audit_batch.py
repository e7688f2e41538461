"""Audits of one update of networks that no theorem is about: the batch behind it, by forward separation."""

from __future__ import annotations

import numpy as np
import pytest
from support.command_line import run

import identify as idf
from identify.auditing.findings import Basis
from identify.auditing.protecting import NETWORK_LEVELS, Whose


@pytest.fixture(scope="module")
def problem():
    config = idf.Configuration(inputs=20, samples=5, width=(40, 32), activation="relu", outputs=4, bias=True)
    return config.plant(0)


@pytest.fixture(scope="module")
def arrays(problem):
    """Arrays of a problem file without the text that formats of tensors cannot hold."""
    system, _ = problem
    return dict(system.network.parameters) | {f"target_{name}": part for name, part in system.parts.items()}


def test_defences_of_the_update_are_measured():
    config = idf.Configuration(inputs=12, samples=3, width=(20, 16), activation="relu", outputs=3, bias=True)
    found = idf.audit(config.plant(seed=0, multipliers="softmax")[0], budget=20.0)["defences"]
    assert list(found.values) == ["data", *NETWORK_LEVELS] and found.values["data"] is Whose.RECOVERED and found.basis is Basis.FLOAT
    assert found.values["dp_sgd"]["advice"]["kind"] == "FROM" and found.values["formats"]["calibration"]["kind"] == "CONFIRMED"
    assert found.values["dp_sgd"]["advice"]["sentence"] in found.answer
    assert len(found.draw()) == len(NETWORK_LEVELS)


def is_recovered(found, truth):
    assert found["recovery"].basis is Basis.OBSERVED and "5 of 5 samples behind the update" in found["recovery"].answer
    assert found["recovery"].values["ranks"][:2] == [5, 5] and "the ranks of the updates are 5, 5" in found["recovery"].details[0]
    assert found["recovery"].values["uniqueness"]["status"] in ("EVIDENCE", "PROVED")
    assert found.recovery.match(truth.X, truth.c).errors.max() < 1e-10
    assert found["verdict"].basis is Basis.OPEN and found["recovered"].report.verdict in ("UNIQUE", "LOCALLY_UNIQUE")
    assert found.headline.startswith(f"{found['recovered'].report.verdict} for ")
    assert found["attack"].basis is Basis.NONE and "not run" in found["attack"].answer
    assert set(found.certificates) == {"recovered"} and found["certificates"].basis is Basis.PROOF
    assert idf.verify(found.certificates["recovered"])
    return True


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "pt"])
def test_a_problem_file(problem, arrays, tmp_path, suffix):
    system, truth = problem
    path, activation = tmp_path / f"update.{suffix}", "relu"
    if suffix == "npz":
        idf.save_problem(path, system)
        activation = None
    elif suffix == "pt":
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        torch.save({name: torch.tensor(part) for name, part in arrays.items()}, path)
    else:
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(part) for name, part in arrays.items()}, path)
    assert is_recovered(idf.audit(path, activation=activation, budget=30.0), truth)
    read = idf.load_problem(path, activation=activation)
    assert np.array_equal(read.system.target, system.target)
    with pytest.raises(idf.InputError, match="activation"):
        idf.load_problem(path, activation="relu" if activation is None else None)


def test_a_model_with_a_gradient_of_two_layers_and_the_data(problem):
    system, truth = problem
    gradient = {name: -part for name, part in system.parts.items() if name in ("W1", "b1", "W2", "b2")}
    found = idf.audit(system.network, gradient=gradient, data=truth.X, budget=30.0)
    assert is_recovered(found, truth) and max(found["recovery"].values["errors"]) < 1e-10
    assert "beside the 5 given samples the largest relative error" in found["recovery"].answer


def test_the_change_of_a_linearised_network(problem):
    system, truth = problem
    net = system.network
    moved = net.with_parameters({name: part + system.parts[name] for name, part in net.parameters.items()})
    found = idf.audit(moved, initial=net, budget=30.0)
    assert is_recovered(found, truth)


def test_the_update_of_another_network(problem):
    system, _ = problem
    rng = np.random.default_rng(1)
    other = system.network.with_parameters({name: rng.standard_normal(part.shape) for name, part in system.network.parameters.items()})
    found = idf.audit(other, gradient={name: -part for name, part in system.parts.items()}, budget=10.0)
    assert found.recovery is None and found["recovery"].answer.startswith("not recovered")
    assert found["recovery"].values["ranks"][:2] == [5, 5] and found["attack"].basis is Basis.OBSERVED


def test_a_gradient_that_lacks_the_second_layer_says_what_is_missing(problem):
    system, _ = problem
    with pytest.raises(idf.ShapeError, match="gradient: lacks .*W2"):
        idf.audit(system.network, gradient={"W1": -system.parts["W1"]}, budget=5.0)


def test_the_commands(problem, arrays, tmp_path, monkeypatch, capsys):
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(part) for name, part in arrays.items()}, tmp_path / "update.safetensors")
    path, out = str(tmp_path / "update.safetensors"), str(tmp_path / "out")
    status, text, _ = run(monkeypatch, capsys, "audit", path, "-a", "relu", "--out", out, "--budget", "30")
    assert not status and "5 of 5 samples behind the update" in text
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "5 of 5 samples behind the update" in page and (tmp_path / "out" / "recovery.png").is_file()
    status, text, _ = run(monkeypatch, capsys, "recover", path, "-a", "relu")
    assert not status and "Recovery(5 samples" in text
    status, _, err = run(monkeypatch, capsys, "recover", path)
    assert status == 2 and "no key activation" in err
