"""``.safetensors`` and PyTorch's ``state_dict``: weights only, and nothing in a file is executed.

PyTorch reads weights from a pickle. Until version 2.10 a file could run code of its own even so, and such a version reads only the
files that the caller trusts.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from identify.base.extras import needed
from identify.base.limits import TooLargeError
from identify.base.opening import OPTIMISER, ProblemFileError, plain, reason_of, refuse_bomb, refuse_large, shown
from identify.checkpoints.payloads import numbered
from identify.checkpoints.pickles import foreign_name

SAFE = (2, 10)
"""The first version of PyTorch whose reader of weights runs no code of a file, as far as is known."""
ADVISORIES = {"CVE-2025-32434": (2, 6), "CVE-2026-24747": (2, 10)}
"""Ways to run code in spite of ``weights_only=True``, and the version of PyTorch that closed each."""
SCRIPT = "constants.pkl"
"""The entry by which PyTorch tells the archive of a program, TorchScript, from that of weights."""


class UntrustedFileError(ProblemFileError):
    """A ``state_dict`` that the installed PyTorch cannot read safely. ``version`` is that of PyTorch."""

    def __init__(self, path: Path, version: str) -> None:
        self.version = version
        known = ", ".join(f"{name} before {major}.{minor}" for name, (major, minor) in ADVISORIES.items())
        super().__init__(
            path,
            f"is not read by PyTorch {version}, which can run code that a file holds although it loads weights only ({known})",
            "write it with safetensors.torch.save_file, install PyTorch 2.10 or newer, or say that you trust the file: trust=True "
            "(--trust on the command line)",
        )


def read_safetensors(path: Path, size: int) -> dict[str, np.ndarray]:
    needed("safetensors", f"{path}: reading it")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    refuse_large(path, size)
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProblemFileError(path, f"cannot be read ({reason_of(error)})", "expected .safetensors with types that NumPy has") from None
    return {name: plain(path, name, value) for name, value in arrays.items()}


def read_state_dict(path: Path, size: int, *, trust: bool = False) -> dict[str, np.ndarray]:
    """Tensors by name; those of the optimiser are left out."""
    torch = needed("torch", f"{path}: reading it", advice=", or save the arrays with numpy.savez")
    if not (trust or is_safe(torch.__version__)):
        raise UntrustedFileError(path, str(torch.__version__))
    refuse_large(path, size)
    largest, entries = size, _entries(path)
    if entries:
        largest = refuse_bomb(path, size, entries)
    try:
        with warnings.catch_warnings(action="ignore"):  # of files that are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except TooLargeError:
        raise
    except Exception:  # torch raises whatever its unpickler meets, in words that say how to run what the file holds
        reason = f"cannot be read as weights only ({_reason(path, entries)})"
        raise ProblemFileError(path, reason, "expected torch.save(model.state_dict(), ...)") from None
    if isinstance(content, (list, tuple)):  # gradients in the order of parameters
        content = numbered(content)
    tensors = dict(_tensors(content, torch.Tensor)) if isinstance(content, dict) else {}
    if not tensors:
        raise ProblemFileError(
            path, f"holds {type(content).__name__}", "expected tensors by name, as model.state_dict() gives them, or a list of tensors"
        )
    refuse_large(path, sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()))
    for name, tensor in tensors.items():
        if tensor.numel() * tensor.element_size() > largest:
            raise ProblemFileError(path, f"{shown(name)} of shape {tuple(tensor.shape)} is larger than the file", "expected a dense tensor")
    return {name: _array(path, name, tensor) for name, tensor in tensors.items()}


def is_safe(version: object) -> bool:
    """Whether this version of PyTorch is 2.10 or newer; one that cannot be read is not, and neither is one from before a release."""
    number = re.match(r"(\d+)\.(\d+)(?:\.\d+)*(a|b|rc|\.?dev)?", str(version))
    if number is None:
        return False
    release = int(number[1]), int(number[2])
    return release > SAFE or (release == SAFE and number[3] is None)


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    """The entries of an archive; none for other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []


def _reason(path: Path, entries: list[zipfile.ZipInfo]) -> str:
    """Why PyTorch does not read the file, from the file itself."""
    if any(entry.filename.rpartition("/")[2] == SCRIPT for entry in entries):
        return "it is TorchScript, a program"
    held = foreign_name(path, entries)
    return "it is damaged, or not from torch.save" if held is None else f"it holds {shown(held)}"


def _tensors(content: dict, kind: type, prefix: str = "", depth: int = 8) -> Iterator[tuple[str, Any]]:
    """Tensors at any depth: training loops save the state_dict beside an epoch and the optimiser."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, kind):
            yield name, value
        elif isinstance(value, dict) and depth and not OPTIMISER.fullmatch(str(key)):
            yield from _tensors(value, kind, f"{name}.", depth - 1)


def _array(path: Path, name: str, tensor: Any) -> np.ndarray:
    import torch

    try:
        tensor = tensor.detach()
        return (tensor.to(torch.float32) if tensor.dtype is torch.bfloat16 else tensor).numpy()
    except (TypeError, RuntimeError):
        kind = f"{tensor.layout}, {tensor.dtype}".replace("torch.", "")
        raise ProblemFileError(path, f"{shown(name)} cannot be read ({kind})", "expected a dense tensor of numbers") from None
