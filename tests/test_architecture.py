"""The house rules that keep the package readable: the order of imports, and one list of public names."""

import ast
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import networkx as nx
import pytest
from support import sources
from support.golden import entries
from support.prose import offences, searched, template_searches

import identify

ROOT = Path(identify.__file__).parent
ORDER = [
    "base",
    "problem",
    "checker",
    "planting",
    "exact",
    "report",
    "conditions",
    "symbolic",
    "splitting",
    "recovery",
    "attacks",
    "theory",
    "certificates",
    "defence",
    "checkpoints",
    "sweeps",
    "auditing",
    "cli",
]

FACADES = {("problem", "report"), ("problem", "certificates"), ("problem", "checkpoints")}
"""Imports inside functions of values on the ground: ``Report.to_html`` draws itself, and ``Network.of`` reads names of weights."""
SYMBOLIC = {
    "system": ("export", "given", "numeric", "structure", "writing"),
    "two_layers": ("invariance", "jacobian", "moments", "polynomials", "solve"),
    "layered": ("jacobian", "polynomials"),
}
"""The kinds of a SymbolicSystem and their verbs, each in a file that imports it."""
FACADES_OF_FILES = {
    ("problem.exposure", "report.notebook"),
    ("problem.network", "problem.models"),
    ("problem.uniqueness", "report.notebook"),
    ("problem.verdict", "certificates.certify"),
    ("problem.verdict", "report.brief"),
    ("problem.verdict", "report.html"),
    ("problem.verdict", "report.notebook"),
    ("problem.verdict", "report.plots"),
    ("problem.verdict", "report.text"),
    ("auditing.result", "auditing.saving"),
    *((f"symbolic.{kind}", f"symbolic.{name}") for kind, names in SYMBOLIC.items() for name in names),
}
"""All imports inside functions that lead from a file to one that needs it; nothing else may close a cycle."""


@pytest.fixture(scope="module")
def modules():
    """The script of the docs that reads the imports for the picture of the modules."""
    path = ROOT.parent / "docs" / "modules.py"
    if not path.exists():
        pytest.skip("the docs are part of the repository, not of the package")
    script = SimpleNamespace(**runpy.run_path(str(path)))
    read = script.tree_of
    script.imports.__globals__["tree_of"] = lambda path: sources.trees().get(path) or read(path)  # other tests have them, too
    return script


@pytest.fixture(scope="module")
def graph(modules):
    """What imports what in the package; nobody changes it."""
    return nx.freeze(modules.imports(ROOT))


@pytest.fixture(scope="module")
def trees():
    """The syntax of every file of the package."""
    return sources.trees()


def test_every_module_has_a_row(graph):
    assert set(graph) == set(ORDER)


def test_the_folders_are_those_of_the_order_and_the_tests_mirror_them():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(ORDER)
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}
    folders = {path.parent.name for path in Path(__file__).parent.glob("*/test_*.py")}
    assert folders <= {*ORDER, "benchmarks", "docs"}


def test_smoke_touches_every_folder():
    """What ``pytest -m smoke`` runs, in a minute."""
    folder = Path(__file__).parent
    smoking = {path.parent.name for path in folder.glob("*/test_*.py") if "pytest.mark.smoke" in path.read_text(encoding="utf-8")}
    assert smoking == {path.parent.name for path in folder.glob("*/test_*.py")}


def test_no_file_imports_one_that_imports_it(modules):
    graph = modules.files(ROOT)
    loaded = nx.DiGraph((a, b) for a, b, at_once in graph.edges(data="loaded") if at_once)
    assert [sorted(part) for part in nx.strongly_connected_components(loaded) if len(part) > 1] == []
    kept = graph.copy()
    kept.remove_edges_from((f"identify.{a}", f"identify.{b}") for a, b in FACADES_OF_FILES)
    assert [sorted(part) for part in nx.strongly_connected_components(kept) if len(part) > 1] == []
    for a, b in FACADES_OF_FILES:  # each is one, and is needed
        assert not graph.edges[f"identify.{a}", f"identify.{b}"]["loaded"], (a, b)
        assert nx.has_path(graph, f"identify.{b}", f"identify.{a}"), (a, b)


def test_control_reads_no_prose(trees):
    """Sentences are made of typed values at the end, and never read again."""
    assert offences(trees) == set()
    for path in ROOT.rglob("*.j2"):
        assert template_searches(path.read_text(encoding="utf-8")) == [], path


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("if 'no' in str(error): pass", True),
        ("if 'no' in reason: pass", True),
        ("if 'no' not in found.message.lower(): pass", True),
        ("if reason == 'keyboard': pass", True),
        ("if reason == Stopped.INTERRUPTED or reason == '': pass", False),
        ("found.statement.split(':')[0]", True),
        ("' '.join(str(error).split())", False),
        ("isinstance(work.evidence.get('name'), (str, int))", True),
        ("isinstance(work.evidence.get('name'), Refusal)", False),
        ("try:\n f()\nexcept OSError as stop:\n said = str(stop)\n if 'no' in said: pass", True),
        ("try:\n f()\nexcept OSError as stop:\n raise InputError(f'{stop}') from None", False),
        ("re.search('a', str(error))", True),
        ("if name in reasons_by_name: pass", False),
    ],
)
def test_prose_that_is_read_is_found(code, found):
    assert bool(list(searched(ast.parse(code)))) == found


