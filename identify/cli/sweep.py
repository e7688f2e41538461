"""``identify sweep``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from identify.base.errors import InputError
from identify.cli.app import Json, app, examples
from identify.cli.console import counting, fail, print_json, print_text
from identify.cli.values import COUNT, NEW_FOLDER

if TYPE_CHECKING:
    from identify.sweeps.results import Sweep


@app.command(
    epilog=examples(
        "identify sweep grid.toml --store runs",
        "identify sweep grid.toml --store runs --workers 4 --retry-failed",
        "identify sweep grid.toml --store runs --cluster scheduler.json",
    )
)
def sweep(
    grid: Annotated[Path, typer.Argument(help="TOML file: lists of inputs, samples, width, activation, ..., and measure.")],
    store: Annotated[Path, typer.Option(help="Folder for the results; an existing one is continued.", **NEW_FOLDER)] = Path("runs"),
    cluster: Annotated[
        str | None,
        typer.Option(help="Dask scheduler: tcp://host:port, or its scheduler file (.json).", show_default=False, metavar="<address>"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes on this machine; default: all processors.", show_default=False, **COUNT)
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run tasks that ended with an error again.")] = False,
    as_json: Json = False,
) -> None:
    """Run checks or recoveries over a grid, and continue after a stop.

    Verdicts, thresholds or recoveries over sizes, activations, seeds and noise.
    """
    from identify.sweeps.sweep import sweep as run
    from identify.sweeps.workers import SweepError
    from identify.sweeps.workers import cluster as connect

    if cluster is not None and workers is not None:
        raise InputError("--workers: sets processes on this machine; a cluster has its own, so omit it")
    try:
        with nullcontext() if cluster is None else connect(cluster) as executor, counting() as step:
            found = run(grid, store=store, executor=executor, workers=workers, retry_failed=retry_failed, progress=step)
    except KeyboardInterrupt:
        fail(f"interrupted; finished tasks are in {store}: the same command continues from there", 130)
    except SweepError as error:
        fail(str(error), 1)
    if as_json:
        print_json({"store": str(store), **found.counts, "rows": found.table()})
    else:
        _show(found, store)
    if found.counts["failed"]:
        raise typer.Exit(1)


def _show(found: Sweep, store: Path) -> None:
    from identify.sweeps.summary import summary

    print_text(f"{summary(found)}\nResults: {store}   (identify plot {store} draws them)")
