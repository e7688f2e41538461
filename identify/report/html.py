"""Reports as one self-contained HTML page, and as a fragment for notebooks.

The page stands alone: style sheet and pictures are inside it, it needs no script and loads nothing (its own content
security policy forbids it). It carries no time stamp, so the same reports give the same bytes. How it looks is in
``page.html.j2``; this module validates, formats numbers, and writes the file.
"""

from __future__ import annotations

import re
import struct
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from identify.base.errors import InputError
from identify.base.extras import DRAWING, needed
from identify.base.files import replacing
from identify.problem.uniqueness import Uniqueness, UniquenessStatus
from identify.problem.verdict import Condition, Report, Verdict, Witness, jsonable
from identify.report.once import views_of, whole
from identify.report.text import same_samples, summary

if TYPE_CHECKING:
    from jinja2 import Template

SYMBOL = {Verdict.UNIQUE: "✓", Verdict.LOCALLY_UNIQUE: "◉", Verdict.NOT_UNIQUE: "✗", Verdict.UNDECIDED: "?"}
KNOWN = {
    UniquenessStatus.PROVED: ("✓", "unique"),
    UniquenessStatus.EVIDENCE: ("≈", "locally_unique"),
    UniquenessStatus.NOT_UNIQUE: ("✗", "not_unique"),
    UniquenessStatus.UNKNOWN: ("?", "undecided"),
}
"""Symbol and colours of what is known of recovered data."""
RESULT = {True: ("✓", "holds"), False: ("✗", "fails"), None: ("?", "open")}
WITNESS = {True: ("✗", "fails"), False: ("–", "open"), None: ("?", "open")}
"""Symbols and colours of the search for other data: to find some is no success."""
GRADE = {True: ("✓", "good"), False: ("!", "limited"), None: ("?", "open")}
# White text on these passes AA (4.5 : 1); the page's style sheet has its own pairs for light and dark.
BADGE = {
    Verdict.UNIQUE: "#1b6b3a",
    Verdict.LOCALLY_UNIQUE: "#14607a",
    Verdict.NOT_UNIQUE: "#96391f",
    Verdict.UNDECIDED: "#6b5a24",
}
_TITLE = "Are the data determined?"
_LIST_LIMIT = 12
_WITNESS_LIMIT = 96
_BARS_LIMIT = 20
_WORD_LIMIT = 14
"""Letters of a table's cell that ask for room of their own on paper; longer words are broken."""
_DENSE = 150
"""A table of more letters in a row has numbers that are broken too, on paper: they could not be read if they were smaller."""
_LETTER = 0.75
"""Width of a letter on paper, in sizes of the font: more than the digits of any common font have."""
_SHEET, _LARGEST = 178.0, 8.0
"""Width of A4 between its margins, mm; size of the letters in a table on paper, points."""

Cell = str | int | float | None
"""Of a table: words, or a number, which is aligned and rounded for reading; None is shown as a dash."""


