"""The checker of certificates: it rebuilds every matrix from the raw numbers by its own formulas, and takes every rank again.

The checker is this module and those that it imports: ``reading``, ``matrices``, ``solved``, ``watch``, ``examination``, ``steps``,
the ten with the steps themselves, and the folder ``networks`` for networks of any activation and depth. They import nothing else of
this package but its errors, so that a fault there cannot hide here. What they trust: Python's integers and fractions, python-flint's ranks
modulo a prime and its balls, and the theorems named beside the steps. The
reasoning, once: every given number is a dyadic rational, hence a residue modulo the odd prime q; a minor that is non-zero
modulo q is non-zero over the rationals; and if network or data are generic, a minor that is non-zero at one point is
non-zero outside a set of measure zero.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any

from identify.base.errors import InputError
from identify.checker.examination import Examination
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.steps import opened
from identify.checker.reading import (
    DATA,
    FORMAT,
    KEYS,
    KINDS,
    MAX_BLANK,
    MAX_BYTES,
    NETWORK,
    TARGET,
    VERSION,
    Claim,
    Rejected,
    canonical_hash,
    double,
    hashes,
    keys,
    need,
    parse,
    plain,
)
from identify.checker.solved import seed_of
from identify.checker.steps import run
from identify.checker.watch import watched


class CertificateFileError(InputError):
    """A certificate file that cannot be opened."""


@dataclass(frozen=True)
class Verification:
    """The answer of :func:`identify.verify`; true where the certificate proves its claim.

    Attributes
    ----------
    is_valid
        Whether every step was re-checked and the steps together prove the claim.
    claim
        The verdict with its scope, in one sentence; empty when it could not be read.
    reasons
        What was re-checked, a sentence for each step; or the one reason for which the certificate was refused.
    network
        SHA-256 of the network in canonical form (:func:`identify.certificates.certify.network_hash`); None for a generic network.
    data
        SHA-256 of the data, or of the target, that the claim is about; None for generic data.
    """

    is_valid: bool
    claim: str
    reasons: tuple[str, ...]
    network: str | None = None
    data: str | None = None

    def __bool__(self) -> bool:
        return self.is_valid

    def to_dict(self) -> dict[str, Any]:
        """The verification as JSON values."""
        return asdict(self) | {"reasons": list(self.reasons)}

    def __str__(self) -> str:
        head = f"{'VALID' if self else 'NOT VALID'}: {self.claim or 'no claim could be read'}"
        hashes = [f"  {name} sha256: {value}" for name, value in (("network", self.network), ("data", self.data)) if value]
        return "\n".join([head, *(f"  - {reason}" for reason in self.reasons), *hashes])


def verify(certificate: Any, *, budget: float | None = None, progress: Callable[[str, float], None] | None = None) -> Verification:
    """Check a certificate from the raw numbers in it, by code that shares nothing with the code that wrote it.

    Parameters
    ----------
    certificate
        A path, the content as a dictionary, or a :class:`identify.Certificate`.
    budget
        Seconds of wall-clock time, above 0; None: no limit.
    progress
        Called with the name and the estimated seconds of each piece of work that takes more than half a second, before it begins.

    Returns
    -------
    Verification
        True if the certificate proves its claim. Content that is not a certificate gives False, with the reason.

    Raises
    ------
    CertificateFileError
        When the file cannot be opened.
    OutOfTimeError
        When it takes longer than the budget: then nothing is said of the certificate.
    InputError
        For a budget that is not a positive number.

    Notes
    -----
    Cost: one elimination modulo a prime for each rank; the largest has N columns, the number of moments, and takes about 4 N^2 bytes and
    N^3 / 2e9 seconds. Jacobians of large certificates come with solutions of equations instead, which take a moment.

    Examples
    --------
    >>> import identify
    >>> report = identify.check(identify.Configuration(inputs=3, samples=3, width=6, activation="z + z^2 + z^3"))
    >>> bool(identify.verify(report.certificate()))
    True
    """
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, (int, float)) or not 0 < budget < inf):
        raise InputError(f"budget: received {budget!r}, expected a positive number of seconds, or None")
    with watched(budget, progress):
        return _verify(certificate)


def _verify(certificate: Any) -> Verification:
    if isinstance(certificate, (str, os.PathLike)):
        certificate = _content(Path(certificate))
    elif hasattr(certificate, "to_dict"):
        certificate = certificate.to_dict()
    claim, named = "", (None, None)
    try:
        content = parse(certificate) if isinstance(certificate, bytes) else certificate
        examination = open_content(content)
        claim, named = examination.claim.sentence, (content["sha256"]["network"], content["sha256"]["data"])
        return Verification(True, claim, tuple(run(examination, content["steps"])), *named)
    except Rejected as reason:
        return Verification(False, claim, (str(reason),), *named)
    except MemoryError:
        return Verification(False, claim, ("too large for the memory that is left to this process",), *named)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        return Verification(False, claim, (f"malformed: {type(error).__name__}: {error}"[:200],), *named)


def _content(path: Path) -> bytes:
    """The bytes of a regular file; of one that is too large, or no JSON object, only so many that it is refused."""
    try:
        # a pipe would be waited for without end
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("not a regular file")
        with path.open("rb") as file:
            head = file.read(MAX_BLANK)
            return head + file.read(MAX_BYTES) if head.lstrip()[:1] == b"{" else head
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CertificateFileError(f"{path}: cannot be read ({reason}); expected a certificate file") from None


def open_content(content: Any) -> Examination | NetworkExamination:
    """The statement of a certificate, once everything about it is as expected and the hashes are right."""
    plain(content)
    keys("certificate", content, KEYS)
    need(content["format"] == FORMAT, f"format: expected {FORMAT}")
    need(type(content["version"]) is int and content["version"] == VERSION, f"version: this checker reads version {VERSION} only")
    need(content["kind"] in KINDS, f"kind: expected one of {', '.join(KINDS)}")
    keys("sha256", content["sha256"], ("network", "data", "content"))
    body = {name: value for name, value in content.items() if name != "sha256"}
    need(content["sha256"]["content"] == canonical_hash(body), "sha256: the content does not match the hash; something was changed")
    if content["kind"] == "network":
        return opened(content)
    claim = Claim(content["claim"])
    need((content["kind"] == "solution") == (claim.verdict == "SOLUTION"), f"kind: {content['kind']} does not go with {claim.verdict}")
    keys("numbers", content["numbers"], NETWORK + DATA + TARGET)
    numbers = {name: claim.array(name, value, name in claim.given, double) for name, value in content["numbers"].items()}
    for what, expected in hashes(content["claim"], content["numbers"], claim.given).items():
        need(content["sha256"][what] == expected, f"sha256: the {what} {'does' if what == 'network' else 'do'} not match the hash")
    return Examination(claim, numbers, content["point"], seed_of(body))
