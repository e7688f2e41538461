"""Grids: lists of values for every axis, their product, and the constraints between them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from identify.base.options import LAYERS, METHODS, REGIMES, number, positive, valid_seed, whole
from identify.problem.activation import ActivationError, as_activation
from identify.problem.system import SELF_TRAINED
from identify.sweeps.constraints import Constraint, GridError
from identify.sweeps.task import PARAMETERS, USED, Task

MOST = 10_000_000
"""Largest number of points of a grid."""
BUDGET = 10.0
"""Seconds for a recovery if the grid has neither a budget nor a number of starts."""


def _word(allowed: Sequence[str]) -> Callable[[str, Any], str]:
    def read(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise GridError(f"{name}: received {value!r}, expected some of {', '.join(allowed)}")
        return str(value)

    return read


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise GridError(f"{name}: received {value!r}, expected true or false")
    return bool(value)


def _activation(name: str, value: Any) -> str:
    """The activation in its printed form, so that two spellings of it are one task."""
    try:
        return str(as_activation(value))
    except ActivationError as error:
        raise GridError(str(error)) from None  # it begins with the name


_integer = partial(whole, error=GridError)
_positive = partial(positive, error=GridError)
READ: dict[str, Callable[[str, Any], Any]] = {
    "inputs": _integer,
    "samples": _integer,
    "width": _integer,
    "activation": _activation,
    "outputs": _integer,
    "bias": _truth,
    "layers": _word(LAYERS),
    "regime": _word(REGIMES),
    "seed": lambda name, value: valid_seed(value, name=name, error=GridError),
    "noise": partial(number, advice=", relative to the target", error=GridError),
    "method": _word(METHODS),
    "starts": _integer,
    "budget": _positive,
    "tolerance": _positive,
}
DEFAULT: dict[str, tuple] = {
    "outputs": (1,),
    "bias": (False,),
    "layers": ("both",),
    "regime": ("gradient",),
    "seed": (0,),
    "noise": (0.0,),
    "method": ("auto",),
    "starts": (None,),
    "tolerance": (1e-3,),
}
NAMES = ("measure", *(name if name != "seed" else "seeds" for name in READ), "where")


@dataclass(frozen=True)
class Grid:
    """Values of every axis, what to measure, and constraints."""

    measures: tuple[str, ...]
    axes: Mapping[str, tuple]
    constraints: tuple[Constraint, ...]

    @classmethod
    def of(cls, grid: Mapping[str, Any] | str | Path) -> Grid:
        """From a mapping, or from a TOML file of the same keys. Raises :class:`GridError`."""
        content = _table(Path(grid)) if isinstance(grid, (str, Path)) else grid
        if not isinstance(content, Mapping):
            raise GridError(f"grid: received {type(content).__name__}, expected a mapping of names to lists, or the path of a TOML file")
        unknown = [str(name) for name in content if name not in NAMES]
        if unknown:
            raise GridError(f"grid: unknown {', '.join(unknown)}; expected {', '.join(NAMES)}")
        measures = tuple(_word(tuple(USED))("measure", one) for one in _values("measure", content.get("measure", "verdict")))
        axes = {"seed" if name == "seeds" else name: content[name] for name in content if name not in ("measure", "where")}
        read = {name: _axis(name, value) for name, value in axes.items()}
        read = DEFAULT | {"budget": (None if "starts" in read else BUDGET,)} | read
        _complete(measures, read, set(axes))
        where = content.get("where", ())
        texts = (where,) if isinstance(where, str) else _values("where", where) if where != () else ()
        used = {name for measure in measures for name in USED[measure]}
        return cls(measures, read, tuple(Constraint.parse(text, tuple(name for name in PARAMETERS if name in used)) for text in texts))

    def tasks(self) -> Iterator[Task]:
        """Every task once: the product of the axes that a measure depends on, less the points that a constraint excludes.

        A point of fewer axes is kept when a constraint holds for some value of the others.
        """
        for measure in self.measures:
            used = USED[measure]
            names = [name for name in PARAMETERS if name in used or any(name in one.names for one in self.constraints)]
            size = math.prod(len(self.axes[name]) for name in names)
            if size > MOST:
                raise GridError(f"grid: {size:,} points for {measure}, expected at most {MOST:,}; take fewer values, or several sweeps")
            seen = set()
            for values in product(*(self.axes[name] for name in names)):
                point = dict(zip(names, values, strict=True))
                if not all(one.holds(point) for one in self.constraints):
                    continue
                task = Task(measure=measure, **{name: point[name] for name in used})
                if len(names) == len(used):
                    yield task
                elif task not in seen:
                    seen.add(task)
                    yield task


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GridError(f"grid: {path}: no such file; expected a TOML file with lists such as inputs = [4, 6, 8]") from None
    except OSError as error:
        raise GridError(f"grid: {path} cannot be read ({error.strerror}); expected a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GridError(f"grid: {path} is not TOML ({error}); write lists as in inputs = [4, 6, 8], and texts in quotes") from None


def _axis(name: str, value: Any) -> tuple:
    """The values of an axis, each checked; a number of seeds stands for 0, 1, ..."""
    if name == "seed" and isinstance(value, Integral):
        value = range(_integer("seeds (how many)", value))
    shown = "seeds" if name == "seed" else name
    values = tuple(READ[name](shown, one) for one in _values(shown, value))
    if len(set(values)) < len(values):
        raise GridError(f"{shown}: received {list(values)}, expected every value once")
    return values


def _values(name: str, value: Any) -> Sequence[Any]:
    """A list as it is, a single value as a list of one, {first, last, step} written out."""
    if isinstance(value, Mapping):
        if not {"first", "last"} <= set(value) <= {"first", "last", "step"}:
            raise GridError(f"{name}: received keys {', '.join(map(str, value))}, expected first, last and perhaps step")
        first, last, step = (_integer(f"{name}: {key}", value.get(key, 1)) for key in ("first", "last", "step"))
        value = range(first, last + 1, step)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple, range)):
        if not len(value):
            raise GridError(f"{name}: received no values, expected at least one; leave {name} out for its default")
        return value
    return (value,)


def _complete(measures: tuple[str, ...], axes: Mapping[str, tuple], given: set[str]) -> None:
    """Refuse a grid that lacks an axis, has one that nothing depends on, or combines values that exclude each other."""
    if len(set(measures)) < len(measures):
        raise GridError(f"measure: received {list(measures)}, expected each once")
    used = {name for measure in measures for name in USED[measure]}
    absent = [name for name in ("inputs", "samples", "width", "activation") if name in used and name not in axes]
    if absent:
        raise GridError(f"grid: {', '.join(absent)} missing; expected a list for each, as in {absent[0]} = {_example(absent[0])}")
    idle = sorted(given - used)
    if idle:
        raise GridError(f"grid: {', '.join(idle)} given, but nothing of measure = {list(measures)} depends on it; leave it out")
    if "thresholds" in measures and any(regime in SELF_TRAINED for regime in axes["regime"]):
        raise GridError(
            f"regime: received {', '.join(axes['regime'])}, expected gradient or lazy for measure thresholds: a self-trained network "
            "depends on its own data, so nothing can be said of generic data; sweep verdict instead"
        )


def _example(name: str) -> str:
    return '["z + z^3"]' if name == "activation" else "[4, 6, 8]"
