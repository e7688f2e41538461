"""Equations of single samples for tests of descents."""

from __future__ import annotations

import itertools

import numpy as np

import identify as idf
from identify.recovery.separation.forward import Chart, HiddenActivations, Layer

UNKNOWNS = 6


def equations(lifted, seed=0):
    """Images of two layers, subspaces that hold those of some points, and the points."""
    rng = np.random.default_rng(seed)
    sizes, sigma = [9, 40, 30], idf.Activation.parse("gelu")
    layers = [Layer(rng.standard_normal((o, i)) / i**0.5, rng.standard_normal(o), sigma) for i, o in itertools.pairwise(sizes)]
    chart = Chart.of(layers[0].W, layers[0].bias, rng.standard_normal(9), rng.standard_normal((9, UNKNOWNS)))
    images = HiddenActivations(layers, chart, lifted)
    points = rng.standard_normal((3, UNKNOWNS))
    spaces = [np.linalg.qr(np.vstack([v[:2], rng.standard_normal((2, v.shape[1]))]).T)[0].T for v in images.values(points)]
    return images, spaces, points, rng
