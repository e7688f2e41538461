"""Values on the ground: activation, network, the equation (S) with its regimes, ambiguity, verdict."""
