"""Networks and gradients read from PyTorch's models, against its own forward and backward passes."""

import itertools

import numpy as np
import pytest

import identify as idf

torch = pytest.importorskip("torch")
nn = torch.nn


def model_of(*activations, sizes=(5, 7, 6, 3), bias=True, dtype=torch.float64):
    torch.manual_seed(0)
    layers = []
    for k, (inside, out) in enumerate(itertools.pairwise(sizes)):
        layers += [nn.Linear(inside, out, bias=bias, dtype=dtype), *([activations[k % len(activations)]] if k < len(sizes) - 2 else [])]
    return nn.Sequential(*layers)


ACTIVATIONS = [
    *(
        nn.ReLU(),
        nn.LeakyReLU(),
        nn.LeakyReLU(0.25),
        nn.PReLU(init=0.125, dtype=torch.float64),
        nn.ReLU6(),
        nn.Hardtanh(),
        nn.Hardtanh(-0.5, 2.0),
    ),
    *(
        nn.Hardsigmoid(),
        nn.Softshrink(0.25),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.Softplus(),
        nn.LogSigmoid(),
        nn.SiLU(),
        nn.Mish(),
        nn.Tanhshrink(),
    ),
    *(nn.GELU(), nn.GELU(approximate="tanh")),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_outputs_and_gradients(activation):
    model = model_of(activation)
    X, y = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    outputs = model(X)
    outputs.retain_grad()
    nn.functional.cross_entropy(outputs, y).backward()
    net = idf.Network.of(model)
    assert np.allclose(net(X.numpy()), outputs.detach().numpy(), rtol=1e-12, atol=1e-13)
    layers = idf.gradients_of(model)
    system = idf.KKTSystem.gradient(net, layers=layers)
    tolerance = 1e-8 if isinstance(activation, nn.Hardsigmoid) else 1e-12  # PyTorch differentiates it with 1/6 in single precision
    assert set(layers) == {1, 2, 3} and system.residual(X.numpy(), -outputs.grad.numpy()) < tolerance
    assert np.array_equal(layers[2][1], -model[2].bias.grad.numpy())


def test_kinks_are_those_of_pytorch():
    for module, name in ((nn.ReLU(), "relu"), (nn.LeakyReLU(), "leaky_relu"), (nn.ReLU6(), "relu6"), (nn.Hardtanh(), "hard_tanh")):
        sigma = idf.Activation.parse(name)
        for t in sigma.breakpoints:
            z = torch.tensor(float(t), dtype=torch.float64, requires_grad=True)
            module(z).backward()
            assert float(z.grad) == sigma(float(t), order=1), (name, t)


def test_what_computes_nothing_is_passed_over():
    model = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(4, 3), nn.ReLU()), nn.Dropout(0.5), nn.Identity(), nn.Linear(3, 2)).eval()
    net = idf.Network.of(model)
    X = torch.randn(2, 2, 2)
    assert np.allclose(net(X.reshape(2, 4).numpy()), model(X).detach().numpy(), atol=1e-6)


def test_state_dicts():
    model = model_of(nn.ReLU(), bias=False)
    net = idf.Network.of(model.state_dict(), activation="relu")
    X = np.ones((1, 5))
    assert np.allclose(net(X), model(torch.ones(1, 5, dtype=torch.float64)).detach().numpy())
    with pytest.raises(idf.ActivationError, match="activation: received None, and arrays do not name it"):
        idf.Network.of(model.state_dict())


def test_layers_without_gradients():
    model = model_of(nn.Tanh())
    with pytest.raises(idf.ShapeError, match="no dense layer has a gradient"):
        idf.gradients_of(model)
    model[0].weight.requires_grad_(False)
    model[2].weight.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    model(torch.ones(1, 5, dtype=torch.float64)).sum().backward()
    layers = idf.gradients_of(model)
    assert set(layers) == {1, 3} and layers[1][0] is None and layers[1][1] is not None


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = model_of(nn.ReLU())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Wrapped(), "expected a torch.nn.Sequential"),
        (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), "no activation between them"),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh(), nn.Linear(2, 2)), "after the activation relu"),
        (nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), "before the first dense layer"),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Tanh()), "ends with tanh"),
        (
            nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Dropout(0.5), nn.Linear(2, 2)),
            "2 is Dropout in training, so each sample passes a network of its own, by a mask that no update shows",
        ),
        (nn.Sequential(nn.Linear(2, 2), nn.ELU(), nn.Linear(2, 2)), "none of the three kinds"),
        (nn.Sequential(nn.Linear(2, 2), nn.Softplus(beta=2), nn.Linear(2, 2)), "beta = 2"),
        (nn.Sequential(nn.Conv1d(1, 1, 1), nn.ReLU(), nn.Linear(2, 2)), "0 is Conv1d, which acts on each sample by itself"),
        (nn.Sequential(nn.Linear(2, 2), nn.PReLU(2), nn.Linear(2, 2)), "2 slopes"),
        (3, "received int, expected a torch.nn.Sequential"),
    ],
)
def test_refused(model, message):
    with pytest.raises(idf.InputError, match=message):
        idf.Network.of(model)


