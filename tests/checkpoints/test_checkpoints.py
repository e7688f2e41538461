"""Networks from the files that frameworks write."""

from __future__ import annotations

import datetime
import pickle
import sys
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from support.command_line import run

import identify as idf
from identify.base.extras import MissingExtraError
from identify.checkpoints import ProblemFileError, layers
from identify.checkpoints.pickles import names
from identify.checkpoints.problems import load_arrays, load_network
from identify.checkpoints.tensors import UntrustedFileError

RNG = np.random.default_rng(0)
W1, b1, W2, b2, W3 = (RNG.standard_normal(shape) for shape in ((6, 4), 6, (5, 6), 5, (1, 5)))


class TestLayers:
    def test_names_of_frameworks(self):
        named, rest = layers(
            {"layer10.weight": W3, "layer2.bias": b2, "layer2.weight": W2, "layer1.weight": W1, "steps": np.ones(1)}, "file"
        )
        assert list(named) == ["W1", "W2", "b2", "W3"] and set(rest) == {"steps"}
        assert all(named[name] is value for name, value in (("W1", W1), ("W2", W2), ("b2", b2), ("W3", W3)))

    def test_kernels_are_transposed(self):
        named, _ = layers({"params/Dense_0/kernel": W1.T, "params/Dense_0/bias": b1, "params/Dense_1/kernel": W2.T}, "file")
        assert np.array_equal(named["W1"], W1) and np.array_equal(named["b1"], b1) and np.array_equal(named["W2"], W2)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({}, "holds nothing; expected W1, W2"),
            ({"a.weight": W1}, r"holds a.weight \(6, 4\)"),
            ({"a.weight": W1, "b.weight": np.ones((3, 3, 1, 1))}, "a convolution"),
            ({"a.weight": W1, "b.weight": W3}, "b.weight does not take the outputs of a.weight"),
        ],
    )
    def test_what_is_no_network(self, arrays, message):
        with pytest.raises(ProblemFileError, match=message):
            layers(arrays, "file")


class TestSafetensors:
    def test_read(self, tmp_path):
        numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
        path = tmp_path / "net.safetensors"
        numpy.save_file({"fc1.weight": W1.astype("float32"), "fc1.bias": b1.astype("float32"), "fc2.weight": W2.astype("float32")}, path)
        network, rest = load_network(path)
        assert repr(network).startswith("Network(4-6-5, relu, ") and not rest
        assert np.array_equal(network.parameters["W1"], W1.astype("float32")) and network.parameters["W1"].dtype == float

    @pytest.mark.parametrize("content", [b"\0" * 8, b"\xff" * 8, b"\x10" + b"\0" * 7 + b"not a header, no"])
    def test_damaged(self, tmp_path, content):
        pytest.importorskip("safetensors", reason="safetensors is not installed")
        (tmp_path / "net.safetensors").write_bytes(content)
        with pytest.raises(ProblemFileError, match="cannot be read"):
            load_network(tmp_path / "net.safetensors")

    def test_without_the_package(self, tmp_path, monkeypatch):
        (tmp_path / "net.safetensors").write_bytes(b"any")
        monkeypatch.setitem(sys.modules, "safetensors", None)
        with pytest.raises(MissingExtraError, match=r'pip install "kkt-identify\[checkpoints\]"'):
            load_network(tmp_path / "net.safetensors")


