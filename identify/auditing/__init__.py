"""Audits: one call asks how much a checkpoint reveals of its training data, with proofs if theorems apply and attacks otherwise."""
