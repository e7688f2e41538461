"""What all methods of recovery share: one system in reduced coordinates, and the way from a proposal to a result."""

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
from identify.problem.system import KKTSystem
from identify.recovery.decompose import fix_scale, sample_lines
from identify.recovery.equations import Equations
from identify.recovery.error_bars import error_bars
from identify.recovery.joint import determines
from identify.recovery.moments import solve_moments
from identify.recovery.multistart import Found
from identify.recovery.noise import noise
from identify.recovery.polish import polish
from identify.recovery.reduce import Reduced
from identify.recovery.side_equations import choose_signs, fix_free_scale
from identify.recovery.solution import Recovery, RecoveryError

ROUNDS = 2
"""Polishes: each on the span, and with the noise model, that the one before found."""
INCONSISTENT = 1e-2
OPERATIONS_FOR_EACH, FINAL_FLOPS = 10, 1e11
"""Of a polish in all coordinates, for unknowns^3; and what is allowed for it."""


@dataclass(eq=False)
class Work:
    """A system, the number of samples sought, and the evidence that is collected on the way."""

    system: KKTSystem
    samples: int
    seed: int
    evidence: dict
    progress: Callable[[str], None]
    reduced: Reduced = field(init=False)
    ambiguity: Ambiguity = field(init=False)
    homogeneous: bool = field(init=False)

    def __post_init__(self) -> None:
        system = self.system
        self.homogeneous = system.network.activation.is_monomial and not system.network.has_bias
        self.ambiguity = Ambiguity.of(system.degrees, is_lifted(system.degrees), system.labels, self.homogeneous)
        self.reduced = Reduced.of(system, self.samples)
        self.evidence["coordinates"] = self.reduced.dimension

    def leave_out(self, what: str) -> None:
        """Notes that there was no time for it."""
        self.evidence.setdefault("left_out", []).append(what)
        self.evidence.setdefault("interrupted", Stopped.OUT_OF_TIME)

    @property
    def fingerprint(self) -> str:
        """What a checkpoint belongs to: the system with its side equations, how many samples are sought, and the seed."""
        system, net = self.system, self.system.network
        numbers = b"".join(np.ascontiguousarray(part, dtype=float).tobytes() for part in (net.W, net.A, net.offsets, system.target))
        labels = None if system.labels is None else system.labels.tolist()
        rest = f"{net.W.shape} {tuple(system.observed)} {system.regime} {system.decay} {system.loss} {labels}"
        return f"{hashlib.sha256(numbers + rest.encode()).hexdigest()} {net.activation} samples={self.samples} seed={self.seed}"

    def leaves_rotations(self, method: str) -> bool:
        """Whether samples can be exchanged for combinations of them, as far as (S) goes: degree 2 and one output.

        Raises RecoveryError where nothing else tells them apart, or a method was asked for that does not use it.
        """
        if self.system.network.activation.degree != 2 or self.system.network.n_outputs > 1 or self.samples == 1:
            return False
        if method not in ("auto", "joint") or not determines(self.system, self.samples):
            raise RecoveryError(
                "decomposition: degree 2 with one output; the samples are determined only up to a rotation (identify.check shows it). "
                "Margins or logistic closures may fix it for at most 3 samples and an activation with a linear term: method 'joint'"
            )
        return True

    def refuse_too_few_equations(self, *, spare_samples: int = 0) -> None:
        """Raise RecoveryError where there are more unknowns than independent numbers: a search would find one of a family.

        ``spare_samples``: as if there were so many samples more.
        """
        system, net, n = self.system, self.reduced.network, self.samples
        every_parameter = self.homogeneous and system.observed.W and system.observed.a
        rows = len(net.W) * rows_per_neuron(net.n_inputs, system.observed, net.n_outputs, every_parameter)
        bound = min(rows, moment_count(net.n_inputs, system.degrees, net.n_outputs))
        each = net.n_inputs + net.n_outputs - (len(system.degrees) == 1 and not is_lifted(system.degrees))
        unknowns = n * each
        if unknowns + spare_samples * each > bound:
            raise RecoveryError(
                f"count: {n} samples have {unknowns} unknowns, and the target at most {bound} independent numbers; the data are not "
                "determined (identify.check shows it)",
                **self.evidence,
            )

    def algebraic(self) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]]:
        """The constructive uniqueness proof as an algorithm: moments, simultaneous diagonalisation, scale and sign.

        Raises
        ------
        RecoveryError
            When the target does not determine the moments, or the samples are too many for the decomposition.
        """
        system, reduced = self.system, self.reduced
        self.progress("solving for the moments")
        moments, numbers = solve_moments(reduced.network, system.observed, system.degrees, reduced.target)
        self.evidence |= numbers
        self.progress("decomposing the moment tensor")
        lines, numbers = sample_lines(moments, self.samples, np.random.default_rng(self.seed))
        self.evidence |= numbers
        Z, c = fix_scale(moments, lines)
        X = reduced.origin + Z @ reduced.Q.T
        self.evidence["residual_before_polish"] = system.residual(X, c)
        return X, c

    def polished(self, proposal: Found) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"], float]:
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
            self.progress("polishing")
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
        if not residual <= INCONSISTENT and not is_affordable(0.0):
            self.leave_out("polish")
            raise RecoveryError(
                f"recovery: the time was spent when {self.samples} samples left a relative residual of {residual:.2g}, expected below "
                f"{INCONSISTENT:g}; with a larger budget they are polished further",
                residual=residual,
                **evidence,
            )
        if not residual <= INCONSISTENT:
            raise RecoveryError(
                f"recovery: the best {self.samples} samples leave a relative residual of {residual:.2g}, expected below {INCONSISTENT:g}; "
                "the target belongs to another network, comes from more samples, is too noisy, or (trained parameters) not stationary",
                residual=residual,
                **evidence,
            )
        self.progress("error bars")
        try:
            bars = error_bars(reduced, X, c, noise(system, X, c))
        except OutOfTimeError:
            self.leave_out("error bars")
            bars = np.full(len(X), np.nan)
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
