"""The name under which attacks took networks before :class:`identify.Network`, and when their parameters are JAX arrays by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from identify.attacks.smoothing import Polynomial as Polynomial
from identify.attacks.smoothing import sigmoid_relu as sigmoid_relu
from identify.attacks.smoothing import softplus_relu as softplus_relu
from identify.problem.activation import Activation
from identify.problem.network import Network, from_parameters


class MLP(Network):
    """An :class:`identify.Network` from arrays by name: another name for ``Network.of(parameters, activation=...)``.

    Parameters
    ----------
    parameters
        ``W1`` (h_1, d), ``W2`` (h_2, h_1), ..., ``WL`` (C, h); ``b1`` (h_1,), ... if there are biases. A last layer of shape (h,)
        is one output.
    activation
        As for :class:`identify.Network`.

    Raises
    ------
    ShapeError
        For layers that do not fit together, fewer than two of them, or unknown names.
    """

    def __init__(self, parameters: Mapping[str, Any], activation: Activation | str | Sequence[Activation | str] = "relu"):
        made = from_parameters(parameters, activation)
        super().__init__(made.weights, biases=made.biases, activation=made.activations)

    @classmethod
    def of(
        cls,
        model: Any,
        *,
        activation: Activation | str | Sequence[Activation | str] | None = None,
        stack: str | Sequence[str] | None = None,
    ) -> Network:
        """The same network as :meth:`identify.Network.of` gives."""
        return Network.of(model, activation=activation, stack=stack)
