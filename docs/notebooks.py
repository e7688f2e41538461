"""Build hook: every notebook of ``notebooks/`` is executed and becomes a page of ``tutorials/``. A cell that fails, or that writes to
standard error, fails the build.

The tag ``hide-input`` folds the code of a cell; ``alt`` in its metadata describes its pictures (else the heading above does).
"""

import base64
import re
from concurrent.futures import Future
from pathlib import Path

import nbformat
import running
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

TYPES = ("image/png", "image/gif", "text/markdown", "text/latex", "text/html", "text/plain")
"""Of the forms of one output the first is shown."""
COLOUR = r"\x1b\[[0-9;]*m"
raw: dict[str, str] = {}
started: dict[Path, Future] = {}


def on_config(config):
    """The notebooks are begun first, because they take longest."""
    started.clear()
    root = Path(config.config_file_path).parent
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        started[path] = running.start(running.notebook, root, path)


def on_files(files, config):
    raw.clear()
    for path, future in started.items():
        try:
            page = Page(path.stem, nbformat.reads(future.result(), as_version=4))
        except Exception as error:
            running.stop()
            raise PluginError(f"notebooks/{path.name}: {re.sub(COLOUR, '', str(error))}") from error
        for name, content in page.files.items():
            files.append(File.generated(config, f"tutorials/{name}", content=content))
        files.append(File.generated(config, f"tutorials/{path.name}", abs_src_path=str(path)))
        files.append(File.generated(config, f"tutorials/{path.stem}.md", content=page.markdown))
    return files


def on_page_content(html, **_):
    return re.sub(r'<div data-output="(.*?)"></div>', lambda match: f'<div class="output-html">{raw[match[1]]}</div>', html)


class Page:
    """Markdown of an executed notebook, and the pictures beside it."""

    def __init__(self, stem, notebook):
        self.stem, self.files, self.heading = stem, {}, stem
        parts = [self.cell(cell) for cell in notebook.cells]
        link = f'[Download this notebook]({stem}.ipynb){{ download="{stem}.ipynb" }} and change its parameters.\n{{ .download }}'
        self.markdown = "\n\n".join([parts[0], link, *parts[1:]]) + "\n"

    def cell(self, cell):
        if cell.cell_type == "markdown":
            self.heading = (re.findall(r"^#+ (.*)$", cell.source, re.M) or [self.heading])[-1]
            return cell.source
        code = f"```python\n{cell.source}\n```"
        if "hide-input" in cell.metadata.get("tags", ()):
            code = f'<details class="code" markdown="1"><summary>Code</summary>\n\n{code}\n\n</details>'
        alt = cell.metadata.get("alt", self.heading)
        return "\n\n".join([code, *(self.output(output, alt) for output in merged(cell.outputs))])

    def output(self, output, alt):
        if output.output_type == "stream":
            if output.name == "stderr":
                raise ValueError(f"a cell wrote to standard error: {output.text}")
            return text(output.text)
        kind = next(name for name in TYPES if name in output.data)
        data = output.data[kind]
        if kind.startswith("image/"):
            name = f"{self.stem}-{len(self.files) + 1}.{kind.removeprefix('image/')}"
            self.files[name] = base64.b64decode(data)
            return f"![{alt}]({name})"
        if kind == "text/html":
            key = f"{self.stem}-{len(raw)}"
            raw[key] = data
            return f'<div data-output="{key}"></div>'
        if kind == "text/latex":
            formula = re.sub(r"\\displaystyle|(?<=\\\\)\[\w+\]", "", data.strip().strip("$"))  # latex2mathml knows no space between rows
            return f"$$\n{formula.strip()}\n$$"
        return data if kind == "text/markdown" else text(data)


def merged(outputs):
    """Outputs with what was printed in several writes put together."""
    out = []
    for output in outputs:
        if output.output_type == "stream" and out and out[-1].output_type == "stream" and out[-1].name == output.name:
            out[-1] = nbformat.from_dict({**out[-1], "text": out[-1].text + output.text})
        else:
            out.append(output)
    return out


def text(printed):
    return f"```{{ .text .output }}\n{printed.rstrip()}\n```"
