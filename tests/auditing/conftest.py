"""Audits of what is about something else than defences: measuring those takes almost half of an audit, and other tests do it."""

import pytest


@pytest.fixture
def no_defences(monkeypatch):
    """Audits leave out the steps about defences."""
    from identify.auditing import attacking, proofs

    for module in (attacking, proofs):
        monkeypatch.setattr(module, "STEPS", tuple(step for step in module.STEPS if not step.name.startswith("defence:")))
