"""``identify sweep``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from identify.base.errors import InputError
from identify.base.options import natural
from identify.cli.app import (
    BatchSize,
    Epochs,
    Json,
    LearningRate,
    Loss,
    Momentum,
    Samples,
    Seed,
    Steps,
    Trust,
    WeightDecay,
    app,
    examples,
)
from identify.cli.console import counting, fail, print_json, print_text
from identify.cli.subjects import training_of
from identify.cli.values import COUNT, NEW_FOLDER, OLD_FILE, SECONDS

if TYPE_CHECKING:
    from identify.sweeps.results import Sweep


@app.command(
    epilog=examples(
        "identify sweep grid.toml --store runs",
        "identify sweep grid.toml --store runs --workers 4 --retry-failed",
        "identify sweep grid.toml --store runs --cluster scheduler.json",
        "identify sweep round7/ --model model.npz --store runs",
        "identify sweep clients/ --model before.pt --steps 5 --learning-rate 0.01 -a relu --store runs",
    )
)
def sweep(
    grid: Annotated[
        Path,
        typer.Argument(
            help="TOML file: lists of inputs, samples, width, activation, ..., and measure. Or a folder of updates: problem files, or "
            "gradients at --model, or the networks that clients made of it (--steps)."
        ),
    ],
    store: Annotated[Path, typer.Option(help="Folder for the results; an existing one is continued.", **NEW_FOLDER)] = Path("runs"),
    cluster: Annotated[
        str | None,
        typer.Option(help="Dask scheduler: tcp://host:port, or its scheduler file (.json).", show_default=False, metavar="<address>"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes on this machine; default: all processors.", show_default=False, **COUNT)
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run tasks that ended with an error again.")] = False,
    model: Annotated[
        Path | None, typer.Option(help="The network at which all updates of a folder were taken.", show_default=False, **OLD_FILE)
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            "--activation", "-a", help="Activation of the model, unless its file names it.", show_default=False, metavar="<function>"
        ),
    ] = None,
    samples: Samples = None,
    budget: Annotated[float | None, typer.Option(help="Seconds for each update.", show_default="60", **SECONDS)] = None,
    learning_rate: LearningRate = None,
    steps: Steps = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    momentum: Momentum = 0.0,
    weight_decay: WeightDecay = 0.0,
    loss: Loss = None,
    trust: Trust = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run checks over a grid, or recoveries over a folder of updates.

    Verdicts, thresholds or recoveries over sizes, activations, seeds and noise; or the batch behind every update of a federated round. The
    same command continues after a stop.
    """
    from identify.sweeps.sweep import sweep as run
    from identify.sweeps.sweep import sweep_updates
    from identify.sweeps.workers import SweepError
    from identify.sweeps.workers import cluster as connect

    if cluster is not None and workers is not None:
        raise InputError("--workers: sets processes on this machine; a cluster has its own, so omit it")
    common: dict[str, Any] = {"store": store, "workers": workers, "retry_failed": retry_failed}
    given: dict[str, Any] = {"model": model, "activation": activation, "samples": samples, "budget": budget}
    training = training_of(learning_rate, steps, epochs, batch_size, momentum, weight_decay, loss)
    given |= {"trust": trust or None, "seed": seed or None, "training": training or None}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not grid.is_dir():
        options = (set(given) - {"training"}) | set(training)
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(options, key=natural))
        raise InputError(f"{named}: is about updates, but {grid} is not a folder; a grid names these itself: omit it, or give a folder")
    try:
        with nullcontext() if cluster is None else connect(cluster) as executor, counting() as step:
            if grid.is_dir():
                found = sweep_updates(grid, executor=executor, progress=step, **given, **common)
            else:
                found = run(grid, executor=executor, progress=step, **common)
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
