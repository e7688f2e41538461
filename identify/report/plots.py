"""Pictures for reports, as PNG bytes: recovered data beside the original, a family of indistinguishable data, a spectrum.

Figures are made through matplotlib's object-oriented interface only, so no global figure, backend or style is touched.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from identify.report.html import MissingExtraError, Picture, show
from identify.report.verdict import Witness

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
MAX_SAMPLES = 60
MAX_MEMBERS = 12
MAX_ROWS = 20
_WIDTH = 7.4
_NARROWEST = 6.2
_INK, _MUTED, _RULE, _ACCENT, _BAND = "#1c1e20", "#565c62", "#d8d9d4", "#14607a", "#e6f0f3"
_GAP = 10.0
"""A ratio of neighbouring singular values below this is no gap."""
_BARS = 24
"""Up to this many coordinates a sample is drawn as bars, beyond it as a line of steps."""


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
        What was recovered, in the same order (see :mod:`identify.ambiguity`); a row that is not finite is shown as missing.
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
        Shapes that do not agree, more than 60 samples, or (as :class:`~identify.report.html.MissingExtraError`) no matplotlib.
    """
    rows = [] if original is None else [_samples("original", original)]
    rows.append(_samples("recovered", recovered))
    n, d = rows[-1].shape
    if rows[0].shape != (n, d):
        raise ValueError(
            f"original: received {rows[0].shape[0]} samples of {rows[0].shape[1]} numbers, expected {n} of {d} as in recovered"
        )
    if not 1 <= n <= MAX_SAMPLES:
        raise ValueError(
            f"recovered: received {n} samples, expected 1 to {MAX_SAMPLES}; choose which to draw, for example X[:{MAX_SAMPLES}]"
        )
    if columns < 1:
        raise ValueError(f"columns: received {columns}, expected at least 1")
    marks = None if errors is None else np.asarray(errors, dtype=float).ravel()
    if marks is not None and len(marks) != n:
        raise ValueError(f"errors: received {len(marks)} numbers, expected {n}, one for each sample")
    _check_shape(shape, d)

    across = min(columns, n)
    blocks = [range(start, min(start + across, n)) for start in range(0, n, across)]
    names = titles if len(rows) == 2 else titles[1:]
    grid = _Grid(across, [len(rows)] * len(blocks), [""] * across, list(names) * len(blocks), _aspect(shape), foot=marks is not None)
    for b, block in enumerate(blocks):
        for column, i in enumerate(block):
            reference = rows[0][i] if np.all(np.isfinite(rows[0][i])) else rows[-1][i]
            for r, data in enumerate(rows):
                missing = not np.all(np.isfinite(data[i]))
                axes = grid.axes(b * len(rows) + r, column)
                _draw(axes, data[i], _range(reference, data[i]), shape, accent=r == len(rows) - 1, missing=missing)
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
        Shapes or counts that do not agree, or (as :class:`~identify.report.html.MissingExtraError`) no matplotlib.
    """
    sets = [_samples(f"frames[{k}]", frame) for k, frame in enumerate(frames)]
    if not 1 <= len(sets) <= MAX_MEMBERS:
        raise ValueError(f"frames: received {len(sets)} data sets, expected 1 to {MAX_MEMBERS}; choose which to draw")
    if len(labels) != len(sets):
        raise ValueError(f"labels: received {len(labels)}, expected {len(sets)}, one for each data set")
    n, d = sets[0].shape
    for k, data in enumerate(sets):
        if data.shape != (n, d):
            raise ValueError(
                f"frames[{k}]: received {data.shape[0]} samples of {data.shape[1]} numbers, expected {n} of {d} as in frames[0]"
            )
    if not 1 <= n <= MAX_ROWS:
        raise ValueError(
            f"frames: received {n} samples in each, expected 1 to {MAX_ROWS}; choose which to draw, for example X[:{MAX_ROWS}]"
        )
    _check_shape(shape, d)

    grid = _Grid(len(sets), [n], list(labels), [f"sample {i + 1}" for i in range(n)], _aspect(shape))
    for i in range(n):
        limits = _range(np.concatenate([data[i] for data in sets]))
        for k, data in enumerate(sets):
            _draw(grid.axes(i, k), data[i], limits, shape, accent=k > 0, missing=not np.all(np.isfinite(data[i])))
    return grid.png()


def change(original: Float[np.ndarray, "n d"], example: Float[np.ndarray, "n d"], *, shape: tuple[int, ...] | None = None) -> bytes:
    """What differs between two data sets with the same target.

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
        Shapes that do not agree, or (as :class:`~identify.report.html.MissingExtraError`) no matplotlib.
    """
    X, Y = _samples("original", original), _samples("example", example)
    if X.shape != Y.shape:
        raise ValueError(f"example: received {len(Y)} samples of {Y.shape[1]} numbers, expected {len(X)} of {X.shape[1]} as in original")
    _check_shape(shape, X.shape[1])
    if shape is None:
        return _against(X, Y)
    across = min(10, len(X))
    grid = _Grid(across, [3], [""] * across, ["original", "same target", "change"], _aspect(shape))
    for i in range(across):
        limits = _range(np.concatenate([X[i], Y[i]]))
        largest = float(np.abs(Y[i] - X[i]).max()) or 1.0
        for row, (values, span) in enumerate(((X[i], limits), (Y[i], limits), (Y[i] - X[i], (-largest, largest)))):
            _draw(grid.axes(row, i), values, span, shape, accent=row > 0, missing=False)
    return grid.png()


def _against(X: np.ndarray, Y: np.ndarray) -> bytes:
    """Coordinates of one data set against those of another."""
    figure = _figure(_NARROWEST, 4.6)
    axes = figure.add_axes((0.12, 0.12, 0.85, 0.85))
    low, high = float(min(X.min(), Y.min())), float(max(X.max(), Y.max()))
    room = 0.06 * (high - low) or 1.0
    axes.plot([low - room, high + room], [low - room, high + room], color=_RULE, linewidth=1)
    for i, (x, y) in enumerate(zip(X, Y, strict=True)):
        axes.plot(x, y, marker=f"${i + 1}$" if len(X) <= MAX_ROWS else ".", color=_ACCENT, markersize=7, linestyle="none")
    axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room))
    axes.set_xlabel("coordinate in the original data (marked with the sample)", fontsize=9, color=_INK)
    axes.set_ylabel("coordinate in the other data", fontsize=9, color=_INK)
    axes.tick_params(labelsize=8.5, colors=_MUTED)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_MUTED)
    return _png(figure)


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
        No value, negative or infinite ones, or (as :class:`~identify.report.html.MissingExtraError`) no matplotlib.
    """
    s = np.sort(np.asarray(values, dtype=float).ravel())[::-1]
    if s.size == 0 or not np.all(np.isfinite(s)) or s[-1] < 0:
        raise ValueError("values: expected singular values, at least one, all finite and none negative")
    shown = s > 0
    heights = np.where(shown, s, s[shown][-1] / 10 if np.any(shown) else 1e-17)
    ratios = heights[:-1] / heights[1:]
    if threshold is not None:
        rank = int(np.sum(s > threshold))
    elif not np.all(shown) or np.max(ratios, initial=1.0) < _GAP:
        rank = int(np.sum(shown))
    else:
        rank = int(np.argmax(ratios)) + 1

    figure = _figure(_WIDTH, 3.5)
    axes = figure.add_axes((0.095, 0.155, 0.88, 0.73))
    index = np.arange(1, s.size + 1)
    size = float(np.clip(300 / s.size, 2.5, 5.5))
    axes.plot(index[shown], heights[shown], "o", color=_ACCENT, markersize=size, markeredgewidth=0, zorder=3)
    axes.plot(index[~shown], heights[~shown], "o", markersize=size, markerfacecolor="white", markeredgecolor=_ACCENT, zorder=3)
    axes.set_yscale("log")
    marks = np.log10([heights[0], heights[-1], threshold or heights[-1]])
    room = max(0.1 * np.ptp(marks), 1 - np.ptp(marks) / 2)  # at least two decades, so that the axis has labels
    axes.set_ylim(10 ** (marks.min() - room), 10 ** (marks.max() + room))
    axes.set_xlim(0.5 - 0.01 * s.size, s.size + 0.5 + 0.01 * s.size)
    if threshold:
        axes.axhline(threshold, color=_MUTED, linewidth=1, linestyle=(0, (5, 3)), zorder=2)
        _note(axes, f"threshold {show(float(threshold))}", (0, threshold), axes.get_yaxis_transform(), (6, 4), _MUTED)
    if 0 < rank < s.size:
        axes.axhspan(heights[rank], heights[rank - 1], color=_BAND, linewidth=0, zorder=1)
        axes.axvline(rank + 0.5, color=_ACCENT, linewidth=1, zorder=2)
        gap = f"gap {show(float(ratios[rank - 1]))}" if shown[rank] else "then zeros"
        offset = (6, -6) if rank < 0.7 * s.size else (-6, -6)
        _note(axes, f"rank {rank} of {s.size}, {gap}", (rank + 0.5, 1), axes.get_xaxis_transform(), offset)
    else:
        _note(axes, f"rank {rank} of {s.size}, no gap", (1, 1), "axes fraction", (-6, -6))
    axes.set_title(title, fontsize=10.5, color=_INK, loc="left", pad=8)
    axes.set_xlabel("index", fontsize=9, color=_INK)
    axes.set_ylabel("singular value", fontsize=9, color=_INK)
    if s.size <= 12:
        axes.set_xticks(index)
    axes.yaxis.set_minor_formatter("")
    axes.tick_params(labelsize=8.5, colors=_MUTED, which="both")
    axes.grid(axis="y", color=_RULE, linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_MUTED)
    return _png(figure)


