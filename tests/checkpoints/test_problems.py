"""Problem files: what is written is read back, and what is not a problem file is refused in one sentence."""

import io
import zipfile

import numpy as np
import pytest

import identify as idf
from identify.checkpoints.problems import save_arrays


@pytest.fixture
def planted():
    return idf.Configuration(inputs=3, samples=2, width=5, activation="z + z^3/3", bias=True).plant(seed=1)


def assert_same_system(one, two):
    assert one.regime == two.regime and one.loss == two.loss and one.decay == two.decay
    assert one.network.activation == two.network.activation
    for name in ("target_W", "target_bias", "target_a", "labels"):
        assert np.array_equal(getattr(one, name), getattr(two, name)) or getattr(one, name) is getattr(two, name) is None
    assert np.array_equal(one.network.W, two.network.W) and np.array_equal(one.network.a, two.network.a)
    assert np.array_equal(one.network.offsets, two.network.offsets)


def test_round_trip(tmp_path, planted):
    system, truth = planted
    problem = idf.load_problem(idf.save_problem(tmp_path / "p.npz", system, truth.X, truth.c))
    assert_same_system(problem.system, system)
    assert np.array_equal(problem.X, truth.X) and np.array_equal(problem.c, truth.c)


@pytest.mark.parametrize("regime", ["max-margin", "weight-decay"])
def test_round_trip_of_self_trained_regimes(tmp_path, regime):
    system, _ = idf.Configuration(inputs=2, samples=2, width=3, activation="z^3", regime=regime).plant()
    problem = idf.load_problem(idf.save_problem(tmp_path / "p.npz", system))
    assert_same_system(problem.system, system)
    assert problem.data is None


def test_targets_of_self_trained_regimes_may_be_left_out(tmp_path):
    system, _ = idf.Configuration(inputs=2, samples=2, width=3, activation="z^3", regime="max-margin").plant()
    net = system.network
    contents = {"W": net.W, "a": net.a, "activation": "z^3", "regime": "max-margin", "labels": system.labels}
    assert_same_system(idf.load_problem(save_arrays(tmp_path / "p.npz", contents)).system, system)


def write(tmp_path, **changes):
    rng = np.random.default_rng(0)
    contents = {"W": rng.standard_normal((3, 2)), "a": rng.standard_normal(3), "activation": "z^3", "target_W": rng.standard_normal((3, 2))}
    contents |= changes
    return save_arrays(tmp_path / "p.npz", {name: value for name, value in contents.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_w": np.ones((3, 2))}, "unknown keys target_w"),
        ({"W": None}, "no key W"),
        ({"activation": np.array(3.0)}, "key activation .* expected a text"),
        ({"activation": "exp(z)"}, "not polynomial"),
        ({"regime": "sgd"}, "expected one of gradient, lazy"),
        ({"regime": "weight-decay", "target_W": None}, "no key decay"),
        ({"regime": "weight-decay", "target_W": None, "decay": np.ones(2)}, "expected one number"),
        ({"X": np.ones((1, 2))}, "has X only"),
        ({"target_W": None}, "no layer was observed"),
        ({"target_W": np.full((3, 2), np.nan)}, "all 6 values are NaN or masked"),
        ({"target_W": np.full((3, 2), np.inf)}, "6 of 6 values are infinite"),
        ({"bias": np.ones(4)}, "bias: received shape"),
    ],
)
def test_malformed_contents(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        idf.load_problem(write(tmp_path, **changes))


def test_unreadable_files(tmp_path):
    with pytest.raises(idf.ProblemFileError, match="no such file"):
        idf.load_problem(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(idf.ProblemFileError, match="not an .npz archive"):
        idf.load_problem(tmp_path / "text.npz")
    with pytest.raises(idf.ProblemFileError, match="cannot be read"):
        idf.load_problem(write(tmp_path, W=np.array([{}], dtype=object)))
    whole = write(tmp_path).read_bytes()
    for cut in range(0, len(whole) - 1, 97):
        (tmp_path / "cut.npz").write_bytes(whole[:cut])
        with pytest.raises(idf.ProblemFileError, match=r"cut\.npz"):
            idf.load_problem(tmp_path / "cut.npz")


def test_archive_beyond_memory_is_refused_unread(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1000, 1000)))
    with zipfile.ZipFile(tmp_path / "big.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("W.npy", buffer.getvalue())
    monkeypatch.setenv("IDENTIFY_MEMORY", "0.001")
    with pytest.raises(idf.TooLargeError, match="needs about 15 MiB"):
        idf.load_problem(tmp_path / "big.npz")


def test_writing_is_all_or_nothing(tmp_path, planted, monkeypatch):
    system, _ = planted
    path = idf.save_problem(tmp_path / "p.npz", system)
    before = path.read_bytes()

    def fail(file, **contents):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(idf.ProblemFileError, match="No space left"):
        idf.save_problem(path, system)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_names_and_folders(tmp_path, planted):
    system, _ = planted
    with pytest.raises(idf.ProblemFileError, match="ends in .npz"):
        idf.save_problem(tmp_path / "p.zip", system)
    with pytest.raises(idf.ProblemFileError, match="cannot be written"):
        idf.save_problem(tmp_path / "absent" / "p.npz", system)
