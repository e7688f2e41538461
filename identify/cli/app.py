"""The application, and the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from identify.cli.console import print_text
from identify.conditions.plan import NAMES
from identify.stationarity import LAYERS, REGIMES

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Is a network's training data determined by its parameters or gradients? Prove it, and recover it.",
)

File = Annotated[Path | None, typer.Argument(help="Problem file (.npz). Without one, give the sizes.", show_default=False)]
Inputs = Annotated[int | None, typer.Option("--inputs", "-d", help="Input dimension d.", show_default=False)]
Samples = Annotated[int | None, typer.Option("--samples", "-n", help="Number of training samples n.", show_default=False)]
Weights = Annotated[
    list[str] | None,
    typer.Option(help="Array that is a layer's weights, first to last, where the file leaves a choice; repeat it.", show_default=False),
]
Width = Annotated[int | None, typer.Option("--width", "-m", help="Number of neurons m.", show_default=False)]
ActivationText = Annotated[
    str | None, typer.Option("--activation", "-a", help='Polynomial in z, as in "z + z^2/2 + z^3".', show_default=False)
]
Outputs = Annotated[int, typer.Option(help="Number of outputs C.")]
Bias = Annotated[bool, typer.Option("--bias", help="First-layer biases.")]
Layers = Annotated[str, typer.Option(help=f"Observed layers: {', '.join(LAYERS)}.")]
Regime = Annotated[str, typer.Option(help=f"Regime: {', '.join(REGIMES)}.")]
Seed = Annotated[int, typer.Option(help="Seed; the same seed gives the same result.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Proof = Annotated[Path | None, typer.Option("--certificate", help="Also write the proof, for identify verify.", show_default=False)]
Page = Annotated[Path | None, typer.Option("--html", help="Also write the report as a page.", show_default=False)]
Shape = Annotated[
    str | None, typer.Option("--image-shape", help='Shape of a sample on the page, as in "28x28" or "32x32x3".', show_default=False)
]
Budget = Annotated[float | None, typer.Option(help="Seconds; what would take longer is not evaluated.", show_default=False)]
Memory = Annotated[float | None, typer.Option(help="GiB that one matrix may take.", show_default=False)]
Demanded = Annotated[
    list[str] | None,
    typer.Option("--condition", help=f"Evaluate it even if not needed; may be repeated: {', '.join(NAMES)}.", show_default=False),
]


def _version(wanted: bool) -> None:
    if wanted:
        from identify.conditions.judgement import versions

        print_text(" ".join(f"{name} {number}" for name, number in versions().items()))
        raise typer.Exit()


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)] = False,
) -> None:
    """Is a network's training data determined by its parameters or gradients? Prove it, and recover it."""
