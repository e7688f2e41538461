"""``identify recover``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from identify.base.errors import InputError
from identify.base.options import METHODS
from identify.cli.app import (
    ActivationText,
    BatchSize,
    Bias,
    Epochs,
    File,
    Inputs,
    Json,
    Layers,
    LearningRate,
    Loss,
    Momentum,
    Outputs,
    Proof,
    Regime,
    Samples,
    Seed,
    Steps,
    Trust,
    Verbose,
    WeightDecay,
    Weights,
    Width,
    app,
    examples,
)
from identify.cli.console import brief, fail, print_json, print_text, progress
from identify.cli.subjects import configuration, load, of_no_steps, of_steps, pair, training_of
from identify.cli.values import COUNT, NEW_FOLDER, NOT_NEGATIVE, POSITIVE, SECONDS, new_file, one_of

if TYPE_CHECKING:
    from identify.problem.steps import StepsSystem
    from identify.problem.system import KKTSystem
    from identify.recovery.solution import Recovery


@app.command(
    epilog=examples(
        'identify recover -d 8 -n 4 -m 24 -a "z + z^3"',
        "identify recover problem.npz -n 3 --out found.npz",
        "identify recover problem.npz -n 3 --certificate proof.json",
        "identify recover problem.npz -n 3 --method separate --starts 64 --budget 60 --checkpoint search",
        "identify recover --initial before.pt --final after.pt --learning-rate 0.01 --steps 5",
    )
)
def recover(
    file: File = None,
    inputs: Inputs = None,
    samples: Samples = None,
    width: Width = None,
    activation: ActivationText = None,
    outputs: Outputs = 1,
    bias: Bias = False,
    layers: Layers = "both",
    regime: Regime = "gradient",
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.", **one_of(METHODS))] = "auto",
    starts: Annotated[int | None, typer.Option(help="Random starts of a search; all are run.", show_default=False, **COUNT)] = None,
    budget: Annotated[
        float | None, typer.Option(help="Seconds in all; after that, the best result so far.", show_default=False, **SECONDS)
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Relative residual that counts as solved.", show_default="by the target's precision", **POSITIVE),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder that keeps a search, to continue it.", show_default=False, **NEW_FOLDER)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write X, c, error_bars as .npz.", show_default=False, **new_file(".npz"))] = None,
    certificate: Proof = None,
    relative_error: Annotated[
        float | None,
        typer.Option(help="Error of the target, for --certificate: 6e-8 for rounding to float32.", show_default=False, **NOT_NEGATIVE),
    ] = None,
    initial: Annotated[Path | None, typer.Option(help="Checkpoint before several steps of training.", show_default=False)] = None,
    final: Annotated[Path | None, typer.Option(help="Checkpoint after them.", show_default=False)] = None,
    learning_rate: LearningRate = None,
    steps: Steps = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    momentum: Momentum = 0.0,
    weight_decay: WeightDecay = 0.0,
    loss: Loss = None,
    weights: Weights = None,
    trust: Trust = False,
    seed: Seed = 0,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Recover training data from a problem file or two checkpoints.

    Without a file, plant an instance of the given sizes and recover it.
    """
    from identify.checkpoints.problems import save_arrays
    from identify.problem.refusals import is_polynomial
    from identify.problem.system import KKTSystem
    from identify.problem.verdict import jsonable
    from identify.recovery.recover import recover as solve

    if relative_error is not None and certificate is None:
        raise InputError("--relative-error: applies to a certificate only; give --certificate too, or omit it")
    training = training_of(learning_rate, steps, epochs, batch_size, momentum, weight_decay, loss)
    system: KKTSystem | StepsSystem
    data: tuple | None
    if initial is not None or final is not None:
        sizes = {"--inputs": inputs, "--width": width, "a problem file": file, "--certificate": certificate}
        extra = [name for name, value in sizes.items() if value is not None]
        if initial is None or final is None:
            raise InputError(f"{'--final' if final is None else '--initial'}: missing; several steps lead from one checkpoint to another")
        if extra:
            raise InputError(f"{', '.join(extra)}: received beside --initial and --final, which say it all, or exclude it; omit it")
        system, data = of_steps(initial, final, activation, weights, trust, **training), None
    elif training:
        raise of_no_steps(training, "--initial and --final")
    elif file is None:
        config = configuration(inputs, samples, width, activation, outputs, bias, layers, regime)
        system, truth = config.plant(seed)
        data = pair(truth)
    else:
        problem = load(file, inputs, width, activation, trust)
        system, data = problem.system, problem.data
    if relative_error is not None and not is_polynomial(system.network):
        raise InputError(
            f"--relative-error: received {relative_error:g} for a network that is not polynomial of two layers, whose certificate is about "
            "the update of exactly the recovered samples; expected no error of the target: omit it"
        )
    with progress() as step:
        found = solve(
            system,
            samples=samples,
            method=method,
            starts=starts,
            budget=budget,
            tolerance=tolerance,
            checkpoint=checkpoint,
            seed=seed,
            data=data,
            progress=step,
        )
    try:
        if out is not None:
            save_arrays(out, {"X": found.X, "c": found.c, "error_bars": found.error_bars})
    finally:  # printed even if there is no room for the file
        if as_json:
            names = ("X", "c", "residual", "error_bars", "method", "seed", "evidence")
            content = {name: getattr(found, name) for name in names} | {"ambiguity": found.ambiguity.describe()}
            content["uniqueness"] = found.uniqueness.to_dict()
            print_json(jsonable(content))
        else:
            _show_recovery(found, verbose, data if file is None else None, _next(out is not None, isinstance(system, KKTSystem)))
    if out is not None and not as_json:
        print_text(f"Written: {out}")
    if certificate is not None and isinstance(system, KKTSystem) and is_polynomial(system.network):
        _certify_solution(system, found, relative_error, certificate, as_json)
    elif certificate is not None and isinstance(system, KKTSystem):
        _certify_verdict(system, found, certificate, as_json)


