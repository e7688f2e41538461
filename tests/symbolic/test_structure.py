"""The bipartite graph: patterns decomposed by hand, random ones against SciPy, and systems with known defects."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import structural_rank
from sympy import symbols

from identify.planting.configuration import Configuration
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.symbolic.posing import kkt_equations
from identify.symbolic.structure import Structure


def structure(rows: list[str]) -> Structure:
    """From a drawing: one text per equation, ``x`` where it contains the unknown."""
    pattern = np.array([[character == "x" for character in row] for row in rows])
    return Structure.of(SimpleNamespace(unknowns=symbols(f"u_0:{pattern.shape[1]}")), pattern)


def sides(nodes) -> tuple[list[int], list[int]]:
    return tuple(sorted(k for name, k in nodes if name == side) for side in ("equation", "unknown"))


DRAWINGS = {
    "square": (["x..", "xx.", "..x"], 3, ([], []), ([0, 1, 2], [0, 1, 2]), ([], []), 2),
    "more unknowns": (["xx.", "..x"], 2, ([0], [0, 1]), ([1], [2]), ([], []), 2),
    "more equations": (["x.", "x.", ".x"], 2, ([], []), ([2], [1]), ([0, 1], [0]), 2),
    "all three parts": (["xx...", "..xx.", "...x.", "..xxx", "....x"], 4, ([0], [0, 1]), ([], []), ([1, 2, 3, 4], [2, 3, 4]), 2),
    "coupled parts": (["xxx..", "...x.", "...xx", "....x"], 3, ([0], [0, 1, 2]), ([], []), ([1, 2, 3], [3, 4]), 2),
    "chain": (["xx.", ".xx"], 2, ([0, 1], [0, 1, 2]), ([], []), ([], []), 1),
    "square between": (["xx.x.", "..xx.", "...xx", "...xx", "....x"], 4, ([0], [0, 1]), ([1], [2]), ([2, 3, 4], [3, 4]), 1),
    "unseen unknown": (["x..", ".x."], 2, ([], [2]), ([0, 1], [0, 1]), ([], []), 3),
    "empty equation": (["xx", "..", ".x"], 2, ([], []), ([0, 2], [0, 1]), ([1], []), 2),
    "nothing": (["..", ".."], 0, ([], [0, 1]), ([], []), ([0, 1], []), 4),
}


@pytest.mark.smoke
@pytest.mark.parametrize("name", DRAWINGS)
def test_decomposition_by_hand(name):
    rows, rank, under, square, over, components = DRAWINGS[name]
    found = structure(rows)
    parts = found.dulmage_mendelsohn
    assert found.structural_rank == rank
    assert (sides(parts["underdetermined"]), sides(parts["square"]), sides(parts["overdetermined"])) == (under, square, over)
    assert len(found.components) == components and set().union(*found.components) == set(found.graph)


def test_random_patterns():
    rng = np.random.default_rng(0)
    for _ in range(200):
        shape = rng.integers(1, 12, 2)
        pattern = rng.random(shape) < rng.choice([0.1, 0.2, 0.4])
        found = Structure.of(SimpleNamespace(unknowns=()), pattern)
        assert found.structural_rank == structural_rank(csr_matrix(pattern))
        matching = found.matching
        assert all(matching[other] == node and found.graph.has_edge(node, other) for node, other in matching.items())
        parts = found.dulmage_mendelsohn
        assert sum(map(len, parts.values())) == sum(shape) and set().union(*parts.values()) == set(found.graph)
        (re, ue), (rs, us), (ro, uo) = (sides(parts[name]) for name in ("underdetermined", "square", "overdetermined"))
        assert len(ue) > len(re) or not ue + re
        assert len(us) == len(rs)
        assert len(ro) > len(uo) or not ro + uo
        assert not pattern[np.ix_(rs, ue)].any() and not pattern[np.ix_(ro, ue)].any() and not pattern[np.ix_(ro, us)].any()
        for r, u in ((re, ue), (rs, us), (ro, uo)):
            assert structural_rank(csr_matrix(pattern[np.ix_(r, u)])) == min(len(r), len(u)) if r and u else True


@pytest.mark.smoke
def test_edges_are_the_entries_of_the_jacobian():
    system = kkt_equations(Configuration(inputs=2, samples=2, width=3, activation="z + z^3", regime="max-margin"))
    found, pattern = system.structure(), system.jacobian().pattern()
    assert [*np.argwhere(pattern).tolist()] == sorted([r, k] for (_, r), (_, k) in found.graph.edges)
    assert found.side("equation") == [("equation", r) for r in range(len(system))]
    assert found.side("unknown") == [("unknown", k) for k in range(len(system.unknowns))]
    assert len(found.components) == 1 and not found.unseen()


@pytest.mark.parametrize(("width", "part"), [(1, "underdetermined"), (2, "square"), (3, "overdetermined")])
def test_systems_by_their_width(width, part):
    system = kkt_equations(Configuration(inputs=2, samples=2, width=width, activation="z + z^2", layers="both"))
    found = system.structure()
    assert set(found.dulmage_mendelsohn[part]) == set(found.graph)
    assert found.structural_rank == min(3 * width, 6)
    assert repr(found).splitlines() == [
        f"Structure({3 * width} equations, 6 unknowns, structural rank {min(3 * width, 6)})",
        "  1 connected component(s)",
        *(f"  {name}: {3 * width * (name == part)} equations, {6 * (name == part)} unknowns" for name in found.dulmage_mendelsohn),
    ]


def test_coordinates_that_no_weight_reads_are_unseen():
    net = TwoLayerNetwork([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], [1.0, 1.0, 1.0], "z + z^2")
    found = kkt_equations(KKTSystem.gradient(net, a=[1.0, 2.0, 3.0]), samples=2).structure()
    assert found.unseen() == ("x_1_2", "x_2_2")
    assert sides(found.dulmage_mendelsohn["underdetermined"])[1] == [0, 1, 2, 3, 4, 5] and found.structural_rank == 3


def test_picture():
    found = kkt_equations(Configuration(inputs=2, samples=2, width=3, activation="z^3")).structure()
    assert found.picture().startswith(b"\x89PNG\r\n")
