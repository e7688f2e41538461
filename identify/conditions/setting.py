"""What every condition is given: one exact instance, the scope of what is said about it, and its ambiguity group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from identify.exact.instance import Instance
from identify.exact.modular import Arithmetic
from identify.planting.configuration import is_lifted
from identify.problem.ambiguity import Ambiguity, free_scales
from identify.problem.system import KKTSystem
from identify.problem.verdict import Scope


@dataclass(frozen=True, eq=False)
class Setting:
    """One question: an instance, in the coordinates in which it is examined.

    Attributes
    ----------
    equations_are_complete
        Whether (S) is all that constrains the data, up to equations that only fix the scale in ``ambiguity``. Where
        margins or closures say more, a family that solves (S) alone is no witness.
    independence
        How it was established that every solution has linearly independent samples (condition C0), or NONE.
    data
        Numbers to show a witness with, in full coordinates: the given data, or a random instance of generic data.
    """

    instance: Instance
    scope: Scope
    ambiguity: Ambiguity
    equations_are_complete: bool
    seed: int
    system: KKTSystem | None = None
    data: tuple[np.ndarray, np.ndarray] | None = None
    independence: Arithmetic = Arithmetic.NONE

    @property
    def data_are_unknown(self) -> bool:
        """Whether the question is about all data that produce the given target."""
        return self.scope.data == "this target"

    @property
    def open_multipliers(self) -> int:
        """How many dimensions of multipliers the first layer leaves open if it alone was observed: it sees their images behind A."""
        own = self.instance
        seen = min(own.width, own.n_outputs) if own.A is None else int(np.linalg.matrix_rank(own.A))
        return 0 if own.observed.a else own.n_samples * (own.n_outputs - seen)

    @property
    def is_lifted(self) -> bool:
        """Whether the visible moments are one tensor in the lifted inputs (x, 1)."""
        return is_lifted(self.instance.degrees)

    @property
    def scales_per_sample(self) -> int:
        """1 if (S) alone leaves the scale of each sample free, else 0."""
        return free_scales(self.instance.degrees)

    @property
    def tensor_inputs(self) -> int:
        """D: the dimension in which M_p is decomposed."""
        return self.instance.coordinates + int(self.is_lifted)
