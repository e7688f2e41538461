"""``identify demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from identify.base.options import PRECISIONS
from identify.cli.app import Json, Seed, app, examples
from identify.cli.console import print_json, print_text, progress
from identify.cli.values import NEW_FOLDER, between, one_of


@app.command(epilog=examples("identify demo", "identify demo --act 2 --width 20", 'identify demo --act 2 --activation "z^2" --out square'))
def demo(
    act: Annotated[
        int | None, typer.Option(help="Play act 1 (weights alone) or act 2 (one gradient) only.", show_default=False, **between(1, 2))
    ] = None,
    samples: Annotated[int, typer.Option("--samples", "-n", help="Act 2: number of digits, up to 60.", **between(1, 60))] = 20,
    width: Annotated[int, typer.Option("--width", "-m", help="Act 2: number of neurons.", **between(1))] = 150,
    activation: Annotated[str, typer.Option("--activation", "-a", help="Act 2: activation.", metavar="<polynomial>")] = "z + z^2/2 + z^3",
    dtype: Annotated[str, typer.Option(help="Act 2: precision of the gradient.", **one_of(PRECISIONS))] = "float32",
    out: Annotated[Path, typer.Option(help="Folder for report.html and the pictures.", **NEW_FOLDER)] = Path("identify-demo"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Recover real digits from weights, and from one gradient.

    Writes report.html, the pictures, and a problem file for each act.
    """
    from identify.cli import demonstration as play
    from identify.report.html import require_pages

    require_pages()  # before the work, not after it
    acts = []
    with progress() as step:
        if act in (None, 1):
            acts.append(play.weights_alone(seed=seed, progress=lambda name: step(f"act 1: {name}")))
        if act in (None, 2):
            acts.append(
                play.one_gradient(
                    samples=samples,
                    width=width,
                    activation=activation,
                    dtype=dtype,
                    seed=seed,
                    progress=lambda name: step(f"act 2: {name}"),
                )
            )
        step("writing the report")
        written = play.write(acts, out)
    if as_json:
        print_json({"acts": [_act_json(one) for one in acts], "files": [str(path) for path in written]})
        return
    for one in acts:
        print_text(f"\n{one.title}\n{'=' * len(one.title)}\n{one.lead}\n")
        print_text(f"{one.system.n_equations} equations in {one.system.n_unknowns(len(one.X))} unknowns:")
        print_text("\n".join(f"  {line}" for line in one.system.describe()) + "\n")
        print_text(one.report.explain() + "\n")
        if one.found is None:
            print_text(f"Not recovered. {one.failure}.")
        elif one.errors is not None:
            print_text(f"Recovered {len(one.X)} images: worst relative error {one.errors.max():.1e}, residual {one.found.residual:.1e}")
            print_text("  relative errors: " + " ".join(f"{e:.0e}" for e in one.errors))
    print_text("\nWritten: " + ", ".join(str(path) for path in written))


def _act_json(act: Any) -> dict[str, Any]:
    from identify.problem.verdict import jsonable

    content = {"title": act.title, "report": act.report.to_dict(), "failure": act.failure, "errors": act.errors}
    if act.found is not None:
        content |= {"residual": act.found.residual, "error_bars": act.found.error_bars, "evidence": act.found.evidence}
    return jsonable(content)
