"""identify: is a network's training data determined by its parameters or gradients? Prove it, and recover it.

The public names are loaded on first use, so that importing the package does not import JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from identify import attacks as attacks
    from identify.activation import Activation, ActivationError
    from identify.ambiguity import Ambiguity, Match
    from identify.attacks.reconstruct import reconstruct
    from identify.attacks.runs import Reconstruction, Splitting
    from identify.auditing.audit import audit
    from identify.auditing.result import Audit
    from identify.certificates.certify import Certificate, CertificateTooLargeError
    from identify.certificates.certify_solution import SolutionCertificate, certify
    from identify.certificates.verify import CertificateFileError, Verification, verify
    from identify.checkpoints import ProblemFileError
    from identify.conditions.check import InconsistentDataError, check
    from identify.conditions.thresholds import Thresholds, largest_identifiable
    from identify.conditions.witnesses.solution_box import NotCertifiedError
    from identify.configuration import Configuration, Truth
    from identify.defence.advise import defences
    from identify.defence.curves import DefenceCurve, Defences
    from identify.eigenvectors import PlantingError
    from identify.io import Problem, load_problem, save_problem
    from identify.kkt_points import KKTPoint, max_margin_point, weight_decay_point
    from identify.limits import TooLargeError
    from identify.network import ShapeError, TwoLayerNetwork
    from identify.recovery.recover import recover
    from identify.recovery.solution import Recovery, RecoveryError
    from identify.report.verdict import Condition, Report, Scope, Verdict, Witness
    from identify.stationarity import KKTSystem
    from identify.sweeps.constraints import GridError
    from identify.sweeps.results import Sweep
    from identify.sweeps.store import StoreError
    from identify.sweeps.sweep import sweep
    from identify.sweeps.workers import SweepError
    from identify.symbolic.system import SymbolicSystem, kkt_equations
    from identify.theory.registry import UnknownTheoremError, theorems
    from identify.theory.theorem import Theorem
    from identify.theory.trials import TheoremTrials

_HOME = {
    "Activation": "activation",
    "ActivationError": "activation",
    "Ambiguity": "ambiguity",
    "Audit": "auditing.result",
    "Certificate": "certificates.certify",
    "CertificateFileError": "certificates.verify",
    "CertificateTooLargeError": "certificates.certify",
    "Condition": "report.verdict",
    "Configuration": "configuration",
    "DefenceCurve": "defence.curves",
    "Defences": "defence.curves",
    "GridError": "sweeps.constraints",
    "InconsistentDataError": "conditions.check",
    "KKTPoint": "kkt_points",
    "KKTSystem": "stationarity",
    "Match": "ambiguity",
    "NotCertifiedError": "conditions.witnesses.solution_box",
    "PlantingError": "eigenvectors",
    "Problem": "io",
    "ProblemFileError": "checkpoints",
    "Reconstruction": "attacks.runs",
    "Recovery": "recovery.solution",
    "RecoveryError": "recovery.solution",
    "Report": "report.verdict",
    "Scope": "report.verdict",
    "ShapeError": "network",
    "SolutionCertificate": "certificates.certify_solution",
    "Splitting": "attacks.runs",
    "StoreError": "sweeps.store",
    "Sweep": "sweeps.results",
    "SweepError": "sweeps.workers",
    "SymbolicSystem": "symbolic.system",
    "Theorem": "theory.theorem",
    "TheoremTrials": "theory.trials",
    "Thresholds": "conditions.thresholds",
    "TooLargeError": "limits",
    "Truth": "configuration",
    "TwoLayerNetwork": "network",
    "UnknownTheoremError": "theory.registry",
    "Verdict": "report.verdict",
    "Verification": "certificates.verify",
    "Witness": "report.verdict",
    "audit": "auditing.audit",
    "certify": "certificates.certify_solution",
    "check": "conditions.check",
    "defences": "defence.advise",
    "kkt_equations": "symbolic.system",
    "largest_identifiable": "conditions.thresholds",
    "load_problem": "io",
    "max_margin_point": "kkt_points",
    "reconstruct": "attacks.reconstruct",
    "recover": "recovery.recover",
    "save_problem": "io",
    "sweep": "sweeps.sweep",
    "theorems": "theory.registry",
    "verify": "certificates.verify",
    "weight_decay_point": "kkt_points",
}
__all__ = [
    "Activation",
    "ActivationError",
    "Ambiguity",
    "Audit",
    "Certificate",
    "CertificateFileError",
    "CertificateTooLargeError",
    "Condition",
    "Configuration",
    "DefenceCurve",
    "Defences",
    "GridError",
    "InconsistentDataError",
    "KKTPoint",
    "KKTSystem",
    "Match",
    "NotCertifiedError",
    "PlantingError",
    "Problem",
    "ProblemFileError",
    "Reconstruction",
    "Recovery",
    "RecoveryError",
    "Report",
    "Scope",
    "ShapeError",
    "SolutionCertificate",
    "Splitting",
    "StoreError",
    "Sweep",
    "SweepError",
    "SymbolicSystem",
    "Theorem",
    "TheoremTrials",
    "Thresholds",
    "TooLargeError",
    "Truth",
    "TwoLayerNetwork",
    "UnknownTheoremError",
    "Verdict",
    "Verification",
    "Witness",
    "audit",
    "certify",
    "check",
    "defences",
    "kkt_equations",
    "largest_identifiable",
    "load_problem",
    "max_margin_point",
    "reconstruct",
    "recover",
    "save_problem",
    "sweep",
    "theorems",
    "verify",
    "weight_decay_point",
]


def __getattr__(name: str) -> Any:
    if name == "attacks":
        return import_module("identify.attacks")
    if name not in _HOME:
        raise AttributeError(f"module 'identify' has no attribute {name!r}")
    value = getattr(import_module(f"identify.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
