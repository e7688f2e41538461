"""Budgets, memory and demanded conditions: what is not evaluated says so, and never changes a verdict into a wrong one."""

from __future__ import annotations

import time

import numpy as np
import pytest

from identify.base.limits import TooLargeError, limit_memory, limit_time, memory_allowed, refuse_late, seconds_left
from identify.base.options import CONDITIONS
from identify.conditions import plan as plans
from identify.conditions.check import check
from identify.conditions.plan import Plan, estimated_seconds
from identify.exact.modular import Arithmetic
from identify.planting.configuration import Configuration
from identify.problem.verdict import Condition, Verdict

DECIDED = "the question is decided without it"
CUBIC = "z + z^2/2 + z^3"


def size(d: int, n: int, m: int, activation: str = CUBIC, **options) -> Configuration:
    return Configuration(inputs=d, samples=n, width=m, activation=activation, **options)


def holds(name: str = "local") -> Condition:
    return Condition(name, True, "holds", {}, Arithmetic.PROOF, "")


def within(budget: float, seconds: float, **options) -> Condition:
    """What a plan makes of a condition of that cost."""
    with limit_time(budget):
        return Plan(**options).evaluate("local", seconds, holds)


class TestPlan:
    def test_cheap_conditions_are_evaluated_anyway(self):
        plan = Plan()
        assert plan.evaluate("local", plans.CHEAP, holds, unneeded=DECIDED).is_proved
        assert plan.found == {"local": holds()}

    def test_without_a_reader_cheap_ones_that_add_nothing_are_left_out(self):
        plan = Plan(diagnosed=False)
        skipped = plan.evaluate("local", 0.0, holds, unneeded=DECIDED, adds_nothing=True)
        assert skipped.holds is None and skipped.arithmetic is Arithmetic.NONE
        assert plan.evaluate("local", 0.0, holds, unneeded=DECIDED).is_proved
        assert plan.evaluate("local", 0.0, holds, adds_nothing=True).is_proved
        assert Plan().evaluate("local", 0.0, holds, unneeded=DECIDED, adds_nothing=True).is_proved

    def test_expensive_ones_only_if_needed_or_demanded(self):
        assert Plan().evaluate("local", 10.0, holds).is_proved
        assert Plan(demanded=("local",)).evaluate("local", 10.0, holds, unneeded=DECIDED).is_proved
        skipped = Plan(demanded=("scale",)).evaluate("local", 10.0, holds, unneeded=DECIDED)
        assert skipped.holds is None and skipped.arithmetic is Arithmetic.NONE and skipped.name == "local"
        assert skipped.statement == "not evaluated: not needed, because the question is decided without it; estimated cost 10 s"
        assert skipped.evidence == {"estimated_seconds": 10.0} and skipped.reference

    def test_without_a_budget_patience_is_limited(self):
        skipped = Plan().evaluate("local", 90.0, holds, patience=30.0)
        assert skipped.holds is None and "pass budget=SECONDS, or conditions='local'" in skipped.statement
        assert skipped.evidence == {"estimated_seconds": 90.0}
        assert Plan(demanded=("local",)).evaluate("local", 90.0, holds, patience=30.0).is_proved
        assert Plan().evaluate("local", 20.0, holds, patience=30.0).is_proved
        with limit_time(1000.0):
            assert Plan().evaluate("local", 90.0, holds, patience=30.0).is_proved

    def test_a_budget_that_does_not_suffice(self):
        skipped = within(2.0, 600.0)
        assert skipped.holds is None and "s of the budget are left; estimated cost 10 min" in skipped.statement
        assert within(1000.0, 600.0).is_proved

    def test_a_budget_that_is_spent(self):
        assert seconds_left() is None
        with limit_time(1e-6):
            time.sleep(1e-3)
            assert seconds_left() == 0.0 and Plan().evaluate("local", 0.02, holds).holds is None
            assert Plan().evaluate("scale", 0.0, lambda: holds("scale")).is_proved
        assert seconds_left() is None

    def test_work_inside_a_condition_stops_too(self):
        def long():
            refuse_late(50.0, "a rank")

        with limit_time(5.0):
            skipped = Plan().evaluate("local", 0.0, long)
        assert skipped.statement.startswith("not evaluated: not affordable: a rank takes about 50 s, and ")

    def test_a_demand_does_not_override_a_budget(self):
        assert within(1.0, 5.0, demanded=("local",)).holds is None

    def test_memory(self):
        def too_large():
            raise TooLargeError("it", 9 * 2**30, 2**30)

        skipped = Plan().evaluate("local", 0.0, too_large)
        assert skipped.statement.startswith("not evaluated: not affordable: it needs about 9")

    def test_progress_names_what_takes_long(self):
        said: list[str] = []
        plan = Plan(progress=said.append)
        plan.evaluate("scale", 0.0, holds)
        plan.evaluate("local", 200.0, holds)
        plan.evaluate("interpolation", 5.0, holds, unneeded=DECIDED)
        assert said == ["local (about 3 min)"]

    @pytest.mark.parametrize(("seconds", "text"), [(0.5, "less than a second"), (30, "30 s"), (300, "5 min"), (86400, "24 h")])
    def test_costs_for_people(self, seconds, text):
        assert within(1e-9, seconds).statement.endswith(f"estimated cost {text}")


