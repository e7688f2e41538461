"""No sentence twice: on the page of an audit of each kind, in its PDF, and in its text in the shell and in notebooks."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from support.marks import alone

import identify as idf
from identify.auditing import attacking, proofs
from identify.auditing.findings import Basis, Finding
from identify.auditing.result import WHOSE_DATA, Audit, Standing
from identify.problem.verdict import Arithmetic
from identify.report import plots

CUBIC = "z + z^2/2 + z^3"
SENTENCE, CLAUSE = 5, 14
"""Words of a sentence that must not stand twice, and of a part of one between colons or semicolons."""
PNG = plots.compare(None, np.eye(4)[:1], shape=(2, 2))
LABELS = {"dt", "dd", "nav", "style", "title", "script", "th"}
"""Elements with names, numbers and links."""
BLOCKS = {"p", "li", "td", "h1", "h2", "h3", "h4", "figcaption", "summary", "caption", "pre", "div"}


class Text(HTMLParser):
    """The blocks of text that a reader sees, opened details included."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.blocks, self.open = [""], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "img", "br"):
            kinds = (dict(attrs).get("class") or "").split()
            self.open.append((tag, tag in LABELS or {"unseen", "arithmetic", "result"} & set(kinds)))
            self.blocks += [""] * (tag in BLOCKS)

    def handle_endtag(self, tag):
        self.open.pop()
        self.blocks += [""] * (tag in BLOCKS)

    def handle_data(self, data):
        if not any(is_label for _, is_label in self.open):
            self.blocks[-1] += data


def lines_of(page: str) -> list[str]:
    """The blocks of a page, and each line of those that have several."""
    return [line for block in Text(page).blocks for line in block.splitlines() if line not in set(Arithmetic)]


def twice(lines: list[str], *, parts: bool = True) -> list[str]:
    """What stands there twice: sentences of five words or more, and long ``parts`` of them."""
    found = []
    for ends, least in ((".!?", SENTENCE), (".!?;:", CLAUSE))[: 1 + parts]:
        pieces = [" ".join(part.split()).strip(" .;:").casefold() for line in lines for part in re.split(rf"(?<=[{ends}])\s+", line)]
        counted = Counter(part for part in pieces if len(re.findall(r"[^\W\d_]{2,}", part)) >= least)
        found += [part for part, times in counted.items() if times > 1]
    return found


def planted(**sizes):
    return idf.Configuration(**{"inputs": 4, "samples": 2, "width": 9, "activation": CUBIC} | sizes).plant(seed=1)


def proved() -> Audit:
    system, truth = planted()
    return idf.audit(system, data={"X": truth.X, "c": truth.c})


def without_data() -> Audit:
    return idf.audit(planted()[0])


def not_determined() -> Audit:
    system, truth = idf.Configuration(inputs=4, samples=5, width=3, activation="z + z^2").plant(seed=0)
    return idf.audit(system, data={"X": truth.X, "c": truth.c})


def weights_only() -> Audit:
    system, truth = planted(width=7, activation="z^3", regime="max-margin", samples=3, inputs=6)
    return idf.audit(system, data={"X": truth.X, "c": truth.c})


def not_decided() -> Audit:
    rng = np.random.default_rng(0)
    layers = {"W1": rng.standard_normal((6, 4)), "b1": rng.standard_normal(6), "W2": rng.standard_normal((1, 6))}
    return idf.audit(layers, data=(rng.uniform(-1, 1, (3, 4)), np.array([1, 0, 1])), activation="relu", regime="max-margin", budget=2.0)


def several_steps() -> Audit:
    """Networks before and after training, as if it were one step."""
    system, _ = planted()
    net = system.network
    before, moved = {"W1": net.W, "W2": net.A}, {"W1": system.target_W, "W2": system.target_a.reshape(net.A.shape)}
    return idf.audit({name: part + 0.1 * moved[name] for name, part in before.items()}, initial=before, activation=CUBIC)


