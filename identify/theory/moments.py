"""Theorems on quantities that the target determines: the span of the samples (C0), their moments (C1), and their scales (C3)."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np

from identify.conditions import interpolation, reduction, scale
from identify.conditions.interpolation import EXCEPTIONS, generic_rank
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation, horner
from identify.theory.cases import Case, case_of, changed, draw, exactly, rational_rank
from identify.theory.search import APART, SOLUTIONS, ZERO, root_order, search, terms, zero_of
from identify.theory.theorem import Seen, Theorem


def _with_first_layer(config: Configuration, seed: int) -> Case | None:
    return draw(config, seed) if config.layers != "second" and not config.bias else None


def _span(case: Case) -> Seen:
    """Ranks over the rationals; then the span of every solution that a search finds."""
    n, net = len(case.X), case.system.network
    X, W, A, c = (exactly(part) for part in (case.X, net.W, net.A, case.c))
    slopes = (c @ A) * horner(net.activation.derivative(), X @ W.T)
    hypothesis = rational_rank(X) == n and rational_rank(slopes) == n
    rows = case.target_of(X, c)[: W.size].reshape(W.shape)
    rank = rational_rank(rows)
    planted = rank == n and rational_rank(np.vstack([rows, X])) == n
    found = search(case, starts=40, solutions=SOLUTIONS if planted else 1)  # without them the conclusion fails already
    inside = sum(bool(_rank(Y) == n and _rank(np.vstack([Y, case.X])) == n) for Y, _ in found.found)
    evidence = (
        f"rank of the target {rank}, n = {n}; {len(found.found)} solutions found ({found.others} not the planted one), "
        f"{inside} span the space of the planted samples"
    )
    return Seen(hypothesis, planted and inside == len(found.found), evidence)


def _rank(X: np.ndarray) -> int:
    values = np.linalg.svd(X / np.linalg.norm(X, axis=1, keepdims=True), compute_uv=False)
    return int((values > 1e-6 * values[0]).sum())


def _determined(case: Case) -> Seen:
    """Single samples as test data: if a linear map takes their gradients to their moments, the stacked matrix has no larger rank."""
    instance = case.of_these_data.instance
    rng = np.random.default_rng([case.seed, 0xC1])
    count = (instance.n_moments + 3) // case.c.shape[1] + 3
    X, gradients, moments = exactly(rng.integers(-9, 10, (count, case.X.shape[1]))), [], []
    for x in X:
        for gamma in exactly(np.eye(case.c.shape[1])):
            gradients.append(case.target_of(x[None], gamma[None]))
            moments.append(terms(case, x[None], gamma[None])[0])
    visible, unknown = np.array(gradients), np.array(moments)
    rank, both = rational_rank(visible), rational_rank(np.hstack([visible, unknown]))
    if rational_rank(unknown) < instance.n_moments:
        return Seen(case.shows_its_moments, None, f"{len(visible)} single samples do not span the moments")
    hidden = f"; {both - rank} independent changes of the moments leave the target" if both > rank else ""
    evidence = f"gradients of {len(visible)} single samples have rank {rank}, with their moments {both}, over the rationals{hidden}"
    return Seen(case.shows_its_moments, rank == both, evidence)


def _narrower(config: Configuration, seed: int) -> Case | None:
    """The widest network below the given width that does not determine every moment."""
    for width in range(config.neurons - 1, 0, -1):
        case = draw(replace(config, width=width), seed)
        if not case.shows_its_moments:
            return case
    return None


def _power(config: Configuration, seed: int) -> Case | None:
    fits = config.activation.is_monomial and not config.bias and config.outputs == 1 and config.layers != "second"
    return draw(replace(config, layers="first", samples=1), seed) if fits else None


def _expected_rank(case: Case) -> Seen:
    """The rank of the gradients of many single samples is that of the interpolation matrix."""
    p, D, m = case.config.activation.degree, case.config.inputs, case.config.neurons
    total = comb(D + p - 1, p)
    exceptional = (p, D, m) in EXCEPTIONS or (p == 2 and 2 <= m <= D - 1)
    rng = np.random.default_rng([case.seed, 0xA1])
    X = exactly(rng.integers(-9, 10, (total + 3, D)))
    rank = rational_rank(np.array([case.target_of(x[None], exactly(np.ones((1, 1)))) for x in X]))
    expected = min(m * D, total)
    known = f" (known: {generic_rank(p, D, m)})" if exceptional else ""
    return Seen(not exceptional, rank == expected, f"rank {rank} over the rationals, expected min(mD, N) = {expected}{known}")


def _exception(config: Configuration, seed: int) -> Case | None:
    """The exception of the same degree nearest in dimension and width."""
    p = config.activation.degree
    known = [(D, m) for q, D, m in EXCEPTIONS if q == p] if p > 2 else [(D, D - 1) for D in {max(config.inputs, 3)}]
    if not known:
        return None
    D, m = min(known, key=lambda size: (abs(size[0] - config.inputs), abs(size[1] - config.neurons)))
    return _power(replace(config, inputs=D, width=m), seed)


def _unlifted(config: Configuration, seed: int) -> Case | None:
    return draw(config, seed) if not config.bias and len(config.degrees) > 1 else None


def _scales(case: Case) -> Seen:
    """Solves for the scales t themselves, given the terms of the top degree."""
    degrees, n = case.system.degrees, len(case.X)
    p, lower = degrees[-1], degrees[:-1]
    columns = {k: np.array([np.multiply.outer(c, _powers(x, k)).ravel() for x, c in zip(case.X, case.c, strict=True)]).T for k in lower}
    fixing = [p, *(k for k in lower if rational_rank(columns[k]) == n)]
    order = root_order(degrees)
    hypothesis = root_order(fixing) == order and bool(np.abs(case.X).sum(axis=1).all())
    size = sum(float(np.linalg.norm(columns[k])) for k in lower)

    def function(t: np.ndarray) -> np.ndarray:
        return np.concatenate([columns[k] @ (t ** (k - p) - 1) for k in lower]) / size

    def derivative(t: np.ndarray) -> np.ndarray:
        return np.concatenate([columns[k] * ((k - p) * t ** (k - p - 1)) for k in lower]) / size

    rng = np.random.default_rng([case.seed, 0xC3])
    found = outside = 0
    with np.errstate(all="ignore"):
        for _ in range(24):
            t, value = zero_of(function, derivative, rng.standard_normal(n) + 1j * rng.standard_normal(n))
            if value <= ZERO:
                found += 1
                outside += bool(np.abs(t**order - 1).max() > APART)
    evidence = f"terms of degree {p} kept: 24 starts for the scales t, {found} converged, {outside} of them outside the group t^{order} = 1"
    return Seen(hypothesis, outside == 0 if found else None, evidence)


def _powers(x: np.ndarray, k: int) -> np.ndarray:
    out = np.ones(1)
    for _ in range(k):
        out = np.multiply.outer(out, x).ravel()
    return out


def _dependent(config: Configuration, seed: int) -> Case | None:
    """The last sample moved to a multiple of the first."""
    case = _with_first_layer(config, seed)
    if case is None or config.samples < 2:
        return None
    X = case.X.copy()
    X[-1] = -2 * X[0]
    return case_of(config, case.system.network, X, case.c, seed)


def _one_neuron_too_few(config: Configuration, seed: int) -> Case | None:
    return _with_first_layer(replace(config, width=config.samples - 1), seed) if config.samples > 1 else None


_EXCEPTIONS = ", ".join(f"({p}, {D}, {m})" for p, D, m in EXCEPTIONS)

THEOREMS = (
    Theorem(
        name="reduction",
        title="Every solution lives in the row space of the target",
        statement=r"The first-layer target is $t^W = G X$ with $G_{ji} = g_{ij}\,\sigma'(w_j \cdot x_i + \beta_j)$, "
        r"$g_{ij} = \sum_o A_{oj}\gamma_{io}$. If $G$ and $X$ have rank $n$, every data set of at most $n$ samples with this target "
        r"has exactly $n$ linearly independent samples, with the same span as the rows of $t^W$.",
        hypotheses=(
            "the first-layer weights are observed (without observed biases; with them the same holds for the lifted samples)",
            "the samples are linearly independent: rank X = n",
            "the slopes G have rank n",
        ),
        conclusion="every solution with at most n samples has exactly n independent ones, and they span the row space of the target",
        scope="this network, this data",
        reference=reduction.REFERENCE,
        condition="reduction",
        configuration=Configuration(inputs=3, samples=2, width=2, activation=Activation.parse("z + z^2 + z^3")),
        examine=_span,
        draw=_with_first_layer,
        nearest=(("one neuron too few", _one_neuron_too_few), ("parallel samples", _dependent)),
    ),
    Theorem(
        name="interpolation",
        title="The target determines the moments",
        statement=r"(S) is linear in the visible moments $M_k = \sum_i c_i\, x_i^{\otimes k}$ (several outputs: "
        r"$\sum_i \gamma_i \otimes x_i^{\otimes k}$), with a matrix $\mathcal{A}$ that depends on the network only. "
        r"If $\operatorname{rank} \mathcal{A} = N$, the number of their coefficients, the target determines every one.",
        hypotheses=("the interpolation matrix has full column rank N",),
        conclusion="data sets with the same target have the same visible moments",
        scope="this network, all data",
        reference=f"{interpolation.REFERENCE}; arXiv:2602.08723",
        condition="interpolation",
        configuration=Configuration(inputs=3, samples=2, width=5, activation=Activation.parse("z + z^3")),
        examine=_determined,
        draw=draw,
        nearest=(("too narrow", _narrower),),
    ),
    Theorem(
        name="interpolation-width",
        title="How wide a network shows every moment",
        statement=r"For one output and $\sigma = z^p$ without bias, first layer observed, a generic network with $D$ inputs has "
        r"$\operatorname{rank} \mathcal{A} = \min(mD, N)$, $N = \binom{D+p-1}{p}$; except for "
        rf"$(p, D, m) = {_EXCEPTIONS}$, where the rank is one less, and for $p = 2$, $2 \le m \le D - 1$. "
        r"So the rank is $N$ from width $\lceil N/D \rceil$ on; from one more if that is one of these four; from $D$ on for $p = 2$.",
        hypotheses=(
            "one output, no bias, first layer observed, a monomial activation",
            "a generic network",
            "(p, D, m) is none of the exceptions",
        ),
        conclusion="the interpolation matrix has rank min(mD, N)",
        scope="generic network, all data",
        reference="Alexander & Hirschowitz 1995; Brambilla & Ottaviani 2008, arXiv:math/0701409 "
        "(2011, arXiv:0705.4448, for partial gradients and biases)",
        condition="interpolation",
        configuration=Configuration(inputs=5, samples=1, width=8, activation=Activation.parse("z^3"), layers="first"),
        examine=_expected_rank,
        draw=_power,
        nearest=(("an exception", _exception),),
    ),
    Theorem(
        name="scale",
        title="Moments of different degrees fix scale and sign",
        statement=r"Let the terms $\gamma_i \otimes x_i^{\otimes l}$ (one output: $c_i x_i^{\otimes l}$) be known for some degrees $l$, "
        r"not for 0 alone, with no $x_i = 0$ and no $\gamma_i = 0$. The remaining freedom is $(t_i x_i,\, t_i^{-l} \gamma_i)$, where "
        r"$t_i^{l-l'} = 1$ for any two of these degrees, and the moment of another degree $k$ stays exactly if "
        r"$\sum_i (t_i^{k-l} - 1)\, \gamma_i \otimes x_i^{\otimes k} = 0$. Where the $\gamma_i \otimes x_i^{\otimes k}$ are linearly "
        r"independent, $t_i^{k-l} = 1$. If such degrees and the known ones together have the same group as all visible degrees, each "
        r"$(x_i, \gamma_i)$ is determined up to this group: $t$ with $t^{k-l} = 1$ for all visible $k, l$.",
        hypotheses=(
            "several visible degrees (if they are all of 0 to p, the constant coordinate of (x, 1) fixes each scale); trials: no bias",
            "the terms of some degrees are known, not of degree 0 alone (trials: of degree p); no sample and no multiplier is zero",
            "these degrees, and those whose terms are linearly independent, have the same group as all visible degrees",
        ),
        conclusion="each sample and its multiplier are determined up to the group",
        scope="this network, this data",
        reference=scale.REFERENCE,
        condition="scale",
        configuration=Configuration(inputs=2, samples=2, width=4, activation=Activation.parse("z + z^3")),
        examine=_scales,
        draw=_unlifted,
        nearest=(("one sample too many", changed(_unlifted, samples=1)),),
    ),
)
