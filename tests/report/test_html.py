"""The report page, the notebook fragment and the pictures."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.marks import slow

from identify.base.errors import InputError
from identify.base.extras import MissingExtraError
from identify.problem.verdict import Arithmetic, Condition, Report, Scope, Verdict, Witness
from identify.report import html, plots
from identify.report.html import Picture, Section, fragment, show, write_page, write_sections

VOID = {"meta", "link", "img", "br", "hr"}
HOSTILE = '<script>alert("1")</script> & \'"><img src=x onerror=alert(1)>'


def make_report(verdict: Verdict = Verdict.UNIQUE, *, text: str = "rank 20 of 20", seed: int = 0, equations: int = 3) -> Report:
    """A report as ``identify.check`` builds it, with one condition of each outcome."""
    witness = None
    if verdict is Verdict.NOT_UNIQUE:
        rng = np.random.default_rng(1)
        pair = (rng.standard_normal((2, 3)), np.array([1.0, -2.0]))
        witness = Witness("rotation", 1, f"the samples are rotated among each other; {text}", None, pair, pair, 3.14159e-16)
    evidence = {
        "rank": 20,
        "gap": 3.23456e9,
        "prime": 2305843009213693951,
        "values": list(np.geomspace(1, 1e-5, 30)),
        "note": text,
    }
    return Report(
        verdict=verdict,
        scope=Scope("this network", "this data"),
        reasons=(f"the interpolation matrix has full rank: {text}",),
        ambiguity=("order of the samples",),
        conditions=(
            Condition("interpolation", True, f"Every moment is determined: {text}", evidence, Arithmetic.PROOF, f"Theorem 1 ({text})"),
            Condition("generic-global", False, "The rank is too small: nothing follows.", {}, Arithmetic.MONTE_CARLO, "Theorem 1.5"),
            Condition("local", None, "Not needed.", {}, Arithmetic.NONE, "theory, C4"),
        ),
        subject={"regime": "gradient", "samples": 20, "bias": False, "label": text},
        equations=tuple(f"t_{j} = {text}" + " + a_j c_i x_i" * 12 for j in range(equations)),
        notes=(text,),
        witness=witness,
        seed=seed,
        versions={"identify": "0.1.0", "numpy": "2.0.0"},
    )


@pytest.fixture(scope="module")
def pictures() -> tuple[Picture, ...]:
    X = np.random.default_rng(0).random((12, 64))
    return (
        Picture(
            "Twelve samples",
            plots.compare(X, X, errors=np.full(12, 3e-12), shape=(8, 8)),
            "Equal pairs of images",
            "Error below.",
        ),
        Picture("Spectrum", plots.spectrum(np.array([3.0, 1.0, 1e-14]), title="target"), "Two large values and a small one"),
    )


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not nest."""

    def __init__(self, path: Path | str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.headings: list[int] = []
        self.text = ""
        self.feed(path.read_text("utf-8") if isinstance(path, Path) else path)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]


def check_page(page: Page) -> None:
    """Loads nothing, has every alternative text, unique ids, links that lead somewhere, headings without a skipped level."""
    addresses = [v for _, attrs in page.tags for k, v in attrs.items() if k in ("src", "href", "srcset", "action", "poster", "data")]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert all(address[1:] in ids for address in addresses if address.startswith("#"))
    assert not page.all("script") and not page.all("iframe") and not page.all("object")
    assert len(ids) == len(set(ids))
    assert {label for _, attrs in page.tags if (label := attrs.get("aria-labelledby"))} <= set(ids)
    assert all(img["alt"].strip() for img in page.all("img"))
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    assert page.all("html")[0]["lang"] == "en"


