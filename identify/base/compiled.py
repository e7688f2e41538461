"""A bound on compiled programs: JAX keeps one for each function and each size that it met, of some MiB, for as long as the process lives.

The functions of this package are registered; once they hold more than :data:`MOST` programs, all of these are dropped at the end of a
public call, never inside of one. Calls of sizes that come again find their programs as long as there are fewer. What other code has
compiled stays at first. But JAX also keeps what it traced of its own functions for each size, of which only ``jax.clear_caches()``
gets rid, so that after every :data:`DROPS` times everything is dropped: other code compiles anew what it needs then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
MOST = 48
"""Programs that are kept after a public call."""
DROPS = 5
"""How many times the programs of this package are dropped alone before everything is."""
_functions: list[Any] = []
_forgetting: list[Callable[[], None]] = []
_lock, _inside, _dropped = Lock(), 0, 0


def bounded(function: F) -> F:
    """Register a function that ``jax.jit`` made, so that its programs count and are dropped; above ``@jax.jit``."""
    _functions.append(function)
    return function


def at_drop(forget: Callable[[], None]) -> None:
    """Call this whenever programs are dropped: of what knows which there are."""
    _forgetting.append(forget)


def kept() -> int:
    """How many programs the registered functions hold."""
    return sum(function._cache_size() for function in _functions)


@contextmanager
def dropping() -> Iterator[None]:
    """Around the work of a public call: when the outermost one in all threads ends, programs are dropped if there are too many."""
    global _inside
    with _lock:
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and kept() > MOST:
                _drop()


def _drop() -> None:
    global _dropped
    for function in _functions:
        function.clear_cache()
    for forget in _forgetting:
        forget()
    _dropped += 1
    if _dropped > DROPS:
        import jax  # loaded by whatever was registered

        _dropped = 0
        jax.clear_caches()
