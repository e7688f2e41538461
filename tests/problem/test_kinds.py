"""Activations of three kinds: names, values, derivatives by two oracles, kinks, and what is refused."""

import copy
import pickle
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.activations import ANALYTIC, PIECEWISE, REFERENCE, piecewise, reference

import identify as idf
from identify.problem.activation import Activation, ActivationError, Analytic, PiecewiseLinear, Polynomial, as_activation
from identify.problem.catalogue import BUILDERS, REFUSED, known_names
from identify.problem.refusals import Unsupported, UnsupportedError


def test_every_analytic_function_has_a_reference():
    assert set(REFERENCE) == set(ANALYTIC)


@pytest.mark.parametrize("name", [*PIECEWISE, *ANALYTIC, "z + z^3"])
@pytest.mark.parametrize("order", [0, 1])
def test_lists_and_integers_of_every_kind_are_numbers(name, order):
    sigma, expected = Activation.parse(name), Activation.parse(name)(np.array([1.0, 2.0]), order)
    for z in ([1, 2], (1.0, 2.0), *(np.array([1, 2], kind) for kind in ("uint8", "int8", "int64", "uint64"))):
        assert np.array_equal(sigma(z, order), expected), z
    assert sigma(np.uint8(2), order) == expected[1]


class TestNames:
    @pytest.mark.parametrize("name", [*PIECEWISE, *ANALYTIC, "z + z^3"])
    def test_text_and_repr_read_back(self, name):
        sigma = Activation.parse(name)
        assert str(sigma) == name.replace("leaky_relu", "leaky_relu(1/100)", name == "leaky_relu")
        for again in (Activation.parse(str(sigma)), eval(repr(sigma)), pickle.loads(pickle.dumps(sigma)), copy.deepcopy(sigma)):
            assert again == sigma and hash(again) == hash(sigma) and type(again) is type(sigma)

    @given(piecewise())
    def test_any_piecewise_linear_function_reads_back(self, sigma):
        assert Activation.parse(str(sigma)) == sigma == eval(repr(sigma))
        assert hash(Activation.parse(str(sigma))) == hash(sigma)

    @pytest.mark.parametrize(
        ("spelling", "canonical"),
        [
            ("ReLU", "relu"),
            ("LeakyReLU", "leaky_relu(0.01)"),
            ("leaky_relu(0.1)", "leaky_relu(1/10)"),
            ("PReLU(0.25)", "leaky_relu(1/4)"),
            ("leaky_relu(0)", "relu"),
            ("Hardtanh", "hard_tanh"),
            ("hard_tanh(0, 6)", "relu6"),
            ("Hardsigmoid", "hard_sigmoid"),
            ("Softshrink", "soft_shrink(0.5)"),
            ("SiLU", "silu"),
            ("swish", "silu"),
            ("GELU", "gelu"),
            ("gelu_new", "gelu_tanh"),
            ("LogSigmoid", "log_sigmoid"),
            (" tanh ", "tanh"),
            ("exponential", "exp"),
            ("piecewise_linear([0], [0, 1])", "relu"),
            ("piecewise_linear([0, 1], [0, 1, 1], 0)", "relu"),
        ],
    )
    def test_spellings(self, spelling, canonical):
        assert Activation.parse(spelling) == Activation.parse(canonical)

    def test_kinds(self):
        kinds = {name: Activation.parse(name).kind for name in (*PIECEWISE, *ANALYTIC, "z^2")}
        assert set(map(kinds.get, PIECEWISE)) == {"piecewise-linear"} and set(map(kinds.get, ANALYTIC)) == {"analytic"}
        assert kinds["z^2"] == "polynomial" and isinstance(Activation([0, 0, 1]), Polynomial)

    def test_gelu_is_not_its_approximation(self):
        assert Activation.parse("gelu") != Activation.parse("gelu_tanh")
        assert 1e-5 < abs(Activation.parse("gelu")(1.0) - Activation.parse("gelu_tanh")(1.0)) < 1e-3

    def test_the_derivative_at_a_kink_is_part_of_the_value(self):
        assert Activation.parse("abs") != Activation.parse("leaky_relu(-1)")
        assert Activation.parse("abs")(0.0, order=1) == 0 and Activation.parse("leaky_relu(-1)")(0.0, order=1) == -1

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("rleu", r"activation 'rleu': 'rleu' is not a known function; did you mean relu\?$"),
            ("rleu(z)", r"'rleu' is not a known function; did you mean relu\?$"),
            ("sqrt(z)", "'sqrt' is not polynomial, and not a known function; expected a polynomial in z"),
            ("tahn", "did you mean tanh"),
            ("geluu", "did you mean gelu"),
            ("tanh(z)", "Write 'tanh', the name alone"),
            ("sin(2*z)", "received the parameters '2\\*z'"),
            ("relu(2)", "it has no parameters"),
            ("leaky_relu(a)", "expected leaky_relu"),
            ("leaky_relu(1, 2)", "expected leaky_relu"),
            ("leaky_relu()", "expected leaky_relu"),
            ("leaky_relu(1/0)", "expected leaky_relu"),
            ("leaky_relu([1])", "expected leaky_relu"),
            ("leaky_relu(1)", "without a breakpoint"),
            ("hard_tanh(1, -1)", "increasing breakpoints"),
            ("piecewise_linear", "expected piecewise_linear"),
            ("piecewise_linear([0])", "expected piecewise_linear"),
            ("piecewise_linear([0, 1], [0, 1])", "increasing breakpoints"),
            ("piecewise_linear([0], [1, 1], 0)", "without a breakpoint"),
            ("foo", "'foo' is not polynomial"),
        ],
    )
    def test_texts_refused(self, text, message):
        with pytest.raises(ActivationError, match=message):
            Activation.parse(text)

    @pytest.mark.parametrize("name", [*REFUSED, "ELU", "Hard_Swish"])
    def test_functions_of_no_kind_are_refused_by_name(self, name):
        with pytest.raises(ActivationError, match="expected|none of the three kinds"):
            Activation.parse(name)

    def test_no_name_is_both_known_and_refused(self):
        assert not set(BUILDERS) & set(REFUSED)
        assert all(Activation.parse(name) for name in known_names() if name != "piecewise_linear")


