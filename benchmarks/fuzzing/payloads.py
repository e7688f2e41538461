"""What a client sends, as files and as objects: arrays without names, two checkpoints, states of JAX's libraries, and pickles.

An update is read beside the model that it belongs to, so that shapes, types and numbers of arrays have to fit or be refused. A program in
a pickle would leave a file behind.
"""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

import identify
from identify.auditing.reading import read
from identify.base.errors import InputError
from identify.checkpoints import read_arrays
from identify.checkpoints.problems import load_network

RNG = np.random.default_rng(11)
MODEL = {"W1": RNG.standard_normal((4, 3)), "b1": RNG.standard_normal(4), "W2": RNG.standard_normal((2, 4)), "b2": RNG.standard_normal(2)}
ODD_TYPES = ("float16", "float32", "int8", "uint8", "int64", "complex128", "bool", "U3", "O", "datetime64[s]", "longdouble")
ODD_NUMBERS = (np.nan, np.inf, -np.inf, 0.0, 1e308, 5e-324)
MARK = "executed"
"""Name of the file that a program in a pickle would write."""


class Program:
    """Its pickle is a program."""

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return Path.write_text, (Path(MARK), "by reading")  # type: ignore[return-value]


def model() -> identify.Network:
    return identify.Network([MODEL["W1"], MODEL["W2"]], biases=[MODEL["b1"], MODEL["b2"]], activation="relu")


def sent() -> list[np.ndarray]:
    """An update in the order of the parameters."""
    return [0.1 * part for part in MODEL.values()]


def archives() -> list[bytes]:
    """``np.savez(path, *arrays)``: all parameters, weights alone, weights as (in, out)."""
    made = []
    for arrays in (sent(), sent()[::2], [part.T for part in sent()]):
        for save in (np.savez, np.savez_compressed):
            buffer = io.BytesIO()
            save(buffer, *arrays)
            made.append(buffer.getvalue())
    return made


def checkpoints() -> list[bytes]:
    """The network after training, with names and without."""
    moved = {name: 1.01 * part for name, part in MODEL.items()}
    named = {f"layers.{k}.{part}": moved[f"{letter}{k}"] for k in (1, 2) for part, letter in (("weight", "W"), ("bias", "b"))}
    made = []
    for names, arrays in (({}, list(moved.values())), (moved, []), (named, [])):
        buffer = io.BytesIO()
        np.savez(buffer, *arrays, **names)
        made.append(buffer.getvalue())
    return made


def tensors() -> list[bytes]:
    """``torch.save([p.grad for p in model.parameters()], path)``, a tuple, and by name."""
    import torch

    own = [torch.tensor(part) for part in sent()]
    made = []
    for content in (own, tuple(own), dict(zip(("0.weight", "0.bias", "2.weight", "2.bias"), own, strict=True)), [*own[:3], None]):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        made.append(buffer.getvalue())
    return made


def read_update(path: Path) -> None:
    """As the gradient of the model, in an audit."""
    read(model(), gradient=path)


def read_steps(path: Path) -> None:
    """As the later of two checkpoints of one training."""
    final, _ = load_network(path)
    identify.KKTSystem.steps(model(), final, learning_rate=0.1, steps=3)


def read_objects(path: Path) -> None:
    """The file is a seed: a list, a tuple or a mapping of arrays as Flower, NNX or a training loop hands them over, some of them odd."""
    rng = np.random.default_rng(int.from_bytes(path.read_bytes(), "little"))
    arrays: list[Any] = [_changed(part, rng) for part in sent()]
    if rng.integers(3) == 0:
        arrays.insert(int(rng.integers(5)), _changed(sent()[0], rng))
    if rng.integers(4) == 0:
        arrays.pop(int(rng.integers(len(arrays))))
    if rng.integers(6) == 0:
        arrays[int(rng.integers(len(arrays)))] = (None, "text", 3, [[1, 2], [3]], {"value": arrays[0]})[rng.integers(5)]
    match rng.integers(4):
        case 0:
            gradient: Any = arrays
        case 1:
            gradient = tuple(arrays)
        case 2:  # NNX and linen
            names = [("layers", str(k // 2), "kernel" if k % 2 == 0 else "bias") for k in range(len(arrays))]
            gradient = {}
            for (outer, layer, name), part in zip(names, arrays, strict=True):
                gradient.setdefault(outer, {}).setdefault(layer, {})[name] = {"value": part} if rng.integers(2) else part
        case _:
            gradient = {f"Dense_{k // 2}/{'kernel' if k % 2 == 0 else 'bias'}": part for k, part in enumerate(arrays)}
    network = [model(), MODEL, arrays][rng.integers(3)]
    try:
        read(network, gradient=gradient, activation="relu" if network is not model else None)
    except TypeError as error:
        if not isinstance(error, InputError):
            raise


def _changed(part: Any, rng: np.random.Generator) -> Any:
    part = np.array(part)
    match rng.integers(9):
        case 0:
            return part.T
        case 1:
            return part.reshape(-1)
        case 2:
            return part[..., :-1]
        case 3:
            return part[None]
        case 4:
            kind = ODD_TYPES[rng.integers(len(ODD_TYPES))]
            with np.errstate(invalid="ignore"):
                return part.astype("int64").astype(kind) if kind.startswith("datetime") else part.astype(kind)
        case 5:
            part.flat[rng.integers(part.size)] = ODD_NUMBERS[rng.integers(len(ODD_NUMBERS))]
            return part
        case 6:
            return np.ma.masked_array(part, rng.random(part.shape) < 0.3)
        case _:
            return part


def seeds() -> list[bytes]:
    return [bytes([4, 0, 0, 0])]


def drawn_seed(content: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    return int(rng.integers(2**32)).to_bytes(4, "little")


def pickles() -> list[bytes]:
    """Lists of arrays and programs, in every protocol."""
    return [pickle.dumps(content, protocol=k) for content in (sent(), MODEL, [Program(), *sent()]) for k in range(6)]


def read_pickle(path: Path) -> None:
    """Under each name that a reader goes by; none may carry out what is in it."""
    content, ended = path.read_bytes(), []
    for suffix in (".pkl", ".npz", ".npy", "", ".msgpack", ".eqx"):
        other = path.with_name(f"sent{suffix}")
        other.write_bytes(content)
        try:
            read_arrays(other)
            ended.append("answered")
        except InputError as error:
            ended.append("refused")
            last = error
        finally:
            other.unlink()
        if os.path.exists(MARK):
            os.unlink(MARK)
            raise RuntimeError(f"carried out what is in {other.name}")
    if "answered" not in ended:
        raise last
