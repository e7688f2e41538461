"""The pages in a real browser: alone, on a phone, in the dark, by keyboard, to a screen reader, on paper, and with hostile names."""

from __future__ import annotations

import io
import itertools
import re
import unicodedata

import numpy as np
import pytest
from PIL import Image
from support.browser import BESIDE, FAINT, FOCUSED, HEARD, OPEN_ALL, SCROLLERS, window

import identify as idf
from identify.attacks.runs import Reconstruction, Trial
from identify.attacks.scores import score
from identify.auditing import proofs
from identify.cli import acts
from identify.cli.attack_page import write_attack_page
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.report.html import Picture, Section, write_sections
from identify.report.plots import compare

pytestmark = [pytest.mark.slow, pytest.mark.alone]  # a browser is started, and loads each page in several forms

PAGES = ("check", "audit", "attack", "demo", "sections")
HOSTILE = """<img src=x onerror="alert(1)"> <script>alert(2)</script> </title></style>'"&lt;"""
CUBIC = "z + z^2/2 + z^3"
PAPER = 673
"""Pixels between the margins of a sheet of A4."""
USUAL = "* { letter-spacing: normal !important }"
WIDE = "* { letter-spacing: 0.1em !important }"
"""Letters as wide as those of the widest fonts that a reader may have in place of ours."""


def audited(folder):
    """Names of a checkpoint as an enemy would choose them: of its class, and of its layers."""
    system, truth = idf.Configuration(inputs=4, samples=2, width=7, activation=CUBIC).plant(seed=1)
    net, model = system.network, type(HOSTILE, (dict,), {})
    names = [f"{HOSTILE}.{k}.weight" for k in range(2)]
    weights, gradient = (
        model(zip(names, (net.W, net.A), strict=True)),
        dict(zip(names, (-system.target_W, -system.target_a[None]), strict=True)),
    )
    with pytest.MonkeyPatch.context() as patch:  # two curves of defences look like all of them
        patch.setattr(proofs, "STEPS", tuple(step for step in proofs.STEPS if step.name.partition(": ")[2] in ("", "noise", "batch")))
        found = idf.audit(weights, gradient=gradient, data=truth.X, activation=CUBIC, budget=8.0)
    found.save(folder)
    return folder / "report.html"


def attacked(path):
    """Two runs as an attack leaves them; the candidates are drawn, because a run takes longer than the page is worth."""
    rng = np.random.default_rng(0)
    known = rng.random((3, 16))
    runs = [Trial(seed, rng.random((6, 16)), np.ones((6, 1)), 0.3, 0.2, np.array([[9, 0.3]]), agreement=0.5) for seed in range(2)]
    found = Reconstruction("loo", tuple(runs), diverged=1, interrupted=HOSTILE)
    write_attack_page(path, HOSTILE, found, diagnosis=None, scored=score(found.X, known), known=known, mean=None)
    return path


