r"""Theorems on other data with the same update of a network: lines of data, choices of slopes that nobody has, exchanged samples.

Conclusions are observed by a complete search through all activation cells in exact arithmetic, or by a descent on (S) itself.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy

from identify.conditions.networks import joint, realisation, rulings, second
from identify.conditions.networks.competitors import competitors
from identify.conditions.networks.separation import Route
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.verdict import Arithmetic
from identify.theory.networks import NetworkCase, narrower, planted
from identify.theory.oracle.cells import Category, count_all
from identify.theory.oracle.pieces import Question
from identify.theory.theorem import Seen, Theorem

NODES, LEAVES = 20_000, 500
CONVERGED, APART = 1e-11, 1e-3


def _cells(case: NetworkCase) -> tuple[Category, str]:
    """What the complete search says of these data."""
    net = case.system.network
    question = Question.of(net.activation, net.W, net.bias, net.A, case.X, case.c, str(case.config.layers))
    found = count_all(question, nodes=NODES, leaves=LEAVES, whole=False)
    return found.category, f"all cells: {found.category}, {len(found.isolated)} isolated data sets, {len(found.families)} families"


def _realised(case: NetworkCase) -> Seen:
    found, _ = realisation.realisation(case.question)
    category, evidence = _cells(case)
    seen = None if category is Category.OPEN else category is Category.UNIQUE
    lines = found.evidence.get("over_the_rationals", "–")
    return Seen(found.is_proved, seen, f"{lines} lines over the rationals for {len(case.X)} samples; {evidence}")


def _together(case: NetworkCase) -> Seen:
    found, _ = joint.joint(case.question)
    category, evidence = _cells(case)
    seen = None if category is Category.OPEN else category is Category.UNIQUE
    return Seen(found.is_proved, seen, f"{found.evidence.get('choices', 0)} choices of slopes of all samples; {evidence}")


def _lines(case: NetworkCase) -> Seen:
    found, _ = rulings.rulings(case.question)
    category, evidence = _cells(case)
    seen = None if category is Category.OPEN else category is not Category.UNIQUE
    dimension = 0 if found is None else found.evidence["dimension"]
    return Seen(found is not None and found.arithmetic is Arithmetic.PROOF, seen, f"lines in {dimension} directions; {evidence}")


def _exchanged(case: NetworkCase) -> Seen:
    found = second.second_solution(case.question)
    if found is None:
        search = competitors(case.question, Route.FORWARD)
        seen = False if search.holds and search.evidence["converged"] else None
        return Seen(False, seen, f"{case.question.neurons} neurons: no second solution was proved; {search.statement}")
    other = found[1].example
    assert other is not None
    scale = np.linalg.norm(case.system.target)

    def missed(values: np.ndarray) -> np.ndarray:
        Y, e = values[: case.X.size].reshape(case.X.shape), values[case.X.size :].reshape(case.c.shape)
        return (case.system.right_hand_side(Y, e) - case.system.target) / scale

    start = np.concatenate([other[0].ravel(), other[1].ravel()])
    ended = scipy.optimize.least_squares(missed, start, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=40)
    Y = ended.x[: case.X.size].reshape(case.X.shape)
    apart = max(float(np.linalg.norm(y - case.X, axis=1).min()) for y in Y) / float(np.abs(case.X).max())
    missing = float(np.linalg.norm(ended.fun))
    evidence = f"a descent on (S) from it ends with a residual of {missing:.0e}, at a sample {apart:.1e} from every given one"
    return Seen(True, missing < CONVERGED and apart > APART, f"{len(found[2].free)} equations; {evidence}")


def _one_neuron_more(config: Configuration, seed: int) -> NetworkCase | None:
    return planted(replace(config, width=config.widths[0] + 1), seed)


def _two_neurons(config: Configuration, seed: int) -> NetworkCase | None:
    """Fewer rows than samples, so that samples stay open whatever their slopes."""
    return planted(replace(config, width=config.samples - 1), seed)


def _independent(config: Configuration, seed: int) -> NetworkCase | None:
    """As many inputs as samples."""
    return planted(replace(config, inputs=config.samples, width=4 * config.samples + 4), seed)


THEOREMS = (
    Theorem(
        name="realisation",
        title="Lines that no point has the slopes of do not matter (B, with signs)",
        statement=r"As for the enumeration of slopes, let $G_1$ have rank $n$ and every choice of slopes leave at most lines of "
        r"$(v, \gamma)$. Columns of a solution are a basis $v_1, \dots, v_n$ on such lines, and $G_1 = \sum_k v_k \tilde x_k^\top$ gives "
        r"its samples. If of all $n$ independent lines only those of the given samples lead to samples with these slopes and to the "
        r"observed updates, no other data have them.",
        hypotheses=(
            "two layers, the first one piecewise-linear, and G_1 has rank n",
            "every choice of slopes leaves lines only; they are known over the rationals",
            "no n independent lines but those of the samples lead to other data with the same updates, in fractions",
            "the update of the first bias is known, or there is no bias, σ(tz) = tσ(z) for t > 0, and no update of a second bias",
        ),
        conclusion="no other data set of at most n samples has these updates, up to the order of the samples (and their scales without "
        "biases)",
        scope="this network, this data",
        reference=realisation.REFERENCE,
        condition="realisation",
        configuration=Configuration(
            inputs=2, samples=2, width=5, bias=True, layers="first", activation=Activation.parse("leaky_relu(1/4)")
        ),
        examine=_realised,
        draw=planted,
        nearest=(("too few neurons", narrower(lambda question: 3)),),
    ),
    Theorem(
        name="joint-slopes",
        title="If the slopes of all samples are tried together, one data set is left (B, without a rank)",
        statement=r"Let the slopes of $\sigma$ be finitely many numbers, and $M_i = \gamma_i \tilde x_i^\top$. With slopes $s_{ij}$ every "
        r"neuron says $\sum_i s_{ij}\, a_j^\top M_i = (G_1)_j$, and the second update is linear in the $M_i$ if $\sigma(tz) = t\sigma(z)$ "
        r"for t > 0. Let every choice of slopes of $k = 1, \dots, n$ samples contradict these equations, or leave an $M_i$ that is not of "
        r"rank one or does not have these slopes, or determine all $M_i$. If of the data so found only the given ones have the update, no "
        r"other data have it. No rank of an update is needed.",
        hypotheses=(
            "two layers, the first one piecewise-linear, and its update is known",
            "no choice of slopes leaves an M_i open without a contradiction",
            "of all data found only the given ones have the observed updates, in fractions",
            "the update of the first bias is known, or there is no bias, σ(tz) = tσ(z) for t > 0, and no update of a second bias",
        ),
        conclusion="no other data set of at most n samples has these updates, up to the order of the samples (and their scales without "
        "biases)",
        scope="this network, this data",
        reference=joint.REFERENCE,
        condition="joint-slopes",
        configuration=Configuration(inputs=2, samples=3, width=8, activation=Activation.parse("leaky_relu(1/4)")),
        examine=_together,
        draw=planted,
        nearest=(("fewer neurons than samples", _two_neurons),),
    ),
    Theorem(
        name="lines",
        title="A kernel of the update, with all states fixed, is a family of data",
        statement=r"Let all activations be piecewise-linear. With the states of all neurons at a sample fixed, its contribution to the "
        r"updates is linear in $t_i (x_i, 1)$ if $\gamma_i' = t_i\gamma_i$, and linear in $\gamma_i$ if $x_i$ stays. A vector in the "
        r"kernel of the sum, for one of the two for each sample, that keeps pre-activations on kinks where they are, is a line of data "
        r"with the same updates.",
        hypotheses=(
            "every hidden layer is piecewise-linear, and nothing beyond (S) is in force",
            "a vector in the kernel, over the rationals, that moves the data by more than the ambiguity",
        ),
        conclusion="not identifiable: other data have exactly the same updates",
        scope="this network, this data",
        reference=rulings.REFERENCE,
        condition="witness",
        configuration=Configuration(inputs=1, samples=3, width=6, layers="first", activation=Activation.parse("leaky_relu(1/4)")),
        examine=_lines,
        draw=planted,
        nearest=(("independent samples", _independent),),
    ),
    Theorem(
        name="exchange",
        title="A point whose features are in the span of those of the samples can take the place of one",
        statement=r"Let only the last layer be observed, and h be the features that enter it. If "
        r"$\tilde h(x') = \sum_i \eta_i \tilde h_i$ with $\eta_k \ne 0$, the data with $x'$ in place of $x_k$, with the multipliers "
        r"$\gamma_k / \eta_k$ for it and $\gamma_i - \gamma_k\eta_i/\eta_k$ for the others, have the same update. If it has rank $n$, "
        r"every other data set consists of such points. Krawczyk's test proves $x'$ if there are no more equations than unknowns.",
        hypotheses=(
            "analytic activations, only the update of the last layer",
            "a point in a box that solves the equations, by Krawczyk's test, and is no sample anywhere in it",
        ),
        conclusion="not identifiable: other data have exactly the same update",
        scope="this network, this data",
        reference=second.REFERENCE,
        condition="witness",
        configuration=Configuration(
            inputs=2, samples=2, width=4, outputs=2, bias=True, layers="second", activation=Activation.parse("tanh")
        ),
        examine=_exchanged,
        draw=planted,
        nearest=(("one neuron more", _one_neuron_more),),
    ),
)
