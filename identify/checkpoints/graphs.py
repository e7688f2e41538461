"""ONNX: graphs in which dense layers follow one another, with one activation between them.

The graph is run on descriptions of its values instead of numbers: each is a polynomial, or a known function, of what a dense layer
gives. So ``z + z^2/2``, however an exporter wrote it, is found with the coefficients that the file has. Other graphs are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from identify.base.extras import needed
from identify.base.opening import ProblemFileError, plain, reason_of, refuse_large, shown
from identify.problem.activation import MAX_DEGREE, product

PASSED = ("Identity", "Flatten", "Dropout")
NAMED = ("Relu", "Tanh", "Sigmoid", "Softplus", "Gelu", "Erf", "Exp", "Sin", "Cos")
"""Activations without parameters."""


class _Refused(Exception):
    """Why a graph is not a sequence of dense layers."""


@dataclass(frozen=True)
class _Value:
    """A function of the value number ``base``: a polynomial's coefficients, or the name of an activation.

    The input is 0; each dense layer, and each addition of its bias, gives the next, so that values without and with a bias never mix.
    """

    base: int
    function: tuple[Fraction, ...] | str = (Fraction(0), Fraction(1))

    @property
    def is_plain(self) -> bool:
        return self.function == (0, 1)


def read_graph(path: Path, size: int, head: bytes) -> dict[str, np.ndarray]:
    """Weights as ``W1``, ``b1``, ``W2``, ... (out, in), and the activation as a text."""
    onnx = needed("onnx", f"{path}: reading it")
    from google.protobuf.message import DecodeError

    refuse_large(path, size)
    # no field has the number 0, and protobuf has no message of 2 GiB
    if head[0] < 8 or size >= 2**31:
        raise ProblemFileError(path, "is not an ONNX model", "expected one of less than 2 GiB")
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
        return _Layers(model.graph, onnx).arrays(path)
    except ProblemFileError:
        raise
    except _Refused as reason:
        expected = "expected dense layers (Gemm, or MatMul and Add) with one activation between, and weights in the file"
        raise ProblemFileError(path, reason.args[0], expected) from None
    except (DecodeError, OSError, ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise ProblemFileError(path, f"cannot be read ({reason_of(error)})", "expected an ONNX model") from None


class _Layers:
    """The layers of a graph."""

    def __init__(self, graph: Any, onnx: Any):
        self.onnx = onnx
        self.constants = {tensor.name: self._numbers(tensor) for tensor in graph.initializer}
        inputs = [value.name for value in graph.input if value.name not in self.constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise _Refused(f"has {len(inputs)} inputs and {len(graph.output)} outputs, not one each")
        self.values: dict[str, _Value] = {inputs[0]: _Value(0)}
        self.newest = 0
        self.weights: list[np.ndarray] = []
        self.biases: dict[int, np.ndarray] = {}
        self.between: list[tuple[Fraction, ...] | str] = []
        for node in graph.node:
            self._run(node)
        last = self.values.get(graph.output[0].name)
        if last is None or last.base != self.newest or not last.is_plain:
            raise _Refused("does not end in a dense layer (leave out the operations behind the last one)")
        if len(self.weights) < 2 or len(set(self.between)) != 1:
            raise _Refused(f"has {len(self.weights)} dense layers with {len(set(self.between))} different activations between")

    def arrays(self, path: Path) -> dict[str, np.ndarray]:
        arrays = {}
        for k, weights in enumerate(self.weights, 1):
            arrays[f"W{k}"] = plain(path, f"W{k}", weights)
            if k in self.biases:
                arrays[f"b{k}"] = plain(path, f"b{k}", self.biases[k])
        (function,) = set(self.between)
        text = function if isinstance(function, str) else " + ".join(f"({s})*z^{k}" for k, s in enumerate(function) if s)
        return arrays | {"activation": np.array(text)}

    def _numbers(self, tensor: Any) -> np.ndarray:
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise _Refused(f"has {shown(tensor.name)} in another file")
        array = self.onnx.numpy_helper.to_array(tensor)
        if array.dtype.kind not in "iufV":
            raise _Refused(f"has {shown(tensor.name)} of type {array.dtype}")
        return array

    def _next(self) -> _Value:
        self.newest += 1
        return _Value(self.newest)

    def _run(self, node: Any) -> None:
        if node.domain not in ("", "ai.onnx"):
            raise _Refused(f"has the operation {shown(node.op_type)} of {shown(node.domain)}")
        options = {attribute.name: self.onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "Constant":
            if "value" in options:
                value = self._numbers(options["value"])
            else:
                value = np.asarray(options.get("value_float", options.get("value_int")))
            self.constants[node.output[0]] = value
            return
        if node.op_type in ("Identity", "Transpose") and node.input[0] in self.constants:
            value = self.constants[node.input[0]]
            self.constants[node.output[0]] = value.transpose(options.get("perm")) if node.op_type == "Transpose" else value
            return
        try:
            self.values[node.output[0]] = self._result(node.op_type, list(node.input), options)
        except KeyError:
            raise _Refused(f"has {shown(node.op_type)} of values that are not known") from None

    def _result(self, kind: str, names: list[str], options: dict[str, Any]) -> _Value:
        if kind in ("Gemm", "MatMul"):
            return self._dense(kind, names, options)
        if kind in PASSED or (kind == "Reshape" and self.values[names[0]].base == 0):
            return self.values[names[0]]
        if kind in NAMED:
            value = self.values[names[0]]
            if not value.is_plain or not value.base or options.get("approximate", b"none") != b"none":
                raise _Refused(f"has {kind} of values that no dense layer gives")
            return _Value(value.base, kind.lower())
        if kind in ("Add", "Sub", "Mul", "Div", "Neg", "Pow"):
            return self._arithmetic(kind, names)
        raise _Refused(f"has the operation {shown(kind)}")

    def _dense(self, kind: str, names: list[str], options: dict[str, Any]) -> _Value:
        before, weights = self.values[names[0]], self.constants[names[1]]
        if before.base != self.newest or weights.ndim != 2 or options.get("transA", 0) or options.get("alpha", 1.0) != 1.0:
            raise _Refused(f"has a {kind} that is not a dense layer after the one before")
        if before.base:
            self.between.append(before.function)
        elif not before.is_plain:
            raise _Refused("changes its input before the first dense layer")
        self.weights.append(weights if options.get("transB", 0) else weights.T)
        given = self._next()
        return self._biased(self.constants[names[2]], options.get("beta", 1.0)) if len(names) > 2 and names[2] else given

    def _biased(self, value: np.ndarray, factor: float = 1.0) -> _Value:
        """The newest value, after the addition of a bias."""
        value = np.atleast_1d(value)
        layer, width = len(self.weights), len(self.weights[-1])
        if factor != 1.0 or value.size not in (1, width) or value.size != value.shape[-1]:
            raise _Refused(f"adds {value.shape} to the {width} values of a layer")
        self.biases[layer] = np.broadcast_to(value.reshape(-1), (width,))
        return self._next()

    def _arithmetic(self, kind: str, names: list[str]) -> _Value:
        known = [self.values.get(name) for name in names]
        bases = {value.base for value in known if value is not None}
        if len(bases) != 1 or not 1 <= len(names) <= 2:
            raise _Refused(f"has {kind} of values from different layers")
        (base,) = bases
        constant = next((self.constants[name] for name in names if name in self.constants), None)
        is_fresh = _Value(base) in known and base == self.newest and self.weights and len(self.weights) not in self.biases
        if kind == "Add" and is_fresh and constant is not None and constant.ndim:
            return self._biased(constant)
        terms = [self._polynomial(name, value) for name, value in zip(names, known, strict=True)]
        return _Value(base, _combined(kind, terms))

    def _polynomial(self, name: str, value: _Value | None) -> tuple[Fraction, ...]:
        if value is not None:
            if isinstance(value.function, str):
                raise _Refused(f"computes with the values of {value.function}")
            return value.function
        constant = self.constants[name]
        if constant.size != 1 or not np.isfinite(constant).all():
            raise _Refused(f"computes with {shown(name)} of shape {constant.shape} between layers")
        return (Fraction(constant.reshape(-1)[0].item()),)


def _combined(kind: str, terms: list[tuple[Fraction, ...]]) -> tuple[Fraction, ...]:
    p, q = terms[0], terms[-1]
    if kind == "Neg":
        result = [-s for s in p]
    elif kind in ("Add", "Sub"):
        sign = 1 if kind == "Add" else -1
        at = range(max(len(p), len(q)))
        zero = Fraction(0)
        result = [(p[k] if k < len(p) else zero) + sign * (q[k] if k < len(q) else zero) for k in at]
    elif kind == "Div" and len(q) == 1 and q[0]:
        result = [s / q[0] for s in p]
    elif kind == "Mul":
        result = _product(p, q)
    elif kind == "Pow" and len(q) == 1 and q[0].denominator == 1 and 0 <= q[0] <= MAX_DEGREE:
        result = [Fraction(1)]
        for _ in range(int(q[0])):
            result = _product(result, p)
    else:
        raise _Refused(f"has a {kind} that gives no polynomial")
    while len(result) > 1 and not result[-1]:
        result.pop()
    return tuple(result)


def _product(p: tuple[Fraction, ...] | list[Fraction], q: tuple[Fraction, ...]) -> list[Fraction]:
    if len(p) + len(q) > MAX_DEGREE + 2:
        raise _Refused(f"has a polynomial of degree above {MAX_DEGREE} between layers")
    return product(p, q)