class Classifier(nn.Module):
    """The order of definition is not that of the forward pass."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 3)
        self.middle = nn.Linear(6, 6)
        self.first = nn.Linear(5, 6)
        self.act = nn.Tanh()
        self.body = nn.ModuleList([self.first, self.middle])

    def forward(self, X):
        return self.head(self.act(self.middle(self.act(self.first(X)))))


def test_a_module_that_names_its_stack():
    model = Classifier().double()
    X = torch.randn(4, 5, dtype=torch.float64)
    nn.functional.cross_entropy(model(X), torch.tensor([0, 2, 1, 1])).backward()
    reference = model(X).detach().numpy()
    for stack, activation in (
        (["first", "act", "middle", "act", "head"], None),
        (["first", "middle", "head"], "tanh"),
        (["body", "head"], "tanh"),
        (["body.0", "body.1", "head"], ["tanh", "tanh"]),
    ):
        net = idf.Network.of(model, stack=stack, activation=activation)
        assert np.allclose(net(X.numpy()), reference, rtol=1e-12)
        layers = idf.gradients_of(model, stack=stack)
        assert np.array_equal(layers[2][0], -model.middle.weight.grad.numpy()) and set(layers) == {1, 2, 3}
    by_name = {name: part.grad for name, part in model.named_parameters()}
    assert np.array_equal(idf.gradients_of(by_name, like=model, stack=["body", "head"])[1][0], layers[1][0])
    with pytest.raises(idf.ShapeError, match="stack: there is no fourth; .* which has head, middle, first, act, body"):
        idf.Network.of(model, stack=["first", "fourth"])
    with pytest.raises(idf.InputError, match="stack: received Linear"):
        idf.Network.of(model, stack=[model.first])
    with pytest.raises(idf.InputError, match="activation: received one beside a model"):
        idf.Network.of(model, stack=["first", "act", "middle", "act", "head"], activation="tanh")


def test_the_stack_may_be_one_part():
    wrapped = Wrapped()
    assert idf.Network.of(wrapped, stack="inner").sizes == (5, 7, 6, 3)
    with pytest.raises(idf.ShapeError, match="received Wrapped, expected a torch.nn.Sequential"):
        idf.gradients_of(wrapped)


def test_gradients_by_name():
    model = model_of(nn.ReLU())
    X = torch.randn(4, 5, dtype=torch.float64)
    params = {name: part.detach() for name, part in model.named_parameters()}
    grads = torch.func.grad(lambda params: torch.func.functional_call(model, params, X).square().sum())(params)
    model(X).square().sum().backward()
    reference = idf.gradients_of(model)
    for like in (model, model.state_dict()):
        found = idf.gradients_of(grads, like=like)
        assert all(np.allclose(found[k][i], reference[k][i], rtol=1e-14) for k in (1, 2, 3) for i in (0, 1))


class Doubled(nn.Linear):
    def forward(self, X):
        return 2 * super().forward(X)


class Shifted(nn.Sequential):
    def forward(self, X):
        return super().forward(X - 0.5)


def normalised(*, bias, affine):
    """Dense layers with batch normalisations that have seen some data, in evaluation."""
    torch.manual_seed(1)
    normalisation = [nn.BatchNorm1d(size, affine=affine, dtype=torch.float64) for size in (7, 6)]
    dense = [nn.Linear(*sizes, bias=bias, dtype=torch.float64) for sizes in ((5, 7), (7, 6), (6, 3))]
    model = nn.Sequential(
        dense[0],
        normalisation[0],
        nn.GELU(),
        nn.Dropout(0.3),
        nn.Sequential(dense[1], normalisation[1], nn.Tanh(), nn.Dropout(0.0)),
        dense[2],
    )
    for part in normalisation:
        if affine:
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
    for _ in range(5):
        model(2 * torch.randn(20, 5, dtype=torch.float64) + 1)
    return model.eval()


class TestNormalisationWithKnownStatistics:
    @pytest.mark.parametrize(("bias", "affine"), [(True, True), (False, True), (True, False), (False, False)])
    @pytest.mark.parametrize("functional", [False, True])
    def test_it_is_a_part_of_the_layer_in_front(self, bias, affine, functional):
        model = normalised(bias=bias, affine=affine)
        X, y = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
        outputs = model(X)
        outputs.retain_grad()
        nn.functional.cross_entropy(outputs, y).backward()
        net = idf.Network.of(model)
        assert net.sizes == (5, 7, 6, 3) and net.biases[0] is not None
        assert np.allclose(net(X.numpy()), outputs.detach().numpy(), rtol=1e-12, atol=1e-13)
        if functional:
            layers = idf.gradients_of({name: value.grad for name, value in model.named_parameters()}, like=model)
        else:
            layers = idf.gradients_of(model)
        assert (layers[1][1] is None) == (not bias and not affine)
        system = idf.KKTSystem.gradient(net, layers=layers)
        assert system.residual(X.numpy(), -outputs.grad.numpy()) < 1e-12
        # the chain rule, not the raw gradient: with that, the equation does not hold
        raw = {k: (-part.weight.grad.numpy(), None) for k, part in ((1, model[0]), (2, model[4][0]))}
        assert idf.KKTSystem.gradient(net, layers=raw).residual(X.numpy(), -outputs.grad.numpy()) > 1e-2

    def test_the_batch_comes_back(self):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(12, 40, bias=False), nn.BatchNorm1d(40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 4)
        ).double()
        model(torch.randn(200, 12, dtype=torch.float64))
        X = torch.randn(5, 12, dtype=torch.float64)
        nn.functional.cross_entropy(model.eval()(X), torch.tensor([0, 1, 2, 3, 0])).backward()
        found = idf.recover(idf.KKTSystem.gradient(idf.Network.of(model), layers=idf.gradients_of(model)))
        errors = [np.linalg.norm(found.X - x, axis=1).min() for x in X.numpy()]
        assert found.n_samples == 5 and max(errors) < 1e-9 and sorted(found.labels) == [0, 0, 1, 2, 3]

    def test_refused(self):
        flat = normalised(bias=True, affine=True)
        with torch.no_grad():
            flat[1].weight[2] = 0.0
        with pytest.raises(idf.ShapeError, match="1 takes neurons of 0 to zero"):
            idf.Network.of(flat)
        behind = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2), nn.Linear(2, 2)).eval()
        with pytest.raises(idf.ShapeError, match="2 is BatchNorm1d, and not directly behind a dense layer.*KKTSystem.features"):
            idf.Network.of(behind)
        without = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False), nn.ReLU(), nn.Linear(2, 2)).eval()
        with pytest.raises(idf.ShapeError, match="in which samples mix unless its statistics are known"):
            idf.Network.of(without)


def shared():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.ReLU(), layer)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: Shifted(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), "a forward of its own, which may do anything"),
        (lambda: nn.Sequential(Doubled(2, 2), nn.ReLU(), nn.Linear(2, 2)), "0 is a Linear with a forward of its own"),
        (shared, "0 and 2 have the same weights, so their gradient is a sum"),
        (
            lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 2)),
            "1 is BatchNorm1d in training, in which samples mix.*model.eval",
        ),
        (
            lambda: nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2)),
            "1 is LayerNorm, which acts on each sample by itself.*KKTSystem.features",
        ),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.LogSoftmax(-1)), "take a softmax into the loss"),
        (lambda: nn.Sequential(nn.LazyLinear(2), nn.ReLU(), nn.Linear(2, 2)), "0 has no weights yet; call the model on a batch"),
        (lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), nn.ReLU(), nn.Linear(2, 2)), "other parameters"),
        (lambda: nn.Sequential(nn.Linear(2, 2, dtype=torch.complex64), nn.ReLU(), nn.Linear(2, 2)), "0.weight: received .*complex64"),
        (lambda: nn.Sequential(nn.Linear(2, 2, device="meta"), nn.ReLU(), nn.Linear(2, 2)), "0.weight: .* cannot be read as numbers"),
    ],
)
def test_refused_for_what_the_layers_do(model, message):
    with pytest.raises(idf.InputError, match=message):
        idf.Network.of(model())


def test_values_of_gradients():
    model = model_of(nn.ReLU(), dtype=torch.float16)
    (model(torch.full((1, 5), 60000.0, dtype=torch.float16)) * 10000).sum().backward()
    with pytest.raises(idf.ShapeError, match="values of its gradient are NaN or infinite; expected finite numbers .in float16 take"):
        idf.gradients_of(model)
    model = model_of(nn.ReLU(), dtype=torch.bfloat16)
    model(torch.ones((1, 5), dtype=torch.bfloat16)).sum().backward()
    assert np.array_equal(idf.gradients_of(model)[1][0], -model[0].weight.grad.float().numpy())
