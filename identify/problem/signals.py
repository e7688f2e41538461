r"""The two passes through a network of any depth, and the updates of its layers that weighted samples give.

With :math:`h_i^0 = x_i`, :math:`z_i^l = W_l h_i^{l-1} + b_l` and :math:`h_i^l = \sigma_l(z_i^l)`, the signals of sample i are
:math:`u_i^L = \gamma_i` (its multipliers) and :math:`u_i^l = \sigma_l'(z_i^l) \circ (W_{l+1}^\top u_i^{l+1})`, and

.. math:: \sum_i \sum_o \gamma_{io} \nabla_{W_l} f_o(\theta; x_i) = \sum_i u_i^l (h_i^{l-1})^\top, \qquad
          \sum_i \sum_o \gamma_{io} \nabla_{b_l} f_o(\theta; x_i) = \sum_i u_i^l .

Samples are rows, so both are products of two matrices. Only ``+``, ``*``, ``@``, ``.T`` and ``.sum`` are used: NumPy arrays (of floats,
or of objects such as fractions or residues) and JAX arrays all serve. This is the one implementation of per-sample gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Nonlinearity = Callable[[Any, int], Any]
"""A function of pre-activations and of the order of the derivative (0 or 1): an :class:`Activation`, its ``jax``, or Horner's scheme."""


class Forward(NamedTuple):
    """The values of a forward pass, each with one row for each sample."""

    entering: list[Any]
    """The inputs of each layer of weights: :math:`h^0 = X, h^1, \\dots, h^{L-1}`."""
    before: list[Any]
    """Pre-activations of each layer: :math:`z^1, \\dots, z^L`; the last are the outputs."""

    @property
    def outputs(self) -> Any:
        return self.before[-1]


def forward(weights: Sequence[Any], biases: Sequence[Any], activations: Sequence[Nonlinearity], X) -> Forward:
    """The forward pass: ``weights`` (out, in) by layer, ``biases`` (out,) or None, one activation for each hidden layer."""
    entering, before = [X], [_affine(weights[0], biases[0], X)]
    for W, b, sigma in zip(weights[1:], biases[1:], activations, strict=True):
        entering.append(sigma(before[-1], 0))
        before.append(_affine(W, b, entering[-1]))
    return Forward(entering, before)


def backward(weights: Sequence[Any], activations: Sequence[Nonlinearity], before: Sequence[Any], c) -> list[Any]:
    """The signals :math:`u^1, \\dots, u^L` of each sample, for multipliers ``c`` (n, C)."""
    signals = [c]
    for W, z, sigma in zip(reversed(weights[1:]), reversed(before[:-1]), reversed(activations), strict=True):
        signals.append((signals[-1] @ W) * sigma(z, 1))
    return signals[::-1]


def layer_updates(weights: Sequence[Any], biases: Sequence[Any], activations: Sequence[Nonlinearity], X, c) -> list[tuple[Any, Any]]:
    """For each layer, the weighted sum of the gradients by its weights and by its bias (whether or not it has one).

    Cost O(n · number of weights), for n samples.
    """
    entering, before = forward(weights, biases, activations, X)
    return updates_from(entering, backward(weights, activations, before, c))


def updates_from(entering: Sequence[Any], signals: Sequence[Any]) -> list[tuple[Any, Any]]:
    """:func:`layer_updates` from what enters each layer and the signals."""
    return [(u.T @ h, u.sum(axis=0)) for u, h in zip(signals, entering, strict=True)]


def _affine(W, b, X):
    return X @ W.T if b is None else X @ W.T + b
