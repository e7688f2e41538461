"""Audits of one update of networks that no theorem is about: the batch behind it, by forward separation."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from support.command_line import run
from support.marks import alone

import identify as idf
from identify.auditing.findings import Basis
from identify.auditing.parts import counted_samples
from identify.auditing.protecting import NETWORK_LEVELS, Whose
from identify.problem.exposure import Exposed


@pytest.fixture(scope="module")
def problem():
    config = idf.Configuration(inputs=20, samples=5, width=(40, 32), activation="relu", outputs=4, bias=True)
    return config.plant(0)


@pytest.fixture(scope="module")
def arrays(problem):
    """Arrays of a problem file without the text that formats of tensors cannot hold."""
    system, _ = problem
    return dict(system.network.parameters) | {f"target_{name}": part for name, part in system.parts.items()}


@pytest.mark.parametrize("precision", ["float64", "float32", "float16"])
def test_rounding_is_not_counted_as_samples(problem, precision):
    """The verdict before the recovery is about as many samples as the update shows in its own precision."""
    system, truth = problem
    parts = {name: part.astype(precision).astype(float) for name, part in system.parts.items()}
    rounded = idf.KKTSystem.gradient(system.network, layers={k: (parts[f"W{k}"], parts.get(f"b{k}")) for k in (1, 2, 3)})
    none = SimpleNamespace(samples=None, subject=SimpleNamespace(X=None))
    assert counted_samples(none, rounded) == len(truth.X) == 5


@pytest.mark.slow
def test_defences_of_the_update_are_measured():
    config = idf.Configuration(inputs=12, samples=3, width=(20, 16), activation="relu", outputs=3, bias=True)
    found = idf.audit(config.plant(seed=0, multipliers="softmax")[0], budget=20.0)["defences"]
    assert list(found.values) == ["data", *NETWORK_LEVELS] and found.values["data"] is Whose.RECOVERED and found.basis is Basis.FLOAT
    assert found.values["dp_sgd"]["advice"]["kind"] == "FROM" and found.values["formats"]["calibration"]["kind"] == "CONFIRMED"
    assert found.values["dp_sgd"]["advice"]["sentence"].removeprefix("dp_sgd: ") in found.answer
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


@pytest.mark.usefixtures("no_defences")
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


@pytest.mark.usefixtures("no_defences")
def test_a_model_with_a_gradient_of_two_layers_and_the_data(problem):
    system, truth = problem
    gradient = {name: -part for name, part in system.parts.items() if name in ("W1", "b1", "W2", "b2")}
    found = idf.audit(system.network, gradient=gradient, data=truth.X, budget=30.0)
    assert is_recovered(found, truth) and max(found["recovery"].values["errors"]) < 1e-10
    assert "beside the 5 given samples the largest relative error" in found["recovery"].answer


@pytest.mark.usefixtures("no_defences")
def test_the_change_of_a_linearised_network(problem):
    system, truth = problem
    net = system.network
    moved = net.with_parameters({name: part + system.parts[name] for name, part in net.parameters.items()})
    found = idf.audit(moved, initial=net, budget=30.0)
    assert is_recovered(found, truth)


@alone
@pytest.mark.usefixtures("no_defences")
def test_the_update_of_another_network(problem):
    system, _ = problem
    rng = np.random.default_rng(1)
    other = system.network.with_parameters({name: rng.standard_normal(part.shape) for name, part in system.network.parameters.items()})
    found = idf.audit(other, gradient={name: -part for name, part in system.parts.items()}, budget=5.0)
    assert found.recovery is None and found["recovery"].answer.startswith("not recovered")
    assert found["recovery"].values["ranks"][:2] == [5, 5] and found["attack"].basis is Basis.OBSERVED


@pytest.fixture(scope="module")
def smooth():
    config = idf.Configuration(inputs=6, samples=3, width=(24, 20), activation="gelu", outputs=5, bias=True)
    return config.plant(0, multipliers="softmax")


@pytest.mark.usefixtures("no_defences")
class TestSomeLayers:
    """A gradient of some layers is answered: by counts, by a recovery, or by the reason why there is none."""

    def test_the_last_layer_alone(self, smooth, tmp_path):
        pytest.importorskip("matplotlib")
        system, truth = smooth
        found = idf.audit(system.network, gradient={"W3": -system.parts["W3"]}, budget=20.0)
        row = idf.exposed(system.network, {3: "weights"}, samples=3).rows[0]
        assert found["exposed"].basis is Basis.PROOF and found["exposed"].values["samples"] == row.samples.to_dict()
        assert row.samples.status is Exposed.PROVED_GENERIC and "determined: the number of samples" in found["exposed"].answer
        assert found["verdict"].report.verdict == "UNIQUE" and found["verdict"].report["some-layers"].is_proved
        assert found.recovery.match(truth.X, truth.c).errors.max() < 1e-8
        assert "the rank of the update of layer 3 is 3" in found["recovery"].details[0]
        assert found["attack"].basis is Basis.NONE and "features" not in found
        found.save(tmp_path)
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert "What do these layers show?" in page and "the samples" in page

    def test_features_when_the_samples_move_along_a_kernel(self):
        system, truth = idf.Configuration(inputs=30, samples=3, width=(20, 16), activation="gelu", outputs=12, bias=True).plant(
            1, multipliers="softmax"
        )
        net = system.network
        found = idf.audit(net, gradient={"W3": -system.parts["W3"]}, budget=20.0)
        assert found["verdict"].report.verdict == "NOT_UNIQUE" and "not determined: " in found["exposed"].answer
        assert found.recovery is None and "kernel of W_1" in found["recovery"].details[-2]
        H = net.forward(truth.X).entering[2]
        features = np.array(found["features"].values["X"])
        assert max(np.linalg.norm(features - h, axis=1).min() for h in H) < 1e-8
        assert sorted(found["features"].values["labels"]) == sorted(truth.c.argmax(axis=1))

    def test_rows_that_were_not_sent(self, smooth):
        system, truth = smooth
        gradient = {name: -part.copy() for name, part in system.parts.items()}
        gradient["W1"][:4], gradient["b1"][:4] = np.nan, np.nan
        found = idf.audit(system.network, gradient=gradient, budget=20.0)
        assert found.recovery.match(truth.X, truth.c).errors.max() < 1e-8
        assert found["verdict"].report.verdict == "UNIQUE" and found["attack"].basis is Basis.NONE

    def test_biases_alone(self, smooth):
        """Negative control: nothing counts the samples, and nothing is found."""
        system, _ = smooth
        found = idf.audit(system.network, gradient={"b1": -system.parts["b1"], "b2": -system.parts["b2"]}, budget=10.0)
        assert found["exposed"].basis is Basis.NONE and found["verdict"].basis is Basis.NONE and found.recovery is None


@pytest.mark.usefixtures("no_defences")
def test_the_commands(problem, arrays, tmp_path, monkeypatch, capsys):
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(part) for name, part in arrays.items()}, tmp_path / "update.safetensors")
    path, out = str(tmp_path / "update.safetensors"), str(tmp_path / "out")
    paper = tmp_path / "audit.pdf"
    status, text, _ = run(monkeypatch, capsys, "audit", path, "-a", "relu", "--out", out, "--budget", "30", "--pdf", paper)
    assert not status and "5 of 5 samples behind the update" in text and f"open {paper}" in text
    assert paper.read_bytes().startswith(b"%PDF-")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "5 of 5 samples behind the update" in page and (tmp_path / "out" / "recovery.png").is_file()
    status, text, _ = run(monkeypatch, capsys, "recover", path, "-a", "relu")
    assert not status and "Recovered 5 samples" in text
    status, _, err = run(monkeypatch, capsys, "recover", path)
    assert status == 2 and "no key activation" in err
