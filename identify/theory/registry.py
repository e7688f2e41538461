"""``theorems``: every theorem by name, in the order of the theory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from identify.base.errors import InputError
from identify.theory import decompositions, families, moments, optimisation, uniqueness
from identify.theory.theorem import Theorem


class UnknownTheoremError(KeyError, ValueError):
    """A name that is not in the registry; ``name`` is what was asked for."""

    def __init__(self, name: object, known: tuple[str, ...]):
        self.name = name
        self.message = f"theorem: received {name!r}, expected one of {', '.join(known)}"
        super().__init__(self.message)

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return self.message


class Theorems(Mapping[str, Theorem]):
    """Theorems by name: ``theorems["interpolation"].statement``; iteration gives the names, ``values()`` the theorems."""

    def __init__(self, entries: tuple[Theorem, ...]):
        self._entries = {entry.name: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise InputError(f"entries: received {[entry.name for entry in entries]}, expected names that differ")

    def __getitem__(self, name: str) -> Theorem:
        if not isinstance(name, str) or name not in self._entries:
            raise UnknownTheoremError(name, tuple(self._entries))
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Theorems({len(self)}: {', '.join(self)})"


theorems = Theorems((*moments.THEOREMS, *decompositions.THEOREMS, *uniqueness.THEOREMS, *families.THEOREMS, *optimisation.THEOREMS))