@pytest.mark.smoke
@pytest.mark.parametrize("verdict", list(Verdict))
def test_page_of_each_verdict(tmp_path, verdict, pictures):
    path = write_page(tmp_path / "report.html", [make_report(verdict)], pictures=pictures)
    raw, page = path.read_text("utf-8"), Page(path)
    check_page(page)
    assert "http://" not in raw and "https://" not in raw and "@import" not in raw and "url(" not in raw
    words = " ".join(page.text.split())
    assert f"{html.SYMBOL[verdict]} {verdict} for this network, this data." in words
    assert words.index(f"{verdict} for this") < words.index("Why") < words.index("Equations") < words.index("Conditions")
    for part in (
        "✓ holds",
        "✗ fails",
        "? open",
        "exact (proof)",
        "Theorem 1.5",
        "2305843009213693951",
        "3.23e9",
        "Seed 0 · identify",
    ):
        assert part in words
    assert ("Witness" in words) == (verdict is Verdict.NOT_UNIQUE) == ("3.14e-16" in words)
    assert [img["alt"] for img in page.all("img")] == [p.alt for p in pictures]
    assert page.all("img")[0]["width"] == str(pictures[0].size[0])


def test_several_reports(tmp_path, pictures):
    path = write_page(
        tmp_path / "all.html", [make_report(v, seed=k) for k, v in enumerate(Verdict)], pictures=pictures, title="Four answers"
    )
    page = Page(path)
    check_page(page)
    assert page.text.count("Four answers") == 2
    assert len(page.all("section")) == 5
    assert all(f"Seed {k}" in page.text for k in range(4))


def test_what_a_cell_holds_says_how_it_is_set(tmp_path):
    """Words that look like a number are words; the header stands above its numbers, a dash beside them."""
    table = (("name", "n", "error", "12"), ("1.5", 20, 2.34567e-12, "7"), ("x", None, "not found", "8"))
    page = Page(write_sections(tmp_path / "a.html", [Section("Digits", "", table=table)], title="T"))
    check_page(page)
    classes = [attrs.get("class") for tag, attrs in page.tags if tag in ("th", "td")]
    assert classes == [None, "number", "number", None] * 3
    assert [attrs["scope"] for attrs in page.all("th")] == ["col"] * 4 + ["row"] * 2
    assert "2.35e-12" in page.text and "–" in page.text
    assert "words" not in page.all("table")[0]["class"].split()


@pytest.mark.parametrize(("columns", "dense"), [(2, False), (11, False), (40, True)])
def test_letters_on_paper_shrink_with_the_number_of_columns(tmp_path, columns, dense):
    table = (tuple(f"c{k}" for k in range(columns)), (1.23456e-10,) * columns)
    page = Page(write_sections(tmp_path / "a.html", [Section("Digits", "", table=table)], title="T"))
    (attrs,) = page.all("table")
    points = float(attrs["style"].removeprefix("--points: ").removesuffix("pt"))
    assert 4 < points <= 8 and ("dense" in attrs["class"].split()) == dense
    assert dense or columns * 9 * 0.75 * points * 25.4 / 72 <= 178  # mm between the margins of a sheet of A4


def test_a_report_among_the_paragraphs_of_the_lead_is_the_answer(tmp_path):
    report = make_report(Verdict.LOCALLY_UNIQUE)
    said = f"No badge: {report.verdict} for {report.scope}."
    page = Page(write_sections(tmp_path / "a.html", [Section("Part", "")], title="T", lead=(said, report, "The rest.")))
    check_page(page)
    assert [attrs["class"] for attrs in page.all("div") if "verdict" in attrs.get("class", "")] == ["verdict locally_unique"]
    assert len([attrs for attrs in page.all("span") if attrs.get("class", "").startswith("badge")]) == 1
    assert f"{report.verdict.value} for {report.scope}: {report.verdict.meaning}." in " ".join(page.text.split())
    plain = Page(write_sections(tmp_path / "b.html", [Section("Part", "")], title="T", lead=said))
    assert not [attrs for attrs in plain.all("div") if "verdict" in attrs.get("class", "")]


def test_one_seed_is_said_once(tmp_path):
    path = write_page(tmp_path / "all.html", [make_report(), make_report()])
    assert Page(path).text.count("Seed 0") == 1


def test_sections(tmp_path, pictures):
    table = (("method", "error"), ("algebra", "2e-12"), ("a <b>bold</b> one", "0.4"))
    sections = [
        Section("Digits", "First paragraph.\n\nSecond paragraph.", make_report(), pictures[:1], table),
        Section("Rotation", "No report of its own shares its seed.", make_report(Verdict.NOT_UNIQUE, seed=3)),
        Section("Only words", "Nothing else."),
    ]
    page = Page(write_sections(tmp_path / "demo.html", sections, title="A demonstration", lead="What follows."))
    check_page(page)
    words = " ".join(page.text.split())
    assert "a <b>bold</b> one" in words
    assert "Seed 0" in words and "Seed 3" in words
    assert [a["href"] for a in page.all("a")][1:] == ["#part-1", "#part-2", "#part-3"]
    # One section alone keeps its title; a section without a title does not turn the page into a report.
    page = Page(write_sections(tmp_path / "one.html", [Section("Alone", "", make_report())], title="One"))
    check_page(page)
    assert "Alone" in page.text


