"""Chromium for tests of pages: one browser, pages without a network, and questions to ask of a page, in its own words."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
OPTIONS = (
    "--no-sandbox",  # root, as in a container, has none
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
MEDIA = ("color_scheme", "forced_colors", "media", "reduced_motion")
SETTLED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
OPEN_ALL = "() => { for (const fold of document.querySelectorAll('details')) fold.open = true }"

HEARD = """() => { window.heard = []; addEventListener('securitypolicyviolation', e => heard.push(e.effectiveDirective)) }"""

BESIDE = """() => {  // what sticks out of the page at its sides and cannot be scrolled to
  const scrolls = e => e && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  const out = e => { const r = e.getBoundingClientRect(); return r.width > 0 && (r.right > innerWidth + 1 || r.left < -1) };
  return [...document.body.querySelectorAll('*')]
    .filter(e => e.checkVisibility() && out(e) && !e.closest('.unseen, .skip') && !scrolls(e.parentElement))
    .map(e => e.tagName + ': ' + e.textContent.trim().slice(0, 40));
}"""

SCROLLERS = """() => [...document.body.querySelectorAll('*')]
  .filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(e).overflowX))
  .map(e => ({tabs: e.tabIndex, name: e.getAttribute('aria-label') || ''}))"""

FAINT = """() => {  // the texts that are shown, and those among them without the contrast of WCAG 2, level AA
  const canvas = document.createElement('div');
  canvas.style.cssText = 'forced-color-adjust: none; background: Canvas';
  document.body.append(canvas);
  const rgba = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a] };
  const base = rgba(getComputedStyle(canvas).backgroundColor);
  canvas.remove();
  const over = (top, below) => top.slice(0, 3).map((v, k) => v * top[3] + below[k] * (1 - top[3]));
  const ground = e => e ? over(rgba(getComputedStyle(e).backgroundColor), ground(e.parentElement)) : base.slice(0, 3);
  const light = rgb => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const shown = [], faint = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.data.trim(), style = getComputedStyle(e);
    if (!text || !e.checkVisibility({opacityProperty: true, visibilityProperty: true}) || e.closest('.unseen, .skip')) continue;
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700), below = ground(e);
    const found = ratio(over(rgba(style.color), below), below);
    shown.push(text);
    if (found < (large ? 3 : 4.5)) faint.push(found.toFixed(2) + ': ' + text.slice(0, 40));
  }
  return {shown: shown.length, faint};
}"""

FOCUSED = """() => {  // the element in focus: its place among those that can have it, whether it shows it, and whether it can be seen
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const all = [...document.querySelectorAll('a[href], summary, [tabindex="0"]')].filter(each => each.checkVisibility());
  const style = getComputedStyle(e), box = e.getBoundingClientRect();
  return {place: all.indexOf(e), tag: e.tagName, isOpen: e.parentElement.open, last: all.length - 1,
    ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && style.maskImage === 'none',
    seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth};
}"""


@contextmanager
def window() -> Iterator[Window]:
    """A window of Playwright's own Chromium or the system's, closed with the loop that drives it; skips where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        program = own if Path(own).exists() else next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            pytest.skip("no Chromium on this machine")
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield Window(browser)
        browser.close()


class Window:
    """One window without a network: the page in it, and all that this asked for and complained about."""

    def __init__(self, browser: Browser) -> None:
        self.page: Page = browser.new_context(offline=True).new_page()
        self.session = self.page.context.new_cdp_session(self.page)
        self.address = ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def show(self, path: Path, *, width: int = 1280, height: int = 800, fragment: str = "", **media: str) -> Window:
        """Load a page anew. ``media``: color_scheme, forced_colors, reduced_motion, as Playwright names them."""
        self.page.goto("about:blank")
        self.resize(width, height)
        self.emulate(**media)
        self.address = path.as_uri() + fragment
        self.requests.clear(), self.complaints.clear()
        self.page.goto(self.address)
        return self

    def resize(self, width: int, height: int = 800) -> None:
        """The page in a window of another size, without loading it anew."""
        self.page.set_viewport_size({"width": width, "height": height})

    def emulate(self, **media: str) -> None:
        """The page as with these settings of a reader, and no others."""
        self.page.emulate_media(**(dict.fromkeys(MEDIA, "null") | media))

    def ask(self, question: str):
        """The answer of a function of JavaScript, once the page has been laid out."""
        self.page.evaluate(SETTLED)
        return self.page.evaluate(question)

    def wait(self, question: str, seconds: float = 10.0) -> bool:
        """Whether the answer becomes true in time. (Playwright's own way evaluates text, which the pages forbid.)"""
        end = time.monotonic() + seconds
        while not (answer := self.ask(question)) and time.monotonic() < end:
            self.page.wait_for_timeout(50)
        return bool(answer)

    def tree(self) -> list[tuple[str, str, dict]]:
        """What a screen reader is told, in order: role, name, properties."""
        nodes = self.session.send("Accessibility.getFullAXTree")["nodes"]
        return [
            (
                node["role"]["value"],
                node.get("name", {}).get("value", ""),
                {each["name"]: each["value"].get("value") for each in node.get("properties", [])},
            )
            for node in nodes
            if not node["ignored"]
        ]
