"""Searches over one trained supernet: filters and depths first, then the blocks of what was found.

The stages of MobileNetV4 (arXiv 2404.10518, section 6.1) as searches alone: the weights hold the whole space, so a
stage is a view of it, its candidates are whole architectures, and no target needs weights of its own. What a search is
after is an `Aim`: one target's latency, or the least worst regret over several. The search for several has one stage,
the whole space: it begins with what the searches for each have evaluated, and two stages from scratch find less than
that (experiments/universal.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.progress import ProgressReporter
from nas.protocols import Genotype, Genotypes, SearchAlgorithm
from nas.records.journal import Journal
from nas.runs.multi_target_settings import UNIVERSAL, MultiTargetConfig
from nas.runs.plan import SearchPlan, known_energy
from nas.runs.regret import EvaluatedNetworks, RegretRow
from nas.search.constraints.bounds import Bounded, Limit
from nas.search.constraints.repair import Constraints
from nas.search.loop import Pool, SearchHistory, SearchTask, WarmStart, evaluate, run
from nas.search.objectives import Column, columns, objectives
from nas.search.strategy import ROUNDS, Problem, Strategy, strategy
from nas.space.cost_table import CostTable, compile_table, within
from nas.space.genotypes import embedding
from nas.space.staged import StagedSpace

COARSE, FINE, WHOLE = "coarse", "fine", "whole"
Floats = NDArray[np.float64]


class Objective(Protocol):
    """What a search is after, in genotypes [N, D] of the whole space."""

    @property
    def whole(self) -> StagedSpace: ...
    def limits(self, space: StagedSpace) -> list[Limit]: ...  # hard bounds over a view of the space
    def objectives(self, genotypes: Genotypes, accuracies: Floats) -> Floats: ...  # [N, M], all minimised


@dataclass(frozen=True)
class SingleTarget:
    """The most accurate network within the latency budget.

    An algorithm of several objectives gets the front of error, latency and the costs of `settings.minimize`.
    """

    plan: SearchPlan

    @property
    def whole(self) -> StagedSpace:
        """The space of deployed networks."""
        return self.plan.space

    @cached_property
    def latency(self) -> CostTable:
        """The latency over the whole space."""
        return compile_table(self.whole, self.plan.model)

    def limits(self, space: StagedSpace) -> list[Limit]:
        """Return the latency budget and the hard bounds over `space`."""
        latency_budget = max(self.plan.latency_budget, self.plan.reachable[0])  # a plan accepts what is 1 % below
        return [(compile_table(space, self.plan.model), latency_budget), *self.plan.limits(space)]

    def objectives(self, genotypes: Genotypes, accuracies: Floats) -> Floats:
        """Return error, latency and further costs [N, M]."""
        return objectives(accuracies, genotypes, self.costs)

    @cached_property
    def costs(self) -> list[Column]:
        """What is made small beside the error."""
        names = dict.fromkeys(("latency", *self.plan.settings.minimize))
        return columns(self.whole, tuple(names), self.plan.model, known_energy(self.plan.settings))


@dataclass(frozen=True)
class MinimaxRegret:
    """The network whose worst regret over all targets is least: the most accurate that keeps all bounds.

    See nas/runs/regret.py.
    """

    targets: tuple[SingleTarget, ...]

    @property
    def whole(self) -> StagedSpace:
        """The space of deployed networks."""
        return self.targets[0].whole

    def latencies(self, genotypes: Genotypes) -> Floats:
        """Return the latencies [N, T]."""
        return np.stack([target.latency.score(genotypes) for target in self.targets], 1)

    def limits(self, space: StagedSpace) -> list[Limit]:
        """Return the latency budgets and the hard bounds of all targets over `space`."""
        return [limit for target in self.targets for limit in target.limits(space)]

    def objectives(self, genotypes: Genotypes, accuracies: Floats) -> Floats:
        """Return the error [N, 1]."""
        return (1 - accuracies)[:, None]

    def known(self, genotypes: Genotypes, accuracies: Floats) -> EvaluatedNetworks:
        """Return what is known of evaluated networks on every target."""
        each = np.stack([kept(target, genotypes) for target in self.targets], 1)
        return EvaluatedNetworks(self.latencies(genotypes), each, accuracies)

    def row(self, known: EvaluatedNetworks, genotype: Genotype, accuracy: float) -> RegretRow:
        """Return what a network loses on every target."""
        rows, top1 = np.array([genotype], np.int32), np.array([accuracy])
        here = self.known(rows, top1)
        front = known.on_front(here.latencies, top1)[0]
        return RegretRow(
            self.whole.decode(genotype).digest, accuracy, here.latencies[0], known.regrets(top1)[0], here.kept[0], front
        )


@dataclass(frozen=True)
class StagesResult:
    """What a search evaluated and chose, in genotypes of the whole space; `coarse` is what its first stage chose."""

    name: str
    coarse: Genotype
    best: Genotype
    accuracy: dict[Genotype, float]
    origin: dict[Genotype, str]  # the stage that evaluated it first
    entropy: float = 0.0  # of the policy in the fine stage, 0 where no policy chose
    satisfied: bool = True


@dataclass(frozen=True)
class Stages:
    """Runs the stages of any aim: request, accuracies, journal and display are those of the run."""

    config: MultiTargetConfig
    pool: Pool
    journal: Journal
    reporter: ProgressReporter

    @cached_property
    def strategy(self) -> Strategy:
        """How the algorithm is used."""
        return strategy(self.config.algorithm)

    def search(self, name: str, objective: Objective, seed: int) -> StagesResult:
        """Search filters and depths, then the blocks of the best; resumed from the journal where that holds a part."""
        config = self.config
        coarse_space = objective.whole.coarse()
        coarse = self._stage(f"{name}/{COARSE}", objective, coarse_space, config.trials, seed)
        fine_space = objective.whole.fine(objective.whole.decode(coarse.best))
        fine = self._stage(f"{name}/{FINE}", objective, fine_space, config.trials + config.more_trials, seed)
        accuracy = {**coarse.accuracy, **fine.accuracy}
        origin = dict.fromkeys(fine.accuracy, FINE) | dict.fromkeys(coarse.accuracy, COARSE)
        best = fine.best if self.strategy.projects else self._better(objective, coarse, fine)
        origin = {genotype: origin[genotype] for genotype in accuracy}
        return replace(fine, name=name, coarse=coarse.best, best=best, accuracy=accuracy, origin=origin)

    def refine(self, name: str, objective: Objective, found: Sequence[StagesResult], seed: int) -> StagesResult:
        """Search the whole space with the trials of two stages, from what `found` evaluated that keeps the limits."""
        genotypes, accuracies = all_known(found)
        usable = kept(objective, genotypes)
        start = WarmStart(genotypes[usable], accuracies[usable])
        trials = 2 * self.config.trials + self.config.more_trials
        refined = self._stage(f"{name}/{WHOLE}", objective, objective.whole, trials, seed, start)
        return replace(refined, name=name, origin=dict.fromkeys(refined.accuracy, WHOLE))

    @staticmethod
    def _better(objective: Objective, *stages: StagesResult) -> Genotype:
        """Return the better of what the stages chose; the fine one may not have found what the coarse one had.

        A coarse one that came near a limit without keeping it is not in the running.
        """
        rows = np.array([stage.best for stage in stages])
        values = objective.objectives(rows, np.array([stage.accuracy[stage.best] for stage in stages]))
        return stages[int(np.lexsort((*values.T[::-1], ~kept(objective, rows)))[0])].best

    def _stage(
        self,
        name: str,
        objective: Objective,
        space: StagedSpace,
        trials: int,
        seed: int,
        start: WarmStart | None = None,
    ) -> StagesResult:
        algorithm = self._algorithm(objective, space)
        embed = embedding(objective.whole, space)
        task = SearchTask(name, algorithm, embed, objective.objectives, trials, self.config.asked, seed, start)
        ran = run(task, self.pool, self.journal, self.reporter)
        accuracy = dict(zip(map(tuple, ran.genotypes.tolist()), ran.accuracies.tolist(), strict=True))
        if not self.strategy.projects:
            best = _best(name, ran)
            return StagesResult(name, best, best, accuracy, {})
        choice = algorithm.chosen(ran.state)
        best = tuple(embed(np.array([choice.genotype], np.int32))[0].tolist())
        accuracy[best] = evaluate(f"{name}/chosen", best, self.pool, self.journal)
        return StagesResult(name, best, best, accuracy, {}, choice.entropy, choice.satisfied)

    def _algorithm(self, objective: Objective, space: StagedSpace) -> Any:
        """Return the algorithm over a view of the space, its size fit for the trials it gets."""
        config = self.config

        def constraints() -> Constraints:
            assert isinstance(objective, SingleTarget)  # `check` refuses a policy for several targets
            return objective.plan.constraints(space)

        problem = Problem(space, lambda: proposer(objective, space), constraints, config.trials, config.asked)
        return _sized(self.strategy.build(problem), config.trials)


def for_all(
    stages: Stages, targets: tuple[SingleTarget, ...], found: Sequence[StagesResult], seed: int
) -> tuple[StagesResult, EvaluatedNetworks]:
    """Search the network of least worst regret, after `found` for each target; return it and all that is known then.

    What is chosen is the best of everything that was evaluated, by whichever search.
    """
    objective = MinimaxRegret(targets)
    searched = stages.refine(UNIVERSAL, objective, found, seed)
    genotypes, accuracies = all_known([*found, searched])
    known = objective.known(genotypes, accuracies)
    best = tuple(genotypes[known.least_regret(np.array([target.plan.latency_budget for target in targets]))].tolist())
    accuracy = dict(zip(map(tuple, genotypes.tolist()), accuracies.tolist(), strict=True))
    return replace(searched, best=best, accuracy=accuracy), known


def proposer(objective: Objective, space: StagedSpace) -> Bounded:
    """Return the part of `space` that keeps the limits. A coarse view that cannot reach one comes as near as it can."""
    limits = objective.limits(space)
    if space.name == objective.whole.coarse().name:
        limits = [(table, max(bound, table.minimum()[0])) for table, bound in limits]
    return Bounded(space, tuple(limits))


def kept(objective: Objective, genotypes: Genotypes) -> NDArray[np.bool_]:
    """Return which genotypes [N, D] of the whole space keep all limits, as the proposer sees them."""
    return within(Bounded(objective.whole, tuple(objective.limits(objective.whole))).limits, genotypes)


def _sized(algorithm: SearchAlgorithm[Any], trials: int) -> SearchAlgorithm[Any]:
    """Return the algorithm with a population small enough for several generations of them."""
    population = getattr(algorithm, "population", None)
    if population is None:
        return algorithm
    smaller = min(population, max(2, trials // ROUNDS))
    changes: dict[str, Any] = {"population": smaller}
    if hasattr(algorithm, "sample"):  # of the population, as much of it as before
        changes["sample"] = max(1, algorithm.sample * smaller // population)
    return replace(algorithm, **changes)  # type: ignore[type-var]


def _best(name: str, ran: SearchHistory) -> Genotype:
    if not len(ran.accuracies):
        raise InvalidInput(f"{name}: none of the candidates could be evaluated; see the lines above")
    return tuple(ran.genotypes[ran.best].tolist())


def all_known(found: Sequence[StagesResult]) -> tuple[Genotypes, Floats]:
    """Return every architecture that these searches evaluated, once [N, D], and its accuracy [N]."""
    accuracy = {genotype: value for one in found for genotype, value in one.accuracy.items()}
    return np.array(list(accuracy), np.int32), np.array(list(accuracy.values()))
