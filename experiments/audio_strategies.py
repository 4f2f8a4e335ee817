"""Study: the hybrid strategy against its members, random search and NSGA-II, on a table of trained audio networks.

Question: does the hybrid of Gaussian process, evolution and swarm (Speckhard et al. 2022, arXiv 2202.05397) find a
better front of accuracy, energy and memory than its members, NSGA-II and random search from equally many trials, and
what does it lose where trials are stopped early (nas/runs/trained_alone.py: after 4 of 12 epochs)?
Command: python -m experiments.audio_strategies [--seeds 10] [--trials 64] [--target cortex-m7]   (minutes)

Every strategy proposes networks of experiments/data/audio_table alone: a proposal that the table lacks is moved to the
nearest genotype in it (Hamming, the first of equals) that was not tried. Objectives are the error on unseen speakers
after the last epoch, the modelled energy and the memory of activations on the target. The measure is the hypervolume,
errors up to 1 less those of a constant answer, costs by their logarithms over the range of the table, relative to that
of the whole table; intervals are those of the mean over seeds at 90 % (Student's t), differences are paired by seed.

Result (512 networks, 64 trials each, 2 minutes):

audio-1d: 256 networks, 64 trials, 10 seeds; % of the table's hypervolume
early stops: 70 +- 2 % of the epochs
strategy                  after 32     after 64  hybrid's lead
hybrid                 87.7 +- 4.1  99.2 +- 0.3
gaussian-process       89.7 +- 6.0  99.4 +- 0.3    -0.2 +- 0.4
regularized-evolution  81.8 +- 4.0  90.0 +- 3.1    +9.2 +- 3.0
swarm                  83.2 +- 6.0  99.1 +- 0.3    +0.1 +- 0.6
nsga2                  94.3 +- 3.4  98.7 +- 1.0    +0.5 +- 1.2
random                 87.6 +- 4.5  90.7 +- 3.5    +8.5 +- 3.6
hybrid, early stops    88.6 +- 4.1  99.1 +- 0.4    +0.1 +- 0.4
audio-2d: 256 networks, 64 trials, 10 seeds; % of the table's hypervolume
early stops: 78 +- 3 % of the epochs
strategy                   after 32     after 64  hybrid's lead
hybrid                  86.8 +- 6.3  96.9 +- 1.2
gaussian-process        90.8 +- 3.0  96.9 +- 0.3    -0.0 +- 0.9
regularized-evolution   83.8 +- 2.6  90.3 +- 2.9    +6.6 +- 3.5
swarm                   86.3 +- 6.2  96.0 +- 1.8    +0.9 +- 2.2
nsga2                  82.7 +- 10.4  94.0 +- 5.9    +2.9 +- 6.4
random                  75.6 +- 6.8  83.8 +- 5.6   +13.0 +- 5.8
hybrid, early stops     88.2 +- 6.7  96.9 +- 1.1    +0.0 +- 0.6

From 64 trials the hybrid finds 97 to 99 % of what the whole table has, resolvedly more than random search and
evolution; the Gaussian process alone, the swarm and NSGA-II find as much within the intervals. After 32 trials little
is resolved: the Gaussian process begins with 20 random ones. Stopping early saves 22 to 30 % of the epochs and costs
nothing that ten seeds resolve. Accuracies have a standard error of 1.3 points from 1,000 takes, that of seeds beside.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from experiments.audio_table import SPACES_OF_TABLE, trainings
from experiments.benchmarks.timing import print_table
from latency_models.target import load_target
from nas.protocols import Decision, Genotypes
from nas.runs.trained_alone import stopped_early
from nas.search.algorithms.gaussian_process import GaussianProcess
from nas.search.algorithms.hybrid import Hybrid
from nas.search.algorithms.nsga2 import NSGA2
from nas.search.algorithms.random_search import RandomSearch
from nas.search.algorithms.regularized_evolution import RegularizedEvolution
from nas.search.algorithms.swarm import Swarm
from nas.search.algorithms.whole_front import whole_front
from nas.search.pareto import hypervolume
from nas.space.cost_table import PEAK_ACTIVATION, compile_table
from nas.space.staged import StagedSpace
from nas.tasks import binomial_error

Floats = NDArray[np.float64]
STRATEGIES = ("hybrid", "gaussian-process", "regularized-evolution", "swarm", "nsga2", "random")
CHANCE_ERROR = 0.9  # of a constant answer to ten classes
ASK = 8  # candidates at once
UNSEEN_TAKES = 1000
LEVEL = 0.9


@dataclass(frozen=True, eq=False)
class Table:
    """The networks of one space that were trained: genotypes [N, D] and objectives [N, 3]."""

    space: StagedSpace
    genotypes: Genotypes
    objectives: Floats
    early_errors: Floats  # [N], after the first third of the epochs

    @classmethod
    def of(cls, name: str, rows: Sequence[dict[str, Any]], target: str) -> "Table":
        """Return the table of a space out of the journal's rows, the first seed of each network."""
        own = [row for row in rows if row["space"] == name and row["seed"] == 0]
        space, genotypes = SPACES_OF_TABLE[name], np.array([row["genotype"] for row in own], np.int32)
        energy = compile_table(space, load_target(target).energy_model()).score(genotypes)
        memory = compile_table(space, PEAK_ACTIVATION).score(genotypes) / 1024
        errors = [1 - row["unseen"][-1] for row in own]
        third = len(own[0]["unseen"]) // 3 - 1
        early = np.array([1 - row["unseen"][third] for row in own])
        return cls(space, genotypes, np.column_stack([errors, energy, memory]), early)

    @cached_property
    def ranges(self) -> tuple[Floats, Floats]:
        """The smallest and the largest logarithm of each cost [2]."""
        logarithms = np.log(self.objectives[:, 1:])
        return logarithms.min(0), logarithms.max(0)

    def volume(self, objectives: Floats) -> float:
        """Return the hypervolume of networks with these objectives [N, 3]."""
        low, high = self.ranges
        costs = (np.log(objectives[:, 1:]) - low) / (high - low)
        return hypervolume(np.column_stack([objectives[:, 0], costs]), (CHANCE_ERROR, 1.05, 1.05))

    def stopped(self, rows: Sequence[int]) -> NDArray[np.bool_]:
        """Return which of the rows of a round are stopped after the first third of the epochs."""
        early, costs = 1 - self.early_errors[rows], self.objectives[rows, 1:]
        return stopped_early(early, costs, np.array([binomial_error(one, UNSEEN_TAKES) for one in early.tolist()]))


