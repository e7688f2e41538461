"""The examples of the pages and the notebooks are run here: side by side, one for each core, and only those that changed.

What was run is kept in ``.cache/docs`` until its source, the package, one of these scripts or a library that matters changes.
The hooks ``notebooks.py`` and ``run_examples.py`` share the processes; no module of MkDocs is imported, so that these start quickly.
"""

import base64
import contextlib
import gc
import hashlib
import io
import json
import logging
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

SECONDS = 180
"""Longest time for one cell of a notebook."""
MATTERS = ("ipykernel", "jax", "matplotlib", "numpy", "python-flint", "scikit-learn", "scipy", "sympy")
FENCE = re.compile(r"^```(console|python) exec( stderr| markdown)?(?: head=(\d+))?\n(.*?)^```$", re.M | re.S)
HERE = Path(__file__).parent
log = logging.getLogger("mkdocs.hooks.running")
_pool: list[ProcessPoolExecutor] = []


def start(run: Callable, *arguments) -> Future:
    """``run(*arguments)`` in one of the processes, of which there are as many as cores."""
    if not _pool:
        sys.path.extend({str(HERE)} - set(sys.path))  # where the processes find this module
        _compile_quickly()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        _pool.append(ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), initializer=_prepare))
    return _pool[0].submit(_told, run, *arguments)


def _compile_quickly() -> None:
    """As the tests do: the programs of the examples are small, too, and one process compiles for all."""
    sys.path.append(str(HERE.parent / "tests"))
    try:
        from support import compiling
    finally:
        sys.path.pop()
    compiling.set_up()


def stop() -> None:
    """End the processes; what has not begun is left out."""
    while _pool:
        _pool.pop().shutdown(wait=False, cancel_futures=True)


def _prepare() -> None:
    gc.set_threshold(20_000, 20, 20)  # as in the tests: what examples make is many objects and almost no cycles
    for threads in ("OPENBLAS_NUM_THREADS", "NPROC"):  # of NumPy and of XLA: the cores are taken by the other processes
        os.environ.setdefault(threads, "1")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)-7s -  %(message)s"))  # as MkDocs prints
    log.addHandler(handler)
    log.setLevel(logging.INFO)


def _told(run: Callable, *arguments):
    try:
        return run(*arguments)
    except Exception as error:  # those of a kernel cannot always be sent to another process
        raise RuntimeError(str(error)) from None


def kept(root: Path, name: str, source: bytes, run: Callable[[], str]) -> str:
    """What ``run()`` returned for the same source, package, scripts and libraries; else what it returns now."""
    digest = hashlib.sha256(source)
    files = [path for path in (root / "identify").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in sorted([*files, *HERE.glob("*.py")]):
        digest.update(path.read_bytes())
    digest.update("".join(map(version, MATTERS)).encode())
    folder = root / ".cache" / "docs"
    path = folder / f"{name.replace('/', '+')}-{digest.hexdigest()[:16]}"
    if path.exists():
        return path.read_text(encoding="utf-8")
    began = time.monotonic()
    text = run()
    log.info("%s: run in %.0f s", name, time.monotonic() - began)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{path.name[:-17]}-" + "[0-9a-f]" * 16):
        old.unlink()
    unfinished = path.with_suffix(".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
    return text


def notebook(root: Path, path: Path) -> str:
    """The notebook with its outputs, as the text of a file."""
    import nbformat
    from nbclient import NotebookClient

    def run() -> str:
        content = nbformat.read(path, as_version=4)
        quiet = {"kernel_name": "python3", "extra_arguments": ["--log-level=ERROR"]}
        NotebookClient(content, timeout=SECONDS, resources={"metadata": {"path": str(path.parent)}}, **quiet).execute()
        return nbformat.writes(content)

    return kept(root, path.name, path.read_bytes(), run)


def page(root: Path, name: str, markdown: str) -> tuple[str, dict[str, bytes]]:
    """The page with what its examples print, and the pictures that they make."""
    done = json.loads(kept(root, name, markdown.encode(), lambda: json.dumps(_examples(markdown))))
    return done["markdown"], {picture: base64.b64decode(content) for picture, content in done["pictures"].items()}


def _examples(markdown: str) -> dict:
    names = {"__name__": "example"}
    with tempfile.TemporaryDirectory() as folder:

        def replace(match: re.Match) -> str:
            language, option, head, code = match.groups()
            try:
                with contextlib.chdir(folder):
                    return (run_console if language == "console" else run_python)(code, head, option=option, names=names)
            except Exception as error:
                raise RuntimeError(f"an example failed: {error}\n{code}") from error

        done = FENCE.sub(replace, markdown)
        pictures = {path.name: base64.b64encode(path.read_bytes()).decode() for path in sorted(Path(folder).glob("*.png"))}
    return {"markdown": done, "pictures": pictures}


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
