"""``identify theorems``."""

from __future__ import annotations

from typing import Annotated

import typer

from identify.cli.app import Json, Seed, app
from identify.cli.console import print_json, print_text, progress


@app.command(epilog="Example: identify theorems interpolation --trials 5")
def theorems(
    name: Annotated[str | None, typer.Argument(help="Which one. Without it, a list.", show_default=False)] = None,
    trials: Annotated[int, typer.Option(help="Random instances, and as many nearest violations.")] = 20,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """The theorems that verdicts rest on: what they say, and how they fare on random instances."""
    from identify.theory.registry import theorems as registry

    if name is None:
        if as_json:
            print_json([theorem.to_dict() for theorem in registry.values()])
            return
        for theorem in registry.values():
            print_text(f"{theorem.name}: {theorem.title}\n    {theorem.reference}")
        return
    theorem = registry[name]
    with progress() as step:
        found = theorem.verify(trials=trials, seed=seed, progress=step)
    if as_json:
        print_json(theorem.to_dict() | {"trials": found.to_dict()})
    else:
        print_text(f"{theorem}\n\n{found}")
    if found.counterexamples:
        raise typer.Exit(1)
