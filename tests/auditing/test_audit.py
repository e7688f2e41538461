"""Audits: what each kind of checkpoint gets, that nothing false is proved, and that what is written can be relied on."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from scipy.optimize import minimize
from support.command_line import run
from support.marks import alone

import identify as idf
from identify.auditing.findings import Basis
from identify.auditing.protecting import LEVELS, NETWORK_LEVELS, TITLES, Whose
from identify.auditing.reading import read
from identify.auditing.regime import closure_misfit, slackness
from identify.auditing.result import WHOSE_DATA, Standing
from identify.base.errors import InputError
from identify.problem.arrays import ShapeError
from identify.recovery.solution import RecoveryError

CUBIC = "z + z^2/2 + z^3"
RNG = np.random.default_rng(0)
KEYS = ["audit", "version", "standing", "headline", "findings", "certificates", "stopped", "seed", "budget", "versions", "times"]
FINDING = ["name", "question", "answer", "scope", "basis", "details", "values", "report"]


def gradient_of(system: idf.KKTSystem) -> tuple[dict, dict]:
    """Weights and the gradient, as a framework would save them."""
    net = system.network
    return {"fc1.weight": net.W, "fc2.weight": net.A}, {"fc1.weight": -system.target_W, "fc2.weight": -system.target_a.reshape(net.A.shape)}


@pytest.fixture(scope="module")
def leak():
    system, truth = idf.Configuration(inputs=9, samples=3, width=15, activation=CUBIC).plant(seed=1)
    return *gradient_of(system), truth


@pytest.fixture(scope="module")
def audited(leak):
    return idf.audit(leak[0], gradient=leak[1], data=leak[2].X, activation=CUBIC, budget=60.0)


@pytest.fixture(scope="module")
def without_data(leak):
    return idf.audit(leak[0], gradient=leak[1], activation=CUBIC)


@pytest.fixture(scope="module")
def saved(audited, tmp_path_factory):
    """The folder and the files of an audit."""
    folder = tmp_path_factory.mktemp("audited")
    return folder, audited.save(folder)


@pytest.fixture(scope="module")
def trained():
    """A network trained with weight decay to stationarity: most neurons die."""
    rng, y, decay, shape = np.random.default_rng(1), np.array([1.0, -1.0, 1.0]), 1e-3, (12, 8)
    X = rng.uniform(0, 1, (3, 8))

    def network(theta):
        return idf.TwoLayerNetwork(theta[:-12].reshape(shape), theta[-12:], "z^3")

    def loss(theta):
        net = network(theta)
        margins = y * net(X)
        c = y / (1 + np.exp(margins)) / len(y)
        slope = decay * theta - idf.KKTSystem.weight_decay(net, decay=decay).right_hand_side(X, c)
        return np.logaddexp(0, -margins).mean() + decay / 2 * theta @ theta, slope

    exact = {"ftol": 0, "gtol": 1e-11, "maxiter": 5000, "maxfun": 10_000}
    net = network(minimize(loss, rng.standard_normal(108) / 3, jac=True, method="L-BFGS-B", options=exact).x)
    return net, X, y


class TestAGradient:
    def test_is_proved_and_recovered(self, audited, leak):
        assert audited.report.verdict == "UNIQUE" and str(audited.report.scope) == "this network, this data"
        assert audited["verdict"].report.verdict == "UNIQUE" and audited["verdict"].basis == "proved in exact arithmetic"
        assert max(audited["recovery"].values["errors"]) < 1e-9
        assert audited["recovery"].basis == "observed in a run, no proof"
        assert audited["thresholds"].values["unique"] == 14
        assert audited["stationarity"].values["holds"] is True
        assert "UNIQUE for this network, this data" in audited.headline

    def test_its_certificates_are_valid(self, audited, saved):
        assert set(audited.certificates) == {"solution", "verdict", "verdict-data"}
        for name in audited.certificates:
            assert idf.verify(saved[0] / f"{name}.certificate.json")

    def test_defences(self, audited):
        assert audited["defences"].values["width"]["rows"][-1]["verdict_these_data"] == "NOT_UNIQUE"
        assert {"noise", "rounding", "degree", "batch"} <= set(audited["defences"].values)

    def test_the_number_of_samples_is_estimated_without_data(self, leak, without_data):
        found = without_data
        assert found["samples"].values["samples"] == 3 and "numerical rank" in found["samples"].answer
        assert found.recovery.match(leak[2].X, leak[2].c).errors.max() < 1e-9
        assert found["defences"].values["data"] is Whose.RECOVERED and Whose.RECOVERED in found["defences"].scope
        assert found["defences"].values["noise"]["rows"][0]["verdict_these_data"] == "UNIQUE"

    def test_the_recovered_samples_have_a_verdict_of_their_own(self, without_data, audited, tmp_path):
        found = without_data
        own, X = found["recovered"], found.recovery.X
        assert own.report.verdict == "UNIQUE" and str(own.report.scope) == "this network, this data"
        assert own.details[0].startswith("about the target of exactly these samples") and "is another question" in own.details[1]
        assert found.report is found["verdict"].report and "for this network, generic data" in found.headline
        found.save(tmp_path)
        assert idf.verify(tmp_path / "recovered.certificate.json") and np.isfinite(X).all()
        assert "About the target of exactly these samples" in (tmp_path / "report.html").read_text(encoding="utf-8")
        assert "recovered" not in audited  # whose verdict is about the given data

    def test_without_any_data_nothing_is_said_of_defences(self):
        system, _ = idf.Configuration(inputs=4, samples=5, width=3, activation="z + z^2").plant(seed=0)
        found = idf.audit(system, samples=5, budget=2.0)
        assert found["defences"].basis is Basis.NONE and found.recovery is None and not found["defences"].values

    @pytest.mark.usefixtures("no_defences")
    def test_other_data_are_refused(self, leak):
        found = idf.audit(leak[0], gradient=leak[1], data=RNG.standard_normal((3, 9)), activation=CUBIC)
        assert found["stationarity"].values["holds"] is False and "verdict-data" not in found and "errors" not in found["recovery"].values

    @pytest.mark.usefixtures("no_defences")
    def test_before_and_after_a_step(self, leak):
        weights, gradient, truth = leak
        after = {name: part - 0.5 * gradient[name] for name, part in weights.items()}
        found = idf.audit(after, initial=weights, activation=CUBIC)
        assert found["equations"].values["regime"] == "lazy"
        assert found.recovery.match(truth.X, 0.5 * truth.c).errors.max() < 1e-9

    @pytest.mark.usefixtures("no_defences")
    def test_several_outputs_and_biases(self):
        system, truth = idf.Configuration(inputs=5, samples=3, width=14, activation=CUBIC, outputs=2, bias=True).plant(seed=3)
        weights, gradient = gradient_of(system)
        weights["fc1.bias"], gradient["fc1.bias"] = system.network.bias, -system.target_bias
        found = idf.audit(weights, gradient=gradient, data=truth.X, activation=CUBIC, budget=3.0)
        assert found.report.verdict == "UNIQUE" and max(found["recovery"].values["errors"]) < 1e-6
        assert "with biases" in found["equations"].answer

    @pytest.mark.usefixtures("no_defences")
    def test_a_model_of_a_framework_with_a_bias_of_the_output(self, leak):
        class Tensor:
            def __init__(self, value):
                self.value = value

            def detach(self):
                return self

            def cpu(self):
                return self.value

        class Model:
            def __init__(self, arrays):
                self.arrays = arrays

            def state_dict(self):
                return {name: Tensor(value) for name, value in self.arrays.items()}

        biased = leak[0] | {"fc2.bias": np.ones(1)}
        found = idf.audit(Model(biased), gradient=Model(leak[1]), activation=CUBIC)
        assert any("bias of the output is left out" in detail for detail in found["equations"].details)
        assert found.name == "Model" and found.recovery.match(leak[2].X, leak[2].c).errors.max() < 1e-9

    def test_more_data_than_the_budget_is_for(self, leak):
        with pytest.raises(ValueError, match="best multipliers of 5000 samples take about"):
            idf.audit(leak[0], gradient=leak[1], data=np.ones((5000, 9)), activation=CUBIC, budget=0.5)

    def test_a_step_that_cannot_be_made_is_said(self):
        system, _ = idf.Configuration(inputs=4, samples=2, width=3, activation="z^3", regime="max-margin").plant(seed=0)
        found = idf.audit(system, samples=3, budget=2.0)
        assert found["verdict"].basis is Basis.NONE and found.report is None

    @pytest.mark.usefixtures("no_defences")
    def test_a_network_too_narrow(self):
        system, _ = idf.Configuration(inputs=4, samples=5, width=3, activation="z + z^2").plant(seed=0)
        found = idf.audit(system, samples=5, budget=2.0)
        assert found.report.verdict == "NOT_UNIQUE" and found.recovery is None
        assert found["recovery"].basis is Basis.OBSERVED and not found["recovery"].values


@pytest.mark.usefixtures("no_defences")
class TestTrainedWithDecay:
    def test_says_what_is_hidden_and_why(self, trained):
        net, X, y = trained
        found = idf.audit(net, data=(X, y), budget=4.0)
        assert found["equations"].values["regime"] == "weight-decay"
        fits = found["equations"].values["misfits"]
        assert fits["weight-decay"] < 0.01 < fits["max-margin"]
        hidden = found["hidden"]
        assert hidden.values["rank_W"] < 3 and hidden.values["hides"] and hidden.basis == "floating point, no proof"
        assert found.headline.index("stay hidden") < found.headline.index("this network")
        assert any("same equations" in detail for detail in hidden.details)
        assert found["verdict"].report.scope.data == "this target"

    def test_what_the_samples_span_is_not_called_hidden(self):
        system, truth = idf.Configuration(inputs=6, samples=3, width=7, activation="z^3", regime="max-margin").plant(seed=0)
        found = idf.audit(system, data={"X": truth.X, "c": truth.c})
        assert found["hidden"].values["rank_W"] == 3 and not found["hidden"].values["hides"]
        assert found.report.verdict == "UNIQUE" and max(found["recovery"].values["errors"]) < 1e-6

    def test_without_data_the_regime_is_asked_for(self, trained):
        with pytest.raises(ValueError, match="weight-decay or max-margin"):
            idf.audit(trained[0])

    def test_misfits(self):
        margins = np.array([1.0, 1.0, 2.0, 3.0])
        assert closure_misfit(0.7 / (1 + np.exp(margins)), margins) < 1e-12 < slackness(0.7 / (1 + np.exp(margins)), margins)
        assert slackness(np.array([0.5, 2.0, 0.0, 0.0]), margins) == 0 < closure_misfit(np.array([0.5, 2.0, 0.0, 0.0]), margins)
        assert slackness(np.ones(4), -margins) == np.inf


@pytest.mark.usefixtures("no_defences")
class TestNothingIsProved:
    def nothing(self, found):
        text = found.to_json()
        assert found.report is None and not found.certificates and '"UNIQUE"' not in text and "proved in exact arithmetic" not in text
        assert found["verdict"].basis is Basis.REFUSED and found["verdict"].report is None
        assert "Nothing is proved" in found.headline

    def test_relu(self, tmp_path):
        layers = {"W1": RNG.standard_normal((6, 4)), "b1": RNG.standard_normal(6), "W2": RNG.standard_normal((1, 6))}
        X, y = RNG.uniform(-1, 1, (3, 4)), np.array([1, 0, 1])
        found = idf.audit(layers, data=(X, y), activation="relu", regime="max-margin", budget=2.0)
        self.nothing(found)
        assert found["attack"].values["attack"] == "haim, preset cifar-2" and len(found["attack"].values["errors"]) == 3
        assert any("kink" in detail for detail in found["approximation"].details)
        assert any("0 and 1" in detail for detail in found["equations"].details)
        assert {path.name for path in found.save(tmp_path)} == {"report.html", "report.json", "attack.png"}

    def test_three_layers(self):
        layers = {f"W{k}": RNG.standard_normal(shape) / 2 for k, shape in enumerate(((5, 4), (3, 5), (1, 3)), 1)}
        gradient = {name: part / 10 for name, part in layers.items()}
        found = idf.audit(layers, gradient=gradient, activation="z + z^2/10", samples=2, budget=8.0)
        assert (
            found.report.verdict in ("UNDECIDED", "LOCALLY_UNIQUE")
            and found["attack"].values["attack"] == "loo, gradients at the given parameters"
        )
        found = idf.audit(layers, gradient={"W1": layers["W1"]}, activation="z^2", samples=2, budget=4.0)
        assert found["exposed"].basis is Basis.PROOF and "need the gradient of every layer" in found["attack"].answer

    @pytest.mark.parametrize("is_separated", [True, alone(False)])
    def test_tanh_is_separated_or_approximated(self, monkeypatch, is_separated):
        if not is_separated:

            def refused(*arguments, **options):
                raise RecoveryError("for a reason")

            monkeypatch.setattr("identify.auditing.batch.recover", refused)
        X, W, a = RNG.uniform(-1, 1, (2, 5)), RNG.standard_normal((40, 5)) / 4, RNG.standard_normal((1, 40)) / 6
        Z, c = X @ W.T, np.array([0.4, -0.3])
        gradient = {"W1": -a.T * ((c[:, None] * (1 - np.tanh(Z) ** 2)).T @ X), "W2": -(c @ np.tanh(Z))[None]}
        found = idf.audit({"W1": W, "W2": a}, gradient=gradient, samples=2, activation="tanh", budget=20.0)
        assert found["verdict"].report.verdict == "UNIQUE" and found["verdict"].report.scope.network == "generic network"
        errors = [row["deviation"] for row in found["approximation"].values["approximations"]]
        assert errors == sorted(errors, reverse=True) and "assumed" in found["approximation"].scope
        assert found.recovery.match(X, c).errors.max() < (1e-10 if is_separated else 0.2)
        assert ("another network" in found["recovery"].scope) is not is_separated
        assert any("for a reason" in detail for detail in found["recovery"].details) is not is_separated

    @pytest.mark.slow
    def test_a_polynomial_may_have_a_lower_degree_than_was_asked_for(self):
        """The odd part of gelu is z/2, so that of degree 7 nothing is left."""
        layers, X = {"W1": RNG.standard_normal((6, 3)), "W2": np.ones((1, 6))}, RNG.standard_normal((2, 3))
        found = idf.audit(layers, gradient={name: part / 10 for name, part in layers.items()}, data=X, activation="gelu", budget=6.0)
        degrees = [row["degree"] for row in found["approximation"].values["approximations"]]
        assert degrees == [2, 4, 6] and "not evaluated" not in found["recovery"].answer

    @pytest.mark.parametrize("name", ["relu", "leaky_relu(0.1)", "hard_tanh", "tanh", "sigmoid", "softplus", "silu", "gelu", "erf", "sin"])
    def test_every_named_activation_can_be_approximated(self, name):
        from identify.auditing.activations import approximations

        assert all(np.isfinite(deviation) for _, deviation in approximations(idf.Activation.parse(name), (-2.0, 2.0)))


class TestTheResult:
    @alone
    def test_the_same_seed_gives_the_same_bytes(self, audited, leak, tmp_path):
        again = idf.audit(leak[0], gradient=leak[1], data=leak[2].X, activation=CUBIC, budget=60.0)
        first, second = (json.loads(found.to_json()) for found in (audited, again))
        assert first.pop("times")["seconds"] and second.pop("times")["seconds"]
        assert json.dumps(first) == json.dumps(second)

    def test_the_json_keeps_its_form(self, saved):
        content = json.loads((saved[0] / "report.json").read_text(encoding="utf-8"))
        assert list(content) == KEYS and content["version"] == 1
        names = ["equations", "stationarity", "verdict", "verdict-data", "thresholds", "recovery", "certificates", "defences"]
        assert [finding["name"] for finding in content["findings"]] == names
        assert all(list(finding) == FINDING for finding in content["findings"])
        assert set(content["times"]) == {"seconds", "said", "left_out"} and not content["times"]["left_out"]

    def test_the_page(self, audited, saved):
        folder, written = saved
        page = (folder / "report.html").read_text(encoding="utf-8")
        page = page.partition("<nav")[0] + page.partition("</nav>")[2]
        order = ["PROVED UNIQUE", "In practice:", "What was found", "Threat: an honest server with one update", "What would change it"]
        order += [">Details<", "Are the given data determined?", "Can the data be recovered?"]
        assert [page.index(part) for part in order] == sorted(page.index(part) for part in order)
        sentences = re.findall(r"<p>([^<]{40,})</p>", page.partition(">Details<")[0])
        assert len(sentences) == len(set(sentences)) > 4
        assert audited.standing is Standing.PROVED_UNIQUE
        assert page.count("<img") == sum(path.suffix == ".png" for path in written) and "http://" not in page and "<script" not in page
        assert "<summary>Numbers" in page and page.count("<details") > 8

    @pytest.mark.slow
    def test_as_a_pdf(self, audited, tmp_path):
        pypdf = pytest.importorskip("pypdf")
        (path,) = audited.save(tmp_path / "new" / "audit.PDF")
        assert list((tmp_path / "new").iterdir()) == [path]
        sheets = pypdf.PdfReader(path).pages
        text = "".join("".join(sheet.extract_text().split()) for sheet in sheets)
        said = [WHOSE_DATA, audited.standing, *audited.sentences, audited.standing.in_practice, audited.threat]
        said += [finding.question for finding in audited.findings if finding.name != "equations"]
        said += [line for finding in audited.findings if finding.name != "defences" for line in finding.details]
        said += [line.partition(": ")[2] for line in audited["defences"].details]  # some by what is changed, in a table
        assert [line for line in said if "".join(line[1:].rstrip(".").split()) not in text] == []
        assert sum(len(sheet.images) for sheet in sheets) > 3
        (tmp_path / "folder.pdf").mkdir()
        assert tmp_path / "folder.pdf" / "report.json" in audited.save(tmp_path / "folder.pdf")

    def test_in_a_notebook_and_as_text(self, audited):
        assert "UNIQUE" in audited._repr_html_() and "<script" not in audited._repr_html_()
        assert "[proved in exact arithmetic]" in str(audited) and repr(audited).startswith(f"Audit(a network 9-15-1 ({CUBIC}): equations")
        with pytest.raises(KeyError, match="finding: received 'x', expected one of equations"):
            audited["x"]

    @pytest.mark.usefixtures("no_defences")
    def test_an_interrupt_leaves_what_was_done(self, leak, tmp_path):
        def interrupt(step):
            if step == "solving for the moments":
                raise KeyboardInterrupt

        found = idf.audit(leak[0], gradient=leak[1], activation=CUBIC, progress=interrupt)
        assert found.stopped.startswith("interrupted from the keyboard, in the step: recovery; left out: verdict for the recovered samples")
        assert "verdict" in found and "recovery" not in found
        found.save(tmp_path)
        assert "Stopped early" in (tmp_path / "report.html").read_text(encoding="utf-8")

    def test_a_folder_that_cannot_be_made(self, audited, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ValueError, match="cannot be written"):
            audited.save(tmp_path / "file" / "folder")
        with pytest.raises(InputError, match="cannot be written"):
            audited.save(tmp_path / "file" / "audit.pdf")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, InputError),
        ({"activation": "elu"}, InputError),
        ({"activation": CUBIC, "regime": "lazy"}, InputError),
        ({"activation": CUBIC, "regime": "other"}, InputError),
        ({"activation": CUBIC, "initial": {}, "gradient": {}}, InputError),
        ({"activation": CUBIC, "initial": {"W1": np.ones((6, 4)), "W2": np.ones((1, 6))}, "regime": "gradient"}, InputError),
        ({"activation": CUBIC, "gradient": {"W1": np.ones((6, 3)), "W2": np.ones((1, 6))}}, ShapeError),
        ({"activation": CUBIC, "gradient": {"W1": np.ones((6, 4)), "b1": np.ones(6), "W2": np.ones((1, 6))}}, InputError),
        ({"activation": CUBIC, "data": np.ones((2, 3))}, ShapeError),
        ({"activation": CUBIC, "data": {"Y": 1}}, InputError),
        ({"activation": CUBIC, "budget": 0}, InputError),
        ({"activation": CUBIC, "samples": 0}, InputError),
    ],
    ids=[
        *("no activation", "elu", "lazy alone", "regime", "both", "initial and regime", "W1", "b1", "X", "no X"),
        *("budget", "samples"),
    ],
)
def test_bad_input(golden, options, error):
    with pytest.raises(error) as caught:
        idf.audit({"W1": np.ones((6, 4)), "W2": np.ones((1, 6))}, **options)
    golden(caught.value)


def test_the_title_says_what_was_audited():
    system, _ = idf.Configuration(inputs=6, samples=2, width=(9, 7), activation="relu", outputs=3, bias=True).plant(0)
    assert read(system).name == "one gradient of a network 6-9-7-3 (relu)"


def test_titles_of_pictures_are_names_as_people_write_them():
    assert {name: TITLES.get(name, name.capitalize()) for name in (*LEVELS, *NETWORK_LEVELS)}["dp_sgd"] == "DP-SGD"
    assert not any("_" in TITLES.get(name, name) for name in (*LEVELS, *NETWORK_LEVELS))


def test_what_is_no_model():
    with pytest.raises(TypeError, match="model: received int"):
        idf.audit(3)


class TestTheCommand:
    @pytest.mark.usefixtures("no_defences")
    def test_writes_the_report(self, monkeypatch, capsys, leak, tmp_path):
        np.savez(tmp_path / "model.npz", **leak[0], activation=CUBIC)
        np.savez(tmp_path / "update.npz", **leak[1])
        arguments = ["audit", tmp_path / "model.npz", "--gradient", tmp_path / "update.npz", "--out", tmp_path / "out"]
        status, out, err = run(monkeypatch, capsys, *arguments)
        assert status == 0 and "UNIQUE for this network, generic data" in out and "recovery" in err
        assert (tmp_path / "out" / "report.html").exists() and (tmp_path / "out" / "recovery.png").exists()
        status, out, _ = run(monkeypatch, capsys, *arguments, "--json", "--seed", 3, "--budget", 1)
        assert status == 0 and json.loads(out)["seed"] == 3

    @pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"PK\x03\x04 not an archive", b"\x93NUMPY\x01\x00"])
    @pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt"])
    def test_damaged_files(self, monkeypatch, capsys, tmp_path, content, suffix):
        (tmp_path / f"model{suffix}").write_bytes(content)
        status, out, err = run(monkeypatch, capsys, "audit", tmp_path / f"model{suffix}", "-a", "z^3", "--out", tmp_path / "out")
        assert status == 2 and not out and err.splitlines()[-1].startswith("identify: ") and not (tmp_path / "out").exists()

    @pytest.mark.usefixtures("no_defences")
    def test_problem_files(self, monkeypatch, capsys, tmp_path):
        system, truth = idf.Configuration(inputs=4, samples=2, width=12, activation="z + z^3").plant(seed=2)
        path = idf.save_problem(tmp_path / "p.npz", system, truth.X, truth.c)
        status, out, _ = run(monkeypatch, capsys, "audit", path, "--out", tmp_path / "out")
        assert status == 0 and "UNIQUE for this network, this data" in out
        status, _, err = run(monkeypatch, capsys, "audit", path, "-a", "z^3")
        assert status == 2 and "the problem file names its own" in err
        status, _, err = run(monkeypatch, capsys, "audit", path, "--gradient", path)
        assert status == 2 and "leave out initial, gradient" in err


def test_other_spellings_of_an_activation():
    W1, W2 = np.eye(3), np.ones((1, 3))
    (swish, silu) = (read({"W1": W1, "W2": W2}, activation=name, regime="max-margin").activation for name in ("swish", "silu"))
    assert swish == silu and str(silu) == "silu"
