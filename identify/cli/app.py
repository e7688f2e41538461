"""The application, and the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from identify.base.options import CONDITIONS, LARGEST_SEED, LAYERS, REGIMES, TRAINING_LOSSES, choice
from identify.cli.console import print_text
from identify.cli.values import COUNT, GIBIBYTES, NOT_NEGATIVE, OBSERVED, POSITIVE, SECONDS, SIZES, WIDTHS, between, new_file, one_of

STATUS = """\b
Exit status:
  0    done, whatever the verdict
  1    not recovered, not proved, not valid, diverged, or failed in part
  2    bad input, a missing package, or no room to write; one line says why
  130  interrupted (143: terminated); results so far are saved if possible
  141  the reader of the output exited early, as in identify ... | head

\b
Shell completion: identify --install-completion, then open a new shell."""


class Commands(TyperGroup):
    """The commands; an unknown command is reported like any other error."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if not ctx.resilient_parsing:
            choice("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=STATUS,
)


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


File = Annotated[Path | None, typer.Argument(help="Problem file (.npz). Without one, give the sizes.", show_default=False)]
Inputs = Annotated[int | None, typer.Option("--inputs", "-d", help="Input dimension d.", show_default=False, **COUNT)]
Samples = Annotated[int | None, typer.Option("--samples", "-n", help="Number of training samples n.", show_default=False, **COUNT)]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        help="Name of a layer's weights, if the file is ambiguous; repeat it for each layer, first to last.",
        show_default=False,
        metavar="<name>",
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Read PyTorch's files even if PyTorch is older than 2.10; with those versions a file can run code of its own."
    ),
]
Width = Annotated[
    Any,
    typer.Option("--width", "-m", help='Neurons m, or those of each hidden layer, as in "8,6".', show_default=False, **WIDTHS),
]
ActivationText = Annotated[
    str | None,
    typer.Option(
        "--activation",
        "-a",
        help='Polynomial in z, as in "z + z^2/2 + z^3", or a name such as "relu".',
        show_default=False,
        metavar="<activation>",
    ),
]
Outputs = Annotated[int, typer.Option(help="Number of outputs C.", **COUNT)]
Bias = Annotated[bool, typer.Option("--bias", help="Biases in the hidden layers.")]
Layers = Annotated[Any, typer.Option(help=f"Observed layers: {', '.join(LAYERS)}, or numbers, as in 1,3.", **OBSERVED)]
Regime = Annotated[str, typer.Option(help=f"Regime: {', '.join(REGIMES)}.", **one_of(REGIMES))]
LearningRate = Annotated[float | None, typer.Option(help="Learning rate of several steps.", show_default="fitted", **POSITIVE)]
Steps = Annotated[int | None, typer.Option(help="Number of these steps.", show_default=False, **COUNT)]
Epochs = Annotated[int | None, typer.Option(help="Or the number of passes through the data.", show_default=False, **COUNT)]
BatchSize = Annotated[int | None, typer.Option(help="Samples in a step.", show_default="all of them", **COUNT)]
Momentum = Annotated[float, typer.Option(help="Momentum of gradient descent.", **NOT_NEGATIVE)]
WeightDecay = Annotated[float, typer.Option(help="Weight decay of gradient descent.", **NOT_NEGATIVE)]
Loss = Annotated[
    str | None, typer.Option(help=f"One of {', '.join(TRAINING_LOSSES)}.", show_default="not known", **one_of(TRAINING_LOSSES))
]
Seed = Annotated[int, typer.Option(help="Seed; the same seed gives the same result.", **between(0, LARGEST_SEED))]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print everything, not only the answer.")]
Proof = Annotated[
    Path | None, typer.Option("--certificate", help="Also write the proof (.json), for identify verify.", show_default=False, **new_file())
]
Page = Annotated[Path | None, typer.Option("--html", help="Also write the report as a page.", show_default=False, **new_file())]
Shape = Annotated[
    Any,
    typer.Option("--image-shape", help='Shape of a sample on the page, as in "28x28" or "32x32x3".', show_default=False, **SIZES),
]
Budget = Annotated[
    float | None, typer.Option(help="Seconds; conditions that would take longer are not evaluated.", show_default=False, **SECONDS)
]
Memory = Annotated[float | None, typer.Option(help="GiB that one matrix may take.", show_default=False, **GIBIBYTES)]
Demanded = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        help=f"Evaluate this condition even if it is not needed; may be repeated: {', '.join(CONDITIONS)}.",
        show_default=False,
        **one_of(CONDITIONS),
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        from identify.conditions.judgement import versions

        print_text(" ".join(f"{name} {number}" for name, number in versions().items()))
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)] = False,
) -> None:
    """Is a network's training data determined by its parameters or gradients? Prove it, and recover it."""
    if context.invoked_subcommand is None:
        print_text(context.get_help())
