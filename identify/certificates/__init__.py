"""Certificates: proofs as files, written by :mod:`.certify` and :mod:`.certify_solution`, re-checked by :mod:`.verify` alone."""
