"""Which equations see which unknowns: the bipartite graph of a system, its matching and its blocks.

The structural rank, the size of a largest matching, bounds every rank of the Jacobian from above. The
Dulmage-Mendelsohn decomposition (Dulmage & Mendelsohn 1958) splits the system into a part with more unknowns than
equations, a square part, and a part with more equations than unknowns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np

from identify.base.limits import refuse_above
from identify.symbolic.system import SymbolicSystem

BYTES_PER_EDGE = 400
"""Measured memory of an edge of the graph."""
Node = tuple[str, int]


@dataclass(frozen=True, eq=False)
class Structure:
    """The bipartite graph: nodes ``("equation", r)`` and ``("unknown", k)``, an edge where the derivative is not identically zero."""

    system: SymbolicSystem
    graph: nx.Graph

    @classmethod
    def of(cls, system: SymbolicSystem, pattern: np.ndarray) -> Structure:
        edges = int(np.count_nonzero(pattern))
        refuse_above(BYTES_PER_EDGE * edges, f"the graph of {pattern.shape[0]} equations with {edges} edges")
        graph = nx.Graph()
        graph.add_nodes_from((("equation", r) for r in range(pattern.shape[0])), bipartite=0)
        graph.add_nodes_from((("unknown", k) for k in range(pattern.shape[1])), bipartite=1)
        graph.add_edges_from((("equation", int(r)), ("unknown", int(k))) for r, k in np.argwhere(pattern))
        return cls(system, graph)

    def side(self, name: str) -> list[Node]:
        """The nodes of one side, ``"equation"`` or ``"unknown"``."""
        return [node for node in self.graph if node[0] == name]

    @cached_property
    def matching(self) -> dict[Node, Node]:
        """A largest matching (Hopcroft & Karp 1973), both ways."""
        return nx.bipartite.hopcroft_karp_matching(self.graph, top_nodes=self.side("equation"))

    @property
    def structural_rank(self) -> int:
        """The size of a largest matching."""
        return len(self.matching) // 2

    @cached_property
    def components(self) -> tuple[frozenset[Node], ...]:
        """Connected components: parts of the system that share nothing."""
        return tuple(frozenset(part) for part in nx.connected_components(self.graph))

    @cached_property
    def dulmage_mendelsohn(self) -> dict[str, frozenset[Node]]:
        """The coarse decomposition: nodes of the parts ``underdetermined``, ``square`` and ``overdetermined``."""

        def reach(start: list[Node]) -> set[Node]:
            """Nodes on alternating paths that begin, unmatched, at ``start``."""
            seen, todo = set(start), list(start)
            origin = start[0][0] if start else ""
            while todo:
                node = todo.pop()
                ahead = self.graph[node] if node[0] == origin else [self.matching[node]] if node in self.matching else []
                for other in ahead:
                    if other not in seen:
                        seen.add(other)
                        todo.append(other)
            return seen

        loose = {name: [node for node in self.side(name) if node not in self.matching] for name in ("unknown", "equation")}
        under, over = reach(loose["unknown"]), reach(loose["equation"])
        square = set(self.graph) - under - over
        return {"underdetermined": frozenset(under), "square": frozenset(square), "overdetermined": frozenset(over)}

    def unseen(self) -> tuple[str, ...]:
        """Names of unknowns that no equation contains."""
        unknowns = self.system.unknowns
        return tuple(unknowns[node[1]].name for node in self.side("unknown") if not self.graph[node])

    def picture(self) -> bytes:
        """The pattern of the Jacobian as a PNG: equations down, unknowns across."""
        from identify.report.plots import pattern

        matrix = np.zeros((len(self.side("equation")), len(self.side("unknown"))), dtype=bool)
        for r, k in ((u[1], v[1]) for u in self.side("equation") for v in self.graph[u]):
            matrix[r, k] = True
        return pattern(matrix, columns=[symbol.name for symbol in self.system.unknowns])

    def __repr__(self) -> str:
        parts = self.dulmage_mendelsohn
        lines = [
            f"Structure({len(self.side('equation'))} equations, {len(self.side('unknown'))} unknowns, "
            f"structural rank {self.structural_rank})",
            f"  {len(self.components)} connected component(s)",
        ]
        for name, nodes in parts.items():
            equations = sum(node[0] == "equation" for node in nodes)
            lines.append(f"  {name}: {equations} equations, {len(nodes) - equations} unknowns")
        return "\n".join(lines)
