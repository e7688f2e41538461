r"""What every condition on a network of any activation and depth is given.

The first hidden layer is the one that the theorems are about: its m neurons give equations for a single sample. Two flags say how
many unknowns such a sample has. With the update of the first bias, a sample is an *affine* combination of the samples in the row space of
:math:`G_1`; with that of the second bias, its features are an affine combination of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from identify.base.limits import OPERATIONS_PER_SECOND
from identify.conditions.networks.known import Known
from identify.conditions.networks.multipliers import multipliers_are_determined
from identify.conditions.networks.signs import FixedSigns, fixed_signs
from identify.exact.images import Images, images
from identify.exact.modular import random_prime, rank_seconds
from identify.exact.pieces import Pieces, pieces_of
from identify.exact.rings import Intervals, Modular, Passes, Ring, concatenated, passes, shaped
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation, PiecewiseLinear
from identify.problem.ambiguity import Ambiguity
from identify.problem.network import Network
from identify.problem.open_multipliers import kernels, open_by_sizes
from identify.problem.partial import Sent
from identify.problem.signals import Forward
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.updates import layer_numbers
from identify.problem.verdict import Scope

ATTEMPTS = 3
"""Primes, at most, for a rank that is expected to be full."""
SPARE = 20
"""Neurons beyond n, from which a rank of n is proved."""

BALL_SECONDS, TABLE_SECONDS = 1.5e-5, 1e-6
"""Of one activation, or slope, of a ball, and by a table (measured for GELU; the second with some cells that are new)."""


@dataclass(frozen=True, eq=False)
class NetworkQuestion:
    """Sizes, observed layers, and the network and data where they are given.

    Attributes
    ----------
    sizes
        d, the numbers of neurons of the hidden layers, and C.
    biases
        Whether each layer has a bias.
    observed
        For each layer, whether the updates of its weights and of its bias are known.
    equations_are_complete
        Whether nothing beyond (S) is in force, so that other data that solve (S) are a witness.
    passed
        A network with its forward pass at some samples in floats, used where these are the given ones.
    """

    sizes: tuple[int, ...]
    activations: tuple[Activation, ...]
    biases: tuple[bool, ...]
    observed: tuple[tuple[bool, bool], ...]
    samples: int
    seed: int
    regime: str = "gradient"
    equations_are_complete: bool = True
    system: KKTSystem | None = None
    data: tuple[np.ndarray, np.ndarray] | None = None
    passed: tuple[Network, Forward] | None = None
    known: Known = field(default_factory=Known)

    @classmethod
    def of_configuration(cls, config: Configuration, seed: int) -> NetworkQuestion:
        depth, numbers = config.depth, layer_numbers(config.layers, config.depth)
        biases = tuple(config.bias and k < depth for k in range(1, depth + 1))
        seen = tuple((k in numbers, k in numbers and biases[k - 1]) for k in range(1, depth + 1))
        sizes = (config.inputs, *config.widths, config.outputs)
        return cls(sizes, config.activations, biases, seen, config.samples, seed, config.regime)

    @classmethod
    def of_system(
        cls,
        system: KKTSystem,
        samples: int,
        seed: int,
        data: tuple[np.ndarray, np.ndarray] | None = None,
        passed: Forward | None = None,
        known: Known | None = None,
    ) -> NetworkQuestion:
        net = system.network
        return cls(
            net.sizes,
            net.activations,
            tuple(b is not None for b in net.biases),
            tuple((update.W is not None, update.bias is not None) for update in system.updates),
            samples,
            seed,
            system.regime,
            system.loss is None and system.labels is None and system.regime != "max-margin",
            system,
            data,
            None if passed is None else (net, passed),
            Known() if known is None else known,
        )

    @property
    def inputs(self) -> int:
        """d."""
        return self.sizes[0]

    @property
    def neurons(self) -> int:
        """m, of the first hidden layer."""
        return self.sizes[1]

    @property
    def outputs(self) -> int:
        """C."""
        return self.sizes[-1]

    @property
    def depth(self) -> int:
        """L, the number of layers of weights."""
        return len(self.sizes) - 1

    @property
    def sigma(self) -> Activation:
        """The activation of the first hidden layer."""
        return self.activations[0]

    def subject(self, layers: Any = None) -> dict[str, Any]:
        """The sizes, for a report."""
        names = {True: "W{0} b{0}", False: "W{0}"}
        seen = " ".join(names[b].format(k) if W else f"b{k}" for k, (W, b) in enumerate(self.observed, 1) if W or b)
        widths = self.sizes[1:-1]
        return {
            "regime": self.regime,
            "activation": ", ".join(dict.fromkeys(map(str, self.activations))),
            "inputs": self.inputs,
            "samples": self.samples,
            "width": widths[0] if len(widths) == 1 else list(widths),
            "outputs": self.outputs,
            "bias": [k for k, has in enumerate(self.biases, 1) if has] or False,
            "layers" if layers is not None else "observed": seen if layers is None else layers,
            "equations": self.equations,
            "unknowns": self.unknowns,
        }

    @cached_property
    def sent(self) -> dict[int, Sent]:
        """The known rows and columns of each layer, from 1, of whose update some are not."""
        return {} if self.system is None else self.system.sent

    @property
    def is_partial(self) -> bool:
        """Whether some rows or columns of an observed update, or entries of a bias, are not known."""
        return self.system is not None and self.system.is_partial

    @property
    def is_smooth(self) -> bool:
        """Whether every activation is analytic or a polynomial, so that rank at one point is rank at almost every point."""
        return all(sigma.kind != "piecewise-linear" for sigma in self.activations)

    @property
    def is_self_trained(self) -> bool:
        """Whether the network depends on its own data, so that it is not generic for them."""
        return self.regime in SELF_TRAINED

    @property
    def affine(self) -> tuple[int, int]:
        """1 or 0: whether the coefficients of a sample, and of its features, are known to have the sum 1.

        Both updates of a layer are needed: that of its bias alone is a sum over all samples.
        """
        return int(all(self.observed[0])), int(all(self.observed[1]))

    @property
    def rows_can_count(self) -> bool:
        """Whether the update of the first layer was observed and can have rank n."""
        rows, columns = self.known_sizes(0)
        return self.observed[0][0] and self.samples <= min(rows, columns + self.affine[0])

    @property
    def features_can_count(self) -> bool:
        """The same of the second layer, whose rank counts the features of the first."""
        rows, columns = self.known_sizes(1)
        return self.observed[1][0] and self.samples <= min(rows, columns + self.affine[1])

    def known_sizes(self, layer: int) -> tuple[int, int]:
        """How many rows and columns of the update of a layer, from 0, are known if it was observed."""
        return self.sent[layer + 1].counts if layer + 1 in self.sent else (self.sizes[layer + 1], self.sizes[layer])

    @property
    def equations(self) -> int:
        """Number of scalar equations (S)."""
        if self.system is not None and self.is_partial:
            return self.system.n_equations
        sizes = zip(self.sizes, self.sizes[1:], self.observed, strict=False)
        return sum(out * (inside * W + bias) for inside, out, (W, bias) in sizes)

    @property
    def unknowns(self) -> int:
        """Number of scalar unknowns (x_i, γ_i)."""
        return self.samples * (self.inputs + self.outputs)

    @cached_property
    def open_multipliers(self) -> int:
        """How many dimensions of multipliers no observed layer shows, whatever the samples: at given data in floating point."""
        if self.system is not None and self.data is not None:
            return sum(map(len, kernels(self.system, self.data[0])))
        return self.samples * open_by_sizes(self.sizes, max((k for k, seen in enumerate(self.observed, 1) if any(seen)), default=0))

    @cached_property
    def ambiguity(self) -> Ambiguity:
        """What the equations of single samples leave open, beside the order of the samples.

        Without a bias in the first layer: the scale of a sample if (S) leaves it free (:attr:`scales`); its positive scale if
        σ(tz) = tσ(z) for t > 0, unless the second update fixes it; its sign if σ is even, or odd up to a constant. The deeper layers may
        fix more than is listed.
        """
        if self.biases[0]:
            return Ambiguity("none", 1)
        sigma, parity = self.sigma, self.sigma.parity
        degree = prod(map(degree_of_scale, self.activations)) if self.scales else 1
        if self.scales and all(each.kind == "polynomial" for each in self.activations):
            return Ambiguity("scaling", degree)
        fixed = (self.affine[1] and self.features_can_count) or self.images is Images.FIXED
        if self.scales or (isinstance(sigma, PiecewiseLinear) and sigma.is_homogeneous and not fixed):
            return Ambiguity("even scaling" if parity == 1 else "positive scaling", degree)
        if parity and not self.signs_are_fixed:
            return Ambiguity("sign", 1 if parity < 0 else 2)
        return Ambiguity("none", 1)

    @cached_property
    def images(self) -> Images | None:
        """What a second hidden layer with biases makes of scaled samples, if it is proved: for given data, and ranks n of both updates."""
        if self.data is None or self.depth != 3 or self.biases[0] or not self.biases[1] or self.scales or self.affine[1]:
            return None
        sigma = self.sigma
        if not (isinstance(sigma, PiecewiseLinear) and sigma.is_homogeneous) or self.pieces is None or not all(self.counted):
            return None
        net, (X, c) = self._given
        return images(net, X, c, self.pieces, self.observed, random_prime(np.random.default_rng([self.seed, 0x13A])))

    @cached_property
    def signs_are_fixed(self) -> FixedSigns | None:
        """By what it is proved that no (−x, −γ) can take the place of given data, if σ(−z) = 2 σ(0) − σ(z); None if it is not."""
        return fixed_signs(self)

    @cached_property
    def multipliers_are_determined(self) -> bool:
        """Whether the multipliers of given samples are proved to follow from the samples and their signals."""
        return multipliers_are_determined(self)

    @property
    def scales(self) -> int:
        """1 if the scale of each sample is free in (S) itself: no bias in any hidden layer, no update of the output bias, and every
        activation homogeneous, so that f(tx) is f(x) times a power of t."""
        if any(self.biases[:-1]) or self.observed[-1][1]:
            return 0
        return int(all(map(degree_of_scale, self.activations)))

    @property
    def orbits_are_whole(self) -> bool:
        """Whether the deeper layers see the images of a sample under the ambiguity as they see the sample, up to a factor.

        Otherwise other multipliers than those of the group may go with an image.
        """
        group, deeper = self.ambiguity.group, self.activations[1:]
        if group == "none" or self.depth == 2 or (group == "sign" and self.sigma.parity == 1):
            return True
        if any(self.biases[1:-1]):
            return self.images is not None
        if group == "sign":
            return all(each.parity == -1 and each(0.0) == 0 for each in self.activations)
        return all(isinstance(each, PiecewiseLinear) and each.is_homogeneous for each in deeper)

    @property
    def scope(self) -> Scope:
        """Of statements about exactly these numbers, or about generic ones where there are none."""
        return Scope("generic network" if self.system is None else "this network", "generic data" if self.data is None else "this data")

    @property
    def is_exact(self) -> bool:
        """Whether values are rational and known exactly: all activations polynomials, or all piecewise-linear."""
        return {sigma.kind for sigma in self.activations} in ({"polynomial"}, {"piecewise-linear"})

    @cached_property
    def pieces(self) -> Pieces | None:
        """On which pieces the given data are; None if a hidden layer is not piecewise-linear."""
        net, (X, _) = self._given
        if any(sigma.kind != "piecewise-linear" for sigma in self.activations):
            return None
        return self.known.pieces(self.activations) or pieces_of(net.weights, net.biases, net.activations, X, self._passed_here)

    @cached_property
    def first_pieces(self) -> Pieces | None:
        """The same of the first hidden layer alone."""
        net, (X, _) = self._given
        if self.sigma.kind != "piecewise-linear":
            return None
        if all(sigma.kind == "piecewise-linear" for sigma in self.activations):
            return self.pieces
        return pieces_of(net.weights[:1], net.biases[:1], net.activations[:1], X, self._passed_here)

    @property
    def _given(self) -> tuple[Any, tuple[np.ndarray, np.ndarray]]:
        assert self.system is not None and self.data is not None
        return self.system.network, self.data

    @property
    def _passed_here(self) -> Forward | None:
        """The forward pass, if it is one of this network at these samples."""
        net, (X, _) = self._given
        return self.passed[1] if self.passed is not None and self.passed[0] is net and self.passed[1].entering[0] is X else None

    def ring(self, attempt: int = 0) -> Ring:
        """Residues modulo a random prime if values are exact; intervals otherwise."""
        return self._first_ring if attempt == 0 else self._ring(attempt)

    @cached_property
    def _first_ring(self) -> Ring:
        """That of the first attempt, which keeps residues of the weights."""
        return self._ring(0)

    def _ring(self, attempt: int) -> Ring:
        if not self.is_exact:
            return Intervals(self.activations)
        rng = np.random.default_rng([self.seed, 0x4E7, attempt])
        return Modular(random_prime(rng), self.activations, self.pieces)

    def passes(self, attempt: int = 0) -> Passes:
        """Both passes at the given data, in :meth:`ring`; kept for the first attempt."""
        if attempt == 0:
            return self._first_passes
        net, (X, c) = self._given
        return passes(self.ring(attempt), net, X, c)

    @cached_property
    def _first_passes(self) -> Passes:
        net, (X, c) = self._given
        return passes(self.ring(), net, X, c)

    @cached_property
    def counted(self) -> tuple[bool, bool]:
        """Whether the ranks of the first two layers are proved to be n at the given data: their updates count the samples."""
        found = [self.observed[layer][0] and self.known.counts(self, layer) for layer in range(2)]
        if all(found[layer] or not self.observed[layer][0] for layer in range(2)):
            return found[0], found[1]
        found = [a or b for a, b in zip(found, self._counted_by_some_neurons(), strict=True)]
        for attempt in range(ATTEMPTS if self.is_exact else 1):
            if all(found[layer] or not self.observed[layer][0] for layer in range(2)):
                break
            at = self.passes(attempt)
            for layer in range(2):
                if self.observed[layer][0] and not found[layer]:
                    found[layer] = self._has_rank(at, layer)
        return found[0], found[1]

    def has_rank(self, layer: int) -> bool:
        """Whether the known part of the update of a layer, from 0, is proved to have rank n at the given data."""
        return any(self._has_rank(self.passes(attempt), layer) for attempt in range(ATTEMPTS if self.is_exact else 1))

    def _has_rank(self, at: Passes, layer: int) -> bool:
        return all(at.ring.is_full(part) for part in (self.lifted(at, layer), self.heard(at, layer)))

    def _counted_by_some_neurons(self) -> list[bool]:
        """The same, from little more than n neurons of a wide first layer: what is independent there is independent."""
        net, (X, c) = self._given
        n, found = self.samples, [False, False]
        if not self.is_exact or self.is_partial or self.pieces is None or self.neurons < 2 * (n + SPARE):
            return found
        ring = self.ring()
        assert isinstance(ring, Modular)
        chosen = np.sort(np.random.default_rng([self.seed, 0x5E1]).choice(self.neurons, n + SPARE, replace=False))
        features, first, second = ring.at_neurons(net, X, c, chosen)
        for layer, (entering, signals) in enumerate(((ring.read(X), first), (features, second))):
            if self.observed[layer][0] and n <= signals.shape[1]:
                lifted = np.hstack([entering, np.ones((n, int(self.observed[layer][1])), np.int64)])
                found[layer] = ring.is_full(lifted.T) and ring.is_full(signals.T)
        return found

    def lifted(self, at: Passes, layer: int) -> Any:
        """What enters a layer (from 0) in its known columns, with a 1 if the update of its bias is known: one column for each sample."""
        entering = at.entering[layer]
        if layer + 1 in self.sent:
            columns = self.sent[layer + 1].columns
            entering = shaped(entering, lambda values: values[:, columns])
        if not self.observed[layer][1]:
            return entering.T
        one = at.ring.read(np.ones((self.samples, 1)))
        return concatenated([entering, one]).T

    def heard(self, at: Passes, layer: int) -> Any:
        """The signals of a layer (from 0) in its known rows: one column for each sample."""
        signals = at.signals[layer]
        if layer + 1 in self.sent:
            rows = self.sent[layer + 1].rows
            signals = shaped(signals, lambda values: values[:, rows])
        return signals.T


def degree_of_scale(sigma: Activation) -> int:
    """k with σ(tz) = t^k σ(z) for t > 0; 0 if there is none."""
    if isinstance(sigma, PiecewiseLinear):
        return int(sigma.is_homogeneous)
    return sigma.degree if sigma.kind == "polynomial" and sigma.is_monomial else 0


def passes_seconds(question: NetworkQuestion) -> float:
    """An estimate of both passes at given data, with the ranks of what they leave."""
    if question.data is None:
        return 0.0
    n, hidden = question.samples, sum(question.sizes[1:-1])
    weights = sum(out * inside for inside, out in pairwise(question.sizes))
    each = 12 if question.is_exact else 6  # products: residues in tiles, or midpoints and radii
    balls = 0.0 if question.is_exact else 2 * TABLE_SECONDS * n * hidden
    return each * n * weights / OPERATIONS_PER_SECOND + balls + 4 * rank_seconds(hidden, n)
