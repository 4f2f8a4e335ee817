"""Searches in stages over a trained supernet: filters and depths first, then the blocks of the network found.

These are the stages of MobileNetV4 (arXiv 2404.10518, section 6.1) without training: the weights hold the whole space,
so a stage is a view of it, its candidates are whole architectures, and no target needs weights of its own. An
`Objective` says what is searched for: the best network for one target, or the least worst regret over several. The
search for several has one stage, the whole space. It begins with everything that the searches for each target have
evaluated; two stages from scratch find less than that (experiments/universal.py).
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
from nas.records.networks import UNIVERSAL
from nas.runs.multi_target_settings import MultiTargetConfig
from nas.runs.plan import SearchPlan
from nas.runs.regret import EvaluatedNetworks, RegretRow
from nas.search.algorithms.whole_front import whole_front
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
    """Interface of what a search optimises, in genotypes [N, D] of the full space."""

    @property
    def full_space(self) -> StagedSpace: ...
    @property
    def metric(self) -> str: ...  # the name of what accuracies are
    def limits(self, space: StagedSpace) -> list[Limit]: ...  # hard bounds over a view of the space
    def objectives(self, genotypes: Genotypes, accuracies: Floats) -> Floats: ...  # [N, M], all minimised


@dataclass(frozen=True)
class SingleTarget:
    """The objective of one target: the most accurate network within the latency budget.

    An algorithm of several objectives gets error, latency and the costs of `settings.minimize`; of a front of costs,
    `by_latency` is false, and the latency is a bound alone.
    """

    plan: SearchPlan
    by_latency: bool = True

    @property
    def full_space(self) -> StagedSpace:
        """The space of target networks, with all decisions."""
        return self.plan.space

    @property
    def metric(self) -> str:
        """The name of what accuracies are."""
        return self.plan.metric

    @cached_property
    def latency(self) -> CostTable:
        """The cost table of the latency over the full space."""
        return compile_table(self.full_space, self.plan.model)

    def limits(self, space: StagedSpace) -> list[Limit]:
        """Return the latency budget and the hard bounds over `space`."""
        # A plan accepts a budget of 1 % below what is reachable, which a hard bound cannot be.
        latency_budget = max(self.plan.latency_budget, self.plan.reachable[0])
        return [(compile_table(space, self.plan.model), latency_budget), *self.plan.limits(space)]

    def objectives(self, genotypes: Genotypes, accuracies: Floats) -> Floats:
        """Return error, latency and further costs [N, M]."""
        return objectives(accuracies, genotypes, self.costs)

    @cached_property
    def costs(self) -> list[Column]:
        """The costs that are minimised beside the error."""
        names = dict.fromkeys((*(("latency",) if self.by_latency else ()), *self.plan.settings.minimize))
        return columns(self.full_space, tuple(names), self.plan.model, self.plan.energy)


@dataclass(frozen=True)
class MinimaxRegret:
    """The objective of several targets: the network whose worst regret over all of them is least.

    That is the most accurate one that keeps the bounds of all targets: see nas/runs/regret.py.
    """

    targets: tuple[SingleTarget, ...]

    @property
    def full_space(self) -> StagedSpace:
        """The space of target networks, with all decisions."""
        return self.targets[0].full_space

    @property
    def metric(self) -> str:
        """The name of what accuracies are."""
        return self.targets[0].metric

    def latencies(self, genotypes: Genotypes) -> Floats:
        """Return the latencies [N, T] on all targets."""
        return np.stack([target.latency.score(genotypes) for target in self.targets], 1)

    def limits(self, space: StagedSpace) -> list[Limit]:
        """Return the latency budgets and the hard bounds of all targets over `space`."""
        return [limit for target in self.targets for limit in target.limits(space)]

    def objectives(self, genotypes: Genotypes, accuracies: Floats) -> Floats:
        """Return the error [N, 1]."""
        return (1 - accuracies)[:, None]

    def known(self, genotypes: Genotypes, accuracies: Floats) -> EvaluatedNetworks:
        """Return evaluated networks with their latencies, and which bounds they keep, on every target."""
        each = np.stack([within_limits(target, genotypes) for target in self.targets], 1)
        return EvaluatedNetworks(self.latencies(genotypes), each, accuracies)

    def row(self, known: EvaluatedNetworks, genotype: Genotype, accuracy: float) -> RegretRow:
        """Return the row of a network in the table of regrets, against all `known` networks."""
        rows, top1 = np.array([genotype], np.int32), np.array([accuracy])
        here = self.known(rows, top1)
        front = known.on_front(here.latencies, top1)[0]
        return RegretRow(
            self.full_space.decode(genotype).digest,
            accuracy,
            here.latencies[0],
            known.regrets(top1)[0],
            here.kept[0],
            front,
        )


@dataclass(frozen=True)
class StagesResult:
    """The result of a search in stages, in genotypes of the full space."""

    name: str
    coarse: Genotype  # chosen by the first stage
    best: Genotype
    accuracy: dict[Genotype, float]  # of everything that was evaluated
    origin: dict[Genotype, str]  # the stage that evaluated it first
    entropy: float = 0.0  # of the policy in the fine stage, 0 where no policy chose
    satisfied: bool = True


@dataclass(frozen=True)
class StageRunner:
    """Runs the stages of any objective, with the configuration, accuracies, journal and progress of one run."""

    config: MultiTargetConfig
    pool: Pool
    journal: Journal
    reporter: ProgressReporter

    @cached_property
    def strategy(self) -> Strategy:
        """The way the configured algorithm is built and used."""
        return strategy(self.config.algorithm)

    def search(self, name: str, objective: Objective, seed: int) -> StagesResult:
        """Search filters and depths, then the blocks of the best; what the journal holds is replayed, not repeated.

        For a front of costs all decisions are searched at once: the blocks of one network would make a front of one.
        """
        config = self.config
        if config.cost_front:
            trials = 2 * config.trials + config.more_trials
            whole = self.run_stage(f"{name}/{WHOLE}", objective, objective.full_space, trials, seed)
            found = replace(whole, name=name, origin=dict.fromkeys(whole.accuracy, WHOLE))
            return self._with_best(objective, found)
        coarse_space = objective.full_space.coarse()
        coarse = self.run_stage(f"{name}/{COARSE}", objective, coarse_space, config.trials, seed)
        fine_space = objective.full_space.fine(objective.full_space.decode(coarse.best))
        fine = self.run_stage(f"{name}/{FINE}", objective, fine_space, config.trials + config.more_trials, seed)
        accuracy = {**coarse.accuracy, **fine.accuracy}
        origin = dict.fromkeys(fine.accuracy, FINE) | dict.fromkeys(coarse.accuracy, COARSE)
        origin = {genotype: origin[genotype] for genotype in accuracy}
        found = replace(fine, name=name, coarse=coarse.best, accuracy=accuracy, origin=origin)
        return self._with_best(objective, found)

    def refine(self, name: str, objective: Objective, found: Sequence[StagesResult], seed: int) -> StagesResult:
        """Search the full space with the trials of two stages, from what `found` evaluated within the limits."""
        genotypes, accuracies = all_evaluated(found)
        usable = within_limits(objective, genotypes)
        start = WarmStart(genotypes[usable], accuracies[usable])
        trials = 2 * self.config.trials + self.config.more_trials
        refined = self.run_stage(f"{name}/{WHOLE}", objective, objective.full_space, trials, seed, start)
        return replace(refined, name=name, origin=dict.fromkeys(refined.accuracy, WHOLE))

    def _with_best(self, objective: Objective, found: StagesResult) -> StagesResult:
        """Return the result with the best of everything evaluated as its choice; that of a policy where none is kept.

        Those that keep all limits come first: an early one may only have come near to a limit.
        """
        genotypes, accuracies = all_evaluated([found])
        kept = self.kept(objective, genotypes)
        if self.strategy.projects and not kept.any():
            return found
        values = objective.objectives(genotypes, accuracies)
        best = int(np.lexsort((*values.T[::-1], ~kept))[0])
        return replace(found, best=tuple(genotypes[best].tolist()), satisfied=bool(kept[best]) or found.satisfied)

    def kept(self, objective: Objective, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which genotypes [N, D] of the full space may be the answer: those that keep all that was asked."""
        if not self.strategy.projects or not isinstance(objective, SingleTarget):
            return within_limits(objective, genotypes)
        return objective.plan.constraints(objective.full_space).kept_by(genotypes)

    def run_stage(
        self,
        name: str,
        objective: Objective,
        space: StagedSpace,
        trials: int,
        seed: int,
        start: WarmStart | None = None,
    ) -> StagesResult:
        """Search over `space`, a view of the full space, and return what it evaluated and chose."""
        algorithm = self._algorithm(objective, space)
        embed = embedding(objective.full_space, space)
        task = SearchTask(
            name, algorithm, embed, objective.objectives, trials, self.config.asked, seed, start, objective.metric
        )
        history = run(task, self.pool, self.journal, self.reporter)
        accuracy = dict(zip(map(tuple, history.genotypes.tolist()), history.accuracies.tolist(), strict=True))
        if not self.strategy.projects:
            best = _best_genotype(name, history)
            return StagesResult(name, best, best, accuracy, {})
        # A policy is projected to the constraints at the end; what it chose may not have been evaluated yet.
        choice = algorithm.chosen(history.state)
        best = tuple(embed(np.array([choice.genotype], np.int32))[0].tolist())
        accuracy[best] = evaluate(f"{name}/chosen", best, self.pool, self.journal)
        return StagesResult(name, best, best, accuracy, {}, choice.entropy, choice.satisfied)

    def _algorithm(self, objective: Objective, space: StagedSpace) -> Any:
        """Return the algorithm over a view of the full space, with a population that suits the number of trials."""
        config = self.config

        def constraints() -> Constraints:
            assert isinstance(objective, SingleTarget)  # `check` refuses a policy for several targets
            return objective.plan.constraints(space)

        problem = Problem(space, lambda: bounded_proposer(objective, space), constraints, config.trials, config.asked)
        algorithm = self.strategy.build(problem)
        return _with_smaller_population(whole_front(algorithm) if config.cost_front else algorithm, config.trials)


