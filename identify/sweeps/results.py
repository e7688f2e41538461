"""The results of a sweep as one table: dictionaries, and pandas or xarray if installed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from identify.base.errors import InputError
from identify.base.extras import needed
from identify.base.options import choice, natural
from identify.sweeps.constraints import Constraint
from identify.sweeps.measures import RESULTS
from identify.sweeps.store import DamagedError, Store
from identify.sweeps.task import COLUMNS, PARAMETERS, Outcome, varying

if TYPE_CHECKING:
    from pandas import DataFrame
    from xarray import Dataset

ENDINGS = ("state", "error", "seconds", "version")
"""Columns that every measure has, after its own."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """Results of a sweep in their store; files are read when they are asked for.

    Attributes
    ----------
    keys
        Hashes of the tasks; None for all in the store.
    """

    store: Store
    keys: tuple[str, ...] | None = None

    @classmethod
    def load(cls, folder: str | Path) -> Sweep:
        """All results in a folder that :func:`sweep` wrote, of one grid or of several. Raises StoreError when there is none."""
        return cls(Store.open(folder))

    def __iter__(self) -> Iterator[Outcome]:
        """Every outcome, in the order of the tasks; damaged files are left out and counted."""
        for key in self.store.keys() if self.keys is None else self.keys:
            try:
                result = self.store.load(key)
            except DamagedError:
                continue
            if result is not None:
                yield result

    @cached_property
    def counts(self) -> dict[str, int]:
        """Numbers of tasks that are ``done``, ``failed``, ``missing`` and ``damaged``, at the time of the call."""
        states = Counter[str]()
        for key in self.store.keys() if self.keys is None else self.keys:
            try:
                result = self.store.load(key)
            except DamagedError:
                states["damaged"] += 1
            else:
                states["missing" if result is None else result.state] += 1
        return {state: states[state] for state in ("done", "failed", "missing", "damaged")}

    def table(self, *, where: str | Sequence[str] = ()) -> list[dict[str, Any]]:
        """One dictionary for each outcome, all with the same keys: ``measure``, the parameters, results, ``state``, ``error``,
        ``seconds`` and ``version``. Sorted by measure and parameters.

        Parameters
        ----------
        where
            Comparisons, as in a grid: only rows that satisfy all of them.

        Raises
        ------
        GridError
            For a comparison that cannot be read.
        """
        constraints = [Constraint.parse(text, (*PARAMETERS, "update")) for text in ([where] if isinstance(where, str) else where)]
        rows = []
        for one in self:
            point = {name: getattr(one.task, name, None) for name in COLUMNS}
            if all(point[name] is not None for rule in constraints for name in rule.names) and all(
                rule.holds(point) for rule in constraints
            ):
                rows.append({"measure": one.task.measure, **point, **one.result, **_ending(one)})
        rows.sort(
            key=lambda row: [row["measure"], natural(row["update"] or ""), *((row[name] is not None, row[name]) for name in PARAMETERS)]
        )
        given = [name for name in COLUMNS if any(row[name] is not None for row in rows)]
        measured = [name for measure, names in RESULTS.items() if any(row["measure"] == measure for row in rows) for name in names]
        return [{name: row.get(name) for name in ("measure", *given, *measured, *ENDINGS)} for row in rows]

    def to_pandas(self, *, where: str | Sequence[str] = ()) -> DataFrame:
        """:meth:`table` as a data frame. Raises ValueError (MissingExtraError) without pandas."""
        return needed("pandas", "a table as a data frame").DataFrame(self.table(where=where))

    def to_xarray(self, measure: str, *, where: str | Sequence[str] = ()) -> Dataset:
        """The results of one measure as arrays, with a dimension for every axis of more than one value.

        Points that the sweep does not have are missing (nan or None). A parameter with one value is an attribute.

        Raises
        ------
        ValueError
            For a measure without results in this sweep, or (as MissingExtraError) without xarray and pandas.
        """
        pandas, xarray = (needed(package, "a table as arrays") for package in ("pandas", "xarray"))
        choice("measure", measure, tuple(RESULTS))
        rows = [row for row in self.table(where=where) if row["measure"] == measure]
        if not rows:
            raise InputError(f"measure: no result of {measure} in {self.store.folder}; expected one that the grid asks for")
        axes = ["update"] if measure == "update" else varying(rows)
        fixed = {name: rows[0][name] for name in PARAMETERS if name in rows[0] and name not in axes and rows[0][name] is not None}
        columns = [*RESULTS[measure], "state", "seconds"]
        content = [{name: row.get(name) for name in (*axes, *columns)} for row in rows]
        if not axes:
            return xarray.Dataset({name: content[0][name] for name in columns}, attrs=fixed)
        return pandas.DataFrame(content).set_index(axes)[columns].to_xarray().assign_attrs(fixed)

    def plot(
        self,
        folder: str | Path | None = None,
        *,
        x: str | None = None,
        y: str | None = None,
        where: str | Sequence[str] = (),
        form: str = "png",
    ) -> list[Path]:
        """Draw the phase diagrams: verdicts, thresholds, success of recovery, error against noise; and what updates reveal.

        Parameters
        ----------
        folder
            Folder for ``verdict.png``, ``thresholds.png``, ``recovery.png``, ``noise.png`` and ``update.png``, as far as there are
            results; None is the folder of the results.
        x, y
            Horizontal and vertical axis, such as ``"width"``; None takes those with the most values. Each combination of the other
            parameters gets a panel; seeds are pooled.
        where
            Comparisons, as in a grid: only points that satisfy all of them.
        form
            ``"png"`` or ``"svg"``.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        ValueError
            Without results, for names that are not axes, more than 12 panels, or (as MissingExtraError) without matplotlib.
        """
        from identify.sweeps.pictures import write_pictures

        source = self.store.folder
        return write_pictures(self.table(where=where), source if folder is None else Path(folder), source, x=x, y=y, form=form)

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {state}" for state, number in self.counts.items() if number or state == "done")
        return f"Sweep({self.store.folder}: {counts})"


def _ending(outcome: Outcome) -> dict[str, Any]:
    version = outcome.versions.get("kkt-identify", "")
    return {"state": outcome.state, "error": outcome.error, "seconds": outcome.seconds, "version": version}
