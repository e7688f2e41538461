"""Which layers suffice: the table against explicit families, exact counts, and competitors found by another solver."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space
from scipy.optimize import least_squares

import identify as idf
from identify.conditions.exposed import SETS
from identify.conditions.networks.parts import Parts, backward, excluded, forward, samples_finding
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.separation import Route, needs
from identify.problem.exposure import QUANTITIES, Exposed, ExposedBy, Method

YES, MAYBE, NO = Exposed.PROVED_GENERIC, Exposed.POSSIBLE, Exposed.NO


def config(activation="gelu", width=(128, 96), inputs=64, samples=8, outputs=10, bias=True, **options):
    return idf.Configuration(inputs=inputs, samples=samples, width=width, activation=activation, outputs=outputs, bias=bias, **options)


def softmax_system(sizes, activation, n, seed=0, layers=None):
    """A network, data, and the system of all layers or some of them."""
    system, truth = idf.Configuration(
        inputs=sizes[0], samples=n, width=sizes[1:-1], activation=activation, outputs=sizes[-1], bias=True
    ).plant(seed, multipliers="softmax")
    chosen = system.layers if layers is None else {k: system.layers[k] for k in layers}
    return idf.KKTSystem.gradient(system.network, layers=chosen), truth


@pytest.mark.smoke
def test_the_table_of_a_classifier():
    found = idf.exposed(config())
    assert [row.name for row in found.rows] == list(SETS)
    assert {row.name: row.samples.status for row in found.rows} == {
        "first": MAYBE, "first two": YES, "middle": YES, "last two": YES, "last": YES, "biases": NO, "all": YES,
    }  # fmt: skip
    assert found["first"].samples.method is Method.BACKWARD and found["first"].row_space.status is YES
    assert found["last"].samples.method is Method.FEATURES and found["last"].labels.status is YES
    assert found["biases"].count.reason is ExposedBy.NO_RANK
    assert found["last"].proved_up_to == 9  # a softmax loss: signals have C - 1 dimensions
    assert idf.exposed(config(), "last", loss=None)["last"].proved_up_to == 10


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_the_last_layer_of_a_network_that_narrows(activation):
    """784-512-256-10: samples move along the kernel of W_1, whatever else is seen."""
    found = idf.exposed(config(activation, (512, 256), inputs=784))
    for name in ("middle", "last two", "last", "biases"):
        assert found[name].samples.status is NO and found[name].samples.reason is ExposedBy.KERNEL
        assert found[name].row_space.status is NO and found[name].excluded_from == 1
    assert found["first two"].samples.method is Method.FORWARD
    assert found["last two"].features.status is (YES if activation == "gelu" else MAYBE)


def test_one_sample():
    found = idf.exposed(config("relu"), samples=1)
    assert found["first"].samples.reason is ExposedBy.ONE_ROW and found["first"].samples.method is Method.ROW
    assert found["last"].labels.reason is ExposedBy.ONE_LABEL
    assert found["biases"].samples.reason is ExposedBy.CELL
    smooth = idf.exposed(config("tanh", (160, 96)), samples=1)["biases"].samples
    assert smooth.reason is ExposedBy.ONE_SIGNAL and smooth.method is Method.SIGNALS and smooth.numbers["needed"] == 64 + 96


def test_biases_determine_several_samples_of_a_wide_enough_network():
    """Jointly: n (d + 2 C) + 1 neurons, one for each unknown and each true multiplier."""
    for width, status in ((2 * (5 + 6) + 1, YES), (2 * (5 + 6), MAYBE)):
        row = idf.exposed(config("tanh", width, inputs=5, samples=2, outputs=3), "biases")["biases"]
        assert row.samples.status is status
        assert row.count.status is status


def test_relu_says_when_half_of_the_neurons_are_too_few():
    for width, reason in ((128, ExposedBy.HALF), (200, ExposedBy.COUNTED)):
        found = idf.exposed(config("relu", (width, width)), "last")["last"].samples
        assert found.status is MAYBE and found.reason is reason and found.method is Method.FEATURES
    alone = idf.exposed(config("relu"), "first")["first"].samples
    assert alone.reason is ExposedBy.ZEROS and alone.method is Method.ZEROS
    many = idf.exposed(config("relu"), "first", samples=11)["first"].samples
    assert many.reason is ExposedBy.ZEROS and many.method is None


def test_two_layers_of_a_polynomial_have_conditions_of_their_own():
    found = idf.exposed(idf.Configuration(inputs=5, samples=3, width=12, activation="z + z^3", bias=True))
    assert {row.samples.reason for row in found.rows} <= {ExposedBy.POLYNOMIAL, ExposedBy.FEW_EQUATIONS}


def test_free_multipliers_are_no_family_of_samples():
    """The first of three layers: 60 outputs behind 4 neurons leave multipliers open, and samples are recovered all the same."""
    system, truth = idf.Configuration(inputs=6, samples=2, width=(40, 4), activation="gelu", outputs=60, bias=True, layers=(1,)).plant(0)
    row = idf.exposed(system.network, (1,), samples=2, loss=None).rows[0]
    assert 2 * (6 + 60) > 2 * (40 + 7 - 2) and row.samples.status is not NO and row.samples.method is Method.BACKWARD
    found = idf.recover(system, judge=False)
    assert max(np.linalg.norm(found.X - x, axis=1).min() for x in truth.X) < 1e-9


class TestAgreesWithTheConditions:
    @pytest.mark.parametrize("layers", [(1, 2), (2,), (1,), (1, 2, 3)])
    @pytest.mark.parametrize("samples", [1, 3, 6])
    def test_of_the_first_two_layers(self, layers, samples):
        """The counts of Theorem A are those of the condition ``separation``."""
        for width in range(1, 41):
            sizes = config("tanh", (width, 12), inputs=4, samples=samples, outputs=3, layers=layers)
            known = needs(NetworkQuestion.of_configuration(sizes, 0))
            parts = Parts((4, width, 12, 3), sizes.activations, (True, True, False), {k: (True, k < 3) for k in layers}, samples, False)
            mine = {Route.FORWARD: [need for need in forward(parts) if need.layer == 2], Route.BACKWARD: []}
            mine[Route.BACKWARD] = [need for need in backward(parts) if need.layer == 1]
            for route, own in mine.items():
                enough = [need for need in known if need.route is route and need.any_multipliers and need.neurons <= width]
                assert sorted(need.neurons for need in enough) == sorted(need.needed for need in own)

    @settings(max_examples=100, deadline=None)
    @given(
        widths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
        inputs=st.integers(1, 12),
        outputs=st.integers(1, 6),
        samples=st.integers(1, 30),
        kind=st.sampled_from(["tanh", "relu", "gelu"]),
        bias=st.booleans(),
        data=st.data(),
    )
    def test_nothing_is_both_proved_and_excluded(self, widths, inputs, outputs, samples, kind, bias, data):
        network = idf.Configuration(inputs=inputs, samples=samples, width=tuple(widths), activation=kind, outputs=outputs, bias=bias)
        depth = network.depth
        numbers = data.draw(st.sets(st.integers(1, depth), min_size=1))
        which = {k: data.draw(st.sampled_from(["both", "weights", *(["bias"] if bias and k < depth else [])])) for k in numbers}
        row = idf.exposed(network, which).rows[0]
        parts = Parts((inputs, *widths, outputs), network.activations, (*(bias for _ in widths), False), row.layers, samples, outputs > 1)
        assert samples_finding(parts) == row.samples
        proved = samples_finding(parts).status is YES
        assert not (proved and excluded(parts) is not None)
        if proved:  # more layers show no less
            everything = idf.exposed(network, "all")["all"] if kind != "relu" else row
            assert everything.samples.status is YES
            assert row.row_space.status is YES and row.features.status is YES
        assert row.proved_up_to < (row.excluded_from or 1001)


class TestFamilies:
    """NO means: here is another batch with the same updates."""

    @pytest.mark.parametrize("activation", ["gelu", "relu"])
    @pytest.mark.parametrize("layers", [(2,), (3,), (2, 3)])
    def test_kernel(self, activation, layers):
        system, truth = softmax_system((8, 6, 7, 4), activation, 2, layers=layers)
        assert idf.exposed(system.network, layers).rows[0].samples.reason is ExposedBy.KERNEL
        moved = truth.X + np.random.default_rng(0).standard_normal((2, 2)) @ null_space(system.network.weights[0]).T
        assert system.residual(moved, truth.c) < 1e-14
        assert np.allclose(system.network(moved), system.network(truth.X), atol=1e-13)  # so are the multipliers of any loss

    def test_bottleneck(self):
        """tanh 6-8-3-9-4, layer 4 alone: what leaves layer 2 has three numbers for six entries."""
        system, truth = softmax_system((6, 8, 3, 9, 4), "tanh", 2, layers=(4,))
        found = idf.exposed(system.network, (4,)).rows[0].samples
        assert found.reason is ExposedBy.BOTTLENECK and found.numbers == {"layer": 2, "width": 3, "inputs": 6}
        net, wanted = system.network, system.network.forward(truth.X).entering[2]
        start = truth.X[0] + 0.3 * np.random.default_rng(1).standard_normal(6)
        other = least_squares(lambda x: net.forward(x[None]).entering[2][0] - wanted[0], start, xtol=1e-15, ftol=1e-15, gtol=1e-15).x
        assert np.linalg.norm(other - truth.X[0]) > 0.1
        assert system.residual(np.array([other, truth.X[1]]), truth.c) < 1e-9

    def test_cell(self):
        system, truth = softmax_system((9, 12, 11, 3), "relu", 2)
        seen = {k: (None, update.bias) for k, update in system.layers.items() if update.bias is not None}
        biases = idf.KKTSystem.gradient(system.network, layers=seen)
        assert idf.exposed(system.network, "biases").rows[0].samples.reason is ExposedBy.CELL
        direction = np.random.default_rng(0).standard_normal((2, 9))
        moved = truth.X + 1e-4 * direction
        net = system.network
        before, after = (net.forward(X).before for X in (truth.X, moved))
        assert all(np.array_equal(a > 0, b > 0) for a, b in zip(before[:-1], after[:-1], strict=True))
        assert biases.residual(moved, truth.c) < 1e-15 < 1e-6 < system.residual(moved, truth.c)

    @pytest.mark.parametrize(("layers", "n"), [((3,), 3), ((2,), 15), ((1,), 16)])
    def test_few_equations(self, layers, n):
        """The derivative of the observed updates, softmax multipliers included, has a kernel at random data."""
        system, truth = softmax_system((10, 11, 12, 3), "tanh", n, layers=layers)
        found = idf.exposed(system.network, layers, samples=n).rows[0].samples
        assert found.reason is ExposedBy.FEW_EQUATIONS
        net, labels = system.network, np.eye(3)[truth.c.argmax(axis=1)]

        def updates(x):
            X = x.reshape(n, -1)
            exponentials = np.exp(net(X))
            return system.right_hand_side(X, (labels - exponentials / exponentials.sum(axis=1, keepdims=True)) / n)

        x, step = truth.X.reshape(-1), 1e-5
        columns = [(updates(x + step * e) - updates(x - step * e)) / (2 * step) for e in np.eye(len(x))]
        values = np.linalg.svd(np.array(columns).T, compute_uv=False)
        rank = int(np.sum(values > 1e-7 * values[0]))
        assert rank <= found.numbers["equations"] < found.numbers["unknowns"] == n * 10


class TestCompetitors:
    """Layer 3 alone of tanh 2-m_1-m_2-4: no other point has features in the row space from m_2 = d + n on; one less, and some do."""

    @staticmethod
    def others(width, seed, n=2, d=2):
        system, truth = softmax_system((d, 7, width, 4), "tanh", n, seed=seed)
        net = system.network
        H = np.hstack([net.forward(truth.X).entering[2], np.ones((n, 1))])[:, :-1]
        base, directions = H[0], (H[1:] - H[0])
        outside = null_space(directions)  # an affine row space: the second bias is known

        def misfit(x):
            return (net.forward(x[None]).entering[2][0] - base) @ outside

        rng, found = np.random.default_rng(seed), []
        for _ in range(40):
            ended = least_squares(misfit, 2 * rng.standard_normal(d), xtol=1e-15, ftol=1e-15, gtol=1e-15)
            if np.linalg.norm(ended.fun) < 1e-11 and np.linalg.norm(ended.x) < 50:
                found.append(ended.x)
        return sum(np.linalg.norm(truth.X - x, axis=1).min() > 1e-5 for x in found), len(found)

    @pytest.mark.slow
    def test_enough_neurons(self):
        d = n = 2
        assert idf.exposed(config("tanh", (7, d + n), inputs=d, samples=n, outputs=4), {3: "weights"}).rows[0].samples.status is MAYBE
        counted = [self.others(d + n, seed) for seed in range(6)]
        assert sum(found for _, found in counted) > 20 and not any(others for others, _ in counted)

    @pytest.mark.slow
    def test_one_neuron_too_few(self):
        assert any(self.others(3, seed)[0] for seed in range(6))


class TestForms:
    def test_text_json_and_tables(self):
        found = idf.exposed(config())
        content = json.loads(found.to_json())
        assert content["samples"] == 8 and [row["name"] for row in content["rows"]] == list(SETS)
        assert {*QUANTITIES} <= set(content["rows"][0]) and content["rows"][4]["samples"]["method"] == "FEATURES"
        lines = found.to_markdown().splitlines()
        assert len(lines) == 2 + len(SETS) and len({line.count("|") for line in lines}) == 1
        assert found._repr_html_().count("<tr") == 1 + len(SETS) and found.to_markdown() in found._repr_markdown_()
        assert "last two" in str(found) and repr(found).startswith("Exposure(8 samples")
        with pytest.raises(idf.InputError, match="expected one of first"):
            found["third"]

    def test_two_layers_have_fewer_sets(self):
        assert [row.name for row in idf.exposed(config(width=30)).rows] == ["first", "last", "biases", "all"]
        assert [row.name for row in idf.exposed(config(width=30, bias=False)).rows] == ["first", "last", "all"]

    def test_chosen_layers(self):
        row = idf.exposed(config(), {1: "bias", 3: "weights"}).rows[0]
        assert row.observed == "b1 W3" and row.name == "1, 3"
        assert idf.exposed(config(), (2, 3)).rows[0].name == "last two"
        net = config().plant(0)[0].network
        assert idf.exposed(net).samples == 8 and repr(net) in idf.exposed(net).headline

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"layers": ()}, "layers: received"),
            ({"layers": "third"}, "layers: received 'third'"),
            ({"layers": (4,)}, "layers: received 4"),
            ({"layers": {3: "bias"}}, "layer 3 has none"),
            ({"layers": {1: "half"}}, "expected one of both, weights, bias"),
            ({"samples": 0}, "samples: received 0"),
            ({"loss": "hinge"}, "loss: received 'hinge'"),
        ],
    )
    def test_bad_input(self, options, match):
        with pytest.raises(idf.InputError, match=match):
            idf.exposed(config(), **options)

    def test_other_objects_and_regimes(self):
        with pytest.raises(idf.InputError, match="expected a Network or a Configuration"):
            idf.exposed(config().plant(0)[0])
        with pytest.raises(idf.InputError, match="regime max-margin"):
            idf.exposed(idf.Configuration(inputs=3, samples=2, width=4, activation="z^3", regime="max-margin"))
        with pytest.raises(idf.InputError, match="received biases, but this network has none"):
            idf.exposed(config(bias=False), "biases")


def test_every_subset_of_four_layers():
    """A wide network: whichever layers are seen, the samples are determined as long as one of them counts them."""
    network = config("tanh", (40, 40, 40), inputs=6, samples=4)
    for size in (1, 2, 3, 4):
        for layers in combinations((1, 2, 3, 4), size):
            found = idf.exposed(network, layers).rows[0].samples
            assert found.status is (MAYBE if layers == (1,) else YES), layers
            assert (found.method is None) == (layers == (1,))
