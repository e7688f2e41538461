"""Theorems on given data below the interpolation width: equations of a single sample, completed moments, one sample."""

from __future__ import annotations

from dataclasses import replace

from identify.conditions import completion, macaulay, one_sample
from identify.conditions.decomposition import KRUSKAL, decomposition
from identify.conditions.reduction import reduce
from identify.conditions.scale import scale
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.theory.cases import Case, changed, draw
from identify.theory.search import only_these_data
from identify.theory.theorem import Draw, Seen, Theorem


def _separated(case: Case) -> Seen:
    found = macaulay.macaulay(reduce(case.of_these_data)[1])
    unique, evidence = only_these_data(case)
    return Seen(found.is_proved, unique, f"{found.statement}; {evidence}")


def _completed(case: Case) -> Seen:
    where = reduce(case.of_these_data)[1]
    terms = decomposition(where)
    others = all(each.is_proved for each in (terms, scale(where, terms)))
    found = completion.completion(where)
    unique, evidence = only_these_data(case)
    return Seen(found.is_proved and others, unique, f"{found.statement}; {evidence}")


def _alone(case: Case) -> Seen:
    found = one_sample.one_sample(reduce(case.of_these_data)[1])
    has_none = found.holds is True and found.evidence["other_factor"] == ["1"]
    unique, evidence = only_these_data(case)
    return Seen(has_none, unique, f"{found.statement}; {evidence}")


def _first_layer(config: Configuration, seed: int) -> Case | None:
    return draw(config, seed) if config.layers != "second" else None


def _narrow(neurons: int) -> Draw:
    """As many equations of a single sample as unknowns, m = 2 n, or fewer by that many neurons."""

    def drawn(config: Configuration, seed: int) -> Case | None:
        width = 2 * config.samples - neurons
        return draw(replace(config, width=width), seed) if config.layers != "second" and not config.bias else None

    return drawn


def _single(config: Configuration, seed: int) -> Case | None:
    fits = config.samples == 1 and config.layers != "second" and not config.bias and (config.outputs == 1 or config.layers == "both")
    return draw(config, seed) if fits else None


_GROUP = "up to the order of the samples and the ambiguity group"

THEOREMS = (
    Theorem(
        name="macaulay",
        title="A corank separates the samples",
        statement=r"If $\operatorname{rank} G_1 = n$, every sample $x'$ of every data set of at most $n$ samples with this target "
        r"satisfies $(A^\top\gamma') \circ \sigma'(Wx' + b) \in \operatorname{col} G_1$, $x'$ in the span of the samples; if "
        r"$\operatorname{rank} G_2 = n$, it satisfies $\sigma(Wx' + b) \in \operatorname{row} G_2$. If the Macaulay matrix of these "
        r"equations, linear in $\gamma'$, has corank $n$ in some degree $D$ of $x'$ that is large enough, their only solutions are the "
        r"$n$ samples, up to the group.",
        hypotheses=(
            "rank G_1 = n (C0), or the second layer is observed, rank G_2 = n and, without biases, no sample is zero",
            "the Macaulay matrix in degree D has corank n, on monomials with at least L factors x and a homogenising variable of weight "
            "g: g = 1, L = 0 with biases; otherwise g is the gcd of the differences of the degrees of the equations in x",
            "D ≥ 2 and D ≥ L + g; for dependent samples D ≥ n max(g, 1) + L",
            "with the samples known, the observed layers determine the multipliers; scale holds (C3)",
        ),
        conclusion=f"no other data set of at most n samples has this target, {_GROUP}",
        scope="this network, this data; with one random point for generic ones",
        reference=macaulay.REFERENCE,
        condition="macaulay",
        configuration=Configuration(inputs=2, samples=2, width=5, activation=Activation.parse("z + z^2 + z^3"), layers="first"),
        examine=_separated,
        draw=_first_layer,
        nearest=(("as many equations as unknowns", _narrow(0)), ("one equation too few", _narrow(1))),
    ),
    Theorem(
        name="completion",
        title="The rank of moments completes them",
        statement=r"Let $y$ be the visible moments of the data and $K$ a basis of the kernel of the interpolation matrix. The moments of "
        r"every data set of at most $n$ samples with this target are $y + Ks$, and all minors of size $n + 1$ vanish, of every matrix of "
        r"moments $\sum_i \gamma_i \otimes \varphi_S(x_i) \otimes \varphi_T(x_i)$ (the sums of $S$ and $T$ visible). If the Macaulay "
        r"matrix of minors, polynomials in $s$, has corank one in some degree, then $s = 0$.",
        hypotheses=(
            "minors of size n + 1 have a Macaulay matrix of corank one in some degree of at least n + 1",
            "decomposition holds (C2)",
            "scale holds (C3)",
        ),
        conclusion="data sets of at most n samples with this target have the same visible moments, so no other data set of at most n "
        f"samples has this target, {_GROUP}",
        scope="this network, this data; with one random point for generic ones",
        reference=f"{completion.REFERENCE}; decomposition: {KRUSKAL}",
        condition="completion",
        configuration=Configuration(
            inputs=1, samples=2, width=4, activation=Activation.parse("1 + z + z^4"), outputs=2, bias=True, layers="first"
        ),
        examine=_completed,
        draw=draw,
        nearest=(("one neuron too few", changed(width=-1)),),
    ),
    Theorem(
        name="one-sample",
        title="One sample is a question in one unknown",
        statement=r"Let $n = 1$, the first layer observed without biases, and one output or both layers, with a second-layer target that "
        r"is not zero. The other solutions are $(t x, \lambda\gamma)$ for the real roots $t$ of one polynomial over the rationals: the "
        r"greatest common divisor of $v_i(t)\, v_k(1) - v_k(t)\, v_i(1)$, without its roots in common with $v_k$. Here $v(t)$ lists the "
        r"$t\, (a_j\cdot\gamma)\,\sigma'(t\, w_j\cdot x + b_j)$ and, if the second layer is observed, the $\sigma(t\, w_j\cdot x + b_j)$, "
        r"and $v_k(1) \ne 0$.",
        hypotheses=(
            "one sample, not zero; the first-layer weights are observed, biases are not (with observed biases t = 1)",
            "one output, or both layers observed and the second-layer target not zero",
            "the polynomial is not zero, and has no root but 1, and −1 if that is in the group",
        ),
        conclusion=f"no other sample and multiplier have this target, {_GROUP}",
        scope="this network, this data; with random numbers for generic ones",
        reference=one_sample.REFERENCE,
        condition="one-sample",
        configuration=Configuration(inputs=2, samples=1, width=3, activation=Activation.parse("z + z^2 + z^3"), layers="first"),
        examine=_alone,
        draw=_single,
        nearest=(("one neuron too few", changed(_single, width=-1)),),
    ),
)
