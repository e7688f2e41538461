"""The soundness study: its oracle against known truths, its comparison against forged verdicts, and a slice of the study itself."""

import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from support.integer_systems import SYSTEMS
from support.marks import slow_unless, thinned
from support.zoo import ISOLATED, NOT_IDENTIFIABLE, TRUTH_TABLE, UNIQUE, Known

from identify.problem.activation import Activation
from identify.symbolic.msolve import PRIME, WrongSolutionError
from identify.symbolic.posing import kkt_equations

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the benchmarks are part of the repository, not of the package", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import soundness  # noqa: E402
from soundness_study import algebra, oracle  # noqa: E402
from soundness_study.equations import Problem  # noqa: E402
from soundness_study.instances import DATA, FORMS, LAYERS, NETWORK, SUPPORTS, data_of, draw, question, system_of  # noqa: E402
from soundness_study.oracle import Category, truth  # noqa: E402
from soundness_study.table import contradictions, questions  # noqa: E402
from soundness_study.verdicts import FAILED, contradiction, is_decided  # noqa: E402

SLICE = 16
SECONDS = 2.0
needs_programs = pytest.mark.skipif(algebra.missing() is not None, reason=str(algebra.missing()))


# --- the oracle ------------------------------------------------------------------------------------------------------------


def generic(known: Known):
    """The row of the truth table as a question about generic numbers."""
    d, n, m = known.size
    s = tuple(int(v) for v in Activation.parse(known.activation).coefficients)

    def redraw(rng: np.random.Generator, size: int) -> Problem:
        W, A, X, c = (rng.integers(-size, size + 1, shape).tolist() for shape in ((m, d), (1, m), (n, d), (n, 1)))
        return Problem(s, W, None, A, X, c, known.layers)

    return redraw


def no_answer(*_):
    raise algebra.OracleLimitError("not asked")


def test_no_truth_rests_on_real_roots_that_two_programs_count_differently(monkeypatch):
    def lies(*_):
        raise WrongSolutionError("5 boxes, 6 roots")

    monkeypatch.setattr(algebra, "solve_with_msolve", lies)
    problem = generic(TRUTH_TABLE[0])(np.random.default_rng(0), 4)
    with pytest.raises(algebra.OracleLimitError, match="another number of real roots than FLINT"):
        algebra.real_solutions(problem, 1, None, np.random.default_rng(0), 5.0)