@pytest.mark.smoke
@pytest.mark.parametrize("verdict", list(Verdict))
def test_hostile_text_is_escaped(tmp_path, verdict, pictures):
    report = make_report(verdict, text=HOSTILE, equations=40)
    section = Section(HOSTILE, HOSTILE, report, (Picture(HOSTILE, pictures[0].png, HOSTILE, HOSTILE),), ((HOSTILE,), (HOSTILE,)))
    for path in (
        write_page(tmp_path / "page.html", [report], pictures=section.pictures, title=HOSTILE),
        write_sections(tmp_path / "sections.html", [section, section], title=HOSTILE, lead=HOSTILE),
    ):
        page = Page(path)
        check_page(page)
        assert "<script" not in path.read_text("utf-8")
        assert HOSTILE in page.text and HOSTILE in [img["alt"] for img in page.all("img")]
        assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    page = Page(fragment(report))
    assert HOSTILE in page.text
    assert not page.all("script") and not page.all("img")


def test_same_reports_same_bytes(tmp_path, pictures):
    a = write_page(tmp_path / "a.html", [make_report(Verdict.NOT_UNIQUE)], pictures=pictures).read_bytes()
    b = write_page(tmp_path / "b.html", [make_report(Verdict.NOT_UNIQUE)], pictures=pictures).read_bytes()
    assert a == b
    X = np.random.default_rng(0).random((3, 16))
    assert plots.compare(X, X, shape=(4, 4)) == plots.compare(X, X, shape=(4, 4))


def test_to_html_and_notebook_fragment(tmp_path):
    report = make_report(Verdict.LOCALLY_UNIQUE)
    path = report.to_html(tmp_path / "report.html", title="Mine")
    assert "LOCALLY_UNIQUE: Mine" in Page(path).text
    page = Page(report._repr_html_())
    words = " ".join(page.text.split())
    assert "◉ LOCALLY_UNIQUE for this network, this data." in words
    assert "interpolation" in words and "exact (proof)" in words
    assert not any("class" in attrs for _, attrs in page.tags)


def test_existing_file_is_replaced_or_kept(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    umask = os.umask(0)
    os.umask(umask)
    write_page(path, [make_report()])
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert list(tmp_path.iterdir()) == [path]

    def fail(*_):
        raise OSError("disk trouble")

    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk trouble"):
        write_page(path, [make_report(Verdict.UNDECIDED)])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_errors(tmp_path, pictures, golden):
    with pytest.raises(InputError) as caught:
        write_page(tmp_path / "nowhere" / "report.html", [make_report()])
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        write_page(tmp_path, [make_report()])
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        write_page(tmp_path / "report.html", [])
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        write_sections(tmp_path / "report.html", [], title="Empty")
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        Section("Ragged", "", table=(("a", "b"), ("c",)))
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        Picture("Dark", pictures[0].png, " ")
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        Picture("Broken", b"abc", "words")
    golden(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_missing_packages(tmp_path, monkeypatch):
    html._template.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r'needs jinja2, which is not installed; pip install "kkt-identify\[demo\]"') as caught:
        write_page(tmp_path / "report.html", [make_report()])
    assert isinstance(caught.value, MissingExtraError) and isinstance(caught.value, ImportError)
    assert (caught.value.package, caught.value.extra) == ("jinja2", "demo")
    with pytest.raises(ValueError, match=r'needs matplotlib, which is not installed; pip install "kkt-identify\[demo\]"'):
        plots.spectrum(np.ones(3), title="none")
    assert "UNIQUE" in fragment(make_report())  # notebooks need neither


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (2305843009213693951, "2305843009213693951"),
        (np.int64(7), "7"),
        (0.123456, "0.123"),
        (1e-5, "1e-5"),
        (3.2e9, "3.2e9"),
        (1e-12, "1e-12"),
        (1e100, "1e100"),
        (0.0, "0"),
        (float("nan"), "–"),
        (None, "–"),
        (True, "yes"),
        (Verdict.UNIQUE, "UNIQUE"),
        ([1, 0.5], "[1, 0.5]"),
        ({"a": 1, "b": [2]}, "a: 1, b: [2]"),
        (list(range(30)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … (30 in all)]"),
        ("plain", "plain"),
    ],
)
def test_show(value, text):
    assert show(value) == text


