"""Parts that all methods of recovery share: one system in reduced coordinates, and the way from a proposal to a result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from identify.base.limits import OPERATIONS_PER_SECOND, OutOfTimeError, Stopped, is_affordable
from identify.planting.configuration import is_lifted
from identify.problem.ambiguity import Ambiguity
from identify.problem.interpolation import moment_count, rows_per_neuron
from identify.problem.precision import LARGEST, Precision, Source
from identify.problem.rank import Spectrum
from identify.problem.system import KKTSystem
from identify.recovery.decompose import fix_scale, sample_lines
from identify.recovery.equations import Equations
from identify.recovery.error_bars import error_bars
from identify.recovery.joint import determines, has_side_equations
from identify.recovery.moments import solve_moments
from identify.recovery.multistart import Proposal
from identify.recovery.noise import noise
from identify.recovery.polish import polish
from identify.recovery.reduce import Reduced
from identify.recovery.side_equations import choose_signs, fix_free_scale
from identify.recovery.solution import (
    Failure,
    Family,
    NotDeterminedError,
    Obstacle,
    Recovery,
    RecoveryError,
    ResidualError,
)

ROUNDS = 2
"""Refinements: each on the span, and with the noise model, that the one before found."""
SPARE_MOMENTS = 1.1
"""Equations for each moment, from which on the residual of their least-squares fit shows the noise of the target."""
OPERATIONS_FOR_EACH, FINAL_FLOPS = 10, 1e11
"""Operations of a refinement in all coordinates, as a multiple of unknowns^3; and the most that are allowed for it."""


@dataclass(eq=False)
class Work:
    """A system, the number of samples sought, and the evidence that is collected on the way."""

    system: KKTSystem
    samples: int
    seed: int
    evidence: dict
    progress: Callable[[str], None]
    spectrum: Spectrum | None = None
    """Singular values of the first-layer target, with its directions; None if that was not observed."""
    tolerance: float | None = None
    """The largest relative residual of a solution; None for what the precision of the target allows."""
    tried: dict[str, Obstacle] = field(default_factory=dict)
    """The reason for which each method gave no data."""
    inapplicable: set[str] = field(default_factory=set)
    """Searches that cannot be used for this problem at all."""
    smallest_residual: float = np.inf
    """The smallest residual among the proposals of searches that were refused."""
    precision: Precision = field(init=False)
    reduced: Reduced = field(init=False)
    ambiguity: Ambiguity = field(init=False)
    homogeneous: bool = field(init=False)
    moments_miss: float | None = field(init=False, default=None)
    """Noise of the target, relative to it, by the least-squares fit of the moments; None before, and without spare equations."""

    def __post_init__(self) -> None:
        system = self.system
        if self.spectrum is None and system.target_W is not None:
            self.spectrum = Spectrum.of(system, directions=True)
        self.precision = Precision.of(system, self.spectrum, self.samples)
        if self.spectrum is not None:
            self.evidence["behind"] = [self.spectrum.rest(self.samples, self.precision.unit)]
        self.homogeneous = system.network.activation.is_monomial and not system.network.has_bias
        self.ambiguity = Ambiguity.of(system.degrees, is_lifted(system.degrees), system.labels, self.homogeneous)
        self.reduced = Reduced.of(system, self.samples, self.spectrum)
        self.evidence["coordinates"] = self.reduced.dimension

    @property
    def allowed(self) -> float:
        """The largest relative residual at which data are accepted."""
        return self.precision.allowed if self.tolerance is None else self.tolerance

    def note(self, method: str, obstacle: Obstacle) -> None:
        """Keeps why a method gave no data, for control and, as a sentence, for people."""
        self.tried[method] = obstacle
        self.evidence.setdefault("tried", {})[method] = str(obstacle)

    def leave_out(self, what: str) -> None:
        """Notes that there was no time for it."""
        self.evidence.setdefault("left_out", []).append(what)
        self.evidence.setdefault("interrupted", Stopped.OUT_OF_TIME)

    @property
    def fingerprint(self) -> str:
        """The identity of a checkpoint: the system with its side equations, how many samples are sought, and the seed."""
        system, net = self.system, self.system.network
        numbers = b"".join(np.ascontiguousarray(part, dtype=float).tobytes() for part in (net.W, net.A, net.offsets, system.target))
        labels = None if system.labels is None else system.labels.tolist()
        rest = f"{net.W.shape} {tuple(system.observed)} {system.regime} {system.decay} {system.loss} {labels}"
        return f"{hashlib.sha256(numbers + rest.encode()).hexdigest()} {net.activation} samples={self.samples} seed={self.seed}"

    def needs_side_equations(self, method: str) -> bool:
        """Whether (S) leaves a continuous family of data, whatever they are, that side equations can cut down to points.

        Raises
        ------
        NotDeterminedError
            When nothing else tells the members of the family apart, or a method was asked for that does not use it.
        """
        net, n = self.system.network, self.samples
        if net.activation.degree == 2 and net.n_outputs == 1 and n > 1:
            if method not in ("auto", "joint") or not determines(self.system, n):
                raise NotDeterminedError.of(Family.ROTATION, n * (n - 1) // 2, self.evidence)
            return True
        degrees = self.system.degrees
        if len(degrees) == 1 or is_lifted(degrees):
            return False
        # With M_p fixed, the scales of n samples are n unknowns of a continuous map into the moments of lower degree; into fewer than n
        # dimensions no such map is injective near any point (invariance of domain).
        equations = moment_count(net.n_inputs, degrees[:-1], net.n_outputs)
        if n <= equations:
            return False
        if method not in ("auto", "joint") or not has_side_equations(self.system):
            raise NotDeterminedError.of(Family.SCALES, n - equations, self.evidence, equations=equations, samples=n)
        return True

    def refuse_too_few_equations(self, *, spare_samples: int = 0) -> None:
        """Raise NotDeterminedError when there are more unknowns than independent numbers: a search would find one of a family.

        ``spare_samples``: as if there were so many samples more.
        """
        system, net, n = self.system, self.reduced.network, self.samples
        every_parameter = self.homogeneous and system.observed.W and system.observed.a
        rows = len(net.W) * rows_per_neuron(net.n_inputs, system.observed, net.n_outputs, every_parameter)
        bound = min(rows, moment_count(net.n_inputs, system.degrees, net.n_outputs))
        each = net.n_inputs + net.n_outputs - (len(system.degrees) == 1 and not is_lifted(system.degrees))
        unknowns = n * each
        if unknowns + spare_samples * each > bound:
            raise NotDeterminedError.of(Family.COUNT, max(unknowns - bound, 0), self.evidence, samples=n, unknowns=unknowns, numbers=bound)

    def algebraic(self) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]]:
        """The constructive uniqueness proof as an algorithm: moments, simultaneous diagonalisation, scale and sign.

        Raises
        ------
        InapplicableError
            When the target does not determine the moments, or the samples are too many for the decomposition.
        """
        system, reduced = self.system, self.reduced
        self.progress("solving for the moments")
        moments, numbers = solve_moments(reduced.network, system.observed, system.degrees, reduced.target)
        self.evidence |= numbers
        self._see_noise(numbers["moments"], numbers["equations"], moments.residual)
        self.progress("decomposing the moment tensor")
        lines, numbers = sample_lines(moments, self.samples, np.random.default_rng(self.seed))
        self.evidence |= numbers
        Z, c = fix_scale(moments, lines)
        X = reduced.origin + Z @ reduced.Q.T
        self.evidence["residual_before_polish"] = system.residual(X, c)
        return X, c

    def _see_noise(self, moments: int, equations: int, residual: float) -> None:
        """Every data set, of any number of samples, has moments; so what their fit leaves of the target is noise, or another network."""
        if equations >= SPARE_MOMENTS * moments:
            self.moments_miss = residual / np.sqrt(1 - moments / equations)
            if self.precision.source is Source.FORMAT:
                self.precision = Precision(max(self.moments_miss, self.precision.unit), self.precision.unit, Source.MOMENTS)

    def polished(self, proposal: Proposal) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"], float]:
        """The proposal of a search in full coordinates, after one polish, and its relative residual."""
        equations = Equations.of(self.reduced.network, self.system.observed, self.reduced.target)
        Z, c, _ = polish(equations, proposal.X, proposal.c)
        X = self.reduced.lift(Z, c)
        return X, c, self.system.residual(X, c)

    def finished(self, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"], method: str, known: tuple | None) -> Recovery:
        """Polish, fix scale and sign, check the residual, and attach error bars."""
        system, evidence, reduced = self.system, self.evidence, self.reduced
        weights = None
        for _ in range(ROUNDS):
            self.progress("refining")
            equations = Equations.of(reduced.network, system.observed, reduced.target, weights)
            Z, c, steps = polish(equations, reduced.project(X), c)
            X = reduced.lift(Z, c)
            reduced = reduced.respan(X)
            spread = noise(system, X, c)
            weights = spread.weights(reduced.dimension, system.observed)
            evidence["noise_model"] = spread.name
            evidence["polish_steps"] = evidence.get("polish_steps", 0) + steps
        everywhere, operations = Reduced.trivial(system), OPERATIONS_FOR_EACH * (X.size + c.size) ** 3
        is_late = not is_affordable(2 * operations / OPERATIONS_PER_SECOND)  # error bars take as long
        if not reduced.is_trivial and operations <= FINAL_FLOPS and is_late:
            self.leave_out("polish in all coordinates")
        elif not reduced.is_trivial and operations <= FINAL_FLOPS:
            # on the span, samples are a little farther from the data than least squares in all coordinates
            equations = Equations.of(everywhere.network, system.observed, system.target, spread.weights(X.shape[1], system.observed))
            X, c, steps = polish(equations, X, c)
            reduced = everywhere
            evidence["polish_steps"] += steps
        X, c = self._representative(X, c)
        residual = system.residual(X, c)
        if not residual <= self.allowed:
            raise self._refused(residual)
        self.progress("error bars")
        try:
            bars = error_bars(reduced, X, c, noise(system, X, c))
        except OutOfTimeError:
            self.leave_out("error bars")
            bars = np.full(len(X), np.nan)
        evidence["precision"] = {"allowed": self.allowed, "noise": self.precision.noise, "source": self.precision.source}
        if known is not None:
            evidence["errors"] = self.ambiguity.match(X, c, *known).errors.tolist()
        return Recovery(
            X=X,
            c=c[:, 0] if system.network.n_outputs == 1 else c,
            residual=residual,
            error_bars=bars,
            method=method,
            ambiguity=self.ambiguity,
            seed=self.seed,
            evidence=evidence,
        )

    def _refused(self, residual: float) -> RecoveryError:
        """The error about data that do not reproduce the target as well as they must."""
        numbers = {"samples": self.samples, "residual": residual, "allowed": self.allowed}
        if not is_affordable(0.0):
            self.leave_out("refinement")
            advice = "the time was spent when they were reached; with a larger budget they are refined further"
        elif residual > LARGEST:
            advice = "the target belongs to another network, comes from more samples, is too noisy, or (trained parameters) not stationary"
        elif self.tolerance is not None:
            advice = "that is the tolerance given"
        else:
            advice = (
                f"so much do {self.precision.source} allow{'s' * (self.precision.source is not Source.GAP)}. There may be more "
                "samples, or dependent ones, than were looked for; if the target is known no better than that, pass tolerance=..."
            )
        return ResidualError.of(Obstacle(Failure.RESIDUAL, numbers), advice, **self.evidence | {"residual": residual})

    def algebra_decides(self, obstacle: Obstacle, *, certain: bool) -> bool:
        """Whether it is clear, after the algebra left too large a residual, that no search can do better.

        Either the target has no moments to that precision, so it comes from no data of any number; or so many samples are independent
        if they exist, and then the algebra would have come near them.
        """
        if self.moments_miss is not None and self.moments_miss > self.allowed / 2:
            return True
        if not is_affordable(0.0):
            return True
        independent = self.spectrum is not None and self.samples <= self.spectrum.rank
        return certain and independent and obstacle.numbers["residual"] > LARGEST

    def _representative(self, X: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scale and sign of each sample, by side equations or by convention."""
        if self.homogeneous:
            X, c, numbers = fix_free_scale(self.system, X, c)
            self.evidence |= numbers
        if self.ambiguity.label_counts is not None and self.ambiguity.degree % 2:
            return choose_signs(self.system, X, c)
        if self.ambiguity.group == "sign" or self.system.loss != "logistic":
            return self.ambiguity.canonical(X, c)
        return X, c
