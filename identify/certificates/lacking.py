"""The one error for a verdict that is proved, but not in a form that the checker verifies."""

from __future__ import annotations

from enum import Enum

from identify.base.errors import InputError


class Lacking(Enum):
    """Why a proof does not have a certificate; the value says it, and what can be had instead."""

    LINES = (
        "with lines of features, or with more choices of slopes than the checker goes through",
        "report.to_json() keeps the verdict with its evidence, and check with another seed repeats the proof modulo another prime",
    )
    PARTIAL = (
        "about an update without some of its rows or columns",
        "report.to_json() keeps the verdict with its evidence",
    )
    ROUTE = (
        "by signals, from a base beyond the first layer, or of all samples together",
        "report.to_json() keeps the verdict with its evidence, and identify.theorems['some-layers'].verify() tests the theorem",
    )
    HEAD = (
        "about one dense layer behind a softmax loss",
        "report.to_json() keeps the verdict with its evidence, and identify.theorems['softmax-head'].verify() tests the theorem",
    )
    MULTIPLICITY = (
        "by a local dual space, at data where the Jacobian is deficient",
        "report.to_json() keeps the verdict with its evidence, and check with another seed repeats the proof modulo another prime",
    )
    KINK = (
        "at data so close to a kink that the checker does not see their side, as activations of several kinds are taken in balls",
        "report.to_json() keeps the verdict with its evidence",
    )


class NoCertificateError(InputError):
    """A proof that certificates have no form for; the report stands as it is.

    Attributes
    ----------
    reason
        A :class:`Lacking`.
    rests_on
        The names of the conditions that prove the verdict, or the kind of the witness.
    """

    def __init__(self, reason: Lacking, rests_on: tuple[str, ...]):
        self.reason, self.rests_on = reason, rests_on
        why, instead = reason.value
        super().__init__(f"certificate: received a proof by {', '.join(rests_on)}, {why}; expected another one. {instead}")
