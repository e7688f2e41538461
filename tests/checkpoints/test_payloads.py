"""Updates without names: lists, tuples, Parameters and numpy.savez are read if one order makes sense, and refused if several do."""

from __future__ import annotations

import numpy as np
import pytest

import identify as idf
from identify.auditing.reading import read
from identify.base.opening import ProblemFileError
from identify.checkpoints import layers
from identify.checkpoints.payloads import in_order, numbered, shaped_like, unread

rng = np.random.default_rng(0)
SHAPES = {"W1": (9, 6), "b1": (9,), "W2": (7, 9), "b2": (7,), "W3": (4, 7), "b3": (4,)}
MODEL = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
GRADIENT = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}


class Parameter:
    """As ``torch.nn.Parameter``: refuses to become an array before it is detached."""

    def __init__(self, value):
        self.value = value

    def __array__(self, *args, **kwargs):
        raise RuntimeError("detach first")

    def detach(self):
        return self

    def cpu(self):
        return self.value


def same(found, expected):
    assert list(found) == list(expected) and all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_in_the_order_of_the_parameters(kind):
    subject = read(MODEL, gradient=kind(GRADIENT.values()), activation="relu")
    same(subject.gradient, GRADIENT)
    same(read(kind(MODEL.values()), gradient=GRADIENT, activation="relu").layers, MODEL)


def test_parameters_are_detached():
    same(read(MODEL, gradient=[Parameter(part) for part in GRADIENT.values()], activation="relu").gradient, GRADIENT)


def test_files_without_names(tmp_path):
    np.savez(tmp_path / "update.npz", *GRADIENT.values())
    np.savez(tmp_path / "model.npz", *MODEL.values())
    subject = read(tmp_path / "model.npz", gradient=tmp_path / "update.npz", activation="relu")
    same(subject.layers, MODEL)
    same(subject.gradient, GRADIENT)


def test_files_of_pytorch_without_names(tmp_path):
    torch = pytest.importorskip("torch")
    for name, kind in (("list", list), ("tuple", tuple)):
        path = tmp_path / f"{name}.pt"
        torch.save(kind(torch.nn.Parameter(torch.tensor(part)) for part in GRADIENT.values()), path)
        same(read(MODEL, gradient=path, activation="relu", trust=True).gradient, GRADIENT)


def test_kernels_of_other_frameworks_are_turned():
    turned = [part.T for part in MODEL.values()]  # (in, out), as Keras has them
    same(in_order(numbered(turned)), MODEL)
    same(shaped_like(numbered([part.T for part in GRADIENT.values()]), MODEL), GRADIENT)


def test_some_layers_at_the_only_place_where_they_fit():
    parts = [GRADIENT["W3"], GRADIENT["b3"]]
    same(shaped_like(numbered(parts), MODEL), {name: GRADIENT[name] for name in ("W3", "b3")})
    same(shaped_like(numbered([None, GRADIENT["W3"]]), MODEL), {"W3": GRADIENT["W3"]})


def test_several_readings_are_refused():
    square = {f"W{k}": rng.standard_normal((5, 5)) for k in (1, 2, 3)}
    assert in_order(numbered(list(square.values()))) is None and shaped_like(numbered(list(square.values())), square) is None
    assert shaped_like(numbered([rng.standard_normal((5, 5))]), square) is None
    with pytest.raises(idf.InputError):
        read(square, gradient=list(square.values()), activation="relu")
    assert in_order(numbered([np.ones((3, 2)), np.ones((4, 5))])) is None
    assert in_order(numbered([np.ones(3), np.ones((3, 2))])) is None


def test_layers_that_are_not_read_are_named():
    arrays = {
        "0.weight": np.ones((5, 4)),
        "0.bias": np.ones(5),
        "1.weight": np.ones(5),
        "1.running_mean": np.ones(5),
        "3.weight": np.ones((2, 5)),
    }
    (said,) = unread(arrays)
    assert said.startswith("1.running_mean: batch normalisation mixes the samples of a batch")
    with pytest.raises(ProblemFileError, match="batch normalisation mixes the samples"):
        layers(arrays, "model.pt")
    convolution = {"conv.weight": np.ones((5, 4, 3, 3)), "fc.weight": np.ones((2, 5)), "out.weight": np.ones((2, 2))}
    with pytest.raises(ProblemFileError, match="conv.weight.*a convolution"):
        layers(convolution, "model.pt")
    with pytest.raises(ProblemFileError, match="norm.weight.*a normalisation"):
        layers({"a.weight": np.ones((5, 4)), "norm.weight": np.ones(5), "b.weight": np.ones((2, 5))}, "model.pt")


def test_an_audit_of_a_payload():
    """From the list that a client sends to the batch behind it."""
    config = idf.Configuration(inputs=8, samples=2, width=(20, 16), activation="gelu", outputs=4, bias=True)
    system, truth = config.plant(seed=0)
    minus = [-part for pair in system.network.update(truth.X, truth.c).values() for part in pair if part is not None]
    subject = read(system.network, gradient=minus, activation=None)
    assert set(subject.gradient) == set(system.network.parameters)
    again = idf.KKTSystem.gradient(system.network, layers={k: (-subject.gradient[f"W{k}"], None) for k in (1, 2, 3)})
    assert again.residual(truth.X, truth.c) < 1e-14