class Listed:
    """The networks of a table as a `Proposer`: nothing else may be proposed."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.decisions: tuple[Decision, ...] = table.space.decisions
        self.row = {tuple(one): i for i, one in enumerate(table.genotypes.tolist())}
        self.tried: set[int] = set()

    def feasible(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which genotypes [N, D] the table has."""
        return np.array([tuple(one) in self.row for one in genotypes.tolist()], bool)

    def draw(self, rng: np.random.Generator, count: int) -> Genotypes:
        """Return distinct rows of the table, at most all."""
        return self.table.genotypes[rng.permutation(len(self.row))[:count]]

    def repaired(self, genotypes: Genotypes, rng: np.random.Generator) -> Genotypes:
        """Return the nearest genotypes in the table, if any not yet tried."""
        apart = (genotypes[:, None] != self.table.genotypes).sum(2).astype(np.float64)
        apart[:, sorted(self.tried)] += 1e3
        return self.table.genotypes[apart.argmin(1)]


def strategy(name: str, proposer: Any, trials: int) -> Any:
    """Return a strategy in its form for a whole front."""
    made: dict[str, Any] = {
        "hybrid": Hybrid,
        "gaussian-process": GaussianProcess,
        "regularized-evolution": RegularizedEvolution,
        "swarm": Swarm,
        "random": RandomSearch,
    }
    if name == "nsga2":
        return NSGA2(proposer, population=max(2, trials // ASK))
    return whole_front(made[name](proposer))


def volumes(table: Table, name: str, seed: int, trials: int, *, early: bool = False) -> tuple[list[float], float]:
    """Return the hypervolume after each round of a search, relative to the whole table's, and the share of epochs.

    With `early`, trials are stopped early, and told and counted with the accuracy that they had then.
    """
    proposer = Listed(table)
    algorithm = strategy(name, proposer, trials)
    state, found, curve = algorithm.init(seed), list[int](), list[float]()
    told, epochs = np.zeros((0, 3)), 0.0
    while len(found) < trials:
        asked = algorithm.ask(state, min(ASK, trials - len(found)))
        rows = [proposer.row[tuple(one)] for one in asked.tolist()]
        objectives, stopped = table.objectives[rows], table.stopped(rows) & early
        objectives[stopped, 0] = table.early_errors[rows][stopped]
        state = algorithm.tell(state, asked, objectives)
        told, epochs = np.concatenate([told, objectives]), epochs + float(np.where(stopped, 1 / 3, 1).sum())
        found += rows
        proposer.tried |= set(rows)
        curve.append(table.volume(told) / table.volume(table.objectives))
    return curve, epochs / len(found)


def interval(values: Floats) -> tuple[float, float]:
    """Return the mean and the half-width of its interval at `LEVEL`."""
    count = len(values)
    factor = float(student.ppf((1 + LEVEL) / 2, count - 1)) if count > 1 else np.nan
    return float(values.mean()), factor * float(values.std(ddof=1)) / np.sqrt(count) if count > 1 else np.nan


def report(table: Table, name: str, seeds: int, trials: int) -> None:
    """Print what every strategy finds on one table, and the hybrid's lead over each, paired by seed."""
    found = {one: np.array([volumes(table, one, seed, trials)[0] for seed in range(seeds)]) for one in STRATEGIES}
    early = [volumes(table, "hybrid", seed, trials, early=True) for seed in range(seeds)]
    found["hybrid, early stops"] = np.array([curve for curve, _ in early])
    rows = []
    for one, curves in found.items():
        cells = [
            f"{100 * mean:.1f} +- {100 * half:.1f}" for mean, half in map(interval, (_middle(curves), curves[:, -1]))
        ]
        lead, error = interval(found["hybrid"][:, -1] - curves[:, -1])
        rows.append([one, *cells, "" if one == "hybrid" else f"{100 * lead:+.1f} +- {100 * error:.1f}"])
    print(f"{name}: {len(table.genotypes)} networks, {trials} trials, {seeds} seeds; % of the table's hypervolume")
    share, half = interval(np.array([epochs for _, epochs in early]))
    print(f"early stops: {100 * share:.0f} +- {100 * half:.0f} % of the epochs")
    print_table(["strategy", f"after {trials // 2}", f"after {trials}", "hybrid's lead"], rows)


def _middle(curves: Floats) -> Floats:
    return curves[:, (curves.shape[1] - 1) // 2]


def main() -> None:
    """Search both tables with every strategy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--target", default="cortex-m7")
    args = parser.parse_args()
    for name in SPACES_OF_TABLE:
        report(Table.of(name, trainings(), args.target), name, args.seeds, args.trials)


if __name__ == "__main__":
    main()
