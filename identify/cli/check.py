"""``identify check`` and ``identify verify``: verdicts, their certificates, and the check of these."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from identify.base.errors import InputError, OutOfTimeError
from identify.base.limits import LEAST, about
from identify.cli.app import (
    ActivationText,
    Bias,
    Budget,
    Demanded,
    File,
    Inputs,
    Json,
    Layers,
    Memory,
    Outputs,
    Page,
    Proof,
    Regime,
    Samples,
    Seed,
    Shape,
    Trust,
    Verbose,
    Width,
    app,
    examples,
)
from identify.cli.console import fail, print_json, print_text, progress
from identify.cli.subjects import configuration, load
from identify.cli.values import OLD_FILE, SECONDS

if TYPE_CHECKING:
    from identify.planting.configuration import Configuration
    from identify.problem.system import KKTSystem
    from identify.problem.verdict import Report


@app.command(
    epilog=examples(
        'identify check -d 5 -n 4 -m 12 -a "z + z^2/2 + z^3"',
        'identify check -d 5 -m 12 -a "z + z^2/2 + z^3" --largest',
        "identify check -d 784 -n 100 -m 512,256 -a gelu --bias --outputs 10",
        "identify check -d 64 -n 8 -m 128,96 -a gelu --bias --outputs 10 --exposed",
        "identify check problem.npz -n 3",
        "identify check problem.npz --known-data --html report.html --certificate proof.json",
    )
)
def check(
    file: File = None,
    inputs: Inputs = None,
    samples: Samples = None,
    width: Width = None,
    activation: ActivationText = None,
    outputs: Outputs = 1,
    bias: Bias = False,
    layers: Layers = "both",
    regime: Regime = "gradient",
    known_data: Annotated[bool, typer.Option("--known-data", help="Judge the data X, c in the file.")] = False,
    largest: Annotated[bool, typer.Option("--largest", help="Answer for all n at once: the thresholds of the network.")] = False,
    exposed: Annotated[
        bool, typer.Option("--exposed", help="Which layers suffice: the answer for each set of them, or for those of --layers.")
    ] = False,
    condition: Demanded = None,
    budget: Budget = None,
    memory: Memory = None,
    html: Page = None,
    image_shape: Shape = None,
    certificate: Proof = None,
    trust: Trust = False,
    seed: Seed = 0,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Decide whether training data are determined.

    The answer comes first; --verbose prints every condition with its evidence, --certificate writes the proof.
    """
    from identify.conditions.check import check as decide
    from identify.conditions.thresholds import largest_identifiable
    from identify.report.brief import of_report
    from identify.report.html import require_pages

    if image_shape is not None and html is None:
        raise InputError("--image-shape: applies to the page only; give --html too, or omit it")
    if html is not None:
        require_pages(pictures=False)  # before the work, not after it
    problem = None if file is None else load(file, inputs, width, activation, trust)
    if known_data and (problem is None or problem.data is None):
        received = "no problem file" if file is None else f"{file} without X and c"
        raise InputError(f"--known-data: received {received}, expected a problem file with X and c; omit it, or add the data")
    if problem is None:
        sought = 1 if (largest or exposed) and samples is None else samples
        subject: Configuration | KKTSystem = configuration(inputs, sought, width, activation, outputs, bias, layers, regime)
    else:
        subject = problem.system
    d = inputs if problem is None else problem.system.network.n_inputs
    if image_shape is not None and prod(image_shape) != d:
        raise InputError(f"--image-shape: received {'x'.join(map(str, image_shape))}, expected sizes with the product {d}")
    if exposed:
        if largest or known_data or html or certificate or condition:
            raise InputError("--exposed: takes only the network, --samples and --layers; omit the options of a single check")
        _show_exposed(subject, None if layers == "both" else layers, samples, as_json, verbose)
        return
    if largest:
        if samples is not None:
            raise InputError(
                f"--largest: received --samples {samples} too, but it finds the numbers of samples itself; omit --samples (-n)"
            )
        if known_data or html or certificate or condition:
            raise InputError("--largest: takes only the network, --seed, --budget and --memory; omit the options of a single check")
        with progress() as step:
            found = largest_identifiable(subject, seed=seed, budget=budget, memory=_bytes(memory), progress=step)
        print_text(json.dumps(found.to_dict(), indent=2, ensure_ascii=False) if as_json else found.explain())
        return
    if problem is not None and samples is None and not known_data:
        raise InputError("--samples: missing; give the number of training samples, or judge those in the file with --known-data")
    began = time.monotonic()
    with progress() as step:
        report = decide(
            subject,
            samples=None if problem is None else samples,
            data=problem.data if problem is not None and known_data else None,
            seed=seed,
            budget=budget,
            memory=_bytes(memory),
            conditions=condition,
            progress=step,
        )
    if html is not None:
        report.to_html(html, image_shape=image_shape)
    print_text(report.to_json() if as_json else report.explain() if verbose else of_report(report, _next(report, file, samples)))
    if certificate is not None:
        _certify(report, certificate, None if budget is None else max(budget - (time.monotonic() - began), LEAST))