def pattern(nonzero: Bool[np.ndarray, "rows columns"], *, columns: Sequence[str] = ()) -> bytes:
    """A sparsity pattern as PNG: equations down, unknowns across; ``columns`` names the unknowns where there is room."""
    rows, width = nonzero.shape
    figure = _figure(9.0, min(9.0, max(2.0, 9.0 * rows / max(width, 1))))
    axes = figure.add_axes((0.08, 0.14, 0.9, 0.8))
    axes.imshow(nonzero, cmap="Greys", vmin=0, vmax=1.4, interpolation="nearest", aspect="auto")
    axes.set_xlabel("unknown")
    axes.set_ylabel("equation")
    if columns and width <= 40:
        axes.set_xticks(range(width), columns, rotation=90, fontsize=8)
    return _png(figure)


class _Grid:
    """Cells of equal size in rows and columns, in inches: names at the left, heads on top, room below each block for labels."""

    def __init__(
        self, across: int, blocks: Sequence[int], heads: Sequence[str], names: Sequence[str], aspect: float, foot: bool = False
    ) -> None:
        lines = [textwrap.wrap(name, 13) or [""] for name in names]
        head_lines = [textwrap.wrap(head, 14) or [""] for head in heads]
        left = 0.14 + 0.075 * max(len(line) for name in lines for line in name)
        gap = 0.07
        self.width = min((_WIDTH - left - 0.1) / across - gap, 1.45 if aspect <= 1 else 1.7)
        self.height = self.width / aspect
        self.pitch = self.width + gap
        self.left = left + max(0.0, _NARROWEST - left - 0.1 - across * self.pitch) / 2
        total_width = max(_NARROWEST, left + across * self.pitch + 0.1)
        # Long heads would overlap in narrow columns; the smallest size that is readable on the page is 6.5 points.
        widest = max(len(line) for head in head_lines for line in head)
        self.head_size = float(np.clip(self.width / max(widest, 1) * 118, 6.5, 9))
        self.foot_size = float(np.clip(self.width * 13.5, 6.5, 8.5))
        top = 0.1 + (0.19 * max(len(head) for head in head_lines) if any(heads) else 0)
        below = 0.34 if foot else 0.16
        y = top
        self.tops: list[float] = []
        for count in blocks:
            for _ in range(count):
                self.tops.append(y)
                y += self.height + gap
            y += below - gap
        self.total = (total_width, max(y - (0.06 if foot else 0.08), 0.6))
        self.figure = _figure(*self.total)
        for column, head in enumerate(head_lines):
            x = self.left + column * self.pitch + self.width / 2
            self._text(x, top - 0.05, "\n".join(head), self.head_size, "center", "bottom")
        for row, name in enumerate(lines):
            y = self.tops[row] + self.height / 2
            self._text(self.left - 0.09, y, "\n".join(name), 8.5, "right", "center", _MUTED)

    def axes(self, row: int, column: int) -> Axes:
        width, height = self.total
        x, y = self.left + column * self.pitch, self.tops[row] + self.height
        return self.figure.add_axes((x / width, 1 - y / height, self.width / width, self.height / height))

    def label(self, row: int, column: int, text: str) -> None:
        x, y = self.left + column * self.pitch + self.width / 2, self.tops[row] + self.height + 0.05
        self._text(x, y, text, self.foot_size, "center", "top")

    def png(self) -> bytes:
        return _png(self.figure)

    def _text(self, x: float, y: float, text: str, size: float, across: str, along: str, color: str = _INK) -> None:
        width, height = self.total
        self.figure.text(x / width, 1 - y / height, text, fontsize=size, ha=across, va=along, color=color, linespacing=1.15)


