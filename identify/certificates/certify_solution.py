"""``certify``: a proof that data solve (S) near given numbers, for targets known up to rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from identify.base.errors import WrongTypeError
from identify.base.options import number
from identify.certificates.certify import Certificate, CertificateTooLargeError
from identify.certificates.numbers import hexadecimal
from identify.checker.reading import DATA, FORMAT, NETWORK, TARGET, VERSION, Rejected, canonical_hash, hashes
from identify.checker.solution import MAX_ENTRIES, MAX_UNKNOWNS, Proved
from identify.checker.steps import run
from identify.checker.verify import open_content
from identify.conditions.witnesses.box import put
from identify.conditions.witnesses.solution_box import NotCertifiedError, SolutionBox
from identify.planting.configuration import is_lifted
from identify.problem.ambiguity import Ambiguity, free_scales
from identify.problem.arrays import ShapeError
from identify.problem.data import check_pair
from identify.problem.refusals import refuse_recovery_only, require_polynomial
from identify.problem.system import KKTSystem
from identify.recovery.solution import Recovery

DOUBLE_ROUNDING = 2.0**-46
"""Default relative error: about ten times the largest rounding error seen in targets that were computed in float64."""


@dataclass(frozen=True, eq=False)
class SolutionCertificate(Certificate):
    """A certificate of kind ``solution``, with the results of its checker: see :func:`identify.certify`.

    Attributes
    ----------
    error_bounds
        For each sample a proved bound on the distance from the given numbers to the solutions in the box, over all targets within the
        stated error, in the units of the inputs.
    is_attained
        Whether one target within the stated error is proved to have an exact solution of all equations: data in the box, taken
        as exact numbers, have this target. Always true if there are as many equations as unknowns.
    deviation
        The equations that were not chosen hold at all these solutions up to this error, relative to the largest number of
        their part of the target; 0 if all were chosen.
    factor
        The factor, below 1, by which Krawczyk's test shrinks the box.
    """

    error_bounds: Float[np.ndarray, " n"]
    is_attained: bool
    deviation: float
    factor: float

    def __repr__(self) -> str:
        claim = self.content["claim"]
        rows = len(self.content["steps"][0]["rows"])
        others = "attained" if self.is_attained else "not excluded"
        return (
            f"SolutionCertificate({claim['samples']} samples to {self.error_bounds.max():.1e} by {rows} equations, for every target within "
            f"{float.fromhex(claim['relative_error']):.1e}; all equations at once: {others})"
        )


def certify(
    system: KKTSystem, found: Recovery | tuple[ArrayLike, ArrayLike], *, relative_error: float | None = None
) -> SolutionCertificate:
    r"""Prove that data close to ``found`` solve (S) exactly, for a target that is known up to an error.

    The target is a box T: each number up to ``relative_error`` times the largest absolute value of its part (the
    first-layer weights, the biases, the second layer); a part that is all zeros is taken as exact. R are as many equations as
    there are unknowns (n (d + C), less one fixed coordinate of each sample if scales are free), chosen for
    well-conditioned derivatives. Krawczyk's test in ball arithmetic proves, for a box Y of data that contains ``found``:

    1. for **every** target in T the equations R have exactly one solution in Y. So Y contains at most one solution of all of (S);
    2. if data in Y have their target in T, they are within ``error_bounds`` of ``found``;
    3. each other equation, enclosed over all these solutions, meets its part of T, and holds up to ``deviation``;
    4. if ``is_attained``, some target in T does have an exact solution of all equations in Y. With more equations than
       unknowns most targets in T do not have one, and 1 to 3 do not say that the exact target does.

    In all these solutions samples are distinct modulo the group, and multipliers are not zero. Margins and closures are not used.

    Parameters
    ----------
    system
        The equations.
    found
        A :class:`identify.Recovery`, or a pair (X, c). Gauss-Newton steps first move them closer to a solution.
    relative_error
        From 0 to 1, dimensionless; by default 2^-46, for targets computed in float64. 2^-24 covers rounding to float32; a
        gradient *computed* in float32 has several times that error.

    Returns
    -------
    SolutionCertificate
        For :func:`identify.verify`, which checks it by separate code; it has already accepted the certificate once.

    Raises
    ------
    NotCertifiedError
        If nothing can be proved: fewer equations than unknowns, derivatives that are singular or nearly so, an error too large for
        Krawczyk's test, or equations that exclude every solution in the box.
    CertificateTooLargeError
        Beyond 256 unknowns or 10^6 entries of the Jacobian.
    ShapeError
        For data of other shapes.

    Notes
    -----
    Cost O(E U^2) ball operations for E equations in U unknowns. Seconds for 100 unknowns.

    References
    ----------
    Krawczyk, *Newton-Algorithmen zur Bestimmung von Nullstellen mit Fehlerschranken* (1969); Rump, *Verification methods* (2010).

    Examples
    --------
    >>> from identify.planting.configuration import Configuration
    >>> system, truth = Configuration(inputs=3, samples=2, width=4, activation="z + z^2 + z^3").plant(seed=0)
    >>> proof = certify(system, (truth.X, truth.c))
    >>> proof.is_attained, bool(proof.error_bounds.max() < 1e-10)
    (True, True)
    """
    refuse_recovery_only("certify", system)
    if not isinstance(system, KKTSystem):
        raise WrongTypeError(f"certify: received {type(system).__name__}, expected a KKTSystem")
    require_polynomial("certify", system.network)
    X, c = _data(system, found)
    error = _error(relative_error)
    _refuse(system, len(X))
    box = SolutionBox(system, X, c, error)
    refusal = "Krawczyk's test does not hold in any box that was tried"
    for radii in box.half_widths():
        content = _content(box, radii)
        examination = open_content(content)
        try:
            tuple(run(examination, content["steps"]))
        except Rejected as reason:
            proved: Proved | None = examination.proved
            if proved is not None:
                raise _excluded(box, proved) from None
            refusal = str(reason)
            continue
        proved = examination.proved
        assert proved is not None
        norms = np.linalg.norm(np.array(proved.bounds)[:, : X.shape[1]], axis=1)
        bounds = np.nextafter(norms * (1 + 1e-12), np.inf)
        return SolutionCertificate(content, bounds, proved.is_attained, proved.deviation, proved.factor)
    raise box.failed(refusal)


def _refuse(system: KKTSystem, samples: int) -> None:
    E, U = system.n_equations, system.n_unknowns(samples) - samples * free_scales(system.degrees)
    if U > MAX_UNKNOWNS or E * U > MAX_ENTRIES:
        raise CertificateTooLargeError(
            f"certify: {E} equations in {U} unknowns are too many; expected at most {MAX_UNKNOWNS} unknowns, "
            f"and {MAX_ENTRIES} entries of the Jacobian"
        )


def _content(box: SolutionBox, radii: np.ndarray) -> dict[str, Any]:
    """The certificate of this box."""
    system, net, d = box.system, box.system.network, box.system.network.n_inputs
    widths = put(np.zeros(box.centre.size), box.free, radii).reshape(box.centre.shape)
    a = system.target_a
    values = {"W": net.W, "A": net.A, "bias": net.bias, "X": box.given[:, :d], "c": box.given[:, d:]}
    values |= {"target_W": system.target_W, "target_bias": system.target_bias, "target_a": None if a is None else np.atleast_2d(a)}
    numbers = {name: hexadecimal(values[name]) for name in NETWORK + DATA + TARGET}
    claim = _claim(box)
    step = {"kind": "solution", "rows": box.rows, "X": hexadecimal(box.centre[:, :d]), "c": hexadecimal(box.centre[:, d:])}
    step |= {"X_radii": hexadecimal(widths[:, :d]), "c_radii": hexadecimal(widths[:, d:])}
    body = {
        "format": FORMAT,
        "version": VERSION,
        "kind": "solution",
        "claim": claim,
        "numbers": numbers,
        "point": None,
        "steps": [step],
    }
    given = [name for name, value in numbers.items() if value is not None]
    return body | {"sha256": hashes(claim, numbers, given) | {"content": canonical_hash(body)}}


def _claim(box: SolutionBox) -> dict[str, Any]:
    system, net = box.system, box.system.network
    return {
        "verdict": "SOLUTION",
        "network": "this network",
        "data": "this data and target",
        "regime": system.regime,
        "inputs": net.n_inputs,
        "samples": len(box.given),
        "width": net.width,
        "outputs": net.n_outputs,
        "bias": net.has_bias,
        "observed": [name for name, seen in zip(("W", "bias", "a"), system.observed, strict=True) if seen],
        "activation": [str(s) for s in net.activation.coefficients],
        "loss": None,
        "labels": None,
        "ambiguity": Ambiguity.of(system.degrees, is_lifted(system.degrees)).group,
        "relative_error": box.error.hex(),
    }


def _excluded(box: SolutionBox, proved: Proved) -> NotCertifiedError:
    """The reason why a box in which the chosen equations have a solution is not a proof."""
    return NotCertifiedError(
        f"{len(proved.missed)} of {box.system.n_equations} equations exclude every solution near these data: there the target is off "
        f"by at least {proved.beyond:.1e}, relative to the largest number of its part, and {box.error:.1e} is allowed. "
        "Data with this target are elsewhere, or the target is less exact than stated: pass a larger relative_error",
        equations=proved.missed,
        beyond=proved.beyond,
    )


def _data(system: KKTSystem, found: Recovery | tuple[ArrayLike, ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    expected = "a Recovery or a pair (X, c)"
    pair = (found.X, found.c) if isinstance(found, Recovery) else found
    if not isinstance(pair, (tuple, list)):  # the rows of an array of two are no pair
        raise ShapeError(f"found: received {type(found).__name__}, expected {expected}")
    return check_pair("found", pair, system.network, expected)


def _error(value: float | None) -> float:
    return DOUBLE_ROUNDING if value is None else number("relative_error", value, below=1, advice="; 2**-24 for rounding to float32")
