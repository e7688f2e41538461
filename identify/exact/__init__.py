"""The exact view of (S): matrices modulo primes, and ranks that are proofs."""
