"""Updates of which whole rows or whole columns were not sent: a row is a neuron of the layer, a column what enters it.

Entries that are not known are NaN. Equation (S) holds for the others as it stands, and so do the theorems: the row space of
:math:`G = \\sum_i u_i \\tilde h_i^\\top` follows from any n independent rows, restricted to the columns that were sent. Entries that are
missing here and there leave no submatrix to do this with; they are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from identify.problem.arrays import ShapeError, finite_array
from identify.problem.gradients import flatten
from identify.problem.refusals import Unsupported, UnsupportedError


class Sent(NamedTuple):
    """Which rows and columns of a layer's update are known."""

    rows: Bool[np.ndarray, " out"]
    columns: Bool[np.ndarray, " in"]

    @property
    def is_whole(self) -> bool:
        return bool(self.rows.all() and self.columns.all())

    @property
    def counts(self) -> tuple[int, int]:
        """Numbers of known rows and columns."""
        return int(self.rows.sum()), int(self.columns.sum())

    @classmethod
    def of(cls, W: Float[np.ndarray, "out in"]) -> Sent:
        """The known rows and columns of an update whose unknown entries are NaN, and fill whole rows and columns."""
        missing = np.isnan(W)
        rows = ~missing.all(axis=1)
        return cls(rows, ~missing[rows].all(axis=0) if rows.any() else np.zeros(W.shape[1], bool))

    @property
    def entries(self) -> Bool[np.ndarray, "out in"]:
        """The known entries."""
        return self.rows[:, None] & self.columns


def known_array(name: str, value: Any, shape: tuple[int | None, ...], meaning: str) -> np.ndarray:
    """A target as :func:`finite_array` reads it, with NaN for what is masked or NaN. Raises :class:`ShapeError` if that is all of it."""
    if np.ma.isMaskedArray(value) and np.ma.is_masked(value):
        given = np.asarray(np.ma.getdata(value))
        value = np.where(np.ma.getmaskarray(value), np.nan, given) if given.dtype.kind in "iuf" else given
    array = finite_array(name, value, shape, meaning, may_lack=True)
    if np.isnan(array).all():
        raise ShapeError(f"{name}: all {array.size} values are NaN or masked; expected {meaning}, or None for parts that were not observed")
    return array


def check_known(names: tuple[str, str], W: np.ndarray | None, bias: np.ndarray | None) -> None:
    """Raise :class:`UnsupportedError` unless the unknown entries are whole rows and columns, and biases of known rows are known."""
    if W is None:
        return
    matrix = W.reshape(-1, W.shape[-1])
    if not np.isnan(matrix).any() and (bias is None or not np.isnan(bias).any()):
        return
    sent = Sent.of(matrix)
    loose = int(np.sum(np.isnan(matrix) != ~sent.entries))
    if loose:
        raise _refusal(names[0], f"an update with {int(np.isnan(matrix).sum())} of {matrix.size} entries masked or NaN")
    if bias is not None and np.isnan(bias[sent.rows]).any():
        unknown = int(np.isnan(bias[sent.rows]).sum())
        raise _refusal(names[1], f"{unknown} of {int(sent.rows.sum())} entries masked or NaN, of neurons whose weights' update is known")


def has_unknown(part: Float[np.ndarray, "*shape"]) -> bool:
    """Whether some numbers are NaN, in one pass: a sum of squares is NaN if and only if one of them is."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isnan(np.vdot(part, part)))


def known_of(given: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An update beside another, without the entries that are not known of the first."""
    known = ~np.isnan(given)
    return given[known], found[known]


def _refusal(name: str, received: str) -> UnsupportedError:
    return UnsupportedError(name, Unsupported.ENTRIES, kinds=(), activations=(), depth=None, received=received)


class Received:
    """Which entries of observed updates are known; the part of a system that has them."""

    @property
    def parts(self) -> Mapping[str, np.ndarray]:
        """The observed updates by name."""
        raise NotImplementedError

    @property
    def layers(self) -> Mapping[int, tuple[np.ndarray | None, np.ndarray | None]]:
        """The same by the number of the layer, weights and bias."""
        raise NotImplementedError

    @property
    def sent(self) -> dict[int, Sent]:
        """The known rows and columns of each observed layer of weights of which some are not, by number from 1."""
        if not self.is_partial:
            return {}
        pairs = [(k, Sent.of(W.reshape(-1, W.shape[-1]))) for k, (W, _) in self.layers.items() if W is not None]
        return {k: sent for k, sent in pairs if not sent.is_whole}

    @property
    def named_parts(self) -> list[str]:
        """The names of the observed updates, and which of them are known in part."""
        return [name + " (in part)" * bool(np.isnan(part).any()) for name, part in self.parts.items()]

    @cached_property
    def is_partial(self) -> bool:
        """Whether some rows, columns or entries of biases of the observed updates are not known."""
        return any(has_unknown(part) for part in self.parts.values())

    @cached_property
    def _known(self) -> Bool[np.ndarray, " entries"]:
        """Whether each entry of the observed parts is known, in order."""
        return ~np.isnan(flatten(self.parts.values(), [True] * len(self.parts)))
