"""The modules of the package and what they import, read from the sources: the picture and the table of architecture.md.

tests/test_architecture.py reads the same graph.
"""

import ast
import html
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import networkx as nx
from scipy.optimize import isotonic_regression

BOX, ROW, LETTER, GAP = 26, 58, 7.3, 8
"""Height of a box, distance of rows, width of a letter, space between boxes; in units of the picture."""
TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path class="tip" d="M0 1L8 4L0 7z"/></marker>'
)


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax of a file, read once."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(package: Path) -> nx.DiGraph:
    """What is just below the package but for its entry points, with an edge to everything that it imports.

    Nodes have ``about``, the first paragraph of the docstring, and ``libraries``, what is imported from elsewhere. Edges have
    ``loaded``: whether the import is made when the module is loaded, and not only where a function is called.
    """
    graph = nx.DiGraph()
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts in {("__init__",), ("__main__",)}:
            continue
        graph.add_node(parts[0])
        tree = tree_of(path)
        if len(parts) == 1 or parts[1:] == ("__init__",):
            graph.nodes[parts[0]]["about"] = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
        for loaded, name in imported(tree):
            if not name.startswith(f"{package.name}."):
                graph.nodes[parts[0]].setdefault("libraries", set()).add(name.split(".")[0])
            elif (row := name.split(".")[1]) != parts[0]:
                graph.add_edge(parts[0], row)
                graph.edges[parts[0], row].setdefault("loaded", False)
                graph.edges[parts[0], row]["loaded"] |= loaded
    return graph


