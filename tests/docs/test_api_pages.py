"""Only what the API pages list is public: they have every public name, nothing else is used in pages for users, and all of it exists."""

import ast
import json
import re
from pathlib import Path

import pytest
from support.public import listed, resolved
from support.sources import PACKAGE, trees

import identify as idf

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="the documentation is part of the repository, not of the package")

CONTRIBUTORS = {DOCS / "architecture.md", DOCS / "CONTRIBUTING.md", *(DOCS / "lab").glob("*.md"), DOCS / "theory.md"}
"""Pages about the inside of the package, which may name anything in it."""
PAGES = sorted(set(DOCS.rglob("*.md")) - CONTRIBUTORS - set((DOCS / "api").glob("*.md")))
DOTTED = re.compile(r"\bidentify(?:\.[A-Za-z_]\w*)+")
FILE = re.compile(r"`((?:identify|tests|docs|benchmarks|notebooks)/[\w/.-]*\w/?)(?: [^`]*)?`")


def test_every_listed_name_exists_and_is_listed_once():
    names = listed()
    values = [resolved(name) for name in names]
    assert len(set(names)) == len(names)
    assert len({id(value) for value in values}) == len(values), "one object under two names"
    assert not [name for name in names if any(part.startswith("_") for part in name.split("."))]


@pytest.mark.parametrize("module", [idf, idf.attacks], ids=lambda module: module.__name__)
def test_every_public_name_is_on_an_api_page(module):
    on_pages = {id(resolved(name)) for name in listed()}
    missing = [name for name in module.__all__ if id(getattr(module, name)) not in on_pages]
    assert not missing, f"add `::: {module.__name__}.NAME` to a page in docs/api for each of {missing}"


def imports(code: str) -> set[str]:
    """Dotted names of what a block of code takes from the package, by import."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "identify"}


def blocks(path: Path) -> list[str]:
    """The Python code of a page."""
    text = path.read_text("utf-8")
    return [re.sub(r"^ {4}", "", code, flags=re.M) if indent else code for indent, code in re.findall(
        r"^( *)```python[^\n]*\n(.*?)^ *```$", text, re.M | re.S
    )]  # fmt: skip


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=lambda path: path.name)
def test_pages_for_users_import_what_is_listed(path):
    public = {*listed(), "identify", *(f"identify.{name}" for name in idf.__all__), "identify.attacks"}
    public |= {f"identify.attacks.{name}" for name in idf.attacks.__all__}
    used = {name for code in blocks(path) for name in imports(code)}
    assert used <= public, "list these on an API page, or use a public name"


def test_example_imports_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('=== "A"\n\n    ```python exec\n    import identify as idf\n    from identify.exact import modular\n    ```\n')
    (code,) = blocks(page)
    assert imports(code) == {"identify", "identify.exact.modular"}


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.relative_to(DOCS).as_posix())
def test_names_of_the_package_exist(path):
    text = path.read_text("utf-8")
    for name in set(DOTTED.findall(text)):
        resolved(name)


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_of_the_repository_exist(path):
    for name in FILE.findall(path.read_text("utf-8")):
        assert "NAME" in name or name.startswith("notebooks/NN") or (ROOT / name).exists(), name


def test_notebooks_import_what_is_listed():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                assert imports("".join(cell["source"])) <= {"identify"}, path.name


def test_classes_of_the_equation_are_where_the_page_says():
    rows = re.findall(r"^\| `(\w+)` in `(\w+)/` \|", (DOCS / "architecture.md").read_text("utf-8"), re.M)
    assert len(rows) >= 3
    for name, folder in rows:
        inside = [tree for path, tree in trees().items() if PACKAGE / folder in path.parents]
        assert [node for tree in inside for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name], name
