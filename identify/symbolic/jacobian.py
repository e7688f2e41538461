"""The Jacobian of the expanded equations in the unknowns: sparse, in python-flint polynomials, SymPy on demand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flint import fmpq_mpoly
from sympy import Expr, Integer, SparseMatrix, Symbol

from identify.symbolic.polynomials import Polynomials, to_expression
from identify.symbolic.system import SymbolicSystem


@dataclass(frozen=True, eq=False)
class SymbolicJacobian:
    """``J[r, u]`` is the derivative of equation r by unknown u (its index, or its symbol); zero entries are not stored."""

    system: SymbolicSystem
    entries: dict[tuple[int, int], fmpq_mpoly]
    variables: tuple[tuple[Symbol, ...], ...]
    """For each equation, the variables of its polynomials."""

    @classmethod
    def of(cls, expanded: Polynomials) -> SymbolicJacobian:
        columns = {symbol: k for k, symbol in enumerate(expanded.system.unknowns)}
        derived: dict[int, list[tuple[int, fmpq_mpoly]]] = {}
        entries, variables = {}, []
        for row in range(len(expanded)):
            polynomial, names, place = expanded.polynomial(row)
            if place not in derived:
                candidates = [k for k, degree in enumerate(polynomial.degrees()) if degree and names[k] in columns]
                derived[place] = [(k, polynomial.derivative(k)) for k in candidates]
            entries.update({(row, columns[names[k]]): value for k, value in derived[place]})
            variables.append(names)
        return cls(expanded.system, entries, tuple(variables))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.variables), len(self.system.unknowns)

    def __getitem__(self, at: tuple[int, int | Symbol]) -> Expr:
        row, column = at
        if isinstance(column, Symbol):
            column = self.system.unknowns.index(column)
        entry = self.entries.get((range(self.shape[0])[row], range(self.shape[1])[column]))
        return Integer(0) if entry is None else to_expression(entry, self.variables[row])

    def to_sympy(self) -> SparseMatrix:
        """The whole Jacobian as a SymPy sparse matrix."""
        return SparseMatrix(*self.shape, {(r, c): to_expression(v, self.variables[r]) for (r, c), v in self.entries.items()})

    def pattern(self) -> np.ndarray:
        """Where entries are not identically zero: a boolean array."""
        out = np.zeros(self.shape, dtype=bool)
        for at in self.entries:
            out[at] = True
        return out

    def __repr__(self) -> str:
        return f"SymbolicJacobian({self.shape[0]} by {self.shape[1]}, {len(self.entries)} entries not zero)"
