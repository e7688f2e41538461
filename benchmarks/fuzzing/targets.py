"""What is read: valid files of each format, their damaged copies, and the reader."""

from __future__ import annotations

import importlib.util
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import identify
from identify.base.shards import read_shard
from identify.checker.reading import canonical_hash
from identify.checkpoints import ProblemFileError
from identify.checkpoints.problems import load_network, load_problem

from . import payloads
from .drawn import archives
from .mutate import mutate

RNG = np.random.default_rng(7)
NETWORK = {"W1": RNG.standard_normal((4, 3)), "b1": RNG.standard_normal(4), "W2": RNG.standard_normal((2, 4)), "b2": RNG.standard_normal(2)}
PROBLEM = {"W": NETWORK["W1"], "a": NETWORK["W2"][0], "activation": "z + z^2", "target_W": NETWORK["W1"] / 2, "regime": "gradient"}


@dataclass(frozen=True)
class Target:
    """A reader, the end of the names of its files, and the packages that it needs."""

    suffix: str
    read: Callable[[Path], Any]
    make: Callable[[], list[bytes]]
    packages: tuple[str, ...] = ()
    damage: Callable[[bytes, np.random.Generator, list[bytes]], bytes] = mutate
    draw: Callable[[int, int], Iterator[bytes]] | None = None

    def missing(self) -> str | None:
        lacking = [name for name in self.packages if importlib.util.find_spec(name) is None]
        return f"{', '.join(lacking)} not installed" if lacking else None

    @cache  # noqa: B019 (lives as long as the program)
    def valid(self) -> list[bytes]:
        return self.make()

    def inputs(self, count: int, seed: int) -> Iterator[bytes]:
        """Input k depends on the seed and on k only."""
        if self.draw is not None:
            yield from self.draw(count, seed)
            return
        files = self.valid()
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            yield self.damage(files[rng.integers(len(files))], rng, files)


def _saved(save, arrays: dict) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def _npz() -> list[bytes]:
    named = {"fc1.weight": NETWORK["W1"].astype(">f4"), "fc2.weight": np.asfortranarray(NETWORK["W2"])}
    return [_saved(save, arrays) for save in (np.savez, np.savez_compressed) for arrays in (PROBLEM, NETWORK, named)]


