"""Arrays from files of trained networks, and the layers among them.

NumPy, safetensors, PyTorch, Flax, Equinox and ONNX. Nothing in a file is executed: archives are read without pickles, PyTorch loads
weights only, by a version whose reader of weights is safe, and the size that a file claims is checked before memory is allocated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from identify.base.npy import MAGIC, read_leaves, read_npz
from identify.base.opening import ProblemFileError, opened, refuse_foreign
from identify.checkpoints.graphs import read_graph
from identify.checkpoints.naming import layers
from identify.checkpoints.pytrees import is_map, read_pytree
from identify.checkpoints.tensors import read_safetensors, read_state_dict

TORCH, LEAVES, PYTREES = (".pt", ".pth", ".bin", ".ckpt"), (".eqx", ".npy"), (".msgpack", ".flax")

__all__ = ["ProblemFileError", "layers", "read_arrays"]


def read_arrays(path: Path, *, trust: bool = False) -> dict[str, np.ndarray]:
    """Every array of a file, by name, in the byte order of this machine.

    The end of the name says the format: ``.npz``; ``.safetensors``; ``.pt``, ``.pth``, ``.bin``, ``.ckpt`` (PyTorch); ``.msgpack``,
    ``.flax``; ``.eqx``, ``.npy``; ``.onnx``. The format of other files is told from their first bytes. ``trust`` says that the file is
    known to be harmless, which a PyTorch older than 2.10 cannot tell.

    Raises
    ------
    ProblemFileError
        For a file that cannot be read, or is damaged.
    UntrustedFileError
        For PyTorch's formats with a PyTorch older than 2.10, unless ``trust``.
    MissingExtraError
        For a format whose package is not installed.
    TooLargeError
        When the arrays would not fit in memory; nothing is allocated.
    """
    size, head = opened(path)
    refuse_foreign(path, head)
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return read_safetensors(path, size)
    if suffix in TORCH:
        return read_state_dict(path, size, trust=trust)
    if suffix == ".onnx":
        return read_graph(path, size, head)
    if suffix in LEAVES or (suffix != ".npz" and head.startswith(MAGIC)):
        return read_leaves(path, size)
    if suffix in PYTREES or (suffix != ".npz" and is_map(head)):
        return read_pytree(path, size, head)
    return read_npz(path, size)
