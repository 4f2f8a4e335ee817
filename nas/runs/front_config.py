"""The settings of a search for a whole front, and the latency budgets that follow from them on a target."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from nas.errors import InvalidInput
from nas.protocols import Genotypes
from nas.records.typed import typed
from nas.runs.plan import SearchPlan
from nas.runs.settings import SearchConfig
from nas.search.constraints.bounds import Bounded, Limit
from nas.search.front import MIN_POINTS, latency_budgets
from nas.space.cost_table import compile_table

Range = tuple[float | None, float | None]  # latencies from and to, in the unit of the target; None: as far as it goes
WHOLE: Range = (None, None)
POINTS = 8  # latency budgets of a front
BISECTIONS = 6  # of the latencies between which an end of what the bounds leave lies


@dataclass(frozen=True)
class FrontConfig:
    """What is asked of a front: its range of latencies, one for all targets or one for each, and its points."""

    ranges: tuple[Range, ...] = (WHOLE,)
    points: int = POINTS

    def of_target(self, number: int) -> Range:
        """Return the range that is asked for on target `number`."""
        return self.ranges[number if len(self.ranges) > 1 else 0]

    @classmethod
    def from_dict(cls, data: Any) -> "FrontConfig":
        """Return the settings in the JSON form `data`; `InvalidInput` where it is none."""
        try:
            if set(data) != {f.name for f in fields(cls)}:
                raise TypeError(f"its fields are {', '.join(sorted(data))}")
            return typed(cls, data)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"the stored settings of the front are malformed ({error}); start a new run") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def front_stages(target: str, points: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the stages of the searches near each budget for a target: those of sizes, then those of all decisions."""
    numbers = range(1, points + 1)
    return tuple(f"{target}/coarse{n}" for n in numbers), tuple(f"{target}/whole{n}" for n in numbers)


def stage_trials(trials: int) -> tuple[int, int]:
    """Return how many of the `trials` near a budget go to its first stage and to its second."""
    return (trials + 1) // 2, max(1, trials // 2)


def range_text(asked: Range) -> str:
    """Return a range as it is written: "0.5..4", "0.5..", "..4"."""
    return "..".join("" if end is None else f"{end:.6g}" for end in asked)


def check_front(front: FrontConfig, settings: Sequence[SearchConfig]) -> None:
    """Raise `InvalidInput`, in one line, for a front that cannot be searched for on the targets of `settings`."""
    if front.points < MIN_POINTS:
        raise InvalidInput(f"a front has at least {MIN_POINTS} points, both ends of its range, got {front.points}")
    if len(front.ranges) not in (1, len(settings)):
        raise InvalidInput(
            f"--front takes one range for all targets or one for each, got {len(front.ranges)} for {len(settings)}"
        )
    for low, high in front.ranges:
        if any(end is not None and not 0 < end < np.inf for end in (low, high)) or (low or 0) >= (high or np.inf):
            raise InvalidInput(f"a front goes from a latency to a larger one, got {range_text((low, high))}")
    for flag in ("latency_ms", "latency_ratio", "around", "minimize"):
        if any(getattr(one, flag) for one in settings):
            name = flag.replace("_", "-")
            raise InvalidInput(f"--{name} and --front exclude each other: a front has its own latency budgets")


def budgets_of(front: FrontConfig, number: int, plan: SearchPlan) -> tuple[float, ...]:
    """Return the latency budgets of the front on target `number` of a search, whose plan this is."""
    return latency_budgets(*range_of(front.of_target(number), plan), front.points)


def range_of(asked: Range, plan: SearchPlan) -> tuple[float, float]:
    """Return the part of the range `asked` that the space reaches within the bounds; `InvalidInput` for none."""
    low, high = reachable_within_bounds(plan)
    least, most = max(low, asked[0] or low), min(high, asked[1] or high)
    if least >= most:
        within = " within the bounds" if plan.bounds else ""
        raise InvalidInput(
            f"the front must lie between {low:.4g} and {high:.4g} {plan.model.unit}, what space "
            f"'{plan.settings.space}' reaches at {plan.input_shape.size.text} on '{plan.target_name}'{within}; got "
            f"{range_text(asked)}"
        )
    return least, most


def reachable_within_bounds(plan: SearchPlan) -> tuple[float, float]:
    """Return the least and the largest latency of the space; with hard bounds those found within them, by bisection.

    Those of the whole space where nothing is found within the bounds: that is refused elsewhere.
    """
    low, high = plan.reachable
    if not plan.bounds:
        return low, high
    latency = compile_table(plan.space, plan.model)

    def found(limit: Limit) -> float | None:
        """Return the latency of an architecture within the bounds and `limit`, None where none is found."""
        try:
            start: Genotypes = Bounded(plan.space, (*plan.limits(plan.space), limit)).start[None]
            return float(latency.score(start)[0])
        except InvalidInput:
            return None

    def farthest(inside: float, end: float, towards: Callable[[float], Limit]) -> float:
        """Return the latency found that is nearest to `end`, beginning with that of an architecture `inside`."""
        if found(towards(end)) is not None:
            return end
        for _ in range(BISECTIONS):
            middle = (inside + end) / 2
            nearer = found(towards(middle))
            inside, end = (inside, middle) if nearer is None else (nearer, end)
        return inside

    inside = found((latency, high))
    if inside is None:
        return low, high
    least = farthest(inside, low, lambda most: (latency, most))
    return least, farthest(inside, high, lambda least: (latency.negative(), -least))