@needs_programs
@pytest.mark.parametrize("known", slow_unless(lambda known: str(known) != "z+z^3-both-3x3x3", TRUTH_TABLE), ids=str)
def test_oracle_on_the_truth_table(known, monkeypatch):
    """Over the complex numbers; counting real solutions is tested with integers below, and takes longer."""
    monkeypatch.setattr(oracle, "real_solutions", no_answer)
    rng, redraw = np.random.default_rng(0), generic(known)
    found = truth(redraw(rng, PRIME // 2), seconds=20, rng=rng, redraw=redraw)
    categories = {UNIQUE: Category.UNIQUE, NOT_IDENTIFIABLE: Category.FAMILY, ISOLATED: Category.UNCLEAR}
    assert found.category is categories[known.truth]
    assert found.solutions == known.solutions
    if known.solutions is not None:
        assert found.orbit == known.orbit and not found.fewer


@needs_programs
@pytest.mark.parametrize("each", SYSTEMS.values(), ids=str)
def test_oracle_on_integer_systems(each):
    sigma = tuple(int(v) for v in Activation.parse(each.activation).coefficients)
    problem = Problem(sigma, each.W, None, [each.a], each.X, [[v] for v in each.c], each.layers)
    found = truth(problem, seconds=20, rng=np.random.default_rng(0))
    if each.dimension:
        assert found.category is Category.FAMILY and found.local == each.dimension
    elif each.orbits > 1:
        assert found.category is Category.OTHERS and found.solutions == each.solutions
    else:
        assert found.category is (Category.UNIQUE if each.solutions == found.orbit else Category.REAL)


def degenerate(s, X, c, layers="both", W=((1, 2), (3, -1), (1, 1), (2, -3), (-1, 4), (0, 1)), b=None):
    return Problem(s, W, b, [[1, -2, 1, 3, -1, 2][: len(W)]], X, [[v] for v in c], layers)


FAMILIES = {
    "zero sample, without constant": (degenerate((0, 1, 0, 1), [[1, 2], [0, 0]], [1, 2]), "gradients of the samples are dependent"),
    "opposite samples, odd": (degenerate((0, 1, 0, 1), [[1, 2], [-1, -2]], [1, 2]), "gradients of the samples are dependent"),
    "parallel samples, one degree": (degenerate((0, 0, 0, 1), [[1, 2], [2, 4]], [1, 2]), "gradients of the samples are dependent"),
    "two samples on a line": (degenerate((0, 1, 1, 1), [[1, 2], [2, 4], [1, -1]], [1, 2, 3]), "constant rank of 2 samples in 1 dim"),
    "more samples than numbers": (degenerate((0, 1, 1), [[1, 2], [2, -1], [1, 1]], [1, 2, 3]), "constant rank"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families_found_by_counting(name):
    problem, how = FAMILIES[name]
    found = truth(problem, seconds=0, rng=np.random.default_rng(0))
    assert found.category is Category.FAMILY and how in found.how


def test_zero_sample_of_a_monomial():
    """Its multiplier is no other solution, but it can leave zero along another sample, whose multiplier makes up for it."""
    found = truth(degenerate((0, 0, 0, 1), [[1, 2], [0, 0]], [1, 2]), seconds=0, rng=np.random.default_rng(0))
    assert found.category is Category.FAMILY and found.how == "constant rank of 2 samples in 1 dimensions with multipliers in 1"


@needs_programs
def test_fewer_samples():
    """The kernel of the four equations is the difference of two data sets: samples 1 and 2, and the single sample -1."""
    s = (-96, 20, 20, -8, 1)  # s_k times the moments of that difference are the coefficients of (w - 1)(w - 2)(w - 3)(w + 1)
    problem = Problem(s, [[1], [2], [3], [-1]], None, [[1, 1, 1, 1]], [[1], [2]], [[1], [1]], "second")
    assert problem.target(problem.X, problem.c) == problem.target(np.array([[-1]]), np.array([[1]]))
    found = truth(problem, seconds=20, rng=np.random.default_rng(0))
    assert found.category is Category.OTHERS and found.fewer and found.how == "fewer samples suffice" and found.local == 0


@needs_programs
def test_multiple_solution():
    """Samples are roots of u_1 x + u_2 x^2 + u_4 x^4, u known; -2 times a sample makes that sample a double root."""
    A = [[1, 2, -1, 3], [2, -1, 1, 1]]
    problem = Problem((0, 1, 1, 0, 1), [[1], [2], [3], [-1]], None, A, [[1], [-2]], [[1, 2], [1, -1]], "both")
    found = truth(problem, seconds=20, rng=np.random.default_rng(0))
    assert found.category is Category.UNIQUE and "multiplicity" in found.how and found.solutions == found.orbit == 2


@needs_programs
def test_no_answer_without_time():
    d3 = next(known for known in TRUTH_TABLE if known.solutions == 192)
    rng = np.random.default_rng(0)
    found = truth(generic(d3)(rng, PRIME // 2), seconds=0.01, rng=rng)
    assert found.category is Category.TIMEOUT and "stopped after 0.01 s" in found.how


@pytest.mark.parametrize("index", thinned(range(12), 2))
def test_equations_against_plain_evaluation_and_the_symbolic_system(index):
    instance = draw(7, index)
    problem, rng = instance.merged, np.random.default_rng(index)
    X, c = (rng.integers(-9, 10, part.shape).astype(object) for part in (problem.X, problem.c))
    values = [sum(int(g[o]) * np.prod(x**e) for x, g in zip(X, c, strict=True)) for o, e in problem.moments]
    integrated = [sum(row.get(key, 0) * v for key, v in zip(problem.moments, values, strict=True)) for row in problem.rows]
    target = problem.target(X, c)
    assert integrated == target
    system = kkt_equations(system_of(instance), samples=len(X))
    at = {f"x_{i + 1}_{q + 1}": v for (i, q), v in np.ndenumerate(X)}
    at |= {f"c_{i + 1}": v for i, v in enumerate(c[:, 0])} | {f"gamma_{i + 1}_{o + 1}": v for (i, o), v in np.ndenumerate(c)}
    for equation, here, wanted in zip(system.equations, target, problem.target(problem.X, problem.c), strict=True):
        assert abs(equation.subs(at)) == abs(here - wanted)


def test_instances_cover_what_they_promise():
    drawn = [draw(0, index) for index in range(400)]
    assert {tuple(k for k, v in enumerate(i.problem.s) if v) for i in drawn} == set(SUPPORTS)
    assert {kind for i in drawn for kind in i.kinds} == set(NETWORK) | set(DATA)
    assert {i.problem.layers for i in drawn} == set(LAYERS)
    assert {(i.problem.b is None, len(i.problem.A)) for i in drawn} == {(bias, C) for bias in (True, False) for C in (1, 2)}
    assert any(not i.kinds for i in drawn) and any(len(i.merged.X) < len(i.problem.X) for i in drawn)
    assert draw(0, 5).describe() == drawn[5].describe() != draw(1, 5).describe()


# --- the comparison --------------------------------------------------------------------------------------------------------

ANSWER = {"verdict": "UNIQUE", "group": "none", "witness": None, "conditions": {}, "scope": ""}
TRUTH = {"category": "unique", "how": "", "group": "none", "local": 0, "solutions": 1, "orbit": 1, "fewer": False}
RIGHT = [
    ("UNIQUE", Category.UNIQUE),
    ("LOCALLY_UNIQUE", Category.UNIQUE),
    ("UNIQUE", Category.REAL),
    ("UNIQUE", Category.UNCLEAR),
    ("UNIQUE", Category.TIMEOUT),
    ("LOCALLY_UNIQUE", Category.OTHERS),
    ("NOT_UNIQUE", Category.OTHERS),
    ("NOT_UNIQUE", Category.FAMILY),
    ("NOT_UNIQUE", Category.UNCLEAR),
    ("UNDECIDED", Category.UNIQUE),
]
WRONG = [
    ("UNIQUE", Category.FAMILY),
    ("UNIQUE", Category.OTHERS),
    ("LOCALLY_UNIQUE", Category.FAMILY),
    ("NOT_UNIQUE", Category.UNIQUE),
    ("NOT_UNIQUE", Category.REAL),
]


@pytest.mark.parametrize(("verdict", "category"), RIGHT)
def test_right_or_beyond_the_oracle(verdict, category):
    assert contradiction(ANSWER | {"verdict": verdict}, TRUTH | {"category": category}) is None


@pytest.mark.parametrize(("verdict", "category"), WRONG)
def test_wrong_verdicts_are_contradictions(verdict, category):
    assert contradiction(ANSWER | {"verdict": verdict}, TRUTH | {"category": category}).startswith(verdict)


def test_other_contradictions():
    assert "group is sign, not none" in contradiction(ANSWER, TRUTH | {"group": "sign"})
    assert contradiction({"verdict": FAILED, "error": "KeyError: 'x'"}, TRUTH) == "KeyError: 'x'"
    family = ANSWER | {"verdict": "NOT_UNIQUE", "witness": {"kind": "fibre", "dimension": 3}}
    assert "dimension 3, but" in contradiction(family, TRUTH | {"category": Category.FAMILY, "local": 2})


# --- the study -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    if algebra.missing():
        pytest.skip(algebra.missing())
    path = tmp_path_factory.mktemp("study") / "out.jsonl"
    soundness.main(["--instances", str(SLICE), "--seconds", str(SECONDS), "--jobs", "2", "--out", str(path)])
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_slice_has_no_contradictions(lines):
    assert sorted(line["index"] for line in lines) == list(range(SLICE))
    assert contradictions(lines) == []
    categories = [truth["category"] for _, _, _, truth in questions(lines)]
    assert len(categories) == SLICE * len(FORMS)
    assert categories.count(Category.UNIQUE) >= 15 and categories.count(Category.FAMILY) >= 20
    assert categories.count(Category.TIMEOUT) <= 5
    known = [is_decided(answer["verdict"], found["category"]) for _, _, answer, found in questions(lines)]
    assert known.count(True) >= 0.9 * (known.count(True) + known.count(False))


@pytest.mark.parametrize("verdict", ["UNIQUE", "NOT_UNIQUE"])
def test_forged_verdicts_are_found(lines, verdict, capsys):
    forged = copy.deepcopy(lines)
    wrong_for = Category.FAMILY if verdict == "UNIQUE" else Category.UNIQUE
    line, form = next((line, form) for line, form, _, found in questions(forged) if found["category"] == wrong_for)
    line["questions"][form]["answer"]["verdict"] = verdict
    assert soundness.show(forged) == 1
    assert f"instance {line['index']}" in capsys.readouterr().out.partition("1 contradictions:")[2]


def test_resumed_and_rechecked(lines, tmp_path, capsys):
    path = tmp_path / "out.jsonl"
    text = "".join(json.dumps(line) + "\n" for line in lines if line["index"] not in (3, 4))
    path.write_text(text + json.dumps(lines[0])[:40])
    assert soundness.main(["--instances", str(SLICE), "--seconds", str(SECONDS), "--jobs", "1", "--out", str(path)]) == 0
    resumed = {line["index"]: line for line in map(json.loads, path.read_text().splitlines())}
    assert resumed == {line["index"]: line for line in lines}
    for line in resumed.values():
        line["questions"]["data"]["answer"]["verdict"] = "UNDECIDED"
    soundness.write(path, list(resumed.values()))
    assert soundness.main(["--recheck", "--out", str(path)]) == 0
    assert soundness.seed_of(path) == 0 and soundness.seed_of(tmp_path / "none") == 0
    assert {line["index"]: line for line in map(json.loads, path.read_text().splitlines())} == {line["index"]: line for line in lines}
    assert "| unique |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="instances of seed 0, received --seed 1; give that seed, or another file"):
        soundness.main(["--seed", "1", "--out", str(path)])


def test_families_are_confirmed_by_a_standard_basis(lines, tmp_path, monkeypatch, capsys):
    path = tmp_path / "out.jsonl"
    few = [line for line in lines if soundness.by_counting(line["questions"]["data"]["truth"]) and line["inputs"] < 3][:5]
    assert len(few) == 5
    soundness.write(path, few)
    arguments = ["--confirm", "--seconds", str(SECONDS), "--jobs", "2", "--out", str(path)]
    assert soundness.main(arguments) == 0
    assert "found by counting: 5" in capsys.readouterr().out
    monkeypatch.setattr(oracle, "dimension_at_data", lambda *_: 0)
    assert soundness.main(arguments) == 1
    assert "contradicts 5" in capsys.readouterr().out


def test_without_the_programs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(algebra, "programs", lambda: (None, "Singular"))
    assert soundness.main(["--out", str(tmp_path / "out.jsonl")]) == 2
    assert "needs msolve" in capsys.readouterr().err


def test_questions_are_about_what_they_say():
    instance = next(i for i in (draw(0, index) for index in range(50)) if "coincident samples" in i.kinds)
    rng = np.random.default_rng(0)
    given, none = question(instance, "data", rng)
    assert none is None and len(given.X) < len(instance.problem.X) == len(data_of(instance)[0])
    drawn, _ = question(instance, "samples", rng)
    assert (drawn.W == given.W).all() and (drawn.X != given.X).all()
    assert (question(instance, "configuration", rng)[0].W != given.W).all()


def test_the_file_says_its_seed(tmp_path, capsys):
    """No option is needed to ask again about instances of another seed."""
    path = tmp_path / "lines.jsonl"
    line = {"seed": 7, "index": 0, **draw(7, 0).describe(), "questions": {}}
    soundness.write(path, [line])
    assert soundness.seed_of(path) == 7
    assert soundness.main(["--recheck", "--out", str(path)]) == 0
    with pytest.raises(SystemExit, match="instances of seed 7, received --seed 0"):
        soundness.main(["--recheck", "--seed", "0", "--out", str(path)])
