"""An act of the demonstration: what is given, what is known of the data, what was recovered; the page and the files of all acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from identify.base.errors import InputError
from identify.base.files import together
from identify.certificates.certify import Certificate, CertificateTooLargeError
from identify.certificates.lacking import NoCertificateError
from identify.checkpoints.problems import problem_arrays
from identify.conditions.check import check
from identify.problem.ambiguity import Match
from identify.problem.system import KKTSystem
from identify.problem.verdict import Report, Verdict
from identify.recovery.solution import Recovery
from identify.report.html import Cell, Picture, Section, write_sections
from identify.report.plots import compare, family, image_shape

Progress = Callable[[str], None]
WIDEST = 11
"""Images in one row of a picture, at most."""


@dataclass(frozen=True, eq=False)
class Act:
    """One act: the given numbers, the verdict, and the recovered data (None, with a reason, if recovery failed)."""

    title: str
    lead: str
    system: KKTSystem
    report: Report | None
    """None if no theorem applies: then the recovery says what is known of other data."""
    X: Float[np.ndarray, "n d"]
    c: Float[np.ndarray, " n"] | Float[np.ndarray, "n C"]
    found: Recovery | None
    failure: str | None = None
    mean: Float[np.ndarray, " d"] | float = 0.0
    sizes: Float[np.ndarray, " n"] | float = 1.0
    """For display: the pixels are ``sizes[i] * x_i + mean``."""
    noun: str = "images"
    labels: Int[np.ndarray, " n"] | None = None
    """The classes, if multipliers show them."""
    signals: Float[np.ndarray, " n"] | None = None
    """What each sample adds to the gradient, as a part of the largest."""
    seconds: float | None = None
    """Of the recovery. Not on the page, which is the same for the same seed."""

    @cached_property
    def match(self) -> Match | None:
        """The recovered samples in the order of the true ones, modulo the ambiguity."""
        return None if self.found is None else self.found.match(self.X, self.c)

    @property
    def errors(self) -> Float[np.ndarray, " n"] | None:
        """Relative error of each image, inf for one that was not recovered."""
        return None if self.match is None else self.match.errors

    @property
    def n_right_labels(self) -> int | None:
        """How many recovered samples have their largest multiplier at their class; None if the multipliers show no classes.

        Those of a softmax loss are positive at the class and negative elsewhere, where rounding may hide the sign of the smallest.
        """
        if self.match is None or self.labels is None:
            return None
        known = np.isfinite(self.match.c).all(axis=1)
        return int(np.sum(known & (np.where(known[:, None], self.match.c, 0.0).argmax(axis=1) == self.labels)))

    def pixels(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Samples as the images they were made from."""
        return np.reshape(self.sizes, (-1, 1)) * X + self.mean

    def result(self) -> tuple[str, ...]:
        """How many images were recovered, how precisely, and which ones were not, in sentences."""
        if self.found is None or self.errors is None:
            return (f"Not recovered: {self.failure}.",)
        there = np.isfinite(self.errors)
        errors = self.errors[there]
        said = [
            f"Recovered {len(errors)} of {len(self.X)} {self.noun}: worst relative error {errors.max():.1e}, "
            f"median {np.median(errors):.1e}, residual {self.found.residual:.1e}."
        ]
        if self.labels is not None:
            said.append(f"Labels, read off the largest multiplier of each: {self.n_right_labels} of {len(errors)} right.")
        if not there.all():
            said.append(self._missing(there))
        return tuple(said)

    def _missing(self, there: Bool[np.ndarray, " n"]) -> str:
        """The samples that were not recovered, by their places, with the sizes of their signals."""
        lost = np.flatnonzero(~there)
        named = f"Not recovered, and not guessed: number{'s' * (len(lost) > 1)} {', '.join(str(i + 1) for i in lost)}"
        if self.signals is None:
            return f"{named}."
        sizes = ", ".join(f"{self.signals[i]:.0e}" for i in lost)
        return f"{named}, with {'signals' if len(lost) > 1 else 'a signal'} of {sizes} of the largest."

    def pictures(self) -> tuple[Picture, ...]:
        """Original beside recovered images, or the family of data sets that share the target."""
        shape = image_shape(self.X.shape[1])
        if self.match is not None:
            match = self.match
            png = compare(self.pixels(self.X), self.pixels(match.X), errors=match.errors, shape=shape, columns=self._columns())
            caption = "Original (above) and recovered (below), with the relative error of each."
            assert self.found is not None
            if self.found.ambiguity.flips_multiplier:
                caption += " The sign of each image is not determined; it is shown as in the original."
            return (Picture("The images", png, f"{len(self.X)} {self.noun} above their recovered copies", caption),)
        witness = None if self.report is None else self.report.witness
        if witness is not None and witness.family is not None:
            steps = (0.0, 0.04, 0.08, 0.12)
            frames = [self.pixels(witness.family(s)[0])[:8] for s in steps]
            png = family(frames, [f"s = {s:g}" for s in steps], shape=shape)
            caption = (
                "Four different data sets (columns), each with multipliers of its own, that give exactly the same target: the "
                f"{witness.kind} family. The first 8 samples of each are shown."
            )
            return (Picture("Data sets with the same target", png, "digit images that change along a family", caption),)
        return ()

    def _columns(self) -> int:
        """Images side by side: as many in each row as may be, up to a little more than ten."""
        rows = -(-len(self.X) // WIDEST)
        return -(-len(self.X) // rows)


def write(acts: list[Act], folder: str | Path, proofs: Sequence[Certificate | None] = ()) -> list[Path]:
    """Write ``report.html``, a PNG for every picture, and for every act its problem file, and its proof if there is one."""
    folder = Path(folder)
    try:
        with together(folder) as staged:
            return [folder / path.name for path in _written(acts, staged, proofs)]
    except OSError as error:
        raise InputError(f"out: {folder} cannot be written ({error.strerror}); choose another folder with --out") from None


def proof_of(act: Act) -> Certificate | None:
    """The certificate of the verdict of an act; without a report, of that for exactly the recovered samples. None if there is none."""
    report = act.report
    if report is None and act.found is not None:
        report = check(act.system, data=(act.found.X, act.found.c), seed=act.found.seed)
    if report is None or report.verdict is Verdict.UNDECIDED:
        return None
    try:
        return report.certificate()
    except (CertificateTooLargeError, NoCertificateError):
        return None


def _written(acts: list[Act], folder: Path, proofs: Sequence[Certificate | None]) -> list[Path]:
    sections, written = [], []
    for act, proof in zip_longest(acts, proofs):
        pictures = act.pictures()
        lead = f"{act.lead}\n\n{' '.join(act.result())}"
        known = None if act.found is None or act.report is not None else act.found.uniqueness
        sections.append(Section(act.title, lead, act.report, pictures, _table(act), uniqueness=known))
        stem = act.title.split(":")[0].lower().replace(" ", "")
        for picture in pictures:
            written.append(folder / f"{stem}.png")
            written[-1].write_bytes(picture.png)
        written.append(folder / f"{stem}.npz")
        with written[-1].open("wb") as file:
            np.savez(file, **problem_arrays(act.system, act.X, act.c))
        if proof is not None:
            written.append(proof.save(folder / f"{stem}.certificate.json"))
    title = "Images from a gradient, images from weights"
    lead = (
        "A network's parameters and gradients reveal its training data: the recovered images, the verdict, and its proof if there is one."
    )
    return [write_sections(folder / "report.html", sections, title=title, lead=lead), *written]


def _table(act: Act) -> tuple[tuple[Cell, ...], ...]:
    if act.found is None or act.errors is None:
        return ()
    there = act.errors[np.isfinite(act.errors)]
    cells: dict[str, Cell] = {"recovered": len(there), "of": len(act.X), "worst relative error": there.max(), "median": np.median(there)}
    cells |= {"largest error bar": act.found.error_bars.max(), "residual": act.found.residual}
    if act.n_right_labels is not None:
        cells["labels right"] = act.n_right_labels
    return (tuple(cells), tuple(cells.values()))