def _inside(content: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Half of the time the damage is inside an archive whose checksums are right."""
    if rng.integers(2):
        return mutate(content, rng, others)
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w", old.infolist()[0].compress_type) as new:
        names = old.namelist()
        chosen, members = rng.integers(len(names)), [old.read(name) for name in names]
        for k, (name, member) in enumerate(zip(names, members, strict=True)):
            new.writestr(zipfile.ZipInfo(name), mutate(member, rng, members) if k == chosen else member)
    return made.getvalue()


def _safetensors() -> list[bytes]:
    from safetensors.numpy import save

    single = {"fc1.weight": NETWORK["W1"].astype("float32"), "fc2.weight": NETWORK["W2"].astype("float32")}
    return [save(NETWORK), save(single)]


def _state_dict() -> list[bytes]:
    import torch

    tensors = {"0.weight": torch.tensor(NETWORK["W1"]), "0.bias": torch.tensor(NETWORK["b1"]), "2.weight": torch.tensor(NETWORK["W2"])}
    files = []
    for modern in (True, False):
        buffer = io.BytesIO()
        torch.save({"state_dict": tensors, "epoch": 3}, buffer, _use_new_zipfile_serialization=modern)
        content = buffer.getvalue()
        for number, tensor in enumerate(tensors.values(), 1):  # the old format has addresses, which differ from run to run
            address = str(tensor.untyped_storage()._cdata)
            content = content.replace(address.encode(), str(number).zfill(len(address)).encode())
        files.append(content)
    return files


def _msgpack() -> list[bytes]:
    import msgpack

    def array(value):
        return msgpack.ExtType(1, msgpack.packb((value.shape, value.dtype.name, value.tobytes())))

    dense = {f"Dense_{k}": {"kernel": NETWORK[f"W{k + 1}"].T.copy(), "bias": NETWORK[f"b{k + 1}"]} for k in (0, 1)}
    pieces = {"__msgpack_chunked_array__": True, "shape": {"0": 3}, "chunks": {"0": np.ones(2), "1": np.ones(1)}}
    nnx = {"layers": {str(k): {name: {"value": part} for name, part in dense[f"Dense_{k}"].items()} for k in (0, 1)}}
    trees = [{"params": dense}, {"params": dense, "step": 3, "other": pieces}, nnx]
    return [msgpack.packb(tree, default=array, strict_types=True) for tree in trees]


def _equinox() -> list[bytes]:
    buffer = io.BytesIO()
    for value in NETWORK.values():
        np.save(buffer, value)
    return [buffer.getvalue()]


def _onnx() -> list[bytes]:
    import onnx
    from onnx import helper

    files = []
    for middle in ([("Relu", ["h"], ["s"])], [("Mul", ["h", "h"], ["p"]), ("Add", ["p", "h"], ["s"])]):
        nodes = [helper.make_node("Gemm", ["x", "W1", "b1"], ["h"], transB=1), *(helper.make_node(*parts) for parts in middle)]
        nodes += [helper.make_node("Gemm", ["s", "W2", "b2"], ["y"], transB=1)]
        ends = [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in ("x", "y")]
        tensors = [onnx.numpy_helper.from_array(value, name) for name, value in NETWORK.items()]
        files.append(helper.make_model(helper.make_graph(nodes, "net", ends[:1], ends[1:], tensors)).SerializeToString())
    return files


def _certificates() -> list[bytes]:
    sizes = {"inputs": 2, "samples": 1, "width": 3, "activation": "z + z^2"}
    system, truth = identify.Configuration(**sizes).plant(0)
    reports = [identify.check(identify.Configuration(**sizes)), identify.check(system, data=(truth.X, truth.c))]
    return [report.certificate().to_json().encode() for report in reports]


def _claim(content: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Half of the time a value is replaced by another and the hash is right."""
    if rng.integers(2):
        return mutate(content, rng, others)
    certificate = json.loads(content)
    places: list[tuple[Any, Any]] = []

    def walk(value):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            places.append((value, key))
            if isinstance(item, (dict, list)):
                walk(item)

    walk(certificate)
    for _ in range(int(rng.integers(1, 4))):
        owner, key = places[rng.integers(len(places))]
        strange = [None, True, -1, 0, 1, 2, 10**6, 10**30, "", "0x0.0p+0", "0x1p+1023", "1/3", "z", [], {}, [[]], [1, 2], [0] * 50]
        other, its_key = places[rng.integers(len(places))]
        if isinstance(owner, dict) or key < len(owner):
            chosen = rng.integers(len(strange) + 6)
            owner[key] = strange[chosen] if chosen < len(strange) else json.loads(json.dumps(_at(other, its_key)))
    if isinstance(certificate.get("sha256"), dict):
        certificate["sha256"]["content"] = canonical_hash({name: value for name, value in certificate.items() if name != "sha256"})
    return json.dumps(certificate).encode()


def _at(owner: Any, key: Any) -> Any:
    return owner.get(key) if isinstance(owner, dict) else owner[key] if key < len(owner) else None


def _both(path: Path) -> None:
    """As a problem, and as a network."""
    try:
        load_problem(path)
    except ProblemFileError:
        load_network(path)


TARGETS = {
    "npz": Target(".npz", _both, _npz, damage=_inside),
    "arrays": Target(".npz", _both, _npz, ("hypothesis",), draw=archives),
    "safetensors": Target(".safetensors", load_network, _safetensors, ("safetensors",)),
    "state_dict": Target(
        ".pt", load_network, _state_dict, ("torch",), damage=lambda c, r, o: (_inside if c[:2] == b"PK" else mutate)(c, r, o)
    ),
    "msgpack": Target(".msgpack", load_network, _msgpack, ("msgpack",)),
    "equinox": Target(".eqx", load_network, _equinox),
    "onnx": Target(".onnx", load_network, _onnx, ("onnx",)),
    "update, npz": Target(".npz", payloads.read_update, payloads.archives, damage=_inside),
    "update, pt": Target(".pt", payloads.read_update, payloads.tensors, ("torch",), damage=_inside),
    "two checkpoints": Target(".npz", payloads.read_steps, payloads.checkpoints, damage=_inside),
    "payloads": Target(".seed", payloads.read_objects, payloads.seeds, damage=payloads.drawn_seed),
    "pickles": Target(".bytes", payloads.read_pickle, payloads.pickles),
    "shard": Target(".npz", lambda path: read_shard(path, {"W1": 2}), _npz, damage=_inside),
    "certificate": Target(".json", identify.verify, _certificates, damage=_claim),
}