def _draw(axes: Axes, values: np.ndarray, limits: tuple[float, float], shape: tuple[int, ...] | None, accent: bool, missing: bool) -> None:
    low, high = limits
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=_RULE, linewidth=0.6)
    if missing:
        axes.plot([0, 1], [0, 1], color=_RULE, linewidth=0.8)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.text(0.5, 0.5, "none", ha="center", va="center", fontsize=7, color=_MUTED, backgroundcolor="white")
    elif shape is not None and len(shape) == 3:
        axes.imshow(np.clip((values.reshape(shape) - low) / (high - low), 0, 1), interpolation="nearest", aspect="auto")
    elif shape is not None:
        axes.imshow(values.reshape(shape), cmap="gray", vmin=low, vmax=high, interpolation="nearest", aspect="auto")
    else:
        low, high = min(low, 0.0), max(high, 0.0)
        margin = 0.08 * (high - low)
        color = _ACCENT if accent else _INK
        if len(values) <= _BARS:
            axes.bar(range(len(values)), values, width=0.75, color=color, linewidth=0)
        else:
            axes.step(range(len(values)), values, where="mid", color=color, linewidth=0.8)
        axes.axhline(0, color=_MUTED, linewidth=0.5)
        axes.set(xlim=(-0.7, len(values) - 0.3), ylim=(low - margin, high + margin))


