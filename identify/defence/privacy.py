r"""Reconstruction under differential privacy: bounds on every attack, at any cost, beside the error bars of ours.

**Privacy of one step.** Gradients are clipped to norm C for each sample, and Gaussian noise of standard deviation zC is added to their
sum; z is the *noise multiplier* (Abadi et al. 2016). Adding or removing one sample moves the sum by at most C, so T steps in which a sample
takes part satisfy ρ-zCDP with :math:`\rho = T / (2 z^2)`: the Rényi divergence of order α between the outputs with the sample and
without it is at most :math:`\alpha\rho` for every α > 1 (Bun & Steinke 2016).

**Reconstruction.** Let an attacker know everything but one sample, and let κ be the largest chance to guess that sample well enough without
seeing the output: the largest probability, under what the attacker knows beforehand, of the samples within the tolerated error of any one
point. Then with the output the chance is at most

.. math:: \exp\bigl(-(\sqrt{\log(1/\kappa)} - \sqrt\rho)^2\bigr) \quad\text{if } \rho < \log(1/\kappa),

and nothing is excluded otherwise. *Proof.* Let P be the joint law of the sample and the output, Q that of the sample and an independent
output made without it. Success E has Q(E) ≤ κ. The divergence of order α of P from Q is at most αρ, so by data processing
P(E)^α Q(E)^(1 - α) ≤ e^((α - 1)αρ), or P(E) ≤ (κ e^(αρ))^((α - 1)/α). The best order is α = (log(1/κ)/ρ)^(1/2). ∎ The notion is
*reconstruction robustness* (Balle, Cherubin & Hayes 2022, who ask how much differential privacy suffices against informed adversaries).

So the transition is where ρ meets the information that is missing, :math:`\log(1/\kappa)`. For samples uniform in a ball of d
dimensions, to an error of a part η of its radius, κ ≤ η^d: the missing information is :math:`d \log(1/\eta)`, and a sample is protected
while ρ is well below that. An attacker with N equally likely candidates misses log N only.
"""

from __future__ import annotations

import numpy as np

ERROR = 0.1
"""Error, relative to the size of a sample, up to which it counts as reconstructed."""
CHANCE = 0.01
"""A reconstruction with at most this chance counts as excluded."""


def concentrated(multiplier: float, steps: int = 1) -> float:
    """ρ of so many steps with this noise multiplier (dimensionless).

    Examples
    --------
    >>> concentrated(0.5), concentrated(1.0, steps=4)
    (2.0, 2.0)
    """
    return steps / (2.0 * multiplier**2)


def missing_information(dimension: int, error: float = ERROR) -> float:
    """log(1/κ) in nats, for a sample that is uniform in a ball, known to an error of this part of its radius.

    Examples
    --------
    >>> round(missing_information(784), 1)
    1805.2
    """
    return dimension * float(np.log(1 / error))


def chance(rho: float, missing: float) -> float:
    """The largest chance of a reconstruction, for ρ and the missing information log(1/κ) in nats; 1: nothing is excluded.

    Examples
    --------
    >>> chance(0.0, np.log(1000)).__round__(6), chance(100.0, 50.0)
    (0.001, 1.0)
    """
    return 1.0 if rho >= missing else float(np.exp(-((np.sqrt(missing) - np.sqrt(rho)) ** 2)))


def excluding_multiplier(missing: float, steps: int = 1, probability: float = CHANCE) -> float:
    """The noise multiplier from which on the chance of a reconstruction is at most ``probability``; infinite if no noise achieves that.

    Examples
    --------
    >>> z = excluding_multiplier(1805.2)
    >>> round(z, 4), round(chance(concentrated(z), 1805.2), 6)
    (0.0175, 0.01)
    """
    root = np.sqrt(missing) - np.sqrt(np.log(1 / probability))
    return float(np.sqrt(steps / 2) / root) if root > 0 else np.inf
