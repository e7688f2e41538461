"""Archives of arrays that hypothesis draws: types, shapes, values and names that no program would save."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np

KEYS = [
    "W",
    "a",
    "bias",
    "activation",
    "regime",
    "target_W",
    "target_a",
    "X",
    "c",
    "labels",
    "decay",
    "loss",
    "W1",
    "b1",
    "W2",
    "b2",
    "fc1.weight",
]


def archives(count: int, seed: int) -> Iterator[bytes]:
    """The same seed gives the same archives, for the same code: hypothesis also draws constants that it finds in it."""
    import hypothesis
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp

    types = st.one_of(
        hnp.floating_dtypes(endianness="?"),
        hnp.integer_dtypes(endianness="?"),
        hnp.complex_number_dtypes(endianness="?"),
        hnp.boolean_dtypes(),
        hnp.unicode_string_dtypes(endianness="?", max_len=20),
        hnp.byte_string_dtypes(max_len=8),
        hnp.datetime64_dtypes(),
    )
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    texts = st.sampled_from(["z", "z^3", "z + z^2", "relu", "gradient", "max-margin", "weight-decay", "exp(z)", "z^99", "1/0", "((" * 99])
    arrays = st.one_of(
        hnp.arrays(types, shapes), hnp.arrays(np.float64, st.sampled_from([(3,), (3, 2), (1, 3), (2, 2)])), texts.map(np.array)
    )
    names = st.one_of(st.sampled_from(KEYS), st.text(max_size=12).filter(lambda name: name != "file"))
    drawn: list[bytes] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.dictionaries(names, arrays, max_size=8))
    def draw(contents: dict) -> None:
        buffer = io.BytesIO()
        try:
            np.savez(buffer, **contents)
        except (ValueError, UnicodeError, RuntimeError):  # a name that no archive can have
            return
        drawn.append(buffer.getvalue())

    draw()
    yield from drawn
