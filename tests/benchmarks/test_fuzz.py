"""A slice of the fuzzing: every reader and the command line answer or refuse, from the same seed the same, and failures are seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.main
from support.command_line import built

import identify
from identify.base.errors import IdentifyError, InputError
from identify.checkpoints import read_arrays

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the benchmarks are part of the repository, not of the package", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))
import fuzz  # noqa: E402
from fuzzing import attacks, commands, judge, targets  # noqa: E402
from fuzzing.mutate import mutate  # noqa: E402

COUNTS = {"npz": 250, "arrays": 60, "safetensors": 150, "state_dict": 60, "msgpack": 150, "equinox": 150, "onnx": 60, "shard": 100}
COUNTS |= {"certificate": 100, "update, npz": 80, "update, pt": 40, "two checkpoints": 60, "payloads": 150, "pickles": 60}


@pytest.mark.parametrize("name", targets.TARGETS)
def test_readers(tmp_path, name):
    target = targets.TARGETS[name]
    if target.missing():
        pytest.skip(target.missing())
    path = tmp_path / f"input{target.suffix}"
    outcomes = []
    for content in target.inputs(COUNTS[name], seed=1):
        path.write_bytes(content)
        outcomes.append(judge.file(target, path))
    assert {"refused"} <= set(outcomes) <= {"refused", "answered"}
    assert list(target.inputs(5, seed=2)) == list(target.inputs(5, seed=2)) != list(target.inputs(5, seed=3))


@pytest.mark.parametrize("name", [name for name in targets.TARGETS if name != "arrays"])
def test_what_is_whole_is_answered(tmp_path, name):
    target = targets.TARGETS[name]
    if target.missing():
        pytest.skip(target.missing())
    for content in target.valid():
        (tmp_path / f"input{target.suffix}").write_bytes(content)
        outcome = judge.file(target, tmp_path / f"input{target.suffix}")
        assert outcome == "answered" or (name in ("shard", "pickles") and outcome == "refused")


def test_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(typer.main, "get_command", built)
    lines = list(commands.lines(50, 1, tmp_path))
    outcomes = [fuzz.limited(lambda a=arguments: judge.command(a), 10) for arguments in lines]
    assert set(outcomes) == {"refused", "answered"}, [
        (o, a) for o, a in zip(outcomes, lines, strict=True) if o not in ("refused", "answered")
    ]
    assert lines == list(commands.lines(50, 1, tmp_path))


CALLS = 40
"""Most of them compile; with -m slow more."""


@pytest.mark.parametrize("count", [CALLS, pytest.param(400, marks=pytest.mark.slow)])
def test_attacks(count):
    outcomes = [(attacks.judged(call), str(call)) for call in quick(count)]
    assert {outcome for outcome, _ in outcomes} == {"refused", "answered"}, [
        each for each in outcomes if each[0] not in ("refused", "answered")
    ]


def quick(count):
    """Without the calls that compile, in the short run."""
    asked = attacks.calls(count, 1)
    return [
        call for call in asked if count > CALLS or call.name not in ("reconstruct", "haim", "buzaglo", "RandomSearch", "train", "diagnose")
    ]


def test_calls_of_attacks_are_those_of_the_seed():
    first, again, other = ([str(call) for call in attacks.calls(12, seed)] for seed in (2, 2, 3))
    assert first == again != other


def test_attacks_that_fail_are_seen():
    def warns():
        return np.float64(1e300) * np.float64(1e300)

    class Found:
        X = np.array([1.0, np.nan])

    fails = [(warns, (), "crash: RuntimeWarning"), (lambda: 1 / 0, (), "crash: ZeroDivisionError"), (Found, ("X",), "crash: not finite: X")]
    for function, finite, outcome in fails:
        assert attacks.judged(attacks.Call("f", function, {}, finite)).startswith(outcome)
    assert attacks.judged(attacks.Call("f", lambda: 1.0, {}, ("",))) == "answered"


class TestKinds:
    """What the fuzz found: arguments of another type, wherever they go."""

    network = identify.attacks.random_network((3, 4, 1))

    @pytest.mark.parametrize("value", [None, 0.5, "net.npz", [], np.array([]), {}])
    def test_objects_of_another_type(self, value):
        from identify import attacks as public

        for work in (public.diagnose, public.stationarity):
            with pytest.raises(InputError, match="attack: received"):
                work(value, np.ones((2, 3)))
        with pytest.raises(InputError, match="attack: received"):
            public.in_row_space(value)
        with pytest.raises(InputError, match="attack: received"):
            identify.reconstruct(value, candidates=2)
        for search in (public.corners, public.vertices):
            with pytest.raises(InputError, match="network: received"):
                search(value, -1, 1)
        with pytest.raises(InputError, match="network: received"):
            public.train(value, np.ones((2, 3)), [1.0, -1.0])
        for make in (public.haim, lambda net: public.buzaglo(net, kind="weight-decay")):
            with pytest.raises(InputError, match="network: received"):
                make(value)
        with pytest.raises(InputError, match="sizes: received"):
            public.random_network(value)
        with pytest.raises(InputError, match="ranges: received"):
            public.RandomSearch(public.haim, {"rate": value})

    @pytest.mark.parametrize("value", [np.array([]), np.array(["none"]), ["none"], {}])
    def test_choices_are_words(self, value):
        """An array is compared by its numbers, and one of one word was taken for the word."""
        with pytest.raises(InputError, match="biases: received"):
            identify.attacks.random_network((3, 4, 1), biases=value)

    @pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, "1", None, True])
    def test_settings_of_attacks_are_numbers(self, value):
        from identify import attacks as public

        several = identify.attacks.random_network((3, 4, 2))
        makers = [lambda **one: public.haim(self.network, **one), lambda **one: public.buzaglo(several, kind="multiclass", **one)]
        for make in makers:
            for name in ("start_scale", "rate", "multiplier_rate", "bound", "sharpness"):
                with pytest.raises(InputError, match=f"{name}: received"):
                    make(**{name: value})

    def test_numbers_beyond_single_precision_diverge(self):
        attack = identify.attacks.haim(self.network, rate=1e77)
        with pytest.raises(IdentifyError):
            identify.reconstruct(attack, candidates=2, steps=2, precision="float32")


def test_failures_are_seen(tmp_path):
    def fail(path):
        raise KeyError("W")

    def foreign(path):
        b"\xff".decode()

    def unclear(path):
        read_arrays(Path("two\nlines"))

    for read, outcome in ((fail, "crash: KeyError"), (foreign, "crash: UnicodeDecodeError"), (unclear, "crash: unclear")):
        assert judge.file(targets.Target(".npz", read, list), tmp_path).startswith(outcome)


def test_commands_that_fail_are_seen(monkeypatch):
    def fail():
        raise KeyError("W")

    monkeypatch.setattr(judge.cli, "main", fail)
    assert judge.command([]).startswith("crash: KeyError")
    monkeypatch.setattr(judge.cli, "main", lambda: sys.exit(2))
    assert judge.command([]).startswith("crash: exit status 2")


def test_what_differs_from_numpy_is_seen(tmp_path, monkeypatch):
    (tmp_path / "n.npz").write_bytes(targets.TARGETS["npz"].valid()[0])
    monkeypatch.setattr(judge, "read_arrays", lambda path: {"W": targets.NETWORK["W2"]})
    assert judge.file(targets.TARGETS["npz"], tmp_path / "n.npz") == "crash: W is not what NumPy reads"


LIMITS = """
import sys, time
sys.path.insert(0, sys.argv[1])
import fuzz
fuzz.judge.allow(200)
print(fuzz.limited(lambda: bytes(2**29), 5), fuzz.limited(lambda: time.sleep(60), 0.2))
"""


def test_limits():
    """Too much memory and too much time end the input, not the run."""
    out = subprocess.run([sys.executable, "-c", LIMITS, BENCHMARKS], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.split() == ["memory", "hang"]


def test_changes_are_changes():
    content = bytes(range(256))
    made = [mutate(content, np.random.default_rng(k), [content]) for k in range(50)]
    assert sum(one != content for one in made) > 45 and len(set(made)) > 45
