"""``certify``: a proof that data solve (S) near given numbers, for targets known up to rounding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb, ctx
from jaxtyping import Float
from scipy.linalg import qr

from identify.ambiguity import Ambiguity
from identify.certificates.certify import Certificate, CertificateTooLargeError
from identify.certificates.draft import hexadecimal
from identify.certificates.reading import DATA, FORMAT, NETWORK, TARGET, VERSION, Rejected, canonical_hash, hashes
from identify.certificates.solution import BITS, MAX_ENTRIES, MAX_UNKNOWNS, Proved
from identify.certificates.steps import run
from identify.certificates.verify import open_content
from identify.conditions.witnesses.box import free_entries, put
from identify.conditions.witnesses.equations import Equations, Frame, balls
from identify.conditions.witnesses.krawczyk import image
from identify.configuration import is_lifted
from identify.network import ShapeError
from identify.recovery.solution import Recovery
from identify.stationarity import KKTSystem, check_data

DOUBLE_ROUNDING = 2.0**-46
"""Default relative error: about ten times the largest rounding error seen in targets that were computed in doubles."""
SINGULAR = 1e-13
"""Ratio of pivots, rows and columns scaled, below which the derivatives count as singular."""
NEWTON_STEPS = 12
INFLATIONS = 3
LARGEST_FACTOR = 2.0**40


class NotCertifiedError(ValueError):
    """No solution could be proved near these data. ``evidence`` holds the numbers behind the message."""

    def __init__(self, message: str, **evidence: Any):
        super().__init__(f"certify: {message}")
        self.evidence = evidence


@dataclass(frozen=True, eq=False)
class SolutionCertificate(Certificate):
    """A certificate of kind ``solution``, and what its checker found: see :func:`identify.certify`.

    Attributes
    ----------
    error_bounds
        For each sample a proved bound on the distance from the given numbers to the solutions in the box, over all targets within the
        stated error, in the units of the inputs.
    is_attained
        Whether one target within the stated error is proved to have an exact solution in all equations: data in the box, taken
        as the exact numbers that they are, give it. Always so when there are as many equations as unknowns.
    deviation
        The equations that were not chosen hold at all these solutions up to this error, relative to the largest number of
        their part of the target; 0 without any.
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


def certify(system: KKTSystem, found: Recovery | tuple, *, relative_error: float | None = None) -> SolutionCertificate:
    r"""Prove that data close to ``found`` solve (S) exactly, for a target that is known up to an error.

    The target is a box T: each number up to ``relative_error`` times the largest absolute value of its part (the
    first-layer weights, the biases, the second layer); a part that is all zeros is taken as exact. R are as many equations as
    there are unknowns (n (d + C), less one coordinate of each sample, held, where scales are free), chosen for the
    condition of their derivatives. Proved by Krawczyk's test in ball arithmetic, for a box Y of data that contains ``found``:

    1. for **every** target in T the equations R have exactly one solution in Y. So Y holds at most one solution of all of (S);
    2. wherever data in Y have their target in T, they are within ``error_bounds`` of ``found``;
    3. each other equation, enclosed over all these solutions, meets its part of T, and holds up to ``deviation``;
    4. if ``is_attained``, some target in T does have an exact solution of all equations in Y. With more equations than
       unknowns most targets in T have none, and 1 to 3 do not say that the exact one has.

    Samples are distinct modulo the group, and multipliers are not zero, in all these solutions. Margins and closures are no part of it.

    Parameters
    ----------
    system
        The equations.
    found
        A :class:`identify.Recovery`, or a pair (X, c). Not quite at a solution, they are first improved by Gauss-Newton steps.
    relative_error
        From 0 to 1, dimensionless; by default 2^-46, for targets computed in doubles. 2^-24 covers rounding to float32; a
        gradient *computed* in float32 carries several times that.

    Returns
    -------
    SolutionCertificate
        For :func:`identify.verify`, which checks it by separate code; it was accepted once already.

    Raises
    ------
    NotCertifiedError
        When nothing is proved: fewer equations than unknowns, derivatives that are singular or close to it, an error too large for
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
    >>> from identify.configuration import Configuration
    >>> system, truth = Configuration(inputs=3, samples=2, width=4, activation="z + z^2 + z^3").plant(seed=0)
    >>> proof = certify(system, (truth.X, truth.c))
    >>> proof.is_attained, bool(proof.error_bounds.max() < 1e-10)
    (True, True)
    """
    if not isinstance(system, KKTSystem):
        raise TypeError(f"certify: received {type(system).__name__}, expected a KKTSystem")
    X, c = _data(system, found)
    error = _error(relative_error)
    search = _Search(system, X, c, error)
    refusal = "Krawczyk's test does not hold in any box that was tried"
    for radii in search.boxes():
        content = search.content(radii)
        examination = open_content(content)
        try:
            tuple(run(examination, content["steps"]))
        except Rejected as reason:
            proved: Proved | None = examination.proved
            if proved is not None:
                raise search.excluded(proved) from None
            refusal = str(reason)
            continue
        proved = examination.proved
        assert proved is not None
        norms = np.linalg.norm(np.array(proved.bounds)[:, : X.shape[1]], axis=1)
        bounds = np.nextafter(norms * (1 + 1e-12), np.inf)
        return SolutionCertificate(content, bounds, proved.is_attained, proved.deviation, proved.factor)
    raise search.failed(refusal)