def sectioned(path):
    """What no small run gives: a wide table of numbers, one of words, no report; long words and hostile text in every place."""
    rng = np.random.default_rng(0)
    X = rng.random((12, 64))
    picture = Picture(HOSTILE, compare(X, X, shape=(8, 8)), HOSTILE, HOSTILE)
    numbers = (tuple(f"column {k}" for k in range(11)), *map(tuple, 1e-9 * rng.random((4, 11))))
    words = ((HOSTILE, "what was found", "how"), (HOSTILE, "word " * 60, HOSTILE), ("a name", "x" * 150, "observed"))
    sections = [Section("Numbers", "y" * 200, table=numbers), Section(HOSTILE, HOSTILE, None, (picture,), words, {HOSTILE: HOSTILE})]
    sections += [Section(one.value, "", uniqueness=Uniqueness(one, UniquenessReason.UNDECIDED)) for one in UniquenessStatus]
    return write_sections(path, sections, title=HOSTILE, lead=HOSTILE)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every kind of page, by small runs of what writes it."""
    folder = tmp_path_factory.mktemp("pages")
    system, truth = idf.Configuration(inputs=4, samples=5, width=3, activation="z + z^2").plant(seed=0)
    report = idf.check(system, data=(truth.X, truth.c))
    assert report.verdict == "NOT_UNIQUE" and report.witness is not None
    pages = {
        "check": report.to_html(folder / "check.html", image_shape=(2, 2)),
        "audit": audited(folder / "audit"),
        "attack": attacked(folder / "attack.html"),
        "demo": acts.write([acts.Act("Act 1", "One gradient.", system, report, truth.X, truth.c, None, "it cannot be")], folder / "demo")[
            0
        ],
        "sections": sectioned(folder / "sections.html"),
    }
    assert tuple(pages) == PAGES
    return pages


@pytest.fixture(scope="module")
def browser(made):
    """Started after the pages are made: while it runs, nothing else can have an event loop."""
    with window() as opened:
        yield opened


@pytest.fixture
def visit(browser, made):
    """Shows a page by its name; none may complain, or ask for anything but itself."""
    shown = False

    def check():
        assert browser.complaints == [] and browser.requests == [browser.address] * shown

    def show(name, **options):
        nonlocal shown
        check()
        shown = True
        return browser.show(made[name], **options)

    browser.requests.clear(), browser.complaints.clear()
    yield show
    check()


@pytest.fixture(params=PAGES)
def name(request):
    return request.param


def test_pictures_are_there_without_a_network(visit, name):
    images = visit(name).ask("() => [...document.images].map(i => ({width: i.complete && i.naturalWidth, alt: i.alt.trim()}))")
    assert images and all(image["width"] > 0 and image["alt"] for image in images)


def test_the_page_refuses_scripts_and_the_network(browser, made):
    """What its text cannot do even where an escape is forgotten."""
    opened = browser.show(made["check"])
    opened.ask(HEARD)
    opened.ask(
        """() => { document.body.insertAdjacentHTML('beforeend', `<img src="data:," onerror="window.hit = 1"><img src="https://example.org/x.png">
          <form action="https://example.org"><button></button></form><iframe src="data:text/html,x"></iframe><base href="https://example.org">`);
          const script = document.createElement('script'); script.textContent = 'window.hit = 2'; document.body.append(script);
          fetch('https://example.org/').catch(() => 0); document.querySelector('form').submit(); }"""
    )
    assert opened.wait("() => heard.length >= 7")
    heard = set(opened.ask("() => heard"))
    assert heard == {"script-src-attr", "script-src-elem", "img-src", "frame-src", "connect-src", "form-action", "base-uri"}
    assert opened.ask("() => window.hit") is None


def test_first_the_verdict_then_reasons_then_evidence(visit, name):
    opened = visit(name, width=375)
    text = opened.ask("() => document.body.innerText")
    answer = {
        "check": "NOT_UNIQUE for this network, this data",
        "audit": "UNIQUE for this network, this data",
        "attack": "Nothing here is proved",
    }
    reason = {"check": "Why", "audit": "What was given and assumed", "attack": "Runs", "demo": "Why"}
    if name in reason:
        said = answer.get(name, answer["check"])
        assert text.index(said) < text.rindex(reason[name])
        for width in (375, 1280):
            opened.resize(width)
            bottom = opened.page.get_by_text(said.split(" for ")[-1]).first.bounding_box()
            assert bottom["y"] + bottom["height"] < 800  # without scrolling
    folds = opened.ask("() => [...document.querySelectorAll('details')].map(d => [d.open, d.textContent.trim().length])")
    assert folds or name == "attack"
    assert all(not is_open and length > 20 for is_open, length in folds)
    if name in ("check", "demo"):
        assert text.index("Why") < text.index("Evidence and reference" if name == "check" else "Equations, conditions and evidence")


def test_every_fold_opens_by_keyboard_and_shows_the_focus(visit, name):
    opened, place, last = visit(name, height=500), 0, 1
    while place <= last:
        opened.page.keyboard.press("Tab")
        at = opened.page.evaluate(FOCUSED)
        assert at and at["ring"] and at["seen"] and at["place"] == place, at  # in the order of the page, none left out
        if at["tag"] == "SUMMARY":
            opened.page.keyboard.press("Space" if place % 2 else "Enter")
            at = opened.page.evaluate(FOCUSED)
            assert at["isOpen"]
        place, last = place + 1, at["last"]
    assert opened.ask("() => [...document.querySelectorAll('details')].every(d => d.open)")


def test_folds_open_by_a_click_and_close_again(visit):
    opened = visit("check", width=375)
    for fold in opened.page.locator("summary").all()[:3]:
        content = fold.locator("xpath=..").locator(":not(summary)").last
        assert not content.is_visible()
        fold.click()
        assert content.is_visible()
        fold.click()
        assert not content.is_visible()


def test_a_search_opens_the_fold_it_finds_something_in(browser, made):
    opened = browser.show(made["demo"], fragment="#:~:text=Kruskal%201977")
    assert opened.wait("() => [...document.querySelectorAll('details')].some(d => d.open)")
    assert opened.page.get_by_text("Kruskal 1977").first.is_visible()


def test_no_width_scrolls_the_page_sideways(visit, name):
    opened, hidden = visit(name), 0
    opened.ask(OPEN_ALL)
    for style in (USUAL, WIDE):
        opened.page.add_style_tag(content=style)
        for width in (320, 375, 768, 1280):
            opened.resize(width)
            assert opened.ask("() => document.scrollingElement.scrollWidth") <= width
            assert opened.ask(BESIDE) == []
            scrollers = opened.ask(SCROLLERS)
            assert all(each["tabs"] == 0 and each["name"] for each in scrollers)
            hidden += len(scrollers)
    assert hidden > 0


def test_wide_tables_scroll_by_keyboard_in_their_own_box(visit):
    opened = visit("sections", width=375)
    box = opened.page.get_by_role("group", name="Numbers", exact=True)
    fade = "() => parseFloat(getComputedStyle(document.querySelector('.scroll')).getPropertyValue('--hidden'))"
    assert opened.ask(fade) > 20  # more is hidden at the right
    box.focus()
    for _ in range(40):
        opened.page.keyboard.press("ArrowRight")
    assert opened.wait("() => { const b = document.querySelector('.scroll'); return b.scrollLeft + b.clientWidth >= b.scrollWidth - 1 }")
    assert opened.ask("() => scrollX") == 0 and opened.ask(fade) < 1


def test_contrast(visit, name):
    opened = visit(name, color_scheme="light")
    opened.ask(OPEN_ALL)
    for media in ({"color_scheme": "light"}, {"color_scheme": "dark"}, {"forced_colors": "active"}):
        opened.emulate(**media)
        found = opened.ask(FAINT)
        assert found["shown"] > 20 and found["faint"] == [], media
    borders = opened.ask("() => [...document.querySelectorAll('.badge')].map(e => getComputedStyle(e).borderTopStyle)")
    assert set(borders) <= {"solid"}  # where backgrounds are taken away, a badge keeps a border


def test_dark_is_dark_and_nothing_moves(visit):
    grounds = []
    for scheme in ("light", "dark"):
        opened = visit("check", color_scheme=scheme, reduced_motion="reduce")
        with Image.open(io.BytesIO(opened.page.screenshot(clip={"x": 0, "y": 0, "width": 4, "height": 4}))) as image:
            grounds.append(image.convert("L").getpixel((2, 2)))
        assert opened.ask("() => document.getAnimations().every(a => a.timeline instanceof ScrollTimeline)")
    assert grounds[0] > 245 and grounds[1] < 40


NAMED = {"link", "DisclosureTriangle", "DisclosureTriangleGrouped", "image", "table", "region", "navigation", "RootWebArea", "columnheader"}


def test_a_screen_reader_is_told_everything(visit, name):
    opened = visit(name)
    opened.ask(OPEN_ALL)
    tree = opened.tree()
    roles = [role for role, *_ in tree]
    assert [(role, text) for role, text, _ in tree if role in NAMED and not text.strip()] == []
    assert not any(role in ("group", "generic") and more.get("focusable") and not text for role, text, more in tree)
    levels = [int(more["level"]) for role, _, more in tree if role == "heading"]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
    for landmark in ("banner", "main", "contentinfo"):
        assert roles.count(landmark) == 1
    regions = [text for role, text, _ in tree if role == "region"]
    assert len(regions) == len(set(regions))
    assert roles.count("columnheader") >= 2 * roles.count("table") > 0
    assert opened.ask("() => document.documentElement.lang") == "en" and opened.page.title()
    assert opened.ask("() => [...document.querySelectorAll('[tabindex]')].every(e => e.tabIndex <= 0)")
    assert opened.ask("() => [...document.querySelectorAll('th')].every(e => ['row', 'col'].includes(e.scope))")


def test_tables_stay_tables_on_a_phone(visit, name):
    counts, opened = [], visit(name)
    opened.ask(OPEN_ALL)
    for width in (1280, 375):
        opened.resize(width)
        opened.ask("() => document.body.clientWidth")
        roles = [role for role, *_ in opened.tree()]
        counts.append([roles.count(role) for role in ("table", "row", "columnheader", "rowheader", "cell")])
    assert counts[0] == counts[1]


def test_the_first_tab_skips_to_the_content(visit):
    opened = visit("audit")
    opened.page.keyboard.press("Tab")
    assert opened.ask("() => document.activeElement.textContent") == "Skip to the content"
    opened.page.keyboard.press("Enter")
    assert opened.ask("() => document.activeElement.tagName") == "MAIN"
    opened.page.keyboard.press("Tab")
    assert opened.ask("() => document.activeElement.closest('main') !== null")


def unseparated(text):
    """Without the spaces that a reader of PDF files sees between letters, and with the letters of ligatures."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))