def search_universal(
    stages: StageRunner, targets: tuple[SingleTarget, ...], found: Sequence[StagesResult], seed: int
) -> tuple[StagesResult, EvaluatedNetworks]:
    """Search for the network of minimax regret after the searches for each target (`found`).

    Return it with all evaluated networks: it is the best of everything that any of the searches evaluated.
    """
    objective = MinimaxRegret(targets)
    searched = stages.refine(UNIVERSAL, objective, found, seed)
    genotypes, accuracies = all_evaluated([*found, searched])
    known = objective.known(genotypes, accuracies)
    best = tuple(genotypes[known.least_regret(np.array([target.plan.latency_budget for target in targets]))].tolist())
    accuracy = dict(zip(map(tuple, genotypes.tolist()), accuracies.tolist(), strict=True))
    return replace(searched, best=best, accuracy=accuracy), known


def bounded_proposer(objective: Objective, space: StagedSpace) -> Bounded:
    """Return the part of `space` that keeps the limits. A coarse view that cannot reach one gets its nearest value."""
    limits = objective.limits(space)
    if space.name == objective.full_space.coarse().name:
        limits = [(table, max(bound, table.minimum()[0])) for table, bound in limits]
    return Bounded(space, tuple(limits))


def check_search(config: MultiTargetConfig, objective: Objective, space: StagedSpace) -> None:
    """Raise, before any work, where nothing in `space` keeps the limits, or the algorithm cannot be built for them."""
    proposer = bounded_proposer(objective, space)
    _ = proposer.start

    def no_constraints() -> Constraints:
        raise AssertionError("only an algorithm that projects takes constraints")

    strategy(config.algorithm).build(Problem(space, lambda: proposer, no_constraints, config.trials, config.asked))


