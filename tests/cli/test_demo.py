"""The demonstration: both acts succeed within their stated accuracy, and the two failures explain themselves."""

import json
import sys

import pytest
from support.marks import slow

import identify as idf
from identify import cli
from identify.cli import demonstration as demo


def test_digits_from_weights_alone():
    act = demo.weights_alone()
    assert act.report.verdict is idf.Verdict.UNIQUE and str(act.report.scope) == "this network, this data"
    assert act.errors.max() < 1e-8
    assert act.system.regime == "max-margin" and act.system.network.n_inputs == 64


@pytest.mark.parametrize(("dtype", "accuracy"), [("float32", 1e-4), slow("float64", 1e-9)])
def test_digits_from_one_gradient(dtype, accuracy):
    act = demo.one_gradient(dtype=dtype)
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
    act = demo.one_gradient(samples=6, activation="z^2")
    assert act.report.verdict is idf.Verdict.NOT_UNIQUE
    witness = act.report.witness
    assert witness.kind == "rotation" and witness.residual < 1e-12
    assert len(act.pictures()) == 1
    X, c = witness.example
    assert act.system.residual(X, c) < 1e-5 and abs(X - act.X).max() > 0.1


def test_command_writes_the_page_and_the_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["identify", "demo", "-n", "5", "-m", "30", "--json", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    content = json.loads(capsys.readouterr().out)
    assert not stop.value.code and [act["report"]["verdict"] for act in content["acts"]] == ["UNIQUE", "UNIQUE"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["act1.npz", "act1.png", "act2.npz", "act2.png", "report.html"]
    problem = idf.load_problem(tmp_path / "out" / "act2.npz")
    assert idf.check(problem.system, samples=5).verdict is idf.Verdict.UNIQUE


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="choose another folder"):
        demo.write([], tmp_path / "file" / "out")
