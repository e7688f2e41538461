"""Equations as text and LaTeX: SymPy's text below index 10, indices in the order of numbers beyond, lengths known beforehand."""

from __future__ import annotations

import re
import time
from itertools import pairwise, product

import numpy as np
import pytest
from support.command_line import run
from support.marks import slow_unless
from sympy import Ge, Rational, Symbol, pi, sin, sqrt, srepr, symbols, sympify, tanh

import identify as idf
from identify.symbolic.export import export
from identify.symbolic.names import latex_name
from identify.symbolic.posing import kkt_equations
from identify.symbolic.printing import Printer
from identify.symbolic.writing import TooLongError, estimated_characters

TEXT, LATEX = Printer(tex=False), Printer(tex=True)
CONFIGURATIONS = [
    {"inputs": 2, "samples": 2, "width": 2, "activation": "z + z^2/2 + z^3"},
    {"inputs": 2, "samples": 1, "width": 1, "activation": "z^3", "bias": True, "regime": "max-margin"},
    {"inputs": 2, "samples": 2, "width": 2, "activation": "1 + z + z^2/3", "bias": True, "outputs": 2, "regime": "weight-decay"},
    {"inputs": 2, "samples": 2, "width": 2, "activation": "2 - z^2 + z^4", "outputs": 2, "bias": True},
    {"inputs": 1, "samples": 2, "width": 3, "activation": "2/3 - z^2/2 - z^4", "regime": "lazy"},
    {"inputs": 2, "samples": 2, "width": 2, "activation": "-z + z^3", "regime": "max-margin"},
]
WIDE = {"inputs": 11, "samples": 12, "width": 10, "activation": "z + z^3"}
LARGE = {"inputs": 200, "samples": 100, "width": 500, "activation": "z + z^2/2 + z^3"}


def systems(options):
    """With symbols, and with numbers where instances can be planted."""
    config = idf.Configuration(**options)
    yield kkt_equations(config)
    if config.regime in ("gradient", "lazy"):
        yield kkt_equations(config.plant(0)[0], samples=config.samples)


@pytest.mark.parametrize("options", CONFIGURATIONS)
def test_text_is_that_of_sympy_below_index_ten(options):
    for system in systems(options):
        for expression in (*system.equations, *system.inequalities):
            assert TEXT(expression) == str(expression)
        for expression in (*system.moment_form().equations, *(system.expand().expression(k) for k in range(3))):
            assert sympify(TEXT(expression)) == expression