class TestAnalytic:
    @pytest.mark.parametrize("name", ANALYTIC)
    @pytest.mark.parametrize("order", range(4))
    def test_values_and_derivatives(self, name, order):
        sigma = Activation.parse(name)
        z = np.array([-30.0, -8.5, -3.0, -1.0, -0.1, 0.0, 1e-3, 0.4, 1.7, 5.0, 12.0, 30.0])
        expected = np.array([reference(name, value, order) for value in z])
        size = np.maximum(np.abs(expected), 1e-15 * np.maximum(np.abs(z), 1))
        assert np.all(np.abs(sigma(z, order=order) - expected) <= 2e-12 * size + 1e-15)
        with jax.enable_x64(True):
            assert np.allclose(sigma.jax(jax.device_put(z), order=order), expected, rtol=2e-12, atol=2e-15)

    @pytest.mark.parametrize("name", [name for name in ANALYTIC if name != "exp"])
    @pytest.mark.parametrize("order", range(4))
    def test_large_arguments(self, name, order):
        """Warnings are errors here: nothing overflows, and values are those at infinity."""
        sigma = Activation.parse(name)
        z = np.array([-1e308, -1e200, -1e30, -1e4, 1e4, 1e30, 1e200, 1e308])
        values = sigma(z, order=order)
        assert np.isfinite(values).all()
        if name in ("sin", "cos"):
            return
        left, right = {
            0: {"arctan": (-np.pi / 2, np.pi / 2), "tanh": (-1, 1), "erf": (-1, 1), "sigmoid": (0, 1)}.get(name, (None, None)),
            1: {"softplus": (0, 1), "silu": (0, 1), "gelu": (0, 1), "mish": (0, 1), "gelu_tanh": (0, 1), "log_sigmoid": (1, 0)}.get(
                name, (1, 1) if name == "tanh_shrink" else (0, 0)
            ),
        }.get(order, (0, 0))
        if left is not None:
            assert np.allclose(values[:3], left, atol=1e-29) and np.allclose(values[-3:], right, atol=1e-29)
        with jax.enable_x64(True):
            assert np.allclose(sigma.jax(jax.device_put(z), order=order), values, rtol=1e-12, atol=1e-300)

    @pytest.mark.parametrize("name", ANALYTIC)
    def test_tails_keep_their_relative_precision(self, name):
        for z in (-25.0, -12.0):
            expected = reference(name, z, 0)
            assert Activation.parse(name)(z) == pytest.approx(expected, rel=1e-13)

    @pytest.mark.once
    @pytest.mark.parametrize("name", [*ANALYTIC, *PIECEWISE, "z^2 - z^3/3"])
    def test_jax_differentiates_by_the_same_rules(self, name):
        sigma = Activation.parse(name)
        z = np.array([-4.0, -0.7, 0.3, 2.2, 40.0])
        with jax.enable_x64(True):
            functions = [sigma.jax]
            for order in range(1, 4):
                of_one = functions[-1] if order == 1 else lambda v, f=functions[-1]: f(v[None])[0]
                functions.append(jax.vmap(jax.grad(of_one)))
            hessian = jax.hessian(lambda v: sigma.jax(v).sum())
            *found, second = jax.jit(lambda v: [f(v) for f in (*functions[1:], hessian)])(jax.device_put(z))  # one program
            for order, values in enumerate(found, 1):
                assert np.allclose(values, sigma(z, order=order), rtol=1e-9, atol=1e-12), order
            assert np.isfinite(second).all()

    def test_orders(self):
        sigma = Activation.parse("tanh")
        for call in (sigma, sigma.jax, sigma.ball):
            with pytest.raises(idf.InputError, match="order: received 4, expected an integer from 0 to 3"):
                call(0.0, order=4)
        with pytest.raises(idf.InputError, match="order"):
            sigma(0.0, order=True)

    def test_float32_stays(self):
        for name in (*ANALYTIC, *PIECEWISE):
            assert Activation.parse(name)(np.ones(3, np.float32), order=1).dtype == np.float32, name