class _Search:
    """The centre, the rows and the box, in floats, and Krawczyk's test of the box. Nothing here is trusted."""

    def __init__(self, system: KKTSystem, X: np.ndarray, c: np.ndarray, error: float):
        self.system, self.error, self.given = system, error, np.hstack([X, c])
        n, d = X.shape
        self.has_free_scale = len(system.degrees) == 1
        self.free = free_entries(X, self.given.shape[1], self.has_free_scale)
        self.unknowns = int(self.free.sum())
        self._refuse()
        self.scales = np.concatenate([np.full(part.size, np.abs(part).max()) for part in _parts(system)])
        self.weights = 1 / np.where(self.scales > 0, self.scales, self.scales.max())
        self.sizes = np.hstack([np.full(X.shape, np.abs(X).max()), np.full(c.shape, np.abs(c).max())]).ravel()[self.free]
        if not self.sizes.all():
            raise NotCertifiedError("every sample, or every multiplier, is zero; expected data with this target")
        frame = Frame(np.zeros(d, dtype=int), np.eye(d, dtype=int))
        self.frame, self.equations = frame, Equations.floats(system, frame)
        with np.errstate(all="ignore"):  # what overflows is not finite, and is refused below
            self.centre = self._improved()
            self.rows = self._chosen_rows()
            J = self._jacobian(self.centre)[self.rows]
            self.base = np.abs(np.linalg.inv(J)) @ (self.error * self.scales + np.abs(self._residual(self.centre)))[self.rows]
        moved = np.abs(self.given - self.centre).ravel()[self.free]
        self.base = np.maximum(self.base, 1.01 * moved) + 2.0**-50 * self.sizes
        self.spread, self.growth = float((self.base / self.sizes).max()), np.inf

    def _refuse(self) -> None:
        E, U = self.system.n_equations, self.unknowns
        if U > MAX_UNKNOWNS or E * U > MAX_ENTRIES:
            raise CertificateTooLargeError(
                f"certify: {E} equations in {U} unknowns are too many; expected at most {MAX_UNKNOWNS} unknowns, "
                f"and {MAX_ENTRIES} entries of the Jacobian"
            )
        if E < U:
            raise NotCertifiedError(
                f"{E} equations in {U} unknowns: solutions lie in families; expected at least as many equations", equations=E, unknowns=U
            )

    def _residual(self, point: np.ndarray) -> np.ndarray:
        return self.equations.value(point) - self.system.target

    def _jacobian(self, point: np.ndarray) -> np.ndarray:
        return self.equations.jacobian(point)[:, self.free]

    def _improved(self) -> np.ndarray:
        """The given data if their target is within the error, or else after Gauss-Newton steps for as long as these help."""
        point = self.given
        residual = self.weights * self._residual(point)
        for _ in range(NEWTON_STEPS):
            if np.abs(residual).max() <= self.error / 2:
                break
            J = self.weights[:, None] * self._jacobian(point) * self.sizes
            if not (np.isfinite(J).all() and np.isfinite(residual).all()):
                raise NotCertifiedError("these data, or their target, are too large for doubles; rescale the inputs")
            step = self.sizes * np.linalg.lstsq(J, -residual, rcond=None)[0]
            trial = put(point.ravel(), self.free, point.ravel()[self.free] + step).reshape(point.shape)
            new = self.weights * self._residual(trial)
            if not np.linalg.norm(new) < np.linalg.norm(residual):
                break
            point, residual = trial, new
        return point

    def _chosen_rows(self) -> list[int]:
        """As many equations as unknowns, by pivoted QR of the derivatives, rows and columns scaled, then of largest volume nearby."""
        J = self.weights[:, None] * self._jacobian(self.centre) * self.sizes
        if not np.isfinite(J).all():
            raise NotCertifiedError("the derivatives at these data are too large for doubles; rescale the inputs")
        R, order = qr(J.T, mode="r", pivoting=True)
        pivots = np.abs(np.diag(R))
        if not pivots[-1] > SINGULAR * pivots[0]:
            rank = int((pivots > SINGULAR * pivots[0]).sum())
            raise NotCertifiedError(
                f"the derivatives at these data are singular, or close to it (rank {rank} of {self.unknowns}): solutions near them "
                "need not be isolated; samples that coincide or are parallel, and multipliers near zero, do this; "
                "check(system, data=(X, c)) says more",
                rank=rank,
                unknowns=self.unknowns,
            )
        return sorted(_larger_volume(J, order[: self.unknowns]).tolist())

    def boxes(self) -> Iterator[np.ndarray]:
        """Half-widths of boxes in which the test holds, the largest first: multiples of ``base``, the first-order error.

        K is within (1 + growth factor^2) base for the box factor base, which contains it while factor stays below 1/growth.
        """
        with ctx.workprec(BITS):
            for _ in range(INFLATIONS):
                moved = self._image(2 * self.base)
                if moved is None:
                    return
                growth = max(float(((moved - self.base) / self.base).max()) / 4, 1 / LARGEST_FACTOR)
                self.growth = min(self.growth, growth)
                yield from self._multiples(growth)
                self.base = np.maximum(self.base, moved)  # what the entries with the largest errors do to the others, to second order

    def _multiples(self, growth: float) -> Iterator[np.ndarray]:
        """Multiples of ``base`` in which the test holds."""
        for factor in sorted({0.5 / growth, 0.1 / growth, growth**-0.5, 2.0}, reverse=True) if growth < 0.5 else ():
            radii = factor * self.base
            moved = self._image(radii) if factor >= 1.5 else None
            if moved is not None and (moved < 0.9 * radii).all():
                yield radii

    def _image(self, radii: np.ndarray) -> np.ndarray | None:
        """How far Krawczyk's image of this box reaches from its centre, rounded; None where it is not finite."""
        equations = Equations.balls(self.system, self.frame)
        start, rows = balls(self.centre).ravel(), self.rows
        errors = self.error * self.scales[rows]
        target = np.array([arb(t, e) for t, e in zip(self.system.target[rows].tolist(), errors.tolist(), strict=True)])

        def point(v: list[arb]) -> np.ndarray:
            return put(start, self.free, v).reshape(self.centre.shape)

        moved = image(
            lambda v: equations.value(point(v))[rows] - target,
            lambda v: equations.jacobian(point(v))[rows][:, self.free],
            start[self.free].tolist(),
            [arb(r) for r in radii.tolist()],
        )
        if moved is None:
            return None
        reach = np.array([float((k - y).abs_upper()) for k, y in zip(moved, start[self.free], strict=True)])
        return reach if np.isfinite(reach).all() else None

    def content(self, radii: np.ndarray) -> dict[str, Any]:
        """The certificate of this box."""
        system, net, d = self.system, self.system.network, self.system.network.n_inputs
        widths = put(np.zeros(self.centre.size), self.free, radii).reshape(self.centre.shape)
        a = system.target_a
        values = {"W": net.W, "A": net.A, "bias": net.bias, "X": self.given[:, :d], "c": self.given[:, d:]}
        values |= {"target_W": system.target_W, "target_bias": system.target_bias, "target_a": None if a is None else np.atleast_2d(a)}
        numbers = {name: hexadecimal(values[name]) for name in NETWORK + DATA + TARGET}
        claim = self._claim()
        step = {"kind": "solution", "rows": self.rows, "X": hexadecimal(self.centre[:, :d]), "c": hexadecimal(self.centre[:, d:])}
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

    def _claim(self) -> dict[str, Any]:
        system, net = self.system, self.system.network
        return {
            "verdict": "SOLUTION",
            "network": "this network",
            "data": "this data and target",
            "regime": system.regime,
            "inputs": net.n_inputs,
            "samples": len(self.given),
            "width": net.width,
            "outputs": net.n_outputs,
            "bias": net.has_bias,
            "observed": [name for name, seen in zip(("W", "bias", "a"), system.observed, strict=True) if seen],
            "activation": [str(s) for s in net.activation.coefficients],
            "loss": None,
            "labels": None,
            "ambiguity": Ambiguity.of(system.degrees, is_lifted(system.degrees)).group,
            "relative_error": self.error.hex(),
        }

    def excluded(self, proved: Proved) -> NotCertifiedError:
        """Why a box in which the chosen equations have a solution is no proof."""
        return NotCertifiedError(
            f"{len(proved.missed)} of {self.system.n_equations} equations exclude every solution near these data: there the target is off "
            f"by at least {proved.beyond:.1e}, relative to the largest number of its part, and {self.error:.1e} is allowed. "
            "Data with this target are elsewhere, or the target is less exact than stated: pass a larger relative_error",
            equations=proved.missed,
            beyond=proved.beyond,
        )

    def failed(self, reason: str) -> NotCertifiedError:
        """Why no box was found. To first order the derivatives change in proportion to the error."""
        off = float(np.abs(self.weights * self._residual(self.centre)).max())
        evidence = {"spread": self.spread, "growth": self.growth, "residual": off}
        why = (
            f"{reason}; to first order solutions lie within {self.spread:.1e} of the size of the data, and over such a box the derivatives "
            f"change by {self.growth:.1e} of themselves, where 0.25 is allowed. "
        )
        if off > 10 * self.error:
            why += f"These data leave a relative residual of {off:.1e}: recover them more exactly, or with the right number of samples"
        else:
            why += (
                f"The target is not exact enough: with a relative_error of about {0.2 * self.error / self.growth:.1e} in place of "
                f"{self.error:.1e} it would be; if it is no better, take more neurons, or fewer samples"
            )
        return NotCertifiedError(why, **evidence)


def _larger_volume(J: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Exchange single rows while that enlarges the determinant (Goreinov et al. 2010): the other rows then are small combinations."""
    rows = rows.copy()
    for _ in range(2 * len(rows)):
        combinations = np.linalg.solve(J[rows].T, J.T).T
        into, out = np.unravel_index(np.abs(combinations).argmax(), combinations.shape)
        if not abs(combinations[into, out]) > 1.05:
            break
        rows[out] = into
    return rows


def _parts(system: KKTSystem) -> list[np.ndarray]:
    return [part for part in (system.target_W, system.target_bias, system.target_a) if part is not None]


def _data(system: KKTSystem, found: Recovery | tuple) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(found, Recovery):
        found = found.X, found.c
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise ShapeError(f"found: received {type(found).__name__}, expected a Recovery or a pair (X, c)")
    return check_data(*found, system.network.n_inputs, system.network.n_outputs)


def _error(value: float | None) -> float:
    if value is None:
        return DOUBLE_ROUNDING
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or not 0 <= value < 1:
        raise ValueError(f"relative_error: received {value!r}, expected a number from 0 to 1, below 1; 2**-24 for rounding to float32")
    return float(value)
