"""``identify theorems``."""

from __future__ import annotations

from typing import Annotated

import typer

from identify.base.options import THEOREMS
from identify.cli.app import Json, Seed, app, examples
from identify.cli.console import print_json, print_text, progress
from identify.cli.values import COUNT, one_of


@app.command(epilog=examples("identify theorems", "identify theorems interpolation --trials 5"))
def theorems(
    theorem: Annotated[
        str | None, typer.Argument(help="Name of a theorem. Without it, a list.", show_default=False, **one_of(THEOREMS))
    ] = None,
    trials: Annotated[int, typer.Option(help="Random instances, and as many nearest violations.", **COUNT)] = 20,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """List the theorems, or try one on random instances.

    The theorems that verdicts rest on, with trials on random instances: some satisfy the hypotheses, and some just violate them.
    """
    from identify.theory.registry import theorems as registry

    if theorem is None:
        if as_json:
            print_json([one.to_dict() for one in registry.values()])
            return
        for one in registry.values():
            print_text(f"{one.name}: {one.title}\n    {one.reference}")
        return
    chosen = registry[theorem]
    with progress() as step:
        found = chosen.verify(trials=trials, seed=seed, progress=step)
    if as_json:
        print_json(chosen.to_dict() | {"trials": found.to_dict()})
    else:
        print_text(f"{chosen}\n\n{found}")
    if found.counterexamples:
        raise typer.Exit(1)
