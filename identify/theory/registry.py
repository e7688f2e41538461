"""``theorems``: every theorem by name, in the order of the theory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from identify.base.errors import InputError, UnknownNameError
from identify.theory import decompositions, families, heads, layers, moments, multiple, networks, optimisation, others, single, uniqueness
from identify.theory.theorem import Theorem


class UnknownTheoremError(UnknownNameError):
    """A name that is not in the registry: the field ``name``; ``known`` lists the valid ones."""


class Theorems(Mapping[str, Theorem]):
    """Theorems by name: ``theorems["interpolation"].statement``; iteration gives the names, ``values()`` the theorems."""

    def __init__(self, entries: tuple[Theorem, ...]):
        self._entries = {entry.name: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise InputError(f"entries: received {[entry.name for entry in entries]}, expected names that differ")

    def __getitem__(self, name: str) -> Theorem:
        if not isinstance(name, str) or name not in self._entries:
            raise UnknownTheoremError("theorem", name, self._entries)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Theorems({len(self)}: {', '.join(self)})"


theorems = Theorems(
    (
        *(*moments.THEOREMS, *decompositions.THEOREMS, *uniqueness.THEOREMS, *single.THEOREMS, *multiple.THEOREMS),
        *(*networks.THEOREMS, *layers.THEOREMS, *heads.THEOREMS, *others.THEOREMS, *families.THEOREMS, *optimisation.THEOREMS),
    )
)
"""The theorems that verdicts rest on, by name."""