def test_on_paper_everything_is_open_light_and_whole(visit, name):
    reader = pytest.importorskip("pypdf")
    opened = visit(name, color_scheme="dark", width=PAPER)
    folded = opened.ask("() => [...document.querySelectorAll('details > :not(summary)')].map(e => e.textContent)")
    opened.page.emulate_media(media="print")
    assert opened.ask("() => [...document.querySelectorAll('details *')].every(e => e.closest('.unseen') || e.checkVisibility())")
    assert opened.ask(FAINT)["faint"] == []
    for style in (WIDE, USUAL):
        opened.page.add_style_tag(content=style)
        assert opened.ask(BESIDE) == [] and opened.ask(SCROLLERS) == []
    assert opened.ask("() => [...document.querySelectorAll('*')].every(e => getComputedStyle(e).fontVariantLigatures === 'none')")
    with Image.open(io.BytesIO(opened.page.screenshot())) as image:
        assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
    sheets = reader.PdfReader(io.BytesIO(opened.page.pdf(format="A4", prefer_css_page_size=True))).pages
    printed = [unseparated(sheet.extract_text()) for sheet in sheets]
    assert all(f"{number}/{len(sheets)}" in text for number, text in enumerate(printed, 1))
    words = {unseparated(word) for text in folded for word in text.split()}
    assert {word for word in words if word not in "".join(printed)} == set()


@pytest.mark.parametrize("name", ["audit", "attack", "sections"])
def test_hostile_names_are_text(visit, name):
    opened = visit(name)
    opened.ask(OPEN_ALL)
    assert HOSTILE in opened.page.title() and HOSTILE in opened.page.inner_text("h1")
    assert opened.ask("() => document.scripts.length + document.querySelectorAll('img:not([src^=\"data:\"])').length") == 0
    if name == "sections":
        assert opened.ask("() => document.body.innerText").count("alert(2)") >= 9
        assert opened.page.locator("img").get_attribute("alt") == HOSTILE
