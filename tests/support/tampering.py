"""Certificates with one value changed: every place in their JSON, and copies that share all that is not on the way to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """The numbers, words and nulls below a value, with the keys that lead there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for key, item in items:
        yield from leaves(item, (*path, key))


def replaced(body: Any, path: tuple, value: Any) -> Any:
    """The same with another value at the end of the path."""
    if not path:
        return value
    other = body.copy()
    other[path[0]] = replaced(body[path[0]], path[1:], value)
    return other