@pytest.mark.parametrize("options", [*CONFIGURATIONS, WIDE])
def test_text_and_latex_are_the_equation(options):
    """Text is read by SymPy; LaTeX, once its marks are those of text, is the text."""
    for system in systems(options):
        for expression in [*system.equations][:: max(len(system) // 8, 1)]:
            assert sympify(TEXT(expression), {str(s): s for s in expression.free_symbols}) == expression
            assert _plain(LATEX(expression), expression.free_symbols) == TEXT(expression)


def _plain(latex: str, known) -> str:
    text = latex.replace(r"\left(", "(").replace(r"\right)", ")")
    for symbol in sorted(known, key=lambda symbol: -len(latex_name(symbol))):
        text = text.replace(latex_name(symbol), symbol.name)
    text = re.sub(r"\^\{(\d+)\}", r"**\1", text)
    while r"\frac" in text:
        head, _, rest = text.rpartition(r"\frac{")
        end = _closing(rest)
        below = rest[end + 2 :]
        stop = _closing(below)
        text = f"{head}{rest[:end]}/{below[:stop]}{below[stop + 1 :]}"
    text = re.sub(r"^- ", "-", re.sub(r"\(- ", "(-", text))
    return re.sub(r"(?<![-+]) (?![-+])", "*", text)


def _closing(text: str) -> int:
    depth = 0
    for k, letter in enumerate(text):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth < 0:
            return k
    raise AssertionError(text)


def test_indices_are_in_the_order_of_numbers():
    """w_2 before w_10, in every sum, product and file."""
    system = kkt_equations(idf.Configuration(**WIDE))
    whole = system.to_latex(None, max_characters=None), system.to_text(), "\n".join(system.to_dict()["equations"])
    for text, pattern in zip(whole, (r"w_\{\d+,(\d+)\} x_", r"w_\d+_(\d+)\*x_", r"w_\d+_(\d+)\*x_"), strict=True):
        runs = [[int(k) for k in re.findall(pattern, line)] for line in text.splitlines()]
        assert all(b == a % 11 + 1 for found in runs for a, b in pairwise(found)) and any(found for found in runs)
    first = whole[1].splitlines()[whole[1].splitlines().index("first layer") + 1]
    assert [int(k) for k in re.findall(r"lambda_(\d+)", first)] == list(range(1, 13))
    planted = kkt_equations(idf.Configuration(inputs=11, samples=1, width=12, activation="z^2").plant(0, integers=True)[0], samples=1)
    text = export(planted, "singular")
    assert "x_1_9, x_1_10, x_1_11" in text
    with pytest.raises(ValueError, match="contains v_2, v_10; expected"):
        export(planted, "singular", equations=[Symbol("v_10") + Symbol("v_2")])


def test_numbers_signs_and_order():
    x, y, z = symbols("x_1 x_2 x_10")
    for expression, text, latex in [
        (x - x, "0", "0"),
        (Rational(-3, 2) + 0 * x, "-3/2", r"- \frac{3}{2}"),
        (z + y + x, "x_1 + x_2 + x_10", "x_{1} + x_{2} + x_{10}"),
        (1 - 2 * x, "1 - 2*x_1", "1 - 2 x_{1}"),
        (Rational(3, 2) * z * y**2 - x, "-x_1 + 3*x_2**2*x_10/2", r"- x_{1} + \frac{3 x_{2}^{2} x_{10}}{2}"),
        (-((x + z) ** 2) * (y - 1), "-(x_1 + x_10)**2*(x_2 - 1)", None),
        (Ge(z * x, 1), "x_1*x_10 >= 1", r"x_{1} x_{10} \geq 1"),
        (sin(x) / z, "sin(x_1)/x_10", r"\frac{\sin\left(x_{1}\right)}{x_{10}}"),
        (x / (2 * z**2 * (y + 1)), "x_1/(2*x_10**2*(x_2 + 1))", r"\frac{x_{1}}{2 x_{10}^{2} \left(x_{2} + 1\right)}"),
        (3 * tanh(x - z) ** 2 / sqrt(pi), "3*tanh(x_1 - x_10)**2/pi**(1/2)", r"\frac{3 \tanh\left(x_{1} - x_{10}\right)^{2}}{\pi^{1/2}}"),
        (x**z, "x_1**x_10", "x_{1}^{x_{10}}"),
    ]:
        assert (latex is None or LATEX(expression) == latex) and sympify(TEXT(expression)) == expression
        assert TEXT(expression) == text or latex is None, srepr(expression)


@pytest.mark.parametrize(
    ("options", "limit"),
    slow_unless(
        lambda options, limit: limit is not None or options["inputs"] < 40,
        product(
            [*CONFIGURATIONS, WIDE, {"inputs": 40, "samples": 7, "width": 5, "activation": "z + z^5", "bias": True}],
            [None, 1],
        ),
    ),
)
def test_the_length_is_known_beforehand(options, limit):
    for system in systems(options):
        for tex, text in ((True, system.to_latex(limit, max_characters=None)), (False, system.to_text(limit, max_characters=None))):
            assert 0.5 < (estimated_characters(system, limit, tex=tex) + 700) / (len(text) + 700) < 2


class TestLong:
    def test_refused_at_once(self):
        system = kkt_equations(idf.Configuration(**LARGE))
        started = time.process_time()
        for write, options in ((system.to_latex, {}), (system.to_latex, {"limit": 1}), (system.to_text, {}), (system.to_dict, {})):
            with pytest.raises(TooLongError, match="without being asked; show fewer equations") as refusal:
                write(**options)
            assert refusal.value.characters > refusal.value.allowed == 1_000_000 and isinstance(refusal.value, idf.InputError)
        assert system._repr_latex_() is None and not system.equations._made
        assert time.process_time() - started < 0.5

    @pytest.mark.slow
    def test_more_can_be_asked_for(self):
        system = kkt_equations(idf.Configuration(**LARGE | {"samples": 5}))
        with pytest.raises(TooLongError):
            system.to_latex(1, max_characters=10_000)
        started = time.process_time()
        text = system.to_latex(1, max_characters=None)
        assert len(text) > 70_000 and time.process_time() - started < 10
        assert system.to_latex(1, max_characters=10**9) == text

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"limit": -1}, "limit: received -1, expected an integer of at least 0, or None for all"),
            ({"limit": 2.0}, "limit: received 2.0"),
            ({"max_characters": 0}, "max_characters: received 0"),
            ({"max_characters": True}, "max_characters: received True"),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(idf.InputError, match=message):
            kkt_equations(idf.Configuration(**CONFIGURATIONS[0])).to_latex(**options)

    def test_on_the_command_line(self, monkeypatch, capsys):
        sizes = ["kkt", "-d", 200, "-n", 100, "-m", 500, "-a", "z + z^2/2 + z^3"]
        for form in ("latex", "text", "json"):
            status, out, err = run(monkeypatch, capsys, *sizes, "-f", form)
            assert status == 2 and not out and "--max-characters" in err and "characters, more than" in err
        sizes = ["kkt", "-d", 2, "-n", 2, "-m", 2, "-a", "z^2", "-f", "latex"]
        assert run(monkeypatch, capsys, *sizes, "--max-characters", 100)[0] == 2
        assert run(monkeypatch, capsys, *sizes, "--max-characters", 10_000)[0] == 0


def test_nothing_of_each_group_may_be_shown():
    system = kkt_equations(idf.Configuration(**CONFIGURATIONS[0]))
    assert system.to_text(0).count("more") == 2 and "= 0" not in system.to_text(0).split("first layer")[1]
    assert np.all([r"\vdots" in part for part in system.to_latex(0).split("layer}")[1:]])