class TestPiecewiseLinear:
    @given(piecewise(), st.fractions(-50, 50, max_denominator=64))
    def test_exact_values(self, sigma, z):
        expected = sigma.lines.value
        points, slopes = sigma.breakpoints, sigma.slopes
        if z <= points[0]:
            expected -= slopes[0] * (points[0] - z)
        for left, right, slope in zip(points, (*points[1:], None), slopes[1:], strict=True):
            end = z if right is None else min(z, right)
            expected += slope * max(end - left, 0)
        assert sigma.exact(z) == expected
        assert sigma(float(z)) == pytest.approx(float(expected), rel=1e-9, abs=1e-9)
        assert sigma.exact(z, order=2) == 0

    @given(piecewise())
    def test_slopes_and_kinks(self, sigma):
        inner = [left + (right - left) / 3 for left, right in zip(sigma.breakpoints, sigma.breakpoints[1:], strict=False)]
        points = [sigma.breakpoints[0] - 1, *inner, sigma.breakpoints[-1] + 1]
        assert [sigma.exact(z, order=1) for z in points] == list(sigma.slopes)
        assert [sigma.exact(t, order=1) for t in sigma.breakpoints] == list(sigma.kinks)
        for t, left, right in zip(sigma.breakpoints, zip(sigma.slopes, sigma.intercepts, strict=True), range(1, 9), strict=False):
            assert left[0] * t + left[1] == sigma.slopes[right] * t + sigma.intercepts[right]

    def test_arrays_of_fractions(self):
        z = np.array([[Fraction(-1, 3), Fraction(2, 3)]])
        assert Activation.parse("leaky_relu(1/2)").exact(z).tolist() == [[Fraction(-1, 6), Fraction(2, 3)]]
        assert Activation.parse("z^2").exact(z).tolist() == [[Fraction(1, 9), Fraction(4, 9)]]
        with pytest.raises(UnsupportedError):
            Activation.parse("tanh").exact(z)

    @pytest.mark.parametrize(
        ("name", "kinks"),
        [
            ("relu", (0,)),
            ("abs", (0,)),
            ("relu6", (0, 0)),
            ("hard_tanh", (0, 0)),
            ("hard_sigmoid", (0, 0)),
            ("soft_shrink", (0, 0)),
            ("leaky_relu(1/8)", (Fraction(1, 8),)),
        ],
    )
    def test_kinks_are_those_of_pytorch(self, name, kinks):
        sigma = Activation.parse(name)
        assert sigma.kinks == kinks
        at = np.array([float(t) for t in sigma.breakpoints])
        with jax.enable_x64(True):
            assert np.array_equal(sigma(at, order=1), list(map(float, kinks)))
            assert np.array_equal(jax.jit(jax.vmap(jax.grad(sigma.jax)))(jax.device_put(at)), list(map(float, kinks)))

    @pytest.mark.parametrize("name", PIECEWISE)
    def test_infinite_and_missing_arguments(self, name):
        sigma = Activation.parse(name)
        values = sigma(np.array([-np.inf, np.inf, np.nan]))
        assert not np.isnan(values[:2]).any() and np.isnan(values[2])
        assert sigma(np.array([-1, 0, 1])).dtype == float

    @pytest.mark.parametrize("breakpoints", [[], [1, 0], [0, 0], [float("nan")]])
    def test_breakpoints_refused(self, breakpoints):
        with pytest.raises(ActivationError):
            PiecewiseLinear(breakpoints, [0] * len(breakpoints) + [1])


