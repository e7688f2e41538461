"""Build hook: formulas become MathML, which browsers render without a script; ReST roles of docstrings become code or formulas.

What the copy button of a console takes is its commands, without the prompt.
"""

import re
from html import escape, unescape

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>|:math:<code>(.*?)</code>', re.S)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.S)
SIGN = re.compile(r"((?:&#x00028;|&#x0002C;|&#x0003D;|&#x000B1;)</mo>)<mo>(&#x02212;|&#x0002B;)</mo>")
CONSOLE = re.compile(r'<div class="highlight">(<pre>.*?</pre>)</div>', re.S)
PROMPT = '<span class="gp">'
ROLE = re.compile(r":(?:class|meth|attr|func|mod|data|exc):<code>[~!]?(.*?)</code>")


def on_page_content(html, page, **_):
    html = BLOCK.sub(lambda m: f'<div class="formula">{convert(unescape(m[1]).strip(), display="block")}</div>', html)
    html = INLINE.sub(lambda m: convert(unescape(m[1] or m[2])), html)
    html = SIGN.sub(r'\1<mo form="prefix">\2</mo>', html)
    html = ROLE.sub(r"<code>\1</code>", html)
    html = CONSOLE.sub(lambda m: console(m[1]) if PROMPT in m[1] else m[0], html)
    left = re.search(r":math:|\.\. math::|class=\"arithmatex\".{0,60}", html)
    if left:
        raise PluginError(f"{page.file.src_uri}: a formula was left over near {html[left.start() - 40 : left.end() + 80]!r}")
    return html


def console(block):
    """A block with a prompt, which says what to copy: the commands behind it."""
    lines = unescape(re.sub(r"<[^>]*>", "", block)).splitlines()
    commands = "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    return f'<div class="highlight" data-copy="{escape(commands)}">{block}</div>'
