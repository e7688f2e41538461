"""``identify audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from identify.base.options import REGIMES
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
    Verbose,
    WeightDecay,
    Weights,
    app,
    examples,
)
from identify.cli.console import fail, print_text, progress
from identify.cli.subjects import of_no_steps, training_of
from identify.cli.values import NEW_FOLDER, OLD_FILE, SECONDS, new_file, one_of


@app.command(
    epilog=examples(
        "identify audit model.pt --gradient update.pt --activation relu --pdf audit.pdf",
        'identify audit final.npz --initial initial.npz --activation "z + z^3" -n 4',
        "identify audit after.pt --initial before.pt --steps 5 --learning-rate 0.01 --activation relu",
        "identify audit network.npz --data data.npz --activation relu --budget 300 --out audit",
        "identify audit problem.npz",
    )
)
def audit(
    model: Annotated[
        Path,
        typer.Argument(
            help="Checkpoint: .npz, .safetensors, a state_dict (.pt, .pth, .bin, .ckpt), .msgpack, .flax, .eqx, .npy or .onnx; "
            "or a problem file."
        ),
    ],
    initial: Annotated[
        Path | None,
        typer.Option(help="The network before one step of training (regime lazy), or several (--steps).", show_default=False, **OLD_FILE),
    ] = None,
    gradient: Annotated[
        Path | None, typer.Option(help="One gradient of the loss (regime gradient).", show_default=False, **OLD_FILE)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help=".npz with the true X, and y, c, mean, low, high (limits of inputs) if known.", show_default=False, **OLD_FILE),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            "--activation",
            "-a",
            help="A polynomial in z, relu, tanh, ...; needed unless the file names it.",
            show_default=False,
            metavar="<function>",
        ),
    ] = None,
    regime: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(REGIMES)}; default: from the other options, or from the data.", show_default=False, **one_of(REGIMES)
        ),
    ] = None,
    learning_rate: LearningRate = None,
    steps: Steps = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    momentum: Momentum = 0.0,
    weight_decay: WeightDecay = 0.0,
    loss: Loss = None,
    weights: Weights = None,
    trust: Trust = False,
    samples: Samples = None,
    budget: Annotated[float, typer.Option(help="Seconds in all.", **SECONDS)] = 60.0,
    out: Annotated[Path, typer.Option(help="Folder for report.html, report.json, certificates and pictures.", **NEW_FOLDER)] = Path(
        "identify-audit"
    ),
    pdf: Annotated[Path | None, typer.Option(help="Also write the page as a PDF.", show_default=False, **new_file(".pdf"))] = None,
    seed: Seed = 0,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Say what a checkpoint reveals about its training data.

    One page with proofs if theorems apply, and with attacks otherwise.

    Ctrl-C ends the current step: finished steps are written, with exit status 130. A second Ctrl-C ends the program.
    """
    from identify.auditing.audit import audit as examine
    from identify.auditing.saving import save_pdf
    from identify.base.interrupts import listening
    from identify.report.html import require_pages
    from identify.report.pdf import require_pdf

    training = training_of(learning_rate, steps, epochs, batch_size, momentum, weight_decay, loss)
    if training and initial is None:
        raise of_no_steps(training, "--initial")
    require_pages()  # before the work, not after it
    if pdf is not None:
        require_pdf()
    with listening() as interrupts, progress(budget) as step, interrupts.deferring():
        found = examine(
            model,
            initial=initial,
            gradient=gradient,
            data=data,
            activation=activation,
            regime=regime,
            weights=weights or None,
            trust=trust,
            training=training or None,
            samples=samples,
            budget=budget,
            seed=seed,
            progress=step,
        )
        step("writing the report")
        try:
            written = found.save(out)
            if pdf is not None:
                written += save_pdf(found, pdf)
        finally:  # printed even if there is no room for the files
            print_text(found.to_json() if as_json else found.explain() if verbose else found.brief())
    if verbose and not as_json:
        print_text("\nWritten: " + ", ".join(str(path) for path in written))
    elif not as_json:
        print_text(f"  Next         open {pdf or written[0]}; {len(written) - 1} more files are there, and -v tells the rest.")
    if found.stopped or interrupts.count:
        fail(f"interrupted; the finished steps are in {out}", 130)
