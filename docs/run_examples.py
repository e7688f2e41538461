"""Build hook: fenced blocks marked ``exec`` are run and followed by what they print, so that no output here can drift.

``console exec`` runs every line that starts with ``$`` (with ``stderr``: standard error is shown too); ``python exec`` runs
in one namespace per page; ``python exec markdown`` puts what is printed into the page in place of the code. ``head=N`` cuts
the output after N lines. A page has one scratch folder. A failure fails the build.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from mkdocs.exceptions import PluginError

FENCE = re.compile(r"^```(console|python) exec( stderr| markdown)?(?: head=(\d+))?\n(.*?)^```$", re.M | re.S)


def on_page_markdown(markdown, page, **_):
    names = {"__name__": "example"}
    with tempfile.TemporaryDirectory() as folder:

        def replace(match):
            language, option, head, code = match.groups()
            try:
                with contextlib.chdir(folder):
                    return (run_console if language == "console" else run_python)(code, head, option=option, names=names)
            except Exception as error:
                raise PluginError(f"{page.file.src_uri}: an example failed: {error}\n{code}") from error

        return FENCE.sub(replace, markdown)


def run_console(code, head, *, option, **_):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = []
    for command in re.findall(r"^\$ (.*(?:\\\n.*)*)", code, re.M):
        result = subprocess.run(["bash", "-o", "pipefail", "-c", command], env={**os.environ, "PATH": path}, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(f"exit status {result.returncode}\n{result.stderr}")
        shown.append(f"$ {command}\n{cut((result.stderr if option else '') + result.stdout, head)}".rstrip())
    return "```console\n" + "\n".join(shown) + "\n```"


def run_python(code, head, *, option, names):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "example", "exec"), names)
    if option:
        return out.getvalue()
    shown = cut(out.getvalue(), head).rstrip()
    return f"```python\n{code}```" + (f"\n\n```{{ .text .output }}\n{shown}\n```" if shown else "")


def cut(text, head):
    lines = text.splitlines()
    return "\n".join([*lines[: int(head)], "…"] if head and len(lines) > int(head) else lines)
