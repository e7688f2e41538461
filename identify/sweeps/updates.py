"""Sweeps over updates: the files of a folder, such as a federated round, each a task; and the batch behind one of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from identify.base.errors import InputError
from identify.checkpoints.problems import load_arrays, load_problem
from identify.problem.activation import as_activation
from identify.problem.models import gradients_of
from identify.problem.network import Network
from identify.problem.steps import StepsSystem, check_training
from identify.problem.system import KKTSystem
from identify.sweeps.task import UpdateTask, canonical

BLOCK = 2**20
"""Bytes of a file that are hashed at a time."""


class UpdatesError(InputError):
    """A folder of updates, or the network they belong to, that cannot be used."""


def tasks_of(
    folder: str | Path,
    *,
    model: str | Path | None,
    activation: str | None,
    samples: int | None,
    seed: int,
    budget: float,
    trust: bool,
    training: Mapping[str, Any] | None = None,
) -> list[UpdateTask]:
    """A task for each file of a folder, hidden ones apart; the model, if given, is read once to see that it can be.

    Raises
    ------
    UpdatesError
        For a folder that has no files or is not one, and a model that cannot be found.
    ProblemFileError, ActivationError
        For a model that cannot be read, or lacks an activation.
    """
    place = Path(folder)
    if not place.is_dir():
        raise UpdatesError(f"updates: {place} is not a folder; expected one with a file for each update")
    files = sorted(path for path in place.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise UpdatesError(f"updates: {place} has no files; expected one for each update")
    if model is None and activation is not None:
        raise UpdatesError("activation: received one without a model, but problem files name their own; leave it out, or give the model")
    if model is None and training is not None:
        raise UpdatesError("training: received it without a model; expected the network before the steps as the model")
    options: dict[str, Any] = {"activation": activation, "samples": samples, "seed": seed, "budget": budget, "trust": trust}
    if model is not None:
        path = Path(model)
        if not path.is_file():
            raise UpdatesError(f"model: {path}: no such file; expected the network at which the updates were taken")
        net, _ = network_at(path, activation, trust)
        if training is not None:
            moved = net.with_parameters({name: part + 1.0 for name, part in net.parameters.items()})
            KKTSystem.steps(net, moved, **check_training(training))  # refuses what no file makes right
            options["training"] = canonical(training)
        options |= {"model": digest_of(path), "model_file": path.absolute()}
    return [UpdateTask(update=path.name, content=digest_of(path), file=path.absolute(), **options) for path in files]


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise UpdatesError(f"updates: {path} cannot be read ({error.strerror}); make it readable, or remove it") from None
    return digest.hexdigest()


def network_at(path: Path, activation: str | None, trust: bool) -> tuple[Network, dict[str, np.ndarray]]:
    """The network of a file, and its arrays by the names that gradients have as well."""
    arrays = load_arrays(path, trust=trust)
    own = arrays.pop("activation", None)
    if activation is None and own is None:
        raise UpdatesError(f"activation: {path.name} does not name it; give the one the network computes with, such as relu")
    net = Network.of(arrays, activation=as_activation(str(own) if activation is None else activation))
    return net, arrays


@lru_cache(maxsize=1)
def _known(path: Path, content: str, activation: str | None, trust: bool) -> tuple[Network, dict[str, np.ndarray]]:
    """The network of all updates, which a process reads once."""
    _unchanged(path, content)
    return network_at(path, activation, trust)


def _unchanged(path: Path, content: str) -> None:
    if digest_of(path) != content:
        raise UpdatesError(f"updates: {path} was changed after the sweep began; sweep again")


def system_of(task: UpdateTask) -> KKTSystem | StepsSystem:
    """The equations of an update: a problem file, the gradient of the loss by some parameters of the model, or the model some steps on."""
    assert task.file is not None
    _unchanged(task.file, task.content)
    if task.model is None:
        return load_problem(task.file, trust=task.trust).system
    assert task.model_file is not None
    net, arrays = _known(task.model_file, task.model, task.activation, task.trust)
    if task.training is not None:
        final, _ = network_at(task.file, str(net.activation), task.trust)
        return KKTSystem.steps(net, final, **json.loads(task.training))
    gradients = load_arrays(task.file, trust=task.trust)
    gradients.pop("activation", None)
    return KKTSystem.gradient(net, layers=gradients_of(gradients, like=arrays))


def batch_of(task: UpdateTask) -> dict[str, Any]:
    """Recover the batch behind an update. What a batch holds is not stored, only how much of it was recovered, and how well."""
    from identify.recovery.recover import recover
    from identify.recovery.solution import RecoveryError

    system = system_of(task)
    try:
        recovery = recover(system, samples=task.samples, seed=task.seed, budget=task.budget)
    except RecoveryError as error:
        counted = _counted(error.evidence, task.samples)
        nothing = {"counted": counted, "recovered": 0, "status": "", "error_bar": None, "residual": None, "solved_by": ""}
        return nothing | {"not_recovered": str(error)}
    bars = recovery.relative_error_bars
    worst = float(np.max(bars, initial=0.0))
    return {
        "counted": max(_counted(recovery.evidence, task.samples) or 0, recovery.n_samples),
        "recovered": recovery.n_samples,
        "status": recovery.uniqueness.status.value,
        "error_bar": worst if np.isfinite(worst) else None,
        "residual": recovery.residual,
        "solved_by": recovery.method,
        "not_recovered": "",
    }


def _counted(evidence: dict[str, Any], samples: int | None) -> int | None:
    """How many samples the update shows: as the caller said, or as its ranks do."""
    if samples is not None:
        return samples
    inner = evidence.get("separation")
    if isinstance(inner, dict) and "samples" in inner:
        return int(inner["samples"])
    ranks = evidence.get("ranks")
    return max((int(rank) for rank in ranks), default=None) if ranks else evidence.get("samples_estimated")