def within_limits(objective: Objective, genotypes: Genotypes) -> NDArray[np.bool_]:
    """Return which genotypes [N, D] of the full space keep all limits, by the same tables as the proposer."""
    return within(Bounded(objective.full_space, tuple(objective.limits(objective.full_space))).limits, genotypes)


def _with_smaller_population(algorithm: SearchAlgorithm[Any], trials: int) -> SearchAlgorithm[Any]:
    """Return the algorithm with a population small enough for several generations within `trials`."""
    population = getattr(algorithm, "population", None)
    if population is None:
        return algorithm
    smaller = min(population, max(2, trials // ROUNDS))
    changes: dict[str, Any] = {"population": smaller}
    if hasattr(algorithm, "sample"):  # of the population, as much of it as before
        changes["sample"] = max(1, algorithm.sample * smaller // population)
    return replace(algorithm, **changes)  # type: ignore[type-var]


def _best_genotype(name: str, history: SearchHistory) -> Genotype:
    """Return the best evaluated genotype; `InvalidInput` where none could be evaluated."""
    if not len(history.accuracies):
        raise InvalidInput(f"{name}: none of the candidates could be evaluated; see the lines above")
    return tuple(history.genotypes[history.best].tolist())


def all_evaluated(found: Sequence[StagesResult]) -> tuple[Genotypes, Floats]:
    """Return all architectures that the searches evaluated, each once [N, D], and their accuracies [N]."""
    accuracy = {genotype: value for one in found for genotype, value in one.accuracy.items()}
    return np.array(list(accuracy), np.int32), np.array(list(accuracy.values()))
