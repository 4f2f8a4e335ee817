"""Benchmark: each search algorithm against random search, on tables with a known optimum.

    nice -n 5 python -m experiments.benchmarks.tabular [--seeds 20] [--trials 300] [--batch 10]

Two tables over genotypes, to be minimised:

- rugged: 8 decisions of 4 options, 65,536 entries; each decision adds a number that depends on it and on the next two
  (an NK landscape, Kauffman and Levin 1987, with K = 2), uniform numbers from a fixed seed. The optimum is enumerated.
- zcu102: 28 decisions of a MBConv space (expansion, kernel, layers, squeeze-excite of 7 stages). The logarithm of ms
  per million MACs on a ZCU102, fitted to the 1,498 networks measured there (Accel-NASBench, arXiv 2404.08005;
  experiments/data/README.md): a ridge regression on the 36 combinations of each stage. What is searched is the fitted
  table, so its optimum, the best combination of every stage, is exact.

All algorithms have their defaults, as many trials, the same batches and seeds. Shown are medians over seeds of the gap
between the best trial and the optimum, over the gap of the mean entry; per algorithm the p-value of a one-sided
Mann-Whitney test that it beats random search. The last lines ask whether the hybrid is worse than its worst member.

Results of 20 seeds, 300 trials in batches of 10 (2 minutes on one core; in batches, as workers ask for them):

rugged                    gap  optimum found  p(better)
random                 0.3551        1 of 20
regularized-evolution  0.0917        7 of 20    1.5e-06
nsga2                  0.3014        0 of 20      0.028
local-search           0.1652        5 of 20    3.2e-05
swarm                  0.2388        1 of 20     0.0017
gaussian-process       0.0129        8 of 20    5.6e-07
hybrid                 0.0404        5 of 20    2.6e-06
hybrid worse than its worst member, swarm: p = 1

zcu102                    gap  optimum found  p(better)
random                 0.3689        0 of 20
regularized-evolution  0.1098        0 of 20    3.4e-08
nsga2                  0.2517        0 of 20    1.3e-06
local-search           0.1826        0 of 20      1e-06
swarm                  0.1899        0 of 20    9.6e-08
gaussian-process       0.0259        4 of 20    3.3e-08
hybrid                 0.0283        5 of 20    3.2e-08
hybrid worse than its worst member, swarm: p = 1

All beat random search on both. The hybrid is better than its worst member, and no better than the Gaussian process
alone. NSGA-II, made for several objectives, gains least: a hundred of its trials are its first population.
"""

import argparse
import csv
from dataclasses import dataclass
from functools import cache
from typing import Any

from experiments.benchmarks.timing import print_table, use_threads

use_threads(1)  # before numpy starts threads

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.stats import mannwhitneyu  # noqa: E402

from experiments.measured import MBCONV_TABLE  # noqa: E402
from nas.protocols import Decision  # noqa: E402
from nas.registry import ALGORITHMS, load  # noqa: E402
from nas.search.constraints.bounds import Bounded  # noqa: E402
from nas.search.strategy import Strategy  # noqa: E402
from nas.space.cost_table import CostTable, Term  # noqa: E402

STAGES = 7
CHOICES = (("e", (1, 4, 6)), ("k", (3, 5)), ("l", (1, 2, 3, 4)), ("se", (0, 1)))
MEMBERS = ("gaussian-process", "regularized-evolution", "swarm")
RIDGE = 3.0  # weight of the penalty of the ridge regression


