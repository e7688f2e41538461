"""Writing certificates: a proved report as a file that :func:`identify.verify` checks without trusting its writer.

All random numbers are drawn again here, modulo one prime and at one point for all steps, so that a step is little
more than the numbers of the equations whose minor is not zero. A certificate is returned only after the checker has accepted it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identify.base.errors import InputError, InternalError, OutOfTimeError
from identify.base.files import replacing
from identify.base.limits import LEAST, about, check_limits, is_affordable, limit_time, refuse_late, seconds_left
from identify.certificates.draft import Draft
from identify.certificates.lacking import Lacking, NoCertificateError
from identify.certificates.networks import NetworkDraft, network_routes, network_seconds
from identify.certificates.numbers import hexadecimal, written, written_network
from identify.certificates.routes import RESTS_ON, Route, route_seconds, routes
from identify.checker.reading import Rejected, TooLarge, Unclear, canonical_hash
from identify.checker.steps import run
from identify.checker.verify import CertificateFileError, open_content
from identify.checker.watch import WORTH_TELLING, watched
from identify.conditions.check import check
from identify.conditions.heads import HeadQuestion
from identify.conditions.judgement import SINGLE
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.setting import Setting
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
        raise InputError("certificate: the verdict is UNDECIDED, so nothing is proved; report.reasons names the missing conditions")
    question: Setting | NetworkQuestion | HeadQuestion | None = report.question
    if isinstance(question, HeadQuestion):
        raise NoCertificateError(Lacking.HEAD, tuple(c.name for c in report.conditions if c.is_proved))
    if isinstance(question, NetworkQuestion) and question.is_partial:
        raise NoCertificateError(Lacking.PARTIAL, tuple(c.name for c in report.conditions if c.is_proved))
    if question is None:
        raise InputError("certificate: this report does not carry its question; expected one that identify.check returned")
    system = question.system
    if system is not None and system.labels is not None and system.regime != "max-margin":
        raise InputError("certificate: the system has labels, but no margins are in force in its regime; expected labels=None")
    seconds = certificate_seconds(report)

    def tell(name: str, seconds: float) -> None:
        if progress is not None:
            progress(f"{name} ({about(seconds)})")

    with limit_time(budget):
        if not is_affordable(seconds):  # another proof of the verdict may be
            seconds = min(certificate_seconds(report, route) for route in routes_of(report))
        refuse_late(seconds, "the certificate")
        if seconds > WORTH_TELLING:
            tell("writing the certificate", seconds)
        with watched(seconds_left(), lambda name, seconds: tell(f"checking it: {name}", seconds)):
            return _accepted(report, question)


def _accepted(report: Report, question: Setting | NetworkQuestion) -> Certificate:
    """By the first proof of the verdict that the checker takes, of those for which there is time.

    If it takes none of those in the report, the conditions that were left out once the question was decided are evaluated, too.
    """
    refusals = list[CertificateTooLargeError | NoCertificateError]()
    tried = set[str]()
    for source in (lambda: report, lambda: _with_all_conditions(report, question)):
        found = source()
        for route in routes_of(found):
            if route in tried or not is_affordable(certificate_seconds(found, route)):
                continue
            tried.add(route)
            try:
                return _by_route(found, question, route)
            except (CertificateTooLargeError, NoCertificateError) as error:
                refusals.append(error)
    refuse_late(certificate_seconds(report), "the certificate")
    raise refusals[0] if refusals else InternalError("none of the conditions of this report proves its verdict")


def _with_all_conditions(report: Report, question: Setting | NetworkQuestion) -> Report:
    """The report with every condition that may prove uniqueness by itself; the same one if no other could, or not in time."""
    if report.verdict is not Verdict.UNIQUE or question.data is None or question.system is None:
        return report
    left = seconds_left()
    left_out = SINGLE if isinstance(question, NetworkQuestion) else tuple(str(route) for route in RESTS_ON if route is not Route.TANGENTS)
    try:
        found = check(
            question.system, data=question.data, seed=report.seed, budget=None if left is None else max(left, LEAST), conditions=left_out
        )
    except OutOfTimeError:
        return report
    return found if found.verdict is report.verdict else report


def _by_route(report: Report, question: Setting | NetworkQuestion, route: str) -> Certificate:
    """The first draft that the checker accepts."""
    reason: Rejected | None = None
    for attempt in range(ATTEMPTS):
        try:
            if isinstance(question, NetworkQuestion):
                content = NetworkDraft(report, question, attempt, route).content()
            else:
                content = Draft(report, question, attempt, Route(route)).content()
            tuple(run(open_content(content), content["steps"]))
            return Certificate(content)
        except TooLarge as error:
            raise CertificateTooLargeError(f"certificate: {error}; expected a smaller problem, or the report as it is") from None
        except Rejected as error:
            reason = error
    if isinstance(reason, Unclear):
        raise NoCertificateError(Lacking.KINK, (route,))
    raise InternalError(f"the checker refuses this proof ({reason})")


def routes_of(report: Report) -> Sequence[str]:
    """The conditions of this report on which a certificate may rest, the preferred one first."""
    return network_routes(report) if isinstance(report.question, NetworkQuestion) else routes(report)


def certificate_seconds(report: Report, route: str | None = None) -> float:
    """An estimate of the CPU time of :func:`certificate`, with the check of it: of its largest matrix.

    ``route``: one of :func:`routes_of`, by default the preferred one.
    """
    question: Setting | NetworkQuestion | None = report.question
    if report.verdict is Verdict.UNDECIDED or question is None:
        return 0.0
    route = next(iter(routes_of(report)), None) if route is None else route
    if route is None:
        return 0.0
    if isinstance(question, NetworkQuestion):
        return network_seconds(report, question, route)
    return route_seconds(report, question, Route(route))
