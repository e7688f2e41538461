"""What a look at a structure collects: numbers, defects and remarks in words, and how far they may be trusted."""

from __future__ import annotations

from dataclasses import dataclass, field

LISTED = 20
"""At most so many clusters, neurons or pairs are listed; counts are always complete."""


@dataclass
class Findings:
    """Evidence (JSON values), sentences, and whether every defect is proved rather than seen modulo primes or in floats."""

    evidence: dict = field(default_factory=dict)
    defects: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    is_proof: bool = True

    def defect(self, sentence: str, is_proof: bool = True) -> None:
        self.defects.append(sentence)
        self.is_proof &= is_proof
