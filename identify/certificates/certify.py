"""Writing certificates: a proved report as a file that :func:`identify.verify` checks without trusting its writer.

All random numbers are drawn again here, modulo one prime and at one point for all steps, so that a step is little
more than the numbers of the equations whose minor is not zero. A certificate is returned only after the checker has accepted it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identify.base.errors import InputError, InternalError
from identify.base.files import replacing
from identify.base.limits import about, check_limits, limit_time, refuse_late, seconds_left
from identify.certificates.draft import PIVOT_LIMIT, WITNESSES, Draft, by_tangents, hexadecimal, largest_jacobian
from identify.certificates.lacking import Lacking, NoCertificateError
from identify.certificates.networks import NetworkDraft, network_seconds, written, written_network
from identify.checker.matrices import rank_seconds
from identify.checker.reading import Rejected, TooLarge, Unclear, canonical_hash
from identify.checker.steps import run
from identify.checker.verify import CertificateFileError, open_content
from identify.checker.watch import WORTH_TELLING, watched
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.setting import Setting
from identify.exact.modular import rank_seconds as exact_rank_seconds
from identify.problem.network import Network
from identify.problem.refusals import is_polynomial
from identify.problem.verdict import Report, Verdict

ATTEMPTS = 6
"""Number of primes and points to try; a random one fails with probability about the size of the matrices over 2^30."""


@dataclass(frozen=True, eq=False)
class Certificate:
    """A proof as JSON values; :meth:`identify.Report.certificate` returns it and :func:`identify.verify` checks it."""

    content: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """A copy of the content; its fields are described under *Certificates* in the documentation."""
        return copy.deepcopy(self.content)

    def to_json(self) -> str:
        """The content as a JSON text; the same report gives the same text."""
        return json.dumps(self.content, indent=1)

    def save(self, path: str | Path) -> Path:
        """Write the certificate; an existing file is replaced in one step, or stays unchanged.

        Raises
        ------
        CertificateFileError
            When the file cannot be written.
        """
        path = Path(path)
        try:
            with replacing(path) as temporary:
                temporary.write_text(self.to_json() + "\n", encoding="utf-8")
        except OSError as error:
            raise CertificateFileError(
                f"{path}: cannot be written ({error.strerror}); choose a folder that exists, is writable and has room"
            ) from None
        return path

    def __repr__(self) -> str:
        claim, steps = self.content["claim"], ", ".join(step["kind"] for step in self.content["steps"])
        return f"Certificate({claim['verdict']}: {claim['network']}, {claim['data']}; steps {steps})"


def network_hash(network: Network) -> str:
    """SHA-256 of a network in canonical form, which ``Verification.network`` gives for the network of a certificate.

    Examples
    --------
    >>> from identify.problem.network import TwoLayerNetwork
    >>> network_hash(TwoLayerNetwork([[1.0, 2.0]], [1.0], "z^3"))[:16]
    'abb0838d3c3e7868'
    >>> network_hash(TwoLayerNetwork([[1.0, 2.0]], [1.0], "relu"))[:16]
    '178b8a369406cd43'
    """
    if not is_polynomial(network):
        return canonical_hash(written_network(network) | {"activations": [written(sigma) for sigma in network.activations]})
    parts = {"W": hexadecimal(network.W), "A": hexadecimal(network.A), "bias": hexadecimal(network.bias)}
    return canonical_hash(parts | {"activation": [str(s) for s in network.activation.coefficients]})


class CertificateTooLargeError(InputError):
    """The proof is so large that the checker would refuse it."""


def certificate(report: Report, *, budget: float | None = None, progress: Callable[[str], None] | None = None) -> Certificate:
    """The certificate of a proved report; see :meth:`identify.Report.certificate`."""
    check_limits(budget)
    if report.verdict is Verdict.UNDECIDED:
        raise InputError("certificate: the verdict is UNDECIDED, so nothing is proved; report.reasons says what is missing")
    question: Setting | NetworkQuestion | None = report.question
    if question is None:
        raise InputError("certificate: this report does not carry its question; expected one that identify.check returned")
    system = question.system
    if system is not None and system.labels is not None and system.regime != "max-margin":
        raise InputError("certificate: the system has labels, but no margins are in force in its regime; expected labels=None")
    if isinstance(question, Setting):
        _refuse_without_steps(report)
    seconds = certificate_seconds(report)

    def tell(name: str, seconds: float) -> None:
        if progress is not None:
            progress(f"{name} ({about(seconds)})")

    with limit_time(budget):
        refuse_late(seconds, "the certificate")
        if seconds > WORTH_TELLING:
            tell("writing the certificate", seconds)
        with watched(seconds_left(), lambda name, seconds: tell(f"checking it: {name}", seconds)):
            return _accepted(report, question)


def _refuse_without_steps(report: Report) -> None:
    """Raise NoCertificateError for a proof by one of the conditions that have no steps."""
    if report.witness is not None and report.witness.kind not in WITNESSES:
        raise NoCertificateError(Lacking.STEPS, (report.witness.kind,))


def _accepted(report: Report, question: Setting | NetworkQuestion) -> Certificate:
    """The first draft that the checker accepts."""
    reason: Rejected | None = None
    for attempt in range(ATTEMPTS):
        try:
            if isinstance(question, NetworkQuestion):
                content = NetworkDraft(report, question, attempt).content()
            else:
                content = Draft(report, question, attempt).content()
            tuple(run(open_content(content), content["steps"]))
            return Certificate(content)
        except TooLarge as error:
            raise CertificateTooLargeError(f"certificate: {error}; expected a smaller problem, or the report as it is") from None
        except Rejected as error:
            reason = error
    if isinstance(reason, Unclear):
        raise NoCertificateError(Lacking.KINK, tuple(c.name for c in report.conditions if c.is_proved))
    raise InternalError(f"the checker refuses this proof ({reason})")


def certificate_seconds(report: Report) -> float:
    """An estimate of the CPU time of :func:`certificate`, with the check of it: of its largest matrix."""
    setting: Setting | NetworkQuestion | None = report.question
    if report.verdict is Verdict.UNDECIDED or setting is None:
        return 0.0
    if isinstance(setting, NetworkQuestion):
        return network_seconds(report, setting)
    needed = largest_jacobian(report)
    if report.verdict is Verdict.NOT_UNIQUE:
        return _family_seconds(report, setting)
    if needed > PIVOT_LIMIT and by_tangents(report):
        return exact_rank_seconds(needed, needed)  # with its factors, modulo a small prime
    moments = next((int(c.evidence["needed"]) for c in report.conditions if c.name == "interpolation" and c.is_proved), 0)
    size = needed if by_tangents(report) else moments
    return rank_seconds(size, size)


def _family_seconds(report: Report, setting: Setting) -> float:
    """Of a rank at the data, and at random points where no count bounds it; nothing for other families."""
    ranks = next((c.evidence for c in report.conditions if c.name == "local" and "rank" in c.evidence), None)
    counted = setting.scope.data == "generic data" and report["count"].evidence["excess"] > 0
    if ranks is None or counted or report.witness is None or report.witness.kind != "fibre":
        return 0.0
    seconds = rank_seconds(ranks["rank"], ranks["unknowns"])
    return seconds if ranks["rank"] == setting.instance.image_bound else seconds + 2 * rank_seconds(ranks["equations"], ranks["unknowns"])
