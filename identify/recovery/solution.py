"""The result of a recovery, and its failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from jaxtyping import Float, Num
from numpy.typing import ArrayLike

from identify.base.errors import InputError
from identify.problem.ambiguity import Ambiguity, Match
from identify.problem.uniqueness import NOT_JUDGED, Uniqueness

SIGN_ERROR, MOST_SIGN_ERROR = 10.0, 0.01
"""Up to this many relative error bars of a sample, and up to this part of its largest multiplier, others have no sign."""


class Failure(StrEnum):
    """Why a method gave no data; the values are the sentences, with the numbers still open."""

    FEW_EQUATIONS = (
        "interpolation: {equations} equations for {moments} moments; the algebraic route needs a wider network "
        "(identify.check says how wide)"
    )
    MOMENTS = (
        "interpolation: numerical rank {numerical_rank} of {moments}; the target does not determine the moments of the data, so the "
        "algebraic route does not apply (identify.check names the conditions that do)"
    )
    MOMENT_MAP = (
        "interpolation: the map from {moments} moments to {equations} numbers has no full column rank to working precision, so the "
        "algebraic route does not apply (identify.check names the conditions that do)"
    )
    MANY_SAMPLES = "decomposition: {samples} samples in dimension {dimension}; simultaneous diagonalisation needs at most {dimension}"
    DEPENDENT = (
        "decomposition: the top moment has numerical rank below {samples}; there are fewer independent samples than asked for, and "
        "simultaneous diagonalisation needs independent ones"
    )
    SINGULAR = "decomposition: every random contraction was singular; the samples are dependent"
    INFINITE = "decomposition: a sample lies at infinity (its constant coordinate vanishes); the target is too noisy"
    SCALES = (
        "scale: no moment of a lower degree among {lower} has as many numbers as there are samples ({samples}), so none fixes their "
        "scales; the algebraic route does not apply (identify.check says whether the data are determined)"
    )
    RESIDUAL = "the best {samples} samples leave a relative residual of {residual:.2g}, expected below {allowed:.2g}"
    TIME = "{what} takes about {seconds:.2g} s, more than is left"
    FIRST_LAYER = "the first layer was not observed"
    PARTS = (
        "separation: received the updates of {observed} for {samples} samples, and no method finds a batch of this size from them; "
        "expected more layers or fewer samples (identify.exposed says which layers suffice, and why)"
    )
    NARROW = (
        "separation: {samples} samples, and a second update of {rows} rows and {columns} columns; expected at most as many samples as "
        "rows, and fewer than columns"
    )
    DEPENDENT_SIGNALS = (
        "separation: {samples} samples, and a second update of rank {rank}: their signals in that layer depend on each other; expected a "
        "layer that tells them apart"
    )
    LOW_RANK = (
        "separation: {samples} samples, and a first update of rank {rank}; expected at most as many samples as that, which are independent"
    )
    SLOPES = "quadrics: an activation with {slopes} slopes; expected two, such as ReLU, leaky ReLU, the absolute value or hard tanh have"
    QUADRICS_NARROW = (
        "quadrics: {unknowns} unknowns for {samples} samples, and {neurons} neurons that some sample activates; expected at least {needed}"
    )
    KERNEL = (
        "quadrics: a kernel of dimension above {samples}, the number of samples: with {neurons} neurons that some sample activates, "
        "singular value {samples} from the end is {last:.1e} and the one before it {following:.1e}, relative to the others; the activation "
        "patterns are too few or too much alike, or the update is too noisy, for the data to be determined by this method"
    )
    NO_KERNEL = "the quadrics do not have {samples} solutions: their smallest {samples} singular values reach {last:.1e} of the usual ones"
    NOT_PIECES = "{refused} of {samples} samples do not have the slopes, or the signals, that the kernel of the quadrics gives them"
    FEW_ROWS = (
        "separation: {samples} samples, and an update of {rows} rows, whose rank counts samples; expected at most as many samples as rows"
    )
    FEW_FEATURES = (
        "separation: {columns} numbers for the features of a sample, with the bias if it was observed, leave {equations} equations beside "
        "{samples} samples for the {unknowns} entries of one; expected at least as many"
    )
    CLASSES = (
        "softmax: {samples} samples, and {classes} classes, whose signals and features show at most {most}; expected no more, or the "
        "update of another layer"
    )
    TOGETHER = (
        "softmax: {samples} samples that were not found one by one have {unknowns} unknowns together, more than the {most} that are "
        "sought; expected fewer samples, more classes, or the update of another layer"
    )
    NOT_FINITE = "phi: its values are NaN or infinite at all of {points} random samples; expected finite numbers"
    NOT_TRAINED = (
        "steps: the weights of layer {layer} did not move; expected changes of those of the first two layers and of the last, and of a "
        "bias together with its weights only"
    )
    NO_BIAS = (
        "steps: no bias moved, so scales of the samples are left open by the start of the search; expected a network whose first layer "
        "has a bias that was trained"
    )
    ROUNDED = (
        "steps: the change of the first layer is not larger than the rounding of its numbers, so it shows no sample; expected networks "
        "that are further apart, or in a format with more digits"
    )
    MANY = "steps: the change of the first layer has full rank {rank}, so it does not count the samples; expected samples=n"
    FEW_FOUND = "the start of the search came near {found} of {samples} samples only"
    SIGNS = (
        "separation: layer {layer} has the signs of an update and one size ({levels} levels); their row space is not that of the samples, "
        "so neither separation nor descent has a start, although many signs may determine the samples"
    )
    SPARSE = (
        "separation: of layer {layer} only {share:.0%} of the entries are not zero, all of them above one threshold, as if the largest "
        "alone had been sent; the others are not known, and {columns} of {inputs} columns have any entry. Expected all entries: the row "
        "space of a few is not that of the samples, and a column without any says nothing of that part of the samples"
    )
    INCOMPLETE = (
        "complete: no matrix of rank up to {rank} has the known entries, {share:.0%} of all, and they are too few to tell a larger rank "
        "with the other {entries}; expected more entries, spread over all rows and columns"
    )
    UNTOLD = (
        "complete: a matrix of rank {rank} has the known entries to {misfit:.1e}, but misses known entries that were hidden from it by "
        "{held_out:.1e}: the others cannot be told; expected more entries"
    )
    HIDDEN = (
        "separation: {samples} samples, of which the first update shows {rank}: the signals of the others are below its noise, which is "
        "{noise:.2g} of its root mean square"
    )
    NOISE = (
        "no {samples} samples explain the updates up to their noise, which is {noise:.2g} of their root mean square: the best leave "
        "{misfit:.1f} times the spectral norm of the noise, expected at most {allowed:.1f}"
    )
    NO_SAMPLE = "none of {samples} samples was found from {starts} starts"
    FEW_COORDINATES = "{samples} samples cannot be independent in {coordinates} coordinates"
    FEW_NEURONS = "{neurons} neurons leave {equations} equations for the {unknowns} unknowns of one sample"
    RANK = "the first-layer target does not have full rank"
    NO_MARGIN = "margins: a sample has output zero, so no scale gives it margin 1; it is not a support sample"
    NO_CLOSURE = "closure: a sample cannot satisfy c = -loss'(f)/n at any scale; check the decay and the number of samples"
    NO_SIDE_EQUATIONS = "no side equations: give labels, or loss='logistic'"
    NO_SOLUTION = "no solution from {starts} starts"
    TOO_LARGE = "too large: {starts} starts would take a minute; pass starts=... or budget=... to search all the same"
    NO_TIME = "too large for the time that was left"
    RANGE = (
        "numbers on the way to the samples leave the range of doubles, or are lost in it: weights, biases, inputs and updates are of sizes "
        "that are too different; expected a network and data in units in which they are about one"
    )


@dataclass(frozen=True)
class Obstacle:
    """Why a method gave no data: the kind, and the numbers of its sentence."""

    kind: Failure
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.kind.value.format(**self.numbers)


class Family(StrEnum):
    """Why (S) leaves a continuous family of data; the values are the sentences, with the numbers still open."""

    ROTATION = (
        "decomposition: degree 2 with one output; the data are not determined, the samples only up to a rotation (identify.check shows "
        "it). Margins or logistic closures may fix it for at most 3 samples and an activation with a linear term: method 'joint'"
    )
    SCALES = (
        "scale: the data are not determined: the moments below the top degree are {equations} numbers, too few for the scales of {samples} "
        "samples, which leaves a family of data with the same target, of dimension at least {dimension} (identify.check shows it)"
    )
    KERNEL = (
        "parts: the data are not determined: all that was observed depends on a sample x through W_1 x, {width} numbers, so each of "
        "{samples} samples moves along the kernel of W_1. Inputs of the lowest observed layer may be: pass the network that begins there"
    )
    COLUMNS = (
        "parts: the data are not determined: all that was observed depends on a sample x through W_1 x, {width} numbers, and the entries "
        "whose columns are known, so each of {samples} samples moves along the kernel of the other {missing} columns of W_1"
    )
    BOTTLENECK = (
        "parts: the data are not determined: all that was observed depends on a sample through the {width} numbers that leave layer "
        "{layer}, fewer than its {inputs} entries, for {samples} samples. Inputs of the lowest observed layer may be: pass the network "
        "that begins there"
    )
    REGION = (
        "parts: the data are not determined: biases' updates depend on the slopes of the samples, and these are constant in the linear "
        "regions of the network, in which each of {samples} samples moves"
    )
    PARTS = (
        "count: {samples} samples have {unknowns} unknowns, and the observed layers at most {equations} independent numbers; the data are "
        "not determined (identify.exposed says which layers suffice)"
    )
    COUNT = (
        "count: {samples} samples have {unknowns} unknowns, and the target at most {numbers} independent numbers; the data are not "
        "determined (identify.check shows it)"
    )


class RecoveryError(InputError):
    """The data could not be recovered.

    Attributes
    ----------
    evidence
        The numbers behind the message.
    tried
        For each method that was tried, why it gave no data.
    """

    def __init__(self, message: str, **evidence: Any):
        super().__init__(message)
        self.evidence = evidence
        self.tried: dict[str, Obstacle] = {}


class InapplicableError(RecoveryError):
    """A method that cannot be used for this problem, whatever the seed; another one may. ``obstacle`` says why."""

    obstacle: Obstacle

    @classmethod
    def of(cls, kind: Failure, evidence: Mapping[str, Any] | None = None, **numbers: Any) -> InapplicableError:
        """From the kind and the numbers of its sentence, with further evidence."""
        obstacle = Obstacle(kind, numbers)
        error = cls(str(obstacle), **{**(evidence or {}), **numbers})
        error.obstacle = obstacle
        return error


class ResidualError(RecoveryError):
    """The best data do not reproduce the target as well as its precision, or the given tolerance, asks for.

    ``obstacle`` has the number of samples, their relative residual, and the largest that is allowed.
    """

    obstacle: Obstacle

    @classmethod
    def of(cls, obstacle: Obstacle, advice: str, **evidence: Any) -> ResidualError:
        """The error with a sentence on a possible reason, and on what to do."""
        error = cls(f"recovery: {obstacle}; {advice}", **evidence)
        error.obstacle = obstacle
        return error


class NotDeterminedError(RecoveryError):
    """The target does not determine the data: every method would return one member of a family, so none is tried.

    ``family`` says which, and ``dimension`` how large it is, at least.
    """

    family: Family
    dimension: int

    @classmethod
    def of(cls, family: Family, dimension: int, evidence: Mapping[str, Any] | None = None, **numbers: Any) -> NotDeterminedError:
        """From the family and the numbers of its sentence, with further evidence."""
        error = cls(family.value.format(dimension=dimension, **numbers), **{**(evidence or {}), **numbers})
        error.family, error.dimension = family, dimension
        return error


@dataclass(frozen=True, eq=False)
class Recovery:
    """Recovered data. Whether they are the only ones with this target, :attr:`uniqueness` says; if so, up to :attr:`ambiguity`.

    Attributes
    ----------
    X, c
        Samples, and signed multipliers (``(n,)`` for one output, ``(n, C)`` for more); NaN for those that the observed layers leave open.
    residual
        Relative residual of (S) at (X, c), dimensionless.
    error_bars
        First-order standard error of each sample, in the units of the inputs: the noise level of the target, estimated
        from the residual, propagated through the pseudo-inverse of the Jacobian; at least the rounding error of the sample. It is not a
        bound, and it says nothing about other data that solve the equations equally well. When a scale is free, the samples
        have norm one, and so have the units: compare :attr:`relative_error_bars` with the relative errors of :meth:`match`.
    method
        What was done.
    evidence
        Numbers of each step: numerical ranks, condition numbers, residuals before and after the refinement.
    uniqueness
        Whether other data solve the equations as well, as far as that is known, and why.
    """

    X: Float[np.ndarray, "n d"]
    c: Float[np.ndarray, " n"] | Float[np.ndarray, "n C"]
    residual: float
    error_bars: Float[np.ndarray, " n"]
    method: str
    ambiguity: Ambiguity
    seed: int
    evidence: dict[str, Any] = field(default_factory=dict)
    uniqueness: Uniqueness = NOT_JUDGED

    @property
    def n_samples(self) -> int:
        return len(self.X)

    @property
    def relative_error_bars(self) -> Float[np.ndarray, " n"]:
        """Error bars relative to the norms of the samples (dimensionless), whatever scale represents them; inf for a sample of zero."""
        norms = np.linalg.norm(self.X, axis=1)
        return np.divide(self.error_bars, norms, out=np.full(len(norms), np.inf), where=norms > 0)

    @property
    def labels(self) -> Num[np.ndarray, " n"]:
        """y_i = sign c_i for one output; with a sign ambiguity in c_i, one admissible choice.

        For several outputs the class of each sample, an integer from 0, read off a softmax loss: its multipliers (minus the derivatives of
        the loss by the outputs) are positive for the class of the sample and negative for all others, as far as its error bar shows their
        signs. Raises :class:`InputError` when they are not.
        """
        if np.isnan(self.c).any():
            raise InputError("labels: the observed layers do not determine the multipliers (NaN in c); use X, or observe the last layer")
        if self.c.ndim == 1:
            return np.sign(self.c)
        largest = self.c.max(axis=1, keepdims=True)
        relative = np.nan_to_num(self.relative_error_bars, nan=0.0, posinf=0.0)
        noise = largest * np.minimum(SIGN_ERROR * relative, MOST_SIGN_ERROR)[:, None]
        positive = (self.c > 0) & ((self.c > noise) | (self.c == largest))
        if not np.all(positive.sum(axis=1) == 1):
            raise InputError(
                "labels: these multipliers are not those of a softmax loss (one positive for each sample), expected minus the gradient of "
                "such a loss; use c"
            )
        return self.c.argmax(axis=1)

    @property
    def multipliers(self) -> Float[np.ndarray, " n"]:
        """lambda_i = |c_i|. One output only."""
        self._one_output("multipliers")
        return np.abs(self.c)

    def match(self, X: ArrayLike, c: ArrayLike) -> Match:
        """Align these samples with reference data, one to one, modulo the ambiguity; ``.errors`` are relative."""
        return self.ambiguity.match(self.X, self.c, X, c)

    def describe(self) -> tuple[str, str]:
        """Two sentences for people: what is known of uniqueness, and up to what the data are determined, if they are."""
        symmetries = "; ".join(self.ambiguity.describe())
        lead = "Determined up to" if self.uniqueness.is_supported else "Symmetries of the equations"
        return f"Uniqueness: {self.uniqueness}", f"{lead}: {symmetries}"

    def brief(self) -> str:
        """The answer in at most 15 lines: how many samples, how well they fit, whether others do, and what that means in practice."""
        from identify.report.brief import PYTHON_RECOVERED, of_recovery

        return of_recovery(self, PYTHON_RECOVERED)

    def _repr_html_(self) -> str:
        from identify.report.notebook import of_recovery

        return of_recovery(self)

    def _one_output(self, name: str) -> None:
        if self.c.ndim > 1:
            raise InputError(f"{name}: this network has {self.c.shape[1]} outputs, so multipliers are vectors; use c")

    def __repr__(self) -> str:
        worst = f"{self.error_bars.max():.1e}" if len(self.error_bars) else "none"
        return (
            f"Recovery({self.n_samples} samples, residual {self.residual:.1e}, largest error bar {worst}, method {self.method}, "
            f"uniqueness {self.uniqueness.status})"
        )
