"""The symmetries that are stated leave every observed update as it is, and the next larger group does not."""

from itertools import pairwise

import numpy as np
import pytest

from identify.problem.activation import Activation
from identify.problem.signals import layer_updates
from identify.problem.symmetry import group_of

CASES = [
    # activations, biases, observed weights and biases by layer, group, degree
    (["relu"], (False, False), ((True, False), (True, False)), "positive scaling", 1),
    (["relu"], (True, False), ((True, True), (True, False)), "none", 1),
    (["relu", "relu"], (False, False, False), ((True, False),) * 3, "positive scaling", 1),
    (["relu", "relu"], (False, True, False), ((True, False),) * 3, "none", 1),
    (["relu"], (False, True), ((True, False), (True, False)), "positive scaling", 1),
    (["relu"], (False, True), ((True, False), (True, True)), "none", 1),
    (["abs"], (False, False), ((True, False), (True, False)), "even scaling", 1),
    (["abs", "tanh"], (False, True, False), ((True, False),) * 3, "sign", 2),
    (["leaky_relu(1/4)", "abs"], (False, False, False), ((True, False),) * 3, "positive scaling", 1),
    (["relu", "z^2"], (False, False, False), ((True, False),) * 3, "positive scaling", 2),
    (["z^2", "z^3"], (False, False, False), ((True, False),) * 3, "scaling", 6),
    (["z^3", "z^3"], (False, False, False), ((True, False),) * 3, "scaling", 9),
    (["abs", "z^3"], (False, False, False), ((True, False),) * 3, "even scaling", 3),
    (["tanh"], (False, False), ((True, False), (True, False)), "sign", 1),
    (["tanh", "erf"], (False, False, False), ((True, False),) * 3, "sign", 1),
    (["tanh", "gelu"], (False, False, False), ((True, False),) * 3, "none", 1),
    (["cos", "gelu"], (False, True, False), ((True, False),) * 3, "sign", 2),
    (["sigmoid"], (False, False), ((True, False), (True, False)), "none", 1),
    (["sigmoid"], (False, False), ((True, False), (False, False)), "sign", 1),
    (["hard_tanh"], (False, False), ((True, False), (True, False)), "sign", 1),
    (["hard_sigmoid"], (False, False), ((True, False), (True, False)), "none", 1),
    (["hard_sigmoid"], (False, False), ((True, False), (False, False)), "sign", 1),
    (["piecewise_linear([0], [1, 2], 3)"], (False, False), ((True, False), (True, False)), "none", 1),
    (["piecewise_linear([0], [1, 2], 3)"], (False, False), ((True, False), (False, False)), "positive scaling", 1),
    (["z + z^3", "z + z^3"], (False, False, False), ((True, False),) * 3, "sign", 1),
    (["z^2 + z^4", "z + z^2"], (False, False, False), ((True, False),) * 3, "sign", 2),
    (["gelu"], (False, False), ((True, False), (True, False)), "none", 1),
]


def updates(activations, biases, seen, X, c):
    rng = np.random.default_rng(0)
    sizes = (3, *([4] * len(activations)), 2)
    weights = [rng.standard_normal((out, inside)) for inside, out in pairwise(sizes)]
    given = [rng.standard_normal(len(W)) if has else None for W, has in zip(weights, biases, strict=True)]
    found = layer_updates(weights, given, [Activation.parse(text) for text in activations], X, c)
    parts = [part for update, flags in zip(found, seen, strict=True) for part, is_seen in zip(update, flags, strict=True) if is_seen]
    return np.concatenate([part.ravel() for part in parts])


@pytest.mark.parametrize(("activations", "biases", "seen", "group", "degree"), CASES)
def test_the_group_and_no_larger_one(activations, biases, seen, group, degree):
    stated = group_of([Activation.parse(text) for text in activations], biases, seen)
    assert stated.group == group and (group == "none" or stated.degree == degree)
    rng = np.random.default_rng(1)
    X, c = 2 * rng.standard_normal((2, 3)), rng.standard_normal((2, 2))
    truth = updates(activations, biases, seen, X, c)

    def is_kept(t, factor):
        moved = updates(activations, biases, seen, np.array([t * X[0], X[1]]), np.array([factor * c[0], c[1]]))
        return np.allclose(moved, truth, rtol=1e-10, atol=1e-10)

    members = {"none": [], "sign": [-1.0], "positive scaling": [2.0, 0.5], "even scaling": [2.0, -0.5], "scaling": [2.0, -0.5]}[group]
    for t in members:
        factor = float(stated.act(np.ones((1, 1)), np.ones((1, 1)), np.array([t]))[1][0, 0])
        assert is_kept(t, factor)
    others = {"none": [-1.0, 2.0], "sign": [2.0], "positive scaling": [-1.0], "even scaling": [], "scaling": []}[group]
    for t in others:
        assert not any(is_kept(t, sign * t ** (-k)) for sign in (1, -1) for k in range(10))
