"""Arrays from files of trained networks, and the layers among them: ``.npz``, ``.safetensors``, and PyTorch's ``state_dict``.

Nothing in a file is executed: archives are read without pickles, and PyTorch loads weights only.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np

from identify.limits import refuse_above

TORCH = (".pt", ".pth", ".bin")
OWN_NAMES = re.compile(r"[Wb][1-9]\d*")
WEIGHTS, BIAS = ("weight", "kernel"), "bias"
"""How frameworks call them; a kernel is (inputs, outputs), a weight (outputs, inputs)."""


class ProblemFileError(ValueError):
    """A file that is not a readable problem or network."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of a file, by name.

    Raises
    ------
    ProblemFileError
        For a file that cannot be read, or a package that reading it needs.
    TooLargeError
        When the arrays would not fit in memory; nothing is allocated.
    """
    if not path.is_file():
        raise ProblemFileError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    return _state_dict(path) if path.suffix in TORCH else _npz(path)


def layers(arrays: dict[str, np.ndarray], where: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Weights (out, in) and biases as ``W1``, ``b1``, ``W2``, ..., and the arrays that are none.

    Names are either these, or end in ``weight`` or ``kernel`` and ``bias``, as frameworks write them, in the order of their numbers.
    Raises ProblemFileError where the layers do not follow from one another.
    """
    own = {name: value for name, value in arrays.items() if OWN_NAMES.fullmatch(name)}
    if "W1" in own:
        return own, {name: value for name, value in arrays.items() if name not in own}
    found = {name: value.T if name.endswith(WEIGHTS[1]) else value for name, value in arrays.items() if name.endswith(WEIGHTS)}
    listed = ", ".join(f"{name} {value.shape}" for name, value in arrays.items()) or "nothing"
    if len(found) < 2 or any(value.ndim != 2 for value in found.values()):
        expected = "W1, W2, ... and b1, ... for biases, or names that end in weight (or kernel) and bias"
        raise ProblemFileError(f"{where}: holds {listed}; expected {expected}, two or more layers of weights with two dimensions")
    order = sorted(found, key=_natural)
    for before, after in zip(order, order[1:], strict=False):
        if len(found[before]) != found[after].shape[1]:
            raise ProblemFileError(f"{where}: {after} does not take what {before} gives; the file holds {listed}")
    named, used = {}, set(order)
    for k, name in enumerate(order, 1):
        bias = re.sub(f"({'|'.join(WEIGHTS)})$", BIAS, name)
        named[f"W{k}"] = found[name]
        if bias in arrays:
            named[f"b{k}"] = arrays[bias]
            used.add(bias)
    return named, {name: value for name, value in arrays.items() if name not in used}


def _natural(name: str) -> list[tuple[int, str]]:
    """layer2 before layer10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_above(2 * sum(entry.file_size for entry in archive.infolist()), f"{path.name}")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except zipfile.BadZipFile:
        raise ProblemFileError(f"{path}: not an .npz archive; expected one written by numpy.savez or identify.save_problem") from None
    # NotImplementedError is what zipfile raises for a compression it does not know
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.LargeZipFile) as error:
        if isinstance(error, ValueError) and type(error) is not ValueError:
            raise
        raise ProblemFileError(f"{path}: cannot be read ({error}); expected arrays of numbers and texts, without pickles") from None


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise ProblemFileError(f"{path}: reading it needs the package safetensors; pip install safetensors") from None
    refuse_above(2 * path.stat().st_size, path.name)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ProblemFileError(f"{path}: cannot be read ({error}); expected .safetensors with types that NumPy has") from None


def _state_dict(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise ProblemFileError(f"{path}: reading it needs PyTorch; pip install torch, or save the arrays with numpy.savez") from None
    refuse_above(2 * path.stat().st_size, path.name)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler meets
        reason = str(error).partition("\n")[0]
        raise ProblemFileError(f"{path}: cannot be read as weights only ({reason}); expected torch.save(model.state_dict(), ...)") from None
    if not (isinstance(content, dict) and content and all(isinstance(value, torch.Tensor) for value in content.values())):
        raise ProblemFileError(f"{path}: holds {type(content).__name__}; expected tensors by name, as model.state_dict() gives them")
    return {str(name): _array(path, str(name), value) for name, value in content.items()}


def _array(path: Path, name: str, tensor) -> np.ndarray:
    import torch

    try:
        tensor = tensor.detach()
        return (tensor.to(torch.float32) if tensor.dtype is torch.bfloat16 else tensor).numpy()
    except (TypeError, RuntimeError) as error:
        raise ProblemFileError(f"{path}: {name} cannot be read ({error}); expected a dense tensor of numbers") from None