def _next(is_kept: bool, is_provable: bool) -> str:
    """What to type next."""
    keeps = [] if is_kept else ["--out found.npz keeps X and c"]
    proves = ["--certificate proof.json writes the proof"] if is_provable else []
    return "; ".join([*keeps, *proves, "-v has the numbers of each step"])


def _show_recovery(found: Recovery, verbose: bool, planted: tuple | None, advice: str) -> None:
    if not verbose:
        from identify.report.brief import of_recovery

        beside = ""
        if planted is not None:
            import numpy as np

            errors = found.match(*planted).errors
            right = errors[np.isfinite(errors)]
            beside = f"{len(right)} of {len(errors)} planted samples found"
            beside += f", the worst to a relative error of {right.max():.1e}" * bool(len(right))
        print_text(of_recovery(found, advice, beside))
        return
    print_text(repr(found))
    for line in found.describe():
        print_text(line)
    for name, value in found.evidence.items():
        print_text(f"  {name}: {brief(value)}")


def _certify_solution(system: KKTSystem, found: Recovery, relative_error: float | None, path: Path, quiet: bool) -> None:
    """Write the proof that a solution is near; exit status 1 if it cannot be proved."""
    from identify.certificates.certify import CertificateTooLargeError
    from identify.certificates.certify_solution import certify
    from identify.conditions.witnesses.solution_box import NotCertifiedError

    try:
        proof = certify(system, found, relative_error=relative_error)
    except (CertificateTooLargeError, NotCertifiedError) as error:
        fail(str(error), 1)
    proof.save(path)
    if not quiet:
        print_text(f"Certified: {proof!r}")


def _certify_verdict(system: KKTSystem, found: Recovery, path: Path, quiet: bool) -> None:
    """Write the proof of the verdict for exactly the recovered samples; exit status 1 if nothing is proved of them."""
    from identify.certificates.certify import CertificateTooLargeError
    from identify.certificates.lacking import NoCertificateError
    from identify.conditions.check import check
    from identify.problem.verdict import Verdict

    with progress() as step:
        report = check(system, data=(found.X, found.c), seed=found.seed, progress=step)
        if report.verdict is Verdict.UNDECIDED:
            fail("--certificate: nothing is proved of these samples, so no certificate was written", 1)
        try:
            proof = report.certificate(progress=step)
        except (CertificateTooLargeError, NoCertificateError) as error:
            fail(str(error), 1)
    proof.save(path)
    if not quiet:
        print_text(f"Certified, about the update of exactly these samples: {proof!r}")