class TestStateDict:
    def test_without_the_package(self, tmp_path, monkeypatch):
        (tmp_path / "net.pt").write_bytes(b"any")
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(MissingExtraError, match="pip install torch"):
            load_network(tmp_path / "net.pt")

    def test_refusals_are_not_in_the_words_of_torch(self, tmp_path, recwarn):
        """Which say how to run what the file holds."""
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        for name, content, reason in [
            ("module", torch.nn.Linear(2, 2), "it holds torch.nn.modules.linear.Linear"),
            ("array", {"W": np.zeros(3)}, "it holds numpy"),
        ]:
            torch.save(content, tmp_path / f"{name}.pt")
            with pytest.raises(ProblemFileError, match=rf"cannot be read as weights only \({reason}") as caught:
                load_network(tmp_path / f"{name}.pt")
            assert "weights_only" not in str(caught.value)
        (tmp_path / "pickled.pt").write_bytes(pickle.dumps({"W": 1}))
        with pytest.raises(ProblemFileError, match="it is damaged, or not from torch.save"):
            load_network(tmp_path / "pickled.pt")
        assert not recwarn.list

    def test_read(self, tmp_path):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 1, bias=False)).to(torch.bfloat16)
        torch.save(model.state_dict(), tmp_path / "net.pt")
        network, _ = load_network(tmp_path / "net.pt")
        assert np.array_equal(network.parameters["b1"], model[0].bias.detach().float().numpy()) and set(network.parameters) == {
            "W1",
            "b1",
            "W2",
        }

    def test_nothing_is_executed(self, tmp_path):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        flag = tmp_path / "executed"

        class Trap:
            def __reduce__(self):
                return (open, (str(flag), "w"))

        for name, write in (
            ("zip.pt", lambda path: torch.save({"0.weight": Trap()}, path)),
            ("raw.pt", lambda p: p.write_bytes(pickle.dumps(Trap()))),
        ):
            write(tmp_path / name)
            with pytest.raises(ProblemFileError, match="cannot be read as weights only"):
                load_network(tmp_path / name)
        assert not flag.exists()

    def test_tensors_by_name_are_expected(self, tmp_path):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        torch.save(torch.ones(2), tmp_path / "tensor.pt")
        with pytest.raises(ProblemFileError, match="holds Tensor; expected tensors by name"):
            load_network(tmp_path / "tensor.pt")

    def test_a_list_of_tensors_is_not_a_network(self, tmp_path):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        torch.save([torch.ones(2)], tmp_path / "list.pt")
        with pytest.raises(ProblemFileError, match=r"holds arr_0 \(2,\); expected W1, W2"):
            load_network(tmp_path / "list.pt")


@pytest.fixture
def torch_of(monkeypatch):
    """A PyTorch of another version, which must not be asked to load anything unless the file is trusted."""

    def install(version: str) -> list[object]:
        asked: list[object] = []

        def load(path, **options):
            asked.append(options)
            raise RuntimeError("loaded")

        module = ModuleType("torch")
        module.__version__, module.load = version, load
        monkeypatch.setitem(sys.modules, "torch", module)
        return asked

    return install