def update(activation: str, sizes: tuple[int, ...], layers: tuple[int, ...]) -> Audit:
    """An update of some layers, with two samples behind it."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((out, inside)) / inside**0.5 for inside, out in pairwise(sizes)]
    net = idf.Network(weights, biases=[rng.standard_normal(len(W)) / 5 for W in weights], activation=activation)
    update = net.update(rng.standard_normal((2, sizes[0])), (np.eye(sizes[-1])[:2] - 1 / sizes[-1]) / 2)
    kept = {k: update[k] for k in layers}
    return idf.audit(idf.KKTSystem.gradient(net, layers=kept), samples=2, budget=10.0)


KINDS = {
    "proved, two verdicts, defences": (proved, Standing.PROVED_UNIQUE, True),
    "proved, for the recovered samples": (without_data, Standing.PROVED_UNIQUE, False),
    "not determined, two witnesses": (not_determined, Standing.NOT_DETERMINED, True),
    "weights only": (weights_only, Standing.PROVED_UNIQUE, True),
    "not decided": (not_decided, Standing.NOT_DECIDED, True),
    "several steps": (several_steps, Standing.PROVED_UNIQUE, False),
    "recovered": (lambda: update("relu", (20, 40, 15, 5), (1,)), Standing.RECOVERED, True),
    "deeper": (lambda: update("tanh", (6, 24, 3), (1, 2)), Standing.PROVED_UNIQUE, False),
    "the last layer": (lambda: update("relu", (12, 24, 9, 3), (3,)), Standing.NOT_DECIDED, False),
}


@pytest.fixture(scope="module", params=KINDS)
def audited(request):
    make, standing, with_defences = KINDS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        for module in (attacking, proofs):
            if not with_defences:
                patch.setattr(module, "STEPS", tuple(step for step in module.STEPS if not step.name.startswith("defence:")))
        found = make()
    assert found.standing is standing
    return found


@pytest.fixture(scope="module")
def page(audited, tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited")
    with pytest.MonkeyPatch.context() as patch:  # drawing takes longer than the rest, and the words are not in the pictures
        patch.setattr("identify.defence.curves.draw_defence", lambda *arguments, **options: PNG)
        audited.save(folder)
    return (folder / "report.html").read_text("utf-8")


def test_no_sentence_stands_twice(audited, page):
    assert len(lines_of(page)) > 30 and twice(lines_of(page)) == []
    text = audited.explain(width=10**6)
    assert twice([line for line in text.splitlines() if not line.startswith("  [")]) == []  # basis and scope are labels
    assert twice(lines_of(audited._repr_html_()), parts=False) == []


def test_every_form_says_whose_data_may_be_processed(audited, page):
    said = "with the consent of their owners"
    assert said in WHOSE_DATA and WHOSE_DATA in page.partition("<footer>")[2]
    assert (
        all(said in " ".join(text.split()) for text in (audited.brief(), audited.explain(), audited._repr_html_()))
        and len(audited.brief().splitlines()) <= 14
    )


def test_nothing_is_lost(audited, page):
    """What each verdict rests on, and its ambiguity, stand on the page."""
    text = " ".join(Text(page).blocks).casefold()
    for finding in audited.findings:
        report = finding.report
        said = [] if report is None else [*report.reasons, *report.ambiguity, *report.equations, *report.notes, str(report.scope)]
        said += [] if report is None else [condition.statement for condition in (*report.conditions, *report.diagnostics)]
        said += [] if finding.name == "defences" else list(finding.details)
        missing = [line for line in said if line.casefold().rstrip(".") not in text]
        cells = {str(cell).casefold() for row in finding.table for cell in row}
        assert [line for line in missing if not any(len(cell) > 20 and cell in line.casefold() for cell in cells)] == []


@alone
@pytest.mark.usefixtures("no_defences")
def test_a_pdf_says_once_what_two_verdicts_share(tmp_path):
    pypdf = pytest.importorskip("pypdf")
    found = not_determined()
    (path,) = found.save(tmp_path / "audit.pdf")
    text = "".join("".join(sheet.extract_text().split()) for sheet in pypdf.PdfReader(path).pages)
    first, second = (finding.report for finding in found.findings if finding.report is not None)
    shared = {first.verdict.meaning, first.verdict.in_practice, *first.equations, *first.reasons} & {
        second.verdict.meaning,
        second.verdict.in_practice,
        *second.equations,
        *second.reasons,
    }
    assert len(shared) >= 5 and [line for line in shared if text.count("".join(line[1:].split())) != 1] == []


def test_a_sentence_that_is_written_twice_is_found(tmp_path):
    """Negative control of the tests above: the page writes what a finding says, and leaves out what another one said."""
    said = "these very words are said here"
    findings = (
        Finding("one", "One?", said, "this", Basis.NONE, (f"because {said}",)),
        Finding("two", "Two?", "no", "that", Basis.NONE, (said,)),
    )
    Audit("x", findings).save(tmp_path)
    lines = lines_of((tmp_path / "report.html").read_text("utf-8"))
    assert twice(lines) == [] and twice([*lines, f"As said: {said}.", f"{said.capitalize()}."]) == [said]
    assert sum(said in line.casefold() for line in lines) == 2  # alone, and as a part of a longer sentence