class TestRefusals:
    @pytest.mark.parametrize("name", ["relu", "tanh"])
    @pytest.mark.parametrize("asked", ["coefficients", "degree", "support", "constant", "is_monomial"])
    def test_polynomials_alone_have_coefficients(self, name, asked):
        sigma = Activation.parse(name)
        with pytest.raises(UnsupportedError) as caught:
            getattr(sigma, asked)
        assert caught.value.reason is Unsupported.ACTIVATION and caught.value.kinds == (sigma.kind,)
        for call in (sigma.derivative, sigma.floats):
            with pytest.raises(UnsupportedError):
                call()

    def test_other_attributes_are_attribute_errors(self):
        for sigma in map(Activation.parse, ("relu", "tanh", "z^2")):
            assert not hasattr(sigma, "slope")

    def test_immutable(self):
        for name, attribute in (("relu", "lines"), ("tanh", "name"), ("z^2", "coefficients")):
            with pytest.raises(AttributeError, match="cannot assign"):
                setattr(Activation.parse(name), attribute, None)

    def test_errors_survive_pickling(self):
        with pytest.raises(UnsupportedError) as caught:
            Activation.parse("relu").floats()
        again = pickle.loads(pickle.dumps(caught.value))
        assert str(again) == str(caught.value) and again.reason is caught.value.reason


class TestApproximation:
    def test_of_activations_and_of_their_names(self):
        by_name = Activation.approximate("gelu", 6, (-3, 3))
        assert by_name == Activation.approximate(Activation.parse("gelu"), 6, (-3, 3))
        assert by_name.deviation("gelu", (-3, 3)) < 0.02 < by_name.deviation("relu", (-3, 3))


@pytest.mark.once
def test_jax_is_loaded_only_when_it_is_asked_for():
    code = (
        "import sys, identify as idf; s = idf.Activation.parse('gelu'); s(0.5); s.ball(0.5); "
        "n = idf.Network([[[1.0]], [[1.0]]], activation=s); n([[1.0]]); "
        "idf.KKTSystem.gradient(n, layers={1: [[1.0]]}).residual([[1.0]], [1.0]); print('jax' in sys.modules); "
        "s.jax(0.5); print('jax' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "True"]


@given(st.text(max_size=30))
@settings(max_examples=30)
def test_any_text_is_read_or_refused(text):
    with suppress(ActivationError):
        assert Activation.parse(str(Activation.parse(text))) == Activation.parse(text)


def test_analytic_by_name():
    assert Analytic("swish") == Activation.parse("silu")


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_relu_in_floating_point(kind):
    """At kinks, signed zeros, infinities and NaN, in the precision that it is given."""
    z = np.array([np.nan, -np.inf, -1.0, -0.0, 0.0, 1e-30, 2.0, np.inf], kind)
    for order, wanted in ((0, [np.nan, 0, 0, 0, 0, 1e-30, 2, np.inf]), (1, [np.nan, 0, 0, 0, 0, 1, 1, 1]), (2, [np.nan, *[0] * 7])):
        found = as_activation("relu")(z, order=order)
        assert found.dtype == kind and np.array_equal(found, np.array(wanted, kind), equal_nan=True)
    assert isinstance(as_activation("relu")(0.5), float)
