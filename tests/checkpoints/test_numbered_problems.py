"""Problem files of networks of any depth."""

from __future__ import annotations

import numpy as np
import pytest

import identify as idf
from identify.base.opening import ProblemFileError


@pytest.fixture
def problem():
    return idf.Configuration(inputs=12, samples=4, width=(20, 16), activation="gelu", outputs=3, bias=True).plant(0)


def test_a_file_holds_all_of_a_problem(problem, tmp_path):
    system, truth = problem
    path = idf.save_problem(tmp_path / "update.npz", system, truth.X, truth.c)
    read = idf.load_problem(path)
    assert read.system.network.parameters.keys() == system.network.parameters.keys()
    assert read.system.network.activations == system.network.activations
    assert np.array_equal(read.system.target, system.target) and np.array_equal(read.X, truth.X) and np.array_equal(read.c, truth.c)
    assert idf.recover(read.system).match(truth.X, truth.c).errors.max() < 1e-10


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"target_W9": np.ones((3, 3))}, "target_W9"),
        ({"pace": np.ones(2)}, "pace"),
        ({"activation": None}, "activation"),
        ({"X": np.ones((4, 12))}, "X only"),
        ({"target_W1": None, "target_b1": None, "target_W2": None, "target_b2": None, "target_W3": None, "target_b3": None}, "target_W1"),
    ],
)
def test_what_does_not_fit_is_named(problem, tmp_path, change, word):
    path = idf.save_problem(tmp_path / "update.npz", problem[0])
    with np.load(path) as file:
        contents = dict(file) | change
    np.savez(path, **{name: value for name, value in contents.items() if value is not None})
    with pytest.raises(ProblemFileError, match=word):
        idf.load_problem(path)


def test_activations_that_differ_from_layer_to_layer_are_not_written(tmp_path):
    net = idf.Network([np.eye(3), np.eye(3), np.eye(3)], activation=["relu", "tanh"])
    system = idf.KKTSystem.gradient(net, layers={1: np.eye(3)})
    with pytest.raises(idf.InputError, match="in different layers"):
        idf.save_problem(tmp_path / "p.npz", system)
    assert not (tmp_path / "p.npz").exists()


def test_the_order_of_the_arrays_in_a_file_means_nothing(problem, tmp_path):
    path = idf.save_problem(tmp_path / "update.npz", problem[0])
    with np.load(path) as file:
        contents = dict(file)
    np.savez(path, **dict(reversed(contents.items())))
    assert np.array_equal(idf.load_problem(path).system.target, problem[0].target)


@pytest.mark.parametrize("regime", ["weight-decay", "max-margin"])
@pytest.mark.parametrize("with_targets", [True, False])
def test_networks_trained_on_their_data_are_read_back(tmp_path, regime, with_targets):
    rng = np.random.default_rng(0)
    net = idf.Network([rng.standard_normal(shape) for shape in ((4, 3), (5, 4), (1, 5))], activation="relu")
    own = {"decay": 0.1, "loss": "logistic"} if regime == "weight-decay" else {"labels": [1, -1, 1]}
    system = getattr(idf.KKTSystem, regime.replace("-", "_"))(net, **own)
    path = idf.save_problem(tmp_path / "trained.npz", system)
    if not with_targets:
        with np.load(path) as file:
            contents = {name: value for name, value in file.items() if not name.startswith("target_")}
        np.savez(path, **contents)
    read = idf.load_problem(path).system
    assert np.array_equal(read.target, system.target) and (read.regime, read.decay, read.loss) == (regime, system.decay, system.loss)
    assert np.array_equal(read.labels, system.labels) if regime == "max-margin" else read.labels is None
