r"""Activation functions of three kinds: polynomial, piecewise-linear and analytic.

What can be proved about a network depends on the kind of its activation, so the kind is part of the value. Polynomials
:math:`\sigma(z) = s_0 + s_1 z + \dots + s_p z^p` and piecewise-linear functions have exact rational coefficients, slopes and
breakpoints, which are rounded only when a floating-point method asks for them; analytic functions have enclosures in ball
arithmetic. All have values and derivatives for floats and for JAX arrays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from identify.base.options import nearest, whole
from identify.problem.approximation import distance, interpolant
from identify.problem.catalogue import BUILDERS, REFUSED, known_names, normal, parameters
from identify.problem.formulas import EXAMPLE, MAX_DEGREE, MAX_TEXT, ActivationError, exact, horner, read_polynomial, written
from identify.problem.formulas import product as product
from identify.problem.formulas import root_group as root_group
from identify.problem.functions import EVEN, FLOATS, FORMULAS, HIGHEST_ORDER, ODD_UP_TO_A_CONSTANT, as_numbers, jax_kernel
from identify.problem.lines import Lines
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.problem.spellings import coefficients_of, name_of

if TYPE_CHECKING:
    from flint import arb
    from jax import Array

Kind = Literal["polynomial", "piecewise-linear", "analytic"]


class Activation:
    r"""An activation function :math:`\sigma` of one of three kinds; ``Activation(coefficients)`` makes a polynomial.

    Immutable, comparable and hashable by the function it is; ``repr`` reads back. Use :meth:`parse` for all kinds.

    Parameters
    ----------
    coefficients
        Of a polynomial, :math:`s_0, \dots, s_p` with :math:`p \ge 2`, dimensionless: integers, fractions or floats. A float is
        taken as the exact dyadic rational that it is; write ``Fraction(1, 3)`` or use :meth:`parse` for a third. Trailing zeros
        are dropped.

    Raises
    ------
    ActivationError
        For an empty list, a coefficient that is not a finite real number, a degree below 2 (a linear network's
        gradients see only the first moment of the data) or above 20.
    UnsupportedError
        By ``coefficients`` and all that rests on them, for an activation that is not a polynomial.

    Examples
    --------
    >>> Activation([0, 1, 0.5, 1])
    Activation.parse("z + z^2/2 + z^3")
    >>> Activation.parse("z^3").support
    (3,)
    >>> Activation.parse("LeakyReLU"), Activation.parse("swish").kind
    (Activation.parse("leaky_relu(1/100)"), 'analytic')
    """

    coefficients: tuple[Fraction, ...]
    kind: Kind

    def __new__(cls, *args: Any, **options: Any) -> Activation:
        return object.__new__(Polynomial if cls is Activation else cls)

    if TYPE_CHECKING:

        def __init__(self, coefficients: Sequence[int | float | Fraction]) -> None: ...

    @classmethod
    def parse(cls, text: str) -> Activation:
        """Read a polynomial in ``z``, such as ``"z + z^2/2 + z^3"``, or the name of a function; decimals are read as exact fractions.

        The variable may be another letter, products may do without a sign, and powers may be superscripts: ``"2x³ + x"``.

        Names, in any spelling of PyTorch, JAX and Keras (upper or lower case, with or without underscores):

        * piecewise-linear: ``relu``, ``leaky_relu(0.01)``, ``abs``, ``relu6``, ``hard_tanh(-1, 1)``, ``hard_sigmoid``
          (clip(z/6 + 1/2, 0, 1), as in PyTorch, JAX and Keras 3), ``soft_shrink(0.5)``, with the defaults shown (those of PyTorch);
          ``piecewise_linear([t_1, ...], [s_0, s_1, ...], value)`` for any other: breakpoints, slopes, and the value at t_1;
        * analytic: ``tanh``, ``sigmoid``, ``softplus``, ``log_sigmoid``, ``silu`` (``swish``), ``mish``, ``gelu`` (with erf: PyTorch,
          Keras), ``gelu_tanh`` (the approximation: the default of JAX and Flax), ``erf``, ``sin``, ``cos``, ``exp``, ``arctan``,
          ``tanh_shrink``.

        Raises
        ------
        ActivationError
            If the text is neither; the message names the part that is not, and the nearest name. Functions of no kind above are
            refused by name: ``elu``, ``selu``, ``celu`` and ``softsign`` are analytic on each side of 0 only.

        Examples
        --------
        >>> Activation.parse("(z + 1)**2 - 0.1").coefficients
        (Fraction(9, 10), Fraction(2, 1), Fraction(1, 1))
        """
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
            raise ActivationError(f"activation {text!r}: expected {EXAMPLE}, or a name such as 'relu' or 'tanh'")
        match = re.fullmatch(r"\s*([A-Za-z][\w\- ]*?)\s*(?:\((.*)\))?\s*", text, re.DOTALL | re.ASCII)
        name = normal(match[1]) if match else ""
        if name in REFUSED:
            raise ActivationError(f"activation {text!r}: {REFUSED[name]}; Activation.approximate gives a polynomial close to a function")
        if match and name in BUILDERS and (match[2] is None or match[2].strip() != "z"):
            builder = BUILDERS[name]
            made = builder.make(*parameters(text, builder, match[2]))
            return PiecewiseLinear._of(made) if isinstance(made, Lines) else Analytic(made)
        if match and name not in BUILDERS and re.fullmatch(r"[A-Za-z]\w+([ -][A-Za-z]\w+)*", match[1], re.ASCII):
            near = nearest(name, known_names())
            other = f"is not polynomial, and not a known function; expected {EXAMPLE}, or a name such as relu or tanh"
            raise ActivationError(f"activation {text!r}: {match[1]!r} {f'is not a known function{near}' if near else other}")
        return Polynomial(read_polynomial(text, _advice))

    @classmethod
    def approximate(cls, f: Callable[..., Any] | Activation | str, degree: int, interval: tuple[float, float]) -> Activation:
        """A polynomial close to ``f`` on an interval: its interpolant at Chebyshev points (within a small factor of the best).

        Statements about the polynomial network are exact, but they are about another network; :meth:`deviation` gives the
        distance of the two activations. Outside the interval the polynomial may be arbitrarily far off.

        Parameters
        ----------
        f
            A function of a float array, such as ``numpy.tanh``, an activation, or the text of one.
        degree
            2 to 20.
        interval
            ``(low, high)`` with low < high: where the pre-activations lie (units of w·x).

        Raises
        ------
        ActivationError
            For a bad degree or interval, or an ``f`` that is not finite there.

        Examples
        --------
        >>> import numpy as np
        >>> sigma = Activation.approximate(np.tanh, 5, (-2.0, 2.0))
        >>> sigma.degree, bool(sigma.deviation("tanh", (-2.0, 2.0)) < 0.02)
        (5, True)
        """
        degree = whole("degree", degree, least=2, most=MAX_DEGREE, error=ActivationError)
        return Polynomial(interpolant(_function(f), degree, interval))

    def deviation(self, f: Callable[..., Any] | Activation | str, interval: tuple[float, float]) -> float:
        """The largest |sigma - f| on 2001 equally spaced points of the interval (dimensionless)."""
        return distance(self, _function(f), interval)

    def __call__(self, z: ArrayLike, order: int = 0) -> Any:
        """Value (or derivative of the given order) at z: a float, or an array of floats."""
        raise NotImplementedError

    def jax(self, z: Any, order: int = 0) -> Array:
        """Value (or derivative of the given order) at a JAX array; may be traced, and differentiated further.

        JAX is imported on first use. Derivatives that JAX takes of it are those of this class, with the slopes stated for kinks.
        """
        from identify.problem.traced import derivative_of

        return derivative_of(self, _order(order), z)

    def ball(self, z: Any, order: int = 0) -> arb:
        """An enclosure of the value (or derivative) on a ball ``z`` (``flint.arb``, or any real number), at Arb's working precision.

        Polynomials and piecewise-linear functions: any order. Analytic functions: order 0 to 3. A ball that touches a breakpoint
        gives the hull of both slopes and of the one stated there.
        """
        raise NotImplementedError

    def exact(self, z: Any, order: int = 0) -> Any:
        """The exact value (or derivative) at a rational number or each entry of an array; UnsupportedError for analytic functions."""
        raise self.refusal("exact")

    def _jax(self, z: Any, order: int) -> Array:
        """The formula in JAX, without rules of its own for derivatives."""
        raise NotImplementedError

    @property
    def degree(self) -> int:
        """p, the largest power with a non-zero coefficient."""
        return len(self.coefficients) - 1

    @property
    def support(self) -> tuple[int, ...]:
        """K: the powers k >= 1 with s_k non-zero, in increasing order (theory, section 0)."""
        return tuple(k for k, s in enumerate(self.coefficients) if k and s)

    @property
    def constant(self) -> Fraction:
        """s_0."""
        return self.coefficients[0]

    @property
    def is_monomial(self) -> bool:
        """Whether sigma is c z^p: the only polynomials for which the network is homogeneous in its parameters."""
        return self.support == (self.degree,) and self.constant == 0

    @property
    def parity(self) -> int:
        """1 if the function is even, -1 if it is odd up to a constant, 0 otherwise; exact, from coefficients, pieces or a table."""
        raise NotImplementedError

    def derivative(self, order: int = 1) -> tuple[Fraction, ...]:
        """Coefficients of the derivative of the given order, in increasing powers; ``(0,)`` beyond the degree."""
        values = self.coefficients
        for _ in range(order):
            values = tuple(k * s for k, s in enumerate(values))[1:]
        return values or (Fraction(0),)

    def floats(self, order: int = 0) -> tuple[float, ...]:
        """The coefficients of the derivative of that order, rounded to double precision."""
        known = self._floats_by_order
        if order not in known:
            known[order] = tuple(float(s) for s in self.derivative(order))
        return known[order]

    @cached_property
    def _floats_by_order(self) -> dict[int, tuple[float, ...]]:
        """Searches and descents ask for the same ones at every step."""
        return {}

    def refusal(self, question: str) -> UnsupportedError:
        """The error for a question that only polynomials have an answer to."""
        return UnsupportedError(question, Unsupported.ACTIVATION, kinds=[self.kind], activations=[str(self)], depth=None)

    def __getattr__(self, name: str) -> Any:
        if name == "coefficients" and type(self) in (PiecewiseLinear, Analytic):
            raise self.refusal(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f'Activation.parse("{self}")'


@dataclass(frozen=True, init=False, repr=False)
class Polynomial(Activation):
    r"""A polynomial :math:`\sigma(z) = \sum_{k=0}^p s_k z^k` of degree :math:`p \ge 2`; see :class:`Activation`."""

    coefficients: tuple[Fraction, ...]
    kind = "polynomial"

    def __init__(self, coefficients: Sequence[int | float | Fraction]):
        values = [exact(value) for value in coefficients]
        while values and values[-1] == 0:
            values.pop()
        degree = len(values) - 1
        if degree < 2:
            raise ActivationError(
                f"activation of degree {max(degree, 0)}: expected a polynomial of degree 2 or more, because the "
                "gradients of a linear network reveal nothing of the data beyond sum_i c_i x_i"
            )
        if degree > MAX_DEGREE:
            raise ActivationError(f"activation of degree {degree}: expected a degree of at most {MAX_DEGREE}")
        object.__setattr__(self, "coefficients", tuple(values))

    @property
    def parity(self) -> int:
        odd = {k % 2 for k in self.support}
        return 0 if len(odd) == 2 else -1 if odd == {1} else 1

    def __call__(self, z: ArrayLike, order: int = 0) -> Any:
        return horner(self.floats(order), as_numbers(z))

    def exact(self, z: Any, order: int = 0) -> Any:
        coefficients = self.derivative(order)
        if isinstance(z, np.ndarray):
            return np.frompyfunc(lambda value: horner(coefficients, exact(value)), 1, 1)(z)
        return horner(coefficients, exact(z))

    def ball(self, z: Any, order: int = 0) -> arb:
        from identify.problem.balls import ball

        return horner([ball(s) for s in self.derivative(order)], ball(z))

    def _jax(self, z: Any, order: int) -> Array:
        return horner(self.floats(order), z)

    def __str__(self) -> str:
        return written(self.coefficients)


@dataclass(frozen=True, init=False, repr=False)
class PiecewiseLinear(Activation):
    """A continuous piecewise-linear function with exact rational breakpoints and slopes.

    Parameters
    ----------
    breakpoints
        Where slopes change, in increasing order; at least one.
    slopes
        One more than breakpoints, from left to right.
    value
        The value at the first breakpoint.
    kinks
        The derivative that is used *at* each breakpoint (PyTorch: 0 for ReLU, |z|, ReLU6 and hard tanh, the left slope for leaky
        ReLU); None: the left slope.

    Raises
    ------
    ActivationError
        For numbers that do not fit together, or a function without a breakpoint.

    Examples
    --------
    >>> PiecewiseLinear([0], [0, 1])
    Activation.parse("relu")
    >>> PiecewiseLinear([0, 1], [0, 2, 1]).exact(Fraction(3))
    Fraction(4, 1)
    """

    lines: Lines
    kind = "piecewise-linear"

    def __init__(self, breakpoints: Sequence[Any], slopes: Sequence[Any], value: Any = 0, *, kinks: Sequence[Any] | None = None):
        object.__setattr__(self, "lines", Lines.of(breakpoints, slopes, value, kinks))

    @classmethod
    def _of(cls, lines: Lines) -> PiecewiseLinear:
        return cls(lines.breakpoints, lines.slopes, lines.value, kinks=lines.kinks)

    @property
    def breakpoints(self) -> tuple[Fraction, ...]:
        """The points at which slopes change, in increasing order."""
        return self.lines.breakpoints

    @property
    def slopes(self) -> tuple[Fraction, ...]:
        """The slopes of the pieces, from left to right."""
        return self.lines.slopes

    @property
    def intercepts(self) -> tuple[Fraction, ...]:
        """The pieces are ``slope * z + intercept``."""
        return self.lines.intercepts

    @property
    def kinks(self) -> tuple[Fraction, ...]:
        """The derivative that is used at each breakpoint."""
        return self.lines.kinks

    @property
    def is_homogeneous(self) -> bool:
        """Whether σ(t z) = t σ(z) for every t > 0: one breakpoint, at 0, with value 0."""
        return len(self.breakpoints) == 1 and self.breakpoints[0] == self.lines.value == 0

    @property
    def parity(self) -> int:
        mirrored = tuple(-t for t in reversed(self.breakpoints)) == self.breakpoints
        if mirrored and self.slopes == self.slopes[::-1]:
            return -1
        return 1 if mirrored and self.slopes == tuple(-s for s in reversed(self.slopes)) else 0

    def __call__(self, z: ArrayLike, order: int = 0) -> Any:
        return self.lines.evaluate(z, _order(order), np)

    def exact(self, z: Any, order: int = 0) -> Any:
        return self.lines.exact(z, _order(order))

    def ball(self, z: Any, order: int = 0) -> arb:
        from identify.problem.balls import piecewise

        pieces = list(zip(self.slopes, self.intercepts, strict=True))
        return piecewise(self.breakpoints, pieces, self.kinks, z, _order(order))

    def _jax(self, z: Any, order: int) -> Array:
        import jax.numpy as jnp

        return self.lines.evaluate(jnp.asarray(z), order, jnp)

    def __str__(self) -> str:
        return str(self.lines)


@dataclass(frozen=True, init=False, repr=False)
class Analytic(Activation):
    """A named real-analytic function that is not a polynomial; derivatives up to order 3 in closed form.

    Floating-point values are accurate to a few ulps of their size for every finite z, up to cancellation at the zeros of a derivative.
    """

    name: str
    kind = "analytic"

    def __init__(self, name: str):
        object.__setattr__(self, "name", BUILDERS[normal(name)].name)

    @property
    def parity(self) -> int:
        return 1 if self.name in EVEN else -1 if self.name in ODD_UP_TO_A_CONSTANT else 0

    def __call__(self, z: ArrayLike, order: int = 0) -> Any:
        whole("order", order, least=0, most=HIGHEST_ORDER)
        with np.errstate(under="ignore"):
            return FORMULAS[self.name](FLOATS, as_numbers(z), order)

    def ball(self, z: Any, order: int = 0) -> arb:
        from identify.problem.balls import enclosure

        return enclosure(FORMULAS[self.name], z, whole("order", order, least=0, most=HIGHEST_ORDER))

    def _jax(self, z: Any, order: int) -> Array:
        whole("order", order, least=0, most=HIGHEST_ORDER)
        return FORMULAS[self.name](jax_kernel(), z, order)

    def __str__(self) -> str:
        return self.name


def as_activation(value: Any, argument: str = "activation") -> Activation:
    """An activation, from one, its text, its coefficients, a polynomial of NumPy or SymPy, or SymPy's ``tanh(z)``.

    Raises :class:`ActivationError` for anything else.
    """
    if isinstance(value, Activation):
        return value
    text = value if isinstance(value, str) else name_of(value)
    if text is not None:
        return Activation.parse(text)
    coefficients = coefficients_of(value)
    if coefficients is None:
        raise ActivationError(
            f"{argument}: received {type(value).__name__}, expected an Activation, a text such as 'z + z^3' or 'relu', coefficients "
            "[0, 1, 0, 1] from the constant upwards, a numpy Polynomial, or a polynomial of SymPy in one symbol"
        )
    return Polynomial(coefficients)


def _order(order: int) -> int:
    return whole("order", order, least=0)


def _function(f: Callable[..., Any] | Activation | str) -> Callable[..., Any]:
    return as_activation(f) if isinstance(f, str) else f


def _advice(name: str) -> str:
    """The end of an error about a name in a formula."""
    if normal(name) in BUILDERS:
        return f". Write '{BUILDERS[normal(name)].name}', the name alone, for the function"
    return nearest(normal(name), known_names())
