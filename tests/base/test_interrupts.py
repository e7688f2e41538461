"""A signal ends what is under way also if it arrives where Python ignores every exception: in finalisers and during garbage collection."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import weakref

import pytest

from identify.base.interrupts import AGAIN, listening

PATIENCE = 20.0
"""Seconds: threads may wait long on a machine with other work."""


@pytest.fixture(autouse=True)
def handler():
    """Python's own, also if a shell that started the tests in the background has told them to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)  # instructions at which the signal is heard


class Finalised:
    def __del__(self):
        interrupt()


class Node:
    pass


def in_a_finaliser():
    Finalised()


def in_a_callback_of_a_weak_reference():
    node = Node()
    reference = weakref.ref(node, interrupt)
    del node
    assert reference() is None


def in_garbage_collection():
    """As JAX has a callback, in which a signal is heard that arrived while garbage was collected."""

    def callback(phase, details):
        if phase == "stop":
            gc.callbacks.remove(callback)
            interrupt()

    gc.callbacks.append(callback)
    gc.collect(0)  # of the youngest objects: all of those of a long run would take seconds


PLACES = [in_a_finaliser, in_a_callback_of_a_weak_reference, in_garbage_collection]


@pytest.mark.parametrize("place", PLACES)
def test_a_signal_is_not_lost(place):
    before, began = sys.unraisablehook, time.monotonic()
    with pytest.raises(KeyboardInterrupt), listening():
        place()
        while time.monotonic() - began < PATIENCE:
            time.sleep(0.001)
    assert time.monotonic() - began < PATIENCE and sys.unraisablehook is before


@pytest.mark.parametrize("place", PLACES)
def test_it_is_raised_at_the_end_of_the_block_not_behind_it(place):
    with pytest.raises(KeyboardInterrupt), listening():
        place()
    time.sleep(5 * AGAIN)  # another one would be raised here


@pytest.mark.parametrize("place", PLACES)
def test_an_error_is_no_reason_to_lose_it(place):
    with pytest.raises(KeyboardInterrupt) as stopped, listening():
        place()
        raise ZeroDivisionError
    assert isinstance(stopped.value.__context__, ZeroDivisionError)


@pytest.mark.parametrize("place", PLACES)
def test_it_counts_as_one(place):
    """One signal while signals are deferred ends nothing, wherever it arrives."""
    with listening() as heard, heard.deferring():
        place()
        began = time.monotonic()
        while not heard.count and time.monotonic() - began < PATIENCE:
            time.sleep(0.001)
        assert heard.count == 1
        time.sleep(5 * AGAIN)
        assert heard.count == 1


def test_other_exceptions_are_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Fails:
        def __del__(self):
            raise ZeroDivisionError

    with listening():
        Fails()
    assert [each.exc_type for each in told] == [ZeroDivisionError]
