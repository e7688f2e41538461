r"""Theorems on networks of any activation and depth: separation (A), the activation pattern (A2), quadrics (B), isolation (D).

Conclusions are observed by other means than hypotheses: a search for other points that solve the equations of a single sample, a complete
search through all activation cells in exact arithmetic, and descents from starts near the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy

from identify.conditions.networks import bases, enumeration, isolated, pattern, quadrics, separation
from identify.conditions.networks.competitors import competitors
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.separation import Route
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.arrays import ShapeError
from identify.problem.system import KKTSystem
from identify.theory.oracle.cells import Category, count_all
from identify.theory.oracle.pieces import Question
from identify.theory.theorem import Seen, Theorem

NEAR, STARTS = (1e-3, 1e-4), 3
"""Relative distances of starts near the data, and how many."""
APART = 1e-7
"""Relative distance of another solution."""


@dataclass(frozen=True, eq=False)
class NetworkCase:
    """An instance: a system and data that solve it, to rounding."""

    config: Configuration
    system: KKTSystem
    X: np.ndarray
    c: np.ndarray
    seed: int

    @cached_property
    def question(self) -> NetworkQuestion:
        """About these data."""
        return NetworkQuestion.of_system(self.system, len(self.X), self.seed, (self.X, self.c))


def planted(config: Configuration, seed: int) -> NetworkCase | None:
    """An instance with numbers that are multiples of 1/16; None if its updates are zero."""
    try:
        system, truth = config.plant(seed)
    except ShapeError:
        return None
    X, c = (np.round(16 * part) / 16 for part in (truth.X, np.reshape(truth.c, (config.samples, config.outputs))))
    net = system.network.with_parameters({name: np.round(16 * part) / 16 for name, part in system.network.parameters.items()})
    blank = KKTSystem(
        net, {k: tuple(None if part is None else part + 1 for part in update) for k, update in system.layers.items()}, "gradient"
    )
    side = blank.right_hand_side(X, c)
    return NetworkCase(config, blank.with_target(side), X, c, seed) if side.any() else None


def narrower(least: Callable[[NetworkQuestion], int]) -> Callable[[Configuration, int], NetworkCase | None]:
    """Draws with one neuron too few in the first layer."""

    def drawn(config: Configuration, seed: int) -> NetworkCase | None:
        width = least(NetworkQuestion.of_configuration(config, seed)) - 1
        return planted(replace(config, width=(width, *config.widths[1:])), seed) if width else None

    return drawn


def _needed(question: NetworkQuestion) -> int:
    return min(need.neurons for need in separation.needs(question))


def _pattern_width(question: NetworkQuestion) -> int:
    """So few neurons that one sample is seen by too few."""
    return 2 * question.samples - 1


def _apart(config: Configuration, seed: int) -> NetworkCase | None:
    """Two samples that hardly any neuron tells apart."""
    case = planted(config, seed)
    if case is None or len(case.X) < 2:
        return None
    X = case.X.copy()
    X[1] = X[0] + (X[1] - X[0]) / 64
    return NetworkCase(config, case.system.with_target(case.system.right_hand_side(X, case.c)), X, case.c, seed)


def _competitors(case: NetworkCase, route: Route) -> tuple[bool | None, str]:
    found = competitors(case.question, route)
    if not found.evidence or not found.evidence["converged"]:
        return None, found.statement
    return found.holds, found.statement


def _separation(case: NetworkCase) -> Seen:
    found = separation.separation(case.question)
    route = Route[found.evidence["route"]] if found.is_proved else Route.FORWARD if case.question.features_can_count else Route.BACKWARD
    seen, evidence = _competitors(case, route)
    return Seen(found.is_proved, seen, f"{case.question.neurons} neurons, {_needed(case.question)} are enough; {evidence}")


def _pattern(case: NetworkCase) -> Seen:
    found = pattern.pattern(case.question)
    seen, evidence = _competitors(case, Route.FORWARD)
    counts = ", ".join(f"{name} {found.evidence[name]} of {found.evidence['needed'][name]}" for name in found.evidence.get("needed", ()))
    return Seen(found.is_proved, seen, f"{counts or found.statement}; {evidence}")


def _bases(case: NetworkCase) -> Seen:
    found, asked = bases.by_bases(case.question), case.question
    routes = bases.is_about(asked)
    route = found.requirement.route if found else routes[0] if routes else Route.FORWARD
    seen, evidence = _competitors(case, route)
    counts = f"{found.seen} neurons see a sample, {found.requirement.bases} bases" if found else "too few neurons, or bases"
    return Seen(found is not None, seen, f"{counts}; {evidence}")


def _quadrics(case: NetworkCase) -> Seen:
    found = quadrics.quadrics(case.question)
    net = case.system.network
    if net.depth > 2:
        return Seen(found.is_proved, *_competitors(case, Route.FORWARD))
    counted = count_all(Question.of(net.activation, net.W, net.bias, net.A, case.X, case.c, str(case.config.layers)))
    seen = None if counted.category is Category.OPEN else counted.category is Category.UNIQUE
    ranks = found.evidence.get("tried") or [{"rank": "none", "needed": min(found.evidence.get("needed", {"": "–"}).values())}]
    evidence = f"all cells: {counted.category}, {len(counted.isolated)} isolated data sets, {len(counted.families)} families"
    return Seen(found.is_proved, seen, f"rank {ranks[0]['rank']} of {ranks[0]['needed']}; {evidence}")


def _enumeration(case: NetworkCase) -> Seen:
    found = enumeration.enumeration(case.question)
    seen = _quadrics(case)
    lines = found.evidence.get("lines", "–")
    return Seen(found.is_proved, seen.conclusion, f"{lines} lines for {len(case.X)} samples; {seen.evidence.partition('; ')[2]}")


def _isolated(case: NetworkCase) -> Seen:
    found = isolated.isolated(case.question)
    rank = f"rank {found.evidence.get('rank', '–')} of {found.evidence.get('needed', '–')}"
    seen, evidence = _returns(case)
    return Seen(found.is_proved, seen, f"{rank}; {evidence}")


def _returns(case: NetworkCase) -> tuple[bool | None, str]:
    """Whether descents from near the data end at them."""
    rng = np.random.default_rng([case.seed, 0x15])
    planted_data = np.concatenate([case.X.reshape(-1), case.c.reshape(-1)])
    size, scale = np.linalg.norm(planted_data), np.linalg.norm(case.system.target)
    distances = []
    for near in NEAR:
        for _ in range(STARTS):
            move = rng.standard_normal(len(planted_data))
            ended = scipy.optimize.least_squares(
                lambda values: (case.system.right_hand_side(*_split(case, values)) - case.system.target) / scale,
                planted_data + near * size / np.linalg.norm(move) * move,
                xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=40,
            )  # fmt: skip
            if np.linalg.norm(ended.fun) < 1e-12:
                distances.append(np.linalg.norm(ended.x - planted_data) / size)
    if not distances:
        return None, f"none of {len(NEAR) * STARTS} starts near the data converged"
    others = sum(distance > APART for distance in distances)
    return not others, f"{len(distances)} starts near the data converged, {others} of them to other data"


def _split(case: NetworkCase, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values[: case.X.size].reshape(case.X.shape), values[case.X.size :].reshape(case.c.shape)


def _one_more(config: Configuration, seed: int) -> NetworkCase | None:
    """So many samples that there are more unknowns than equations."""
    return planted(replace(config, samples=config.n_equations // (config.inputs + config.outputs) + 1), seed)


THEOREMS = (
    Theorem(
        name="separation",
        title="Counts of neurons prove data unique for almost every analytic network (A)",
        statement=r"Let $\sigma$ be real-analytic, not a polynomial, and the first layer have biases. For every data set of distinct "
        r"samples and almost every network: if $G_2$ has rank $n$ and $m \ge n + d$, no other data have these updates; if $G_1$ has rank "
        r"$n$ too, $m \ge 2n - 1$ is enough. For two layers and $G_1$ alone, of rank $n$, $m \ge 2n + C - 1$ is enough for "
        r"multipliers that do not depend on the network, and $m \ge n - 1 + C(n + 1)$ for all multipliers.",
        hypotheses=(
            "the first hidden layer is analytic and not a polynomial, and its network does not depend on the data",
            "the updates named have rank n, the number of samples",
            "as many neurons as the count says: one more for each bias whose update is not known",
            "without biases in the first layer: no sample is zero, or the opposite of another",
            "no hidden layer behind the second is narrower than C",
        ),
        conclusion="no other point solves the equations of a single sample, so that no other data set of at most n samples has these "
        "updates, up to the order of the samples (and their signs, if σ is even, or odd up to a constant, and has no bias)",
        scope="generic network, all data of this rank",
        reference=separation.REFERENCE,
        condition="separation",
        configuration=Configuration(inputs=4, samples=2, width=(3, 4), outputs=2, bias=True, activation=Activation.parse("tanh")),
        examine=_separation,
        draw=planted,
        nearest=(("one neuron too few", narrower(_needed)),),
    ),
    Theorem(
        name="pattern",
        title="Counts of the activation pattern prove data unique for almost every network with it (A2)",
        statement=r"Let $\sigma$ be piecewise-linear with one kink, at 0, the first layer have biases, all updates of the first two layers "
        r"be known, and $G_1$ and $G_2$ have rank $n$. For almost every first layer: if every sample activates at least $2n - 1$ neurons "
        r"and every two are told apart by at least $n$, no other data have these updates. It is enough that for every set $E$ of samples "
        r"at least $n + |E| - 1$ neurons see one of $E$, and for $|E| \ge 2$ at least $|E|$ see some of $E$ but not all.",
        hypotheses=(
            "the network does not depend on the data, and no sample is on a kink",
            "G_1 and G_2 have rank n",
            "the counts; with two slopes that are not zero, every two samples are also seen alike by at least n neurons",
        ),
        conclusion="no other point solves the equations of a single sample, so that no other data set of at most n samples has these "
        "updates, up to the order of the samples (and their scales without biases)",
        scope="almost every network with this activation pattern, this data",
        reference=pattern.REFERENCE,
        condition="pattern",
        configuration=Configuration(inputs=4, samples=2, width=(14, 8), outputs=2, bias=True, activation=Activation.parse("relu")),
        examine=_pattern,
        draw=planted,
        nearest=(("seen by too few neurons", narrower(_pattern_width)), ("hardly told apart", _apart)),
    ),
    Theorem(
        name="bases",
        title="Disjoint bases of slopes prove data unique for almost every network with this pattern (A2, one update)",
        statement=r"Let $\sigma$ be piecewise-linear, $s_j$ the slopes of neuron $j$ at the $n$ samples. *Forward* (one kink, at 0; $G_2$ "
        r"of rank $n$, the first layer has biases): let any $\kappa \ge 2$ of the $(x_i, 1)$ be independent, and $D = d + 1$. *Backward* "
        r"(two layers; $G_1$ of rank $n$): let any $\kappa \ge 2$ of the multipliers $\gamma_i$ be independent, and $D = C$. If every "
        r"sample is seen by $D + n$ neurons, and the $s_j$ have $k \ge 2$ disjoint bases of $\mathbb{R}^n$, with "
        r"$k(\kappa - 1) \ge n + D - \kappa$ if $n > \kappa$, then for almost all weights, of the first layer or of the second, no other "
        r"data have this update. Backward for all multipliers at once, any two of them independent: $C(n + 1)$ neurons and $2C$ bases.",
        hypotheses=(
            "the network does not depend on the data, and no sample is on a kink of the first layer",
            "the update named has rank n",
            "so many neurons see each sample (forward one less if the update of the second bias is known), and so many bases are disjoint",
            "backward: the update of the first bias is known, or there is no bias and σ(tz) = tσ(z) for t > 0",
        ),
        conclusion="no other point solves the equations of a single sample, so that no other data set of at most n samples has this "
        "update, up to the order of the samples (and their scales without biases)",
        scope="almost every network with this activation pattern, this data",
        reference=pattern.REFERENCE,
        condition="pattern",
        configuration=Configuration(
            inputs=2, samples=4, width=(30, 6), outputs=2, bias=True, layers=(2, 3), activation=Activation.parse("relu")
        ),
        examine=_bases,
        draw=planted,
        nearest=(("too few neurons", narrower(lambda question: question.inputs + question.samples)),),
    ),
    Theorem(
        name="quadrics",
        title="Quadrics with a kernel of dimension n prove data unique (B)",
        statement=r"Let $\sigma'$ take two values $\alpha, \beta$. Every column $v$ of a sample in $\mathrm{col}(G_1)$ satisfies "
        r"$(v_j - \alpha r_j)(v_j - \beta r_j) = 0$ with $r = A^\top\gamma$; linear in the products of the unknowns. If $G_1$ has rank $n$ "
        r"and the kernel of these linear equations has dimension $n$, no other data have this update. Likewise for the columns of two "
        r"layers, and for features.",
        hypotheses=(
            "the slope of the first layer takes two values, also at its kinks",
            "G_1 has rank n (and G_2, for deeper networks)",
            "the matrix of the quadrics has as many columns as its rank and n",
            "the update of the first bias is known, or there is no bias and σ(tz) = tσ(z) for t > 0",
        ),
        conclusion="no other data set of at most n samples has these updates, up to the order of the samples (and their scales without "
        "biases); for one output this holds for all data in the activation cell",
        scope="this network, this data (one output: all data in this activation cell)",
        reference=quadrics.REFERENCE,
        condition="quadrics",
        configuration=Configuration(inputs=2, samples=2, width=16, bias=True, layers="first", activation=Activation.parse("relu")),
        examine=_quadrics,
        draw=planted,
        nearest=(("too few neurons", narrower(lambda question: 4)),),
    ),
    Theorem(
        name="enumeration",
        title="If no choice of slopes admits another column, the data are unique (B, without products)",
        statement=r"Let the slopes of $\sigma$ be finitely many numbers. Every column $v \in \mathrm{col}(G_1)$ of a sample satisfies "
        r"$v_j = s_j\, a_j\cdot\gamma$ with slopes $s_j$ of $\sigma$. If $G_1$ has rank $n$ and, whatever the slopes, the only lines of "
        r"$(v, \gamma)$ are those of the samples, no other data have this update. Likewise for columns of two layers, and for features.",
        hypotheses=(
            "the first layer is piecewise-linear, and its slopes at kinks are stated",
            "G_1 has rank n (and G_2, for deeper networks)",
            "for no choice of slopes there is another line, or more than a line, with a column that is not zero",
            "the update of the first bias is known, or there is no bias and σ(tz) = tσ(z) for t > 0",
        ),
        conclusion="no other data set of at most n samples has these updates, up to the order of the samples (and their scales without "
        "biases)",
        scope="this network, this data",
        reference=enumeration.REFERENCE,
        condition="enumeration",
        configuration=Configuration(
            inputs=2, samples=2, width=10, bias=True, layers="first", activation=Activation.parse("leaky_relu(1/4)")
        ),
        examine=_enumeration,
        draw=planted,
        nearest=(("too few neurons", narrower(lambda question: 3)),),
    ),
    Theorem(
        name="isolation",
        title="A derivative of full rank isolates the data, for any activation and depth (D)",
        statement=r"If the derivative of (S) in $(x, \gamma)$ has full column rank at the data, modulo the scales that (S) leaves free, "
        r"they are an isolated solution. If every activation is analytic, full rank at one network and data set proves it for almost all.",
        hypotheses=("no sample is on a kink", "full column rank: modulo a prime, or in intervals if an activation is analytic"),
        conclusion="no other data near these have the same updates",
        scope="this network, this data (analytic: generic network, generic data)",
        reference=isolated.REFERENCE,
        condition="local",
        configuration=Configuration(inputs=2, samples=2, width=(3, 2), bias=True, activation=Activation.parse("gelu")),
        examine=_isolated,
        draw=planted,
        nearest=(("more unknowns than equations", _one_more),),
    ),
)
