"""Pages as PDF files: text that can be searched, whole, within the margins; pictures; the same bytes for the same sections."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont
from support.marks import slow

import identify as idf
from identify.base.extras import MissingExtraError
from identify.report import pdf, plots
from identify.report.html import Answer, Picture, Section
from identify.report.pdf import MARGIN, write_pdf

pypdf = pytest.importorskip("pypdf")
POINT = 25.4 / 72
ANSWER = Answer("PROVED UNIQUE", idf.Verdict.UNIQUE, ("Only these data fit: ∇θ ≥ 0, λ ∈ ℝ.", "w" * 400))
CELL = "y " * 300


@pytest.fixture(scope="module")
def reports():
    """One that is decided, and one with a witness."""
    sizes = {"inputs": 3, "samples": 3, "width": 4}
    return [idf.check(idf.Configuration(**sizes, activation=text), seed=0) for text in ("z + z^2/2 + z^3", "z^2")]


@pytest.fixture(scope="module")
def sections(reports):
    shown = Picture("Three images", plots.compare(None, np.eye(9)[:3]), "three small images", "each of nine points")
    numbers = [(f"row {k}", *(1.2345e-7 * j * k for j in range(14))) for k in range(80)]
    return [
        Section("What was found", "First.\n\nSecond.", pictures=(shown,)),
        Section("Numbers", "", table=(("name", *(f"column {k}" for k in range(14))), *numbers), evidence={"a_b": [1, 2.5]}),
        Section("Words", "", table=(("what", "follows"), ("x" * 200, CELL), ("模 <b>**bold**</b>", "--u--")), is_folded=True),
        Section("Verdict", "", reports[0], is_folded=True),
        Section("Another", "", reports[1], is_folded=True),
    ]


@pytest.fixture(scope="module")
def written(sections, tmp_path_factory):
    return write_pdf(tmp_path_factory.mktemp("pdf") / "audit.pdf", sections, title="Audit of 模.npz", answer=ANSWER)


@pytest.fixture(scope="module")
def sheets(written):
    return pypdf.PdfReader(written).pages


def words(text: str) -> str:
    return "".join(text.split())


def test_what_it_says_can_be_searched(sheets, sections, reports):
    text = words("".join(sheet.extract_text() for sheet in sheets))
    said = [*ANSWER.paragraphs, "✓ PROVED UNIQUE", CELL, "□ <b>**bold**</b>", "--u--", "a b: [1, 2.5]", "Details", "First.", "Second."]
    said += [section.title for section in sections]
    for report in reports:
        said += [*report.reasons, *report.ambiguity, *report.equations, *report.notes]
        said += [condition.statement[1:] for condition in report.conditions]
    said.append(reports[1].witness.description)
    assert words(reports[1].verdict.in_practice) not in text  # the answer on top says what follows in practice
    assert [part for part in said if words(part) not in text] == []
    assert words(sheets[0].extract_text()).startswith(words("Audit of □.npz ✓ PROVED UNIQUE"))
    assert all(f"{number} / {len(sheets)}" in sheet.extract_text() for number, sheet in enumerate(sheets, 1))


@pytest.mark.parametrize("numbers", [(32, 33, 34, 35, 51, 52, 53), slow(range(30, 60))], ids=["around the ends of sheets", "all"])
def test_no_heading_is_the_last_line_of_a_sheet(tmp_path, numbers):
    """However full the sheet before is: the heading "Details" stands with the first detail, and a title with its picture."""
    sheets = set()
    shown = Picture("An image", plots.compare(None, np.eye(9)[:1]), "an image", "of nine points")
    for lines in numbers:
        parts = [
            Section("Part", "\n\n".join(["A line."] * lines)),
            Section("Shown", "", pictures=(shown,)),
            Section("Many", "\n\n".join(["A line."] * lines)),
            Section("Folded", "Text of it.", is_folded=True),
        ]
        path = write_pdf(tmp_path / "one.pdf", parts, title="T", answer=Answer("PROVED UNIQUE", idf.Verdict.UNIQUE, ("One.",)))
        texts = [sheet.extract_text() for sheet in pypdf.PdfReader(path).pages]
        for heading, following in (("Shown", "An image. "), ("Details", "Text of it.")):
            assert [heading in text for text in texts] == [following in text for text in texts], lines
        sheets.add(len(texts))
    assert sheets == {3, 4}, "the details begin at the end of a sheet and on the next one"


def test_tables_repeat_their_heads(sheets):
    assert sum("column" in sheet.extract_text() and "row" in sheet.extract_text() for sheet in sheets) >= 2


def test_nothing_is_outside_the_margins(sheets):
    from matplotlib import get_data_path

    fonts = Path(get_data_path()) / "fonts" / "ttf"
    files = {"DejaVuSansBook": "DejaVuSans", "DejaVuSansBold": "DejaVuSans-Bold", "DejaVuSansMonoBook": "DejaVuSansMono"}
    letters = {name: ImageFont.truetype(fonts / f"{file}.ttf", 1000) for name, file in files.items()}
    right, seen = [], set()

    def look(text, matrix, place, font, size):
        if text.strip() and font:
            name = font["/BaseFont"].partition("+")[2]
            seen.add(name)
            across = letters[name].getlength(text.strip("\n")) / 1000 * size
            right.append((place[4] * matrix[0] + matrix[4] + across) * POINT)

    for sheet in sheets:
        sheet.extract_text(visitor_text=look)
    assert seen == set(letters) and len(right) > 500 and max(right) <= 210 - MARGIN + 0.6


def test_pictures_have_words(written, sheets):
    (image,) = sheets[0].images
    assert image.image.width > 500 and b"three small images" in written.read_bytes().replace(b"\x00", b"")


def test_bookmarks_title_and_language(written):
    reader = pypdf.PdfReader(written)
    top = [entry.title for entry in reader.outline if not isinstance(entry, list)]
    (below,) = (entry for entry in reader.outline if isinstance(entry, list))
    assert top == ["Audit of □.npz", "What was found", "Numbers", "Details"] and [entry.title for entry in below] == [
        "Words",
        "Verdict",
        "Another",
    ]
    assert reader.metadata.title == "Audit of □.npz" and reader.trailer["/Root"]["/Lang"] == "en"


def test_the_same_sections_give_the_same_bytes(written, sections, tmp_path):
    again = write_pdf(tmp_path / "again.pdf", sections[:1], title="T", answer=ANSWER).read_bytes()
    assert again == write_pdf(tmp_path / "again.pdf", sections[:1], title="T", answer=ANSWER).read_bytes() != written.read_bytes()


def test_what_cannot_be_written(tmp_path, sections, monkeypatch):
    for sort, path in ((sections, tmp_path), (sections, tmp_path / "none" / "a.pdf"), ([], tmp_path / "a.pdf")):
        with pytest.raises(idf.InputError):
            write_pdf(path, sort, title="T", answer=ANSWER)
    for package in ("fpdf", "matplotlib"):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, package, None)
            with pytest.raises(MissingExtraError, match=r'writing a PDF needs .* "kkt-identify\[demo\]"') as caught:
                pdf.require_pdf()
            assert caught.value.package == package and caught.value.extra == "demo"
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_file(tmp_path, sections, monkeypatch):
    old = tmp_path / "a.pdf"
    old.write_text("old")
    monkeypatch.setattr(io, "BytesIO", None)  # pictures cannot be read
    with pytest.raises(TypeError):
        write_pdf(old, sections[:1], title="T", answer=ANSWER)
    assert old.read_text() == "old" and list(tmp_path.iterdir()) == [old]