def test_long_systems_are_folded_with_a_count(tmp_path):
    text = Page(write_page(tmp_path / "report.html", [make_report(equations=100)])).text
    assert "88 more of 100 lines" in text and "t_99 =" in text


def test_bare_report(tmp_path):
    bare = Report(Verdict.UNDECIDED, Scope("this network", "generic data"), (), (), (), {}, witness=Witness("fibre", 3, "unknown"))
    page = Page(write_page(tmp_path / "report.html", [bare]))
    check_page(page)
    assert "fibre" in page.text and "Equations" not in page.text
    Page(fragment(bare))


def luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_AA_in_light_and_dark(tmp_path):
    raw = write_page(tmp_path / "report.html", [make_report()]).read_text("utf-8")
    themes = [dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", raw, re.S)[:2]]
    assert len(themes) == 2 and all(len(theme) >= 15 for theme in themes)
    for theme in themes:
        pairs = [("ink", "paper"), ("muted", "paper"), ("link", "paper"), ("ink", "inset")]
        for name in ("unique", "locally", "not", "undecided"):
            pairs += [("on", name), (name, f"{name}-tint"), ("ink", f"{name}-tint"), ("muted", f"{name}-tint"), (name, "paper")]
        assert [pair for pair in pairs if contrast(theme[pair[0]], theme[pair[1]]) < 4.5] == []
    assert all(contrast("#ffffff", colour) >= 4.5 for colour in html.BADGE.values())


@pytest.mark.parametrize(
    ("d", "shape"),
    [
        (784, (28, 28)),
        (3072, (32, 32, 3)),
        (64, (8, 8)),
        (1, (1, 1)),
        (3, (1, 1, 3)),
        (12, (2, 2, 3)),
        (10, None),
        (2, None),
        (0, None),
        (-4, None),
    ],
)
def test_image_shape(d, shape):
    assert plots.image_shape(d) == shape


def decode(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    assert image.size == Picture("", png, "alt").size
    assert 900 <= image.size[0] <= 1400
    corners = [image.convert("RGB").getpixel((x, y)) for x in (0, image.size[0] - 1) for y in (0, image.size[1] - 1)]
    assert corners == [(255, 255, 255)] * 4
    return image


@pytest.mark.parametrize(
    ("n", "d", "shape", "columns"),
    [(1, 64, (8, 8), 10), slow(11, 64, (8, 8), 10), (16, 12, (2, 2, 3), 15), (5, 3, None, 10), (7, 50, None, 4), (4, 64, (4, 16), 2)],
)
def test_compare(n, d, shape, columns):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    pair = decode(plots.compare(X, X + 0.1, errors=rng.random(n) * 1e-9, shape=shape, columns=columns))
    alone = decode(plots.compare(None, X, shape=shape, columns=columns))
    assert alone.size[1] < pair.size[1]


def test_compare_shows_what_is_missing_or_flat():
    X = np.vstack([np.zeros(16), np.ones(16), np.full(16, -2.0), np.arange(16.0)])
    found = X.copy()
    found[3] = np.nan
    errors = np.array([0.0, 1e-3, 12.0, np.inf])
    for shape in ((4, 4), None):
        assert decode(plots.compare(X, found, errors=errors, shape=shape)) != decode(plots.compare(X, X, errors=errors, shape=shape))
        decode(plots.compare(None, found, errors=errors, shape=shape))


def test_a_pair_has_one_grey_scale():
    X = np.linspace(0, 1, 64)[None]
    same, darker = (np.asarray(decode(plots.compare(X, X * factor, shape=(8, 8))).convert("L")) for factor in (1.0, 0.5))
    half = same.shape[0] // 2
    assert np.array_equal(same[:half], darker[:half])
    assert darker[half:].mean() < same[half:].mean() - 5


@pytest.mark.parametrize(
    ("error", "text"),
    [(3.2e-12, "3e-12"), (0.12, "1e-1"), (5.0, "5e0"), (0.0, "0"), (np.inf, "not found"), (np.nan, "not found")],
)
def test_error_labels(error, text):
    assert plots._error(error) == text


@pytest.mark.slow
def test_family_and_spectrum():
    rng = np.random.default_rng(0)
    decode(plots.family([rng.random((3, 64)) for _ in range(3)], [f"s = {k / 10}" for k in range(3)], shape=(8, 8)))
    decode(plots.family([rng.random((2, 3)), rng.random((2, 3))], ["original", "another data set with the same target"]))
    for values in ([1.0], [3.0, 2.0, 0.0], [0.0, 0.0], np.geomspace(10, 1, 40), np.r_[np.geomspace(9, 1, 400), 1e-14, 1e-15]):
        assert decode(plots.spectrum(np.array(values), title="values")).size == (1110, 525)
    for values in ([0.0, 0.0], np.r_[np.geomspace(9, 1, 400), 1e-14, 1e-15]):
        decode(plots.spectrum(np.array(values), threshold=1e-9, title="values"))


def test_picture_errors(golden):
    X = np.zeros((3, 4))
    with pytest.raises(InputError) as caught:
        plots.compare(None, np.zeros((61, 4)))
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        plots.compare(X[:2], X)
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        plots.compare(X, X, errors=np.zeros(2))
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        plots.compare(X, X, shape=(3, 3))
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        plots.compare(X, X, columns=0)
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        plots.compare(None, X[0])
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        plots.family([], [])
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        plots.family([X, X], ["s = 0"])
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        plots.family([X, X[:2]], ["a", "b"])
    golden(caught.value)
    with pytest.raises(InputError) as caught:
        plots.family([np.zeros((21, 4))], ["a"])
    golden(caught.value)
    for values in ([], [np.nan], [-1.0]):
        with pytest.raises(InputError) as caught:
            plots.spectrum(np.array(values), title="bad")
        golden(caught.value)


def test_global_matplotlib_state_is_untouched():
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    code = (
        "import sys, numpy as np; from identify.report import plots;"
        "plots.spectrum(np.ones(3), title='t'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    with matplotlib.rc_context({"savefig.dpi": 40, "savefig.bbox": "tight", "figure.dpi": 40}):
        assert decode(plots.spectrum(np.ones(3), title="t")).size == (1110, 525)
    assert dict(matplotlib.rcParams) == before


class TestChange:
    rng = np.random.default_rng(0)

    @pytest.mark.parametrize(("n", "d", "shape"), [(3, 64, (8, 8)), (8, 12, (2, 2, 3)), (3, 2, None), (25, 5, None), (1, 1, None)])
    def test_two_data_sets(self, n, d, shape):
        X = self.rng.random((n, d))
        same, other = (decode(plots.change(X, Y, shape=shape)) for Y in (X, X + self.rng.random((n, d))))
        assert same.size == other.size and same != other

    def test_shapes(self):
        with pytest.raises(ValueError, match=r"example: received 2 samples of 3 numbers, expected 2 of 4 as in original"):
            plots.change(np.ones((2, 4)), np.ones((2, 3)))
        with pytest.raises(ValueError, match="shape: received"):
            plots.change(np.ones((2, 4)), np.ones((2, 4)), shape=(3, 3))

    def test_on_the_page_of_a_report_with_a_witness(self, tmp_path, monkeypatch):
        known, open_ = make_report(Verdict.NOT_UNIQUE), make_report(Verdict.UNDECIDED)
        page = Page(known.to_html(tmp_path / "report.html", image_shape=(1, 3)))
        check_page(page)
        assert len(page.all("img")) == 1 and "What changes" in page.text and page.all("img")[0]["alt"]
        assert not Page(open_.to_html(tmp_path / "report.html")).all("img")

        def missing(*args, **options):
            raise MissingExtraError("matplotlib", "drawing a picture")

        monkeypatch.setattr(plots, "change", missing)
        assert not Page(known.to_html(tmp_path / "report.html")).all("img")
