"""The question behind a report: which network, which data, up to what, and whether (S) is all that is in force."""

from __future__ import annotations

from identify.conditions.setting import Setting
from identify.exact.instance import Instance
from identify.planting.configuration import Configuration, is_lifted
from identify.problem.activation import Activation
from identify.problem.ambiguity import Ambiguity
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.verdict import Scope


def setting_of(problem: Configuration | KKTSystem, samples: int, seed: int) -> Setting:
    """The question about that many samples, without data: of a generic network, or of this one."""
    if isinstance(problem, KKTSystem):
        net = problem.network
        data = "this target" if problem.regime in SELF_TRAINED else "generic data"
        complete = is_complete(problem.regime, net.activation, net.has_bias, problem.loss)
        return Setting(instance_of(problem, samples), Scope("this network", data), ambiguity_of(problem), complete, seed, problem)
    instance = Instance(problem.activation, problem.inputs, samples, problem.neurons, problem.outputs, problem.bias, problem.observed)
    if problem.regime not in SELF_TRAINED:
        return Setting(instance, Scope("generic network", "generic data"), problem.ambiguity, True, seed)
    complete = is_complete(problem.regime, problem.activation, problem.bias, "logistic" if problem.regime == "weight-decay" else None)
    return Setting(instance, Scope("any network", "any data"), problem.ambiguity, complete, seed)


def instance_of(system: KKTSystem, samples: int, X=None, c=None) -> Instance:
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


def ambiguity_of(system: KKTSystem) -> Ambiguity:
    homogeneous = system.network.activation.is_monomial and not system.network.has_bias
    return Ambiguity.of(system.degrees, is_lifted(system.degrees), system.labels, homogeneous)


def is_complete(regime: str, activation: Activation, bias: bool, loss: str | None) -> bool:
    """Whether a family that solves (S) also solves everything else in force.

    Closures restrict the data further. So does complementary slackness, y_i f(x_i) = 1 with y_i = sign c_i, except where
    it only fixes the scale that (S) leaves free (sigma = z^p without bias): there every nearby solution of (S) can be
    rescaled to meet it.
    """
    if regime == "max-margin":
        return activation.is_monomial and not bias
    return loss is None


def configuration_subject(config: Configuration, equations: int, unknowns: int) -> dict:
    return {
        "regime": config.regime,
        "activation": str(config.activation),
        "inputs": config.inputs,
        "samples": config.samples,
        "width": config.neurons,
        "outputs": config.outputs,
        "bias": config.bias,
        "layers": config.layers,
        "equations": equations,
        "unknowns": unknowns,
    }


def system_subject(system: KKTSystem, samples: int) -> dict:
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
