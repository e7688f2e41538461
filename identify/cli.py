"""The command line: ``identify demo``, ``identify check``, ``identify verify``, ``identify recover``, ``identify attack``,
``identify kkt``.

Every command prints text for people, or JSON with ``--json``; progress goes to standard error. Exit status: 0 when the
work was done, 1 when the data could not be recovered or a certificate is not valid or not to be had, 2 for bad input, with one
line that says what to do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from identify.conditions.plan import NAMES
from identify.configuration import Configuration, Truth
from identify.stationarity import LAYERS, REGIMES, KKTSystem, choice

if TYPE_CHECKING:
    from identify.attacks.mlp import MLP
    from identify.attacks.objectives import Attack
    from identify.attacks.tuning import RandomSearch
    from identify.recovery.solution import Recovery
    from identify.report.verdict import Report

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Is a network's training data determined by its parameters or gradients? Prove it, and recover it.",
)
PROGRAMS = ("msolve", "singular", "macaulay2", "phcpack", "julia", "sage")
errors = Console(stderr=True, highlight=False, soft_wrap=True)

File = Annotated[Path | None, typer.Argument(help="Problem file (.npz). Without one, give the sizes.", show_default=False)]
Inputs = Annotated[int | None, typer.Option("--inputs", "-d", help="Input dimension d.", show_default=False)]
Samples = Annotated[int | None, typer.Option("--samples", "-n", help="Number of training samples n.", show_default=False)]
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


def main() -> None:
    """Entry point: runs a command and turns bad input into one line and exit status 2."""
    from identify.recovery.solution import RecoveryError

    try:
        app()
    except RecoveryError as error:
        _fail(f"not recovered: {error}", 1)
    except (ValueError, TypeError) as error:
        _fail(str(error), 2)
    except FloatingPointError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted", 130)


@app.command(epilog='Example: identify demo --width 20   or   identify demo --activation "z^2"')
def demo(
    act: Annotated[
        int | None, typer.Option(help="Play act 1 (weights alone) or act 2 (one gradient) only.", min=1, max=2, show_default=False)
    ] = None,
    samples: Annotated[int, typer.Option("--samples", "-n", help="Act 2: number of digits.", min=1, max=60)] = 20,
    width: Annotated[int, typer.Option("--width", "-m", help="Act 2: number of neurons.", min=1)] = 150,
    activation: Annotated[str, typer.Option("--activation", "-a", help="Act 2: activation.")] = "z + z^2/2 + z^3",
    dtype: Annotated[str, typer.Option(help="Act 2: precision of the gradient, float32 or float64.")] = "float32",
    out: Annotated[Path, typer.Option(help="Folder for report.html and the pictures.")] = Path("identify-demo"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Recover real digits from the weights of one network, and from one gradient of another."""
    from identify import demo as play

    choice("dtype", dtype, ("float32", "float64"))
    acts = []
    with _progress() as step:
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
        _print_json({"acts": [_act_json(one) for one in acts], "files": [str(path) for path in written]})
        return
    for one in acts:
        _print(f"\n{one.title}\n{'=' * len(one.title)}\n{one.lead}\n")
        _print(f"{one.system.n_equations} equations in {one.system.n_unknowns(len(one.X))} unknowns:")
        _print("\n".join(f"  {line}" for line in one.system.describe()) + "\n")
        _print(one.report.explain() + "\n")
        if one.found is None:
            _print(f"Not recovered. {one.failure}.")
        elif one.errors is not None:
            _print(f"Recovered {len(one.X)} images: worst relative error {one.errors.max():.1e}, residual {one.found.residual:.1e}")
            _print("  relative errors: " + " ".join(f"{e:.0e}" for e in one.errors))
    _print("\nWritten: " + ", ".join(str(path) for path in written))


