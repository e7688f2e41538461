"""Audits that end early: an interrupt at any step, a budget that is too short, and what the report says of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.command_line import LISTENING, run
from support.marks import slow_unless

import identify as idf
from identify.attacks import running as runs
from identify.auditing import attacking, proofs, saving
from identify.auditing.work import Step
from identify.base import limits
from identify.base.interrupts import Interrupts, listening
from identify.base.limits import OutOfTimeError, Stopped, limit_time, refuse_late
from identify.recovery.moment_map import solve_by_map
from identify.recovery.solution import RecoveryError

CUBIC = "z + z^2/2 + z^3"
TINY = idf.Configuration(inputs=3, samples=2, width=6, activation=CUBIC)
MADE_AGAIN = ("certificates", "defences")
"""Findings that several steps add to."""
RELU = {"W1": np.random.default_rng(0).standard_normal((5, 3)), "W2": np.ones((1, 5))}
RELU_OPTIONS = {"data": (np.eye(3)[:2], np.array([1.0, -1.0])), "activation": "relu", "regime": "max-margin", "budget": 20.0}
CURVES = ("defence: noise", "defence: rounding", "defence: batch", "defence: dp_sgd")
"""The first ones and the last of each audit: curves are measured one after the other by one loop."""
EVERY_STEP = [(module, step) for module in (proofs, attacking) for step in module.STEPS]


def tiny(**options) -> idf.Audit:
    system, truth = TINY.plant(seed=1)
    return idf.audit(system, data={"X": truth.X, "c": truth.c}, **options)


def relu(**options) -> idf.Audit:
    return idf.audit(RELU, **RELU_OPTIONS | options)


def interrupting(words: str):
    def progress(step):
        if step == words:
            raise KeyboardInterrupt

    return progress


@pytest.fixture(scope="module")
def whole():
    return {proofs: tiny(), attacking: relu()}


@pytest.fixture
def listened():
    """Ctrl-C as a terminal has it, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def leads_to(step: Step, module) -> str:
    steps = module.STEPS
    rest = ", ".join(later.name for later in steps[steps.index(step) + 1 :])
    return f"interrupted from the keyboard, in the step: {step.name}" + f"; left out: {rest}" * bool(rest)


