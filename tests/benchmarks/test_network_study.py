"""The soundness study of networks beyond polynomials: arranged instances, forged verdicts, and slices of the study itself."""

import copy
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import identify as idf
from identify.theory.oracle.cells import Category, count_all, distinct, ordered
from identify.theory.oracle.pieces import Question
from identify.theory.oracle.polyhedra import rank

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the benchmarks are part of the repository, not of the package", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import soundness  # noqa: E402
from soundness_study import analytic, hidden, piecewise  # noqa: E402
from soundness_study.networks import GENERIC, REFUSED, Truth, ask, class_table, contradiction, contradictions, verdict_table  # noqa: E402
from soundness_study.verdicts import FAILED  # noqa: E402
from support.marks import alone  # noqa: E402

SLICE = 11
HIDDEN = 19


# --- hidden second solutions -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def arranged():
    return [hidden.draw(0, index) for index in range(HIDDEN)]


@pytest.mark.slow
def test_arranged_instances_have_two_solutions_in_floats_too(arranged):
    for instance in arranged:
        X, c = instance.other
        system = instance.system
        assert system.residual(*instance.data) == 0, instance.index
        assert system.residual(X.astype(float), c.astype(float)) < 1e-13, instance.index
        assert hidden.is_exact(instance)
        given = {tuple(x) for x in instance.X.tolist()}
        assert any(tuple(x) not in given for x in X.tolist())


def test_arranged_instances_cover_what_they_promise(arranged):
    assert {kind for instance in arranged for kind in instance.kinds} == {
        "piecewise-linear", "polynomial, second layer", "polynomial, double roots"
    }  # fmt: skip
    assert set(hidden.SLOPES) <= {arranged[index].activation for index in (0, 6, 12, 18)}
    assert {len(instance.X) for instance in arranged} == {1, 2, 3, 4, 5}
    assert max(instance.X.shape[1] for instance in arranged) == 8
    assert {instance.layers for instance in arranged} == {"first", "both", "second"}
    assert {(instance.b is None, len(instance.A)) for instance in arranged} >= {(True, 1), (False, 1), (False, 2)}
    for instance in arranged:  # the target of a piecewise-linear one says how many samples there are
        if instance.kinds == ("piecewise-linear",) and instance.layers == "first":
            assert np.linalg.matrix_rank(instance.system.layers[1].W) >= len(instance.X) - (instance.b is not None)


@alone
def test_no_arranged_instance_is_called_unique(arranged):
    for instance in arranged[:6] + arranged[6::6]:  # every construction, and every activation
        answer = ask(instance)
        assert answer["verdict"] != FAILED, answer
        assert contradiction(answer, hidden.truth(instance)) is None, instance.describe()


def test_the_complete_search_finds_both_solutions(arranged):
    """Of the piecewise-linear ones whose target has as many ranks as samples; the search knows nothing of the construction."""
    counted = 0
    for instance in arranged:
        if instance.kinds != ("piecewise-linear",) or len(instance.X) > 3:
            continue
        question = Question.of(instance.sigma, instance.W, instance.b, instance.A, instance.X, instance.c, instance.layers)
        if rank(question.first) < len(instance.X):
            continue
        found = count_all(question)
        X, c = (fractions.tolist() for fractions in instance.other)
        other = Question.of(instance.sigma, instance.W, instance.b, instance.A, X, c, instance.layers)
        assert found.complete and found.category is Category.OTHERS
        assert {ordered(each, distinct(each)) for each in (question, other)} <= set(found.isolated)
        counted += 1
    assert counted >= 3


def test_a_wrong_second_solution_is_noticed(arranged):
    instance = arranged[0]
    X, c = instance.other
    moved = copy.copy(instance)
    object.__setattr__(moved, "other", (X + Fraction(1, 2**20), c))
    assert not hidden.is_exact(moved)


# --- the comparison --------------------------------------------------------------------------------------------------------

ANSWER = {"verdict": "UNIQUE", "network": "this network", "data": "this data", "group": "none"}
TRUTH = {"category": "unique", "how": "", "local": 0, "group": "none"}


@pytest.mark.parametrize(
    ("answer", "truth", "wrong"),
    [
        ({}, {}, False),
        ({}, {"category": "finitely many"}, True),
        ({}, {"category": "positive-dimensional", "local": 1}, True),
        ({"network": "generic network"}, {"category": "finitely many"}, False),
        ({"verdict": "LOCALLY_UNIQUE"}, {"category": "positive-dimensional", "local": 2}, True),
        ({"verdict": "LOCALLY_UNIQUE", "network": "generic network"}, {"category": "positive-dimensional", "local": 2}, True),
        ({"verdict": "LOCALLY_UNIQUE"}, {"category": "positive-dimensional", "local": 0}, False),
        ({"verdict": "LOCALLY_UNIQUE"}, {"category": "finitely many"}, False),
        ({"verdict": "NOT_UNIQUE"}, {}, True),
        ({"verdict": "NOT_UNIQUE"}, {"category": "unique in a box"}, False),
        ({"verdict": "NOT_UNIQUE"}, {"category": "open", "local": None}, False),
        ({}, {"category": "open", "local": None}, False),
        ({}, {"group": "scaling"}, True),
        ({"group": "sign"}, {}, False),
        ({"verdict": REFUSED}, {"category": "finitely many"}, False),
        ({"verdict": "UNDECIDED"}, {"group": "scaling"}, False),
        ({"verdict": FAILED, "error": "KeyError: 'x'"}, {}, True),
    ],
)
def test_contradictions(answer, truth, wrong):
    assert (contradiction(ANSWER | answer, TRUTH | truth) is not None) == wrong


