r"""The row space of the first layer, in which the data lie, and attacks whose candidates stay in it.

The gradient by :math:`W_1` is :math:`\sum_j \delta_j x_j^\top`: the rows of the target are combinations of the data, and if the
:math:`\delta_j` are linearly independent they span the same space. If the target is :math:`W_1` itself, nothing is lost even without
that: the network depends only on the projection of a candidate on the rows, and the rest of a candidate can only increase the residual.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from identify.attacks.objectives import Attack, Objective, require_attack, sum_of_gradients
from identify.base.algebra import rows_of
from identify.base.errors import InputError
from identify.base.norms import exponent, scaled
from identify.base.options import number, whole
from identify.problem.arrays import finite_array

ROUNDING = 1e-10
"""Size of singular values, relative to the largest, below which they are rounding errors."""
LEAST = 1e-290
"""Size of the largest weight below which doubles have lost digits."""
EXACT = 1e-6
"""The same for a layer without initial values in it, down to rounding in single precision."""
BULK, ALIKE = 0.5, 0.05
"""Part of the singular values below the row space, the smallest ones, that tells the noise, and how far they may be from those of
random numbers: mean deviation, relative to the largest of them."""


def row_space(W1: Float[np.ndarray, "m d"], *, noise: float = 0.0, dimension: int | None = None) -> Float[np.ndarray, "r d"]:
    """An orthonormal basis of the rows, without directions that contain only noise.

    Parameters
    ----------
    W1
        First layer of the parameters, or of their change.
    noise
        Standard deviation of the rest of the initial values in each weight (units of the weights). Such noise alone has singular values
        up to noise · (sqrt(m) + sqrt(d)); directions below twice that are left out.
    dimension
        r, from 1 to min(m, d), instead of this rule.

    Raises
    ------
    ValueError
        For a dimension or noise out of range, a layer of zeros, or if every direction is noise.

    Notes
    -----
    Cost O(m d min(m, d)).
    """
    W1 = finite_array("W1", W1, (None, None), "one row for each neuron, one column for each input")
    noise = number("noise", noise)
    dimension = None if dimension is None else whole("dimension", dimension, most=min(W1.shape))
    k = exponent(W1)
    if not np.abs(W1).max() >= LEAST:
        raise InputError(f"W1: no number is above {LEAST:g} in size; expected a layer with normal doubles in it")
    noise = float(scaled(noise, -k))  # in units in which the weights are about one
    sizes, rows = rows_of(scaled(W1, -k), f"finding the row space of a {W1.shape[0]} by {W1.shape[1]} layer")
    r = dimension or int((sizes > max(2 * noise * sum(np.sqrt(W1.shape)), ROUNDING * sizes[0])).sum())
    if not r:
        given = float(scaled(noise, k))
        raise InputError(f"noise: received {given:g}, above which no direction of the first layer stands out; expected a smaller number")
    return rows[:r]


class Told(NamedTuple):
    """What a first layer says by itself of the two: arguments of :func:`row_space`."""

    noise: float
    dimension: int


def told(W1: Float[np.ndarray, "m d"]) -> Told | None:
    r"""Noise and dimension of the row space, if they can be told from the first layer alone.

    Training by gradients moves rows within the span of the data. So if there are fewer samples than rows and columns, the smallest
    singular values are those of the random initial values (Marchenko & Pastur 1967), compared here with random matrices of that size.

    Parameters
    ----------
    W1
        First layer of the parameters, or of their change, with its bias as last column if it has one.

    Returns
    -------
    Told or None
        None if the smallest singular values are like neither rounding errors nor random numbers, or if all of them are alike: as of a
        layer that was not trained.

    Raises
    ------
    ValueError
        For an array that is not a finite matrix.

    Notes
    -----
    Cost O(m d min(m, d)), for a few random matrices of that size.
    """
    W1 = finite_array("W1", W1, (None, None), "one row for each neuron, one column for each input")
    k = exponent(W1)  # in units in which the weights are about one
    sizes, most, edge = np.linalg.svd(scaled(W1, -k), compute_uv=False), min(W1.shape), sum(np.sqrt(W1.shape))
    r = int((sizes > EXACT * sizes[0]).sum())
    if r < most:
        return Told(float(scaled(sizes[r] / edge, k)), r) if r and sizes[r] < EXACT * sizes[r - 1] else None
    r = 0
    for _ in range(most):
        like = np.linalg.svd(np.random.default_rng(0).standard_normal((W1.shape[0] - r, W1.shape[1] - r)), compute_uv=False)
        kept = max(int(BULK * (most - r)), 1)
        noise = float(sizes[-kept:].sum() / like[-kept:].sum())
        above = int((sizes > 2 * noise * edge).sum())
        if above in (r, most):
            break
        r = above
    if not 0 < above < most - 1 or np.abs(sizes[-kept:] - noise * like[-kept:]).mean() > ALIKE * noise * like[-kept]:
        return None
    return Told(float(scaled(noise, k)), r)


def in_row_space(attack: Attack, *, noise: float = 0.0, dimension: int | None = None) -> Attack:
    """The same attack on candidates in the row space of the target's first layer.

    Except for the prior, iterations cost as much as for r inputs. Parameters and errors are those of :func:`row_space`.

    Examples
    --------
    >>> import numpy as np
    >>> from identify import Network
    >>> from identify.attacks import buzaglo
    >>> network = Network([np.outer([1, 2, 3], [1, 0, 0, 1]), np.ones((1, 3))], activation="z + z^2/2")
    >>> in_row_space(buzaglo(network, kind="weight-decay")).basis.shape
    (1, 4)
    """
    require_attack(attack)
    target = np.asarray(sum_of_gradients(attack.objective(1), "the row space").target["W1"])
    basis = row_space(target, noise=noise, dimension=dimension)
    outside = float((target**2).sum() - ((target @ basis.T) ** 2).sum())
    with jax.enable_x64(True):
        rows, rest = jax.device_put(basis), jnp.asarray(max(outside, 0.0), float)

    def objective(k: int) -> Objective:
        made = sum_of_gradients(attack.objective(k), "the row space")
        with jax.enable_x64(True):
            at = tuple(each | {"W1": each["W1"] @ rows.T} for each in made.at)
            change = None if made.change is None else made.change | {"W1": made.change["W1"] @ rows.T}
        return replace(made, at=at, change=change, basis=rows, outside=made.outside + rest)

    def start(rng: np.random.Generator, k: int) -> tuple[np.ndarray, np.ndarray]:
        X, c = attack.start(rng, k)
        return X @ basis.T, c

    return replace(attack, objective=objective, start=start, basis=basis, settings=attack.settings | {"row_space": len(basis)})
