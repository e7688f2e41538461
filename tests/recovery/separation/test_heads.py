"""One dense layer behind a softmax loss: features and classes from its update alone, and what counts say of them."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

import identify as idf
from identify.conditions.heads import classes_needed
from identify.problem.exposure import Exposed, ExposedBy, Method
from identify.problem.heads import signals_of
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.problem.uniqueness import UniquenessReason, UniquenessStatus
from identify.problem.verdict import Verdict
from identify.recovery.solution import Failure, InapplicableError, ResidualError


def head(n, features=20, classes=10, lifted=True, seed=0, weights=None):
    """A layer with its update, features, multipliers and labels."""
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((classes, features)) / features**0.5, 0.1 * rng.standard_normal(classes)
    H, y = rng.standard_normal((n, features)), rng.integers(0, classes, n)
    c = (np.eye(classes)[y] - softmax(H @ A.T + b, axis=1)) * (1 / n if weights is None else np.array(weights)[:, None])
    return idf.KKTSystem.linear_head(A, b, W=c.T @ H, bias=c.sum(axis=0) if lifted else None), H, c, y


ROWS = [
    (1, {"classes": 2}, UniquenessStatus.UNKNOWN),  # and so would any batch be
    (1, {"classes": 3}, UniquenessStatus.EVIDENCE),
    (3, {}, UniquenessStatus.EVIDENCE),
    (4, {"lifted": False}, UniquenessStatus.EVIDENCE),
    (5, {}, UniquenessStatus.UNKNOWN),  # as many equations as unknowns
    (12, {"features": 40, "classes": 60}, UniquenessStatus.EVIDENCE),
]


@pytest.mark.parametrize(("n", "options", "status"), ROWS)
def test_features_and_classes_come_back(n, options, status):
    system, H, c, y = head(n, **options)
    found = idf.recover(system)
    match = found.match(H, c)
    assert found.n_samples == n and match.errors.max() < 1e-11 and found.residual < 1e-13
    assert np.allclose(match.c, c, atol=1e-10) and sorted(found.labels) == sorted(y)
    if found.method == "softmax separation":
        assert found.uniqueness.status is status
    else:  # at the border its search may miss one, with other versions of SciPy; then all samples together have equations to spare
        assert status is UniquenessStatus.UNKNOWN and found.method == "softmax, all samples together"
        assert found.uniqueness.reason in (UniquenessReason.ONE_SOLUTION, UniquenessReason.FEW_STARTS)
    assert found.relative_error_bars.max() < 1e-11


def test_more_samples_than_half_of_the_classes():
    system, H, c, _ = head(3, features=30, classes=4)
    found = idf.recover(system)
    assert found.method == "softmax, all samples together" and found.match(H, c).errors.max() < 1e-10
    assert found.evidence["separation"]["solutions"] == 1
    assert found.uniqueness.reason is UniquenessReason.UNDECIDED  # as many equations as unknowns
    system, H, c, _ = head(4, features=30, classes=8)
    found = idf.recover(system)
    if found.method == "softmax, all samples together":
        assert found.uniqueness.reason in (UniquenessReason.ONE_SOLUTION, UniquenessReason.FEW_STARTS)
    assert found.match(H, c).errors.max() < 1e-10


@pytest.mark.once
@pytest.mark.parametrize(("n", "classes"), [(2, 2), (7, 2), (4, 4), (6, 4)])
def test_more_samples_than_the_rank_can_count_are_no_evidence(n, classes):
    """The update looks exactly like one of C - 1 samples, and these are others."""
    system = head(n, features=12, classes=classes, seed=3)[0]
    try:
        found = idf.recover(system)
    except ResidualError:
        return
    assert found.n_samples == classes - 1 and found.residual < 1e-9
    assert found.uniqueness.status is UniquenessStatus.UNKNOWN


def test_one_sample_of_two_classes_is_known_if_the_number_is():
    system = head(1, classes=2)[0]
    assert idf.recover(system, samples=1).uniqueness.status is UniquenessStatus.EVIDENCE


def test_signals_of_sure_samples_keep_their_digits():
    """1 - p has none left where the outputs differ by 40; at 800 the signal itself is no double, and no sample is found there."""
    p = expit([-40.0, -800.0])
    P = np.column_stack([1 - p, p])
    assert np.array_equal(signals_of(P, [0, 0]), np.column_stack([p, -p]))
    A = np.random.default_rng(0).standard_normal((10, 20)) * 300
    rng = np.random.default_rng(1)
    H, y = rng.standard_normal((3, 20)), [0, 1, 2]
    c = (np.eye(10)[y] - softmax(H @ A.T, axis=1)) / 3
    G = np.hstack([c.T @ H, c.sum(axis=0)[:, None]])
    G[4, 2] += np.abs(G).max()
    with pytest.raises(ResidualError):
        idf.recover(idf.KKTSystem.linear_head(A, np.zeros(10), W=G[:, :-1], bias=G[:, -1]), budget=2.0)


def test_noise_of_full_rank_ends_in_time():
    """Rounded to 8 bits the update shows as many samples as classes less one: a descent in all of them has hundreds of unknowns."""
    system, _, _, _ = head(5, features=40, classes=24)
    scale = np.abs(system.W).max() / 127
    rounded = idf.KKTSystem.linear_head(system.weights, system.offsets, W=np.round(system.W / scale) * scale, bias=system.bias)
    began = time.monotonic()
    try:
        found = idf.recover(rounded, budget=1.0)
    except ResidualError:
        pass
    else:  # the descent came far enough on this machine to be shown, with bars that say that nothing is known
        assert found.uniqueness.status is UniquenessStatus.UNKNOWN and found.relative_error_bars.min() > 1
    assert time.monotonic() - began < 5.0
    with pytest.raises(InapplicableError) as caught:
        idf.recover(head(40, features=60, classes=50)[0], samples=40)
    assert caught.value.obstacle.kind is Failure.TOGETHER


def test_weights_of_samples_do_not_matter():
    """Clipped gradients: any positive weight for each sample."""
    system, H, c, y = head(3, weights=[0.2, 1.0, 3.0])
    found = idf.recover(system)
    assert found.match(H, c).errors.max() < 1e-11 and sorted(found.labels) == sorted(y)


def test_the_gradient_of_jax_is_such_an_update():
    """The second oracle: autodiff of the mean cross-entropy of a head, in float32."""
    rng = np.random.default_rng(2)
    A, b = (rng.standard_normal(shape).astype(np.float32) / 4 for shape in ((12, 24), (12,)))
    H, y = rng.standard_normal((4, 24)).astype(np.float32), np.array([3, 3, 7, 0])

    def loss(A, b):
        return -jnp.mean(jax.nn.log_softmax(H @ A.T + b)[jnp.arange(4), y])

    dA, db = jax.grad(loss, argnums=(0, 1))(A, b)
    system = idf.KKTSystem.linear_head(A, b, W=-np.asarray(dA), bias=-np.asarray(db))
    found = idf.recover(system)
    c = (np.eye(12)[y] - np.exp(log_softmax(H.astype(float) @ A.T + b, axis=1))) / 4
    match = found.match(H, c)
    assert match.errors.max() < 1e-4 and sorted(found.labels) == sorted(y)
    assert (match.errors < 6 * found.relative_error_bars[match.order]).all()


def test_another_loss_is_refused():
    """Negative control: the signals of a square loss are not those of a softmax."""
    system, H, _, y = head(3)
    c = np.eye(10)[y] - H @ system.weights.T - system.offsets
    other = idf.KKTSystem.linear_head(system.weights, system.offsets, W=c.T @ H, bias=c.sum(axis=0))
    with pytest.raises(ResidualError) as caught:
        idf.recover(other, budget=2)
    assert caught.value.obstacle.kind in (Failure.RESIDUAL, Failure.NO_SAMPLE)
    with pytest.raises(idf.InputError, match="differs from the target"):
        idf.check(system, data=(H, c))


def test_as_many_samples_as_classes():
    system, _, _, _ = head(10)
    with pytest.raises(InapplicableError, match="10 samples, and 10 classes") as caught:
        idf.recover(system, samples=10)
    assert caught.value.obstacle.kind is Failure.CLASSES
    assert idf.check(system, samples=10).verdict is Verdict.NOT_UNIQUE


class TestVerdicts:
    def test_counts(self):
        system, H, c, y = head(3)
        report = idf.check(system, samples=3)
        assert report.verdict is Verdict.UNIQUE and (report.scope.network, report.scope.data) == (
            "generic network",
            "all data of this rank",
        )
        assert idf.check(system, data=(H, c))["separation"].evidence["needed"] == classes_needed(3, len(set(y)), True)
        assert report["separation"].evidence["needed"] == classes_needed(3, 3, True) == 10
        assert idf.check(system, samples=4).verdict is Verdict.UNDECIDED  # 13 classes would be enough
        with pytest.raises(idf.NoCertificateError):
            report.certificate()

    @pytest.mark.parametrize("lifted", [True, False])
    def test_isolated(self, lifted):
        """Against the rank of a numerical Jacobian in all features and weights."""
        system, H, c, y = head(4, features=6, lifted=lifted)
        report = idf.check(system, data=(H, c))
        assert report.verdict is Verdict.LOCALLY_UNIQUE and report["local"].is_proved

        def side(values):
            T = values.reshape(4, -1)
            own = T[:, -1:] * (np.eye(10)[y] - system.probabilities(T[:, :-1]))
            return (own.T @ system.lifted(T[:, :-1])).reshape(-1)

        point = np.hstack([H, np.full((4, 1), 0.25)]).reshape(-1)
        moves = 1e-6 * np.eye(len(point))
        J = np.array([side(point + move) - side(point - move) for move in moves]).T / 2e-6
        assert np.linalg.matrix_rank(J, tol=1e-7) == len(point)

    def test_one_sample_is_a_row(self):
        system, H, c, _ = head(1, classes=2)
        assert idf.check(system, data=(H, c)).verdict is Verdict.UNIQUE
        assert np.allclose(system.W[0] / system.bias[0], H[0])

    def test_dependent_features_are_not_isolated(self):
        """Negative control: two samples with the same features have one signal."""
        system, H, c, _ = head(3)
        X = np.vstack([H[:2], H[:1]])
        c = (np.eye(10)[[1, 2, 4]] - system.probabilities(X)) / 3
        twice = idf.KKTSystem.linear_head(system.weights, system.offsets, W=c.T @ X, bias=c.sum(axis=0))
        report = idf.check(twice, data=(X, c))
        assert report.verdict is Verdict.UNDECIDED and not report["local"].is_proved and not report["separation"].is_proved

    def test_other_verbs_refuse(self):
        system, _, _, _ = head(2)
        for ask in (idf.kkt_equations, idf.largest_identifiable, idf.defences):
            with pytest.raises(UnsupportedError) as caught:
                ask(system)
            assert caught.value.reason is Unsupported.HEAD


def test_the_table_says_when():
    def last(classes, n):
        sizes = {"inputs": 784, "samples": n, "width": (512, 256), "activation": "gelu", "outputs": classes, "bias": True}
        return idf.exposed(idf.Configuration(**sizes), "last")["last"].features

    assert (last(100, 8).status, last(100, 8).reason, last(100, 8).method) == (Exposed.PROVED_GENERIC, ExposedBy.SOFTMAX, Method.SOFTMAX)
    assert last(100, 32).status is Exposed.PROVED_GENERIC and last(100, 33).reason is ExposedBy.SOFTMAX_COUNT
    assert last(100, 60).reason is ExposedBy.SOFTMAX_TOGETHER
    assert (last(10, 10).status, last(10, 10).reason) == (Exposed.NO, ExposedBy.FEW_EQUATIONS)


def test_bad_input():
    A = np.ones((3, 4))
    for options, words in (
        ({"W": A[:2]}, "shape"),
        ({"W": 0 * A}, "every number is zero"),
        ({"W": A, "bias": np.ones(3)}, "does not have"),
        ({"W": A * np.nan}, "NaN or infinite"),
    ):
        with pytest.raises(idf.ShapeError, match=words):
            idf.KKTSystem.linear_head(A, **options)
    with pytest.raises(idf.InputError, match="two classes or more"):
        idf.KKTSystem.linear_head(A[:1], W=A[:1])
    with pytest.raises(idf.InputError, match="no meaning for one layer"):
        idf.recover(head(2)[0], starts=3)
    with pytest.raises(idf.InputError, match="samples: how many"):
        idf.check(head(2)[0])
