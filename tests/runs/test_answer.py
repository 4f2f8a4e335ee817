"""The answer of a search: within every bound, dominated by no candidate, the same in any order; picks beside it."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from latency_models.latency_error import UNKNOWN, error_of, percent_text
from nas.arch import ArchSpec, load_arch
from nas.data.dataset import Dataset
from nas.errors import InvalidInput
from nas.ops import Shape
from nas.records.picks import load_picks
from nas.records.results import AccuracyKind
from nas.runs import plan as plans
from nas.runs.answer import Candidates, by_cost, chance_note, make_picks, write_picks
from nas.runs.front import front_candidates
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.plan_text import describe_plan
from nas.runs.settings import SearchConfig
from nas.runs.sources import target_of
from nas.search.algorithms import reinforce
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.project import upper_bounds
from nas.search.pareto import non_dominated
from nas.space.cost_table import PARAMS, compile_table
from tests.support.tiny import SPACE, images

IMAGES = 40
KIND = AccuracyKind("quarters", "0" * 64, 8, 0.5, "supernet weights, held-out pictures")
LATENCIES = (0.0, 0.3, 0.7, 1.0)  # of the range that the space reaches


@pytest.fixture(scope="module")
def base() -> SearchConfig:
    """Settings of a plan over a tiny space; the data are those of the fixture `quarters`."""
    return SearchConfig(
        space="tests.support.tiny:SPACE", target="pixel6-cpu", resolution=32, proxy_resolution=16, proxy_width=0.5
    )


@pytest.fixture(scope="module", autouse=True)
def quarters() -> "pytest.MonkeyPatch":  # type: ignore[misc]
    """Plans get images that are made here."""
    data: Dataset = images()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SearchConfig, "load_data", lambda _: data)
        yield patch


def plan_at(base: SearchConfig, share: float, **changes: object) -> SearchPlan:
    """Return the plan with a latency budget at `share` of the range that the space reaches."""
    low, high = reach(base)
    return make_plan(replace(base, latency_ms=low + share * (high - low), **changes))  # type: ignore[arg-type]


def reach(base: SearchConfig) -> tuple[float, float]:
    """Return the range of latencies of the space."""
    model = plans.latency_model_of(base, target_of(base), Shape(32, 32, 3), 4)
    table = compile_table(SPACE.with_input(32, 3, 4), model)
    return float(table.minimum()[0]), float(table.maximum()[0])


@pytest.mark.parametrize("share", LATENCIES)
def test_a_plan_knows_what_share_of_the_space_the_error_of_its_latency_blurs(base: SearchConfig, share: float) -> None:
    """Against the slow path: the latency of every network of the tiny space that was drawn, one by one."""
    plan = plan_at(base, share)
    percent = error_of(plan.model).percent
    assert percent is not None and plan.share_within_error is not None
    drawn = plan.space.sample(np.random.default_rng(0), 4096)[:200]
    latencies = [plan.model.predict_ms(plan.space.decode(genotype)) for genotype in drawn.tolist()]
    near = [abs(plan.latency_budget / ms - 1) <= percent / 100 for ms in latencies]
    assert plan.share_within_error == pytest.approx(np.mean(near), abs=0.12)  # 200 of 4,096
    known = plan.prediction_error(plan.space.decode(drawn[0].tolist()))
    assert (known.percent, known.share_within) == (percent, plan.share_within_error) and "int8" in known.setup
    lines = describe_plan(plan)
    assert any(f"± {percent_text(percent)} %, which holds 90 % of unseen networks" in line for line in lines)
    assert any(line.startswith(f"{100 * plan.share_within_error:.0f} % of random networks") for line in lines)
    without = replace(plan, model=replace(plan.model, latency_error=UNKNOWN))
    assert without.share_within_error is None and any("error not known" in line for line in describe_plan(without))


@dataclass(frozen=True)
class Pool:
    """Random networks with their latencies and whether they keep all bounds of a plan."""

    plan: SearchPlan
    archs: tuple[ArchSpec, ...]
    latencies: NDArray[np.float64]
    kept: NDArray[np.bool_]

    def scored(self, seed: int, count: int) -> Candidates:
        """Return the first `count` networks as far as they keep all bounds, with accuracies by chance."""
        rng = np.random.default_rng(seed)
        hits = rng.random((len(self.archs), IMAGES)) < rng.choice([0.3, 0.8], size=(len(self.archs), 1))
        kept = rng.permutation(len(self.archs))[:count]
        kept = kept[self.kept[kept]]
        archs, latencies = [self.archs[i] for i in kept], self.latencies[kept].tolist()
        return by_cost(archs, latencies, hits[kept].sum(1).tolist(), IMAGES, KIND, hits[kept])


@cache
def pool(base: SearchConfig, share: float, around: bool) -> Pool:
    """Return networks for a plan with a bound on the parameters."""
    plan = plan_at(base, share, around=around, max_params=40_000)
    constraints = plan.constraints(plan.space)
    rows = np.unique(plan.space.canonical(plan.space.sample(np.random.default_rng(0), 60)), axis=0)
    rows = np.concatenate([rows, Bounded(plan.space, upper_bounds(constraints)).start[None]])
    archs = tuple(plan.space.decode(tuple(row)) for row in rows.tolist())
    return Pool(plan, archs, constraints.latency.score(rows), constraints.kept_by(rows))


@pytest.mark.parametrize(("share", "around"), [(0.3, False), (0.7, False), (0.7, True)])
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60), random=st.randoms(use_true_random=False))
def test_the_answer_is_within_bounds_not_dominated_and_the_same_in_any_order(
    base: SearchConfig, share: float, around: bool, seed: int, count: int, random: Random
) -> None:
    networks = pool(base, share, around)
    plan, found = networks.plan, networks.scored(seed, count)
    if not found.archs:
        return
    answer = found.archs[found.best]
    assert answer.params <= 40_000
    latency = plan.model.predict_ms(answer)
    assert latency <= plan.latency_budget * (1.01 if around else 1 + 1e-9)
    points = np.stack([found.correct / found.images, found.latencies], 1)
    assert non_dominated(points, [False, True])[found.best]
    order = list(range(len(found.archs)))
    random.shuffle(order)
    assert found.hits is not None
    again = by_cost(
        [found.archs[i] for i in order], found.latencies[order].tolist(), found.correct[order].tolist(), IMAGES, KIND,
        found.hits[order],
    )  # fmt: skip
    assert again.archs == found.archs and again.best == found.best and again.luck == found.luck
    chosen = make_picks(plan, found)
    assert chosen == make_picks(plan, again)
    assert chosen.picks[0].digest == answer.digest and chosen.picks[0].roles[0] == "most accurate"
    shapes = [(one.latency, one.params, one.macs, one.peak_activation_elements) for one in chosen.picks]
    assert len(set(shapes)) == len(shapes) <= 5
    assert all(one.difference <= one.difference_error for one in chosen.picks)
    assert len(chosen.picks) >= min(3, len({(a.params, a.macs) for a in (found.archs[i] for i in found.as_good())}))


@pytest.mark.parametrize("share", LATENCIES)
def test_a_budget_as_upper_bound_is_aimed_at_from_inside(base: SearchConfig, share: float) -> None:
    plan = plan_at(base, share)
    constraints = plan.constraints(plan.space)
    rows = plan.space.canonical(plan.space.sample(np.random.default_rng(0), 4000))
    satisfied = rows[constraints.satisfied_by(rows)]
    latency = constraints.latency.score(satisfied)
    assert (latency <= plan.latency_budget * (1 + 1e-9)).all()
    assert constraints.kept_by(satisfied).all()
    if share:
        assert (latency >= 0.979 * plan.latency_budget).all()
    assert len(Bounded(plan.space, upper_bounds(constraints)).start)
    kept = constraints.latency.score(rows[constraints.kept_by(rows)])
    assert len(kept) == (constraints.latency.score(rows) <= plan.latency_budget * (1 + 1e-9)).sum()


def test_a_budget_around_which_to_land_has_two_sides(base: SearchConfig) -> None:
    plan = plan_at(base, 0.5, around=True)
    constraints = plan.constraints(plan.space)
    assert (constraints.target, constraints.tolerance, constraints.budget) == (plan.latency_budget, 0.01, None)


def test_a_bound_that_keeps_networks_from_the_budget_lowers_the_aim(base: SearchConfig) -> None:
    """At most 40,000 parameters at the largest latency: nothing is there, so the best below is the answer."""
    plan = plan_at(base, 1.0)
    few = int(compile_table(plan.space, PARAMS).minimum()[0] * 1.02)
    bounded = plan_at(base, 1.0, max_params=few)
    constraints = bounded.constraints(bounded.space)
    start = Bounded(bounded.space, upper_bounds(constraints)).start
    assert constraints.kept_by(start[None])[0] and bounded.aim < 0.95 * bounded.latency_budget
    with pytest.raises(InvalidInput, match="no architecture keeps"):
        plan_at(base, 1.0, max_params=few, around=True)


@pytest.mark.parametrize("share", LATENCIES)
def test_a_policy_learns_at_the_budget_itself_where_it_can_be_used(base: SearchConfig, share: float) -> None:
    """As with the two-sided aim: shared weights and policy are those of a search around the budget."""
    plan, around = plan_at(base, share), plan_at(base, share, around=True)
    learning = plan.training_constraints(plan.constraints(plan.space))
    other = around.training_constraints(around.constraints(around.space))
    assert (learning.target, learning.tolerance, learning.budget) == (other.target, other.tolerance, None)
    few = int(compile_table(plan.space, PARAMS).minimum()[0] * 1.02)
    bounded = plan_at(base, 1.0, max_params=few)
    constraints = bounded.constraints(bounded.space)
    assert bounded.training_constraints(constraints) is constraints


def test_settings_of_older_releases_aim_around(base: SearchConfig) -> None:
    stored = {name: value for name, value in vars(base).items() if name not in ("around", "baseline")}
    assert SearchConfig.from_dict(stored) == replace(base, around=True, baseline="none")
    assert SearchConfig.from_dict(vars(base)) == base and not base.around


def test_candidates_that_may_be_the_answer_come_first(base: SearchConfig) -> None:
    plan = plan_at(base, 0.6)
    space = plan.space
    constraints = plan.constraints(space)
    policy = reinforce.init(reinforce.Reinforce(10, 2), reinforce.DecisionArrays.of(space.decisions))
    first = tuple(Bounded(space, upper_bounds(constraints)).start.tolist())
    found = front_candidates(space, policy, {first: "argmax"}, 40, 0, constraints)
    assert len(found) == 40 and found == front_candidates(space, policy, {first: "argmax"}, 40, 0, constraints)
    rows = np.array(list(found), np.int32)
    assert constraints.kept_by(rows).all()
    free = front_candidates(space, policy, {first: "argmax"}, 40, 0)
    assert not constraints.kept_by(np.array(list(free), np.int32)).all()


def test_picks_are_written_with_their_specs_and_read_again(base: SearchConfig, tmp_path: Path) -> None:
    networks = pool(base, 0.7, False)
    plan, found = networks.plan, networks.scored(5, 60)
    chosen = make_picks(plan, found)
    assert load_picks(tmp_path) is None
    write_picks(tmp_path, found, chosen)
    assert load_picks(tmp_path) == chosen
    for one in chosen.picks:
        assert load_arch(tmp_path / one.spec).digest == one.digest
    assert chosen.expected_top1 == chosen.picks[0].top1 - chosen.luck
    assert chosen.luck_note and f"the best of {len(found.archs)} scores" in chosen.luck_note
    assert replace(chosen, images=2).luck_note is None is replace(chosen, candidates=1).luck_note
    (tmp_path / "picks.json").write_text('{"schema": "nas.picks", "version": 1}')
    with pytest.raises(InvalidInput, match=r"picks\.json does not hold the picks of a search"):
        load_picks(tmp_path)


def test_chance_is_the_share_of_the_largest_class() -> None:
    labels = np.array([0] * 80 + [1] * 20)
    note = chance_note(0.82, 100, labels, 2)
    assert note and note.startswith("at chance level: 82.0% of 100") and "80.0%" in note
    assert chance_note(0.95, 100, labels, 2) is None
    assert chance_note(0.12, 100, np.arange(100) % 10, 10) and chance_note(0.3, 100, np.arange(100) % 10, 10) is None


def test_too_few_images_have_the_remedy_that_helps() -> None:
    plan = make_plan(SearchConfig(preset="smoke"))
    for count, remedy in ((160, "add training images"), (1000, "take a longer --preset, which looks at more of them")):
        note = replace(plan, dataset=images(count)).few_images_note(64)  # of a fifth of so many
        assert note is not None and note.endswith(remedy)
    assert plan.few_images_note(200) is None
