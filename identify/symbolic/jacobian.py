"""The Jacobian of the equations in the unknowns, sparse: in python-flint polynomials, or of structured equations, SymPy on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from flint import fmpq_mpoly
from sympy import Expr, Integer, SparseMatrix, Symbol, preorder_traversal

from identify.base.errors import InputError
from identify.symbolic.polynomials import Polynomials, to_expression
from identify.symbolic.system import SymbolicSystem

MOST_SECONDS = 60.0
"""All structured equations are not written to find their unknowns when that is estimated to take longer."""
SECONDS_PER_EQUATION, SECONDS_PER_NODE = 1e-3, 5e-6
"""Measured on one core: SymPy makes an equation and collects its symbols; nodes are those of its expression tree."""


@dataclass(frozen=True, eq=False)
class SymbolicJacobian:
    """``J[r, u]`` is the derivative of equation r by unknown u (its index, or its symbol); zero entries are not stored."""

    system: SymbolicSystem
    entries: Mapping[tuple[int, int], Any]
    """python-flint polynomials; SymPy expressions for structured equations."""
    variables: tuple[tuple[Symbol, ...], ...]
    """The variables of the polynomials of each equation."""
    unknowns: tuple[Symbol, ...]
    """The unknowns of the columns: those of the system, without the ones that expansion has eliminated."""

    @classmethod
    def of(cls, expanded: Polynomials) -> SymbolicJacobian:
        """The Jacobian of expanded equations."""
        unknowns = expanded.system.free_unknowns
        columns = {symbol: k for k, symbol in enumerate(unknowns)}
        derived: dict[int, list[tuple[int, fmpq_mpoly]]] = {}
        entries, variables = {}, []
        for row in range(len(expanded)):
            polynomial, names, place = expanded.polynomial(row)
            if place not in derived:
                candidates = [k for k, degree in enumerate(polynomial.degrees()) if degree and names[k] in columns]
                derived[place] = [(k, polynomial.derivative(k)) for k in candidates]
            entries.update({(row, columns[names[k]]): value for k, value in derived[place]})
            variables.append(names)
        return cls(expanded.system, entries, tuple(variables), unknowns)

    @classmethod
    def structured(cls, system: SymbolicSystem) -> SymbolicJacobian:
        """The Jacobian of structured equations, without expansion; each derivative is taken when it is asked for."""
        return cls(system, Derivatives(system), ((),) * len(system), system.unknowns)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.variables), len(self.unknowns)

    def __getitem__(self, at: tuple[int, int | Symbol]) -> Expr:
        row, column = at
        if isinstance(column, Symbol):
            column = self.unknowns.index(column)
        row = range(self.shape[0])[row]
        entry = self.entries.get((row, range(self.shape[1])[column]))
        return Integer(0) if entry is None else self._expression(row, entry)

    def _expression(self, row: int, entry: Any) -> Expr:
        return entry if isinstance(entry, Expr) else to_expression(entry, self.variables[row])

    def to_sympy(self) -> SparseMatrix:
        """The whole Jacobian as a SymPy sparse matrix. InputError when finding its entries would take minutes."""
        return SparseMatrix(*self.shape, {(r, c): self._expression(r, v) for (r, c), v in self.entries.items()})

    def pattern(self) -> np.ndarray:
        """A boolean array that is true at the entries that are not identically zero. InputError when finding them would take minutes."""
        out = np.zeros(self.shape, dtype=bool)
        for at in self.entries:
            out[at] = True
        return out

    def __repr__(self) -> str:
        try:
            count = f", {len(self.entries)} entries not zero"
        except InputError:  # counting them would take minutes
            count = ""
        return f"SymbolicJacobian({self.shape[0]} by {self.shape[1]}{count})"


class Derivatives(Mapping[tuple[int, int], Expr]):
    """The derivatives of the structured equations that are not zero; an unknown that an equation contains has one."""

    def __init__(self, system: SymbolicSystem) -> None:
        self._system = system

    @cached_property
    def _columns(self) -> dict[Symbol, int]:
        return {symbol: k for k, symbol in enumerate(self._system.unknowns)}

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        """Rows and columns, from the symbols of each equation."""
        if (seconds := self._seconds()) > MOST_SECONDS:
            raise InputError(
                f"structure, jacobian: received {len(self._system)} equations, expected fewer: to find which unknowns each contains takes "
                f"about {seconds:.2g} s, more than {MOST_SECONDS:.0f}. Use a smaller network of the same kind, whose blocks are alike, or "
                "single entries, such as jacobian()[0, 0]; lambdify evaluates all equations, and check and recover take this network"
            )
        return [
            (row, column)
            for row, equation in enumerate(self._system.equations)
            for column in sorted(self._columns[symbol] for symbol in equation.free_symbols & self._columns.keys())
        ]

    def _seconds(self) -> float:
        """About how long it takes to write all equations, from up to three of each group."""
        start, seconds = 0, 0.0
        for _, size in self._system.groups():
            some = {start, start + size // 2, start + size - 1} if size else ()
            nodes = max((sum(1 for _ in preorder_traversal(self._system.equations[row])) for row in some), default=0)
            seconds += size * (SECONDS_PER_EQUATION + SECONDS_PER_NODE * nodes)
            start += size
        return seconds

    def __getitem__(self, at: tuple[int, int]) -> Expr:
        row, column = at
        equation, unknown = self._system.equations[row], self._system.unknowns[column]
        if unknown not in equation.free_symbols:
            raise KeyError(at)
        return equation.diff(unknown)

    def __iter__(self):
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
