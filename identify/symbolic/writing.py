"""Systems as LaTeX, as plain text and as JSON values. The length is estimated first: equations of wide networks fill gigabytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from identify.base.errors import InputError
from identify.base.options import whole
from identify.symbolic.printing import Printer
from identify.symbolic.system import MAX_CHARACTERS, SymbolicSystem


class TooLongError(InputError):
    """A text of more ``characters``, as estimated, than are ``allowed``."""

    def __init__(self, characters: int, allowed: int) -> None:
        super().__init__(
            f"the equations take about {characters:.2g} characters, more than the {allowed:.2g} that are written without being asked; "
            "show fewer equations (limit=1, --limit 1), or allow more (max_characters=None, --max-characters)"
        )
        self.characters = characters
        self.allowed = allowed


def to_latex(system: SymbolicSystem, limit: int | None = 6, *, max_characters: int | None = MAX_CHARACTERS) -> str:
    """The system in an ``align*`` environment, grouped by layer.

    Parameters
    ----------
    system
        From :func:`identify.kkt_equations`.
    limit
        Equations shown of each group, at least 0; a count stands for the others. None shows all.
    max_characters
        The longest text that is written, in characters, by an estimate that is right within a factor of two. None: any.

    Raises
    ------
    TooLongError
        For a longer one; nothing is computed.

    Notes
    -----
    Cost: O(characters); a million take about a second.
    """
    _refuse_long(system, limit, max_characters, tex=True)
    latex = Printer(tex=True)
    groups = []
    for title, shown, more in _groups(system, limit):
        rows = [rf"& {latex(system.equations[k])} = 0" for k in shown]
        rows += [rf"& \vdots \quad \text{{({more} more)}}"] * (more > 0)
        groups.append(" \\\\\n".join([rf"&\text{{{title}}}", *rows]))
    if system.inequalities:
        relations = system.inequalities[:limit]
        more = len(system.inequalities) - len(relations)
        rows = [latex(relation) for relation in relations] + [rf"\vdots \quad \text{{({more} more)}}"] * (more > 0)
        groups.append(" \\\\\n".join([r"&\text{feasibility}", *("& " + row for row in rows)]))
    groups.extend(rf"&\text{{{condition.name} (not polynomial)}} \\" + "\n& " + condition.latex for condition in system.side_conditions)
    return "\\begin{align*}\n" + " \\\\[1ex]\n".join(groups) + "\n\\end{align*}"


def to_text(system: SymbolicSystem, limit: int | None = None, *, max_characters: int | None = MAX_CHARACTERS) -> str:
    """One line for each equation, ``expression = 0``, under a heading for each group; options as for :func:`to_latex`."""
    _refuse_long(system, limit, max_characters, tex=False)
    text = Printer(tex=False)
    out = [repr(system)]
    for title, shown, more in _groups(system, limit):
        out += [f"\n{title}", *(f"  {text(system.equations[k])} = 0" for k in shown)]
        out += [f"  ... and {more} more"] * (more > 0)
    if system.inequalities:
        relations = system.inequalities[:limit]
        more = len(system.inequalities) - len(relations)
        out += ["\nfeasibility", *(f"  {text(relation)}" for relation in relations)]
        out += [f"  ... and {more} more"] * (more > 0)
    out += [f"\n{condition.name} (not polynomial)\n  {condition.text}" for condition in system.side_conditions]
    return "\n".join(out)


def to_dict(system: SymbolicSystem, *, max_characters: int | None = MAX_CHARACTERS) -> dict[str, Any]:
    """The system as JSON values: sizes, names of the symbols, and every equation as text that SymPy reads."""
    _refuse_long(system, None, max_characters, tex=False)
    text = Printer(tex=False)
    return {
        "regime": system.regime,
        "activation": ", ".join(dict.fromkeys(map(str, system.activations))),
        "sizes": system.sizes(),
        "unknowns": [symbol.name for symbol in system.unknowns],
        "parameters": [symbol.name for symbol in system.parameters],
        "groups": [{"name": name, "equations": size} for name, size in system.groups()],
        "equations": [text(equation) for equation in system.equations],
        "inequalities": [text(relation) for relation in system.inequalities],
        "side_conditions": [{"name": each.name, "text": each.text} for each in system.side_conditions],
        "ambiguity": list(system.symmetries),
    }


def _groups(system: SymbolicSystem, limit: int | None) -> Iterator[tuple[str, range, int]]:
    """Title, indices of the equations shown, and the number of the others, for each group."""
    start = 0
    for title, size in system.groups():
        shown = size if limit is None else min(size, limit)
        yield title, range(start, start + shown), size - shown
        start += size


def _refuse_long(system: SymbolicSystem, limit: int | None, allowed: int | None, *, tex: bool) -> None:
    if limit is not None:
        whole("limit", limit, least=0, advice=", or None for all")
    if allowed is None:
        return
    whole("max_characters", allowed, advice=", or None for any")
    characters = estimated_characters(system, limit, tex=tex)
    if characters > allowed:
        raise TooLongError(characters, allowed)


def estimated_characters(system: SymbolicSystem, limit: int | None, *, tex: bool) -> int:
    """About how long the text is, from the sizes alone."""
    each, relation = system.estimated_lengths(tex=tex)
    sizes = [size if limit is None else min(size, limit) for _, size in system.groups()]
    relations = len(system.inequalities)
    total = sum(size * length for size, length in zip(sizes, each, strict=True))
    total += sum(len(title) + (25 if tex else 2) for title, _ in system.groups())
    total += sum(len(condition.latex if tex else condition.text) for condition in system.side_conditions)
    total += 0 if tex else 150 + sum(map(len, system.describe()))
    return total + (relations if limit is None else min(relations, limit)) * relation