@app.command(epilog='Example: identify check -d 5 -n 4 -m 12 -a "z + z^2/2 + z^3"   or   identify check problem.npz -n 20')
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
    known_data: Annotated[bool, typer.Option("--known-data", help="Judge the data X, c that the file holds.")] = False,
    largest: Annotated[bool, typer.Option("--largest", help="For which n, instead of for one: the thresholds of the network.")] = False,
    condition: Demanded = None,
    budget: Budget = None,
    memory: Memory = None,
    html: Page = None,
    image_shape: Shape = None,
    certificate: Proof = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Decide whether the training data is determined, and print the proof."""
    from identify.conditions.check import check as decide
    from identify.conditions.thresholds import largest_identifiable

    problem = None if file is None else _load(file, inputs, width, activation)
    if known_data and (problem is None or problem.data is None):
        raise ValueError(f"--known-data: needs a problem file with X and c; {file or 'no file'} holds none")
    shape = _image_shape(image_shape)
    if problem is None:
        sought = 1 if largest and samples is None else samples
        subject: Configuration | KKTSystem = _configuration(inputs, sought, width, activation, outputs, bias, layers, regime)
    else:
        subject = problem.system
    if largest:
        if samples is not None or known_data or html or certificate or condition or budget or memory:
            raise ValueError("--largest: goes with the network and --seed only; leave out the options of a single check")
        with _progress() as step:
            found = largest_identifiable(subject, seed=seed, progress=step)
        _print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False) if as_json else found.explain())
        return
    with _progress() as step:
        report = decide(
            subject,
            samples=None if problem is None else samples,
            data=problem.data if problem is not None and known_data else None,
            seed=seed,
            budget=budget,
            memory=None if memory is None else int(memory * 2**30),
            conditions=condition,
            progress=step,
        )
    _show(report, html, as_json, shape)
    if certificate is not None:
        _certify(report, certificate)


@app.command(epilog="Example: identify verify proof.json   or   identify verify proof.json --problem problem.npz")
def verify(
    file: Annotated[Path, typer.Argument(help="Certificate (.json), as identify check --certificate writes it.", show_default=False)],
    problem: Annotated[
        Path | None, typer.Option(help="Also require that it is about the network of this file.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a certificate from the raw numbers in it, by code that shares nothing with what wrote it."""
    from dataclasses import replace

    from identify.certificates.verify import verify as examine

    answer = examine(file)
    if problem is not None:
        from identify.certificates.certify import network_hash
        from identify.io import load_problem

        if network_hash(load_problem(problem).system.network) != answer.network:
            answer = replace(answer, is_valid=False, reasons=(*answer.reasons, f"this is not about the network of {problem}"))
    if as_json:
        _print_json(answer.to_dict())
    else:
        _print(str(answer))
    raise typer.Exit(0 if answer else 1)


