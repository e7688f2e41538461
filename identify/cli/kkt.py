"""``identify kkt``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from identify.base.errors import InputError
from identify.base.options import PROGRAMS
from identify.cli.app import (
    ActivationText,
    Bias,
    File,
    Inputs,
    Json,
    Layers,
    Outputs,
    Regime,
    Samples,
    Seed,
    Trust,
    Width,
    app,
    examples,
)
from identify.cli.console import print_json, print_text
from identify.cli.subjects import configuration, load
from identify.cli.values import CELL, COUNT, DATA, one_of

FORMATS = ("text", "latex", "json", *PROGRAMS)
OF_CELL = 'Activation cell: "data", or pieces as in "101,110" (two samples) and "101/01" (two layers).'


@app.command(
    epilog=examples(
        'identify kkt -d 2 -n 2 -m 3 -a "z + z^2 + z^3" --format latex',
        'identify kkt -d 2 -n 2 -m 3 -a "z + z^2 + z^3" --format msolve > system.ms',
        "identify kkt -d 3 -n 2 -m 8,6 -a gelu --bias --limit 1",
        "identify kkt -d 2 -n 2 -m 6 -a relu --format singular --cell data",
        "identify kkt -d 2 -n 1 -m 4 -a relu --format smtlib --another > question.smt2",
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
    cell: Annotated[Any, typer.Option(help=OF_CELL, show_default=False, **CELL)] = None,
    another: Annotated[bool, typer.Option("--another", help="Ask for data other than the known ones (smtlib).")] = False,
    limit: Annotated[int | None, typer.Option(help="Equations to show of each group (text, latex).", show_default=False, **COUNT)] = None,
    max_characters: Annotated[int, typer.Option(help="Longest text, LaTeX or JSON that is written.", **COUNT)] = 1_000_000,
    trust: Trust = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write the KKT equations: text, LaTeX, or for other programs.

    Any activation, any number of layers. Sizes give symbols; a problem file gives its exact numbers. Files for algebra programs
    and SMT solvers need numbers, so for sizes an instance with small integers is planted. Its data, or those in a problem file,
    are the known ones.
    """
    from identify.symbolic.posing import kkt_equations

    form = "json" if as_json else form
    if another and form != "smtlib":
        raise InputError(f"--another: received with format {form}, expected --format smtlib: the other formats exclude no data")
    data = None
    if file is None:
        config = configuration(inputs, samples, width, activation, outputs, bias, layers, regime)
        if form in PROGRAMS:
            numbers, truth = config.plant(seed, integers=config.activation.kind != "analytic")
            system, data = kkt_equations(numbers, samples=config.samples), (truth.X, truth.c)
        else:
            system = kkt_equations(config)
    else:
        problem = load(file, inputs, width, activation, trust)
        if samples is None:
            raise InputError("--samples: missing; give the number of training samples")
        system, data = kkt_equations(problem.system, samples=samples), problem.data
    if data is None and (another or cell == DATA):
        raise InputError(
            f"--{'another' if another else 'cell'}: no data are known here; expected a problem file that has them, or sizes with a format "
            "for programs, for which data are planted"
        )
    if cell is not None:
        system = system.cell(system.pattern_at(data[0]) if cell == DATA and data is not None else cell)
    if form == "json":
        print_json(system.to_dict(max_characters=max_characters))
    elif form == "latex":
        print_text(system.to_latex(6 if limit is None else limit, max_characters=max_characters))
    elif form == "text":
        print_text(system.to_text(limit, max_characters=max_characters))
    else:
        print_text(system.export(form, another_than=data if another else None))
