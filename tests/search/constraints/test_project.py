"""Projection satisfies all constraints, also where local moves get stuck; bounds on forests are checked."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from latency_models.forest_table import ForestTable, additive
from latency_models.roofline import Roofline
from nas.errors import InvalidInput
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.forest_bounds import check_reach
from nas.search.constraints.project import (
    log_likelihood,
    prediction_excess,
    project,
    project_coarse,
    reachable,
    upper_bounds,
)
from nas.search.constraints.repair import Constraints, repair
from nas.space.cost_table import PEAK_ACTIVATION, WEIGHTS, compile_table
from nas.space.staged import StagedSpace
from tests.latency_models.test_forest_table import FOREST, SIZES
from tests.support.tabular import Tabular, free
from tests.support.tiny import SPACE

DEVICE = Roofline("device", 4.0, 0.8, launch_overhead_ms=0.003, time_per_kernel_us=1.0)


def flat(space: Any) -> NDArray[np.float64]:
    return np.zeros((len(space.decisions), max(len(decision.options) for decision in space.decisions)))


def trap() -> tuple[Tabular, Constraints]:
    """A space in which three decisions must change at once: one or two of them make it worse."""
    space = free(*[2] * 6)
    cost = np.full((2, 2, 2), 3.0)
    cost[0, 0, 0], cost[1, 1, 1] = 2.0, 1.0
    latency = space.table({(0, 1, 2): cost, (3,): [0, 0], (4,): [0, 0], (5,): [0, 0]}, "latency")
    return space, Constraints(latency, 1.0, 0.01)


def test_where_moves_get_stuck_samples_satisfy_the_constraints() -> None:
    space, constraints = trap()
    assert repair(space, [0] * 6, flat(space), constraints) is None
    satisfied = project(space, [0] * 6, flat(space), constraints)
    assert satisfied is not None and satisfied[:3] == (1, 1, 1) and constraints.violation(np.array([satisfied]))[0] == 0


def test_of_what_satisfies_the_constraints_the_likeliest_is_found() -> None:
    space, constraints = trap()
    scores = flat(space)
    scores[3:, 1] = [1.0, -1.0, 2.0]
    assert project(space, [0] * 6, scores, constraints) == (1, 1, 1, 1, 0, 1)


def test_where_nothing_satisfies_the_constraints_there_is_none() -> None:
    space, constraints = trap()
    low = Constraints(constraints.latency, 1.5, 0.01)
    assert (
        project(space, [0] * 6, flat(space), low) is None
        and not reachable(space, low)
        and reachable(space, constraints)
    )


def constraints_at(share: float, of_range: float) -> Any:
    """Constraints over any view of the tiny space: a latency, and memory and flash bounds, at shares of the ranges."""
    costs = (DEVICE, PEAK_ACTIVATION, WEIGHTS)
    ranges = [(float(t.minimum()[0]), float(t.maximum()[0])) for t in (compile_table(SPACE, cost) for cost in costs)]
    latency_budget, *bounds = (
        low + f * (high - low) for (low, high), f in zip(ranges, (share, of_range, of_range), strict=True)
    )

    def constraints(space: StagedSpace) -> Constraints:
        latency, *tables = (compile_table(space, cost) for cost in costs)
        target = float(np.clip(latency_budget, latency.minimum()[0], latency.maximum()[0]))
        limits = [(table, max(most, table.minimum()[0])) for table, most in zip(tables, bounds, strict=True)]
        return Constraints(latency, target, 0.01, tuple(limits))

    return constraints


@settings(max_examples=12)
@given(st.integers(0, 1000), st.sampled_from([0.2, 0.35, 0.5]), st.sampled_from([0.3, 0.6]))
def test_two_stages_satisfy_the_constraints_wherever_the_whole_space_can(
    seed: int, share: float, of_range: float
) -> None:
    constraints = constraints_at(share, of_range)
    if not reachable(SPACE, constraints(SPACE)):
        return
    coarse = SPACE.coarse()
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal(flat(coarse).shape)
    start = coarse.sample(rng, 1)[0].tolist()
    choice, satisfied = project_coarse(SPACE, coarse, start, scores, constraints)
    assert satisfied == (constraints(coarse).violation(np.array([choice]))[0] <= 0)
    fine = SPACE.fine(coarse.decode(choice))
    ours = constraints(fine)
    end = project(fine, fine.sample(rng, 1)[0].tolist(), rng.standard_normal(flat(fine).shape), ours)
    assert end is not None and ours.violation(np.array([end]))[0] == 0
    arch = fine.decode(end)
    assert abs(DEVICE.predict_ms(arch) / constraints(SPACE).target - 1) <= 0.0101
    for table, most in constraints(SPACE).limits:
        assert table.score(np.array([SPACE.encode(arch)]))[0] <= most * (1 + 1e-9)


def with_forest(share: float, of_range: float) -> Constraints:
    """Latency near a share of its range, a forest bounded at a share of what it predicts there."""
    constraints = constraints_at(share, 1.0)(SPACE)
    table = ForestTable.of(SPACE, FOREST, "f")
    near = Bounded(SPACE, upper_bounds(constraints)).draw(np.random.default_rng(0), 400)
    scores = table.score(near)
    most = float(np.quantile(scores, of_range))
    return Constraints(
        constraints.latency, constraints.target, 0.01, (), ((additive(table, near, SIZES), most),), ((table, most),)
    )


@settings(max_examples=10)
@given(st.integers(0, 1000), st.sampled_from([0.05, 0.3]))
def test_a_bound_on_a_forest_is_kept_by_checked_repair(seed: int, of_range: float) -> None:
    constraints = with_forest(0.4, of_range)
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal(flat(SPACE).shape)
    satisfied = project(SPACE, SPACE.sample(rng, 1)[0].tolist(), scores, constraints)
    assert satisfied is not None
    (table, most), at = constraints.predicted_limits[0], np.array([satisfied])
    assert (
        table.score(at)[0] <= most and constraints.violation(at)[0] == 0 and prediction_excess(constraints, at)[0] == 0
    )


def test_a_bound_on_a_forest_that_nothing_keeps_is_refused_with_the_nearest() -> None:
    constraints = with_forest(0.4, 0.3)
    table, _ = constraints.predicted_limits[0]
    least = FOREST.range[0]
    tight = Constraints(constraints.latency, constraints.target, 0.01, (), (), ((table, least),))
    check_reach(constraints, SPACE)
    check_reach(Constraints(constraints.latency, constraints.target, 0.01), SPACE)
    words = rf"none found that keeps f <= {least:.6g} .* predicted [\d.]+% more than f <= .*; loosen f"
    with pytest.raises(InvalidInput, match=words):
        check_reach(tight, SPACE)
    assert project(SPACE, [0] * len(SIZES), flat(SPACE), tight) is None


def test_likelihood_by_hand() -> None:
    scores = np.array([[0.0, 1.0], [2.0, -3.0]])
    assert log_likelihood(np.array([[0, 0], [1, 1]]), scores).tolist() == [2.0, -2.0]
