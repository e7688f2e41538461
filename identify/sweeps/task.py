"""One task of a sweep: a point of a grid, or an update of a folder; its hash, and its outcome.

A task is a value. Its hash covers everything that its result depends on, and names the file of the result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from identify.planting.configuration import Configuration

FORMAT = 1
"""Version of the meaning of a task and of the format of its result; a new number gives new hashes, so old results are not reused."""
NETWORK = ("inputs", "width", "activation", "outputs", "bias", "layers", "regime", "seed")
"""Parameters that every measure depends on."""
USED = {
    "verdict": (*NETWORK, "samples"),
    "thresholds": NETWORK,
    "recovery": (*NETWORK, "samples", "noise", "method", "starts", "budget", "tolerance"),
}
"""Parameters that each measure depends on."""


class Hashed:
    """The common part of tasks: a hash of all they depend on."""

    __slots__ = ()

    @property
    def key(self) -> str:
        """SHA-256 of the task in canonical JSON, with the version of the format."""
        return digest({"format": FORMAT, **self.to_dict()})

    def to_dict(self) -> dict[str, Any]:
        """JSON values, without those that are None, and without places on this machine."""
        here = {one.name for one in fields(self) if one.metadata.get("here")}  # type: ignore[arg-type]
        values = asdict(self)  # type: ignore[call-overload]
        return {name: value for name, value in values.items() if value is not None and name not in here}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Hashed):
    """One point of a grid, and its measure; parameters that the measure does not depend on are None."""

    measure: str
    inputs: int
    samples: int | None = None
    width: int
    activation: str
    outputs: int = 1
    bias: bool = False
    layers: str = "both"
    regime: str = "gradient"
    seed: int = 0
    noise: float | None = None
    method: str | None = None
    starts: int | None = None
    budget: float | None = None
    tolerance: float | None = None

    @property
    def size(self) -> Hashable:
        """The sizes on which the code that JAX compiles depends."""
        return replace(self, seed=0, noise=None)

    @property
    def configuration(self) -> Configuration:
        """The sizes. Thresholds hold for every number of samples; one stands for it."""
        options = {name: getattr(self, name) for name in (*NETWORK[:-1], "samples")}
        return Configuration(**options | {"samples": self.samples or 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTask(Hashed):
    """One update of a folder, and the network at which it was taken.

    Attributes
    ----------
    update
        Name of its file.
    content, model
        SHA-256 of the files of the update and of the network; no model for a problem file, which has its own.
    activation, samples, seed, budget
        As for :func:`identify.recover`; the activation for a model whose file does not name it.
    training
        How the model was trained to the network of the file, if that is not a gradient but a network: JSON of the arguments of
        :meth:`identify.KKTSystem.steps`.
    file, model_file, trust
        Where the files are, and whether they are known to be harmless; not a part of the hash.
    """

    measure: str = "update"
    update: str
    content: str
    model: str | None = None
    activation: str | None = None
    samples: int | None = None
    seed: int = 0
    budget: float = 60.0
    training: str | None = None
    file: Path | None = field(default=None, compare=False, metadata={"here": True})
    model_file: Path | None = field(default=None, compare=False, metadata={"here": True})
    trust: bool = field(default=False, compare=False, metadata={"here": True})

    @property
    def size(self) -> Hashable:
        """Every update may have another number of samples."""
        return self.content


PARAMETERS = tuple(one.name for one in fields(Task) if one.name != "measure")
"""Parameters of a point besides its measure."""
COLUMNS = ("update", *PARAMETERS)
"""Parameters of any task that tables show."""
AnyTask = Task | UpdateTask


def task_of(content: Mapping[str, Any]) -> AnyTask:
    """The task that :meth:`Hashed.to_dict` wrote."""
    return UpdateTask(**content) if content["measure"] == "update" else Task(**content)


def varying(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Parameters with more than one value in these rows."""
    return [name for name in PARAMETERS if len({row.get(name) for row in rows}) > 1]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a task.

    Attributes
    ----------
    state
        ``"done"``; or ``"failed"``, if the task raised an error or its process died; ``error`` says which.
    result
        The measured values; empty for a failed task.
    seconds
        Wall-clock time of the task alone.
    versions
        Versions of the packages that the result depends on.
    """

    task: AnyTask
    state: str
    result: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)


def failed(task: AnyTask, reason: str) -> Outcome:
    """The outcome of a task that could not be run."""
    return Outcome(task=task, state="failed", error=reason)


def canonical(content: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(content: Any) -> str:
    """SHA-256 of canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()
