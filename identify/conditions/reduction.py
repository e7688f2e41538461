r"""C0, reduction: every solution lives in one space that is known, so the problem moves to coordinates on it.

The first-layer rows are :math:`t^W = G X` with :math:`G_{ji} = g_{ij}\sigma'(z_{ij})` (m by n). If both factors have
rank n, then :math:`t^W` has rank n; any other solution with at most n samples must have n linearly independent ones
that span the same row space. With observed bias rows the same holds for the lifted samples (x, 1).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy

from identify.conditions.setting import Setting
from identify.exact.modular import Arithmetic, certified_rank, rank, residues
from identify.problem.rank import Spectrum, target_rows
from identify.problem.verdict import Condition

REFERENCE = "rank factorisation of the first-layer equations (elementary linear algebra)"


def reduce(setting: Setting) -> tuple[Condition, Setting]:
    """Evaluate C0, and return the setting in reduced coordinates where it holds."""
    instance = setting.instance
    n, space = instance.n_samples, instance.n_inputs + int(instance.observed.bias)
    if not instance.observed.W:
        return _condition(False, "the first layer was not observed, so the target does not show the span of the samples", {}), setting
    if n > min(space, instance.width):
        statement = f"{n} samples exceed {'the input dimension' if n > space else 'the width'}: the target cannot show their span"
        return _condition(False, statement, {"samples": n, "dimension": space, "width": instance.width}), setting
    if setting.data_are_unknown:
        return _from_target(setting)

    def samples(q, rng):
        point = instance.at(q, rng)
        return point.lifted_X if instance.observed.bias else point.X

    X = certified_rank(samples, n, seed=setting.seed)
    G = certified_rank(lambda q, rng: instance.at(q, rng).slopes(), n, seed=setting.seed + 1)
    evidence = {"rank_samples": X.rank, "rank_slopes": G.rank, "needed": n, "primes": [*X.primes, *G.primes]}
    if not (X.is_full and G.is_full):
        statement = f"rank {X.rank} of the samples and {G.rank} of the slopes, {n} needed: other solutions may leave their span"
        return _condition(False, statement, evidence, Arithmetic.EVIDENCE), setting
    moved = replace(setting, independence=Arithmetic.PROOF)
    if n < space:
        moved = replace(moved, instance=instance.reduced())
    evidence["coordinates"] = moved.instance.coordinates
    statement = (
        f"every data set with at most {n} samples and this target has exactly {n} independent samples in one known "
        f"{n}-dimensional space; the conditions are evaluated there"
    )
    return _condition(True, statement, evidence, Arithmetic.PROOF), moved


def _from_target(setting: Setting) -> tuple[Condition, Setting]:
    """The same for unknown data: the span is read off the target, exactly when it fills the space, else numerically."""
    instance, system = setting.instance, setting.system
    assert system is not None
    rows = target_rows(system)
    n, space = instance.n_samples, rows.shape[1]
    spectrum = Spectrum.of(system)
    if not spectrum.rank or (instance.observed.bias and not rows[:, -1].any()):
        return _condition(False, "the target is zero where samples would show: no data produce it", {"needed": n}), setting
    numerical, gap = spectrum.rank, spectrum.gap
    evidence = {"numerical_rank": numerical, "gap": gap, "needed": n, "singular_values": spectrum.values[: n + 2].tolist()}
    q = 2**31 - 1
    if n == space and rank(residues(rows, q), q) == n:
        evidence["primes"] = [q]
        statement = f"the target has rank {n}: every data set with at most {n} samples that produces it has {n} independent ones"
        return _condition(True, statement, evidence, Arithmetic.PROOF), replace(setting, independence=Arithmetic.PROOF)
    if numerical != n:
        statement = f"the target has numerical rank {numerical}, not {n}: " + (
            f"no data set of {n} samples produces it" if numerical > n else "dependent samples cannot be excluded"
        )
        return _condition(False, statement, evidence, Arithmetic.FLOAT), setting
    chosen = scipy.linalg.qr(rows.T, pivoting=True, mode="r")[1][:n]
    moved = replace(setting, independence=Arithmetic.ASSUMED, instance=replace(instance, basis=rows[np.sort(chosen)], span="data"))
    evidence["coordinates"] = moved.instance.coordinates
    statement = (
        f"the target has numerical rank {n} (gap {gap:.1e}); taking that as exact, every data set of {n} samples lies in its row space"
    )
    return _condition(True, statement, evidence, Arithmetic.ASSUMED), moved


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic = Arithmetic.PROOF) -> Condition:
    return Condition("reduction", holds, statement, evidence, arithmetic, REFERENCE)
