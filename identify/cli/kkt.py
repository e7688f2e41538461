"""``identify kkt``."""

from __future__ import annotations

from typing import Annotated

import typer

from identify.base.errors import InputError
from identify.base.options import PROGRAMS
from identify.cli.app import ActivationText, Bias, File, Inputs, Json, Layers, Outputs, Regime, Samples, Seed, Trust, Width, app, examples
from identify.cli.console import print_json, print_text
from identify.cli.subjects import configuration, load
from identify.cli.values import COUNT, one_of

FORMATS = ("text", "latex", "json", *PROGRAMS)


@app.command(
    epilog=examples(
        'identify kkt -d 2 -n 2 -m 3 -a "z + z^2 + z^3" --format latex',
        'identify kkt -d 2 -n 2 -m 3 -a "z + z^2 + z^3" --format msolve > system.ms',
        "identify kkt problem.npz -n 3 --limit 2",
    )
)
def kkt(
    file: File = None,
    inputs: Inputs = None,
    samples: Samples = None,
    width: Width = None,
    activation: ActivationText = None,
    outputs: Outputs = 1,
    bias: Bias = False,
    layers: Layers = "both",
    regime: Regime = "gradient",
    form: Annotated[str, typer.Option("--format", "-f", help=f"One of {', '.join(FORMATS)}.", **one_of(FORMATS))] = "text",
    limit: Annotated[int | None, typer.Option(help="Equations to show of each group (text, latex).", show_default=False, **COUNT)] = None,
    max_characters: Annotated[int, typer.Option(help="Longest text, LaTeX or JSON that is written.", **COUNT)] = 1_000_000,
    trust: Trust = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write the KKT equations: text, LaTeX, or for algebra programs.

    Sizes give symbols; a problem file gives its exact numbers. Files for algebra programs need numbers, so for sizes an
    instance with small integers is planted.
    """
    from identify.symbolic.system import kkt_equations

    form = "json" if as_json else form
    if file is None:
        config = configuration(inputs, samples, width, activation, outputs, bias, layers, regime)
        system = kkt_equations(config)
        if form in PROGRAMS:
            system = kkt_equations(config.plant(seed, integers=True)[0], samples=config.samples)
    else:
        problem = load(file, inputs, width, activation, trust)
        if samples is None:
            raise InputError("--samples: missing; give the number of training samples")
        system = kkt_equations(problem.system, samples=samples)
    if form == "json":
        print_json(system.to_dict(max_characters=max_characters))
    elif form == "latex":
        print_text(system.to_latex(6 if limit is None else limit, max_characters=max_characters))
    elif form == "text":
        print_text(system.to_text(limit, max_characters=max_characters))
    else:
        print_text(system.export(form))