class TestAnInterrupt:
    @pytest.mark.parametrize(
        ("module", "step"),
        slow_unless(
            lambda module, step: not step.name.startswith("defence: ") or step.name in CURVES,
            [(module, step) for module in (proofs, attacking) for step in module.STEPS],
        ),
        ids=lambda part: getattr(part, "name", ""),
    )
    def test_at_any_step_loses_that_step_only(self, whole, module, step):
        found = (tiny if module is proofs else relu)(progress=interrupting(step.name))
        assert found.stopped == leads_to(step, module)
        finished = {name for name in found.times["seconds"] if name not in ("reading", "all")}
        assert finished == {earlier.name for earlier in module.STEPS[: module.STEPS.index(step) + 1]}
        for finding in found.findings:
            if finding.name not in MADE_AGAIN:
                assert json.dumps(finding.to_dict()) == json.dumps(whole[module][finding.name].to_dict())
        if module is proofs and step.name.startswith("defence") and step.name != "defence: noise":
            curves = found["defences"].values
            done = [name for name in curves if name not in ("data",)]
            assert done == [earlier.name[9:] for earlier in module.STEPS[: module.STEPS.index(step)] if earlier.name.startswith("defence:")]
            assert all(curves[name] == whole[module]["defences"].values[name] for name in done)
        assert "Stopped early" in (text := " ".join(found.explain().split())) and step.name in text

    def test_within_a_curve_keeps_the_others_and_the_files_are_valid(self, tmp_path):
        found = tiny(progress=interrupting("defence: width 3"))
        assert {"noise", "rounding"} < set(found["defences"].values) and "width" not in found["defences"].values
        found.save(tmp_path)
        content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        assert content["stopped"] == found.stopped and content["certificates"] == ["solution", "verdict", "verdict-data"]
        assert all(idf.verify(path) for path in tmp_path.glob("*.certificate.json"))
        assert "Stopped early: interrupted from the keyboard, in the step: defence: width" in (tmp_path / "report.html").read_text("utf-8")

    def test_that_a_search_takes_for_itself_ends_the_audit_too(self, monkeypatch):
        def recover(*args, **options):
            raise RecoveryError("nothing", interrupted=Stopped.INTERRUPTED)

        monkeypatch.setattr("identify.defence.advise.recover", recover)
        assert "in the step: defence: noise" in tiny().stopped

    def test_of_an_attack_keeps_its_iterations(self, monkeypatch):
        calls, original = [], runs._iterate

        def iterate(*args):
            calls.append(args)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return original(*args)

        monkeypatch.setattr(runs, "_iterate", iterate)
        found = relu()
        assert found.stopped.startswith("interrupted from the keyboard, in the step: attack")
        assert 0 < found["attack"].values["steps"] <= runs.BLOCK and np.isfinite(found["attack"].values["X"]).all()

    @pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_while_the_report_is_written(self, monkeypatch, capsys, listened, tmp_path, number, expected):
        monkeypatch.setattr(os, "_exit", sys.exit)
        path = idf.save_problem(tmp_path / "p.npz", TINY.plant(seed=1)[0])

        def write(folder, audit):
            signal.raise_signal(number)
            (folder / "report.html").write_text("a page")
            return [folder / "report.html"]

        monkeypatch.setattr(saving, "write_audit_page", write)
        status, out, err = run(monkeypatch, capsys, "audit", path, "--samples", 2, "--out", tmp_path / "out")
        assert (
            status == expected
            and "report.html" in out
            and err.splitlines()[-1].startswith("identify: interrupted; the finished steps are in ")
        )
        assert json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["stopped"] == ""
        assert (tmp_path / "out" / "report.html").read_text() == "a page"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    @pytest.mark.slow
    def test_of_a_process(self, tmp_path):
        path = idf.save_problem(tmp_path / "p.npz", *TINY.plant(seed=1)[:1])
        command = [sys.executable, "-c", LISTENING, "audit", str(path), "--samples", "2", "--out", str(tmp_path / "out")]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if line.strip().endswith("s: refining"):  # JAX compiles now, for a second or so
                    process.send_signal(signal.SIGINT)
                    break
            rest = process.stderr.read()
            assert process.wait(60) == 130, lines
        assert "identify: interrupted; the finished steps are in" in rest and "Traceback" not in rest
        content = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
        assert "in the step: recovery; left out: verdict for the recovered samples" in content["stopped"]
        assert [finding["name"] for finding in content["findings"]] == ["equations", "verdict", "thresholds"]
        assert (tmp_path / "out" / "report.html").exists()

    def test_the_second_one_ends_at_once(self, listened):
        def progress(step):
            if step in ("recovery", "solving for the moments"):
                signal.raise_signal(signal.SIGINT)

        def stubborn(work):
            for _ in range(2):
                try:
                    signal.raise_signal(signal.SIGINT)
                except KeyboardInterrupt:
                    continue

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(proofs, "STEPS", (proofs.STEPS[0], Step("stubborn", stubborn)))
            with pytest.raises(KeyboardInterrupt):
                tiny()
        assert "in the step: recovery" in tiny(progress=progress).stopped
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_between_two_steps_is_not_lost(self, listened):
        with listening() as heard, heard.deferring():
            signal.raise_signal(signal.SIGINT)
            with listening() as again:
                assert again is heard and heard.count == 1
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    def test_that_others_handle_is_left_to_them(self, listened):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with listening() as heard:
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN and isinstance(heard, Interrupts)
            signal.raise_signal(signal.SIGINT)
        assert heard.count == 0


