"""``identify demo``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from identify.base.extras import needed
from identify.base.options import PRECISIONS
from identify.cli.app import Json, Seed, Verbose, app, examples
from identify.cli.console import print_json, print_text, progress
from identify.cli.values import NEW_FOLDER, between, one_of

if TYPE_CHECKING:
    from identify.cli.acts import Act


@app.command(
    epilog=examples(
        "identify demo",
        "identify demo --trained",
        "identify demo --act 1 --data faces",
        "identify demo --act 3 --width 20",
        'identify demo --act 3 --activation "z^2" --out square',
        "identify demo --act 1 --proofs",
    )
)
def demo(
    act: Annotated[
        int | None,
        typer.Option(
            help="Play act 1 (the batch behind one update), act 2 (weights alone) or act 3 (one gradient, with a proof) only.",
            show_default=False,
            **between(1, 3),
        ),
    ] = None,
    data: Annotated[str, typer.Option(help="Act 1: the images; faces need kkt-identify[faces].", **one_of(("digits", "faces")))] = "digits",
    trained: Annotated[bool, typer.Option("--trained", help="Act 1: train the classifier to about 93 % first.")] = False,
    batch: Annotated[int, typer.Option(help="Act 1: number of images, up to 60.", **between(1, 60))] = 32,
    samples: Annotated[int, typer.Option("--samples", "-n", help="Act 3: number of digits, up to 60.", **between(1, 60))] = 20,
    width: Annotated[int, typer.Option("--width", "-m", help="Act 3: number of neurons.", **between(1))] = 150,
    activation: Annotated[str, typer.Option("--activation", "-a", help="Act 3: activation.", metavar="<polynomial>")] = "z + z^2/2 + z^3",
    dtype: Annotated[str, typer.Option(help="Acts 1 and 3: precision of the gradient.", **one_of(PRECISIONS))] = "float32",
    out: Annotated[Path, typer.Option(help="Folder for report.html and the pictures.", **NEW_FOLDER)] = Path("identify-demo"),
    proofs: Annotated[bool, typer.Option("--proofs", help="Also write the proof of each act (.json), for identify verify.")] = False,
    seed: Seed = 0,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Recover real images from one gradient, and from weights alone.

    Writes report.html, the pictures, and a problem file for each act; with --proofs also a certificate of each verdict.
    """
    from identify.cli import acts as play
    from identify.cli.batch_act import one_update
    from identify.cli.demonstration import one_gradient, weights_alone
    from identify.cli.images import CARRIER, PURPOSE
    from identify.report.html import require_pages

    require_pages()  # before the work, not after it, like the images of all acts
    for number, package in ((1, CARRIER[data]), (2, "sklearn"), (3, "sklearn")):
        if act in (None, number):
            needed(package, PURPOSE)
    with progress() as step:

        def told(number: int) -> Callable[[str], None]:
            return lambda name: step(f"act {number}: {name}")

        plays: dict[int, Callable[[], play.Act]] = {
            1: lambda: one_update(data=data, samples=batch, trained=trained, dtype=dtype, seed=seed, progress=told(1)),
            2: lambda: weights_alone(seed=seed, progress=told(2)),
            3: lambda: one_gradient(samples=samples, width=width, activation=activation, dtype=dtype, seed=seed, progress=told(3)),
        }
        acts = [make() for number, make in plays.items() if act in (None, number)]
        made = []
        for one in acts if proofs else ():
            step(f"{one.title.split(':')[0].lower()}: writing the proof")
            made.append(play.proof_of(one))
        step("writing the report")
        written = play.write(acts, out, made)
    if as_json:
        print_json({"acts": [_act_json(one) for one in acts], "files": [str(path) for path in written]})
        return
    for one in acts:
        if verbose:
            _show(one)
        else:
            print_text("\n".join(_brief(one)))
    if verbose:
        print_text("\nWritten: " + ", ".join(str(path) for path in written))
    else:
        print_text(f"Next: open {written[0]}, which shows the images; {len(written) - 1} more files are beside it, and -v tells the rest")


def _brief(act: Act) -> list[str]:
    """An act in at most four lines: its title, what was recovered, and whether other images are possible."""
    from identify.report.brief import paragraph

    known = "no verdict"
    if act.report is not None:
        known = f"{act.report.verdict} for {act.report.scope}; {act.report.verdict.in_practice}"
    elif act.found is not None:
        proved = act.found.uniqueness
        about = f": {proved.because}" if proved.scope is None else f" for {proved.scope}"
        known = f"uniqueness {proved.status}{about}"
    return [act.title, *paragraph("Result", [" ".join(act.result())], 2), *paragraph("Verdict", [known], 2)]


def _show(act: Act) -> None:
    print_text(f"\n{act.title}\n{'=' * len(act.title)}\n{act.lead}\n")
    if act.report is not None:
        print_text(f"{act.system.n_equations} equations in {act.system.n_unknowns(len(act.X))} unknowns:")
        print_text("\n".join(f"  {line}" for line in act.system.describe()) + "\n")
        print_text(act.report.explain() + "\n")
    for sentence in act.result():
        print_text(sentence)
    if act.errors is not None:
        print_text("  relative errors: " + " ".join(f"{e:.0e}" for e in act.errors))
    if act.report is None and act.found is not None:
        print_text(f"Uniqueness: {act.found.uniqueness}")
    if act.seconds is not None:
        print_text(f"The recovery took {act.seconds:.1f} s.")


def _act_json(act: Act) -> dict[str, Any]:
    from identify.problem.verdict import jsonable

    content: dict[str, Any] = {
        "title": act.title,
        "report": None if act.report is None else act.report.to_dict(),
        "failure": act.failure,
        "errors": act.errors,
    }
    if act.found is not None:
        content |= {"residual": act.found.residual, "error_bars": act.found.error_bars, "evidence": act.found.evidence}
        content |= {"uniqueness": act.found.uniqueness.to_dict(), "labels_right": act.n_right_labels}
    return jsonable(content)
