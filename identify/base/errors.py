"""The one base of every error that this package raises on purpose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class IdentifyError(Exception):
    """Base of all errors of this package: ``except idf.IdentifyError`` catches whatever it refuses, and nothing else.

    A message says what was received, what was expected, and what to do. Errors about arguments and files are ValueErrors as
    well; those about time that ran out are not.
    """

    def __reduce__(self) -> tuple[Any, ...]:  # the default would call __init__ with the message, in place of what it was made of
        return _rebuilt, (type(self), self.args), self.__dict__


def _rebuilt(cls: type[IdentifyError], args: tuple[Any, ...]) -> IdentifyError:
    error = cls.__new__(cls)
    error.args = args
    return error


class InputError(IdentifyError, ValueError):
    """An argument or a setting that cannot be used."""


class WrongTypeError(InputError, TypeError):
    """An argument of a type that is not accepted, if no conversion would help."""


class UnknownNameError(InputError, KeyError):
    """A name under which there is nothing: ``name`` is what was asked for, ``known`` lists what there is."""

    def __init__(self, what: str, name: object, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"{what}: received {name!r}, expected one of {', '.join(self.known) or 'none: there are none'}")

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0])


class MissingArgumentError(InputError):
    """Something that is needed was not given: the message names arguments, which the command line calls options.

    ``text`` has a field such as ``{data}`` for each argument of ``arguments``, and for each of ``values``.
    """

    def __init__(self, text: str, arguments: Iterable[str], **values: object) -> None:
        self.text, self.arguments, self.values = text, tuple(arguments), values
        super().__init__(self.spelled(""))

    def spelled(self, prefix: str) -> str:
        """The message, with ``prefix`` before the name of each argument."""
        return self.text.format(**{name: f"{prefix}{name}" for name in self.arguments}, **self.values)


class InternalError(IdentifyError):
    """A check that the package makes of its own results has failed: the fault is not in the input, and no result is returned."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: this is a fault of the package, so there is no result; please report it with the seed and the input")


class OutOfTimeError(IdentifyError, RuntimeError):
    """Work that takes longer than the time that is left for it."""
