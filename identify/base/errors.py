"""The one base of every error that this package raises on purpose."""

from __future__ import annotations

from typing import Any


def _restored(kind: type[IdentifyError], args: tuple, fields: dict[str, Any]) -> IdentifyError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class IdentifyError(Exception):
    """Base of all errors of this package: ``except idf.IdentifyError`` catches whatever it refuses, and nothing else.

    A message says what was received, what was expected, and what to do. Errors about arguments and files are ValueErrors as
    well; those about time or memory that ran out are not.
    """

    def __reduce__(self) -> tuple:
        """Errors travel between processes whatever their constructors take."""
        return _restored, (type(self), self.args, self.__dict__)


class InputError(IdentifyError, ValueError):
    """An argument or a setting that cannot be used."""
