"""Networks and gradients read from models of Flax and Equinox, against their own forward and backward passes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import identify as idf

nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
eqx = pytest.importorskip("equinox", reason="equinox is not installed")
linen = pytest.importorskip("flax.linen")

SIZES = (5, 7, 6, 3)
ROWS = np.array([0, 2, 1, 1])


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def X():
    return np.random.default_rng(0).standard_normal((4, 5))


def cross_entropy(outputs):
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), ROWS[:, None], axis=1).mean()


def multipliers(outputs):
    return -np.asarray(jax.grad(cross_entropy)(jax.device_put(outputs)))


def agrees(net, layers, X, outputs):
    """The network computes what the model does, and the gradients are the weighted sum of those of the samples."""
    assert np.allclose(net(X), outputs, rtol=1e-12, atol=1e-13)
    assert set(layers) == set(range(1, net.depth + 1))
    assert idf.KKTSystem.gradient(net, layers=layers).residual(X, multipliers(outputs)) < 1e-12


FUNCTIONS = {
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "leaky": functools.partial(jax.nn.leaky_relu, negative_slope=0.25),
    "leaky_relu": jax.nn.leaky_relu,
    "gelu": jax.nn.gelu,
    "exact gelu": functools.partial(jax.nn.gelu, approximate=False),
    "silu": jax.nn.silu,
    "mish": jax.nn.mish,
    "softplus": jax.nn.softplus,
    "sigmoid": jax.nn.sigmoid,
    "log_sigmoid": jax.nn.log_sigmoid,
    "hard_tanh": jax.nn.hard_tanh,
    "tanh": jnp.tanh,
    "lax.tanh": jax.lax.tanh,
    "sin": jnp.sin,
}


class TestNnx:
    @staticmethod
    def linear(inputs, outputs, **options):
        return nnx.Linear(inputs, outputs, rngs=nnx.Rngs(inputs), param_dtype=jnp.float64, bias_init=nnx.initializers.normal(), **options)

    @pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
    def test_sequential(self, X, function):
        model = nnx.Sequential(
            self.linear(5, 7), function, nnx.Dropout(0.5, deterministic=True), self.linear(7, 6), function, self.linear(6, 3)
        )
        grads = nnx.grad(lambda model: cross_entropy(model(X)))(model)
        layers = idf.gradients_of(grads, like=model)
        agrees(idf.Network.of(model), layers, X, model(X))
        assert np.array_equal(layers[1][0], -np.asarray(grads["layers"][0]["kernel"].get_value()).T)

    def test_what_split_and_grad_give(self, X):
        model = nnx.Sequential(self.linear(5, 7), jax.nn.relu, self.linear(7, 3, use_bias=False))
        graph, state = nnx.split(model)
        grads = jax.grad(lambda state: cross_entropy(nnx.merge(graph, state)(X)))(state)
        for tree in (grads, nnx.to_pure_dict(grads)):
            agrees(idf.Network.of(model), idf.gradients_of(tree, like=model), X, model(X))

    class Classifier(nnx.Module):
        """The order of definition is not that of the forward pass."""

        def __init__(self):
            self.last = TestNnx.linear(6, 3)
            self.second = TestNnx.linear(6, 6)
            self.first = TestNnx.linear(5, 6)
            self.inner = nnx.List([TestNnx.linear(6, 6)])

        def __call__(self, X):
            return self.last(jax.nn.relu(self.inner[0](jax.nn.relu(self.second(jax.nn.relu(self.first(X)))))))

    def test_named_stack(self, X):
        model = self.Classifier()
        stack = ["first", "second", "inner", "last"]
        grads = nnx.grad(lambda model: cross_entropy(model(X)))(model)
        layers = idf.gradients_of(grads, like=model, stack=stack)
        agrees(idf.Network.of(model, stack=stack, activation="relu"), layers, X, model(X))
        assert idf.Network.of(model, stack=["first", "second", "inner.0", "last"], activation="relu").sizes == (5, 6, 6, 6, 3)
        with pytest.raises(idf.ShapeError, match="the order in which the parts of other modules act is not written down"):
            idf.Network.of(model)
        with pytest.raises(idf.ShapeError, match="stack: there is no fourth"):
            idf.Network.of(model, stack=["first", "fourth"])
        with pytest.raises(idf.ShapeError, match="no activation between them"):
            idf.Network.of(model, stack=stack)

    @pytest.mark.parametrize(
        ("middle", "message"),
        [
            (lambda: nnx.BatchNorm(7, rngs=nnx.Rngs(0)), "layers.1 is BatchNorm, in which samples mix"),
            (lambda: nnx.Conv(7, 7, (3,), rngs=nnx.Rngs(0)), "layers.1 is Conv, which acts on each sample by itself"),
            (lambda: nnx.LayerNorm(7, rngs=nnx.Rngs(0)), "layers.1 is LayerNorm, which acts on each sample by itself"),
            (lambda: nnx.Dropout(0.5, rngs=nnx.Rngs(0)), "layers.1 is Dropout in training"),
            (lambda: lambda z: z**2, "layers.1 is the function <lambda>, which is not known"),
            (lambda: functools.partial(jax.nn.gelu, True), "layers.1 is the function partial, which is not known"),
            (lambda: jax.nn.softmax, "layers.1 is the function softmax, which is not known"),
            (lambda: jax.nn.identity, "no activation between them"),
        ],
    )
    def test_refused(self, middle, message):
        with pytest.raises(idf.InputError, match=message):
            idf.Network.of(nnx.Sequential(self.linear(5, 7), middle(), self.linear(7, 3)))

    def test_shared_layers(self):
        layer = self.linear(5, 5)
        with pytest.raises(idf.ShapeError, match="layers.0 and layers.2 have the same weights"):
            idf.Network.of(nnx.Sequential(layer, jax.nn.relu, layer))


class TestEquinox:
    @pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
    def test_mlp(self, X, function):
        model = eqx.nn.MLP(5, 3, 7, 2, activation=function, key=jax.random.key(0))
        grads = eqx.filter_grad(lambda model: cross_entropy(jax.vmap(model)(X)))(model)
        agrees(idf.Network.of(model), idf.gradients_of(grads, like=model), X, jax.vmap(model)(X))

    def test_sequential(self, X):
        keys = iter(jax.random.split(jax.random.key(1), 3))
        parts = [
            *(eqx.nn.Linear(5, 7, key=next(keys)), eqx.nn.Lambda(jax.nn.relu), eqx.nn.Dropout(0.3, inference=True)),
            eqx.nn.Sequential([eqx.nn.Linear(7, 6, use_bias=False, key=next(keys)), eqx.nn.Lambda(jnp.tanh), eqx.nn.Identity()]),
            eqx.nn.Linear(6, 3, key=next(keys)),
        ]
        model = eqx.nn.Sequential(parts)
        grads = eqx.filter_grad(lambda model: cross_entropy(jax.vmap(model)(X)))(model)
        net, layers = idf.Network.of(model), idf.gradients_of(grads, like=model)
        agrees(net, layers, X, jax.vmap(model)(X))
        assert layers[2][1] is None and [str(sigma) for sigma in net.activations] == ["relu", "tanh"]

    class Classifier(eqx.Module):
        head: eqx.nn.Linear
        body: tuple
        scale: float = 1.0

        def __call__(self, x):
            return self.head(jax.nn.relu(self.body[0](x)))

    def test_named_stack(self, X):
        model = self.Classifier(eqx.nn.Linear(6, 3, key=jax.random.key(0)), (eqx.nn.Linear(5, 6, key=jax.random.key(1)),))
        grads = eqx.filter_grad(lambda model: cross_entropy(jax.vmap(model)(X)))(model)
        layers = idf.gradients_of(grads, like=model, stack=["body", "head"])
        agrees(idf.Network.of(model, stack=["body", "head"], activation="relu"), layers, X, jax.vmap(model)(X))
        with pytest.raises(idf.ShapeError, match="received Classifier with head, body"):
            idf.Network.of(model)

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (lambda key: eqx.nn.MLP(5, 3, 7, 2, final_activation=jax.nn.softmax, key=key), "has a final activation"),
            (lambda key: eqx.nn.MLP(5, 3, 7, 3, scan=True, key=key), "received shape .2, 7, 7., expected a matrix"),
            (lambda key: eqx.nn.MLP(5, 3, 7, 2, activation=eqx.nn.PReLU(), key=key), "activation is PReLU; expected dense layers"),
            (lambda key: eqx.nn.Sequential([eqx.nn.Linear(5, 7, key=key), eqx.nn.BatchNorm(7, "b", mode="batch")]), "samples mix"),
            (lambda key: eqx.nn.Sequential([eqx.nn.Conv1d(1, 1, 3, key=key)]), "layers.0 is Conv1d"),
            (lambda key: eqx.nn.Linear(5, 7, key=key), "expected a Sequential or an equinox.nn.MLP"),
            (lambda key: eqx.filter(eqx.nn.MLP(5, 3, 7, 2, key=key), lambda leaf: False), "final activation"),
        ],
    )
    def test_refused(self, model, message):
        with pytest.raises(idf.InputError, match=message):
            idf.Network.of(model(jax.random.key(0)))

    def test_inside_of_compiled_code(self):
        model = eqx.nn.MLP(5, 3, 7, 2, key=jax.random.key(0))
        with pytest.raises(idf.ShapeError, match="outside of compiled code"):
            eqx.filter_jit(lambda model: idf.Network.of(model).depth)(model)


class TestLinen:
    class Classifier(linen.Module):
        """Written from the outside in: Dense_0 is the last layer."""

        @linen.compact
        def __call__(self, X):
            dense = functools.partial(linen.Dense, param_dtype=jnp.float64)
            return dense(3)(linen.relu(dense(6)(linen.relu(dense(7)(X)))))

    def test_parameters_and_gradients(self, X):
        module = self.Classifier()
        variables = module.init(jax.random.key(0), X)
        grads = jax.grad(lambda variables: cross_entropy(module.apply(variables, X)))(variables)
        net = idf.Network.of(variables, activation="relu")
        assert net.sizes == SIZES  # Dense_2, Dense_1, Dense_0: by their shapes
        agrees(net, idf.gradients_of(grads, like=variables), X, module.apply(variables, X))
        inner = idf.gradients_of(grads["params"], like=variables["params"], stack=["Dense_2", "Dense_1", "Dense_0"])
        assert all(np.array_equal(inner[k][0], idf.gradients_of(grads, like=variables)[k][0]) for k in (1, 2, 3))

    def test_names_in_an_order_that_shapes_do_not_tell(self):
        alike = {f"Dense_{k}": {"kernel": np.full((4, 4), k), "bias": np.zeros(4)} for k in range(3)}
        assert idf.Network.of(alike, activation="relu").weights[2][0, 0] == 2  # their numbers
        assert idf.Network.of(alike, activation="relu", stack=["Dense_2", "Dense_1", "Dense_0"]).weights[2][0, 0] == 0
        words = {name: {"kernel": np.eye(4)} for name in ("encode", "middle", "decode")}
        with pytest.raises(idf.InputError, match="could be"):
            idf.Network.of(words, activation="relu")
        assert idf.Network.of(words, activation="relu", stack=["encode", "middle", "decode"]).depth == 3

    def test_a_module_holds_no_parameters(self):
        with pytest.raises(idf.ShapeError, match="holds no parameters by itself"):
            idf.Network.of(self.Classifier(), activation="relu")

    def test_batch_normalisation(self):
        params = {"Dense_0": {"kernel": np.eye(3)}, "BatchNorm_0": {"scale": np.ones(3)}, "Dense_1": {"kernel": np.eye(3)}}
        with pytest.raises(idf.InputError, match="BatchNorm_0/scale.* belong to no dense layer"):
            idf.Network.of({"params": params}, activation="relu")


class TestGradients:
    @pytest.fixture
    def model(self):
        return eqx.nn.MLP(5, 3, 7, 2, activation=jax.nn.relu, key=jax.random.key(0))

    @pytest.fixture
    def grads(self, model, X):
        return eqx.filter_grad(lambda model: cross_entropy(jax.vmap(model)(X)))(model)

    def test_the_model_itself_is_no_gradient(self, model):
        with pytest.raises(idf.ShapeError, match="received the parameters themselves"):
            idf.gradients_of(model, like=model)
        params = {"W1": np.eye(2), "W2": np.ones((1, 2))}
        with pytest.raises(idf.ShapeError, match="received the parameters themselves"):
            idf.gradients_of(dict(params), like=params)
        with pytest.raises(idf.ShapeError, match=r"gradients_of\(grads, like=model\)"):
            idf.gradients_of(model)

    def test_layers_without_gradients(self, model, grads):
        frozen = eqx.tree_at(lambda g: g.layers[1], grads, None)
        assert set(idf.gradients_of(frozen, like=model)) == {1, 3}
        half = eqx.tree_at(lambda g: g.layers[1].bias, grads, None)
        assert idf.gradients_of(half, like=model)[2][1] is None
        with pytest.raises(idf.ShapeError, match="no dense layer has a gradient; expected the gradients by the parameters"):
            idf.gradients_of({}, like=model)

    def test_values_and_shapes(self, model, grads):
        damaged = eqx.tree_at(lambda g: g.layers[0].weight, grads, grads.layers[0].weight.at[0, 0].set(jnp.nan))
        with pytest.raises(idf.ShapeError, match="layers.0: 1 of 35 values of its gradient are NaN or infinite"):
            idf.gradients_of(damaged, like=model)
        turned = eqx.tree_at(lambda g: g.layers[0].weight, grads, grads.layers[0].weight.T)
        with pytest.raises(idf.ShapeError, match="layers.0.weight: received a gradient of shape .5, 7., expected .7, 5."):
            idf.gradients_of(turned, like=model)
        params = {"W1": np.eye(2), "W2": np.ones((1, 2))}
        with pytest.raises(idf.ShapeError, match="W1: received a gradient of shape"):
            idf.gradients_of({"W1": np.ones((3, 2))}, like=params)
        with pytest.raises(idf.ShapeError, match="received gradients of W3; expected some of W1, W2"):
            idf.gradients_of({"W3": np.ones((3, 2))}, like=params)
        assert idf.gradients_of({"W2": np.full((1, 2), 3.0)}, like=params)[2][1] is None

    @pytest.mark.parametrize("kind", [jnp.float16, jnp.bfloat16, jnp.float32])
    def test_small_floats_are_exact(self, model, grads, kind):
        small = jax.tree.map(lambda leaf: leaf.astype(kind), eqx.filter(model, eqx.is_array))
        reference = np.asarray(small.layers[0].weight).astype(float)
        made = idf.Network.of({f"W{k}": layer.weight for k, layer in enumerate(small.layers, 1)}, activation="relu")
        assert np.array_equal(made.weights[0], reference)
        halves = jax.tree.map(lambda leaf: leaf.astype(kind), grads)
        got = idf.gradients_of(halves, like=model)[1][0]
        assert np.array_equal(got, -np.asarray(halves.layers[0].weight).astype(float))
