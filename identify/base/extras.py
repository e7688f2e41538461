"""Optional packages: which extra brings each, and the one line that says so if it is missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from identify.base.errors import InputError

EXTRAS = {
    "msgpack": "checkpoints",
    "safetensors": "checkpoints",
    "onnx": "onnx",
    "fpdf": "demo",
    "jinja2": "demo",
    "matplotlib": "demo",
    "mlxtend": "demo",
    "sklearn": "demo",
    "skimage": "faces",
    "distributed": "cluster",
    "pandas": "tables",
    "xarray": "tables",
}
"""The extras of pyproject.toml, by the name that is imported."""
DRAWING = "drawing a picture"
TITLES = {
    "fpdf": "fpdf2",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "distributed": "Dask's package distributed",
    "torch": "PyTorch",
}


class MissingExtraError(InputError, ImportError):
    """An optional package is not installed: ``package`` is what is imported, ``extra`` the group that brings it (None: no group)."""

    def __init__(self, package: str, purpose: str, advice: str = "") -> None:
        self.package = package
        self.extra = EXTRAS.get(package)
        wanted = package if self.extra is None else f'"kkt-identify[{self.extra}]"'
        super().__init__(f"{purpose} needs {TITLES.get(package, package)}, which is not installed; pip install {wanted}{advice}")


def needed(package: str, purpose: str, *, advice: str = "") -> ModuleType:
    """The optional package, imported; raises :class:`MissingExtraError`, whose message begins with ``purpose``."""
    try:
        return import_module(package)
    except ImportError:
        raise MissingExtraError(package, purpose, advice) from None
