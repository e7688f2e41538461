"""Systems as LaTeX and as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sympy import Expr
from sympy.printing.latex import LatexPrinter

from identify.symbolic.names import latex_name

if TYPE_CHECKING:
    from identify.symbolic.system import SymbolicSystem


class _Printer(LatexPrinter):
    """SymPy's printer with the field's names: x_{1,2}, lambda_i, t^{W}_{j,k}."""

    def _print_Symbol(self, expr, style="plain"):
        return latex_name(expr)


def latex(expression: Expr) -> str:
    """One expression."""
    return _Printer({"order": "none"}).doprint(expression)


def to_latex(system: SymbolicSystem, limit: int = 6) -> str:
    """The system in an ``align*`` environment, grouped by layer; each group is cut after ``limit`` equations, with a count."""
    groups, start = [], 0
    for title, size in system.groups():
        rows = [rf"& {latex(system.equations[start + k])} = 0" for k in range(min(limit, size))]
        if size > limit:
            rows.append(rf"& \vdots \quad \text{{({size - limit} more)}}")
        groups.append(" \\\\\n".join([rf"&\text{{{title}}}", *rows]))
        start += size
    if system.inequalities:
        shown = [latex(relation) for relation in system.inequalities[:limit]]
        more = len(system.inequalities) - limit
        shown += [rf"\vdots \quad \text{{({more} more)}}"] * (more > 0)
        groups.append(" \\\\\n".join([r"&\text{feasibility}", *("& " + row for row in shown)]))
    for condition in system.side_conditions:
        groups.append(rf"&\text{{{condition.name} (not polynomial)}} \\" + "\n& " + condition.latex)
    return "\\begin{align*}\n" + " \\\\[1ex]\n".join(groups) + "\n\\end{align*}"


def to_text(system: SymbolicSystem, limit: int | None = None) -> str:
    """One line for each equation, ``expression = 0``, under a heading for each group."""
    out, start = [repr(system)], 0
    for title, size in system.groups():
        out.append(f"\n{title}")
        shown = size if limit is None else min(size, limit)
        out += [f"  {system.equations[start + k]} = 0" for k in range(shown)]
        if shown < size:
            out.append(f"  ... and {size - shown} more")
        start += size
    if system.inequalities:
        shown = len(system.inequalities) if limit is None else min(limit, len(system.inequalities))
        out += ["\nfeasibility", *(f"  {relation}" for relation in system.inequalities[:shown])]
        if shown < len(system.inequalities):
            out.append(f"  ... and {len(system.inequalities) - shown} more")
    out += [f"\n{condition.name} (not polynomial)\n  {condition.text}" for condition in system.side_conditions]
    return "\n".join(out)