def imported(tree: ast.Module):
    """Dotted names of all imports but those for type checkers, and whether loading the module makes them."""
    todo: list[tuple[bool, ast.AST]] = [(True, tree)]
    while todo:
        loaded, node = todo.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from ((loaded, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((loaded, f"{node.module}.{alias.name}") for alias in node.names)
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        todo += ((loaded and not inside, child) for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))


def files(package: Path) -> nx.DiGraph:
    """The files of the package by their dotted names, with an edge to every file that they import, marked as in :func:`imports`."""
    graph = nx.DiGraph()
    paths = {".".join([package.name, *path.relative_to(package).with_suffix("").parts]): path for path in package.rglob("*.py")}
    paths = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    graph.add_nodes_from(paths)
    for name, path in paths.items():
        for loaded, target in imported(tree_of(path)):
            other = target if target in paths else target.rpartition(".")[0]
            if other in paths and other != name:
                graph.add_edge(name, other, loaded=loaded or graph.get_edge_data(name, other, {}).get("loaded", False))
    return graph


def against_the_order(graph: nx.DiGraph) -> list[tuple[str, str]]:
    """Imports inside functions that would close a cycle."""
    kept = nx.DiGraph((a, b) for a, b, at_once in graph.edges(data="loaded") if at_once)
    kept.add_nodes_from(graph)
    returning = []
    for a, b, at_once in graph.edges(data="loaded"):
        if at_once:
            continue
        if nx.has_path(kept, b, a):
            returning.append((a, b))
        else:
            kept.add_edge(a, b)
    return returning


def ordered(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph without these imports, and without arrows that follow from others."""
    kept = graph.copy()
    kept.remove_edges_from(against_the_order(graph))
    return nx.transitive_reduction(kept)


def picture(graph: nx.DiGraph) -> str:
    """The imports as SVG: what is imported stands above."""
    drawn = ordered(graph)
    rows, ways = routed(drawn, layers(drawn))
    x = placed(rows, ways)
    y = {node: ROW * k + BOX for k, row in enumerate(rows) for node in row}
    left = min(x[node] - width(node) / 2 for node in x) - GAP
    right = max(x[node] + width(node) / 2 for node in x) + GAP
    arrows = [arrow([(x[node], y[node]) for node in way], graph.edges[way[0], way[-1]]["loaded"]) for way in ways]
    boxes = [box(node, x[node], y[node], graph.nodes[node]) for node in graph]
    return (
        f'<div class="modules"><svg viewBox="{left:.0f} 0 {right - left:.0f} {ROW * (len(rows) - 1) + 2 * BOX}" role="img" '
        f'aria-label="The modules of the package, and arrows to what they import"><defs>{TIP}</defs>\n'
        + "\n".join([*arrows, *boxes])
        + "\n</svg></div>\n"
    )


def layers(drawn: nx.DiGraph) -> dict[str, int]:
    """The row of each module: below all that it imports; one that has more importers than imports stands right above its first importer."""
    row = {node: k for k, generation in enumerate(nx.topological_generations(drawn.reverse())) for node in generation}
    for node in nx.topological_sort(drawn):
        if drawn.in_degree(node) >= max(drawn.out_degree(node), 1):
            row[node] = min(row[importer] for importer in drawn.predecessors(node)) - 1
    return row


def routed(drawn: nx.DiGraph, row: dict) -> tuple[list[list], list[list]]:
    """Rows in an order with few crossings, and the way of each arrow, which has a place of its own in every row that it passes."""
    ways = [[a, *((a, b, k) for k in range(row[a] - 1, row[b], -1)), b] for a, b in drawn.edges]
    links = nx.Graph(link for way in ways for link in pairwise(way))
    links.add_nodes_from(drawn)
    rows: list[list] = [[] for _ in range(max(row.values()) + 1)]
    for node in links:
        rows[row[node] if node in row else node[2]].append(node)
    best = rows
    for sweep in range(24):
        rows = [list(one) for one in rows]
        order = range(1, len(rows)) if sweep % 2 else range(len(rows) - 2, -1, -1)
        for k in order:
            beside = {node: i for i, node in enumerate(rows[k - 1 if sweep % 2 else k + 1])}
            places = {node: [beside[other] for other in links[node] if other in beside] or [i] for i, node in enumerate(rows[k])}
            rows[k].sort(key=lambda node: sum(places[node]) / len(places[node]))
        best = min(best, rows, key=lambda found: crossings(found, links))
    return best, ways


def crossings(rows: list[list], links: nx.Graph) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        at = {node: i for i, node in enumerate(lower)}
        ends = [(i, at[other]) for i, node in enumerate(upper) for other in links[node] if other in at]
        total += sum((a - c) * (b - d) < 0 for k, (a, b) in enumerate(ends) for c, d in ends[:k])
    return total


def placed(rows: list[list], ways: list[list]) -> dict:
    """Abscissas of the middles: each near the mean of its neighbours, as far as the order and the widths of its row permit."""
    links = nx.Graph(link for way in ways for link in pairwise(way))
    x: dict = {}
    for row in rows:
        start = 0.0
        for node in row:
            x[node] = start + width(node) / 2
            start += width(node) + GAP
        for node in row:
            x[node] -= start / 2
    for _ in range(40):
        for row in rows:
            wished = [sum(x[o] for o in links[node]) / len(links[node]) if node in links else x[node] for node in row]
            offsets = [0.0]
            for one, two in pairwise(row):
                offsets.append(offsets[-1] + (width(one) + width(two)) / 2 + GAP)
            free = isotonic_regression([a - b for a, b in zip(wished, offsets, strict=True)]).x
            x |= {node: float(a + b) for node, a, b in zip(row, free, offsets, strict=True)}
    return x


def width(node) -> float:
    return LETTER * len(node) + 16 if isinstance(node, str) else 10


def arrow(points: list[tuple[float, float]], loaded: bool) -> str:
    """From the top of a box upwards, straight past the boxes of the rows between."""
    x, y = points[0]
    path = f"M{x:.1f} {y - BOX / 2:.1f}"
    for (a, b), (c, d) in pairwise(points):
        path += f"C{a:.1f} {(b + d) / 2:.1f} {c:.1f} {(b + d) / 2:.1f} {c:.1f} {d + BOX / 2:.1f}"
        path += f"V{d - BOX / 2:.1f}" if (c, d) != points[-1] else ""
    return f'<path class="{"at-once" if loaded else "when-called"}" marker-end="url(#tip)" d="{path}"/>'


def box(name: str, x: float, y: float, node: dict) -> str:
    kind = next((library for library in ("jax", "sympy") if library in node.get("libraries", ())), "plain")
    return (
        f'<g class="{kind}"><title>{html.escape(node["about"])}</title><rect x="{x - width(name) / 2:.1f}" y="{y - BOX / 2:.1f}" '
        f'width="{width(name):.1f}" height="{BOX}" rx="4"/><text x="{x:.1f}" y="{y + 4.5:.1f}">{name}</text></g>'
    )


def table(graph: nx.DiGraph) -> str:
    """What each module is for, in its own words, from above to below."""
    lines = ["| Module | What it is for |", "|---|---|"]
    for name in nx.lexicographical_topological_sort(ordered(graph).reverse()):
        about = re.sub(r":[a-z]+:`[.~]?(.*?)`", r"`\1`", graph.nodes[name]["about"]).replace("``", "`")
        lines.append(f"| `{name}` | {about} |")
    return "\n".join(lines) + "\n"
