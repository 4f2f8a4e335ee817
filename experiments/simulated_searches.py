"""Simulated searches on a table of trained networks: every registered algorithm at equal numbers of trainings.

    python -m experiments.simulated_searches [--table TABLE.csv] [--times 100]

The table is experiments/data/truth_table/uib_cifar10.csv unless another is given, of the columns of
experiments/replay_table.py. Each algorithm of the registry, and the search with an accuracy model, trains N = 8, 16
and 32 networks of it. The regret is the best accuracy of the table less that of the answer, each the mean over the
trainings of the network. A simulated training shows the accuracy of one of the trainings of the network, drawn at
random, where the table has several, else the accuracy itself. Intervals are 95 %, bootstrap over the times, paired
with random search.

Limits. An algorithm proposes genotypes of the whole space, of which the table holds few: a proposal is taken to the
unused row that differs from it in the fewest decisions, the first of equally near ones in an order drawn per time. That
blurs what an algorithm knows of a neighbourhood, the more, the smaller the table; and one that learns from a hundred
trainings is random search here. Policies (joint, reinforce) learn from shared weights, which a table does not have, and
are left out. The truth is itself a mean of few trainings, so a regret includes the luck of the best row.

Result with 64 networks of the truth table, 2 seeds each and 3 of the top quarter, 100 times (regret as a fraction;
NSGA-II and evolution first sample 32 networks or more, so here they are random search, and the Gaussian process nearly
is):

                      n = 16   less than random by         n = 32   less than random by
random                0.0085                               0.0060
local-search          0.0088   -0.0003 [-0.0019, +0.0011]  0.0075   -0.0015 [-0.0029, -0.0002]
swarm                 0.0091   -0.0006 [-0.0022, +0.0011]  0.0065   -0.0005 [-0.0018, +0.0008]
gaussian-process      0.0085   +0.0000 [+0.0000, +0.0000]  0.0066   -0.0006 [-0.0016, +0.0004]
hybrid                0.0089   -0.0004 [-0.0023, +0.0014]  0.0052   +0.0007 [-0.0006, +0.0021]
accuracy model        0.0061   +0.0024 [+0.0007, +0.0040]  0.0033   +0.0026 [+0.0015, +0.0039]

With 8 networks all are random search within the intervals. With 16 and with 32 the accuracy model alone is better than
random search; with 32 local search is worse.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.ranking_replay import BATCHES, COUNTS, say, searches
from experiments.replay_table import Table, read_table
from nas.errors import InvalidInput
from nas.protocols import Decision
from nas.registry import ALGORITHMS, load
from nas.search.strategy import Strategy

TABLE = Path(__file__).parent / "data/truth_table/uib_cifar10.csv"
MODEL = "accuracy model"
BOOTSTRAPS = 2000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """The genotypes of a table as a `Proposer` (nas/protocols.py), which draws those of rows and allows all."""

    genotypes: NDArray[np.int32]
    decisions: tuple[Decision, ...]

    @classmethod
    def of(cls, table: Table) -> "Rows":
        """Return the rows of a table; options are numbered without gaps."""
        numbered = [np.unique(column, return_inverse=True) for column in table.decisions.T]
        decisions = tuple(Decision(f"d{i}", tuple(options.tolist())) for i, (options, _) in enumerate(numbered))
        return cls(np.stack([codes for _, codes in numbered], 1).astype(np.int32), decisions)

    def feasible(self, genotypes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return True for every genotype [N, D]: which row it stands for is decided later."""
        return np.ones(len(genotypes), bool)

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int32]:
        """Return up to `count` distinct genotypes of rows."""
        distinct = np.unique(self.genotypes, axis=0)
        return distinct[rng.permutation(len(distinct))[:count]]

    def repaired(self, genotypes: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
        """Return the genotypes as they are."""
        return genotypes


@dataclass
class Trainings:
    """The trainings of one simulated search: which rows, and what was seen of them."""

    table: Table
    rows: Rows
    rng: np.random.Generator
    seen: dict[int, float] = field(default_factory=dict)
    order: NDArray[np.intp] = field(init=False)
    labels: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.order = self.rng.permutation(len(self.table.cost))
        known = np.isfinite(self.table.accuracies)
        samples = np.where(known, self.rng.random(known.shape), -1.0).argmax(1)
        self.labels = self.table.accuracies[np.arange(len(samples)), samples]

    def train(self, genotype: NDArray[np.int32]) -> int:
        """Return the unused row nearest to a genotype, trained."""
        unused = np.array([row for row in self.order if row not in self.seen])
        differ = (self.rows.genotypes[unused] != genotype).sum(1)
        row = int(unused[differ.argmin()])
        self.seen[row] = float(self.labels[row])
        return row

    def regret(self, row: int) -> float:
        """Return what a row loses against the best of the table."""
        return float(self.table.accuracy.max() - self.table.accuracy[row])

    @property
    def best(self) -> int:
        """The row of the highest accuracy seen."""
        return max(self.seen, key=lambda row: self.seen[row])


def algorithms() -> list[str]:
    """Return the names of the registered algorithms that are built from a proposer alone."""
    return [name for name in ALGORITHMS if not isinstance(load("algorithm", ALGORITHMS, name), Strategy)]


def by_algorithm(name: str, table: Table, n: int, time: int) -> float:
    """Return the regret of one search by a registered algorithm."""
    rows = Rows.of(table)
    done = Trainings(table, rows, np.random.default_rng(time))
    algorithm: Any = load("algorithm", ALGORITHMS, name)(rows)
    state = algorithm.init(time)
    while len(done.seen) < n:
        asked = algorithm.ask(state, min(max(1, n // BATCHES), n - len(done.seen)))
        trained = [done.train(genotype) for genotype in asked]
        errors = np.array([[1 - done.seen[row]] for row in trained])
        state = algorithm.tell(state, rows.genotypes[trained], errors)
    return done.regret(done.best)


def by_model(table: Table, n: int, time: int) -> float:
    """Return the regret of one search with the accuracy model, which chooses rows themselves."""
    done = Trainings(table, Rows.of(table), np.random.default_rng(time))
    search, _ = searches(table, np.arange(len(table.cost)), n)
    state = search.init(time)
    while asked := search.ask(state):
        state = search.tell(state, asked, [float(done.labels[training.genotype[0]]) for training in asked])
    return done.regret(search.answer(state).genotype[0])


def regrets(search: Callable[[Table, int, int], float], table: Table, n: int, times: int) -> Floats:
    """Return the regret of `times` searches of `n` trainings."""
    return np.array([search(table, n, time) for time in range(times)])


def interval(values: Floats) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean."""
    samples = values[np.random.default_rng(0).integers(len(values), size=(BOOTSTRAPS, len(values)))].mean(1)
    low, high = np.quantile(samples, (0.025, 0.975))
    return float(low), float(high)


def report(table: Table, times: int) -> None:
    """Print the mean regret of every algorithm and the difference from random search, with intervals."""
    arms: dict[str, Callable[[Table, int, int], float]] = {
        name: (lambda table, n, time, name=name: by_algorithm(name, table, n, time))  # type: ignore[misc]
        for name in algorithms()
    }
    arms |= {MODEL: by_model}
    for n in COUNTS:
        if 3 * n // 2 > len(table.cost):
            say(f"n = {n}: skipped, the table has {len(table.cost)} networks and {3 * n // 2} are needed")
            continue
        print(f"\n{f'n = {n}':<24} {'regret':>9}   95 % interval        less than random by")
        chance = regrets(arms["random"], table, n, times)
        for name, search in arms.items():
            found = chance if name == "random" else regrets(search, table, n, times)
            low, high = interval(found)
            better = interval(chance - found)
            shown = "" if name == "random" else f"{(chance - found).mean():+.4f} [{better[0]:+.4f}, {better[1]:+.4f}]"
            print(f"{name:<24} {found.mean():9.4f}   {low:.4f} to {high:.4f}     {shown}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Search and print; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", default=str(TABLE), help="CSV file (default: the truth table of uib)")
    parser.add_argument("--times", type=int, default=100, help="searches per algorithm and number of trainings")
    args = parser.parse_args(argv)
    try:
        if args.times < 1:
            raise InvalidInput(f"--times must be at least 1, got {args.times}")
        table = read_table(args.table)
        if not table.decisions.shape[1]:
            raise InvalidInput(f"{args.table} has no decisions (d0, d1, ...), which algorithms propose; add them")
        report(table, args.times)
    except InvalidInput as error:
        say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
