"""Theorems about data that are not determined: counts (C6), rotations of degree 2, fibres of constant rank (C7), and the row space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from flint import fmpq, fmpq_mat

from identify.conditions import count
from identify.conditions.local import local
from identify.conditions.witnesses.witness import FIBRE
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.network import TwoLayerNetwork
from identify.theory.cases import Case, case_of, draw, exactly, fractions, rational_matrix, rational_rank, with_activation
from identify.theory.search import is_isolated
from identify.theory.theorem import Seen, Theorem


def _counted(case: Case) -> Seen:
    found = count.count(case.of_generic_data)
    isolated, evidence = is_isolated(case)
    parameters, excess = found.evidence["parameters"], found.evidence["excess"]
    numbers = f"{parameters} parameters, {parameters - excess} of them at most determined"
    return Seen(found.holds is False, None if isolated is None else not isolated, f"{numbers}; {evidence}")


def _few_enough(config: Configuration, seed: int) -> Case | None:
    """The largest number of samples, below the given one, that counting does not exclude."""
    for samples in range(config.samples - 1, 0, -1):
        case = draw(replace(config, samples=samples), seed)
        if count.count(case.of_generic_data).holds:
            return case
    return None


def _constant_rank(case: Case) -> Seen:
    here, anywhere = local(case.of_these_data), local(case.of_generic_data)
    ranks = f"rank {here.evidence['rank']} here, {anywhere.evidence['rank']} at random data, {here.evidence['needed']} for isolation"
    isolated, evidence = is_isolated(case)
    hypothesis = here.evidence["rank"] == anywhere.evidence["rank"] < here.evidence["needed"]
    return Seen(hypothesis, None if isolated is None else not isolated, f"{ranks}; {evidence}")


def _double_root(config: Configuration, seed: int) -> Case:
    r"""A rank that drops at one point only: :math:`c\,(1 + u + u^2)` and :math:`c\,(1 - u + u^2)` have the ratio 3 at u = 1 only, twice."""
    rng = np.random.default_rng(seed)
    k, c = 2.0 ** rng.integers(-3, 4), rng.integers(1, 20) / 8
    net = TwoLayerNetwork(np.array([[k], [-k]]), np.ones(2), Activation.parse("1 + z + z^2"))
    own = Configuration(inputs=1, samples=1, width=2, activation=net.activation, layers="second")
    return case_of(own, net, np.array([[1 / k]]), np.array([[c]]), seed)


def _rotated(case: Case) -> Seen:
    """Builds the other data over the rationals, and compares targets exactly."""
    n = len(case.X)
    X, c = exactly(case.X), exactly(case.c)
    rng = np.random.default_rng([case.seed, 0x207])
    draws = rng.integers(-9, 10, (n, n))
    skew = exactly((draws - draws.T) / 16)
    S = rational_matrix(skew / c[:, :1])
    one = fmpq_mat(n, n, [fmpq(int(i == j)) for i in range(n) for j in range(n)])
    if not (one - S).det():
        return Seen(False, None, "I − S is singular: this K gives no member of the family")
    P = fractions((one - S).inv() * (one + S))
    rho = P.sum(axis=1)[:, None]
    if not rho.all():
        return Seen(False, None, "a sample of this member of the family lies at infinity")
    Y, e = P @ X / rho, c * rho**2
    differs = sorted(map(tuple, np.hstack([X, c]).tolist())) != sorted(map(tuple, np.hstack([Y, e]).tolist()))
    same = bool((case.target_of(X, c) == case.target_of(Y, e)).all())
    moved = f"samples move by up to {float(np.abs((Y - X).astype(float)).max()):.2g}" if differs else "the family is one point"
    degree, outputs = case.config.activation.degree, case.config.outputs
    evidence = f"rotated data over the rationals: target {'equal' if same else 'not equal'}, {moved}"
    return Seen(degree == 2 and outputs == 1 and n >= 2, same and differs, evidence)


def _one_sample(config: Configuration, seed: int) -> Case:
    return draw(replace(config, samples=1), seed)


def _two_outputs(config: Configuration, seed: int) -> Case:
    return draw(replace(config, outputs=2), seed)


def _row_space(config: Configuration, seed: int) -> Case | None:
    """Data partly outside the row space of W, which the slopes hide: sum_i G_ji u_i = 0 for the parts u_i outside."""
    n, d, m = config.samples, config.inputs, config.neurons
    if config.bias or m >= min(n, d) or config.layers == "second":
        return None
    case = draw(config, seed)
    net = case.system.network
    W, A, c = (rational_matrix(part) for part in (net.W, net.A, case.c))
    inside = exactly(case.X) @ fractions(_projection(W))
    slopes = _slopes(net.activation, inside @ exactly(net.W).T) * fractions(c * A)
    hidden, outside = _kernel(slopes.T), _kernel(exactly(net.W))
    X = inside + np.multiply.outer(hidden[0], outside[0])
    return replace(case, X=X)


def _slopes(activation: Activation, Z: np.ndarray) -> np.ndarray:
    total = Z * 0
    for s in reversed(activation.derivative()):
        total = total * Z + s
    return total


def _projection(W: fmpq_mat) -> fmpq_mat:
    """Orthogonal projection on the row space."""
    form, rank = W.rref()
    rows = rational_matrix(fractions(form)[:rank])
    return rows.transpose() * (rows * rows.transpose()).inv() * rows


def _kernel(matrix: np.ndarray) -> np.ndarray:
    """A basis of the kernel, one vector in each row, over the rationals."""
    form, rank = rational_matrix(matrix).rref()
    table, columns = fractions(form), matrix.shape[1]
    pivots = [int(np.flatnonzero(table[i])[0]) for i in range(rank)]
    free = [j for j in range(columns) if j not in pivots]
    basis = exactly(np.zeros((len(free), columns)))
    for k, j in enumerate(free):
        basis[k, j] += 1
        for i, pivot in enumerate(pivots):
            basis[k, pivot] = -table[i, j]
    return basis


def _projected(case: Case) -> Seen:
    net = case.system.network
    X = case.X if case.X.dtype == object else exactly(case.X)
    c, W, m = exactly(case.c), exactly(net.W), net.width
    Y = X @ fractions(_projection(rational_matrix(W)))
    target = case.target_of(X, c)
    rows = target[: W.size].reshape(W.shape)
    inside = case.config.layers == "second" or rational_rank(np.vstack([W, rows])) == rational_rank(W)
    same, moved = bool((target == case.target_of(Y, c)).all()), bool((X != Y).any())
    evidence = (
        f"rank of W {rational_rank(W)} of {m} neurons in {W.shape[1]} inputs; first-layer target "
        f"{'inside' if inside else 'outside'} its row space; projected data {'differ' if moved else 'are the same'}, "
        f"target over the rationals {'equal' if same else 'not equal'}"
    )
    return Seen(inside and not net.has_bias, same, evidence)


def _any_data(config: Configuration, seed: int) -> Case | None:
    return draw(config, seed) if config.neurons < config.inputs else None


THEOREMS = (
    Theorem(
        name="count",
        title="More parameters than numbers in the target",
        statement=r"The target depends on at most $r = \min(N, \text{independent equations})$ numbers. With $v + 1$ parameters for each "
        r"sample modulo the group, $n (v + 1) > r$ implies that generic data lie in a family of data with the same target, of dimension "
        r"at least $n (v + 1) - r$ modulo the group.",
        hypotheses=("generic data", "n (v + 1) exceeds the number of visible moments or of independent equations"),
        conclusion="not identifiable: other data, arbitrarily near, have the same target",
        scope="any network, generic data",
        reference=count.REFERENCE,
        condition="count",
        configuration=Configuration(inputs=2, samples=3, width=4, activation=Activation.parse("z + z^3")),
        examine=_counted,
        draw=draw,
        nearest=(("fewer samples", _few_enough),),
    ),
    Theorem(
        name="rotation",
        title="Degree two leaves a rotation",
        statement=r"Let $p = 2$, one output, $n \ge 2$. For $S = \operatorname{diag}(c)^{-1} K$ with $K$ skew-symmetric and $I - S$ "
        r"invertible, $P = (I - S)^{-1}(I + S)$ and $\rho_i = \sum_k P_{ik} \ne 0$ (all small $K$ will do), the data "
        r"$x_i' = \sum_k P_{ik} x_k / \rho_i$, $c_i' = c_i \rho_i^2$ have the same moments of degree 0, 1 and 2.",
        hypotheses=("an activation of degree 2", "one output", "at least two samples"),
        conclusion="not identifiable from (S): for almost every K these data differ from the given ones, and have the same target",
        scope="any network, any data",
        reference="elementary (the orthogonal group of the second moment, by the Cayley transform)",
        condition="witness",
        configuration=Configuration(inputs=2, samples=3, width=5, activation=Activation.parse("z + z^2")),
        examine=_rotated,
        draw=draw,
        nearest=(("one sample", _one_sample), ("two outputs", _two_outputs), ("degree 3", with_activation(lambda s: [*s, 1]))),
    ),
    Theorem(
        name="fibre",
        title="A rank that is deficient everywhere makes a family",
        statement=r"If the Jacobian of (S) at the data has the largest rank that it has anywhere, and that is below the number of "
        r"unknowns modulo the group, the data lie in a smooth family with the same target. A rank that drops at one point alone proves "
        r"nothing: $x^2 = 0$ has one solution.",
        hypotheses=(
            "the rank at the data is the largest anywhere (generic data, for example)",
            "it is below the number of unknowns modulo the tangent of the group",
        ),
        conclusion="not identifiable: other data, arbitrarily near, have the same target",
        scope="this network, this data",
        reference=FIBRE,
        condition="witness",
        configuration=Configuration(inputs=3, samples=5, width=6, activation=Activation.parse("z^4"), layers="first"),
        examine=_constant_rank,
        draw=draw,
        nearest=(("deficient at one point only", _double_root),),
    ),
    Theorem(
        name="row-space",
        title="Data orthogonal to the weights are invisible",
        statement=r"Without bias, let the first-layer target lie in the row space of $W$, for example a multiple of $W$ (weight "
        r"decay, maximum margin). Then projecting every $x_i$ orthogonally on the row space of $W$ leaves (S) unchanged.",
        hypotheses=(
            "no bias (trials take fewer neurons than inputs and samples: else nothing need be hidden)",
            "the first-layer target lies in the row space of W",
        ),
        conclusion="the projected data have the same target: the parts outside the row space of W are undetermined",
        scope="this network, any data that produce the target",
        reference="elementary: activations depend on the projections only, and so does the target, projected",
        condition=None,
        configuration=Configuration(inputs=4, samples=3, width=2, activation=Activation.parse("z + z^3")),
        examine=_projected,
        draw=_row_space,
        nearest=(("a target that leaves the row space", _any_data),),
    ),
)
