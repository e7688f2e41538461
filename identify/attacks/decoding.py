r"""Samples from the activation patterns of a ReLU layer, without limits of the inputs: a matrix factorisation with zeros in one factor.

The first layer, or its change, is :math:`\sum_i u_i (x_i, 1)^\top` up to what training left of the initial values. If it has rank n, the
columns :math:`u_i` lie in its column space, and n independent ones give all samples. What tells them from other vectors of this space?

* *The change between two checkpoints*: zeros. A neuron that a sample never activates is not moved by it
  (:class:`~identify.attacks.sparse.SparseSearch`). That holds for any depth above, any number of outputs, steps and batches, and any loss.
* *One trained network of two layers with one output*: at max margin :math:`u_{ij} = a_j s_{ij} \lambda_i y_i` with :math:`s_{ij}` zero or
  one (:class:`~identify.attacks.binary.BinarySearch`). A sample at the kink of a neuron has an entry between, and early steps of training
  leave any: these are errors.

*One column is missing.* The vector of the row space that the other columns do not see is a multiple of the sample; the neurons that it
activates give its column.

*Which columns?* If two columns of zeros and ones have no neuron in common, their sum is one as well. The samples of a choice must activate
the neurons that it says: this decides, or tells that it is open.

*Chance.* The same search in a random matrix of the same singular values says what is found without patterns. It has no clusters of
similar rows, in which a vector that is near zero or one in one row is so in all: so many rows must be at zero or one exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from identify.attacks.binary import MOST, WIDEST
from identify.attacks.columns import Columns
from identify.attacks.mlp import MLP
from identify.attacks.rows import row_space
from identify.attacks.smoothing import RELU
from identify.base.errors import InputError
from identify.base.limits import Clock
from identify.base.options import number, positive, valid_seed, whole
from identify.problem.network import Network, check_network

CONTROL = 4
"""One start in so many is a control, in a random matrix."""
CLEAR = 3
"""Rows above the largest number by chance from which on a vector counts as decoded."""
EXACT = 0.75
"""Of the rows that confirm a column, the share that must do so exactly, down to the noise: in clusters of similar rows fewer do."""
AGREE = 0.9
"""Share of the neurons that a sample must activate as its column says."""
SETTLED = 5
"""Starts without a change after which a complete set of columns is not improved."""


@dataclass(frozen=True, eq=False)
class Patterns:
    """The samples that were decoded; those whose neurons agree best first.

    Attributes
    ----------
    X
        One sample for each dimension r of the row space; none if fewer columns were decoded.
    signals
        The other factor: the layer, or its change, with its bias as last column is about ``signals @ (X, 1)``.
    active
        Which neurons a sample activates by its column: at any time between the two checkpoints, or at the end.
    agreement
        Share of the neurons, from 0 to 1, that the sample activates in the network exactly if its column says so. Between two
        checkpoints, of those that it never activates by its column, the share that it does not activate at both. Neurons at whose kink
        it lies do not count.
    met
        Number of distinct rows that are zero (between checkpoints), or zero or one (in one network), in the column of each sample.
    exact
        How many of them are so down to the noise.
    chance
        Rows that say nothing: the largest ``met`` of any vector in a random matrix of the same singular values, and at least r - 1 zeros,
        or 60 % of the rows at zero or one. Without a control all of them.
    dimension
        r, the rank of the layer above its noise.
    distinct
        Number of different rows that take part.
    vectors
        Number of vectors that meet clearly more rows than by chance. More than r: there are other choices of columns.
    independent
        Their rank.
    is_open
        Whether another choice of them that was tried has other samples, which agree with the neurons as well.
    starts
        Starts that were made, control included.
    interrupted
        Whether the budget or a keyboard interrupt ended the search.
    """

    X: Float[np.ndarray, "n d"]
    signals: Float[np.ndarray, "m n"]
    active: Bool[np.ndarray, "m n"]
    agreement: Float[np.ndarray, " n"]
    met: Int[np.ndarray, " n"]
    exact: Int[np.ndarray, " n"]
    chance: int
    dimension: int
    distinct: int
    vectors: int
    independent: int
    is_open: bool
    starts: int
    seed: int
    interrupted: bool = False

    @property
    def credible(self) -> Bool[np.ndarray, " n"]:
        """All samples, if every column is clearly no chance and every sample agrees with the neurons: evidence, and no proof.

        Else none, since each sample is a row of the inverse of all columns: a wrong one moves them all, some of them only a little.
        """
        exact = self.exact - self.dimension >= EXACT * np.maximum(self.met - self.dimension, 1)
        sound = exact & (self.met >= self.chance + CLEAR) & (self.agreement >= AGREE)
        return np.full(len(self.X), bool(sound.all()) and not self.is_open)

    def __repr__(self) -> str:
        found = f"{len(self.X)} samples, {int(self.credible.sum())} of them credible" if len(self.X) else "no samples"
        is_open = "; another choice of them agrees with the neurons as well" if self.is_open else ""
        return (
            f"Patterns({found}: {self.vectors} vectors beyond chance, {self.independent} of them independent, in "
            f"{self.dimension} dimensions and {self.distinct} distinct neurons{is_open})"
        )


def patterns(
    network: Network | MLP,
    *,
    initial: Network | MLP | None = None,
    noise: float = 0.0,
    dimension: int | None = None,
    tolerance: float = 0.05,
    starts: int = 40,
    seed: int = 0,
    budget: float | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Patterns:
    """Samples whose activation patterns are decoded from the first layer, or from its change: limits of the inputs are not needed.

    Parameters
    ----------
    network
        ReLU in the first layer, which has biases. Without ``initial`` also two layers and one output.
    initial
        An earlier checkpoint of the same run, or the network before training. Between them any number of steps of gradient descent, with
        any batches and momentum; weight decay is not allowed.
    noise, dimension
        Standard deviation of the rest of the initial values, or of rounding, in each weight (units of the weights), or the rank r of
        weights and biases instead: see :func:`~identify.attacks.rows.row_space`. Without ``initial`` r is at most 24.
    tolerance
        Without ``initial``: distance from 0 or 1 beyond which an entry counts as an error, up to 0.2.
    starts
        Number of starts, at least 1. The second is a control in a random matrix, and every fourth from there on. Without ``initial``
        each tries all patterns of zeros and ones in r rows; with it, some thousand sets of rows, and forty starts of a descent. Fewer if
        all r columns are there and stay.
    seed
        Of these, from 0 to 2^53 - 1.
    budget
        Seconds of wall-clock time; when it is spent, or at a keyboard interrupt, what was found so far is returned.

    Raises
    ------
    InputError
        For another network, numbers out of range, a layer without a direction above its noise, or with more than 24 of them.

    Notes
    -----
    Cost of a start: O(r 2^r) without ``initial``, O(1000 r^3 + 2400 m r^2) with it.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, W, A = rng.standard_normal((3, 8)), rng.standard_normal((80, 8)), rng.standard_normal((4, 80))
    >>> before = Network([W, A], biases=[np.zeros(80), None], activation="relu")
    >>> signals = 0.01 * (rng.standard_normal((3, 4)) @ A * (X @ W.T > 0)).T
    >>> after = Network([W + signals @ X, A], biases=[signals.sum(axis=1), None], activation="relu")
    >>> found = patterns(after, initial=before)
    >>> [bool((abs(found.X - x).max(axis=1) < 1e-9).any()) for x in X], bool(found.credible.all())
    ([True, True, True], True)
    """
    layer, a = _first_layer(network, initial)
    noise, tolerance = number("noise", noise), positive("tolerance", tolerance)
    if tolerance > WIDEST:
        raise InputError(f"tolerance: received {tolerance:g}, expected a number up to {WIDEST:g}: an entry of 1/2 is neither 0 nor 1")
    starts, seed = whole("starts", starts), valid_seed(seed)
    budget = None if budget is None else positive("budget", budget, unit="seconds")
    basis = row_space(layer, noise=noise, dimension=dimension)
    if a is not None and len(basis) > MOST:
        raise InputError(
            f"network: {len(basis)} directions of the first layer stand out, and 2^{len(basis)} patterns are too many; expected at most "
            f"{MOST}: give the noise that training left, or a dimension"
        )
    rng, clock = np.random.default_rng(seed), Clock(deadline=None if budget is None else time.monotonic() + budget)
    columns = Columns.of(layer, a, basis, noise, tolerance)
    search, control = columns.search(), columns.control(rng)
    stopped = False
    for done in range(starts):
        if (done and not clock.go_on()) or (search.is_complete and search.unchanged >= SETTLED):
            break
        try:
            (control if done % CONTROL == 1 else search).start(rng, clock.go_on)
            progress(f"patterns: {done + 1} of {starts} starts, {len(search.points)} vectors")
        except KeyboardInterrupt:
            stopped = True
            break
    ends = [network] if initial is None else [initial, network]
    chance = max([*control.met, search.forced_rows]) if control.starts else len(search.rows)
    decoded = columns.decoded(search, chance + CLEAR, ends)
    lifted = np.column_stack([decoded.X, np.ones(len(decoded.X))])
    return Patterns(
        decoded.X,
        layer @ np.linalg.pinv(lifted),
        decoded.active,
        decoded.agreement,
        decoded.met,
        decoded.exact,
        chance,
        len(basis),
        len(search.rows),
        decoded.vectors,
        decoded.independent,
        decoded.is_open,
        search.starts + control.starts,
        seed,
        stopped or bool(clock.interrupted),
    )


def _first_layer(network: Network | MLP, initial: Network | MLP | None) -> tuple[Float[np.ndarray, "m D"], Float[np.ndarray, " m"] | None]:
    """The lifted first layer with the second one, or its change alone."""
    for name, net in (("network", network), ("initial", initial)):
        if net is None and name == "initial":
            continue
        check_network(name, net)
        if net is not None and (net.activations[0] != RELU or "b1" not in net.parameters):
            raise InputError(f"{name}: received {net!r}, expected ReLU in the first layer, and biases there")
    parts = network.parameters
    layer = np.column_stack([parts["W1"], parts["b1"]])
    if initial is not None:
        before = initial.parameters
        if before["W1"].shape != parts["W1"].shape:
            raise InputError(f"initial: received {initial!r}, expected a first layer of the size of that of {network!r}")
        return layer - np.column_stack([before["W1"], before["b1"]]), None
    if len(network.weights) != 2 or network.n_outputs != 1:
        raise InputError(f"network: received {network!r}, expected two layers and one output, or an initial network")
    return layer, parts["W2"].ravel()
