"""Networks from the files that frameworks write."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

from identify.base.extras import MissingExtraError
from identify.checkpoints import ProblemFileError, layers
from identify.checkpoints.problems import load_network

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
            ({"a.weight": W1, "b.weight": np.ones((3, 3, 1, 1))}, "with two dimensions"),
            ({"a.weight": W1, "b.weight": W3}, "b.weight does not take what a.weight gives"),
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
        assert repr(network) == "MLP(4-6-5, relu)" and not rest
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
        torch.save([torch.ones(2)], tmp_path / "list.pt")
        with pytest.raises(ProblemFileError, match="holds list; expected tensors by name"):
            load_network(tmp_path / "list.pt")
