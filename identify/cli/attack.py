"""``identify attack``."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from identify.base.errors import InputError, OutOfTimeError
from identify.base.limits import LEAST
from identify.base.options import ATTACKS, BUZAGLO_PRESETS, HAIM_PRESETS, PRECISIONS, choice
from identify.cli.app import Json, Seed, Trust, Weights, app, examples
from identify.cli.console import brief, print_json, print_text, progress
from identify.cli.values import COUNT, NEW_FOLDER, NOT_NEGATIVE, OLD_FILE, SECONDS, new_file, one_of

if TYPE_CHECKING:
    from identify.attacks.diagnosis import Diagnosis
    from identify.attacks.objectives import Attack
    from identify.attacks.runs import Reconstruction
    from identify.attacks.scores import Score
    from identify.attacks.tuning import RandomSearch
    from identify.problem.network import Network

PRESETS = (*HAIM_PRESETS, *BUZAGLO_PRESETS)


@app.command(
    epilog=examples(
        "identify attack network.npz -k 40 --trials 4 --split --out found.npz",
        "identify attack network.npz --preset mnist-1 --set rate=0.01 -k 40 --html found.html",
        "identify attack network.npz --search --trials 20 --budget 3600 --checkpoint runs -k 40",
        "identify attack final.npz --method loo --initial initial.npz -k 40",
    )
)
def attack(
    file: Annotated[Path, typer.Argument(help="Network: .npz with W1, b1, W2, ..., or .safetensors, .pt, .msgpack, .eqx, .onnx.")],
    method: Annotated[str, typer.Option(help=f"One of {', '.join(ATTACKS)}.", **one_of(ATTACKS))] = "haim",
    initial: Annotated[Path | None, typer.Option(help="loo: the network before training.", show_default=False, **OLD_FILE)] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            "--activation", "-a", help="relu or a polynomial; default: the file's, or relu.", show_default=False, metavar="<function>"
        ),
    ] = None,
    weights: Weights = None,
    trust: Trust = False,
    data: Annotated[
        Path | None,
        typer.Option(help=".npz with the true X, and y and mean if known, for scores; default: the file.", show_default=False, **OLD_FILE),
    ] = None,
    candidates: Annotated[
        int | None, typer.Option("--candidates", "-k", help="Default: twice the samples of the file.", show_default=False, **COUNT)
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"Published settings: {', '.join(PRESETS)}.", show_default=False, **one_of(PRESETS))
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, as in rate=0.01; may be repeated.", show_default=False, metavar="<setting>"),
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="haim: every run draws its settings from the published ranges.")] = False,
    steps: Annotated[int | None, typer.Option(help="Iterations; default: as published.", show_default=False, **COUNT)] = None,
    trials: Annotated[int, typer.Option(help="Runs from different seeds.", **COUNT)] = 1,
    split: Annotated[bool, typer.Option("--split", help="Split candidates at strict saddles.")] = False,
    row_space: Annotated[bool, typer.Option("--row-space", help="Candidates in the row space of the first layer.")] = False,
    noise: Annotated[
        float, typer.Option(help="Standard deviation of the rest of the initial values in each weight.", **NOT_NEGATIVE)
    ] = 0.0,
    precision: Annotated[str, typer.Option(help="Precision of the iterations.", **one_of(PRECISIONS))] = "float64",
    budget: Annotated[
        float | None,
        typer.Option(help="Seconds for the diagnosis and all runs; after that, the best result so far.", show_default=False, **SECONDS),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder that keeps runs, finished or not, to go on from them.", show_default=False, **NEW_FOLDER)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write X, c and the pooled candidates as .npz.", show_default=False, **new_file(".npz"))
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with pictures.", show_default=False, **new_file())] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run a published reconstruction attack on a trained network.

    If its data are known, diagnose the attack first and score its candidates.
    """
    from identify.attacks.reconstruct import reconstruct
    from identify.attacks.runs import Splitting
    from identify.attacks.scores import score
    from identify.attacks.tuning import RandomSearch
    from identify.checkpoints.problems import load_arrays, load_network, save_arrays
    from identify.cli.attack_page import write_attack_page
    from identify.problem.verdict import jsonable
    from identify.report.html import require_pages

    if html is not None:
        require_pages()  # before the work, not after it

    network, rest = _network(file, activation, weights, trust)
    known, labels, mean = _data(rest if data is None else load_arrays(data, trust=trust), network.n_inputs)
    before = None if initial is None else load_network(initial, weights=weights or None, trust=trust)[0]
    made = _attack(network, method, before, preset, setting or [], search)
    if row_space:
        made = _in_row_space(made, noise)
    if candidates is None:
        if known is None:
            raise InputError("--candidates: missing, and the file has no X to count; give about twice the number of samples")
        candidates = 2 * len(known)
    diagnosis = None
    with progress() as step:
        began = time.monotonic()
        if known is not None and not isinstance(made, RandomSearch):
            diagnosis = _diagnosis(made, method, known, labels, noise, budget, step)
        if budget is not None:
            budget = max(budget - (time.monotonic() - began), LEAST)
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
    scored = None if known is None else score(found.X, known, mean=mean)
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
    try:
        if out is not None:
            save_arrays(out, {"X": found.X, "c": found.c, "pooled": found.pooled})
        if html is not None:
            write_attack_page(html, file.name, found, diagnosis=diagnosis, scored=scored, known=known, mean=mean)
    finally:  # printed even if there is no room for the files
        if as_json:
            content = {"attack": found.attack, "runs": rows, "diverged": found.diverged, "interrupted": found.interrupted}
            print_json(jsonable(content | ({} if scored is None else {"recall": scored.recall(), "errors": scored.errors})))
        else:
            _show_attack(found, diagnosis, rows, scored)
    for path in (out, html):
        if path is not None and not as_json:
            print_text(f"Written: {path}")