def test_exceptional_networks_have_a_column():
    line = {
        "index": 0,
        "activation": "relu",
        "inputs": 1,
        "samples": 1,
        "width": 1,
        "outputs": 1,
        "bias": True,
        "layers": "both",
        "kinds": [],
    }
    line |= {"answer": ANSWER | {"network": "generic network"}, "truth": TRUTH | {"category": "finitely many"}}
    assert f"| {GENERIC} |" in verdict_table([line])
    assert "| finitely many | 0 | 1 | 0 | 0 | 0 | 0 | 1 | 0.0% |" in verdict_table([line])
    assert "| all | all | all | 1 | 0 of 0 | 0 of 1 | 0 | 1 |" in class_table([line])


# --- instances and slices --------------------------------------------------------------------------------------------------


def test_piecewise_linear_instances_cover_what_they_promise():
    drawn = [piecewise.draw(0, index) for index in range(300)]
    assert {instance.activation for instance in drawn} == set(piecewise.ACTIVATIONS)
    assert {kind for instance in drawn for kind in instance.kinds} == set(piecewise.NETWORK) | set(piecewise.DATA)
    assert {(i.b is None, len(i.A), i.layers) for i in drawn} == {
        (b, C, s) for b in (True, False) for C in (1, 2) for s in ("first", "both")
    }
    kinks = [i for i in drawn if "samples on kinks" in i.kinds]
    assert all((np.abs(i.X @ i.W.T + (0 if i.b is None else i.b)) == 0).any() for i in kinks)
    assert drawn[7].describe() == piecewise.draw(0, 7).describe() != piecewise.draw(1, 7).describe()


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "out.jsonl"
    arguments = ["--kind", "piecewise-linear", "--instances", str(SLICE), "--jobs", "1", "--out", str(path)]
    assert soundness.main(arguments) == 0
    return [json.loads(line) for line in path.read_text().splitlines()]


@alone
def test_piecewise_linear_slice_has_no_contradictions(lines):
    assert sorted(line["index"] for line in lines) == list(range(SLICE))
    assert contradictions(lines) == []
    categories = [line["truth"]["category"] for line in lines]
    assert categories.count(Truth.UNIQUE) >= 6 and categories.count(Truth.FAMILY) >= 3 and categories.count(Truth.OPEN) <= 3
    verdicts = [line["answer"]["verdict"] for line in lines if line["truth"]["category"] == Truth.UNIQUE]
    assert verdicts.count("UNIQUE") >= len(verdicts) / 4


@pytest.mark.parametrize(("verdict", "category"), [("UNIQUE", Truth.FAMILY), ("NOT_UNIQUE", Truth.UNIQUE)])
def test_forged_verdicts_are_found(lines, verdict, category, capsys):
    forged = copy.deepcopy(lines)
    line = next(line for line in forged if line["truth"]["category"] == category)
    line["answer"] = ANSWER | {"verdict": verdict, "group": "scaling"}
    assert soundness.show(forged) == 1
    assert f"instance {line['index']}: {verdict}" in capsys.readouterr().out.partition("1 contradictions:")[2]


@pytest.mark.slow
def test_resumed_and_rechecked(lines, tmp_path, capsys):
    path = tmp_path / "out.jsonl"
    some = [line for line in lines if line["index"] < 4]
    path.write_text("".join(json.dumps(line) + "\n" for line in some if line["index"] != 3) + '{"seed": 0, "ki')
    assert soundness.main(["--kind", "piecewise-linear", "--instances", "4", "--jobs", "1", "--out", str(path)]) == 0
    resumed = {line["index"]: line for line in map(json.loads, path.read_text().splitlines())}
    assert resumed == {line["index"]: line for line in some}
    soundness.write(path, [line | {"answer": {"verdict": REFUSED}} for line in resumed.values()])
    assert soundness.main(["--kind", "piecewise-linear", "--recheck", "--out", str(path)]) == 0
    assert {line["index"]: line for line in map(json.loads, path.read_text().splitlines())} == resumed
    assert "| unique |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="instances of another kind than hidden"):
        soundness.main(["--kind", "hidden", "--out", str(path)])
    with pytest.raises(SystemExit):
        soundness.main(["--kind", "hidden", "--confirm", "--out", str(tmp_path / "other.jsonl")])


def test_analytic_slice_has_no_contradictions():
    """Instances that the oracle decides in a second."""
    found = {}
    for index in (0, 1, 2, 3, 5, 6, 7, 8, 9, 10):
        instance = analytic.draw(0, index)
        if len(instance.X) * len(instance.A) < 4:
            truth = analytic.truth(instance)
            found[index] = truth["category"]
            assert contradiction(ask(instance), truth) is None, instance.describe()
    assert list(found.values()).count(Truth.IN_BOX) >= 4


def test_targets_are_those_of_the_network():
    """The exact updates of an instance, and those of the package in floats."""
    for instance in (piecewise.draw(0, 3), analytic.draw(0, 3), hidden.draw(0, 5), hidden.draw(0, 0)):
        assert instance.system.residual(*instance.data) < 1e-15
        assert isinstance(instance.system, idf.KKTSystem)