@app.command(epilog="Example: identify recover problem.npz -n 20 --out found.npz")
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
    method: Annotated[str, typer.Option(help="auto, algebraic, separate, projection, birth, measure, splitting or joint.")] = "auto",
    starts: Annotated[int | None, typer.Option(help="Random starts of a search; all are run.", show_default=False)] = None,
    budget: Annotated[float | None, typer.Option(help="Seconds for the searches; then the best so far.", show_default=False)] = None,
    tolerance: Annotated[float, typer.Option(help="Relative residual that counts as solved.")] = 1e-6,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder from which a search goes on.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Write X, c, error_bars as .npz.", show_default=False)] = None,
    certificate: Proof = None,
    relative_error: Annotated[
        float | None, typer.Option(help="Of the target, for --certificate: 6e-8 for rounding to float32.", show_default=False)
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Recover the training data from a problem file, or from a planted instance of the given sizes."""
    from identify.io import save_arrays
    from identify.recovery.recover import recover as solve
    from identify.report.verdict import jsonable

    if relative_error is not None and certificate is None:
        raise ValueError("--relative-error: is that of the target in a certificate; give --certificate too, or leave it out")
    system: KKTSystem
    data: tuple | None
    if file is None:
        config = _configuration(inputs, samples, width, activation, outputs, bias, layers, regime)
        system, truth = config.plant(seed)
        data = _pair(truth)
    else:
        problem = _load(file, inputs, width, activation)
        system, data = problem.system, problem.data
    with _progress() as step:
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
    if out is not None:
        save_arrays(out, {"X": found.X, "c": found.c, "error_bars": found.error_bars})
    if as_json:
        names = ("X", "c", "residual", "error_bars", "method", "seed", "evidence")
        content = {name: getattr(found, name) for name in names} | {"ambiguity": found.ambiguity.describe()}
        _print_json(jsonable(content))
    else:
        _show_recovery(found, out)
    if certificate is not None:
        _certify_solution(system, found, relative_error, certificate, as_json)


def _show_recovery(found: Recovery, out: Path | None) -> None:
    _print(repr(found))
    _print("Determined up to: " + "; ".join(found.ambiguity.describe()))
    for name, value in found.evidence.items():
        _print(f"  {name}: {_brief(value)}")
    if out is not None:
        _print(f"Written: {out}")


ATTACKS = ("haim", "multiclass", "weight-decay", "loo")


@app.command(epilog="Example: identify attack network.npz --method haim -k 40 --trials 4 --split --out found.npz")
def attack(
    file: Annotated[Path, typer.Argument(help="Network (.npz): W1, b1, W2, ..., activation; X and y, if known, for scores.")],
    method: Annotated[str, typer.Option(help=f"{', '.join(ATTACKS)}.")] = "haim",
    initial: Annotated[Path | None, typer.Option(help="loo: the network before training.", show_default=False)] = None,
    candidates: Annotated[
        int | None, typer.Option("--candidates", "-k", help="Default: twice the samples of the file.", show_default=False)
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Published settings, as in mnist-1 or multiclass-2.", show_default=False)] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, as in rate=0.01; may be repeated.", show_default=False)
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="haim: every run draws its settings from the published ranges.")] = False,
    steps: Annotated[int | None, typer.Option(help="Iterations; default: as published.", show_default=False)] = None,
    trials: Annotated[int, typer.Option(help="Runs from different seeds.")] = 1,
    split: Annotated[bool, typer.Option("--split", help="Split candidates at strict saddles.")] = False,
    precision: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    budget: Annotated[float | None, typer.Option(help="Seconds for all runs; then the best so far.", show_default=False)] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder in which finished runs are kept.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Write X, c and the pooled candidates as .npz.", show_default=False)] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run a published reconstruction attack on a trained network; with its data in the file, score what it finds."""
    from identify.attacks.reconstruct import Splitting, reconstruct
    from identify.attacks.scores import score
    from identify.io import load_network, save_arrays
    from identify.report.verdict import jsonable

    network, rest = load_network(file)
    made = _attack(network, choice("--method", method, ATTACKS), initial, preset, setting or [], search)
    known = rest.get("X")
    if candidates is None:
        if known is None:
            raise ValueError("--candidates: missing, and the file has no X to count; give about twice the number of samples")
        candidates = 2 * len(known)
    with _progress() as step:
        found = reconstruct(
            made,
            candidates=candidates,
            steps=steps,
            trials=trials,
            seed=seed,
            splitting=Splitting() if split else None,
            precision=precision,
            budget=budget,
            checkpoint=checkpoint,
            progress=step,
        )
    scored = None if known is None else score(found.X, known, mean=rest.get("mean"))
    if out is not None:
        save_arrays(out, {"X": found.X, "c": found.c, "pooled": found.pooled})
    rows = [
        {
            "seed": trial.seed,
            "objective": trial.value,
            "stationarity": trial.distance,
            "candidates": len(trial.X),
            "splits": len(trial.splits),
            "agreement": trial.agreement,
            "settings": trial.settings,
        }
        for trial in found.trials
    ]
    if as_json:
        content = {"attack": found.attack, "runs": rows, "diverged": found.diverged, "interrupted": found.interrupted}
        _print_json(jsonable(content | ({} if scored is None else {"recall": scored.recall(), "errors": scored.errors})))
        return
    _print(repr(found))
    for row in rows:
        _print("  " + ", ".join(f"{name} {_brief(value)}" for name, value in row.items()))
    if scored is not None:
        _print(str(scored))
    if found.interrupted:
        _print(f"Interrupted: {found.interrupted}")
    if out is not None:
        _print(f"Written: {out}")


def _attack(
    network: MLP, method: str, initial: Path | None, preset: str | None, settings: list[str], search: bool
) -> Attack | RandomSearch:
    """The attack of the given name, with a preset and single settings, or the search over its settings."""
    from identify.attacks import RandomSearch, published
    from identify.io import load_network

    options: dict[str, Any] = {}
    if preset is not None:
        presets = published.HAIM_PRESETS if method == "haim" else published.BUZAGLO_PRESETS
        own = {name: value for name, value in presets.items() if method == "haim" or name.startswith(method)}
        options |= own[choice("--preset", preset, tuple(own))]
    for text in settings:
        name, _, value = text.partition("=")
        try:
            options[name] = float(value)
        except ValueError:
            raise ValueError(f"--set: received {text!r}, expected a name and a number, as in rate=0.01") from None
    if (initial is not None) != (method == "loo"):
        raise ValueError("--initial: is for --method loo, and needed there: the network before training")
    if search and (method != "haim" or preset is not None):
        raise ValueError("--search: is for --method haim, without --preset; single settings are fixed by --set")
    try:
        if search:
            ranges = {name: value for name, value in published.HAIM_RANGES.items() if name not in options}
            published.haim(network, **options)  # names are checked before the first run
            return RandomSearch(partial(published.haim, network), ranges, options)
        if initial is not None:
            return published.loo(load_network(initial)[0], network, **options)
        return published.haim(network, **options) if method == "haim" else published.buzaglo(network, kind=method, **options)
    except TypeError as error:
        raise ValueError(f"--set: {str(error).partition(') ')[2] or error}; see the settings in the documentation of attacks") from None


@app.command(epilog='Example: identify kkt -d 2 -n 2 -m 3 -a "z+z^2+z^3" --format latex')
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
    form: Annotated[str, typer.Option("--format", "-f", help="text, latex, json, or a program: " + ", ".join(PROGRAMS) + ".")] = "text",
    limit: Annotated[int | None, typer.Option(help="Equations shown of each group (text, latex).", show_default=False)] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write the KKT system of a configuration with symbols, or of a problem file with its exact numbers.

    Files for algebra programs need numbers: from sizes, an instance with small integers is planted.
    """
    from identify.symbolic.system import kkt_equations

    form = "json" if as_json else choice("--format", form, ("text", "latex", "json", *PROGRAMS))
    if file is None:
        config = _configuration(inputs, samples, width, activation, outputs, bias, layers, regime)
        system = kkt_equations(config)
        if form in PROGRAMS:
            system = kkt_equations(config.plant(seed, integers=True)[0], samples=config.samples)
    else:
        problem = _load(file, inputs, width, activation)
        if samples is None:
            raise ValueError("--samples: missing; how many training samples are sought?")
        system = kkt_equations(problem.system, samples=samples)
    if form == "json":
        _print_json(system.to_dict())
    elif form == "latex":
        _print(system.to_latex(6 if limit is None else limit))
    elif form == "text":
        _print(system.to_text(limit))
    else:
        _print(system.export(form))


def _version(wanted: bool) -> None:
    if wanted:
        from identify.conditions.judgement import versions

        _print(" ".join(f"{name} {number}" for name, number in versions().items()))
        raise typer.Exit()


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)] = False,
) -> None:
    """Is a network's training data determined by its parameters or gradients? Prove it, and recover it."""


def _configuration(inputs, samples, width, activation, outputs, bias, layers, regime) -> Configuration:
    given = {"--inputs": inputs, "--samples": samples, "--width": width, "--activation": activation}
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise ValueError(f"{', '.join(missing)}: missing; give a problem file, or all of {', '.join(given)}")
    return Configuration(
        inputs=inputs,
        samples=samples,
        width=width,
        activation=activation,
        outputs=outputs,
        bias=bias,
        layers=layers,
        regime=regime,
    )


def _load(file: Path, inputs, width, activation):
    from identify.io import load_problem

    given = {"--inputs": inputs, "--width": width, "--activation": activation}
    extra = [name for name, value in given.items() if value is not None]
    if extra:
        raise ValueError(f"{', '.join(extra)}: the problem file already says; leave out")
    return load_problem(file)


def _pair(truth: Truth) -> tuple:
    return truth.X, truth.c


def _image_shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(size) for size in text.lower().split("x"))
    except ValueError:
        raise ValueError(f'--image-shape: received {text!r}, expected sizes as in "28x28" or "32x32x3"') from None