class TestABudget:
    def test_what_would_take_longer_is_left_out_and_said(self, monkeypatch):
        slow = tuple(
            replace(step, seconds=lambda work: 1e3) if step.name in ("thresholds", "defence: width") else step for step in proofs.STEPS
        )
        monkeypatch.setattr(proofs, "STEPS", slow)
        found = tiny(budget=50.0)
        assert list(found.times["left_out"]) == ["thresholds", "defence: width"] and not found.stopped
        assert "needs about 17 min" in found["thresholds"].answer and "a larger budget" in found["thresholds"].answer
        assert (
            found["thresholds"].basis == "not evaluated" and "width" not in found["defences"].values and "batch" in found["defences"].values
        )
        said = "Left out, because the budget of 50 s was too short: thresholds, defence: width. A larger budget (--budget) makes room"
        assert said in found.explain(width=1000)

    def test_the_verdict_is_there_even_where_it_is_spent(self):
        found = tiny(budget=1e-3)
        assert found.report.verdict == "UNIQUE" and found["stationarity"].values["holds"] is True
        assert {"recovery", "defence: noise"} <= set(found.times["left_out"])

    def test_limits_nest(self):
        with limit_time(1e-9), limit_time(1e3), pytest.raises(OutOfTimeError):
            time.sleep(1e-3)
            refuse_late(1.0, "it")

    def test_algebra_that_would_take_longer(self):
        system, _ = idf.Configuration(inputs=12, samples=12, width=60, activation=CUBIC).plant(seed=0)
        with pytest.raises(RecoveryError, match="the elimination of a 780 by 454 matrix takes about .* expected a larger budget") as caught:
            idf.recover(system, samples=12, method="algebraic", budget=0.05)
        assert caught.value.evidence["left_out"] == ["algebra"]
        assert idf.recover(system, samples=12, method="algebraic", budget=100.0).residual < 1e-12

    def test_algebra_by_iteration_ends_with_the_time(self):
        system, _ = TINY.plant(seed=0)
        with limit_time(1e-6), pytest.raises(OutOfTimeError, match="map from moments to the target"):
            solve_by_map(system.network, system.observed, system.degrees, system.target)

    def test_error_bars_that_would_take_longer(self, monkeypatch):
        def late(*args):
            raise OutOfTimeError("late")

        monkeypatch.setattr("identify.recovery.work.error_bars", late)
        found = tiny()
        assert np.isnan(found.recovery.error_bars).all() and found.recovery.evidence["left_out"] == ["error bars"]
        assert found.said(found["recovery"]) == ("cut short, the budget was spent: error bars (more time: --budget)",)
        assert not any(detail.startswith("largest error bar") for detail in found["recovery"].details)

    def test_levels_that_would_take_longer(self, monkeypatch):
        monkeypatch.setattr(limits, "NEGLIGIBLE", 0.0)  # how long the first level takes is a matter of the machine
        system, truth = TINY.plant(seed=1)
        options = {"noise": (1e-9, 1e-6), "rounding": (), "width": (6, 4, 2), "weights": (), "degree": (), "batch": ()}
        with limit_time(0.0):
            found = idf.defences(system, truth.X, truth.c, **options)
        assert found["width"].levels == (6,) and found["width"].cut == "levels from 4 on were left out for lack of time"
        assert found["noise"].levels == (1e-9,) and "left out for lack of time" in found["noise"].explain()


class TestFolders:
    def test_what_an_earlier_audit_left_is_removed(self, whole, tmp_path):
        whole[proofs].save(tmp_path)
        (tmp_path / "notes.txt").write_text("mine")
        (tmp_path / "other.certificate.json").write_text("mine")
        assert (tmp_path / "verdict.certificate.json").exists() and (tmp_path / "defences-1.png").exists()
        written = whole[attacking].save(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written} | {"notes.txt", "other.certificate.json"}

    def test_a_report_of_another_program_stays_as_it_is_beside_its_files(self, whole, tmp_path):
        (tmp_path / "report.json").write_text('{"findings": [{"name": "recovery"}], "certificates": []}')
        (tmp_path / "recovery.png").write_text("mine")
        whole[attacking].save(tmp_path)
        assert (tmp_path / "recovery.png").read_text() == "mine"


def test_progress_says_the_time_and_is_never_silent_for_long(monkeypatch, capsys):
    from identify.cli import console

    monkeypatch.setattr(console, "EVERY", 0.1)
    with console.progress(60.0) as tell:
        tell("[polishing]")
        time.sleep(0.4)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "  0 of 60 s: [polishing]" and lines[1] == "  0 of 60 s: still [polishing]"


def test_an_attack_is_not_begun_when_compiling_it_would_outlast_the_rest(monkeypatch):
    monkeypatch.setattr(attacking, "is_compiled", lambda: False)
    monkeypatch.setattr(attacking, "seconds_to_compile", lambda: 8.0)
    monkeypatch.setattr(attacking, "is_recovered", lambda work: False)
    monkeypatch.setattr(attacking, "lacks_layers", lambda work: False)
    assert attacking.attack_seconds(SimpleNamespace(left=2.0, budget=3.0)) == 0  # most of the budget is left for it
    assert attacking.attack_seconds(SimpleNamespace(left=1.0, budget=3.0)) == 4
    monkeypatch.setattr(attacking, "is_compiled", lambda: True)
    assert attacking.attack_seconds(SimpleNamespace(left=1.0, budget=3.0)) == 0
