"""Dense least squares that a signal and the end of the time can end: LAPACK and SciPy hear neither while they work.

A tall matrix is reduced to a triangular one piece by piece. What is left is square: if it is large, a process of its own does the work,
and is ended when it is no longer waited for.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from identify.base.errors import InternalError, OutOfTimeError
from identify.base.limits import refuse_late, refuse_when_spent, seconds_left

PIECE = 5e8
"""Products in one piece of a reduction: a fraction of a second."""
FEWEST_ROWS, BLOCK = 16, 32
"""Rows of a piece, at least; columns that LAPACK treats at once."""
APART = 1.0
"""Seconds, by an estimate, from which on a process of its own does the work."""
SECONDS = 1e-9
"""For the cube of the size of a square matrix: singular values, and the active sets of non-negative least squares."""
COMMAND = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from identify.base.algebra import main; main(sys.argv[2])"


def reduced(
    J: Float[np.ndarray, "rows k"], t: Float[np.ndarray, " rows"], what: str
) -> tuple[Float[np.ndarray, "k k"], Float[np.ndarray, " k"]]:
    """R and Q' t of J = Q R, so that ‖J c − t‖² is ‖R c − Q' t‖² plus a constant. Cost 2 rows k², memory of k² numbers.

    Raises OutOfTimeError when the time that :func:`~identify.base.limits.limit_time` allows is spent.
    """
    from scipy.linalg.lapack import dtpqrt

    k = J.shape[1] + 1
    rows = max(int(PIECE / k**2), FEWEST_ROWS)
    found = np.zeros((k, k), order="F")
    for first in range(0, len(J), rows):
        refuse_when_spent(what)
        part = slice(first, first + rows)
        added = np.asfortranarray(np.column_stack([J[part], t[part]]))
        found = dtpqrt(0, min(BLOCK, k), found, added, overwrite_a=1, overwrite_b=1)[0]
    return found[:-1, :-1], found[:-1, -1]


def least_squares(R: Float[np.ndarray, "rows k"], t: Float[np.ndarray, " rows"], what: str) -> Float[np.ndarray, " k"]:
    """The shortest c with the least ‖R c − t‖. Cost O(k³)."""
    return _done("least_squares", (R, t), what)


def nonnegative(R: Float[np.ndarray, "rows k"], t: Float[np.ndarray, " rows"], what: str) -> Float[np.ndarray, " k"] | None:
    """c ≥ 0 with the least ‖R c − t‖, by SciPy; None if its active sets do not settle. Cost O(k³)."""
    found = _done("nonnegative", (R, t), what)
    return None if np.isnan(found).any() else found


def rows_of(W: Float[np.ndarray, "m d"], what: str) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, "r d"]]:
    """Singular values and right singular vectors. Cost O(m d min(m, d))."""
    found = _done("svd", (W,), what)
    return found[:, 0], found[:, 1:]


def assigned(costs: Float[np.ndarray, "m n"], what: str) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Rows and columns of an assignment at least total cost, by SciPy. Cost O(m n min(m, n))."""
    rows, columns = _done("assignment", (costs,), what)
    return rows, columns


def largest_eigenvalue(S: Float[np.ndarray, "k k"], what: str) -> float:
    """Of a symmetric matrix. Cost O(k³)."""
    return float(_done("eigenvalues", (S,), what)[-1])


def _least_squares(R: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(R, t, rcond=None)[0]


def _nonnegative(R: np.ndarray, t: np.ndarray) -> np.ndarray:
    from scipy.optimize import nnls

    try:
        return nnls(R, t)[0]
    except RuntimeError:  # not within three rounds through all columns
        return np.full(R.shape[1], np.nan)


def _svd(W: np.ndarray) -> np.ndarray:
    _, sizes, rows = np.linalg.svd(W, full_matrices=False)
    return np.column_stack([sizes, rows])


def _assignment(costs: np.ndarray) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment

    return np.array(linear_sum_assignment(costs))


WORK: dict[str, Callable[..., np.ndarray]] = {
    "least_squares": _least_squares,
    "nonnegative": _nonnegative,
    "svd": _svd,
    "assignment": _assignment,
    "eigenvalues": np.linalg.eigvalsh,
}


def _done(name: str, arrays: tuple[np.ndarray, ...], what: str) -> np.ndarray:
    """One of :data:`WORK`, in this process if it does not take long.

    Raises OutOfTimeError if it would take longer than is left, or does.
    """
    rows, columns = arrays[0].shape
    seconds = SECONDS * rows * columns * min(rows, columns)
    refuse_late(seconds, what)
    if seconds < APART:
        return WORK[name](*arrays)
    path = json.dumps([entry or os.getcwd() for entry in sys.path])
    given = io.BytesIO()
    np.savez(given, *arrays)
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, path, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            out, _ = process.communicate(given.getvalue(), timeout=seconds_left())
        except subprocess.TimeoutExpired:
            raise OutOfTimeError(f"{what}: the time that was allowed is spent") from None
        finally:
            process.kill()  # nothing, if it has ended
    if process.returncode:
        raise InternalError(f"{what}: the process for it ended with status {process.returncode}")
    return np.load(io.BytesIO(out), allow_pickle=False)


def main(name: str) -> None:
    """The process: the arrays on the standard input, the answer on the standard output."""
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as given:
        answer = WORK[name](*(given[each] for each in given.files))
    found = io.BytesIO()  # arrays are not written to a pipe directly: some versions of NumPy ask for a position in it
    np.save(found, answer)
    sys.stdout.buffer.write(found.getvalue())
