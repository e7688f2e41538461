"""``recover``: the data from the target, by the steps of the constructive uniqueness proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from identify.ambiguity import Ambiguity
from identify.conditions.diagnostics.sensitivity import leaves_scale_free
from identify.configuration import is_lifted
from identify.network import ShapeError
from identify.recovery.decompose import fix_scale, sample_lines
from identify.recovery.moments import solve_moments
from identify.recovery.polish import Equations, error_bars, noise_weights, polish
from identify.recovery.reduce import Reduced, estimate_samples
from identify.recovery.side_equations import choose_signs, fix_free_scale
from identify.recovery.solution import Recovery, RecoveryError
from identify.stationarity import KKTSystem, check_data, choice

METHODS = ("auto", "algebraic")
ROUNDS = 2
"""Polishes: each on the span, and with the noise model, that the one before found."""
INCONSISTENT = 1e-2


def recover(
    system: KKTSystem,
    *,
    samples: int | None = None,
    method: str = "auto",
    seed: int = 0,
    data=None,
    progress: Callable[[str], None] = lambda step: None,
) -> Recovery:
    r"""Recover the training data behind a target, up to the ambiguity that the system leaves.

    Subspace reduction, moment solve, simultaneous diagonalisation, scale and sign, Levenberg-Marquardt polish: an
    algorithm that succeeds wherever conditions C1-C3 hold with at most D independent samples (Shen et al. 2026 for the
    idea of recovery through moments; Jennrich's algorithm for the decomposition).

    Parameters
    ----------
    system
        The equations.
    samples
        n, at least 1; None estimates it from the numerical rank of the first-layer target (valid for independent
        samples, at most as many as inputs).
    method
        ``"algebraic"``, or ``"auto"``, which at present always chooses it; the result says what was done.
    seed
        Of the random contractions; the same seed gives the same result.
    data
        ``(X, c)``, if known: only used to put the errors into ``evidence["errors"]``.
    progress
        Called with the name of each step as it begins.

    Raises
    ------
    RecoveryError
        When the target does not determine the moments, the samples are too many for the decomposition, or the result
        does not satisfy the equations (a target of another network, too few samples, too much noise).
    TooLargeError
        Before allocating matrices that would not fit in memory.

    Notes
    -----
    Cost O(m n N^2) for N moments in n dimensions; memory 24 m n N bytes.

    Examples
    --------
    >>> from identify.configuration import Configuration
    >>> system, truth = Configuration(inputs=4, samples=3, width=12, activation="z + z^3").plant(seed=1)
    >>> found = recover(system)
    >>> bool(found.match(truth.X, truth.c).errors.max() < 1e-9)
    True
    """
    choice("method", method, METHODS)
    if not isinstance(system, KKTSystem):
        raise TypeError(f"recover: received {type(system).__name__}, expected a KKTSystem")
    if data is not None:
        try:
            X_known, c_known = data
        except (TypeError, ValueError):
            raise ShapeError(f"data: received {type(data).__name__}, expected a pair (X, c) of samples and multipliers") from None
        X_known, c_known = check_data(X_known, c_known, system.network.n_inputs, system.network.n_outputs)
    if system.target_W is not None and not system.target_W.any():
        raise RecoveryError("target: every number of the first-layer target is zero, so there is nothing to recover the samples from")
    evidence: dict = {}
    if samples is None:
        progress("estimating the number of samples")
        samples, gap, values = estimate_samples(system)
        evidence |= {"samples_estimated": samples, "rank_gap": gap, "singular_values": values[: samples + 2].tolist()}
    elif isinstance(samples, bool) or not isinstance(samples, (int, np.integer)) or samples < 1:
        raise ValueError(f"samples: received {samples!r}, expected an integer of at least 1, or None to estimate it")
    samples = int(samples)
    if system.labels is not None and len(system.labels) != samples:
        raise ValueError(f"samples: {samples}, but the system has {len(system.labels)} labels; expected one label for each sample")

    homogeneous = system.network.activation.is_monomial and not system.network.has_bias
    ambiguity = Ambiguity.of(system.degrees, is_lifted(system.degrees), system.labels, homogeneous)
    rng = np.random.default_rng(seed)
    reduced = Reduced.of(system, samples)
    evidence["coordinates"] = reduced.dimension
    progress("solving for the moments")
    moments, numbers = solve_moments(reduced.network, system.observed, system.degrees, reduced.target)
    evidence |= numbers
    progress("decomposing the moment tensor")
    lines, numbers = sample_lines(moments, samples, rng)
    evidence |= numbers
    Z, c = fix_scale(moments, lines)
    X = reduced.origin + Z @ reduced.Q.T
    evidence["residual_before_polish"] = system.residual(X, c)
    weights = None
    for _ in range(ROUNDS):
        progress("polishing")
        equations = Equations.of(reduced.network, system.observed, reduced.target, weights)
        Z, c, steps = polish(equations, reduced.project(X), c)
        X = reduced.lift(Z, c)
        reduced = reduced.respan(X)
        equations = Equations.of(reduced.network, system.observed, reduced.target)
        weights, evidence["noise_model"] = noise_weights(equations, reduced.project(X), c)
        evidence["polish_steps"] = evidence.get("polish_steps", 0) + steps
    if homogeneous:
        X, c, numbers = fix_free_scale(system, X, c)
        evidence |= numbers
    if ambiguity.label_counts is not None and ambiguity.degree % 2:
        X, c = choose_signs(system, X, c)
    elif ambiguity.group == "sign" or system.loss != "logistic":
        X, c = ambiguity.canonical(X, c)

    residual = system.residual(X, c)
    if not residual <= INCONSISTENT:
        raise RecoveryError(
            f"recovery: the best {samples} samples leave a relative residual of {residual:.2g}, expected below {INCONSISTENT:g}; the "
            "target belongs to another network, comes from more samples, is too noisy, or (trained parameters) not stationary",
            residual=residual,
            **evidence,
        )
    progress("error bars")
    full = Reduced.of(system, system.network.n_inputs + 1)
    equations = Equations.of(full.network, system.observed, system.target)
    weights, _ = noise_weights(equations, X, c)
    bars = error_bars(replace(equations, weights=weights), X, c, hold_scale=leaves_scale_free(system))
    if data is not None:
        evidence["errors"] = ambiguity.match(X, c, X_known, c_known).errors.tolist()
    return Recovery(
        X=X,
        c=c[:, 0] if system.network.n_outputs == 1 else c,
        residual=residual,
        error_bars=bars,
        method="algebraic",
        ambiguity=ambiguity,
        seed=seed,
        evidence=evidence,
    )
