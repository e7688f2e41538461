"""Flax's pytrees in msgpack, as ``to_bytes`` and ``msgpack_serialize`` of ``flax.serialization`` write them: maps, arrays inside.

Read with the package msgpack, under limits, and without Flax. Names are the keys on the way, joined by ``/``; the optimiser is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from identify.base.errors import InputError
from identify.base.extras import needed
from identify.base.opening import OPTIMISER, ProblemFileError, plain, reason_of, refuse_large

ARRAY, SCALAR = 1, 3
"""Extension types of flax.serialization; 2 is a complex number, which no network has."""
CHUNKED = "__msgpack_chunked_array__"
DTYPES = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|bfloat16|complex(64|128)")
EXPECTED = "expected a file written by flax.serialization.to_bytes"
MAX_KEYS, MAX_ITEMS, MAX_DEPTH = 100_000, 64, 32


def is_map(head: bytes) -> bool:
    """Whether msgpack that begins so is a map."""
    return head[0] in range(0x80, 0x90) or head[0] in (0xDE, 0xDF)


def read_pytree(path: Path, size: int, head: bytes) -> dict[str, np.ndarray]:
    msgpack = needed("msgpack", f"{path}: reading it")
    if not is_map(head):
        raise ProblemFileError(path, "is not a map in msgpack", EXPECTED)
    refuse_large(path, size)
    # lists are allocated as long as they say, so they may not say much
    limits = {"max_array_len": MAX_ITEMS, "max_map_len": MAX_KEYS, "strict_map_key": False, "raw": False}

    def extension(code: int, data: bytes) -> Any:
        if code not in (ARRAY, SCALAR):
            return None
        shape, dtype, content = msgpack.unpackb(data, max_ext_len=0, **limits)
        if not (isinstance(dtype, str) and DTYPES.fullmatch(dtype) and all(type(n) is int and 0 <= n < 2**48 for n in shape)):
            raise InputError(f"an array of type {dtype!r}")
        if dtype == "bfloat16":  # the upper half of a float32
            return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
        return np.frombuffer(bytearray(content), np.dtype(dtype).newbyteorder("<")).reshape(shape)

    try:
        tree = msgpack.unpackb(path.read_bytes(), ext_hook=extension, object_pairs_hook=_once, **limits)
        return {name: plain(path, name, value) for name, value in _leaves(tree)}
    except ProblemFileError:
        raise
    # what msgpack raises has no common ancestor
    except (ValueError, TypeError, OverflowError, KeyError, RecursionError, OSError, msgpack.exceptions.UnpackException) as error:
        raise ProblemFileError(path, f"cannot be read ({reason_of(error)})", EXPECTED) from None


def _once(given: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """A map, if its keys are texts or, as ``nnx.List`` has them, small integers, and each appears once."""
    pairs = list(given)  # msgpack without its compiled part gives a generator
    if not all(isinstance(key, str) or (type(key) is int and 0 <= key < MAX_KEYS) for key, _ in pairs):
        raise InputError("a key that is neither a text nor the number of a layer")
    entries = {str(key): value for key, value in pairs}
    if len(entries) < len(pairs):
        raise InputError("a name appears twice")
    return entries


def _leaves(tree: dict[str, Any], prefix: str = "", depth: int = MAX_DEPTH) -> Iterator[tuple[str, np.ndarray]]:
    if not depth:
        raise InputError(f"maps more than {MAX_DEPTH} deep")
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and CHUNKED in value:
            yield name, _joined(value)
        elif isinstance(value, dict):
            if not OPTIMISER.fullmatch(str(key)):
                yield from _leaves(value, f"{name}/", depth - 1)
        elif isinstance(value, (np.ndarray, bool, int, float, str)) and not (type(value) is int and abs(value) >= 2**63):
            yield name, np.asarray(value)


def _joined(parts: dict[str, Any]) -> np.ndarray:
    """An array that Flax cut into pieces because msgpack has no larger ones."""
    shape, chunks = parts["shape"], parts["chunks"]
    if not (isinstance(shape, dict) and isinstance(chunks, dict) and all(isinstance(piece, np.ndarray) for piece in chunks.values())):
        raise InputError("pieces that are not arrays")
    array = np.concatenate([chunks[str(k)].reshape(-1) for k in range(len(chunks))])
    sizes = [shape[str(k)] for k in range(len(shape))]
    if not all(type(n) is int and n >= 0 for n in sizes) or prod(sizes) != array.size:
        raise InputError("pieces that do not make up the array")
    return array.reshape(sizes)
