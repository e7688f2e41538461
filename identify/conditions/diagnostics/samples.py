r"""Samples that coincide, that no neuron sees, or that fall into blocks; and which neurons are active on which samples.

A sample and a neuron meet where :math:`g_{ij}\sigma'(z_{ij})` (first-layer rows) or :math:`\sigma(z_{ij})` (second-layer
rows) is not zero.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from identify.base.norms import row_sizes
from identify.conditions.diagnostics.directions import blocks, groups, near_parallel, primitive
from identify.conditions.diagnostics.findings import LISTED, Findings
from identify.conditions.diagnostics.neurons import ANGLE
from identify.conditions.setting import Setting
from identify.exact.instance import Residues
from identify.exact.modular import multiply, random_prime
from identify.problem.activation import horner, root_group
from identify.problem.data import check_data
from identify.problem.system import KKTSystem

PRIMES = 2
ACTIVE = 1e-2
"""A neuron is active on a sample where its share in the equations is at least this part of the sample's largest."""
MAX_TABLE = 2000
"""Up to this many pairs, the neurons active on each sample are listed in the evidence."""


def look_at_samples(setting: Setting, system: KKTSystem, found: Findings) -> None:
    """Coincident, opposite and unseen samples, blocks, and activity. The setting has data, in full coordinates."""
    _coincidences(setting, found)
    _incidence(setting, found)
    assert setting.data is not None
    _activity(system, *setting.data, found)


def _coincidences(setting: Setting, found: Findings) -> None:
    assert setting.data is not None
    X = setting.data[0] + 0.0
    parallel = groups((i, primitive(X[i])) for cluster in near_parallel(X, ANGLE) for i in cluster)
    coincident = groups((i, row.tobytes()) for i, row in enumerate(X))
    index = {row.tobytes(): i for i, row in enumerate(X)}
    opposite = [(i, k) for i, row in enumerate(-X + 0.0) if (k := index.get(row.tobytes(), i)) > i]
    found.evidence |= {
        "samples": len(X),
        "coincident_samples": coincident[:LISTED],
        "opposite_samples": opposite[:LISTED],
        "parallel_samples": parallel[:LISTED],
    }
    group = "none" if setting.is_lifted else root_group(setting.instance.degrees)
    merged = coincident + {"none": [], "sign": [list(pair) for pair in opposite], "scaling": parallel}[group]
    count = len({i for cluster in merged for i in cluster})
    if count:
        found.defect(f"samples that coincide with others up to the ambiguity, and so act as fewer: {count} of {len(X)}")
    elif opposite or parallel:
        apart = {i for pair in opposite for i in pair} or {i for cluster in parallel for i in cluster}
        what = "opposite" if opposite else "parallel"
        found.remarks.append(f"{what} samples, which these equations see apart: {len(apart)} of {len(X)}")


def _incidence(setting: Setting, found: Findings) -> None:
    """Unseen samples and blocks. Non-zero modulo a prime is a proof, zero modulo two is evidence."""
    rng = np.random.default_rng([setting.seed, 0x1AC])
    instance = setting.instance
    meets = np.zeros((instance.width, instance.n_samples), dtype=bool)
    tried = 0
    while tried < PRIMES and not meets.all():
        try:
            meets |= incidence(instance.at(random_prime(rng), rng))
        except ZeroDivisionError:
            continue
        tried += 1
    parts = blocks(meets)
    unseen = np.flatnonzero(~meets.any(axis=0)).tolist()
    joined = [(rows, columns) for rows, columns in parts if rows and columns]
    found.evidence |= {
        "unseen_samples": unseen[:LISTED],
        "neurons_that_meet_no_sample": int((~meets.any(axis=1)).sum()),
        "blocks": [{"neurons": len(rows), "samples": columns[:LISTED]} for rows, columns in joined[:LISTED]],
    }
    if unseen:
        found.defect(f"samples that no neuron sees: {unseen[:LISTED]}", False)
    if len(joined) > 1:
        sizes = ", ".join(f"{len(columns)} by {len(rows)}" for rows, columns in joined[:LISTED])
        found.defect(f"samples and neurons split into {len(joined)} blocks ({sizes}) that share no equation", False)


def incidence(point: Residues) -> Bool[np.ndarray, "m n"]:
    """Whether neuron j has an equation that sample i enters, modulo a prime."""
    seen = point.observed
    meets = np.zeros((len(point.W), len(point.X)), dtype=bool)
    if seen.W or seen.bias:
        meets |= point.slopes() != 0
    if seen.a:
        Z = point.reduce(multiply(point.X, point.W.T, point.q) + point.offsets)
        meets |= (horner(point.derivatives[0], Z, point.reduce) != 0).T & point.c.any(axis=1)
    return meets


def activity(
    system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, " n"] | Float[np.ndarray, "n C"]
) -> Float[np.ndarray, "m n"]:
    r"""Norm of what sample i adds to the observed equations of neuron j, in the units of the target.

    :math:`s_{ji}^2 = (g_{ij}\sigma'(z_{ij}))^2 (\|x_i\|^2 + 1) + \|\gamma_i\|^2 \sigma(z_{ij})^2`, with the terms of the rows that
    were observed. Floating point.

    Raises
    ------
    ShapeError
        For data of the wrong shape.
    """
    net, seen = system.network, system.observed
    X, c = check_data(X, c, net.n_inputs, net.n_outputs)
    Z = net.W @ X.T + net.offsets[:, None]
    shares = np.zeros_like(Z)
    if seen.W or seen.bias:
        size = np.hypot(row_sizes(X) * seen.W, float(seen.bias))
        shares = np.abs((c @ net.A).T * net.activation(Z, order=1)) * size
    if seen.a:
        shares = np.hypot(shares, np.abs(net.activation(Z)) * row_sizes(c))
    return shares


def _activity(system: KKTSystem, X: np.ndarray, c: np.ndarray, found: Findings) -> None:
    """How many neurons are active on each sample, and which, if the table is small."""
    with np.errstate(all="ignore"):
        shares = activity(system, X, c)
        active = shares >= ACTIVE * shares.max(axis=0)
    if not np.isfinite(shares).all():
        found.remarks.append("activity overflows double precision")
        return
    active &= shares > 0
    per_sample = active.sum(axis=0)
    found.evidence["active_neurons"] = {
        "threshold": ACTIVE,
        "fewest": int(per_sample.min()),
        "median": float(np.median(per_sample)),
        "most": int(per_sample.max()),
    }
    if active.size <= MAX_TABLE:
        found.evidence["active_on"] = {f"X[{i}]": np.flatnonzero(column).tolist() for i, column in enumerate(active.T)}
    inactive = int((~active.any(axis=1)).sum())
    found.evidence["neurons_active_on_no_sample"] = inactive
    if inactive:
        found.remarks.append(f"neurons whose share is below {ACTIVE:g} of the largest on every sample (floating point): {inactive}")
