"""The equations of one's own network: from a model of PyTorch to a printed system and a file; what is too large says so."""

from itertools import pairwise

import numpy as np
import pytest
from sympy import preorder_traversal

import identify as idf
from identify.base.errors import InputError
from identify.base.limits import TooLargeError
from identify.symbolic.numeric import lambdify
from identify.symbolic.writing import TooLongError


def large():
    """784-128-10, four samples."""
    rng = np.random.default_rng(0)
    weights, biases = [rng.standard_normal((128, 784)), rng.standard_normal((10, 128))], [rng.standard_normal(128), rng.standard_normal(10)]
    net = idf.Network(weights, biases=biases, activation="relu")
    update = net.update(rng.standard_normal((4, 784)), rng.standard_normal((4, 10)))
    return idf.kkt_equations(idf.KKTSystem.gradient(net, layers=update), samples=4)


@pytest.mark.slow
def test_a_large_network_is_shown_and_refused_before_any_work():
    equations = large()
    assert len(equations.equations) == 102_282 and "102282 equations in 3688 unknowns" in repr(equations)
    assert "(100351 more)" in equations.to_latex(limit=1)
    with pytest.raises(TooLongError, match="show fewer equations"):
        equations.to_text()
    with pytest.raises(InputError, match=r"export: received equations of up to .* terms, .* Give some of them"):
        equations.export("msolve")
    assert equations.export("singular", equations=equations.equations[:2], saturate=False).count("x_1_1") > 1
    with pytest.raises(InputError, match=r"structure, jacobian: received 102282 equations, .* single entries"):
        equations.structure()
    jacobian = equations.jacobian()
    assert repr(jacobian) == "SymbolicJacobian(102282 by 3688)" and str(jacobian[0, 0]).startswith("s1_1_1*(")


def test_finding_the_unknowns_of_all_equations_is_refused_by_an_estimate(monkeypatch):
    net = idf.Network([np.ones((3, 4)), np.ones((2, 3))], activation="relu")
    X, gamma = np.arange(8.0).reshape(2, 4), np.ones((2, 2))
    equations = idf.kkt_equations(idf.KKTSystem.gradient(net, layers=net.update(X, gamma)), samples=2)
    estimate = equations.jacobian().entries._seconds()
    nodes = sum(1 for equation in equations.equations for _ in preorder_traversal(equation))
    assert 0.8 < estimate / (1e-3 * len(equations) + 5e-6 * nodes) < 1.25
    monkeypatch.setattr("identify.symbolic.jacobian.MOST_SECONDS", 1.01 * estimate)
    counted = len(equations.jacobian().entries)
    assert equations.structure().graph.number_of_edges() == counted and f"{counted} entries" in repr(equations.jacobian())
    monkeypatch.setattr("identify.symbolic.jacobian.MOST_SECONDS", 0.99 * estimate)
    for asked in (equations.structure, equations.jacobian().pattern, equations.jacobian().to_sympy):
        with pytest.raises(InputError, match="structure, jacobian: received 24 equations"):
            asked()
    assert "entries" not in repr(equations.jacobian()) and equations.jacobian()[0, 0] != 0


def test_a_graph_that_does_not_fit_in_memory_is_refused(monkeypatch):
    equations = idf.kkt_equations(idf.Configuration(inputs=2, samples=2, width=2, activation="relu"))
    monkeypatch.setattr("identify.symbolic.structure.BYTES_PER_EDGE", 2**50)
    with pytest.raises(TooLargeError, match="the graph of .* equations"):
        equations.structure()


def test_a_network_alone_is_an_error_that_says_what_to_do():
    net = idf.Network([np.eye(2), np.eye(2)], activation="relu")
    with pytest.raises(TypeError, match=r"received Network, expected .* KKTSystem.weight_decay\(net, decay=…\)"):
        idf.kkt_equations(net, samples=1)


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("outputs", [1, 2])
def test_margins_are_described_if_they_are_in_the_system(depth, outputs):
    sizes = [2, *[3] * (depth - 1), outputs]
    rng = np.random.default_rng(0)
    net = idf.Network([rng.standard_normal((b, a)) for a, b in pairwise(sizes)], activation="tanh")
    equations = idf.kkt_equations(idf.KKTSystem.max_margin(net), samples=1)
    assert bool(len(equations.inequalities)) == (outputs == 1)
    for text in (repr(equations), "\n".join(idf.KKTSystem.max_margin(net).describe())):
        assert ("y_i f(x_i) ≥ 1" in text) == (outputs == 1) and ("without the margins" in text) == (outputs > 1)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ["ReLU", "Tanh"])
def test_from_a_model_of_pytorch(activation, outputs):
    """The data solve the equations of their gradient."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), getattr(torch.nn, activation)(), torch.nn.Linear(3, outputs)).double()
    X = torch.randn(2, 2, dtype=torch.float64)
    out = model(X)
    out.retain_grad()
    (out**2).mean().backward()
    net = idf.Network.of(model)
    equations = idf.kkt_equations(idf.KKTSystem.gradient(net, layers=idf.gradients_of(model)), samples=2)
    at = equations.point(X.numpy(), -out.grad.numpy())
    assert np.abs(lambdify(equations)(at)).max() < 1e-12
    assert "x_1_1" in equations.to_text() and (activation == "Tanh" or "x_1_1" in equations.export("msolve"))
    for system in (idf.KKTSystem.weight_decay(net, decay=1e-3), idf.KKTSystem.max_margin(net)):
        assert len(idf.kkt_equations(system, samples=2).equations) >= 6
