"""One check for integers and two for numbers: what they take, what they return, and what they say."""

import numpy as np
import pytest

from identify.base.errors import InputError
from identify.base.options import number, positive, whole


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3)])
def test_integers_of_any_kind_become_python_integers(value):
    assert type(whole("n", value)) is int and whole("n", value) == 3


@pytest.mark.parametrize("value", [True, np.True_, 2.0, np.float64(2), "2", None, [2], np.array([2]), 0, -1])
def test_what_is_no_integer_in_range_is_refused(value):
    with pytest.raises(InputError, match="^n: received .*, expected an integer of at least 1$"):
        whole("n", value)


def test_the_range_of_an_integer_is_inclusive():
    assert [whole("n", value, least=0, most=2) for value in (0, 1, 2)] == [0, 1, 2]
    for value in (-1, 3):
        with pytest.raises(InputError, match=f"^n: received {value}, expected an integer from 0 to 2, or None$"):
            whole("n", value, least=0, most=2, advice=", or None")


@pytest.mark.parametrize("check", [positive, number])
@pytest.mark.parametrize("value", [1, 0.25, np.float32(0.25), np.int64(4), 5e-324])
def test_numbers_of_any_kind_become_floats(check, value):
    assert type(check("x", value)) is float and check("x", value) == value


@pytest.mark.parametrize("check", [positive, number])
@pytest.mark.parametrize("value", [True, "1", None, 1j, np.array([1.0]), float("nan"), float("inf"), -1, 10**400])
def test_what_is_no_finite_number_is_refused(check, value):
    with pytest.raises(InputError, match="^x: received "):
        check("x", value)


def test_zero_is_a_number_but_not_positive():
    assert number("x", 0) == 0.0
    with pytest.raises(InputError, match="^x: received 0, expected a positive number of seconds$"):
        positive("x", 0, unit="seconds")


def test_the_upper_bound_is_excluded():
    assert number("x", np.nextafter(1, 0), below=1) == positive("x", np.nextafter(1, 0), below=1) < 1
    with pytest.raises(InputError, match="expected a positive number below 1$"):
        positive("x", 1, below=1)
    with pytest.raises(InputError, match="expected a number of at least -1 and below 1$"):
        number("x", 1, least=-1, below=1)


@pytest.mark.parametrize("check", [whole, positive, number])
def test_the_caller_chooses_the_class(check):
    class OwnError(InputError):
        pass

    with pytest.raises(OwnError):
        check("x", -1, error=OwnError)
