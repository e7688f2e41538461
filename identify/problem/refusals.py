"""The one refusal of questions whose theorems do not cover a kind of activation, a depth, or an observed output bias."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol, runtime_checkable

from identify.base.errors import InputError


class Unsupported(Enum):
    """Parts of a problem that a question cannot deal with; the values say which ones it is for, and which question to ask instead."""

    ACTIVATION = (
        "is for polynomial activations",
        "identify.recover, identify.audit and identify.attacks take this network as it is; Activation.approximate gives a polynomial "
        "close to the activation, and answers about that other network",
    )
    POLYNOMIALS = (
        "is for equations that are polynomial: those of polynomial and of piecewise-linear activations",
        "The structured equations, their Jacobian and their compiled form are there for every activation; Activation.approximate gives a "
        "polynomial close to this one, and answers about that other network",
    )
    CELLS = (
        "is for networks whose activations are all piecewise-linear: others have no activation cells",
        "Use the equations as they are",
    )
    DEPTH = (
        "is for two layers of weights",
        "identify.recover, identify.audit and identify.attacks take networks of any depth",
    )
    OUTPUT_BIAS = (
        "is for updates without that of the output bias",
        "leave the output bias out of layers: the equations of the other parameters do not change",
    )
    LAYER_KINDS = (
        "needs one activation for all hidden layers",
        "read .activations, which has one for each hidden layer",
    )

    GIVEN = (
        "is about the equations of networks",
        "A system of other equations has .equations, .expand(), .jacobian(), .structure(), .lambdify(), .export() and .solve()",
    )
    ENTRIES = (
        "is for arrays whose entries are all known, or updates of which whole rows or columns are not",
        "Mask the rest of such a row or column, or leave that layer out; identify.complete fills in entries that are missing here or there",
    )
    PARTIAL = (
        "is for updates whose rows and columns are all known",
        "identify.recover and identify.check take updates of some rows and columns; or leave such a layer out",
    )
    FEATURES = (
        "is for networks of dense layers with stated activations",
        "identify.recover finds the samples behind a known feature map",
    )

    HEAD = (
        "is for networks of dense layers with stated activations",
        "identify.recover and identify.check take one dense layer behind a softmax loss",
    )

    STEPS = (
        "is for one update at one network",
        "identify.recover and identify.audit find the batch behind several steps; KKTSystem.gradient or .lazy states one update",
    )

    @property
    def covers(self) -> str:
        return self.value[0]

    @property
    def instead(self) -> str:
        return self.value[1]


class UnsupportedError(InputError):
    """A question that this package cannot answer for such a network; nothing was computed.

    Attributes
    ----------
    question
        What was asked: the name of a verb or of a property.
    reason
        An :class:`Unsupported`: what the question does not cover, and what can be asked instead.
    kinds
        The kinds of the activations of the hidden layers: ``"polynomial"``, ``"piecewise-linear"`` or ``"analytic"``.
    activations
        Their texts, which :meth:`Activation.parse` reads.
    depth
        The number of layers of weights.
    """

    def __init__(
        self,
        question: str,
        reason: Unsupported,
        *,
        kinds: Sequence[str],
        activations: Sequence[str],
        depth: int | None,
        received: str | None = None,
    ):
        self.question, self.reason, self.depth = question, reason, depth
        self.kinds, self.activations = tuple(kinds), tuple(activations)
        named = ", ".join(dict.fromkeys(f"{text} ({kind})" for text, kind in zip(self.activations, self.kinds, strict=True)))
        network = f"a network of {depth} layers with activation {named}" if depth is not None else f"activation {named}"
        super().__init__(f"{question}: received {received or network}; {question} {reason.covers}. {reason.instead}")


@runtime_checkable
class _Named(Protocol):
    @property
    def kind(self) -> str: ...


@runtime_checkable
class Sized(Protocol):
    """The sizes that a refusal depends on: of a network, or of a configuration."""

    @property
    def activations(self) -> Sequence[_Named]: ...

    @property
    def depth(self) -> int: ...

    @property
    def has_output_bias(self) -> bool: ...


def refusal(question: str, reason: Unsupported, problem: Sized) -> UnsupportedError:
    """The error for a network or a configuration."""
    kinds, texts = [sigma.kind for sigma in problem.activations], list(map(str, problem.activations))
    return UnsupportedError(question, reason, kinds=kinds, activations=texts, depth=problem.depth)


def is_polynomial(problem: Sized) -> bool:
    """Whether the theorems about polynomial networks of two layers apply."""
    return problem.depth == 2 and not problem.has_output_bias and all(sigma.kind == "polynomial" for sigma in problem.activations)


def require_polynomial(question: str, problem: Sized) -> None:
    """Raise :class:`UnsupportedError` unless the theorems about polynomial networks of two layers apply.

    Every verb that rests on them calls this first. A network of a :class:`KKTSystem` has an output bias only when it matters.
    """
    if problem.depth != 2:
        raise refusal(question, Unsupported.DEPTH, problem)
    if any(sigma.kind != "polynomial" for sigma in problem.activations):
        raise refusal(question, Unsupported.ACTIVATION, problem)
    if problem.has_output_bias:
        raise refusal(question, Unsupported.OUTPUT_BIAS, problem)


@runtime_checkable
class RecoveryOnly(Protocol):
    """Equations that only a recovery can deal with."""

    @property
    def recovery_only(self) -> Unsupported: ...


@runtime_checkable
class MayLack(Protocol):
    """Equations some of which may be missing."""

    @property
    def is_partial(self) -> bool: ...


def refuse_recovery_only(question: str, problem: object, *, takes_parts: bool = False) -> None:
    """Raise :class:`UnsupportedError` for equations behind a known map, or of several steps, which only a recovery can deal with.

    Likewise for updates without some of their rows or columns, unless the question ``takes_parts``.
    """
    if isinstance(problem, RecoveryOnly):
        raise UnsupportedError(question, problem.recovery_only, kinds=(), activations=(), depth=None, received=repr(problem))
    if not takes_parts and isinstance(problem, MayLack) and problem.is_partial:
        raise UnsupportedError(question, Unsupported.PARTIAL, kinds=(), activations=(), depth=None, received=repr(problem))
