"""Files that are known and not read: pickles in every disguise, Keras, folders of Orbax and TensorFlow. Each is refused with what to do."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from identify.base.opening import ProblemFileError
from identify.checkpoints import read_arrays


class Program:
    def __reduce__(self):
        return Path.write_text, (Path("executed"), "by reading")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["u.pkl", "u.pickle", "u.joblib", "u.npz", "u.npy", "u", "u.msgpack", "u.eqx", "u.safetensors", "u.onnx"])
@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_not_carried_out(here, name, protocol):
    (here / name).write_bytes(pickle.dumps([Program(), np.ones((2, 2))], protocol=protocol))
    with pytest.raises((ProblemFileError, ImportError)) as caught:
        read_arrays(Path(name))
    assert not Path("executed").exists()
    if name.endswith((".pkl", ".pickle", ".joblib")) or (protocol > 1 and name in ("u.npz", "u.npy", "u")):
        assert caught.value.reason == "is a pickle, which can run any program when it is read"
        assert "numpy.savez(path, *arrays)" in caught.value.advice


def test_what_the_remedy_writes_is_read(here):
    np.savez("sent.npz", np.ones((3, 2)), np.ones(3))
    assert {name: part.shape for name, part in read_arrays(Path("sent.npz")).items()} == {"arr_0": (3, 2), "arr_1": (3,)}


@pytest.mark.parametrize(
    ("inside", "word", "advice"),
    [
        ("_CHECKPOINT_METADATA", "Orbax", "orbax.checkpoint"),
        ("manifest.ocdbt", "Orbax", "numpy.savez"),
        ("saved_model.pb", "TensorFlow", "get_weights"),
        ("model.safetensors", "folder", "model.safetensors"),
        ("pytorch_model.bin", "folder", "pytorch_model.bin"),
        ("notes.txt", "is a folder", "expected a file in it"),
    ],
)
def test_folders(here, inside, word, advice):
    (here / "checkpoint").mkdir()
    (here / "checkpoint" / inside).write_bytes(b"{}")
    with pytest.raises(ProblemFileError) as caught:
        read_arrays(Path("checkpoint"))
    assert word in caught.value.reason and advice in caught.value.advice


@pytest.mark.parametrize(("name", "head"), [("m.h5", b"\x89HDF\r\n\x1a\n"), ("m.weights", b"\x89HDF\r\n\x1a\n"), ("m.keras", b"PK\3\4")])
def test_keras(here, name, head):
    (here / name).write_bytes(head + bytes(100))
    with pytest.raises(ProblemFileError) as caught:
        read_arrays(Path(name))
    assert "Keras" in caught.value.reason and "model.get_weights()" in caught.value.advice


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # files of older versions are what is tested
def test_a_program_of_pytorch(here):
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    torch.save(model, "module.pt")
    torch.jit.script(model).save("script.pt")
    for name, held in (("module.pt", "torch.nn.modules.container.Sequential"), ("script.pt", "TorchScript")):
        with pytest.raises(ProblemFileError) as caught:
            read_arrays(Path(name))
        assert held in caught.value.reason and "state_dict" in caught.value.advice
