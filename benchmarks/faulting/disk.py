"""A disk that is full: what was there stays, nothing half written stays, and one line says why."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import identify
from identify import cli
from identify.checkpoints.problems import save_arrays

from .counted import Row, is_clear, row
from .things import THINGS, Thing, snapshot, states, stores, systems, temporaries

PAGE = 4096
SIZE = 2**21


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of 2 MiB; None where this process may not mount one."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(["mount", *options], capture_output=True).returncode == 0
    except OSError:
        mounted = False
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def room(disk: Path, size: int) -> Iterator[None]:
    """Only that many bytes are free on the disk."""
    filler = disk / "filler"
    free = os.statvfs(disk)
    filler.write_bytes(bytes(max(free.f_bavail * free.f_frsize - size, 0)))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may become larger than that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def judged(thing: Thing, folder: Path, whole: list[dict[str, bytes]], limited: contextlib.AbstractContextManager) -> str:
    """What became of the file when another was to take its place."""
    thing.write(folder, 0)
    try:
        with limited:
            thing.write(folder, 1)
    except Exception as error:
        found = snapshot(folder)
        if temporaries(folder):
            return "left a temporary file"
        if found != whole[0] and not (thing.may_be_absent and not found):
            return "damaged"
        return "refused" if is_clear(error) else f"crash: {type(error).__name__}"
    return "right" if snapshot(folder) == whole[1] and not temporaries(folder) else "damaged"


def full(folder: Path, seed: int, quick: bool) -> Iterator[Row]:
    """Every writer with any number of free pages up to what it needs, and at 20 limits of the size of a file; then the commands.

    If ``quick``, with every sixth number, 4 limits and two commands.
    """
    with small_disk(folder / "disk") as disk:
        for number, (name, thing) in enumerate(THINGS.items()):
            rng = np.random.default_rng([seed, number])
            whole = states(thing, folder / f"{number}-lone")
            if disk is not None:
                (place := disk / str(number)).mkdir()
                needed = sum(-(-len(content) // PAGE) for content in whole[1].values())
                pages = range(0, needed + 1, 6 if quick else 1)
                yield row("disk full", name, [judged(thing, place, whole, room(disk, free * PAGE)) for free in pages])
            (place := folder / str(number)).mkdir()
            sizes = rng.integers(0, max(map(len, whole[1].values())), 4 if quick else 20)
            yield row("file too large", name, [judged(thing, place, whole, largest_file(int(size))) for size in sizes])
        inputs(folder)
        fault = "disk full" if disk is not None else "file too large"
        names, outcomes = list(COMMANDS)[: 2 if quick else None], []
        for name in names:
            arguments, output, free = COMMANDS[name]
            (place := (disk or folder) / name.replace(" ", "")).mkdir()
            limited = (lambda free=free: room(disk, free * PAGE)) if disk is not None else (lambda free=free: largest_file(400 * free))
            found = command(arguments(folder), place, output, limited)
            outcomes.append(found if found == "refused" else f"{name}: {found}")
        yield row(fault, "`identify`", outcomes, ", ".join(f"`{name}`" for name in names))


SHAPE = ["-d", "3", "-m", "8", "-a", "z + z^2/2 + z^3"]
COMMANDS: dict[str, tuple[Callable[[Path], list[str]], str, int]] = {
    "check --html": (lambda _: ["check", "-n", "2", *SHAPE, "--html", "out.html"], "out.html", 0),
    "check --certificate": (lambda _: ["check", "-n", "2", *SHAPE, "--certificate", "out.json"], "out.json", 0),
    "recover --out": (lambda _: ["recover", "-n", "2", *SHAPE, "--out", "out.npz"], "out.npz", 0),
    "recover --certificate": (lambda _: ["recover", "-n", "2", *SHAPE, "--certificate", "out.json"], "out.json", 0),
    "recover --checkpoint": (
        lambda _: ["recover", "-n", "2", *SHAPE, "--method", "projection", "--starts", "4", "--checkpoint", "out"],
        "out/question.txt",
        1,
    ),
    "attack --out": (lambda at: ["attack", str(at / "network.npz"), "--steps", "10", "--out", "out.npz"], "out.npz", 0),
    "attack --html": (lambda at: ["attack", str(at / "network.npz"), "--steps", "10", "--html", "out.html"], "out.html", 0),
    "attack --checkpoint": (
        lambda at: ["attack", str(at / "network.npz"), "--steps", "10", "--checkpoint", "out"],
        "out/question.txt",
        1,
    ),
    "audit": (lambda at: ["audit", str(at / "problem.npz"), "--out", "out"], "out/report.json", 1),
    "demo": (lambda _: ["demo", "--act", "2", "-n", "3", "-m", "20", "--out", "out"], "out/report.html", 1),
    "sweep": (lambda at: ["sweep", str(at / "grid.toml"), "--store", "out", "--workers", "1"], "out/question.txt", 1),
    "plot": (lambda _: ["plot", str(stores()[0]), "--out", "out"], "out/verdict.png", 1),
}
"""Arguments, what they write, and the pages that are free: with one, a label or a folder can be written, and then no more."""


def inputs(folder: Path) -> None:
    """What the commands read."""
    rng = np.random.default_rng(0)
    save_arrays(folder / "network.npz", {"W1": rng.standard_normal((6, 3)), "W2": np.ones((1, 6)), "X": rng.standard_normal((2, 3))})
    identify.save_problem(folder / "problem.npz", systems()[0])
    (folder / "grid.toml").write_text('measure = "verdict"\ninputs = [3, 4]\nsamples = [2]\nwidth = [6]\nactivation = "z + z^3"\n')


def command(arguments: list[str], place: Path, output: str, limited: Callable[[], contextlib.AbstractContextManager]) -> str:
    """What a command does where what it writes, or the rest of it, has no room; checkpoints and stores begin without a label."""
    if not output.endswith("question.txt"):
        (place / output).parent.mkdir(exist_ok=True)
        (place / output).write_bytes(b"before")
    before, out, errors = snapshot(place), io.StringIO(), io.StringIO()
    argv, sys.argv, cwd = sys.argv, ["identify", *arguments], os.getcwd()
    os.chdir(place)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), limited():
            cli.main()
        status = 0
    except SystemExit as stop:
        status = int(stop.code or 0)
    except Exception as error:
        return f"crash: {type(error).__name__}"
    finally:
        sys.argv = argv
        os.chdir(cwd)
    found, last = snapshot(place), errors.getvalue().strip().rpartition("\n")[2]
    if temporaries(place):
        return "left a temporary file"
    if {name: content for name, content in found.items() if name != output or output in before} != before:
        return "damaged"
    clear = last.startswith("identify: ") and ("No space left" in last or "too large" in last)
    return "refused" if status == 2 and clear else f"status {status}: {last[:80]}"
