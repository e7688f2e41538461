"""Command lines: every option of every command, with values that fit and values that do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import numpy as np
import typer

from identify import cli

from .targets import TARGETS

SKIPPED = ("demo",)
"""Commands whose shortest run takes seconds; their options are tried with --help."""
NUMBERS = ["-1", "0", "1", "1", "2", "2", "3", "3", "4", "1000000000000", "9" * 400, "nan", "inf", "-0.5", "1e-3", "1e400", "", "x", "२"]
TEXTS = [
    "z + z^2",
    "z^3",
    "z^3",
    "relu",
    "both",
    "first",
    "gradient",
    "lazy",
    "max-margin",
    "auto",
    "haim",
    "loo",
    "float32",
    "rate=1",
    "2x2",
]
TEXTS += ["z^" + "9" * 50, "(" * 200, "", "\x1b[31m", "--", "é\udcff", "a\nb", "{0}", "[red]", "0x0", "rate=", "interpolation"]
FIXED = {"recover": ["--budget", "1"], "check": ["--budget", "1"], "attack": ["--steps", "2", "-k", "2"]}
"""So that what is right ends soon."""


def lines(count: int, seed: int, folder: Path) -> Iterator[list[str]]:
    """Arguments without the name of the program."""
    app = typer.main.get_command(cli.app)
    kinds = {(each.name or each.callback.__name__): get_type_hints(each.callback) for each in cli.app.registered_commands if each.callback}
    files = _files(folder)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        name = str(rng.choice(list(app.commands)))
        yield _line(name, app.commands[name].params, kinds[name], rng, files)


def _files(folder: Path) -> list[str]:
    """Names of files that fit, that do not, and where results may go."""
    names = ["absent.npz", ".", "/dev/null", "", "out.npz", "out.html", "out.json", "no/folder/out.npz", "\0", "x" * 300]
    for target, suffix in (("npz", "npz"), ("certificate", "json"), ("equinox", "eqx")):
        for number, content in enumerate(TARGETS[target].valid()):
            for kind, part in (("whole", content), ("cut", content[: len(content) // 2])):
                names.append(f"{kind}{number}.{suffix}")
                (folder / names[-1]).write_bytes(part)
    return names


def _line(name: str, params: list, kinds: dict, rng: np.random.Generator, files: list[str]) -> list[str]:
    arguments = [name]
    chosen = [param for param in params if rng.random() < (0.8 if param.param_type_name == "argument" or param.name in USUAL else 0.12)]
    for param in chosen:
        kind = str(kinds[param.name])
        pool = files if "Path" in kind else NUMBERS if "int" in kind or "float" in kind else TEXTS
        if param.param_type_name == "argument":
            arguments.append(str(pool[rng.integers(len(pool))]))
            continue
        flag = str(param.opts[rng.integers(len(param.opts))])
        arguments += [flag] if param.is_flag else [flag, str(pool[rng.integers(len(pool))])]
    if rng.random() < 0.1:
        arguments.insert(int(rng.integers(len(arguments) + 1)), TEXTS[rng.integers(len(TEXTS))])
    arguments += FIXED.get(name, [])
    return arguments + (["--help"] if name in SKIPPED else [])


USUAL = ("inputs", "samples", "width", "activation")
"""Options without which nothing is done."""
