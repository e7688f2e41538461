"""The batch behind several steps of training: starts, the path between the two networks, and training unrolled."""
