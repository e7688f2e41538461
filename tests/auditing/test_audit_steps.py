"""Audits of two networks with several steps of training between them: clients of their own in JAX, and what must be refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.clients import batch_of, client, drawn
from support.command_line import run
from support.marks import alone

import identify as idf
from identify.auditing.findings import Basis
from identify.auditing.parts import differing_counts
from identify.auditing.reading import ONE_STEP, STEPS, read
from identify.auditing.result import THREATS, Standing
from identify.problem.refusals import UnsupportedError

TRAINING = {"steps": 5, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def networks():
    net, (X, y) = drawn(0), batch_of(0, 4)
    return net, client(net, X, y, [np.arange(4)] * 5, 0.02), X, y


@pytest.fixture(scope="module")
def found(networks):
    net, final, _, _ = networks
    return idf.audit(final, initial=net, training=TRAINING, budget=300.0)


@alone
def test_the_batch_is_recovered_and_said_to_be_evidence(found, networks):
    X, y = networks[2:]
    assert found.standing is Standing.RECOVERED and found.threat == THREATS[STEPS]
    assert found["verdict"].basis is Basis.REFUSED and found.report is None
    match = found.recovery.match(X, np.zeros((4, 4)))
    assert match.errors.max() < 1e-10
    values = found["recovery"].values
    assert values["ranks"] == [4] and values["samples"] == 4 and (values["labels"][match.order] == y).all()
    assert values["uniqueness"]["status"] == "EVIDENCE"
    assert "4 of 4 samples behind the steps were recovered" in found.headline and "supported by evidence, not proved" in found.headline
    assert found["attack"].basis is Basis.NONE and "images" not in found
    assert len(found.brief().splitlines()) <= 15


@alone
def test_shorter_number_formats_are_a_defence_with_figures(found):
    values = found["defences"].values
    assert values["formats"] == ["float32", "float16", "bfloat16"]
    expected, seen = values["error_bar"], values["error"]
    assert seen[0] is not None and expected[0] / 10 < seen[0] < 10 * expected[0]
    assert expected[0] == pytest.approx(2.0**29 * found.recovery.relative_error_bars.max())
    assert expected[1] == pytest.approx(2.0**13 * expected[0]) and seen[1] is None and "float16: not recovered" in found["defences"].answer


def test_the_page_and_json_have_it(found, tmp_path):
    written = {path.name for path in found.save(tmp_path / "audit")}
    assert {"report.html", "report.json", "recovery.png"} <= written
    page = (tmp_path / "audit" / "report.html").read_text(encoding="utf-8")
    assert THREATS[STEPS].split(", ")[1] in page and "RECOVERED, not proved" in page and "float16" in page
    stored = json.loads((tmp_path / "audit" / "report.json").read_text(encoding="utf-8"))
    assert {finding["name"]: finding["basis"] for finding in stored["findings"]}["verdict"] == Basis.REFUSED


def test_from_files_on_the_command_line(networks, tmp_path, monkeypatch, capsys):
    net, final, X, _ = networks
    np.savez(tmp_path / "before.npz", **net.parameters)
    np.savez(tmp_path / "after.npz", **final.parameters)
    np.savez(tmp_path / "data.npz", X=X)
    files = ("--initial", tmp_path / "before.npz", "-a", "gelu", "--out", tmp_path / "audit", "--data", tmp_path / "data.npz")
    training = ("--steps", "5", "--learning-rate", "0.02", "--budget", "120")
    status, out, _ = run(monkeypatch, capsys, "audit", tmp_path / "after.npz", *files, *training, "--json")
    assert status == 0
    answer = json.loads(out)
    recovery = next(finding for finding in answer["findings"] if finding["name"] == "recovery")
    assert answer["standing"] == "RECOVERED, not proved" and max(recovery["values"]["errors"]) < 1e-10


@alone
def test_what_is_not_recovered_is_shown_as_no_answer(networks):
    net, final, X, _ = networks
    rng = np.random.default_rng(5)
    noisy = final.with_parameters(final.parameters | {"W2": final.weights[1] + 1e-5 * rng.standard_normal(final.weights[1].shape)})
    system = idf.KKTSystem.steps(net, noisy, steps=5, learning_rate=0.02, loss="softmax")
    found = idf.audit(system, samples=4, data=X, budget=10.0)
    assert found.standing is Standing.NOT_DECIDED and found.recovery is None
    recovery = found["recovery"]
    assert recovery.answer.startswith("not recovered:") and recovery.basis is Basis.OBSERVED
    assert "4 samples" in recovery.details[0] and "proves nothing" in recovery.details[1]
    assert recovery.draw is not None and "not an answer" in recovery.answer and len(recovery.values["errors"]) == 4
    assert found["defences"].basis is Basis.NONE


class TestStepsThatWereNotTold:
    """Without a word on steps an audit takes the change for that of one; nothing is proved if it does not look like one."""

    @alone
    def test_layers_that_show_different_counts(self, networks):
        net, final, _, _ = networks
        found = idf.audit(final, initial=net, budget=3.0)
        assert found["equations"].values["regime"] == "lazy" and found["equations"].values["how"] == ONE_STEP
        assert found["verdict"].basis is Basis.NONE and "(--steps)" in found["verdict"].answer and found.report is None
        assert not found.certificates and found.standing is Standing.NOT_DECIDED

    def test_of_someone_who_knows_that_there_was_one(self, networks):
        net, final, _, _ = networks
        system = idf.KKTSystem.lazy(net, final)
        counts = differing_counts(system)
        assert counts[0] == 4 < counts[1]
        subject = read(final, initial=net, regime="lazy")
        assert not subject.takes_one_step and read(final, initial=net).takes_one_step

    @pytest.mark.slow
    def test_one_step_shows_one_count(self, networks):
        net, _, X, y = networks
        after = client(net, X, y, [np.arange(4)], 0.02)
        assert differing_counts(idf.KKTSystem.lazy(net, after)) == ()
        assert idf.audit(after, initial=net, budget=3.0)["verdict"].report is not None

    @pytest.mark.parametrize(("steps", "standing"), [(1, Standing.PROVED_UNIQUE), (4, Standing.NOT_DECIDED)])
    def test_a_polynomial_network_whose_first_layer_does_not_tell(self, steps, standing):
        """The rank is the same after any number of steps, so that only the data tell: those of one step solve its equations."""
        rng = np.random.default_rng(0)
        start = idf.TwoLayerNetwork(rng.standard_normal((24, 5)), rng.standard_normal(24), "z + z^2/2 + z^3/3")
        X, c = rng.standard_normal((2, 5)), np.array([0.7, -0.4])
        net = start
        for _ in range(steps):
            (W, _), (a, _) = (net.update(X, 1e-3 * c)[k] for k in (1, 2))
            net = idf.TwoLayerNetwork(net.W + W, net.a + a.ravel(), net.activation)
        names = ({"W1": net.W, "W2": net.a[None]}, {"W1": start.W, "W2": start.a[None]})
        found = idf.audit(names[0], initial=names[1], activation=net.activation, budget=8.0)
        assert found.standing is standing and found["verdict"].report.verdict is idf.Verdict.UNIQUE
        assert ("(--steps)" in found.headline) is (steps > 1)


class TestReading:
    def test_the_subject(self, networks):
        net, final, X, _ = networks
        subject = read(final, initial=net, training={"epochs": 2, "batch_size": 2}, data=X)
        assert subject.regime == STEPS and not subject.is_provable and subject.steps.batch_size == 2
        assert any("2 epochs" in text for text in subject.notes)
        same = read(subject.steps)
        assert same.steps is subject.steps and same.layers.keys() == subject.layers.keys() and "several steps of a network" in same.name

    def test_no_theorem_is_about_steps_of_a_polynomial_network_either(self):
        net = idf.Configuration(inputs=4, samples=2, width=8, activation="z + z^3").plant(0)[0].network
        layers = {"W1": net.W, "W2": net.a[None]}
        moved = {name: part + 0.01 for name, part in layers.items()}
        assert read(moved, initial=layers, activation="z + z^3").is_provable
        assert not read(moved, initial=layers, activation="z + z^3", training={"steps": 2}).is_provable

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"training": {"steps": 5}}, "without initial"),
            ({"initial": True, "training": {"rate": 0.1}}, "training: received 'rate'"),
            ({"initial": True, "training": {"learning_rate": 0.1}}, "steps, epochs: received None and None"),
            ({"initial": True, "training": 5}, "training: received int"),
            ({"initial": True, "training": {"steps": 5}, "regime": "lazy"}, "regime: received lazy, but training"),
        ],
    )
    def test_what_does_not_fit_together_is_refused(self, networks, given, said):
        net, final, _, _ = networks
        given = given | ({"initial": net} if "initial" in given else {})
        with pytest.raises((ValueError, TypeError), match=said):
            idf.audit(final, **given)

    def test_a_system_of_steps_says_it_all(self, networks):
        net, final, _, _ = networks
        system = idf.KKTSystem.steps(net, final, steps=5)
        for more in ({"initial": net}, {"activation": "relu"}, {"training": TRAINING}):
            with pytest.raises(ValueError, match="says it all"):
                idf.audit(system, **more)

    def test_other_systems_without_a_network_are_refused_as_before(self):
        head = idf.KKTSystem.linear_head(np.eye(3), np.zeros(3), W=np.eye(3), bias=np.ones(3))
        with pytest.raises(UnsupportedError):
            idf.audit(head)

    def test_options_of_a_training_without_a_network_before_it(self, tmp_path, monkeypatch, capsys):
        np.savez(tmp_path / "after.npz", W1=np.eye(3), W2=np.ones((1, 3)))
        status, _, said = run(monkeypatch, capsys, "audit", tmp_path / "after.npz", "-a", "relu", "--steps", "5")
        assert status == 2 and "--steps: is about several steps of training; give --initial too" in said
