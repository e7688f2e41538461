"""Memory limits: refused before anything is allocated."""

import os

import pytest

from identify.base.limits import TooLargeError, memory_allowed, readable, refuse_above

pytestmark = pytest.mark.smoke


def test_limit_from_the_environment(monkeypatch):
    monkeypatch.setenv("IDENTIFY_MEMORY", "0.5")
    assert memory_allowed() == 2**29
    refuse_above(2**29, "nothing")
    with pytest.raises(TooLargeError, match="a matrix needs about 512 MiB of memory, more than the 512 MiB.*IDENTIFY_MEMORY") as caught:
        refuse_above(2**29 + 1, "a matrix")
    assert (caught.value.bytes_needed, caught.value.bytes_allowed) == (2**29 + 1, 2**29)


@pytest.mark.parametrize("text", ["", "lots", "-1", "0", "nan", "inf"])
def test_limit_that_is_no_number(monkeypatch, text):
    monkeypatch.setenv("IDENTIFY_MEMORY", text)
    with pytest.raises(ValueError, match="IDENTIFY_MEMORY: received .*expected a number of GiB"):
        memory_allowed()


def test_limit_of_the_machine(monkeypatch):
    monkeypatch.delenv("IDENTIFY_MEMORY", raising=False)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}.__getitem__)
    assert memory_allowed() == 2048000

    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", unknown)
    assert memory_allowed() == 4 * 2**30


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (5 * 2**20, "5 MiB"),
        (3 * 2**30, "3 GiB"),
        (2**41, "2.0 TiB"),
        (2**62, "4.2e+06 TiB"),
        (10**400, "9.1e+387 TiB"),
    ],
)
def test_readable(size, text):
    assert readable(size) == text