@dataclass(frozen=True)
class Tabular:
    """Decisions, and the table of values over them that is minimised."""

    name: str
    decisions: tuple[Decision, ...]
    table: CostTable

    def gaps(self, genotypes: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return value less optimum, over that of the mean entry [N]."""
        least = self.table.minimum()[0]
        return (self.table.score(genotypes) - least) / (sum(t.values.mean() for t in self.table.terms) - least)


def tabular(name: str, sizes: tuple[int, ...], terms: dict[tuple[int, ...], NDArray[np.float64]]) -> Tabular:
    """Return the space of decisions of these sizes with the sum of `terms`."""
    decisions = tuple(Decision(f"d{i}", tuple(range(size))) for i, size in enumerate(sizes))
    return Tabular(name, decisions, CostTable(name, "sum", 0.0, tuple(Term(*term) for term in terms.items()), sizes))


@cache
def rugged() -> Tabular:
    """Return the NK landscape."""
    rng = np.random.default_rng(0)
    scopes = [tuple(sorted({(i + k) % 8 for k in range(3)})) for i in range(8)]
    return tabular("rugged", (4,) * 8, {scope: rng.random((4, 4, 4)) for scope in scopes})


@cache
def zcu102() -> Tabular:
    """Return the table of the ridge regression on the measurements."""
    with MBCONV_TABLE.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["latency_zcu102_ms"]]
    target = np.log([float(row["latency_zcu102_ms"]) / float(row["macs_M"]) for row in rows])
    options = [(f"block{s}_{what}", stage_options(what, s)) for s in range(STAGES) for what, _ in CHOICES]
    genotypes = np.array([[values.index(int(row[name])) for name, values in options] for row in rows])
    sizes = tuple(len(values) for _, values in options)
    shapes = [sizes[4 * s : 4 * s + 4] for s in range(STAGES)]
    columns = [np.ravel_multi_index(tuple(genotypes[:, 4 * s : 4 * s + 4].T), shapes[s]) for s in range(STAGES)]
    hot = np.concatenate([np.eye(int(np.prod(shape)))[at] for shape, at in zip(shapes, columns, strict=True)], 1)
    fit = np.linalg.solve(hot.T @ hot + RIDGE * np.eye(hot.shape[1]), hot.T @ (target - target.mean()))
    parts = np.split(fit, np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
    scopes = [tuple(range(4 * s, 4 * s + 4)) for s in range(STAGES)]
    return tabular("zcu102", sizes, {g: v.reshape(n) for g, v, n in zip(scopes, parts, shapes, strict=True)})


def stage_options(what: str, stage: int) -> tuple[int, ...]:
    """Return the options of a choice in this stage; only the sixth has up to four layers."""
    values = dict(CHOICES)[what]
    return values[:3] if what == "l" and stage != 5 else values


def algorithms() -> list[str]:
    """Return the names of the registered algorithms that are built from a proposer alone."""
    return [name for name in ALGORITHMS if not isinstance(load("algorithm", ALGORITHMS, name), Strategy)]


def best_gap(space: Tabular, name: str, seed: int, options: Any) -> float:
    """Return the gap of the best trial of one search."""
    algorithm = load("algorithm", ALGORITHMS, name)(Bounded(space))  # type: ignore[arg-type]
    state = algorithm.init(seed)
    for _ in range(options.trials // options.batch):
        genotypes = algorithm.ask(state, options.batch)
        state = algorithm.tell(state, genotypes, space.gaps(genotypes)[:, None])
    return float(state.errors.min())


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--batch", type=int, default=10)
    options = parser.parse_args()
    for space in (rugged(), zcu102()):
        gaps = {name: [best_gap(space, name, seed, options) for seed in range(options.seeds)] for name in algorithms()}
        medians = {name: float(np.median(values)) for name, values in gaps.items()}
        rows = []
        for name, values in gaps.items():
            chance = float(mannwhitneyu(values, gaps["random"], alternative="less").pvalue)
            optimal = sum(gap < 1e-9 for gap in values)
            shown = f"{chance:.2g}" if name != "random" else ""
            rows.append([name, f"{medians[name]:.4f}", f"{optimal} of {options.seeds}", shown])
        print_table([space.name, "gap", "optimum found", "p(better)"], rows)
        worst = max(MEMBERS, key=lambda name: medians[name])
        chance = float(mannwhitneyu(gaps["hybrid"], gaps[worst], alternative="greater").pvalue)
        print(f"hybrid worse than its worst member, {worst}: p = {chance:.2g}\n", flush=True)


if __name__ == "__main__":
    main()
