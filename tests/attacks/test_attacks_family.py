"""Weights of low rank leave a family of data: the lemma of docs/lab/weights.md, with its witness."""

import numpy as np
import pytest

from identify import KKTSystem, Network


def null(matrix):
    """An orthonormal basis of the kernel, one vector per row."""
    _, sizes, rows = np.linalg.svd(matrix)
    return rows[int((sizes > 1e-10 * sizes[0]).sum()) :]


@pytest.mark.parametrize("activation", ["gelu", "tanh", "relu"])
@pytest.mark.parametrize("width", [3, 5])
def test_data_move_along_the_family_and_nowhere_else(activation, width):
    """Five samples of eight inputs: three neurons leave (5 - 3)(8 - 3) directions, five leave none of that kind."""
    rng = np.random.default_rng(0)
    W, A, b = rng.standard_normal((width, 8)), rng.standard_normal((2, width)), rng.standard_normal(width) + 2
    net, X, c = Network([W, A], biases=[b, None], activation=activation), 0.3 * rng.standard_normal((5, 8)), rng.standard_normal((5, 2))
    empty = KKTSystem.gradient(net, layers={1: (W, b), 2: A})
    system = empty.with_target(empty.right_hand_side(X, c))
    signals = (c @ A) * net.activation(X @ W.T + net.biases[0], order=1)
    kernel, hidden = null(signals.T), null(W)
    assert len(hidden) == 8 - width
    move = kernel.T @ rng.standard_normal((len(kernel), len(hidden))) @ hidden
    if width == 3:
        assert len(kernel) == 2 and np.linalg.norm(move) > 1
    assert system.residual(X + move, c) < 1e-12
    other = np.outer(np.ones(5), hidden[0])
    assert system.residual(X + other, c) > 1e-3, "a step outside the kernel changes the update"