def _certify(report: Report, path: Path) -> None:
    """Write the certificate; a proof that cannot be had, or not be checked, has exit status 1."""
    from identify.certificates.certify import CertificateTooLargeError

    if report.verdict == "UNDECIDED":
        _fail("--certificate: nothing is proved, so no certificate was written", 1)
    try:
        proof = report.certificate()
    except CertificateTooLargeError as error:
        _fail(str(error), 1)
    proof.save(path)


def _certify_solution(system: KKTSystem, found: Recovery, relative_error: float | None, path: Path, quiet: bool) -> None:
    """Write the proof that a solution is near; what cannot be proved has exit status 1."""
    from identify.certificates.certify import CertificateTooLargeError
    from identify.certificates.certify_solution import certify
    from identify.conditions.witnesses.solution_box import NotCertifiedError

    try:
        proof = certify(system, found, relative_error=relative_error)
    except (CertificateTooLargeError, NotCertifiedError) as error:
        _fail(str(error), 1)
    proof.save(path)
    if not quiet:
        _print(f"Certified: {proof!r}")


def _show(report: Report, html: Path | None, as_json: bool, image_shape: tuple[int, ...] | None = None) -> None:
    if html is not None:
        report.to_html(html, image_shape=image_shape)
    _print(report.to_json() if as_json else report.explain())


def _act_json(act: Any) -> dict[str, Any]:
    from identify.report.verdict import jsonable

    content = {"title": act.title, "report": act.report.to_dict(), "failure": act.failure, "errors": act.errors}
    if act.found is not None:
        content |= {"residual": act.found.residual, "error_bars": act.found.error_bars, "evidence": act.found.evidence}
    return jsonable(content)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line on standard error that names the step under way and the time so far; plain lines where it is no terminal."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    if not errors.is_terminal:
        yield lambda name: errors.print(name)
        return
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=errors, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda name: bar.update(task, description=name)


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return "[" + ", ".join(_brief(v) for v in value) + "]"
    return str(value)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _print_json(content: Any) -> None:
    _print(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))


def _fail(message: str, status: int) -> NoReturn:
    errors.print(f"identify: {message}", markup=False)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