def _show_attack(
    found: Reconstruction, diagnosis: Diagnosis | OutOfTimeError | None, rows: list[dict[str, Any]], scored: Score | None
) -> None:
    if diagnosis is not None:
        print_text(f"Before the attack: {diagnosis}")
    print_text(repr(found))
    for row in rows:
        print_text("  " + ", ".join(f"{name} {brief(value)}" for name, value in row.items()))
    if scored is not None:
        print_text(str(scored))
    if found.interrupted:
        print_text(f"Interrupted: {found.interrupted}")


def _network(file: Path, activation: str | None, weights: list[str] | None, trust: bool) -> tuple[Network, dict[str, Any]]:
    from identify.checkpoints.problems import load_network
    from identify.problem.network import from_parameters

    network, rest = load_network(file, weights=weights or None, trust=trust)
    return (network if activation is None else from_parameters(network.parameters, activation)), rest


def _data(arrays: dict[str, Any], d: int) -> tuple[Any, Any, Any]:
    """X, y and mean, each None if it is not known."""
    from identify.problem.arrays import finite_array

    if "X" not in arrays:
        return None, None, None
    X = finite_array("X", arrays["X"], (None, d), "samples, one per row")
    y = finite_array("y", arrays["y"], (len(X),), "one label for each sample") if "y" in arrays else None
    mean = finite_array("mean", arrays["mean"], (d,), "the mean that was subtracted from every sample") if "mean" in arrays else None
    return X, y, mean


def _diagnosis(
    made: Attack, method: str, X, y, noise: float, budget: float | None, step: Callable[[str], None]
) -> Diagnosis | OutOfTimeError | None:
    """None if the equation needs labels that are not known; the error if half of the budget is not enough."""
    from identify.attacks import diagnose

    labelled = method in ("haim", "multiclass")
    if labelled and y is None:
        return None
    half = None if budget is None else budget / 2
    try:
        return diagnose(made, X, y if labelled else None, signed=not labelled, noise=noise, budget=half, progress=step)
    except OutOfTimeError as error:
        return error


def _in_row_space(made: Attack | RandomSearch, noise: float) -> Attack | RandomSearch:
    from identify.attacks import RandomSearch, in_row_space

    if isinstance(made, RandomSearch):
        return RandomSearch(lambda **chosen: in_row_space(made.make(**chosen), noise=noise), made.ranges, made.fixed)
    return in_row_space(made, noise=noise)


def _attack(
    network: Network, method: str, initial: Network | None, preset: str | None, settings: list[str], search: bool
) -> Attack | RandomSearch:
    """The attack of the given name, with a preset and single settings, or the search over its settings."""
    from identify.attacks import RandomSearch, published

    options: dict[str, Any] = {}
    if preset is not None and method == "loo":
        raise InputError("--preset: method loo does not have presets; omit it")
    if preset is not None:
        presets = HAIM_PRESETS if method == "haim" else BUZAGLO_PRESETS
        own = {name: value for name, value in presets.items() if method == "haim" or name.startswith(method)}
        options |= own[choice("--preset", preset, tuple(own))]
    made: Any = {"haim": published.haim, "loo": published.loo}.get(method, published.buzaglo)
    known = [name for name, one in signature(made).parameters.items() if isinstance(one.default, (float, bool))]
    for text in settings:
        name, _, value = text.partition("=")
        choice("--set", name, known)
        try:
            options[name] = float(value)
        except ValueError:
            raise InputError(f"--set: received {text!r}, expected a name and a number, as in rate=0.01") from None
    if (initial is not None) != (method == "loo"):
        raise InputError("--initial: the network before training is needed for --method loo, and only there")
    if search and (method != "haim" or preset is not None):
        raise InputError("--search: applies to --method haim without --preset; fix single settings with --set")
    if search:
        ranges = {name: value for name, value in published.HAIM_RANGES.items() if name not in options}
        return RandomSearch(partial(published.haim, network), ranges, options)
    if initial is not None:
        return published.loo(initial, network, **options)
    return published.haim(network, **options) if method == "haim" else published.buzaglo(network, kind=method, **options)
