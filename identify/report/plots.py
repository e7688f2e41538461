"""Pictures for reports, as PNG bytes: recovered data beside the original, a family of indistinguishable data, a spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from identify.base.errors import InputError
from identify.base.extras import MissingExtraError
from identify.base.options import whole
from identify.problem.verdict import Witness
from identify.report.canvas import (
    ACCENT,
    BAND,
    INK,
    MUTED,
    NARROWEST,
    RULE,
    WIDTH,
    Grid,
    aspect_ratio,
    draw_sample,
    new_figure,
    to_png,
    value_range,
)
from identify.report.html import Picture, show

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SAMPLES = 60
MAX_MEMBERS = 12
MAX_ROWS = 20
_GAP = 10.0
"""A ratio of neighbouring singular values below this is no gap."""


def image_shape(d: int) -> tuple[int, ...] | None:
    """The image that a sample of ``d`` numbers fills: (s, s) grey, (s, s, 3) colour, or None when it fills neither.

    Examples
    --------
    >>> image_shape(784), image_shape(3072), image_shape(10)
    ((28, 28), (32, 32, 3), None)
    """
    if d < 1:
        return None
    if isqrt(d) ** 2 == d:
        return (isqrt(d), isqrt(d))
    if d % 3 == 0 and isqrt(d // 3) ** 2 == d // 3:
        return (isqrt(d // 3), isqrt(d // 3), 3)
    return None


def compare(
    original: Float[np.ndarray, "n d"] | None,
    recovered: Float[np.ndarray, "n d"],
    *,
    errors: Float[np.ndarray, " n"] | None = None,
    shape: tuple[int, ...] | None = None,
    columns: int = 10,
    titles: tuple[str, str] = ("original", "recovered"),
) -> bytes:
    """Each original above what was recovered for it, with the relative error below.

    Parameters
    ----------
    original
        The true data, or None when only recovered data are known.
    recovered
        What was recovered, in the same order (see :mod:`identify.problem.ambiguity`); a row that is not finite is shown as missing.
    errors
        Relative errors, dimensionless; inf for a sample that was not recovered.
    shape
        Shape of one sample as an image (see :func:`image_shape`); None draws its coordinates as bars or steps.
    columns
        Samples per block, at least 1.
    titles
        Names of the two rows.

    Returns
    -------
    bytes
        A PNG. Both pictures of a pair have the grey scale of the original.

    Raises
    ------
    ValueError
        Shapes that do not agree, more than 60 samples, or (as :class:`~identify.base.extras.MissingExtraError`) no matplotlib.
    """
    rows = [] if original is None else [_samples("original", original)]
    rows.append(_samples("recovered", recovered))
    n, d = rows[-1].shape
    if rows[0].shape != (n, d):
        raise InputError(
            f"original: received {rows[0].shape[0]} samples of {rows[0].shape[1]} numbers, expected {n} of {d} as in recovered"
        )
    if not 1 <= n <= MAX_SAMPLES:
        raise InputError(
            f"recovered: received {n} samples, expected 1 to {MAX_SAMPLES}; choose which to draw, for example X[:{MAX_SAMPLES}]"
        )
    columns = whole("columns", columns)
    marks = None if errors is None else np.asarray(errors, dtype=float).ravel()
    if marks is not None and len(marks) != n:
        raise InputError(f"errors: received {len(marks)} numbers, expected {n}, one for each sample")
    check_shape(shape, d)

    across = min(columns, n)
    blocks = [range(start, min(start + across, n)) for start in range(0, n, across)]
    names = titles if len(rows) == 2 else titles[1:]
    grid = Grid(across, [len(rows)] * len(blocks), [""] * across, list(names) * len(blocks), aspect_ratio(shape), foot=marks is not None)
    for b, block in enumerate(blocks):
        for column, i in enumerate(block):
            reference = rows[0][i] if np.all(np.isfinite(rows[0][i])) else rows[-1][i]
            for r, data in enumerate(rows):
                missing = not np.all(np.isfinite(data[i]))
                axes = grid.axes(b * len(rows) + r, column)
                draw_sample(axes, data[i], value_range(reference, data[i]), shape, accent=r == len(rows) - 1, missing=missing)
            if marks is not None:
                grid.label(b * len(rows) + len(rows) - 1, column, _error(marks[i]))
    return grid.png()


def family(frames: Sequence[Float[np.ndarray, "n d"]], labels: Sequence[str], *, shape: tuple[int, ...] | None = None) -> bytes:
    """Members of a witness family side by side: each column is a data set, and all columns give the same target.

    Parameters
    ----------
    frames
        Up to 12 data sets of one size, up to 20 samples each.
    labels
        The parameter of each, for example ``"s = 0.4"``.
    shape
        Shape of one sample as an image (see :func:`image_shape`); None draws its coordinates as bars or steps.

    Returns
    -------
    bytes
        A PNG; one row for each sample, with one grey scale along the row.

    Raises
    ------
    ValueError
        Shapes or counts that do not agree, or (as :class:`~identify.base.extras.MissingExtraError`) no matplotlib.
    """
    sets = [_samples(f"frames[{k}]", frame) for k, frame in enumerate(frames)]
    if not 1 <= len(sets) <= MAX_MEMBERS:
        raise InputError(f"frames: received {len(sets)} data sets, expected 1 to {MAX_MEMBERS}; choose which to draw")
    if len(labels) != len(sets):
        raise InputError(f"labels: received {len(labels)}, expected {len(sets)}, one for each data set")
    n, d = sets[0].shape
    for k, data in enumerate(sets):
        if data.shape != (n, d):
            raise InputError(
                f"frames[{k}]: received {data.shape[0]} samples of {data.shape[1]} numbers, expected {n} of {d} as in frames[0]"
            )
    if not 1 <= n <= MAX_ROWS:
        raise InputError(
            f"frames: received {n} samples in each, expected 1 to {MAX_ROWS}; choose which to draw, for example X[:{MAX_ROWS}]"
        )
    check_shape(shape, d)

    grid = Grid(len(sets), [n], list(labels), [f"sample {i + 1}" for i in range(n)], aspect_ratio(shape))
    for i in range(n):
        limits = value_range(np.concatenate([data[i] for data in sets]))
        for k, data in enumerate(sets):
            draw_sample(grid.axes(i, k), data[i], limits, shape, accent=k > 0, missing=not np.all(np.isfinite(data[i])))
    return grid.png()


def change(original: Float[np.ndarray, "n d"], example: Float[np.ndarray, "n d"], *, shape: tuple[int, ...] | None = None) -> bytes:
    """Draw the differences between two data sets with the same target.

    Parameters
    ----------
    original, example
        The two ends of a family, or two isolated solutions: n samples each, in the same order, all finite.
    shape
        Shape of one sample as an image (see :func:`image_shape`): then each sample of the first data set stands above the
        second one and their difference, for the first 10 samples. None draws every coordinate of the second data set
        against the first one, marked with the number of its sample; what did not change lies on the diagonal.

    Returns
    -------
    bytes
        A PNG. The difference has a grey scale of its own, with zero in the middle.

    Raises
    ------
    ValueError
        Shapes that do not agree, or (as :class:`~identify.base.extras.MissingExtraError`) no matplotlib.
    """
    X, Y = _samples("original", original), _samples("example", example)
    if X.shape != Y.shape:
        raise InputError(f"example: received {len(Y)} samples of {Y.shape[1]} numbers, expected {len(X)} of {X.shape[1]} as in original")
    check_shape(shape, X.shape[1])
    if shape is None:
        return _against(X, Y)
    across = min(10, len(X))
    grid = Grid(across, [3], [""] * across, ["original", "same target", "change"], aspect_ratio(shape))
    for i in range(across):
        limits = value_range(np.concatenate([X[i], Y[i]]))
        largest = float(np.abs(Y[i] - X[i]).max()) or 1.0
        for row, (values, span) in enumerate(((X[i], limits), (Y[i], limits), (Y[i] - X[i], (-largest, largest)))):
            draw_sample(grid.axes(row, i), values, span, shape, accent=row > 0, missing=False)
    return grid.png()


def _against(X: np.ndarray, Y: np.ndarray) -> bytes:
    """Coordinates of one data set against those of another."""
    figure = new_figure(NARROWEST, 4.6)
    axes = figure.add_axes((0.12, 0.12, 0.85, 0.85))
    low, high = float(min(X.min(), Y.min())), float(max(X.max(), Y.max()))
    room = 0.06 * (high - low) or 1.0
    axes.plot([low - room, high + room], [low - room, high + room], color=RULE, linewidth=1)
    for i, (x, y) in enumerate(zip(X, Y, strict=True)):
        axes.plot(x, y, marker=f"${i + 1}$" if len(X) <= MAX_ROWS else ".", color=ACCENT, markersize=7, linestyle="none")
    axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room))
    axes.set_xlabel("coordinate in the original data (marked with the sample)", fontsize=9, color=INK)
    axes.set_ylabel("coordinate in the other data", fontsize=9, color=INK)
    axes.tick_params(labelsize=8.5, colors=MUTED)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
    return to_png(figure)


def witness_pictures(witness: Witness | None, *, shape: tuple[int, ...] | None = None) -> tuple[Picture, ...]:
    """The picture of :func:`change` for a witness with an example; none without one, or without matplotlib."""
    if witness is None or witness.original is None or witness.example is None:
        return ()
    X, Y = witness.original[0], witness.example[0]
    try:
        png = change(X, Y, shape=shape)
    except MissingExtraError:
        return ()
    size = float(np.linalg.norm(Y - X) / np.linalg.norm(X)) if X.any() else float(np.linalg.norm(Y))
    shown = "images, their counterparts and the differences" if shape else "coordinates of two data sets against each other"
    caption = f"Two data sets with the same target ({witness.kind}); the samples differ by {size:.2g} relative, in the order shown."
    return (Picture("What changes", png, f"{shown}: they differ although the target is the same", caption),)


def spectrum(values: Float[np.ndarray, " k"], *, threshold: float | None = None, title: str) -> bytes:
    """Singular values on a log scale, largest first, with the gap at the rank marked.

    Parameters
    ----------
    values
        Singular values, at least one, not negative. Zeros are drawn hollow at the bottom.
    threshold
        Values above it count towards the rank. None: the rank is before the first zero, or at the widest gap, of ten at least.
    title
        What they are the singular values of.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    ValueError
        No value, negative or infinite ones, or (as :class:`~identify.base.extras.MissingExtraError`) no matplotlib.
    """
    s = np.sort(np.asarray(values, dtype=float).ravel())[::-1]
    if s.size == 0 or not np.all(np.isfinite(s)) or s[-1] < 0:
        raise InputError("values: expected singular values, at least one, all finite and none negative")
    shown = s > 0
    heights = np.where(shown, s, s[shown][-1] / 10 if np.any(shown) else 1e-17)
    ratios = heights[:-1] / heights[1:]
    if threshold is not None:
        rank = int(np.sum(s > threshold))
    elif not np.all(shown) or np.max(ratios, initial=1.0) < _GAP:
        rank = int(np.sum(shown))
    else:
        rank = int(np.argmax(ratios)) + 1

    figure = new_figure(WIDTH, 3.5)
    axes = figure.add_axes((0.095, 0.155, 0.88, 0.73))
    index = np.arange(1, s.size + 1)
    size = float(np.clip(300 / s.size, 2.5, 5.5))
    axes.plot(index[shown], heights[shown], "o", color=ACCENT, markersize=size, markeredgewidth=0, zorder=3)
    axes.plot(index[~shown], heights[~shown], "o", markersize=size, markerfacecolor="white", markeredgecolor=ACCENT, zorder=3)
    axes.set_yscale("log")
    marks = np.log10([heights[0], heights[-1], threshold or heights[-1]])
    room = max(0.1 * np.ptp(marks), 1 - np.ptp(marks) / 2)  # at least two decades, so that the axis has labels
    axes.set_ylim(10 ** (marks.min() - room), 10 ** (marks.max() + room))
    axes.set_xlim(0.5 - 0.01 * s.size, s.size + 0.5 + 0.01 * s.size)
    if threshold:
        axes.axhline(threshold, color=MUTED, linewidth=1, linestyle=(0, (5, 3)), zorder=2)
        _note(axes, f"threshold {show(float(threshold))}", (0, threshold), axes.get_yaxis_transform(), (6, 4), MUTED)
    if 0 < rank < s.size:
        axes.axhspan(heights[rank], heights[rank - 1], color=BAND, linewidth=0, zorder=1)
        axes.axvline(rank + 0.5, color=ACCENT, linewidth=1, zorder=2)
        gap = f"gap {show(float(ratios[rank - 1]))}" if shown[rank] else "then zeros"
        offset = (6, -6) if rank < 0.7 * s.size else (-6, -6)
        _note(axes, f"rank {rank} of {s.size}, {gap}", (rank + 0.5, 1), axes.get_xaxis_transform(), offset)
    else:
        _note(axes, f"rank {rank} of {s.size}, no gap", (1, 1), "axes fraction", (-6, -6))
    axes.set_title(title, fontsize=10.5, color=INK, loc="left", pad=8)
    axes.set_xlabel("index", fontsize=9, color=INK)
    axes.set_ylabel("singular value", fontsize=9, color=INK)
    if s.size <= 12:
        axes.set_xticks(index)
    axes.yaxis.set_minor_formatter("")
    axes.tick_params(labelsize=8.5, colors=MUTED, which="both")
    axes.grid(axis="y", color=RULE, linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    return to_png(figure)


def pattern(nonzero: Bool[np.ndarray, "rows columns"], *, columns: Sequence[str] = ()) -> bytes:
    """A sparsity pattern as PNG: equations down, unknowns across; ``columns`` names the unknowns if there is room."""
    rows, width = nonzero.shape
    figure = new_figure(9.0, min(9.0, max(2.0, 9.0 * rows / max(width, 1))))
    axes = figure.add_axes((0.08, 0.14, 0.9, 0.8))
    axes.imshow(nonzero, cmap="Greys", vmin=0, vmax=1.4, interpolation="nearest", aspect="auto")
    axes.set_xlabel("unknown")
    axes.set_ylabel("equation")
    if columns and width <= 40:
        axes.set_xticks(range(width), columns, rotation=90, fontsize=8)
    return to_png(figure)


def _note(axes: Axes, text: str, at: tuple[float, float], transform: Any, offset: tuple[int, int], color: str = INK) -> None:
    across, along = "left" if offset[0] > 0 else "right", "bottom" if offset[1] > 0 else "top"
    style: dict[str, Any] = {"fontsize": 9, "color": color, "zorder": 4}
    axes.annotate(text, at, xycoords=transform, xytext=offset, textcoords="offset points", ha=across, va=along, **style)


def _error(value: float) -> str:
    if not np.isfinite(value):
        return "not found"
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"


def _samples(name: str, data: Any) -> np.ndarray:
    array = np.asarray(data, dtype=float)
    if array.ndim < 2:
        raise InputError(f"{name}: received an array of shape {array.shape}, expected (n, d), one row for each sample")
    return array.reshape(len(array), -1)


def check_shape(shape: tuple[int, ...] | None, d: int) -> None:
    """Raise InputError for the shape of an image that does not have d numbers."""
    if shape is None:
        return
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3) or int(np.prod(shape)) != d:
        wanted = "(rows, columns) or (rows, columns, 3) with that product"
        raise InputError(f"shape: received {shape} for samples of {d} numbers, expected {wanted}")
