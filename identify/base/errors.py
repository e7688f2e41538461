"""The one base of every error that this package raises on purpose."""

from __future__ import annotations


class IdentifyError(Exception):
    """Base of all errors of this package: ``except idf.IdentifyError`` catches whatever it refuses, and nothing else.

    A message says what was received, what was expected, and what to do. Errors about arguments and files are ValueErrors as
    well; those about time or memory that ran out are not.
    """


class InputError(IdentifyError, ValueError):
    """An argument or a setting that cannot be used."""


class OutOfTimeError(IdentifyError, RuntimeError):
    """Work that takes longer than the time that is left for it."""
