"""Damage: what happens to files on the way, and what someone who means harm would write."""

from __future__ import annotations

import numpy as np

LARGE = [0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
TEXTS = [b"'descr': '|O'", b"(999999999999,)", b"-1", b"nan", b"NaN", b"1e999", b"\\u0000", b'"', b"{", b"[" * 50, b"\xff\xfe", b"../../x"]


def mutate(content: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """One to four changes."""
    for _ in range(int(rng.integers(1, 5))):
        content = CHANGES[rng.integers(len(CHANGES))](content, rng, others)
    return content


def _place(content: bytes, rng: np.random.Generator) -> int:
    """Anywhere; more often near an end, where headers are."""
    n = len(content)
    kind = rng.integers(4)
    return int(rng.integers(n + 1) if kind < 2 else rng.integers(min(n, 128) + 1) if kind == 2 else n - rng.integers(min(n, 128) + 1))


def _bit(content, rng, others):
    at = min(_place(content, rng), len(content) - 1)
    return content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :] if content else content


def _byte(content, rng, others):
    at = _place(content, rng)
    return content[:at] + bytes([int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))]) + content[at + 1 :]


def _number(content, rng, others):
    at, width = _place(content, rng), int(rng.choice([2, 4, 8]))
    value = LARGE[rng.integers(len(LARGE))] % 256**width
    return content[:at] + value.to_bytes(width, "little" if rng.integers(2) else "big") + content[at + width :]


def _cut(content, rng, others):
    return content[: _place(content, rng)]


def _remove(content, rng, others):
    at = _place(content, rng)
    return content[:at] + content[at + int(rng.integers(1, 65)) :]


def _repeat(content, rng, others):
    at, length = _place(content, rng), int(rng.integers(1, 257))
    return content[:at] + content[at : at + length] * int(rng.integers(2, 5)) + content[at + length :]


def _insert(content, rng, others):
    at = _place(content, rng)
    return content[:at] + rng.bytes(int(rng.integers(1, 33))) + content[at:]


def _text(content, rng, others):
    at, text = _place(content, rng), TEXTS[rng.integers(len(TEXTS))]
    return content[:at] + text + content[at + len(text) * int(rng.integers(2)) :]


def _splice(content, rng, others):
    other = others[rng.integers(len(others))]
    return content[: _place(content, rng)] + other[_place(other, rng) :]


def _digit(content, rng, others):
    """A digit of a header or of a JSON text becomes another, or many."""
    at = [k for k, byte in enumerate(content[:2048]) if byte in b"0123456789"]
    if not at:
        return _byte(content, rng, others)
    k = at[rng.integers(len(at))]
    return content[:k] + [b"0", b"9", b"-", b"9" * 12, b"1.5", b""][rng.integers(6)] + content[k + 1 :]


CHANGES = [_bit, _byte, _number, _cut, _remove, _repeat, _insert, _text, _splice, _digit]