def _show_exposed(subject: Configuration | KKTSystem, layers: Any, samples: int | None, as_json: bool, verbose: bool) -> None:
    from identify.conditions.exposed import SAMPLES, exposed
    from identify.problem.system import KKTSystem
    from identify.problem.updates import layer_numbers

    network = subject.network if isinstance(subject, KKTSystem) else subject
    numbers = None if layers is None else layer_numbers(layers, network.depth)
    asked = subject.layers if isinstance(subject, KKTSystem) and subject.is_partial and layers is None else numbers
    found = exposed(network, asked, samples=SAMPLES if samples is None else samples)
    print_text(found.to_json() if as_json else found.explain() if verbose else found.brief())


@app.command(epilog=examples("identify verify proof.json", "identify verify proof.json --problem problem.npz"))
def verify(
    file: Annotated[Path, typer.Argument(help="Certificate (.json), as identify check --certificate writes it.", show_default=False)],
    problem: Annotated[
        Path | None,
        typer.Option(help="Also require that the certificate is about the network in this file.", show_default=False, **OLD_FILE),
    ] = None,
    trust: Trust = False,
    budget: Annotated[
        float | None, typer.Option(help="Seconds; if they are not enough, there is no answer.", show_default=False, **SECONDS)
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a certificate from the raw numbers in it.

    The checker shares no code with the writer.
    """
    from identify.checker.verify import verify as examine

    with progress() as step:
        answer = examine(file, budget=budget, progress=lambda name, seconds: step(f"{name} ({about(seconds)})"))
    if problem is not None:
        from identify.certificates.certify import network_hash
        from identify.checkpoints.problems import load_problem

        if network_hash(load_problem(problem, trust=trust).system.network) != answer.network:
            answer = replace(answer, is_valid=False, reasons=(*answer.reasons, f"this is not about the network of {problem}"))
    if as_json:
        print_json(answer.to_dict())
    else:
        print_text(str(answer))
    raise typer.Exit(0 if answer else 1)


def _bytes(gibibytes: float | None) -> int | None:
    return None if gibibytes is None else int(gibibytes * 2**30)


def _certify(report: Report, path: Path, budget: float | None) -> None:
    """Write the certificate; a proof that cannot be had, or not be checked, or not in time, has exit status 1."""
    from identify.certificates.certify import CertificateTooLargeError
    from identify.certificates.lacking import NoCertificateError

    if report.verdict == "UNDECIDED":
        fail("--certificate: nothing is proved, so no certificate was written", 1)
    try:
        with progress() as step:
            proof = report.certificate(budget=budget, progress=step)
    except (CertificateTooLargeError, NoCertificateError, OutOfTimeError) as error:
        fail(f"--certificate: {error}" if isinstance(error, OutOfTimeError) else str(error), 1)
    proof.save(path)


def _next(report: Report, file: Path | None, samples: int | None) -> str:
    """What to type next."""
    recover = "identify recover with the same options" if file is None else f"identify recover {file}{f' -n {samples}' * bool(samples)}"
    return {
        "UNIQUE": f"{recover} computes the data, --certificate proof.json writes the proof; -v shows every condition",
        "LOCALLY_UNIQUE": f"{recover} searches for the data, --certificate proof.json writes the proof; -v shows every condition",
        "NOT_UNIQUE": "--html report.html shows other data that fit; --largest says for how many samples the answer is yes; -v says more",
        "UNDECIDED": f"-v has the remedy for each condition; {recover} tries all the same",
    }[report.verdict]