def test_prose_that_a_template_reads_is_found():
    pytest.importorskip("jinja2")
    assert template_searches("a\n{% if said in paragraph %}{% endif %}\n{{ text.partition(x) }}{{ loop.index }}") == [2, 3]


@pytest.mark.smoke
def test_modules_import_only_from_rows_above_their_own(modules, graph):
    returning = modules.against_the_order(graph)
    assert set(returning) == FACADES
    below = [(a, b) for a, b in graph.edges if ORDER.index(b) > ORDER.index(a)]
    assert set(below) == FACADES, "imports of what comes after"


def test_the_picture_has_every_module_and_the_ways_between(modules, graph):
    drawn = modules.ordered(graph)
    svg = ElementTree.fromstring(modules.picture(graph))
    assert [text.text for text in svg.iter("text")] == list(graph)
    assert len([path for path in svg.iter("path") if "marker-end" in path.attrib]) == len(drawn.edges)
    row = modules.layers(drawn)
    assert all(row[b] < row[a] for a, b in drawn.edges)
    assert all(nx.has_path(drawn, a, b) for a, b in set(graph.edges) - set(modules.against_the_order(graph)))
    assert modules.table(graph).count("\n") == len(graph) + 2


def test_imports_are_read_where_they_are_made(modules, tmp_path):
    package = tmp_path / "package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("from package.outer import x")
    (package / "outer.py").write_text(
        '"""Outer\nthing."""\nif TYPE_CHECKING:\n    import package.inner\ndef f():\n    import package.late, os.path\n'
    )
    (package / "late.py").write_text('"""Late."""\ntry:\n    from package import outer\nexcept ImportError:\n    pass\n')
    (package / "inner" / "__init__.py").write_text('"""Inner."""\n')
    (package / "inner" / "deep.py").write_text('"""Deep."""\nfrom package.inner import own\nfrom package.late import x\n')
    graph = modules.imports(package)
    assert set(graph.edges(data="loaded")) == {("outer", "late", False), ("late", "outer", True), ("inner", "late", True)}
    assert graph.nodes["outer"] == {"about": "Outer thing.", "libraries": {"os"}} and graph.nodes["inner"]["about"] == "Inner."
    assert modules.against_the_order(graph) == [("outer", "late")]
    assert set(modules.ordered(graph).edges) == {("late", "outer"), ("inner", "late")}


def test_exact_verdicts_do_not_need_jax():
    for folder in ("exact", "conditions", "report", "theory"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not re.search(r"^\s*(import|from) (jax|sympy)\b", path.read_text(encoding="utf-8"), re.M), path


def test_verdicts_are_made_in_one_place(trees):
    for path, tree in trees.items():
        nodes = list(ast.walk(tree))
        asked = {part for node in nodes if isinstance(node, ast.Compare) for part in ast.walk(node)}
        asked |= {key for node in nodes if isinstance(node, ast.Dict) for key in node.keys}
        made = {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Verdict" and node not in asked
        }
        assert made <= {"UNDECIDED"} or path == ROOT / "conditions" / "judgement.py", path


@pytest.mark.smoke
def test_public_names_are_listed_once_and_exist():
    assert sorted(identify.__all__) == identify.__all__ == sorted(identify._HOME)
    for name in identify.__all__:
        assert getattr(identify, name).__doc__, name
    assert [name for name in dir(identify) if not name.startswith("__")] == sorted([*identify.__all__, "attacks"])


def test_every_file_is_short():
    """A file that is longer holds two ideas."""
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in ROOT.rglob("*.py")}
    assert {path: n for path, n in lines.items() if n > 450} == {}


def test_every_module_says_what_it_is_for(trees):
    for path, tree in trees.items():
        assert ast.get_docstring(tree), path


def test_every_golden_message_is_of_a_test():
    """A test that is gone takes its messages along."""
    sources = {path: path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py")}
    names = {f"{path.relative_to(Path(__file__).parent).as_posix()}::{name}" for path, text in sources.items()
             for name in re.findall(r"^ *def (test_\w+)\([^)]*\bgolden\b", text, re.M)}  # fmt: skip
    found = {re.sub(r"::.*::", "::", name.partition("[")[0]) for name in entries()}
    assert found == names
