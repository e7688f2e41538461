"""identify: is a network's training data determined by its parameters or gradients? Prove it, and recover it.

The public names are loaded on first use, so that importing the package does not import JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
"""The version of the distribution kkt-identify; pyproject.toml and CITATION.cff have it from here."""

if TYPE_CHECKING:
    from identify import attacks as attacks
    from identify.attacks.reconstruct import reconstruct
    from identify.attacks.runs import Reconstruction, Splitting
    from identify.auditing.audit import audit
    from identify.auditing.result import Audit
    from identify.base.errors import IdentifyError, InputError
    from identify.base.limits import OutOfTimeError, TooLargeError
    from identify.certificates.certify import Certificate, CertificateTooLargeError
    from identify.certificates.certify_solution import SolutionCertificate, certify
    from identify.certificates.lacking import NoCertificateError
    from identify.checker.verify import CertificateFileError, Verification, verify
    from identify.checkpoints import ProblemFileError
    from identify.checkpoints.problems import Problem, load_problem, save_problem
    from identify.conditions.check import InconsistentDataError, check
    from identify.conditions.exposed import exposed
    from identify.conditions.thresholds import Thresholds, largest_identifiable
    from identify.conditions.witnesses.solution_box import NotCertifiedError
    from identify.defence.advise import defences
    from identify.defence.curves import DefenceCurve, Defences
    from identify.planting.configuration import Configuration, Truth
    from identify.planting.eigenvectors import PlantingError
    from identify.planting.kkt_points import KKTPoint, max_margin_point, weight_decay_point
    from identify.problem.activation import Activation, ActivationError
    from identify.problem.ambiguity import Ambiguity, Match
    from identify.problem.arrays import ShapeError
    from identify.problem.exposure import Exposure
    from identify.problem.features import FeatureSystem
    from identify.problem.models import gradients_of
    from identify.problem.network import Network, TwoLayerNetwork
    from identify.problem.refusals import UnsupportedError
    from identify.problem.steps import StepsSystem
    from identify.problem.system import KKTSystem
    from identify.problem.uniqueness import Uniqueness
    from identify.problem.verdict import Condition, Report, Scope, Verdict, Witness
    from identify.recovery.completing import Completion, complete
    from identify.recovery.recover import recover
    from identify.recovery.solution import Recovery, RecoveryError
    from identify.sweeps.constraints import GridError
    from identify.sweeps.results import Sweep
    from identify.sweeps.store import StoreError
    from identify.sweeps.sweep import sweep, sweep_updates
    from identify.sweeps.updates import UpdatesError
    from identify.sweeps.workers import SweepError
    from identify.symbolic.posing import kkt_equations
    from identify.symbolic.system import SymbolicSystem
    from identify.theory.registry import UnknownTheoremError, theorems
    from identify.theory.theorem import Theorem
    from identify.theory.trials import TheoremTrials

_HOME = {
    "Activation": "problem.activation",
    "ActivationError": "problem.activation",
    "Ambiguity": "problem.ambiguity",
    "Audit": "auditing.result",
    "Certificate": "certificates.certify",
    "CertificateFileError": "checker.verify",
    "CertificateTooLargeError": "certificates.certify",
    "Completion": "recovery.completing",
    "Condition": "problem.verdict",
    "Configuration": "planting.configuration",
    "DefenceCurve": "defence.curves",
    "Defences": "defence.curves",
    "Exposure": "problem.exposure",
    "FeatureSystem": "problem.features",
    "GridError": "sweeps.constraints",
    "IdentifyError": "base.errors",
    "InconsistentDataError": "conditions.check",
    "InputError": "base.errors",
    "KKTPoint": "planting.kkt_points",
    "KKTSystem": "problem.system",
    "Match": "problem.ambiguity",
    "Network": "problem.network",
    "NoCertificateError": "certificates.lacking",
    "NotCertifiedError": "conditions.witnesses.solution_box",
    "OutOfTimeError": "base.limits",
    "PlantingError": "planting.eigenvectors",
    "Problem": "checkpoints.problems",
    "ProblemFileError": "checkpoints",
    "Reconstruction": "attacks.runs",
    "Recovery": "recovery.solution",
    "RecoveryError": "recovery.solution",
    "Report": "problem.verdict",
    "Scope": "problem.verdict",
    "ShapeError": "problem.arrays",
    "SolutionCertificate": "certificates.certify_solution",
    "Splitting": "attacks.runs",
    "StepsSystem": "problem.steps",
    "StoreError": "sweeps.store",
    "Sweep": "sweeps.results",
    "SweepError": "sweeps.workers",
    "SymbolicSystem": "symbolic.system",
    "Theorem": "theory.theorem",
    "TheoremTrials": "theory.trials",
    "Thresholds": "conditions.thresholds",
    "TooLargeError": "base.limits",
    "Truth": "planting.configuration",
    "TwoLayerNetwork": "problem.network",
    "Uniqueness": "problem.uniqueness",
    "UnknownTheoremError": "theory.registry",
    "UnsupportedError": "problem.refusals",
    "UpdatesError": "sweeps.updates",
    "Verdict": "problem.verdict",
    "Verification": "checker.verify",
    "Witness": "problem.verdict",
    "audit": "auditing.audit",
    "certify": "certificates.certify_solution",
    "check": "conditions.check",
    "complete": "recovery.completing",
    "defences": "defence.advise",
    "exposed": "conditions.exposed",
    "gradients_of": "problem.models",
    "kkt_equations": "symbolic.posing",
    "largest_identifiable": "conditions.thresholds",
    "load_problem": "checkpoints.problems",
    "max_margin_point": "planting.kkt_points",
    "reconstruct": "attacks.reconstruct",
    "recover": "recovery.recover",
    "save_problem": "checkpoints.problems",
    "sweep": "sweeps.sweep",
    "sweep_updates": "sweeps.sweep",
    "theorems": "theory.registry",
    "verify": "checker.verify",
    "weight_decay_point": "planting.kkt_points",
}
__all__ = [
    "Activation",
    "ActivationError",
    "Ambiguity",
    "Audit",
    "Certificate",
    "CertificateFileError",
    "CertificateTooLargeError",
    "Completion",
    "Condition",
    "Configuration",
    "DefenceCurve",
    "Defences",
    "Exposure",
    "FeatureSystem",
    "GridError",
    "IdentifyError",
    "InconsistentDataError",
    "InputError",
    "KKTPoint",
    "KKTSystem",
    "Match",
    "Network",
    "NoCertificateError",
    "NotCertifiedError",
    "OutOfTimeError",
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
    "StepsSystem",
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
    "Uniqueness",
    "UnknownTheoremError",
    "UnsupportedError",
    "UpdatesError",
    "Verdict",
    "Verification",
    "Witness",
    "audit",
    "certify",
    "check",
    "complete",
    "defences",
    "exposed",
    "gradients_of",
    "kkt_equations",
    "largest_identifiable",
    "load_problem",
    "max_margin_point",
    "reconstruct",
    "recover",
    "save_problem",
    "sweep",
    "sweep_updates",
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
    return sorted({*__all__, "attacks", "__all__", "__doc__", "__file__", "__name__", "__path__", "__version__"})
