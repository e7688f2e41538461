"""Audits: one call asks how much a checkpoint reveals about its training data, with proofs if theorems apply and attacks otherwise."""
