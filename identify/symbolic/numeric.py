"""Compiled residuals: the equations as functions of arrays, for NumPy and for JAX."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from identify.base.errors import InputError
from identify.base.options import choice
from identify.problem.activation import horner
from identify.problem.gradients import weighted_gradients
from identify.symbolic.system import SymbolicSystem


def lambdify(system: SymbolicSystem, backend: str = "numpy") -> Callable:
    """A function ``f(unknowns, parameters)`` of two vectors, in the order of the system's symbols, that gives all equations.

    ``backend``: ``"numpy"`` or ``"jax"``; the JAX function can be compiled, differentiated and mapped over batches. It
    evaluates the structured form, at the cost of one gradient of the network, not the expanded one.
    """
    choice("backend", backend, ("numpy", "jax"))
    xp: Any = import_module("jax.numpy") if backend == "jax" else np
    n, activation, observed = system.names, system.activation, system.observed
    s, ds = activation.floats(), activation.floats(1)
    m, d, C = n.width, n.inputs, n.outputs
    numbers = system.numbers

    def residual(unknowns, parameters=()):
        unknowns, parameters = xp.asarray(unknowns), xp.asarray(parameters)
        if unknowns.shape != (len(system.unknowns),) or parameters.shape != (len(system.parameters),):
            raise InputError(
                f"unknowns, parameters: received shapes {unknowns.shape} and {parameters.shape}, expected ({len(system.unknowns)},) "
                f"and ({len(system.parameters)},), in the order of .unknowns and .parameters"
            )
        used = 0

        def take(*shape: int):
            nonlocal used
            size = int(np.prod(shape))
            used += size
            return parameters[used - size : used].reshape(shape)

        X = unknowns[: n.samples * d].reshape(n.samples, d)
        multipliers = unknowns[n.samples * d :].reshape(n.samples, C)
        y = xp.ones(n.samples)
        if n.y is not None:
            y = take(n.samples) if system.labels is None else xp.asarray(system.labels)
        c = multipliers * y[:, None]
        if numbers is None:
            W, A, offsets = take(m, d), take(C, m), take(m) if n.bias else xp.zeros(m)
            if system.regime in ("gradient", "lazy"):
                shapes = ((m, d), (m,), (C, m))
                targets = [take(*shape) if seen else xp.zeros(shape) for shape, seen in zip(shapes, observed, strict=True)]
            else:
                factor = take(1)[0] if system.regime == "weight-decay" else 1.0
                targets = [factor * W, factor * offsets, factor * A]
        else:
            net = numbers.network
            W, A, offsets = xp.asarray(net.W), xp.asarray(net.A), xp.asarray(net.offsets)
            given = (numbers.target_W, numbers.target_bias, numbers.target_a)
            targets = [xp.asarray(part) if part is not None else 0.0 for part in given]
        parts = weighted_gradients(W, A, offsets, s, ds, X, c)
        rows = [
            (part - xp.reshape(target, part.shape)).reshape(-1) for part, target, seen in zip(parts, targets, observed, strict=True) if seen
        ]
        if system.has_margins:
            f = horner(s, X @ W.T + offsets) @ A[0]
            rows.append(y * f - 1 if system.labels is not None else multipliers[:, 0] * (y * f - 1))
        if system.has_square_closure:
            f = horner(s, X @ W.T + offsets) @ A[0]
            rows.append(multipliers[:, 0] + 2 / n.samples * (f - take(n.samples)))
        return xp.concatenate(rows)

    return residual
