"""What a recovery returns, and how it fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.problem.ambiguity import Ambiguity, Match


class RecoveryError(InputError):
    """The data could not be recovered by this method. ``evidence`` holds the numbers behind the message."""

    def __init__(self, message: str, **evidence: Any):
        super().__init__(message)
        self.evidence = evidence


class BeyondAlgebraError(RecoveryError):
    """The algebraic route does not reach this problem; a search may."""


@dataclass(frozen=True, eq=False)
class Recovery:
    """Recovered data, determined up to :attr:`ambiguity`.

    Attributes
    ----------
    X, c
        Samples, and signed multipliers (``(n,)`` for one output, ``(n, C)`` for more).
    residual
        Relative residual of (S) at (X, c), dimensionless.
    error_bars
        First-order standard error of each sample, in the units of the inputs: the noise level of the target, estimated
        from the residual, carried through the pseudo-inverse of the Jacobian. It is no bound.
    method
        What was done.
    evidence
        Numbers of each step: numerical ranks, condition numbers, residuals before and after the polish.
    """

    X: Float[np.ndarray, "n d"]
    c: Float[np.ndarray, " n"] | Float[np.ndarray, "n C"]
    residual: float
    error_bars: Float[np.ndarray, " n"]
    method: str
    ambiguity: Ambiguity
    seed: int
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        return len(self.X)

    @property
    def labels(self) -> Float[np.ndarray, " n"]:
        """y_i = sign c_i. One output only; with a sign ambiguity in c_i, one admissible choice."""
        self._one_output("labels")
        return np.sign(self.c)

    @property
    def multipliers(self) -> Float[np.ndarray, " n"]:
        """lambda_i = |c_i|. One output only."""
        self._one_output("multipliers")
        return np.abs(self.c)

    def match(self, X: Float[np.ndarray, "n d"], c) -> Match:
        """Align these samples with reference data, one to one, modulo the ambiguity; ``.errors`` are relative."""
        return self.ambiguity.match(self.X, self.c, X, c)

    def _one_output(self, name: str) -> None:
        if self.c.ndim > 1:
            raise InputError(f"{name}: this network has {self.c.shape[1]} outputs, so multipliers are vectors; use c")

    def __repr__(self) -> str:
        worst = f"{self.error_bars.max():.1e}" if len(self.error_bars) else "none"
        return f"Recovery({self.n_samples} samples, residual {self.residual:.1e}, largest error bar {worst}, method {self.method})"
