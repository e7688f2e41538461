"""Sequences whose members are made on access: the equations of a wide network are never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload


class Lazy(Sequence[Any]):
    """A tuple whose members are made when they are asked for: kept when taken by index, not when iterated over."""

    def __init__(self, size: int, make: Callable[[int], Any]):
        self._size, self._make = size, make
        self._made: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self[k] for k in range(*index.indices(self._size)))
        k = range(self._size)[index]
        if k not in self._made:
            self._made[k] = self._make(k)
        return self._made[k]

    def __iter__(self) -> Iterator[Any]:
        return (self._made[k] if k in self._made else self._make(k) for k in range(self._size))

    def __repr__(self) -> str:
        shown = [str(self[k]) for k in range(min(3, self._size))]
        return f"({', '.join(shown)}{', ...' if self._size > 3 else ''}: {self._size} in all)"
