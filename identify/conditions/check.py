"""``check``: is the training data determined? The conditions, composed into one verdict with its scope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from identify.activation import Activation
from identify.ambiguity import Ambiguity, normal_form
from identify.conditions.count import count
from identify.conditions.decomposition import decomposition
from identify.conditions.diagnostics.diagnose import diagnose
from identify.conditions.generic_global import generic_global
from identify.conditions.interpolation import interpolation
from identify.conditions.local import local
from identify.conditions.plan import NAMES, Plan, estimated_seconds
from identify.conditions.reduction import reduce
from identify.conditions.scale import scale
from identify.conditions.setting import Setting
from identify.conditions.witnesses.second import second_solution
from identify.conditions.witnesses.witness import witness
from identify.configuration import Configuration, is_lifted
from identify.eigenvectors import PlantingError
from identify.exact.instance import Instance
from identify.limits import TooLargeError, limit_memory, limit_time, seconds_left
from identify.network import ShapeError
from identify.report.verdict import Arithmetic, Condition, Report, Scope, Verdict, Witness
from identify.stationarity import SELF_TRAINED, KKTSystem, check_data, choice

INCONSISTENT = 1e-2
"""Relative residual above which data are not taken as a solution of the system they are given for."""
UNKNOWN_DATA = "the statement is about all data that produce this target; whether any do, with this many samples, is not part of it"
SELF_TRAINED_CAVEAT = (
    "the network depends on its own training data, so statements about generic data do not apply; what is proved here holds "
    "for this network"
)

GENERIC_MULTIPLIERS = (
    "generic data includes generic multiplier vectors γ_i; those of the softmax loss satisfy Σ_c γ_ic = 0, so such a network with C "
    "outputs counts as one with C − 1: pass data=(X, c) to judge them"
)


class InconsistentDataError(ValueError):
    """Data that do not satisfy the equations of the system; ``residual`` says by how much."""

    def __init__(self, residual: float):
        super().__init__(
            f"data=(X, c): Σ c_i ∇f(x_i) differs from the target by {residual:.2g} relative, expected below {INCONSISTENT:g}; the "
            "target belongs to another network or to other data, or is a gradient with the wrong sign (pass minus the gradient)"
        )
        self.residual = residual


def check(
    problem: Configuration | KKTSystem,
    *,
    samples: int | None = None,
    data=None,
    seed: int = 0,
    budget: float | None = None,
    memory: int | None = None,
    conditions: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    r"""Decide whether the target of (S) determines the training data.

    Parameters
    ----------
    problem
        A :class:`Configuration`: a generic network and generic data of these sizes (for the self-trained regimes one
        instance is planted, and judged). Or a :class:`KKTSystem`: this network.
    samples
        n, for a system without data: at least 1. For ``gradient`` and ``lazy`` the statement is then about generic
        data; for the self-trained regimes about all data that produce this target.
    data
        ``(X, c)``: these data, taken as the exact numbers that they are, of shapes (n, d) and (n,) or (n, C). Samples
        with zero multiplier are dropped and coincident ones merged, because (S) does not see them apart.
    seed
        Of the random primes and points; the same seed gives the same report.
    budget
        Seconds of wall-clock time, above 0. Conditions whose estimated cost exceeds what is left are reported as not evaluated.
    memory
        Bytes that one matrix may take; by default IDENTIFY_MEMORY (in GiB), or half of the machine's memory.
    conditions
        Names of conditions to evaluate even where the question is decided without them. By default conditions run
        cheapest first; those that cost more than half a second are left out once they are not needed.
    progress
        Called with the name and the estimated cost of each condition that takes more than half a second, before it is evaluated.

    Returns
    -------
    Report
        ``UNIQUE``, ``LOCALLY_UNIQUE`` and ``NOT_UNIQUE`` are proofs for the scope that the report states, up to the
        ambiguity that it lists, among data sets of at most n distinct samples. Everything else is ``UNDECIDED``: a
        sufficient condition that fails proves nothing.

    Raises
    ------
    ValueError
        For missing or contradicting arguments.
    InconsistentDataError
        When the data do not produce the observed gradient.

    Notes
    -----
    Cost: at most one elimination modulo a prime of a matrix with N columns, the number of moments in coordinates on the span
    of the samples, and two of Jacobians with (n + 1)(d + C) columns. A matrix that would not fit in memory is never built: its
    condition is reported as not evaluated.

    Examples
    --------
    >>> report = check(Configuration(inputs=4, samples=3, width=12, activation="z + z^3"))
    >>> report.verdict, str(report.scope)
    (<Verdict.UNIQUE: 'UNIQUE'>, 'generic network, generic data')
    """
    plan = _plan(budget, memory, conditions, progress)
    with limit_memory(memory), limit_time(budget):
        return _check(problem, samples, data, seed, plan)


def _plan(budget, memory, conditions, progress) -> Plan:
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, (int, float)) or not 0 < budget < np.inf):
        raise ValueError(f"budget: received {budget!r}, expected a positive number of seconds, or None")
    if memory is not None and (isinstance(memory, bool) or not isinstance(memory, (int, np.integer)) or memory < 1):
        raise ValueError(f"memory: received {memory!r}, expected a positive number of bytes, or None")
    demanded = () if conditions is None else (conditions,) if isinstance(conditions, str) else tuple(conditions)
    for name in demanded:
        choice("conditions", name, NAMES)
    return Plan(demanded, progress)


def _check(problem, samples: int | None, data, seed: int, plan: Plan) -> Report:
    if isinstance(problem, Configuration):
        if samples is not None or data is not None:
            raise ValueError("samples, data: a Configuration already says how many samples there are; pass them with a KKTSystem only")
        return _check_configuration(problem, seed, plan)
    if not isinstance(problem, KKTSystem):
        raise TypeError(f"check: received {type(problem).__name__}, expected a Configuration or a KKTSystem")
    if data is None:
        if samples is None:
            raise ValueError("samples: how many training samples are sought? Pass samples=n, or data=(X, c)")
        return _check_system(problem, _sample_count(samples), seed, plan)
    try:
        X, c = data
    except (TypeError, ValueError):
        raise ShapeError(f"data: received {type(data).__name__}, expected a pair (X, c) of samples and multipliers") from None
    return _check_data(problem, X, c, samples, seed, plan)


def setting_of(problem: Configuration | KKTSystem, samples: int, seed: int) -> Setting:
    """The question about that many samples, without data: of a generic network, or of this one."""
    if isinstance(problem, KKTSystem):
        net = problem.network
        data = "this target" if problem.regime in SELF_TRAINED else "generic data"
        complete = _is_complete(problem.regime, net.activation, net.has_bias, problem.loss)
        return Setting(_instance(problem, samples), Scope("this network", data), _ambiguity(problem), complete, seed, problem)
    instance = Instance(problem.activation, problem.inputs, samples, problem.width, problem.outputs, problem.bias, problem.observed)
    if problem.regime not in SELF_TRAINED:
        return Setting(instance, Scope("generic network", "generic data"), problem.ambiguity, True, seed)
    complete = _is_complete(problem.regime, problem.activation, problem.bias, "logistic" if problem.regime == "weight-decay" else None)
    return Setting(instance, Scope("any network", "any data"), problem.ambiguity, complete, seed)


def _sample_count(samples) -> int:
    if isinstance(samples, bool) or not isinstance(samples, (int, np.integer)) or samples < 1:
        raise ValueError(f"samples: received {samples!r}, expected an integer of at least 1")
    return int(samples)


def _check_configuration(config: Configuration, seed: int, plan: Plan) -> Report:
    subject = _subject(config, config.n_equations, config.n_unknowns)
    setting = setting_of(config, config.samples, seed)
    if config.regime not in SELF_TRAINED:
        system, truth = _illustration(config, seed)
        return _judge(replace(setting, system=system, data=truth), subject, config.describe(), (), plan)
    try:
        system, truth = config.plant(seed)
    except (PlantingError, TooLargeError) as error:
        notes = (SELF_TRAINED_CAVEAT, f"no instance could be planted: {error}")
        return _judge(setting, subject, config.describe(), notes, plan, instance_known=False)
    note = f"one instance of this configuration was planted (seed {seed}); the verdict is about that network and its data"
    return _check_data(system, truth.X, truth.c, None, seed, plan, (note,))


def _illustration(config: Configuration, seed: int):
    """A planted instance to show witnesses with; only the families of degree 2 and of constant terms need one."""
    if config.activation.degree > 2 and len(config.degrees) != 2:
        return None, None
    try:
        system, truth = config.plant(seed)
    except TooLargeError:
        return None, None
    return system, (truth.X, truth.c.reshape(config.samples, config.outputs))


def _check_system(system: KKTSystem, samples: int, seed: int, plan: Plan) -> Report:
    self_trained = system.regime in SELF_TRAINED
    if system.labels is not None and len(system.labels) != samples:
        raise ValueError(f"samples: {samples}, but the system has {len(system.labels)} labels; expected one label for each sample")
    setting = setting_of(system, samples, seed)
    notes = (SELF_TRAINED_CAVEAT, UNKNOWN_DATA) if self_trained else ()
    return _judge(setting, _system_subject(system, samples), system.describe(), notes, plan)


def _check_data(system: KKTSystem, X, c, samples: int | None, seed: int, plan: Plan, notes: tuple[str, ...] = ()) -> Report:
    net = system.network
    X, c = check_data(X, c, net.n_inputs, net.n_outputs)
    X, c, dropped, merged = normal_form(X, c)
    if not len(X):
        raise ShapeError("c: every multiplier is zero, so no sample enters the equations; expected at least one that is not")
    if samples is not None and _sample_count(samples) != len(X):
        raise ValueError(f"samples: {samples}, but the data have {len(X)} distinct samples with non-zero multipliers; leave samples out")
    if dropped:
        notes += (f"{dropped} samples with zero multiplier do not enter the equations and were left out",)
    if merged:
        notes += (f"{merged} samples coincide with others and were merged with them",)
    residual = system.residual(X, c)
    consistent = residual <= INCONSISTENT
    if system.regime == "gradient" and not consistent:
        raise InconsistentDataError(residual)
    notes += (f"the target that these data give exactly differs from the given one by {residual:.1e} relative",)
    if system.regime in SELF_TRAINED:
        notes += (SELF_TRAINED_CAVEAT,)
    if system.regime == "max-margin" and net.n_outputs == 1:
        margins = np.sign(c[:, 0]) * net(X).reshape(-1)
        notes += (f"margins between {margins.min():.9g} and {margins.max():.9g}",)
        if system.labels is not None:
            _compare_labels(system.labels, c)
            if not np.abs(margins - 1).max() <= INCONSISTENT:
                system = replace(system, labels=None)
                notes += ("these margins are not 1, so the margin equations were left out",)
    setting = Setting(
        _instance(system, len(X), X, c),
        Scope("this network", "this data"),
        _ambiguity(system),
        _is_complete(system.regime, system.network.activation, system.network.has_bias, system.loss),
        seed,
        system,
        (X, c),
    )
    subject = _system_subject(system, len(X)) | {"residual": residual}
    report = _judge(setting, subject, system.describe(), notes, plan)
    if not consistent:
        reason = (
            f"these data do not satisfy the equations: relative residual {residual:.2g}; the conditions below say nothing of this target"
        )
        return replace(report, verdict=Verdict.UNDECIDED, reasons=(reason,))
    return report


def _compare_labels(labels: np.ndarray, c: np.ndarray) -> None:
    """Raise ValueError unless the multipliers have as many of either sign as the labels."""
    known, found = ((int((values > 0).sum()), int((values < 0).sum())) for values in (labels, c))
    if known != found:
        raise ValueError(
            f"labels: {known[0]} positive and {known[1]} negative, but the multipliers c of the data have {found[0]} positive and "
            f"{found[1]} negative; expected y_i = sign c_i for every sample"
        )


def _instance(system: KKTSystem, samples: int, X=None, c=None) -> Instance:
    net = system.network
    return Instance(
        net.activation,
        net.n_inputs,
        samples,
        net.width,
        net.n_outputs,
        net.has_bias,
        system.observed,
        W=net.W,
        A=net.A,
        offsets=net.offsets,
        X=X,
        c=c,
    )


def _ambiguity(system: KKTSystem) -> Ambiguity:
    homogeneous = system.network.activation.is_monomial and not system.network.has_bias
    return Ambiguity.of(system.degrees, is_lifted(system.degrees), system.labels, homogeneous)


def _is_complete(regime: str, activation: Activation, bias: bool, loss: str | None) -> bool:
    """Whether a family that solves (S) also solves everything else in force.

    Closures restrict the data further. So does complementary slackness, y_i f(x_i) = 1 with y_i = sign c_i, except where
    it only fixes the scale that (S) leaves free (sigma = z^p without bias): there every nearby solution of (S) can be
    rescaled to meet it.
    """
    if regime == "max-margin":
        return activation.is_monomial and not bias
    return loss is None


def _judge(
    setting: Setting, subject: dict, equations: tuple[str, ...], notes: tuple[str, ...], plan: Plan, instance_known: bool = True
) -> Report:
    """Evaluate the conditions and draw the verdict; the only place where a verdict is made."""
    where = _evaluate(setting, plan) if instance_known else setting
    unknown = Condition("local", None, "no instance to evaluate it at", {}, Arithmetic.NONE, "")
    found: Witness | None = None

    def other_data() -> Condition:
        nonlocal found
        condition, found = witness(where, plan.found.get("local", unknown))
        if found is None and not _is_unique(setting, plan.found):
            condition, found = second_solution(where, seconds=seconds_left()) or (condition, None)
        return condition

    plan.evaluate("witness", 0.0, other_data)
    verdict, reasons = _verdict(setting, plan.found)
    if setting.scope.data == "generic data" and setting.instance.n_outputs > 1:
        notes = (*notes, GENERIC_MULTIPLIERS)
    at_most = f"among data sets of at most {setting.instance.n_samples} distinct samples with non-zero multipliers"
    return Report(
        verdict=verdict,
        scope=setting.scope,
        reasons=reasons,
        ambiguity=setting.ambiguity.describe(),
        conditions=tuple(plan.found[name] for name in NAMES if name in plan.found),
        subject=subject,
        equations=equations,
        notes=(at_most, *notes),
        witness=found,
        seed=setting.seed,
        versions=versions(),
        diagnostics=diagnose(setting, plan.found),
        question=setting,
    )


def _evaluate(setting: Setting, plan: Plan) -> Setting:
    """Every condition but the witness, cheapest first; returns the setting in reduced coordinates."""
    found = plan.found
    where = setting

    def reduction() -> Condition:
        nonlocal where
        condition, where = reduce(setting)
        return condition

    plan.evaluate("reduction", 0.0, reduction)
    found["count"] = count(where)
    terms = plan.evaluate("decomposition", 0.0, lambda: decomposition(where))
    plan.evaluate("scale", 0.0, lambda: scale(where, terms))
    ranks: dict[str, Callable[[], Condition]] = {
        "generic-global": lambda: generic_global(setting, where),
        "interpolation": lambda: interpolation(where),
        "local": lambda: local(where),
    }
    costs = {name: estimated_seconds(name, where) for name in ranks}
    for name in sorted(ranks, key=lambda name: costs[name]):
        plan.evaluate(name, costs[name], ranks[name], _why_unneeded(name, setting, found))
    return where


def _why_unneeded(name: str, setting: Setting, found: dict[str, Condition]) -> str:
    """Why this condition could not change the verdict; empty if it could."""
    if _is_unique(setting, found):
        return "the question is decided without it"
    if name == "interpolation" and not (found["decomposition"].is_proved and found["scale"].is_proved):
        return "without decomposition and scale it could not decide"
    if name == "local" and setting.scope.data == "generic data" and found["count"].holds is False and setting.equations_are_complete:
        return "the count decides; it would add the dimension of the family"
    return ""


def _globally(setting: Setting, found: dict[str, Condition]) -> list[Condition]:
    """The conditions that together prove uniqueness by way of the moments."""
    names = ["interpolation", "decomposition", "scale"]
    if setting.data_are_unknown:  # a uniqueness proof for a target that no such data produce would be empty
        names.append("reduction")
    return [found[name] for name in names if name in found]


def _is_unique(setting: Setting, found: dict[str, Condition]) -> bool:
    if "generic-global" in found and found["generic-global"].is_proved:
        return True
    conditions = _globally(setting, found)
    return len(conditions) == 3 + setting.data_are_unknown and all(c.is_proved for c in conditions)


def _verdict(setting: Setting, found: dict[str, Condition]) -> tuple[Verdict, tuple[str, ...]]:
    globally, unique = _globally(setting, found), _is_unique(setting, found)
    disproved = found["witness"].is_proved
    if unique and disproved:
        raise AssertionError("a proof of uniqueness and a witness against it: please report this with the seed and the input")
    if disproved:
        return Verdict.NOT_UNIQUE, (found["witness"].statement,)
    if unique:
        decisive = globally if all(c.is_proved for c in globally) else [found["generic-global"]]
        return Verdict.UNIQUE, tuple(f"{c.name}: {c.statement}" for c in decisive)
    tried = [*globally, found["generic-global"]] if setting.scope.data == "generic data" and "generic-global" in found else globally
    failing = tuple(
        f"{c.name} {'is not proved' if c.holds else 'fails' if c.holds is False else 'is open'}: {c.statement}"
        for c in tried
        if not c.is_proved
    )
    if "local" in found and found["local"].is_proved:
        return Verdict.LOCALLY_UNIQUE, (f"local: {found['local'].statement}", *failing)
    if globally and all(c.holds for c in globally):
        failing += ("it would be UNIQUE if the assumption held; check(system, data=(X, c)) with recovered data decides without it",)
    return Verdict.UNDECIDED, failing or ("no condition could be evaluated",)


def _subject(config: Configuration, equations: int, unknowns: int) -> dict:
    return {
        "regime": config.regime,
        "activation": str(config.activation),
        "inputs": config.inputs,
        "samples": config.samples,
        "width": config.width,
        "outputs": config.outputs,
        "bias": config.bias,
        "layers": config.layers,
        "equations": equations,
        "unknowns": unknowns,
    }


def _system_subject(system: KKTSystem, samples: int) -> dict:
    net = system.network
    seen = [name for name, present in zip(("W", "bias", "a"), system.observed, strict=True) if present]
    return {
        "regime": system.regime,
        "activation": str(net.activation),
        "inputs": net.n_inputs,
        "samples": samples,
        "width": net.width,
        "outputs": net.n_outputs,
        "bias": net.has_bias,
        "observed": " ".join(seen),
        "equations": system.n_equations,
        "unknowns": system.n_unknowns(samples),
    }


def versions() -> dict[str, str]:
    """Versions of what a result rests on."""
    found = {}
    for name in ("kkt-identify", "numpy", "python-flint"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a distribution"
    return found