class TestCheck:
    def test_a_spent_budget_gives_the_partial_report(self):
        report = check(size(20, 20, 50), budget=1e-9)
        assert report.verdict is Verdict.UNDECIDED
        for name in ("interpolation", "generic-global", "local"):
            assert "not evaluated: not affordable" in report[name].statement
        assert report["count"].holds is True and report["reduction"].is_proved

    def test_what_decides_first_saves_the_rest(self):
        report = check(size(30, 30, 90))
        assert report.verdict is Verdict.UNIQUE
        assert "not needed" in report["interpolation"].statement and report["interpolation"].evidence["estimated_seconds"] > plans.CHEAP

    def test_a_demanded_condition_is_evaluated(self, monkeypatch):
        said: list[str] = []
        monkeypatch.setattr(plans, "CHEAP", 0.0)
        without, demanded = check(size(5, 4, 12)), check(size(5, 4, 12), conditions=["interpolation"], progress=said.append)
        assert without["interpolation"].holds is None and demanded["interpolation"].is_proved
        assert without.verdict is demanded.verdict is Verdict.UNIQUE
        assert any(name.startswith("interpolation (") for name in said)
        assert check(size(5, 4, 12), conditions="interpolation")["interpolation"].is_proved

    def test_the_order_of_evaluation_does_not_change_the_verdict(self, monkeypatch):
        """Whatever is skipped as not needed: the same verdict as with everything evaluated."""
        configs = [
            size(3, 3, 9),
            size(8, 8, 16),
            size(3, 3, 9, "z + z^2"),
            size(2, 3, 4, "z + z^3"),
            size(2, 2, 2),
            size(5, 3, 6, bias=True),
        ]
        everything = [check(config, conditions=CONDITIONS).verdict for config in configs]
        monkeypatch.setattr(plans, "CHEAP", 0.0)
        assert [check(config).verdict for config in configs] == everything
        assert len(set(everything)) == 3

    def test_memory_bounds_every_matrix(self):
        before = memory_allowed()
        report = check(size(12, 12, 60), memory=2**17)
        assert report.verdict is Verdict.UNDECIDED and "needs about" in report["local"].statement
        assert check(size(12, 12, 60), memory=2**33).verdict is Verdict.UNIQUE and memory_allowed() == before

    def test_networks_beyond_memory_have_a_report_too(self):
        report = check(size(10**5, 2, 10**5))
        assert report.verdict is Verdict.UNDECIDED and "not affordable: a network with 100000 neurons" in report["reduction"].statement
        assert check(size(10**5, 2, 10**5, "z^2")).verdict is Verdict.NOT_UNIQUE

    def test_the_limit_is_restored_after_errors(self):
        before = memory_allowed()
        with pytest.raises(RuntimeError), limit_memory(100):
            assert memory_allowed() == 100
            raise RuntimeError
        assert memory_allowed() == before

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"budget": 0}, "budget: received 0, expected a positive number of seconds"),
            ({"budget": float("nan")}, "budget: received nan"),
            ({"budget": True}, "budget: received True"),
            ({"budget": "1"}, "budget: received '1'"),
            ({"memory": 0}, "memory: received 0, expected an integer of at least 1 [(]bytes[)]"),
            ({"memory": 1.5}, "memory: received 1.5"),
            ({"conditions": ["rank"]}, "conditions: received 'rank', expected one of interpolation, "),
            ({"conditions": "rank"}, "conditions: received 'rank'"),
        ],
    )
    def test_arguments_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            check(size(2, 2, 3), **arguments)

    def test_second_solutions_stop_with_the_budget(self, monkeypatch):
        """What is left of the budget bounds the search for a second solution."""
        seen: list[float | None] = []
        monkeypatch.setattr("identify.conditions.judgement.second_solution", lambda setting, *, seconds: seen.append(seconds))
        system, truth = size(2, 2, 2).plant(0)
        for budget in (None, 100.0):
            check(system, data=(truth.X, truth.c), budget=budget)
        assert seen[0] is None and 0 < seen[1] <= 100

    def test_estimates_grow_with_the_work(self):
        from identify.conditions.question import setting_of

        for name in ("interpolation", "local", "generic-global"):
            costs = [estimated_seconds(name, setting_of(size(d, d, 4 * d), d, 0)) for d in (4, 8, 16, 32)]
            assert costs == sorted(costs) and costs[-1] > 10 * costs[0]
        assert estimated_seconds("scale", setting_of(size(4, 4, 4), 4, 0)) == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_partial_reports_never_contradict_the_whole(seed):
    """Random subsets of conditions left out as not affordable: what is then proved, the whole report proves too."""
    rng = np.random.default_rng(seed)
    d, n, m = (int(v) for v in (rng.integers(2, 5), rng.integers(2, 5), rng.integers(2, 9)))
    config = size(d, n, m, ["z + z^3", "z + z^2", "z^3"][seed % 3])
    whole = check(config, conditions=CONDITIONS)
    rank = {Verdict.UNDECIDED: 0, Verdict.LOCALLY_UNIQUE: 1, Verdict.UNIQUE: 2}
    for budget in (1e-9, 10.0):
        part = check(config, budget=budget)
        if whole.verdict is Verdict.NOT_UNIQUE:
            assert part.verdict in (Verdict.NOT_UNIQUE, Verdict.UNDECIDED)
        else:
            assert rank[part.verdict] <= rank[whole.verdict]
