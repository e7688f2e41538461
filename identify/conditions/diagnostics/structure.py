r"""Structure of a given network and its samples: what is duplicate, silent, unseen, hidden, or decoupled.

With H the factors :math:`g_{ij}\sigma'(z_{ij})` of :math:`x_i` in the first-layer rows, every change Y of the samples that is
orthogonal to the rows of W and has H Y = 0 leaves (S) as it is: :math:`(n - \mathrm{rank} H)(d - \mathrm{rank} W)` numbers are
hidden, and :math:`n (d - \mathrm{rank} W)` if the first-layer weights were not observed.
"""

from __future__ import annotations

import numpy as np

from identify.conditions.diagnostics.findings import Findings
from identify.conditions.diagnostics.neurons import look_at_neurons
from identify.conditions.diagnostics.samples import look_at_samples
from identify.conditions.setting import Setting
from identify.exact.modular import Arithmetic, certified_rank, residues
from identify.problem.network import Network
from identify.problem.system import KKTSystem
from identify.problem.verdict import Condition

REFERENCE = "exact linear algebra of the equations (elementary)"


def structure(setting: Setting) -> Condition:
    """Duplicate, parallel and silent neurons, unseen samples, blocks, and what the row space of W hides.

    The setting has a system; if data are given, in full coordinates, the samples are looked at too. ``holds``: no
    neuron repeats another, lacks rows or died, every sample is seen and acts alone, nothing decouples or hides. It supports no
    verdict. Zeros modulo two primes count as zeros. Cost O(m^2 d) floating-point operations, and ranks modulo a prime of
    matrices m by d and m by n.
    """
    system = setting.system
    assert system is not None
    found = Findings()
    look_at_neurons(system, found)
    rank_W, rank_is_proof = _row_space(setting, system.network, found)
    has_data = setting.instance.data_are_given and setting.data is not None
    if has_data:
        look_at_samples(setting, system, found)
    _hidden(setting, system, rank_W, rank_is_proof, has_data, found)
    fine = "every neuron has equations of its own" + (", and every sample is seen, in one block" if has_data else "")
    statement = "; ".join([*(found.defects or [fine]), *found.remarks])
    arithmetic = Arithmetic.PROOF if found.is_proof else Arithmetic.EVIDENCE
    return Condition("structure", not found.defects, statement, found.evidence, arithmetic, REFERENCE)


def _row_space(setting: Setting, net: Network, found: Findings) -> tuple[int, bool]:
    """Rank of W, and whether it is proved."""
    needed = min(net.W.shape)
    result = certified_rank(lambda q, rng: residues(net.W, q), needed, seed=setting.seed + 11)
    values = np.linalg.svd(net.W / (np.abs(net.W).max() or 1.0), compute_uv=False)
    numerical = {tolerance: int((values > tolerance * values[0]).sum()) for tolerance in (1e-8, 1e-2)}
    found.evidence |= {
        "rank_W": result.rank,
        "inputs": net.n_inputs,
        "numerical_rank_W": {f"{tolerance:g}": r for tolerance, r in numerical.items()},
    }
    lower = [(tolerance, r) for tolerance, r in numerical.items() if r < result.rank]
    if lower:
        found.remarks.append(f"to precision {lower[0][0]:g} W has rank {lower[0][1]} of {net.n_inputs} (floating point)")
    return result.rank, result.is_full or not net.W.any()


def _hidden(setting: Setting, system: KKTSystem, rank_W: int, rank_is_proof: bool, has_data: bool, found: Findings) -> None:
    """What of the samples lies outside the row space of W, and whether the equations see it."""
    d, n = system.network.n_inputs, setting.instance.n_samples
    if rank_W == d:
        return
    where = f"W has rank {rank_W} of {d}: of the parts of the samples outside its row space"
    missing, is_proof = n, rank_is_proof
    if system.observed.W:
        if not has_data:
            found.remarks.append(f"{where}, only the first-layer rows see anything")
            return
        slopes = certified_rank(lambda q, rng: setting.instance.at(q, rng).slopes(), n, seed=setting.seed + 12)
        missing = n - slopes.rank
        found.evidence["rank_slopes"] = slopes.rank
        is_proof &= slopes.rank >= min(n, system.network.width)
    found.evidence["hidden_dimension"] = missing * (d - rank_W)
    if missing:
        found.defect(f"{where}, {missing * (d - rank_W)} numbers are in no equation", is_proof)
