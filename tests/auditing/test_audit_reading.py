"""What an audit takes for the network, and what it asks for."""

from __future__ import annotations

import numpy as np
import pytest
from support.command_line import run

import identify as idf
from identify.auditing.reading import read
from identify.base.errors import MissingArgumentError
from identify.checkpoints import ProblemFileError
from identify.planting.configuration import Configuration

pytestmark = pytest.mark.smoke

RNG = np.random.default_rng(0)
LAYERS = {"fc1.weight": RNG.standard_normal((6, 8)), "fc2.weight": RNG.standard_normal((1, 6))}
HEADS = {
    "body.weight": RNG.standard_normal((6, 8)),
    "head_a.weight": RNG.standard_normal((1, 6)),
    "head_b.weight": RNG.standard_normal((3, 6)),
}


class TestWhatIsNotUsed:
    def test_is_named(self):
        subject = read(LAYERS | {"temperature": np.ones(1)}, activation="z^3", regime="max-margin")
        assert subject.notes == ("not used: temperature; if the network computes with it, all here is about another network",)

    def test_many_are_counted(self):
        others = {f"buffer_{k}": np.ones(1) for k in range(9)}
        (note,) = read(LAYERS | others, activation="z^3", regime="max-margin").notes
        assert "buffer_0" in note and "buffer_8" not in note and "and 3 more" in note

    def test_what_an_audit_reads_is_no_surprise(self):
        assert read(LAYERS | {"decay": np.array(0.1)}, activation="z^3", regime="weight-decay").notes == ()


class TestSeveralNetworksInOneFile:
    def test_are_asked_about(self):
        with pytest.raises(
            ProblemFileError, match="head_b.weight does not take the outputs of head_a.weight.*--weights, once for each layer"
        ):
            read(HEADS, activation="z^3", regime="max-margin")

    def test_the_choice_holds_for_the_gradient_too(self):
        gradient = {name: 2 * part for name, part in HEADS.items()}
        subject = read(HEADS, gradient=gradient, activation="z^3", weights=["body.weight", "head_b.weight"])
        assert subject.describe() == "8-6-3, σ = z^3, without biases"
        np.testing.assert_array_equal(subject.gradient["W2"], 2 * HEADS["head_b.weight"])
        assert subject.notes == ("not used: head_a.weight; if the network computes with it, all here is about another network",)

    def test_from_the_command_line(self, monkeypatch, capsys, tmp_path):
        np.savez(tmp_path / "n.npz", **HEADS)
        for command in ("audit", "attack"):
            choice = ["--weights", "body.weight", "--weights", "absent.weight"]
            status, _, err = run(monkeypatch, capsys, command, tmp_path / "n.npz", "-a", "relu", *choice)
            assert status == 2 and "absent.weight" in err

    def test_a_problem_file_leaves_no_choice(self):
        system, _ = Configuration(inputs=3, samples=2, width=5, activation="z^3 + z^2").plant(seed=0)
        with pytest.raises(ValueError, match="leave out .* weights"):
            read(system, weights=["W", "a"])


class TestArraysWithoutNames:
    """The order is a guess from the shapes, so that the short form says it, too."""

    PARTS = (*LAYERS.values(),)

    @pytest.mark.parametrize(
        ("model", "gradient", "named"),
        [
            (LAYERS, list(PARTS), "gradient"),
            (list(PARTS), LAYERS, "model"),
            (PARTS, {f"arr_{k}": part for k, part in enumerate(PARTS)}, "model, gradient"),
        ],
    )
    def test_are_said_to_be_read_by_their_shapes(self, model, gradient, named):
        subject = read(model, gradient=gradient, activation="z^3")
        said = f"arrays without names ({named}) were read by their shapes, as W1 6x8, W2 1x6: check that this is their order"
        assert subject.unnamed == said and subject.notes == (said,)

    def test_only_if_there_are_some(self):
        assert read(LAYERS, gradient=LAYERS, activation="z^3").unnamed == ""

    def test_in_the_short_form_in_the_shell(self, monkeypatch, capsys, tmp_path):
        np.savez(tmp_path / "model.npz", **LAYERS)
        np.savez(tmp_path / "sent.npz", *self.PARTS)
        options = ["--gradient", tmp_path / "sent.npz", "-a", "z^3", "--samples", 2, "--budget", 0.5, "--out", tmp_path / "out"]
        status, out, _ = run(monkeypatch, capsys, "audit", tmp_path / "model.npz", *options)
        text = " ".join(out.split())
        assert (
            status == 0
            and "arrays without names (gradient) were read by their shapes, as W1 6x8, W2 1x6" in text
            and len(out.splitlines()) <= 15
        )


@pytest.mark.parametrize(("given", "asks"), [({}, True), ({"regime": "max-margin"}, False), ({"data": np.ones((2, 8))}, False)])
def test_one_refusal_asks_for_all_that_is_missing(given, asks):
    with pytest.raises(ValueError, match="activation: .* give the one it was trained with") as refusal:
        read(LAYERS, **given)
    assert str(refusal.value).endswith("; and data, gradient, initial or regime, for the equation") == asks


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ("data", "gradient", "initial", "regime")),
        (["-a", "relu"], ("data", "gradient", "initial", "regime")),
        (["-a", "relu", "--regime", "lazy"], ("initial", "regime")),
        (["-a", "relu", "--regime", "gradient"], ("gradient", "regime")),
    ],
)
def test_what_is_missing_is_named_as_an_option_or_as_an_argument(options, names, monkeypatch, capsys, tmp_path):
    path = tmp_path / "{data}.npz"  # braces in a name do not stand for values
    np.savez(path, **LAYERS)
    status, _, err = run(monkeypatch, capsys, "audit", path, *options)
    assert status == 2 and all(f"--{name}" in err for name in names)
    regime = options[3] if len(options) > 2 else None
    with pytest.raises(MissingArgumentError) as refusal:
        idf.audit(path, activation="relu" if options else None, regime=regime)
    said = str(refusal.value)
    assert "--" not in said and all(name in said for name in names) and (regime or "{data}.npz" in said)
