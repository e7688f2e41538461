"""``.safetensors`` and PyTorch's ``state_dict``: weights only, nothing in a file is executed."""

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


def read_safetensors(path: Path, size: int) -> dict[str, np.ndarray]:
    needed("safetensors", f"{path}: reading it")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    refuse_large(path, size)
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProblemFileError(f"{path}: cannot be read ({reason_of(error)}); expected .safetensors with types that NumPy has") from None
    return {name: plain(path, name, value) for name, value in arrays.items()}


def read_state_dict(path: Path, size: int) -> dict[str, np.ndarray]:
    """Tensors by name; those of the optimiser are left out."""
    torch = needed("torch", f"{path}: reading it", advice=", or save the arrays with numpy.savez")
    refuse_large(path, size)
    try:
        largest = size
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                largest = refuse_bomb(path, size, archive.infolist())
        with warnings.catch_warnings(action="ignore"):  # of files that are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (ProblemFileError, TooLargeError):
        raise
    except Exception as error:  # torch raises whatever its unpickler meets
        raise _unread(path, error) from None
    found = dict(_tensors(content, torch.Tensor)) if isinstance(content, dict) else {}
    if not found:
        raise ProblemFileError(f"{path}: holds {type(content).__name__}; expected tensors by name, as model.state_dict() gives them")
    refuse_large(path, sum(tensor.numel() * tensor.element_size() for tensor in found.values()))
    for name, tensor in found.items():
        if tensor.numel() * tensor.element_size() > largest:
            raise ProblemFileError(f"{path}: {shown(name)} of shape {tuple(tensor.shape)} is larger than the file; expected a dense tensor")
    return {name: _array(path, name, tensor) for name, tensor in found.items()}


def _unread(path: Path, error: Exception) -> ProblemFileError:
    # not in torch's words, which say how to run what the file holds
    said = str(error)
    held = re.search(r"GLOBAL (\S+)", said)
    if held:
        reason = f"it holds {shown(held[1])}"
    elif "TorchScript" in said:
        reason = "it is TorchScript, a program"
    else:
        reason = "it is damaged, or not from torch.save"
    return ProblemFileError(f"{path}: cannot be read as weights only ({reason}); expected torch.save(model.state_dict(), ...)")


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
        raise ProblemFileError(f"{path}: {shown(name)} cannot be read ({kind}); expected a dense tensor of numbers") from None
