"""What the strict build of the documentation does not see: the README, its citation, pictures, addresses, and the way of a newcomer.

Links between pages, their anchors and pages left out of the navigation are warnings of the build, which is strict.
"""

import json
import re
from functools import cache
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

import identify as idf

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(DOCS.rglob("*.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+(?:\([^()\s]*\))?)\)")
ADDRESS = re.compile(r"\b[a-z]+://[^\s<>\"'`|]+")
pytestmark = [
    pytest.mark.smoke,
    pytest.mark.skipif(not DOCS.exists(), reason="the documentation is part of the repository, not of the package"),
]


@cache
def prose(path: Path) -> str:
    """A page or a notebook without its code."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"^ *```.*?^ *```$|`[^`\n]+`", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def links(path: Path) -> list[tuple[bool, str, str]]:
    """Whether it is a picture, text and target of every link."""
    return [(bool(mark), text, target) for mark, text, target in LINK.findall(prose(path))]


def anchors(path: Path) -> set[str]:
    """Identifiers of headings, given or made from their words."""
    found = set(re.findall(r"\{[^}\n]*#([\w-]+)[^}\n]*\}|id=\"([\w-]+)\"", prose(path)))
    made = {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in re.findall(r"^#+ (.*)$", prose(path), re.M)}
    return {name for pair in found for name in pair if name} | made


def test_links_of_the_readme():
    relative = [target for _, _, target in links(README) if "://" not in target]
    assert len(relative) > 3
    for target in relative:
        name, _, anchor = target.partition("#")
        path = ROOT / name
        assert path.exists() and (ROOT in path.resolve().parents), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("path", [README, *PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_pictures_say_what_they_show(path):
    assert all(len(text) > 10 for picture, text, _ in links(path) if picture)


def test_every_picture_is_used():
    used = {Path(target).name for path in (README, *PAGES) for picture, _, target in links(path) if picture}
    used.add(Path(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["theme"]["favicon"]).name)
    assert used == {path.name for path in (DOCS / "img").iterdir()}


@pytest.mark.parametrize("path", [README, ROOT / "pyproject.toml", *PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_addresses_are_whole_and_encrypted(path):
    for address in ADDRESS.findall(prose(path)):
        parts = urlsplit(address.rstrip(").,;:*"))
        assert parts.scheme == "https" and re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), address


def test_two_clicks_to_a_check_of_ones_own():
    """From the start page to a heading with the words, below which both ways of asking are shown."""
    (target,) = (target for _, text, target in links(DOCS / "index.md") if text == "Check your own configuration")
    name, _, anchor = target.partition("#")
    section = re.search(rf"^#+ [^\n]*\{{ #{anchor} \}}\n(.*?)^## ", (DOCS / name).read_text(encoding="utf-8"), re.M | re.S)
    assert section is not None and "$ identify check" in section[1] and "idf.check(" in section[1]
    assert prose(DOCS / "index.md").index(target) < prose(DOCS / "index.md").index("\n| You want to |")


def test_start_page_leads_to_every_section():
    """One link at least into each section of the navigation but the last one, which is at its end."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    linked = {target.partition("#")[0] for _, _, target in links(DOCS / "index.md")}
    for entry in config["nav"]:
        ((title, content),) = entry.items()
        assert pages_of(content) & linked or title == "Contributing", title


def pages_of(entry) -> set[str]:
    """The pages of an entry of the navigation, whatever is nested in it."""
    return {entry} if isinstance(entry, str) else {page for item in entry for inner in item.values() for page in pages_of(inner)}


def test_no_more_than_fifteen_entries_of_the_navigation_are_visible():
    """The tabs, the groups of the current one, and the pages of the open group."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert "navigation.tabs" in config["theme"]["features"] and "navigation.expand" not in config["theme"]["features"]
    for tab in config["nav"]:
        ((title, groups),) = tab.items()
        opened = max((len(inner) for group in groups for inner in group.values() if not isinstance(inner, str)), default=0)
        assert len(config["nav"]) + len(groups) + opened <= 15, title


def test_no_code_is_published_as_pages():
    """Neither the hooks, nor the bytecode that Python writes beside them."""
    excluded = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["exclude_docs"].split()
    assert {"*.py", "__pycache__/"} <= set(excluded)


def test_no_sentence_is_written_twice():
    seen: dict[str, str] = {}
    for path in (*PAGES, *NOTEBOOKS):
        for line in set(prose(path).splitlines()):
            words = " ".join(line.split())
            if len(words) > 80 and not words.startswith("|---"):
                assert words not in seen, f"{path.name} and {seen[words]}: {words}"
                seen[words] = path.name


def test_citation():
    """The file is about this version, and about the paper that the theory names; the README points to it."""
    assert "(CITATION.cff)" in README.read_text(encoding="utf-8")
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(content) and content["cff-version"] == "1.2.0"
    assert content["version"] == version("kkt-identify") and content["type"] == "software"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'license = "{content["license"]}"' in project and f'"{content["authors"][0]["name"]}"' in project
    (paper,) = content["references"]
    assert {"type", "title", "authors"} <= set(paper) and paper["url"] in project
    names = ", ".join(author["family-names"] for author in paper["authors"])
    assert f"{names}. *{paper['title']}.*" in (DOCS / "theory.md").read_text(encoding="utf-8")
    assert paper["identifiers"][0]["value"] in idf.theorems["splitting"].reference