class TestTrust:
    @pytest.mark.parametrize("version", ["1.13.1", "2.5.1+cu121", "2.6.0", "2.9.1", "2.10.0a0+git1", "2.10.0rc1", "2.10.0.dev1", "none"])
    @pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt"])
    def test_an_older_pytorch_reads_no_file_of_others(self, tmp_path, torch_of, version, suffix):
        asked = torch_of(version)
        path = tmp_path / f"net.{suffix}"
        path.write_bytes(b"any")
        for load in (load_network, idf.load_problem, load_arrays):
            with pytest.raises(UntrustedFileError, match="CVE-2025-32434 before 2.6, CVE-2026-24747 before 2.10") as refusal:
                load(path)
            assert refusal.value.where == path and refusal.value.version == version and not asked
            assert "safetensors" in refusal.value.advice and "trust=True" in refusal.value.advice
            with pytest.raises(ProblemFileError, match="cannot be read as weights only"):
                load(path, trust=True)
            assert asked.pop()["weights_only"] is True and not asked

    @pytest.mark.parametrize("version", ["2.10.0", "2.10.0+cpu", "2.13.0+cpu", "3.0.0", "2.11.0a0+git1"])
    def test_a_safe_pytorch_reads(self, tmp_path, torch_of, version):
        asked = torch_of(version)
        (tmp_path / "net.pt").write_bytes(b"any")
        with pytest.raises(ProblemFileError, match="cannot be read as weights only"):
            load_network(tmp_path / "net.pt")
        assert len(asked) == 1

    def test_audits(self, tmp_path, torch_of):
        asked = torch_of("2.9.1")
        np.savez(tmp_path / "net.npz", W1=W1, W2=W2)
        (tmp_path / "net.pt").write_bytes(b"any")
        model, other = tmp_path / "net.npz", tmp_path / "net.pt"
        for arguments in ({"model": other}, *({"model": model, name: other} for name in ("initial", "gradient", "data"))):
            with pytest.raises(UntrustedFileError):
                idf.audit(**arguments, activation="relu")
            with pytest.raises(ProblemFileError, match="weights only"):
                idf.audit(**arguments, activation="relu", trust=True)
            assert len(asked) == 1
            asked.clear()

    @pytest.mark.parametrize(
        "command",
        [
            ["check", "FILE", "-n", 1],
            ["recover", "FILE"],
            ["kkt", "FILE", "-n", 1],
            ["audit", "FILE"],
            ["attack", "FILE"],
            ["attack", "NETWORK", "--data", "FILE"],
            ["attack", "NETWORK", "--method", "loo", "--initial", "FILE"],
            ["audit", "NETWORK", "-a", "relu", "--gradient", "FILE"],
            ["verify", "PROOF", "--problem", "FILE"],
        ],
    )
    def test_on_the_command_line(self, tmp_path, torch_of, monkeypatch, capsys, command):
        asked = torch_of("2.9.1")
        np.savez(tmp_path / "net.npz", W1=W1, W2=W2)
        (tmp_path / "net.pt").write_bytes(b"any")
        (tmp_path / "proof.json").write_text("{}")
        names = {"FILE": tmp_path / "net.pt", "NETWORK": tmp_path / "net.npz", "PROOF": tmp_path / "proof.json"}
        words = [names.get(word, word) for word in command]
        status, _, err = run(monkeypatch, capsys, *words)
        assert status == 2 and "CVE-2026-24747" in err and "--trust" in err and not asked
        status, _, err = run(monkeypatch, capsys, *words, "--trust")
        assert status == 2 and "weights only" in err and len(asked) == 1


class TestPickles:
    """Names are read from the instructions, whatever the protocol."""

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_names(self, protocol):
        held = [OrderedDict(a=1), Fraction(1, 2), OrderedDict(b=2), Path("x"), "Fraction", "fractions"]
        found = list(names(pickle.dumps(held, protocol)))
        own = [name for name in found if not name.startswith(("copy", "__builtin__"))]  # up to protocol 1 helpers rebuild objects
        assert own[:2] == ["collections.OrderedDict", "fractions.Fraction"]
        assert found[-1].startswith("pathlib") and all("." in name for name in found)

    def test_names_that_appear_again(self):
        """A protocol with a memo gives the module once."""
        held = [Fraction, Fraction(1, 2), datetime.date(2000, 1, 1), datetime.timedelta(1), datetime.date]
        assert list(names(pickle.dumps(held, 4))) == ["fractions.Fraction", "datetime.date", "datetime.timedelta"]

    @pytest.mark.parametrize("content", [b"", b"\x80", b"no pickle", b"cos\n", b"\x80\x02h\x05."])
    def test_damaged(self, content):
        assert not list(names(content))

    def test_cut_at_every_byte(self):
        content = pickle.dumps([Fraction(1, 2), OrderedDict(a=1)], 4)
        whole = list(names(content))
        for cut in range(len(content)):
            found = list(names(content[:cut]))
            assert found == whole[: len(found)]


def test_errors_travel_between_processes(tmp_path):
    """All of the package, whatever their constructors take."""
    made = [
        UntrustedFileError(tmp_path / "net.pt", "2.9.1"),
        ProblemFileError("file", "is damaged", "write it again"),
        MissingExtraError("onnx", "reading"),
        idf.TooLargeError("a matrix", 2**40, 2**30),
        idf.InputError("samples: received 0"),
    ]
    for error in made:
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error) and str(copy) == str(error) and vars(copy) == vars(error)
