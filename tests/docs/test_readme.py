"""The examples of the README print what it says they print."""

from __future__ import annotations

import re
import runpy
import shlex

import pytest
from docs.test_documentation import README
from support.command_line import run

TEXT = README.read_text(encoding="utf-8") if README.exists() else ""
pytestmark = pytest.mark.skipif(not TEXT, reason="the README is part of the repository, not of the package")


def test_the_two_commands():
    lines = [line.partition("#")[0].strip() for line in TEXT.splitlines()]
    assert 'pip install -e ".[demo]" && identify demo' in lines and 'pip install -e ".[test]" && pytest' in lines


def test_commands_print_what_is_shown(monkeypatch, capsys):
    (block,) = re.findall(r"```console\n(.*?)```", TEXT, re.S)
    command, *shown = block.splitlines()
    status, out, _ = run(monkeypatch, capsys, *shlex.split(command.removeprefix("$ identify ")))
    assert status == 0 and out.splitlines()[: len(shown)] == shown


def test_the_equation_is_the_one_that_is_shown(tmp_path, capsys):
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", TEXT, re.S) if "kkt_equations" in block)
    (tmp_path / "example.py").write_text(f"import identify as idf\n{block}", encoding="utf-8")
    runpy.run_path(str(tmp_path / "example.py"))
    assert capsys.readouterr().out.splitlines() == re.findall(r"print\(.*\) +# (.*)", block)


def test_the_picture_is_the_one_that_the_demonstration_draws():
    """Of the same size, at least: the bytes depend on the fonts of the machine."""
    from PIL import Image

    (name,) = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", TEXT)
    with Image.open(README.parent / name) as picture:
        assert picture.width > 1000 and picture.height > 400
