"""The page for a new user with a classifier of their own: its blocks run, for each framework that is installed."""

import re
from pathlib import Path

import numpy as np
import pytest

import identify as idf

PAGE = Path(__file__).parents[2] / "docs" / "own-classifier.md"
BLOCK = re.compile(r"^```python( exec(?: markdown)?)?\n(.*?)^```$", re.M | re.S)

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documentation is part of the repository, not of the package")


def blocks(part: str) -> list[str]:
    """The code of a section."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^## [^\n]*\{{ #{part} \}}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section is not None, part
    found = [match[2] for match in BLOCK.finditer(section[1])]
    assert found
    return found


def play(parts: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(folder)
    names: dict = {}
    for part in parts:
        exec(compile(part, str(PAGE), "exec"), names)  # noqa: S102
    return names


def is_recovered(names: dict) -> None:
    batch, found = np.asarray(names["batch"]), names["found"]
    match = found.match(batch, np.zeros((16, 10)))
    assert match.errors.max() < 1e-4 and found.uniqueness.is_supported
    assert np.array_equal(found.labels[match.order], np.asarray(names["y"])[1500:1516])


def test_pytorch(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    names = play([*blocks("pytorch"), *blocks("stack")], tmp_path, monkeypatch)
    is_recovered(names)
    assert (tmp_path / "batch.png").read_bytes().startswith(b"\x89PNG")
    assert set(names["layers"]) == {1, 2, 3} and isinstance(names["net"], idf.Network)


@pytest.mark.slow
def test_plain_jax(tmp_path, monkeypatch, capsys):
    is_recovered(play(blocks("jax"), tmp_path, monkeypatch))
    assert "16 of 16 labels are right" in capsys.readouterr().out
