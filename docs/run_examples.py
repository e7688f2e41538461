"""Build hook: fenced blocks marked ``exec`` are run and followed by what they print, so that no output here can drift.

``console exec`` runs every line that starts with ``$`` (with ``stderr``: standard error is shown too); ``python exec`` runs
in one namespace per page; ``python exec markdown`` puts what is printed into the page in place of the code. ``head=N`` cuts
the output after N lines. A page has one scratch folder; PNG files that are written there become files beside the page. A
failure fails the build.
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
from mkdocs.structure.files import File

FENCE = re.compile(r"^```(console|python) exec( stderr| markdown)?(?: head=(\d+))?\n(.*?)^```$", re.M | re.S)


def on_page_markdown(markdown, page, config, files, **_):
    names = {"__name__": "example"}
    with tempfile.TemporaryDirectory() as folder:

        def replace(match):
            language, option, head, code = match.groups()
            try:
                with contextlib.chdir(folder):
                    return (run_console if language == "console" else run_python)(code, head, option=option, names=names)
            except Exception as error:
                raise PluginError(f"{page.file.src_uri}: an example failed: {error}\n{code}") from error

        done = FENCE.sub(replace, markdown)
        for picture in sorted(Path(folder).glob("*.png")):
            place = Path(page.file.src_uri).with_name(picture.name).as_posix()
            if files.get_file_from_path(place) is not None:
                raise PluginError(f"{page.file.src_uri}: a picture {place} exists already")
            files.append(File.generated(config, place, content=picture.read_bytes()))
        return done


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
