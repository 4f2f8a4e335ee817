"""What a search for a whole front with an accuracy model draws its networks from, and what it trains."""

from collections.abc import Iterator, Sequence

import numpy as np

from nas.runs.front_search import LatencyBand
from nas.runs.model_budget import ModelBudget, costs_alone, rungs
from nas.runs.plan import SearchPlan
from nas.runs.stages import SingleTarget
from nas.search.accuracy.front import Bands, front_schedule, planned_front
from nas.search.accuracy.search import Schedule
from nas.search.constraints.bounds import Bounded


def front_budget(plans: Sequence[SearchPlan]) -> ModelBudget:
    """Return what is trained for the fronts of all `plans`; `InvalidInput` where the core hours are too few."""
    plan, budgets = plans[0], sum(len(plan.front) for plan in plans)
    bands, hours = front_bands(tuple(map(SingleTarget, plans))), plan.settings.core_hours
    costs = costs_alone(plan, bands.draw(np.random.default_rng(0), budgets))
    if hours is None:
        schedule = front_schedule(Schedule(rungs=rungs(plan)), budgets)
    else:
        schedule = planned_front(3600 * hours, costs.epoch_s, costs.start_s, budgets, rungs(plan), once_s=costs.once_s)
    return ModelBudget(schedule, 0, costs.of(schedule), 0.0)


def front_bands(targets: Sequence[SingleTarget]) -> Bands:
    """Return the networks near each budget of each target."""
    return Bands(tuple(_bands(targets)))


def _bands(targets: Sequence[SingleTarget]) -> Iterator[Bounded]:
    """Yield the networks near each budget of each target."""
    for target in targets:
        for budget, before in zip(target.plan.front, (0.0, *target.plan.front), strict=False):
            band = LatencyBand(target, budget, before)
            yield Bounded(target.full_space, tuple(band.limits(band.full_space)))
