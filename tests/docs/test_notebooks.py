"""The notebooks: committed without outputs, public names only, a theorem, assertions, an exercise. The docs build executes them."""

import ast
import base64
import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import identify as idf

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALLOWED = {"IPython", "matplotlib", "numpy", "sklearn"} | set(sys.stdlib_module_names)
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def code(path):
    """All statements of a notebook; it has no magics, so that it is Python."""
    return ast.parse("\n".join("".join(cell["source"]) for cell in cells(path, "code")))


def test_there_are_notebooks():
    assert [int(path.stem[:2]) for path in NOTEBOOKS] == list(range(1, 14))
    assert all(path.stem[:2].isdigit() and path.stem == path.stem.lower() for path in NOTEBOOKS)


@every
def test_committed_without_outputs(path):
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(path, "code"))


@every
def test_imports_the_public_names_and_little_else(path):
    for node in ast.walk(code(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "identify":
                    assert (alias.name, alias.asname) == ("identify", "idf")
                else:
                    assert alias.name.split(".")[0] in ALLOWED, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None and node.module.split(".")[0] in ALLOWED, node.module
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "idf":
            assert node.attr in {*idf.__all__, "attacks"}, node.attr
        elif isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_"), node.attr


@every
def test_handles_the_errors_of_this_package_and_no_others(path):
    """A limit that was reached is no ValueError, and which programs are installed decides whether it is: catch it by its own class."""
    for node in ast.walk(code(path)):
        if isinstance(node, ast.ExceptHandler):
            assert ast.unparse(node.type).startswith("idf."), ast.unparse(node)


@every
def test_states_a_theorem_from_the_registry(path):
    named = [
        node.slice.value
        for node in ast.walk(code(path))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "idf.theorems" and isinstance(node.slice, ast.Constant)
    ]
    assert named and set(named) <= set(idf.theorems)


@every
def test_asserts_its_claims(path):
    asserting = [
        cell for cell in cells(path, "code") if any(isinstance(n, ast.Assert) for n in ast.walk(ast.parse("".join(cell["source"]))))
    ]
    assert len(asserting) >= 3


@every
def test_has_parameters_at_the_top_and_ends_with_an_exercise(path):
    top = ast.parse("".join(cells(path, "code")[0]["source"]))
    assigned = {name.id for node in top.body if isinstance(node, ast.Assign) for name in ast.walk(node) if isinstance(name, ast.Name)}
    assert any(name.isupper() for name in assigned)
    headings = [line for cell in cells(path, "markdown") for line in "".join(cell["source"]).splitlines() if line.startswith("#")]
    assert headings[0].startswith("# ") and headings[-1] == "## Exercise"
    assert [line for line in headings if line.startswith("# ")] == headings[:1]


@every
def test_is_a_page_of_the_documentation(path):
    assert f"tutorials/{path.stem}.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


# --- the build hook, where the documentation's tools are installed -------------------------------------------------


@pytest.fixture
def scripts(monkeypatch):
    """The hooks of the build by name."""
    for name in ("mkdocs", "nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(name)
    monkeypatch.syspath_prepend(ROOT / "docs")
    return {name: importlib.import_module(name) for name in ("running", "notebooks", "run_examples")}


@pytest.fixture
def hook(scripts):
    return scripts["notebooks"]


@pytest.fixture
def running(scripts):
    return scripts["running"]


def notebook(*sources, outputs=(), metadata=None):
    from nbformat import v4

    made = [v4.new_code_cell(source, metadata=metadata or {}) for source in sources]
    made[-1].outputs = list(outputs)
    return v4.new_notebook(cells=[v4.new_markdown_cell("# Title"), *made])


def test_outputs_become_markdown(hook):
    from nbformat import v4

    outputs = [
        v4.new_output("stream", name="stdout", text="one\n"),
        v4.new_output("stream", name="stdout", text="two\n"),
        v4.new_output("stream", name="stdout", text="three\n"),
        v4.new_output("display_data", {"image/png": base64.b64encode(b"picture").decode(), "text/plain": "<Figure>"}),
        v4.new_output("execute_result", {"text/latex": r"$\displaystyle a \\[1ex] b$", "text/plain": "ab"}),
        v4.new_output("execute_result", {"text/html": "<table></table>", "text/plain": "table"}),
    ]
    page = hook.Page("name", notebook("f()", outputs=outputs, metadata={"tags": ["hide-input"], "alt": "A picture."}))
    assert page.files == {"name-1.png": b"picture"} and "![A picture.](name-1.png)" in page.markdown
    assert "one\ntwo\nthree\n```" in page.markdown and "<Figure>" not in page.markdown
    assert "$$\na \\\\ b\n$$" in page.markdown
    assert '<details class="code" markdown="1">' in page.markdown and "(name.ipynb)" in page.markdown
    placeholder = '<div data-output="name-0"></div>'
    assert placeholder in page.markdown
    assert hook.on_page_content(f"<p>{placeholder}</p>") == '<p><div class="output-html"><table></table></div></p>'


def test_standard_error_fails_the_build(hook):
    from nbformat import v4

    outputs = [v4.new_output("stream", name="stderr", text="UserWarning: careful")]
    with pytest.raises(ValueError, match="standard error: UserWarning: careful"):
        hook.Page("name", notebook("f()", outputs=outputs))


@pytest.fixture
def root(tmp_path):
    """A repository with a package of one file."""
    (tmp_path / "identify").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "identify" / "page.html").write_text("old")
    return tmp_path


def test_executed_notebooks_are_kept_until_something_changes(running, root):
    import nbformat

    path = root / "notebooks" / "01-a.ipynb"

    def printed():
        return nbformat.reads(running.notebook(root, path), as_version=4).cells[1].outputs[0].text

    nbformat.write(notebook("print(6 * 7)"), path)
    assert printed() == "42\n"
    (kept,) = (root / ".cache" / "docs").iterdir()
    kept.write_text(kept.read_text().replace("42", "43"))
    assert printed() == "43\n"  # not run again
    (root / "identify" / "page.html").write_text("new")
    assert printed() == "42\n"
    nbformat.write(notebook("assert False, 'a wrong claim'"), path)
    with pytest.raises(Exception, match="a wrong claim"):
        running.notebook(root, path)


def test_examples_are_run_and_kept_until_something_changes(running, root):
    text = """# Page
```python exec
from pathlib import Path
for k in range(3):
    print(k + 5)
Path("dot.png").write_bytes(b"picture");
```
```python exec markdown head=1
print("*Made*", 6 * 7)
```
```console exec head=1
$ printf 'one\\ntwo\\n'
```
"""
    markdown, pictures = running.page(root, "lab/page.md", text)
    assert pictures == {"dot.png": b"picture"}
    assert "5\n6\n7\n```" in markdown and "\n*Made* 42\n" in markdown and "one\n…\n```" in markdown
    (kept,) = (root / ".cache" / "docs").iterdir()
    kept.write_text(kept.read_text().replace("42", "43"))
    assert "*Made* 43" in running.page(root, "lab/page.md", text)[0]
    assert "*Made* 44" in running.page(root, "lab/page.md", text.replace("6 * 7", "44"))[0]
    assert len(list((root / ".cache" / "docs").iterdir())) == 1


def test_dear_pages_are_begun_first(scripts, monkeypatch):
    """They are pages with examples; others follow, those with the most examples first."""
    dear, begun = scripts["run_examples"].DEAR, []
    monkeypatch.setattr(scripts["running"], "start", lambda run, root, name, text: begun.append(name))
    pages = [path for path in sorted((ROOT / "docs").rglob("*.md")) if scripts["running"].FENCE.search(path.read_text(encoding="utf-8"))]
    files = [
        SimpleNamespace(src_uri=path.relative_to(ROOT / "docs").as_posix(), content_string=path.read_text(encoding="utf-8"))
        for path in pages
    ]
    scripts["run_examples"].on_files(
        SimpleNamespace(documentation_pages=lambda: files), SimpleNamespace(config_file_path=ROOT / "mkdocs.yml")
    )
    assert tuple(begun[: len(dear)]) == dear and sorted(begun) == sorted(file.src_uri for file in files)


@pytest.mark.parametrize("example", ["```python exec\n1 / 0\n```\n", "```console exec\n$ false | true\n```\n"])
def test_an_example_that_fails_is_not_kept(running, root, example):
    with pytest.raises(RuntimeError, match="an example failed"):
        running.page(root, "page.md", example)
    assert not (root / ".cache").exists()


def test_processes_share_the_work_and_tell_what_failed(running):
    try:
        first, second = running.start(running.cut, "a\nb", 1), running.start(running.cut, None, 1)
        assert first.result() == "a\n…"
        with pytest.raises(RuntimeError, match="'NoneType' object has no attribute 'splitlines'"):
            second.result()
    finally:
        running.stop()


def test_the_copy_button_of_a_console_takes_its_commands(monkeypatch):
    for name in ("mkdocs", "latex2mathml"):
        pytest.importorskip(name)
    monkeypatch.syspath_prepend(ROOT / "docs")
    block = '<span class="gp">$ </span>identify check -a &quot;z^2&quot;\n<span>UNIQUE</span>\n'
    html = f'<div class="highlight"><pre><code>{block}</code></pre></div>'
    made = importlib.import_module("formulas").on_page_content(html, SimpleNamespace(file=SimpleNamespace(src_uri="page.md")))
    assert 'data-copy="identify check -a &quot;z^2&quot;"' in made and made.count("UNIQUE") == 1
