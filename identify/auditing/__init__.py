"""Audits: what a checkpoint says of its training data, from one call: proofs where there are any, attacks elsewhere, a page for people."""
