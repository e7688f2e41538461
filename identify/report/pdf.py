"""Pages with an answer on top as PDF files, made without a browser: the text, tables and pictures of :mod:`identify.report.html`.

What is folded on the page is open here. Text can be searched and copied; headings are bookmarks; pictures have their alternative text.
Letters are those of DejaVu, which comes with matplotlib and has the mathematical signs. A file carries no time stamp, so the same
sections give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from identify.base.errors import InputError
from identify.base.extras import needed
from identify.base.files import replacing
from identify.problem.verdict import Condition
from identify.report.html import (
    BADGE,
    KNOWN,
    SYMBOL,
    Answer,
    Cell,
    Picture,
    Section,
    as_sentence,
    condition_mark,
    grade_mark,
    layout,
    samples,
    show,
)
from identify.report.once import View, views_of
from identify.report.text import same_samples

if TYPE_CHECKING:
    from fpdf import FPDF

WRITING = "writing a PDF"
MARGIN, TALLEST = 16.0, 105.0
"""Millimetres: around a sheet of A4, and of a picture."""
HEADING = 24.0
"""Millimetres that a heading and the first lines below it take, at most."""
BODY, SMALL = 9.5, 8.0
"""Points."""
INK, MUTED, RULE = (28, 30, 32), (86, 92, 98), (200, 201, 196)


def require_pdf() -> None:
    """Raise :class:`~identify.base.extras.MissingExtraError` if PDF files cannot be written here."""
    needed("fpdf", WRITING)
    needed("matplotlib", WRITING)


def write_pdf(path: str | Path, sections: Sequence[Section], *, title: str, answer: Answer) -> Path:
    """Write a page with its ``answer`` on top as a PDF file of A4 sheets.

    Parameters
    ----------
    path
        The file to write, in a folder that exists. An existing file is replaced in one step, or left as it is.
    sections
        At least one, in this order. Those that the page folds follow a heading "Details".
    title
        Heading of the first sheet, and title of the file.
    answer
        The badge and what it means.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        No section, no folder to write to, or (as :class:`~identify.base.extras.MissingExtraError`) no fpdf2 or matplotlib.
    """
    path = Path(path)
    if not sections:
        raise InputError("sections: received none, expected at least one Section")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"path: {path} cannot be written; pass a file in a folder that exists, such as report.pdf")
    require_pdf()
    with closing(_Paper(title)) as paper:
        paper.heading(title, 0)
        paper.badge(answer.symbol, answer.badge, BADGE[answer.colours])
        for text in answer.paragraphs:
            paper.paragraph(text, size=BODY + 1)
        for number, (section, view) in enumerate(zip(sections, views_of(sections, answer.paragraphs), strict=True)):
            if section.is_folded and not (number and sections[number - 1].is_folded):
                paper.heading("Details", 1, below=HEADING)  # the title of the first detail follows at once
            _section(paper, section, view)
        reports = [section.report for section in sections if section.report is not None]
        if reports:
            versions = "".join(f" · {name} {version}" for name, version in reports[0].versions.items())
            last = "A verdict holds for its scope and up to its ambiguity, and for nothing beyond them."
            paper.paragraph(f"Seed {reports[0].seed}{versions}. {last}", size=SMALL, colour=MUTED)
        paper.paragraph(answer.footer, size=SMALL, colour=MUTED)
        content = paper.finished()
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def _section(paper: _Paper, section: Section, view: View | None) -> None:
    begins_with_picture = bool(section.pictures) and not section.lead and section.report is None and section.uniqueness is None
    below = paper.height_of(section.pictures[0]) if begins_with_picture else 0.0
    paper.heading(section.title, 2 if section.is_folded else 1, below=below)
    for text in section.lead.split("\n\n"):
        paper.paragraph(text.strip())
    if view is not None:
        _verdict(paper, view)
    elif section.uniqueness is not None:
        symbol, colours = KNOWN[section.uniqueness.status]
        colour = next(BADGE[verdict] for verdict in BADGE if verdict.value.lower() == colours)
        paper.badge(symbol, section.uniqueness.status.value.replace("_", " "), colour)
        paper.paragraph(f"{as_sentence(section.uniqueness.explain())}.")
    for picture in section.pictures:
        paper.picture(picture)
    if section.table:
        paper.table(section.table)
    paper.values(section.evidence)
    if view is not None:
        _reasoning(paper, view)


def _verdict(paper: _Paper, report: View) -> None:
    paper.badge(SYMBOL[report.verdict], report.verdict.value, BADGE[report.verdict])
    said = [f"Scope: {report.scope}", report.meaning, report.in_practice, report.precision]
    for text in filter(None, said):
        paper.paragraph(f"{as_sentence(text)}.")
    paper.listed("Why", report.reasons)
    paper.listed("Up to", report.ambiguity)


def _reasoning(paper: _Paper, report: View) -> None:
    """Equations, conditions, witness and what was given."""
    paper.listed("Equations", report.equations, font="mono")
    _conditions(paper, "Conditions", report.conditions, condition_mark)
    if report.alike:
        paper.paragraph(f"Conditions as above: {', '.join(report.alike)}.")
    if report.witness is not None:
        paper.strong("Witness")
        paper.paragraph(f"A {report.witness.kind} of dimension {report.witness.dimension}: {report.witness.description}")
        if report.witness.residual is not None:
            changed = f"The other data set changes the target by {show(report.witness.residual)} relative (rounding)"
            paper.paragraph(f"{changed}{same_samples(report.witness)}.")
        if table := samples(report.witness):
            paper.table(table)
    _conditions(paper, "Structure and conditioning", report.diagnostics, grade_mark)
    if report.subject:
        paper.strong("Given")
        paper.values(report.subject)
    paper.listed("Notes", report.notes)


def _conditions(paper: _Paper, head: str, items: Sequence[Condition], mark: Callable[[Condition], tuple[str, str, str]]) -> None:
    lines = []
    for item in items:
        symbol, _, word = mark(item)
        source = f" {as_sentence(item.reference)}." if item.reference else ""
        lines.append(f"{symbol} {item.name}: {word} [{item.arithmetic}]. {as_sentence(item.statement).rstrip('.')}.{source}")
    paper.listed(head, lines)


class _Paper:
    """Sheets of A4: what is written next stands below what was written last."""

    def __init__(self, title: str) -> None:
        import matplotlib
        from fpdf import FPDF
        from fpdf.fonts import TTFFont

        class Numbered(FPDF):
            """With the number of the sheet at its foot."""

            def footer(self) -> None:
                self.set_y(-MARGIN + 3)
                self.set_font("sans", "", 7)
                self.set_text_color(*MUTED)
                self.cell(0, 4, f"{self.page_no()} / {{nb}}", align="R")

        self.pdf: FPDF = Numbered(format="A4")
        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        self.pdf.add_font("sans", "", fonts / "DejaVuSans.ttf")
        self.pdf.add_font("sans", "B", fonts / "DejaVuSans-Bold.ttf")
        self.pdf.add_font("mono", "", fonts / "DejaVuSansMono.ttf")
        self._fonts = [font for font in self.pdf.fonts.values() if isinstance(font, TTFFont)]
        self.pdf.set_margin(MARGIN)
        self.pdf.set_auto_page_break(True, MARGIN + 2)
        self.pdf.set_title(self._known(title))
        self.pdf.set_lang("en")
        self.pdf.set_creation_date(datetime(1970, 1, 1, tzinfo=UTC))
        self.pdf.add_page()

    def finished(self) -> bytes:
        return bytes(self.pdf.output())

    def close(self) -> None:
        """Close the files of the letters, which are read to the end."""
        for font in self._fonts:
            font.ttfont.close()

    def heading(self, text: str, level: int, *, below: float = 0.0) -> None:
        """The title of the file (0), of a part (1) or of a detail (2): also a bookmark, and never the last line of a sheet.

        ``below`` is the height that has to fit on the same sheet besides some lines, in millimetres.
        """
        self._font("B", (15.0, 12.0, 10.0)[level], INK)
        self._room(HEADING + below)
        if level == 1:
            self.pdf.ln(3)
            self.pdf.set_draw_color(*RULE)
            self.pdf.line(MARGIN, self.pdf.y, self.pdf.w - MARGIN, self.pdf.y)
        self.pdf.ln(2.5)
        self.pdf.start_section(self._known(text), max(level - 1, 0) if level else 0)
        self._write(text)
        self.pdf.ln(1.5)

    def badge(self, symbol: str, text: str, colour: str) -> None:
        """White on the colour of the verdict."""
        self._room(14)
        self._font("B", BODY + 1, (255, 255, 255))
        self.pdf.set_fill_color(colour)
        words = f"{symbol} {text}"
        self.pdf.cell(self.pdf.get_string_width(words) + 4, 6.5, words, fill=True, align="C", new_x="LMARGIN", new_y="NEXT")
        self.pdf.ln(1.5)

    def paragraph(self, text: str, *, size: float = BODY, colour: tuple[int, int, int] = INK) -> None:
        if text:
            self._font("", size, colour)
            self._write(text)
            self.pdf.ln(1.5)

    def strong(self, text: str) -> None:
        """A heading that is no bookmark."""
        self._room(12)
        self._font("B", BODY, INK)
        self._write(text)

    def listed(self, head: str, lines: Sequence[str], *, font: str = "sans") -> None:
        """Lines below a heading, each with a dot; nothing when there are none."""
        if not lines:
            return
        self.strong(head)
        for line in lines:
            self._font("", BODY if font == "sans" else SMALL, INK, font)
            self.pdf.set_x(MARGIN + 1)
            self.pdf.cell(4, self.pdf.font_size * 1.4, "•")
            self._write(line, MARGIN + 5)
        self.pdf.ln(1.5)

    def values(self, mapping: Mapping[str, Any]) -> None:
        """Numbers by name."""
        self._font("", SMALL, MUTED)
        for name, value in mapping.items():
            self._write(f"{name.replace('_', ' ')}: {show(value)}")
        self.pdf.ln(1.5)

    def height_of(self, picture: Picture) -> float:
        """Millimetres: as wide as the sheet, but not taller than :data:`TALLEST`."""
        across, down = picture.size
        return min(self.pdf.epw * down / across, TALLEST)

    def picture(self, picture: Picture) -> None:
        """With its caption below, on the same sheet."""
        height = self.height_of(picture)
        width = height * picture.size[0] / picture.size[1]
        self._room(height + 16)
        left = MARGIN + (self.pdf.epw - width) / 2
        self.pdf.image(io.BytesIO(picture.png), left, self.pdf.y, width, height, alt_text=self._known(picture.alt))
        self.pdf.set_y(self.pdf.y + height + 1.5)
        self.paragraph(f"{picture.title}. {as_sentence(picture.caption)}".strip(), size=SMALL, colour=MUTED)

    def table(self, rows: Sequence[Sequence[Cell]]) -> None:
        """The first row is repeated on each sheet; words that are wider than their column are broken."""
        from fpdf.fonts import FontFace

        found = layout(rows)
        shown = [[self._known(show(cell)) for cell in row] for row in rows]
        self._font("B", min(found.points, SMALL), INK)  # as wide as the first row, which is bold
        widths = [max(self.pdf.get_string_width(row[k]) for row in shown) + 4 for k in range(len(shown[0]))]
        self._font("", min(found.points, SMALL), INK)
        self.pdf.set_fill_color(255, 255, 255)
        widths = [min(max(width, 8.0), self.pdf.epw * 0.6) for width in widths]
        whole = min(self.pdf.epw, sum(widths))
        self.pdf.set_draw_color(*RULE)
        with self.pdf.table(
            shown,
            width=whole,
            col_widths=[int(width * 10) for width in widths],
            align="LEFT",
            text_align=tuple("RIGHT" if number else "LEFT" for number in found.numbers),
            borders_layout="HORIZONTAL_LINES",
            line_height=self.pdf.font_size * 1.45,
            headings_style=FontFace(emphasis="BOLD"),
            v_align="TOP",
            cell_fill_mode="NONE",
        ):
            pass
        self.pdf.ln(2.5)

    def _font(self, style: str, size: float, colour: tuple[int, int, int], family: str = "sans") -> None:
        self.pdf.set_font(family, style, size)
        self.pdf.set_text_color(*colour)

    def _write(self, text: str, left: float = MARGIN) -> None:
        self.pdf.set_x(left)
        self.pdf.multi_cell(0, self.pdf.font_size * 1.4, self._known(text), align="L", new_x="LMARGIN", new_y="NEXT")

    def _room(self, height: float) -> None:
        """A new sheet if less than this is left of the present one, millimetres."""
        if self.pdf.will_page_break(height):
            self.pdf.add_page()

    def _known(self, text: str) -> str:
        """With a box for each character that the letters lack, and spaces for what moves the pen."""
        known = self._fonts[0].cmap
        return "".join(letter if letter == "\n" or ord(letter) in known else " " if letter.isspace() else "□" for letter in text)
