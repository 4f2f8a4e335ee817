"""Search for a whole front over a trained supernet: the networks near every latency budget, for every target.

Each budget has searches of its own within the last 2 % below it: first over filters and depths, then over all decisions
of the space, beginning with what is known near the budget. An accuracy depends neither on the budget nor on the target,
so every evaluated network serves all of them (nas/search/front.py says which answers which budget).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.protocols import Genotype, Genotypes
from nas.records.front import Front, FrontPoint
from nas.records.results import AccuracyKind, standard_error
from nas.runs.answer import spec_path
from nas.runs.front import PREDICTED_DIGITS
from nas.runs.front_config import front_stages, stage_trials
from nas.runs.plan import REFERENCE, SearchPlan
from nas.runs.stages import SingleTarget, StageRunner, StagesResult
from nas.search.constraints.bounds import Bounded, Limit
from nas.search.front import BAND, ROUNDING, Listed, answers
from nas.search.loop import SearchTask, WarmStart, run
from nas.search.selection import most_luck
from nas.space.cost_table import MACS, compile_table, within
from nas.space.staged import StagedSpace

ENDS = "ends"  # the stage of the networks at the ends of the space
WIDER = 2.0  # by which the band below a budget widens where it holds no network
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LatencyBand:
    """The objective of one budget of a front: the most accurate network that uses the budget, or nearly.

    The band is `BAND` of the budget wide, but begins above the budget before. Where the space has no network in it, it
    is the narrowest of those twice as wide each that has one.
    """

    target: SingleTarget
    budget: float
    before: float = 0.0  # the budget before

    @property
    def full_space(self) -> StagedSpace:
        """The space of target networks, with all decisions."""
        return self.target.full_space

    @property
    def metric(self) -> str:
        """The name of what accuracies are."""
        return self.target.metric

    @cached_property
    def _limits(self) -> list[Limit]:
        band, limits = self._band, self._within(self.full_space, self._band)
        while band < 1 and not _is_feasible(self.full_space, limits):
            band *= WIDER
            limits = self._within(self.full_space, band)
        return limits

    @property
    def _band(self) -> float:
        return min(BAND, 1 - self.before / self.budget)

    def _within(self, space: StagedSpace, band: float) -> list[Limit]:
        """Return the hard bounds over `space`, and those of latencies in a `band` below the budget."""
        latency, most = compile_table(space, self.target.plan.model), max(self.budget, self.target.plan.reachable[0])
        from_below = [(latency.negative(), -(1 - band) * self.budget)] if band < 1 else []
        return [*self.target.plan.limits(space), (latency, most), *from_below]

    @cached_property
    def coarse(self) -> StagedSpace | None:
        """The coarse view of the space, None where it has no network in the band."""
        view = self.full_space.coarse()
        return view if _is_feasible(view, self.limits(view)) else None

    def limits(self, space: StagedSpace) -> list[Limit]:
        """Return the hard bounds and the band of latencies over the full space or a view of it."""
        return self._limits if space.name == self.full_space.name else self._within(space, self._band)

    def objectives(self, genotypes: Genotypes, accuracies: Floats) -> Floats:
        """Return error and latency [N, 2]."""
        return self.target.objectives(genotypes, accuracies)


def search_front(
    stages: StageRunner,
    name: str,
    target: SingleTarget,
    seed: int,
    known: Mapping[Genotype, float],
) -> StagesResult:
    """Search near each of the latency budgets of a target's front, and return all that was evaluated for it.

    `known` are accuracies from the searches for other targets.
    """
    budgets, space = target.plan.front, target.full_space
    (first, second), (few, rest) = front_stages(name, len(budgets)), stage_trials(stages.config.trials)
    bands = tuple(map(partial(LatencyBand, target), budgets, (0.0, *budgets)))
    found = FoundNetworks(dict(known), {})
    found.add(_evaluate(stages, f"{name}/{ENDS}", target, _ends(target)))
    for stage, band in zip(first, bands, strict=True):
        if band.coarse:
            found.add(stages.run_stage(stage, band, band.coarse, few, seed))
    for number, (stage, band) in enumerate(zip(second, bands, strict=True)):
        near = found.between(target, (0.0, *budgets)[number], (*budgets, budgets[-1])[number + 1])
        found.add(stages.run_stage(stage, band, space, rest, seed, near))
    own = {genotype: found.accuracy[genotype] for genotype in found.origin}
    best = next(iter(own))
    return StagesResult(name, best, best, own, found.origin)


@dataclass(frozen=True)
class FoundNetworks:
    """The networks that are known so far, with the stage of each that this search evaluated first."""

    accuracy: dict[Genotype, float]
    origin: dict[Genotype, str]

    def add(self, found: StagesResult) -> None:
        """Add what a stage evaluated."""
        for genotype, top1 in found.accuracy.items():
            self.origin.setdefault(genotype, found.name)
            self.accuracy[genotype] = top1

    def between(self, target: SingleTarget, least: float, most: float) -> WarmStart | None:
        """Return what is known of networks of latencies from `least` to `most`."""
        if not self.accuracy:
            return None
        genotypes, values = np.array(list(self.accuracy), np.int32), np.array(list(self.accuracy.values()))
        latencies = target.latency.score(genotypes)
        near = (latencies >= least * (1 - BAND)) & (latencies <= most * (1 + ROUNDING))
        return WarmStart(genotypes[near], values[near])


def _ends(target: SingleTarget) -> Genotypes:
    """Return the networks of the space of least and largest latency, and of fewest and most MACs, on the front's range.

    Those at its ends are so few that a search does not find them.
    """
    space, budgets = target.full_space, target.plan.front
    tables = (target.latency, compile_table(space, MACS))
    rows = [genotype for table in tables for _, genotype in (table.minimum(), table.maximum())]
    found = np.array(list(dict.fromkeys(map(tuple, space.canonical(np.array(rows, np.int32)).tolist()))), np.int32)
    latencies = target.latency.score(found)
    kept = (latencies >= budgets[0] * (1 - BAND)) & (latencies <= budgets[-1] * (1 + ROUNDING))
    return found[kept & within(target.plan.limits(space), found)]


def _evaluate(stages: StageRunner, stage: str, target: SingleTarget, genotypes: Genotypes) -> StagesResult:
    """Return the accuracies of genotypes [N, D] as a stage of their own."""
    count = len(genotypes)
    task = SearchTask(stage, Listed(genotypes), target.full_space.canonical, target.objectives, count, count, 0,
                      metric=target.plan.metric)  # fmt: skip
    history = run(task, stages.pool, stages.journal, stages.reporter)
    accuracy = dict(zip(map(tuple, history.genotypes.tolist()), history.accuracies.tolist(), strict=True))
    return StagesResult(stage, (), (), accuracy, {})


def _is_feasible(space: StagedSpace, limits: list[Limit]) -> bool:
    """Return whether a network of `space` is found that keeps the limits."""
    try:
        return len(Bounded(space, tuple(limits)).start) > 0
    except InvalidInput:
        return False


@dataclass(frozen=True)
class FrontOfTarget:
    """All networks [N] that a run evaluated, as one target sees them: `kept` are those within its hard bounds."""

    plan: SearchPlan
    genotypes: Genotypes
    latencies: Floats
    accuracies: Floats
    kept: NDArray[np.bool_]

    @classmethod
    def of(cls, target: SingleTarget, accuracy: Mapping[Genotype, float]) -> "FrontOfTarget":
        """Return the view of a target on the accuracies of all evaluated networks, in the order of their costs."""
        genotypes, values = np.array(list(accuracy), np.int32), np.array(list(accuracy.values()), np.float64)
        archs = [target.full_space.decode(genotype) for genotype in accuracy]
        latencies = target.latency.score(genotypes)
        # As `nas.runs.answer.by_cost` has it: of networks of equal accuracy and latency the smallest is the answer.
        keys = [(latency, arch.params, arch.digest) for latency, arch in zip(latencies, archs, strict=True)]
        order = sorted(range(len(keys)), key=lambda row: keys[row])
        kept = within(target.plan.limits(target.full_space), genotypes)
        return cls(target.plan, genotypes[order], latencies[order], values[order], kept[order])

    @property
    def budgets(self) -> tuple[float, ...]:
        """The latency budgets, rising."""
        return self.plan.front

    @cached_property
    def answers(self) -> tuple[int, ...]:
        """The number of the network that answers each budget; `InvalidInput` where one has none."""
        found = answers(self.latencies, np.where(self.kept, self.accuracies, -1.0), self.budgets).tolist()
        if any(row < 0 or not self.kept[row] for row in found):
            raise InvalidInput(
                f"none of the networks evaluated takes at most {self.budgets[0]:.4g} {self.plan.model.unit} on "
                f"'{self.plan.target_name}'; search with more --trials, or another --seed"
            )
        return tuple(found)

    @property
    def budget_of(self) -> dict[Genotype, float]:
        """The networks of the front, each with the smallest budget that it answers."""
        pairs = zip(reversed(self.answers), reversed(self.budgets), strict=True)
        return {tuple(self.genotypes[row].tolist()): budget for row, budget in pairs}

    @property
    def chosen(self) -> Genotype:
        """The answer of the latency budget of the plan, which a run stands for where no budget is named."""
        row = self.answers[self.budgets.index(self.plan.latency_budget)]
        return tuple(self.genotypes[row].tolist())

    @property
    def note(self) -> str:
        """A sentence on which network of the front the result of the run is."""
        low, high, unit = self.budgets[0], self.budgets[-1], self.plan.model.unit
        return (
            f"one network of a front from {low:.4g} to {high:.4g} {unit}: that of the budget nearest to {REFERENCE}; "
            f"RUN@{high:.3g}{unit if unit == 'ms' else ''} names the one of another latency"
        )

    def record(self, images: int, kind: AccuracyKind, errors: Mapping[Genotype, float] | None = None) -> Front:
        """Return the front as front.json holds it; `images` are those of each accuracy.

        `errors` are the standard errors of the accuracies, where they are not those of the images alone.
        """
        points = tuple(self._point(number, images, errors) for number in range(len(self.budgets)))
        chosen = self.plan.space.decode(self.chosen).digest
        unit, reachable = self.plan.model.unit, self.plan.reachable
        return Front(kind.stored_label(), images, unit, reachable, REFERENCE, chosen, points)

    def _point(self, number: int, images: int, errors: Mapping[Genotype, float] | None) -> FrontPoint:
        """Return the answer of budget `number`, with the luck of its choice among the networks near its own budget."""
        row = self.answers[number]
        own = self.answers.index(row)  # the smallest budget that it answers
        genotype = tuple(self.genotypes[row].tolist())
        arch = self.plan.space.decode(genotype)
        near = self.kept & (self.latencies <= self.budgets[own] * (1 + ROUNDING))
        near &= self.latencies > (self.budgets[own - 1] if own else 0.0)
        others = self.accuracies[near]
        error = errors[genotype] if errors else standard_error(float(np.median(others)), images)
        luck = most_luck(others, error) if len(others) > 1 else 0.0
        top1 = round(float(self.accuracies[row]) * images, PREDICTED_DIGITS) / images
        return FrontPoint(
            self.budgets[number], arch.digest, spec_path(arch), float(self.latencies[row]), top1,
            errors[genotype] if errors else standard_error(top1, images), luck, int(near.sum()), arch.macs, arch.params,
        )  # fmt: skip