@dataclass(frozen=True)
class Picture:
    """A PNG for the page. ``alt`` says in words what it shows, for readers who cannot see it; it must not be empty."""

    title: str
    png: bytes
    alt: str
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.png.startswith(b"\x89PNG\r\n\x1a\n") or len(self.png) < 24:
            raise InputError(f"png: received {len(self.png)} bytes that are not a PNG; pass the bytes that identify.report.plots returns")
        if not self.alt.strip():
            raise InputError(f"alt: empty for the picture {self.title!r}; describe the picture in words")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return struct.unpack(">II", self.png[16:24])

    @property
    def uri(self) -> str:
        """The picture as a ``data:`` address."""
        return "data:image/png;base64," + b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Section:
    """One part of a longer page: a title, a lead in plain text (a blank line starts a paragraph), and what follows it.

    The first row of ``table`` is its header, in words; every row has as many cells as the header.
    """

    title: str
    lead: str
    report: Report | None = None
    pictures: tuple[Picture, ...] = ()
    table: tuple[tuple[Cell, ...], ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """Numbers by name, folded."""
    uniqueness: Uniqueness | None = None
    """What is known of recovered data, for a section without a report."""
    is_folded: bool = False
    """Whether only its title is shown until it is opened."""

    def __post_init__(self) -> None:
        for number, row in enumerate(self.table):
            if len(row) != len(self.table[0]):
                where = f"row {number} of section {self.title!r}"
                raise InputError(f"table: {where} has {len(row)} cells, expected {len(self.table[0])} as in its first row")


@dataclass(frozen=True)
class Answer:
    """The one answer on top of a longer page: a badge in the colours of a verdict, and paragraphs of plain text."""

    badge: str
    colours: Verdict
    paragraphs: tuple[str, ...]
    footer: str = ""
    """The last line of the page."""

    @property
    def symbol(self) -> str:
        """Of the verdict with these colours."""
        return SYMBOL[self.colours]


def write_page(path: str | Path, reports: Sequence[Report], *, pictures: Sequence[Picture] = (), title: str | None = None) -> Path:
    """Write ``reports`` as one page: verdict and scope first, then equations, conditions, witness, pictures, what was given.

    Parameters
    ----------
    path
        The file to write, in a folder that exists. An existing file is replaced in one step, or left as it is.
    reports
        At least one. Several get a list of contents at the top.
    pictures
        Shown after the witness (after the last report, when there are several).
    title
        The page's heading.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        No report, no folder to write to, or (as :class:`~identify.base.extras.MissingExtraError`) no jinja2.
    """
    if not reports:
        raise InputError("reports: received none, expected at least one Report (identify.check returns them)")
    if len(reports) == 1:
        sections = [Section("", "", reports[0], tuple(pictures))]
    else:
        sections = [Section(f"{number}. {as_sentence(str(r.scope))}", "", r) for number, r in enumerate(reports, 1)]
        if pictures:
            sections.append(Section("Pictures", "", pictures=tuple(pictures)))
    return _write(path, sections, title=title or _TITLE, lead="", fold=False)


def write_sections(path: str | Path, sections: Sequence[Section], *, title: str, lead: str | Answer | Sequence[str | Report] = "") -> Path:
    """Write a longer page: in each section the lead, the verdict, pictures and table; the rest of its report is folded.

    Parameters
    ----------
    path
        The file to write, in a folder that exists. An existing file is replaced in one step, or left as it is.
    sections
        At least one, shown in this order.
    title
        The page's heading.
    lead
        Plain text below it, where a blank line starts a paragraph; or the answer of the page: an :class:`Answer`, or paragraph by
        paragraph, where a report says its verdict, scope and meaning, and gives the answer its colours.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        No section, no folder to write to, or (as :class:`~identify.base.extras.MissingExtraError`) no jinja2.
    """
    if not sections:
        raise InputError("sections: received none, expected at least one Section")
    return _write(path, sections, title=title, lead=lead, fold=True)


def require_pages(*, pictures: bool = True) -> None:
    """Raise :class:`~identify.base.extras.MissingExtraError` where pages, or ``pictures`` for them, could not be made."""
    _template()
    if pictures:
        needed("matplotlib", DRAWING)


def fragment(report: Report) -> str:
    """An HTML fragment for notebooks, styled inline: all but the evidence, the witness and the notes. Needs no extra package."""
    # Colours are inherited, except on the badge, so that it reads in light and dark notebooks alike.
    line = "border:0;border-top:1px solid rgba(128,128,128,.4);"
    cell = line + "padding:.3em .8em .3em 0;text-align:left;vertical-align:top;white-space:normal;background:transparent"
    plain = "margin:.2em 0 .6em;padding-left:1.3em"

    def listed(head: str, lines: Sequence[str]) -> str:
        items = "".join(f"<li>{escape(text)}</li>" for text in lines)
        return f'<div><strong>{head}</strong></div><ul style="{plain}">{items}</ul>' if lines else ""

    def table(kind: str, items: Sequence[Condition], mark: Callable[[Condition], tuple[str, str, str]]) -> str:
        rows = "".join(
            f'<tr style="background:transparent"><th scope="row" style="{cell};font-weight:600">{escape(c.name)}</th>'
            f'<td style="{cell};white-space:nowrap">{mark(c)[0]} {mark(c)[2]}</td>'
            f'<td style="{cell}">{escape(c.statement)}</td><td style="{cell}">{escape(str(c.arithmetic))}</td></tr>'
            for c in items
        )
        head = "".join(
            f'<th scope="col" style="{cell};border-top:0;font-weight:600">{name}</th>' for name in (kind, "Result", "Found", "Arithmetic")
        )
        body = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
        return f'<table style="border-collapse:collapse;width:100%;margin:0 0 .6em">{body}</table>' if items else ""

    (view,) = views_of([Section("", "", report)])
    assert view is not None
    precision = f" {escape(as_sentence(view.precision))}." if view.precision else ""
    return (
        '<div style="max-width:54rem;line-height:1.45;overflow-x:auto">'
        f'<p style="margin:.4em 0"><span style="background:{BADGE[report.verdict]};color:#fff;font-weight:700;'
        'padding:.15em .6em;border-radius:.3em;white-space:nowrap;print-color-adjust:exact;-webkit-print-color-adjust:exact">'
        f"{SYMBOL[report.verdict]} {report.verdict}</span> "
        f"for {escape(str(report.scope))}.</p>"
        f'<p style="margin:.4em 0 .8em">{escape(as_sentence(view.meaning))}.{precision}</p>'
        + listed("Why", view.reasons)
        + listed("Up to", view.ambiguity)
        + table("Condition", view.conditions, condition_mark)
        + table("Diagnostic", view.diagnostics, grade_mark)
        + "</div>"
    )


def show(value: Any) -> str:
    """A value as text: floats with three significant digits, integers in full, long lists cut with a count."""
    value = jsonable(value)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return re.sub(r"e([-+])0*(\d)", lambda m: "e" + m[1].strip("+") + m[2], f"{value:.3g}")
    if isinstance(value, dict):
        return ", ".join(f"{k}: {show(v)}" for k, v in value.items())
    if isinstance(value, list):
        shown = [show(v) for v in value[:_LIST_LIMIT]]
        if len(value) > _LIST_LIMIT:
            shown.append(f"… ({len(value)} in all)")
        return "[" + ", ".join(shown) + "]"
    return str(value)


def as_sentence(text: str) -> str:
    """With a capital letter, unless a symbol such as θ begins it."""
    return text[:1].upper() + text[1:] if text[:1].isascii() else text


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def condition_mark(condition: Condition) -> tuple[str, str, str]:
    """Symbol, colours and word of a condition."""
    marks = WITNESS if condition.name == "witness" else RESULT
    symbol, colours = marks[condition.holds] if condition.applies else ("–", "open")
    return symbol, colours, condition.word


def grade_mark(condition: Condition) -> tuple[str, str, str]:
    """Symbol, colours and word of a diagnostic."""
    symbol, word = GRADE[condition.holds]
    return symbol, word, word


def _number(cell: Cell) -> bool:
    return isinstance(cell, (int, float, np.number)) and not isinstance(cell, bool)


def _letters(cell: Cell) -> int:
    """How many letters stand together: a number is not broken, nor is a word unless it is long."""
    return len(show(cell)) if _number(cell) else min(max(map(len, show(cell).split()), default=0), _WORD_LIMIT)


@dataclass(frozen=True)
class Layout:
    """How a table is set: which columns hold numbers, whether it reads as a list on a phone, and its size on paper."""

    numbers: tuple[bool, ...]
    words: bool
    dense: bool
    points: float


def layout(table: Sequence[Sequence[Cell]]) -> Layout:
    """How a table with these rows is set; the first is its header."""
    columns = list(zip(*table[1:], strict=True)) or [()] * len(table[0])
    numbers = tuple(any(map(_number, column)) for column in columns)
    letters = sum(1 + max(map(_letters, (head, *column)), default=0) for head, column in zip(table[0], columns, strict=True))
    points = _SHEET / 25.4 * 72 / (_LETTER * min(letters, _DENSE))
    words = len(columns) > 2 and bool(columns[0]) and not any(numbers)
    return Layout(numbers, words, letters > _DENSE, int(10 * min(points, _LARGEST)) / 10)


def samples(witness: Witness) -> list[tuple[Cell, ...]]:
    """Header and rows (i, x_i, c_i, x_i', c_i') of the two data sets of a witness, if they are small enough to read."""
    if witness.original is None or witness.example is None:
        return []
    columns = [np.asarray(part) for part in (*witness.original, *witness.example)]
    if columns[0].size > _WITNESS_LIMIT or len({len(part) for part in columns}) > 1:
        return []
    rows = zip(*columns, strict=True)
    return [("sample", "x", "c", "another x", "c"), *((i, *(_point(v) for v in row)) for i, row in enumerate(rows, 1))]


def _point(value: Any) -> Cell:
    """A point as ``(1, 2)``, a single number as itself."""
    return float(value) if np.ndim(value) == 0 else float(value[0]) if len(value) == 1 else f"({show(value)[1:-1]})"


def _bars(condition: Condition) -> list[tuple[Cell, ...]]:
    """Header and rows (sample, error bar for each perturbation) of a conditioning, the worst samples where there are many."""
    bars = condition.evidence.get("error_bars")
    if not bars:
        return []
    columns = np.array(list(bars.values()))
    shown = np.sort(np.argsort(-columns.max(axis=0), kind="stable")[:_BARS_LIMIT])
    return [("sample", *bars), *((f"X[{i}]", *map(float, columns[:, i])) for i in shown)]


@cache
def _template() -> Template:
    jinja2 = needed("jinja2", "writing an HTML page")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(show=show, sentence=as_sentence, paragraphs=_paragraphs, summary=summary, same_samples=same_samples)
    environment.globals.update(
        symbol=SYMBOL, known=KNOWN, result=condition_mark, grade=grade_mark, samples=samples, bars=_bars, layout=layout
    )
    return environment.from_string(files("identify.report").joinpath("page.html.j2").read_text("utf-8"))


def _provenance(report: Report) -> tuple[int, Mapping[str, str]]:
    return report.seed, report.versions


def _write(path: str | Path, sections: Sequence[Section], *, title: str, lead: str | Answer | Sequence[str | Report], fold: bool) -> Path:
    path = Path(path)
    if path.is_dir():
        raise InputError(f"path: {path} is a folder, expected a file; pass for example {path / 'report.html'}")
    if not path.parent.is_dir():
        raise InputError(f"path: the folder {path.parent} does not exist; create it first, or pass a path in a folder that exists")
    every = [section.report for section in sections]
    reports = [report for report in every if report is not None]
    alone = len(sections) == 1 and not fold
    answer = lead if isinstance(lead, Answer) else None
    page = _template().render(
        title=title,
        fold=fold,
        tab=f"{reports[0].verdict}: {title}" if alone else title,
        lead=_paragraphs(lead) if isinstance(lead, str) else () if answer is not None else lead,
        answer=answer,
        main=None if isinstance(lead, Answer) else next((part for part in lead if isinstance(part, Report)), None),
        sections=sections,
        views=views_of(sections, None if answer is None else answer.paragraphs) if fold else [whole(r) if r else None for r in every],
        judged=bool(reports),
        alone=alone,
        shared=reports[0] if reports and all(_provenance(r) == _provenance(reports[0]) for r in reports) else None,
    )
    with replacing(path) as temporary:
        temporary.write_bytes(page.lstrip().encode("utf-8", errors="replace"))
    return path
