"""Updates without some of their rows and columns: what was sent gives the batch back, and verdicts say what is determined."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import least_squares
from support.command_line import run

import identify as idf
from identify.conditions.networks.parts import Parts, samples_needs
from identify.problem.exposure import Exposed, ExposedBy, Method
from identify.problem.partial import Sent
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.problem.uniqueness import UniquenessStatus
from identify.problem.verdict import Verdict
from identify.recovery.solution import Failure, Family, InapplicableError, NotDeterminedError

NAN = np.nan


def config(**options):
    return idf.Configuration(
        **({"inputs": 12, "samples": 4, "width": (40, 30), "activation": "gelu", "outputs": 6, "bias": True} | options)
    )


def sent(config, rows=None, columns=None, layers=None, seed=0):
    """A system of which these rows and columns, by layer, were not sent; and the truth."""
    system, truth = config.plant(seed)
    parts = {k: [None if part is None else part.copy() for part in update] for k, update in system.layers.items()}
    for k, lost in (rows or {}).items():
        for part in parts[k]:
            if part is not None:
                part[list(lost)] = NAN
    for k, lost in (columns or {}).items():
        parts[k][0][:, list(lost)] = NAN
    kept = {k: tuple(parts[k]) for k in (layers or parts)}
    return idf.KKTSystem.gradient(system.network, layers=kept), truth


class TestSystem:
    def test_equations_of_what_was_sent(self):
        whole, _ = config().plant(0)
        system, truth = sent(config(), {1: range(5)}, {2: [0, 7]})
        assert system.n_equations == whole.n_equations - 5 * 13 - 2 * 30 == len(system.target)
        assert system.sent[1].counts == (35, 12) and system.sent[2].counts == (30, 38) and 3 not in system.sent
        assert system.residual(truth.X, truth.c) == 0 and not np.isnan(system.right_hand_side(truth.X, truth.c)).any()
        assert system.with_target(2 * system.target).residual(truth.X, 2 * truth.c) < 1e-15
        assert system.residual(truth.X + 0.1, truth.c) > 1e-3  # negative control: other data miss what was sent
        assert "W1 (in part), b1 (in part), W2 (in part), b2" in repr(system)

    def test_masks_and_files(self, tmp_path):
        system, truth = sent(config(), {2: [1]}, {1: [3]})
        masked = {k: tuple(None if p is None else np.ma.masked_invalid(p) for p in update) for k, update in system.layers.items()}
        again = idf.KKTSystem.gradient(system.network, layers=masked)
        loaded = idf.load_problem(idf.save_problem(tmp_path / "a.npz", system, truth.X, truth.c)).system
        for other in (again, loaded):
            assert np.array_equal(other.target, system.target) and other.sent.keys() == system.sent.keys()

    def test_entries_here_and_there_are_refused(self):
        system, _ = config().plant(0)
        W, bias = (part.copy() for part in system.layers[1])
        W[3, 4] = NAN
        for update in ((W, bias), (np.ma.masked_invalid(W), bias)):
            with pytest.raises(UnsupportedError, match="1 of 480 entries") as caught:
                idf.KKTSystem.gradient(system.network, layers={1: update})
            assert caught.value.reason is Unsupported.ENTRIES
        lost = bias.copy()
        lost[2] = NAN
        with pytest.raises(UnsupportedError, match="of neurons whose weights' update is known") as caught:
            idf.KKTSystem.gradient(system.network, layers={1: (system.layers[1].W, lost)})
        assert caught.value.reason is Unsupported.ENTRIES
        with pytest.raises(idf.ShapeError, match="None for parts that were not observed"):
            idf.KKTSystem.gradient(system.network, layers={1: (np.full_like(W, NAN), None)})
        W[3, 4] = np.inf
        with pytest.raises(idf.ShapeError, match="1 of 480 values are infinite"):
            idf.KKTSystem.gradient(system.network, layers={1: W})

    def test_verbs_that_need_every_entry_refuse(self):
        system, truth = sent(config(), {1: [0]})
        for ask in (idf.kkt_equations, idf.largest_identifiable, lambda s: idf.defences(s, truth.X, truth.c)):
            with pytest.raises(UnsupportedError) as caught:
                ask(system)
            assert caught.value.reason is Unsupported.PARTIAL

    def test_sent_reads_rows_and_columns(self):
        W = np.ones((3, 4))
        W[1], W[:, 2] = NAN, NAN
        assert Sent.of(W).rows.tolist() == [True, False, True] and Sent.of(W).columns.tolist() == [True, True, False, True]


ROWS = [
    ({}, {1: range(0, 40, 2), 2: range(0, 30, 3)}, {}, None, Method.FEATURES, Exposed.PROVED_GENERIC),
    ({}, {}, {1: range(5), 2: range(12)}, None, Method.FEATURES, Exposed.PROVED_GENERIC),
    ({"width": (40, 36)}, {}, {3: range(8)}, (3,), Method.FEATURES, Exposed.PROVED_GENERIC),
    ({"width": 50}, {1: range(20)}, {2: range(9)}, None, Method.FEATURES, Exposed.PROVED_GENERIC),
    ({"width": (170, 30), "activation": "relu"}, {1: range(20)}, {}, (1,), Method.QUADRICS, Exposed.POSSIBLE),
    ({"width": (90, 30), "activation": "relu"}, {1: range(20)}, {}, (1,), Method.ZEROS, Exposed.POSSIBLE),
]


@pytest.mark.parametrize(("options", "rows", "columns", "layers", "method", "status"), ROWS)
def test_what_was_sent_gives_the_batch_back(options, rows, columns, layers, method, status):
    system, truth = sent(config(**options), rows, columns, layers)
    row = idf.exposed(system.network, system.layers, samples=4).rows[0]
    assert (row.samples.method, row.samples.status) == (method, status)
    found = idf.recover(system, judge=False)
    match = found.match(truth.X, truth.c)
    assert match.errors.max() < 1e-10 and found.residual < 1e-12 and found.uniqueness.status is UniquenessStatus.EVIDENCE
    assert np.allclose(match.c, truth.c, atol=1e-8)


def test_what_was_not_sent_does_not_matter():
    """Negative control of the handing over: garbage instead of NaN makes the recovery fail, NaN does not."""
    system, truth = sent(config(), {1: range(10)})
    assert idf.recover(system, judge=False).match(truth.X, truth.c).errors.max() < 1e-10
    W, bias = (np.nan_to_num(part, nan=0.1) for part in system.layers[1])
    spoilt = idf.KKTSystem.gradient(system.network, layers={1: (W, bias), 2: tuple(system.layers[2])})
    with pytest.raises(idf.RecoveryError):
        idf.recover(spoilt, samples=4, budget=3, judge=False)


def test_columns_that_no_layer_makes_up_for():
    system, truth = sent(config(width=(8, 30)), {}, {1: range(10)})
    with pytest.raises(NotDeterminedError) as caught:
        idf.recover(system)
    assert caught.value.family is Family.COLUMNS and caught.value.dimension == 4 * (10 - 8)
    assert idf.exposed(system.network, system.layers, samples=4).rows[0].samples.reason is ExposedBy.COLUMNS
    report = idf.check(system, data=(truth.X, truth.c))
    assert report.verdict is Verdict.NOT_UNIQUE and report.witness.kind == "kernel" and report.witness.dimension == 8
    assert system.residual(*report.witness.example) < 1e-14  # the witness itself, on the equations
    assert np.linalg.norm(report.witness.example[0] - truth.X) > 0.1
    system, _ = sent(config(width=(8, 30)), {}, {1: range(3)})  # three columns are fewer than the neurons
    assert idf.exposed(system.network, system.layers, samples=4).rows[0].samples.status is not Exposed.NO


def test_rows_of_the_last_layer_leave_multipliers_open():
    system, truth = sent(config(width=(40, 36), samples=3), {3: [1, 2]}, {}, (3,))
    found = idf.recover(system, judge=False)
    match = found.match(truth.X, truth.c)
    assert match.errors.max() < 1e-10
    assert np.isnan(match.c[:, 1:3]).all() and np.allclose(match.c[:, [0, 3, 4, 5]], truth.c[:, [0, 3, 4, 5]])
    with pytest.raises(idf.InputError, match="do not determine the multipliers"):
        _ = found.labels
    assert idf.check(system, samples=3).verdict is not Verdict.UNIQUE  # the samples are determined, their multipliers are not
    assert "samples are determined" in idf.check(system, samples=3)["some-layers"].statement


def test_too_few_rows_to_count():
    system, _ = sent(config(), {2: range(27)}, {}, (2,))
    with pytest.raises(InapplicableError) as caught:
        idf.recover(system, samples=4)
    assert caught.value.obstacle.kind is Failure.PARTS


class TestVerdicts:
    @pytest.mark.parametrize(("rows", "columns"), [({1: range(20), 2: range(10)}, {}), ({}, {1: range(3), 2: range(10)})])
    def test_unique(self, rows, columns):
        system, truth = sent(config(), rows, columns)
        for report in (idf.check(system, samples=4), idf.check(system, data=(truth.X, truth.c))):  # of any such data, of these
            assert report.verdict is Verdict.UNIQUE and report.scope.network == "generic network"
            assert report["some-layers"].is_proved and "separation" not in [c.name for c in report.conditions]
        with pytest.raises(idf.NoCertificateError):
            report.certificate()

    def test_the_derivative_is_that_of_what_was_sent(self):
        """Isolation with the equations that are left, against the rank of a numerical Jacobian; and too few of them."""
        for lost, isolated in ((range(2), True), (range(6), False)):
            system, truth = sent(config(inputs=3, samples=2, width=(7, 3), outputs=2, activation="tanh"), {1: lost}, {}, (1,))
            point = np.concatenate([truth.X.reshape(-1), truth.c.reshape(-1)])

            def side(v, system=system):
                return system.right_hand_side(v[:6].reshape(2, 3), v[6:].reshape(2, 2))

            J = least_squares(side, point, max_nfev=1, jac="3-point").jac
            assert bool(np.linalg.matrix_rank(J, tol=1e-6) == len(point)) is isolated
            assert idf.check(system, data=(truth.X, truth.c), conditions=["local"])["local"].is_proved is isolated

    @pytest.mark.parametrize("lost", [0, 3, 5])
    def test_counts_are_those_of_a_network_without_the_neurons(self, lost):
        """Rows of layer 1 alone: as if the network had fewer neurons."""
        seen, biases = {1: (True, True)}, (True, True, False)
        sigma = config(activation="tanh").activations
        whole = Parts((3, 40 - lost, 2, 2), sigma, biases, seen, 3, False)
        part = Parts((3, 40, 2, 2), sigma, biases, seen, 3, False, {1: (40 - lost, 3)})
        kinds = [[(need.reason, need.needed, need.neurons_counted(parts)) for need in samples_needs(parts)] for parts in (whole, part)]
        assert kinds[0] == kinds[1] and kinds[0]


def test_planning_by_numbers_of_rows():
    found = idf.exposed(config(), "first two", sent={2: (30, 15)})
    assert found.rows[0].samples.status is Exposed.PROVED_GENERIC  # 4 - 1 + 4 - 1 + 1 = 7 columns are enough
    assert idf.exposed(config(), "first two", sent={2: (30, 6)}).rows[0].samples.status is not Exposed.PROVED_GENERIC
    assert idf.exposed(config(), "first", sent={1: (40, 7)}).rows[0].row_space.reason is ExposedBy.SOME_COLUMNS
    for wrong in ({9: (1, 1)}, {1: (41, 3)}, {1: 3}):
        with pytest.raises(idf.InputError):
            idf.exposed(config(), sent=wrong)


def test_the_command_line_takes_such_a_problem_file(tmp_path, monkeypatch, capsys):
    system, _ = sent(config(), {1: range(10)})
    path = idf.save_problem(tmp_path / "a.npz", system)
    status, text, _ = run(monkeypatch, capsys, "check", path, "-n", 4, "--exposed", "--json")
    assert not status and [row["name"] for row in json.loads(text)["rows"]] == ["all"]  # of what the file holds, no table
    status, text, _ = run(monkeypatch, capsys, "check", path, "-n", 4)
    assert not status and text.startswith("UNIQUE — for generic network")
    status, _, err = run(monkeypatch, capsys, "kkt", path, "-n", 4)
    assert status == 2 and "whose rows and columns are all known" in err
