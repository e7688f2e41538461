"""Certificates: proofs as files, written by :mod:`.certify`, re-checked by :mod:`.verify` without the rest of the package."""