def _range(*candidates: np.ndarray) -> tuple[float, float]:
    """Least and greatest finite value of the first array that is not constant; (0, 1) around what there is otherwise."""
    for values in candidates:
        finite = values[np.isfinite(values)]
        if finite.size and finite.max() > finite.min():
            return float(finite.min()), float(finite.max())
    return (0.0, 1.0) if not np.any(finite) else (min(0.0, 2 * float(finite[0])), max(0.0, 2 * float(finite[0])))


def _note(axes: Axes, text: str, at: tuple[float, float], transform: Any, offset: tuple[int, int], color: str = _INK) -> None:
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
        raise ValueError(f"{name}: received an array of shape {array.shape}, expected (n, d), one row for each sample")
    return array.reshape(len(array), -1)


def _check_shape(shape: tuple[int, ...] | None, d: int) -> None:
    if shape is None:
        return
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3) or int(np.prod(shape)) != d:
        wanted = "(rows, columns) or (rows, columns, 3) with that product"
        raise ValueError(f"shape: received {shape} for samples of {d} numbers, expected {wanted}")


def _aspect(shape: tuple[int, ...] | None) -> float:
    """Width over height of one cell; extreme images are drawn in a cell of bounded shape."""
    return 1.25 if shape is None else float(np.clip(shape[1] / shape[0], 0.25, 4.0))


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "drawing a picture") from error
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    # Not savefig: it follows the user's rcParams (savefig.bbox, savefig.dpi), which would change the size.
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
