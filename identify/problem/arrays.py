"""Arrays as users pass them: converted exactly to float64, with their shape and values checked, once."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from identify.base.errors import InputError
from identify.problem.refusals import Unsupported, UnsupportedError

ORDINARY_LIMITS = 1e-100, 1e100
"""Distance of the limits of an input, at least, and their size, at most: their squares are doubles."""


class ShapeError(InputError):
    """An array of the wrong shape, or with values that are not finite real numbers."""


def finite_array(name: str, value: Any, shape: tuple[int | None, ...], meaning: str, *, may_lack: bool = False) -> np.ndarray:
    """``value`` as a read-only float64 array of the given shape (``None``: any positive size).

    The conversion is exact: integers and floats of at most 64 bits only. Raises :class:`ShapeError` otherwise, and
    :class:`UnsupportedError` for a masked array with entries that are not known. ``may_lack``: NaN is allowed, for such entries.
    """
    if np.ma.is_masked(value):
        unknown = f"an array with {np.ma.count_masked(value)} of {np.size(value)} entries masked"
        raise UnsupportedError(name, Unsupported.ENTRIES, kinds=(), activations=(), depth=None, received=unknown)
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
            raise TypeError(f"dtype {array.dtype}")
        with np.errstate(invalid="ignore"):  # a signalling NaN; it is refused below
            rounded = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name}: received {type(value).__name__} ({error}); expected {meaning}") from None
    if array.dtype.kind in "iu" and not _are_exact(array, rounded):
        raise ShapeError(f"{name}: has integers that doubles do not hold exactly; expected {meaning}")
    wanted = "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
    if array.ndim != len(shape) or any(
        got == 0 or (want is not None and got != want) for got, want in zip(array.shape, shape, strict=False)
    ):
        raise ShapeError(f"{name}: received shape {array.shape}, expected {wanted} with positive sizes: {meaning}")
    allowed = np.isfinite(rounded) | (np.isnan(rounded) if may_lack else False)
    if not allowed.all():
        bad = int(np.size(rounded) - allowed.sum())
        infinite = "infinite" if may_lack else "NaN or infinite"
        raise ShapeError(f"{name}: {bad} of {rounded.size} values are {infinite}; expected finite numbers: {meaning}")
    rounded.setflags(write=False)
    return rounded


def _are_exact(integers: np.ndarray, rounded: np.ndarray) -> bool:
    """Whether doubles hold these integers: those below 2^53 they do, so that few are compared one by one."""
    large = np.abs(rounded) >= 2.0**53
    return all(int(r) == int(v) for r, v in zip(rounded[large], integers[large], strict=True))


def dimensions(value: Any) -> int:
    """How many there are; 1 for rows of several lengths, which :func:`finite_array` refuses."""
    try:
        return np.ndim(value)
    except ValueError:
        return 1


def input_limits(low: ArrayLike, high: ArrayLike, inputs: int) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """The limits of each input, from one number or (d,) for each end.

    Raises :class:`InputError` if they do not enclose intervals, or if squares of their sizes and distances are not ordinary doubles.
    """
    ends = []
    for name, value in (("low", low), ("high", high)):
        shape = () if np.ndim(value) == 0 else (inputs,)
        ends.append(np.broadcast_to(finite_array(name, value, shape, "limits of the inputs, one number or one for each"), inputs))
    lowest, highest = ends
    if not (lowest < highest).all():
        raise InputError("low, high: expected limits of the inputs with each low below its high")
    least, most = ORDINARY_LIMITS
    if max(-lowest.min(), highest.max()) > most or not (highest - lowest).min() >= least:
        raise InputError(
            f"low, high: expected limits up to {most:g} in size, and apart by {least:g} or more; give the inputs in other units"
        )
    return lowest, highest
