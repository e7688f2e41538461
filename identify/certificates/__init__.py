"""Certificates: proofs as files, written here by :mod:`.certify` and :mod:`.certify_solution`, and verified by ``checker`` alone."""
