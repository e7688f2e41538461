"""``identify plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from identify.base.options import AXES, PICTURES
from identify.cli.app import Json, app, examples
from identify.cli.console import print_json, print_text
from identify.cli.values import NEW_FOLDER, one_of


@app.command(
    epilog=examples("identify plot runs", "identify plot runs --x samples --y width --where 'noise == 0' --out figures --format svg")
)
def plot(
    store: Annotated[Path, typer.Argument(help="Folder that identify sweep --store wrote.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures; default: the store.", show_default=False, **NEW_FOLDER)] = None,
    x: Annotated[
        str | None, typer.Option("--x", help="Horizontal axis; default: the size with the most values.", show_default=False, **one_of(AXES))
    ] = None,
    y: Annotated[str | None, typer.Option("--y", help="Vertical axis; default: the next one.", show_default=False, **one_of(AXES))] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="Only these points, as in 'noise == 0'; may be repeated.", show_default=False, metavar="<condition>"),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="Format of the pictures.", **one_of(PICTURES))] = "png",
    as_json: Json = False,
) -> None:
    """Draw the phase diagrams of a sweep.

    One picture for each measure: verdicts, thresholds, success of recovery, error against noise, and what updates reveal.
    """
    from identify.sweeps.results import Sweep

    written = Sweep.load(store).plot(out, x=x, y=y, where=where or (), form=form)
    if as_json:
        print_json({"files": [str(path) for path in written]})
    else:
        print_text("Written: " + ", ".join(map(str, written)))
